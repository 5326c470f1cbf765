"""Ports of localhost."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

_LEAST = 10_000
_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on.

    For programs that must be told one; a server of our own takes port 0 and says. It is
    below those that the system gives to connections, of which other tests make many:
    one of these could take the port before the program does.
    """
    while True:
        port = random.SystemRandom().randrange(_LEAST, _first_of_the_system())
        if port in _given:
            continue
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            _given.add(port)
            return port


def _first_of_the_system() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    except OSError:
        return 32_768  # as on Linux
    return max(int(text.split()[0]), _LEAST + 1000)
