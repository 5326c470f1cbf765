"""Dialing: the keywords of a client, for front ends without asyncio.

What ``connect`` and ``reconnect`` are made of: one place where keywords become
settings and a factory makes the connection. Reaches no server and waits for nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Generic, TypeVar

from .link import Link
from .opening import retry as retrying
from .opening.client_plan import connect_plan
from .opening.client_settings import client_settings
from .opening.settings import (
    check_keywords,
    compression_from,
    limits_from,
    timeouts_from,
)
from .opening.steps import Opened, Plan
from .options import Keepalive

__all__ = ["Dialed", "Dialer", "path_of", "unix_uri"]

C = TypeVar("C", bound="Dialed")

# Keywords of the documented signature that settings have under the same names.
_SAME = (
    *("origin", "extensions", "subprotocols", "additional_headers"),
    *("user_agent_header", "proxy", "logger"),
)


class Dialed(Link):
    """The client's end of a connection."""

    _client = True
    _logger_name = "longwire.client"

    def _who(self) -> str:
        """Return the URI of the server."""
        uri = getattr(self.protocol, "uri", None)
        return f"to {uri}" if uri is None else f"to {uri.shown}"


class Dialer(Generic[C]):
    """What knows how to connect to one server."""

    # Whether an error says what came of the attempt; longwire.websockets has texts of
    # its own.
    _explains = True

    _connection_class: type[C]
    _tcp: ClassVar[frozenset[str]]  # keywords for reaching the server
    _unix: ClassVar[frozenset[str]] = frozenset({"path", "unix"})
    # Those of the signature that the plan gets as they are.
    _given: ClassVar[tuple[str, ...]]

    def _set_up(self, uri: str, given: dict[str, Any], kwargs: dict[str, Any]) -> None:
        """Check the keywords: ``given`` are the documented ones, ``kwargs`` others."""
        unix = kwargs.get("unix")
        known = {*(self._unix if unix else self._tcp), *given}
        check_keywords("unix_connect" if unix else "connect", kwargs, known)
        network = {name: given[name] for name in self._given}
        self._settings = client_settings(
            uri,
            limits=limits_from(
                given["limits"],
                max_size=given["max_size"],
                max_queue=given["max_queue"],
                write_limit=given["write_limit"],
            ),
            timeouts=timeouts_from(
                given["timeouts"],
                open_timeout=given["open_timeout"],
                close_timeout=given["close_timeout"],
            ),
            keepalive=Keepalive(
                interval=given["ping_interval"], timeout=given["ping_timeout"]
            ),
            compression=compression_from(given["compression"]),
            network={**network, **kwargs},
            **{name: given[name] for name in _SAME},
        )
        create = given["create_connection"] or self._connection_class
        for name, value in (
            ("process_exception", given["process_exception"]),
            ("reconnect_delays", given["reconnect_delays"]),
            ("create_connection", create),
        ):
            if not callable(value):
                kind = type(value).__name__
                raise TypeError(f"{name} must be a function or class, not {kind}")
        self._process_exception = given["process_exception"]
        self._reconnect_delays: Callable[[], Iterable[float]]
        self._reconnect_delays = given["reconnect_delays"]
        self._create_connection: Callable[..., C] = create

    def _plan(self) -> Plan[Opened]:
        """Return how to open a connection."""
        return connect_plan(self._settings)

    def _make(self, *args: Any) -> C:
        """Return a connection made of ``args`` and the settings."""
        settings = self._settings
        limits, keepalive = settings.limits, settings.keepalive
        return self._create_connection(
            *args,
            settings,
            ping_interval=keepalive.interval,
            ping_timeout=keepalive.timeout,
            close_timeout=settings.timeouts.close,
            max_queue=(limits.queued_messages, limits.queued_messages_low),
        )

    def _retries(self) -> retrying.Retries:
        """Return what decides when to try again."""
        return retrying.Retries(
            self._process_exception,
            self._reconnect_delays,
            self._settings.logger,
            self._settings.uri.shown,
        )

    def _too_late(self, doing: str) -> TimeoutError:
        """Return the exception of an opening handshake that took too long."""
        return TimeoutError(
            "timed out while waiting for the opening handshake: "
            f"still {doing} after {self._settings.timeouts.open} seconds"
        )


def unix_uri(uri: str | None, kwargs: dict[str, Any]) -> str:
    """Return what to ask for at a Unix socket."""
    if uri is not None:
        return uri
    return "ws://localhost/" if kwargs.get("ssl") is None else "wss://localhost/"


def path_of(path: str | os.PathLike[str] | None) -> str | None:
    """Return the path of a Unix socket in text."""
    return None if path is None else os.fspath(path)
