"""Servers of the command line: where they listen, when they stop.

A server runs until SIGINT or SIGTERM, then drains. A place it cannot listen at is one
clear line.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence

from .. import Server
from ..escaping import one_line
from .signals import stopping

__all__ = ["CannotListen", "find_addresses", "place", "serve_until_stopped", "url"]

logger = logging.getLogger("longwire.cli")

DRAIN_TIMEOUT = 10.0
"""Seconds that connections have for their closing handshakes."""


class CannotListen(Exception):
    """The host or port cannot be used; says why."""


async def serve_until_stopped(
    make_server: Callable[[Sequence[str], int], Server],
    host: str,
    port: int,
    ready: Callable[[int], None],
) -> None:
    """Run a server until SIGINT or SIGTERM, then close its connections and return.

    ``make_server`` gets the addresses and the port; ``ready`` is called with the port
    once connections are accepted. Raises CannotListen.
    """
    with stopping() as stop:
        addresses, port = find_addresses(host, port)
        try:
            server = await make_server(addresses, port)
        except OSError as exc:
            raise CannotListen(_why(exc, host, port)) from None
        try:
            ready(port)
            await stop.wait()
            logger.info("stopping; open connections: %d", len(server.connections))
            await server.drain(timeout=DRAIN_TIMEOUT)
        finally:
            server.close()


def find_addresses(host: str, port: int) -> tuple[list[str], int]:
    """Return the network addresses of ``host`` that this machine has, and a port.

    ``localhost`` may have an IPv6 address in name only, and port 0 would become
    another port for each address: so each one is tried, and port 0 becomes one that
    is free at all of them. An empty ``host`` is all of this machine. Raises
    CannotListen.
    """
    usable: list[str] = []
    failure: Exception = OSError("it has no address")
    for family, name in _resolve(host):
        try:
            port = _probe(family, name, port)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise CannotListen(_why(exc, host, port)) from None
            failure = exc
        else:
            usable.append(name)
    if not usable:
        raise CannotListen(_why(failure, host, port))
    return usable, port


def _resolve(host: str) -> list[tuple[int, str]]:
    """Return (family, address) for each address of ``host``, each once."""
    try:
        found = socket.getaddrinfo(
            host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as exc:
        raise CannotListen(f"cannot find host {host}: {one_line(exc)}") from None
    return list(dict.fromkeys((info[0], str(info[4][0])) for info in found))


def _probe(family: int, name: str, port: int) -> int:
    """Return ``port``, or a free one for 0; raise OSError if it cannot be used."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            # As the server does it: a port that was just left is not taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((name, port))
        return int(probe.getsockname()[1])


def _why(exc: Exception, host: str, port: int) -> str:
    """Return why ``host`` and ``port`` cannot be used, and what to do about it."""
    where = place(host, port)
    number = getattr(exc, "errno", None)
    if number == errno.EADDRINUSE:
        return (
            f"{where} is taken by another program; "
            "choose another port with --port or the variable PORT"
        )
    if number == errno.EACCES:
        return f"{where} needs privileges; choose a port above 1023 with --port"
    return f"cannot listen on {where}: {one_line(exc)}"


def place(host: str, port: int) -> str:
    """Return host and port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url(scheme: str, host: str, port: int) -> str:
    """Return the URL at which a server on this machine is reached from here."""
    everywhere = ("", "0.0.0.0", "::")
    return f"{scheme}://{place('localhost' if host in everywhere else host, port)}/"
