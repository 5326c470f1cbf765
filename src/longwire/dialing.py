"""Dialing: the keywords of a client, on every front end.

What ``connect`` and ``reconnect`` are made of: one place where keywords become
settings and a factory makes the connection. Reaches no server and waits for nothing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from .connection import Connection
from .opening import retry as retrying
from .opening.arguments import check_callback
from .opening.client_plan import connect_plan
from .opening.client_settings import client_settings
from .opening.settings import (
    check_keywords,
    connection_keywords,
    settings_of_both,
)
from .opening.steps import Opened, Plan

__all__ = ["Dialed", "Dialer", "how_to_connect", "path_of", "unix_uri"]

C = TypeVar("C", bound="Dialed")

# Keywords of the documented signature that settings have under the same names.
_SAME = (
    *("origin", "extensions", "subprotocols", "additional_headers"),
    *("user_agent_header", "proxy", "logger"),
)


class Dialed(Connection):
    """The client's end of a connection.

    A mixin: the class of a front end's connections comes before it.
    """

    if TYPE_CHECKING:  # what front ends have
        protocol: Any

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
    _given: ClassVar[tuple[str, ...]] = ()
    _name: ClassVar[str]  # and what can be done with it, for a warning
    _uses: ClassVar[str]
    _unused = False

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if self._unused:
            uri = self._settings.uri
            warn(
                f"{self._name}() to {uri.host} port {uri.port} was never {self._uses}",
                RuntimeWarning,
                source=self,
            )

    def _set_options(
        self, uri: str, given: dict[str, Any], kwargs: dict[str, Any]
    ) -> None:
        """Check the keywords: ``given`` are the documented ones, ``kwargs`` others."""
        unix = kwargs.get("unix")
        known = {*(self._unix if unix else self._tcp), *given}
        check_keywords("unix_connect" if unix else "connect", kwargs, known)
        network = {name: given[name] for name in self._given}
        self._settings = client_settings(
            uri,
            **settings_of_both(given),
            network={**network, **kwargs},
            **{name: given[name] for name in _SAME},
        )
        create = given["create_connection"]
        if create is None:
            create = self._connection_class
        for name, parameters in (
            ("process_exception", ("exc",)),
            ("reconnect_delays", ()),
        ):
            if given[name] is None:
                raise TypeError(f"{name} must be a function, not None")
            check_callback(name, given[name], parameters, awaits=False)
        if not callable(create):
            kind = type(create).__name__
            raise TypeError(
                f"create_connection must be a function or class, not {kind}"
            )
        self._process_exception = given["process_exception"]
        self._reconnect_delays: Callable[[], Iterable[float]]
        self._reconnect_delays = given["reconnect_delays"]
        self._create_connection: Callable[..., C] = create
        self._unused = self._explains  # the documented API warns of nothing

    def _plan(self, *args: Any, **kwargs: Any) -> Plan[Opened]:
        """Return how to open a connection."""
        return connect_plan(self._settings)

    def _make(self, *args: Any) -> C:
        """Return a connection made of ``args`` and the settings."""
        settings = self._settings
        keywords = connection_keywords(settings)
        return self._create_connection(*args, settings, **keywords)

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


def how_to_connect(args: tuple[Any, ...]) -> str:
    """Return how ``connect`` is called, for who gave it ``args`` by position."""
    match args:
        case [str(host), int(port)] | [int(port), str(host)] if "/" not in host:
            return f"connect('ws://{host}:{port}')"
    return "connect('ws://localhost:8765', name=value, ...)"


def path_of(path: str | os.PathLike[str] | None) -> str | None:
    """Return the path of a Unix socket in text; raise for what is none."""
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"path must be a str or Path or None, not {type(path).__name__}: write "
            "unix_connect('/run/x')"
        )
    if isinstance(path, str) and "://" in path:
        raise ValueError(
            f"path is {path!r}; the path of a file is allowed: write "
            f"unix_connect('/run/x', {path!r})"
        )
    return None if path is None else os.fspath(path)
