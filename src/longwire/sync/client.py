"""The client for threads: ``connect``, ``reconnect`` and their connections.

Decides nothing about the handshake, which is the business of
``opening/client_plan.py``; ends each attempt in time, and leaves no socket behind where
one fails or is interrupted.
"""

from __future__ import annotations

import os
import socket
import ssl as ssl_module
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal

from ..errors import ConcurrencyError
from ..hints import Blocking
from ..http.extensions import ClientExtensionFactory
from ..http.headers import HeadersLike
from ..opening import retry as retrying
from ..opening.client_plan import connect_plan
from ..opening.client_settings import ClientSettings, client_settings
from ..opening.refusals import explain
from ..opening.settings import (
    CLOSE_TIMEOUT,
    MAX_QUEUE,
    MAX_SIZE,
    OPEN_TIMEOUT,
    PRODUCT,
    WRITE_LIMIT,
    check_keywords,
    compression_from,
    limits_from,
    timeouts_from,
)
from ..opening.steps import Opened, Plan
from ..options import Compression, Keepalive, Limits, LoggerLike, Timeouts
from .connection import Connection
from .driver import OutOfTime, Stream, run

__all__ = [
    "ClientConnection",
    "connect",
    "reconnect",
    "unix_connect",
    "unix_reconnect",
]

# Keywords for reaching the server.
_UNIX = frozenset({"path", "unix"})
_TCP = frozenset({"all_errors", "family", "host", "port", "source_address", "timeout"})


class ClientConnection(Connection):
    """The client's end of a connection, made by :func:`connect`.

    ``request`` and ``response`` are those of the opening handshake.
    """

    _client = True
    _logger_name = "longwire.client"

    def _who(self) -> str:
        """Return the URI of the server."""
        uri = getattr(self.protocol, "uri", None)
        return f"to {uri}" if uri is None else f"to {uri.shown}"


class reconnect(Blocking):
    """A way to keep a connection to the WebSocket server at ``uri``.

    ::

        for websocket in reconnect("ws://localhost:8765"):
            try:
                for message in websocket:
                    ...
            except ConnectionClosed:
                continue

    Iterating gives a new connection each time the last has ended, waiting longer after
    each failed attempt, and after each connection that came to nothing. ``with`` gives
    one connection and closes it, as ``connect(uri)`` does; ``connect()`` returns one.

    The keywords are those of :class:`longwire.connect`, which explains them:
    ``process_exception`` decides whether to go on after an exception,
    ``reconnect_delays`` returns an iterable of the seconds to wait each time. Others
    say how to reach the server: ``host`` and ``port`` (instead of the URI's),
    ``family``, and those of :func:`socket.create_connection`.

    Raises InvalidURI, ValueError or TypeError at once for what cannot be used.
    """

    def __init__(
        self,
        uri: str,
        *,
        sock: socket.socket | None = None,
        ssl: ssl_module.SSLContext | Literal[True] | None = None,
        server_hostname: str | None = None,
        origin: str | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        compression: str | Compression | None = "deflate",
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = PRODUCT,
        proxy: str | bool | None = True,
        proxy_ssl: ssl_module.SSLContext | Literal[True] | None = None,
        proxy_server_hostname: str | None = None,
        process_exception: Callable[
            [Exception], Exception | None
        ] = retrying.process_exception,
        open_timeout: float | None = OPEN_TIMEOUT,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = CLOSE_TIMEOUT,
        reconnect_delays: Callable[[], Iterable[float]] = retrying.backoff,
        max_size: int | tuple[int | None, int | None] | None = MAX_SIZE,
        max_queue: int | tuple[int | None, int | None] | None = MAX_QUEUE,
        write_limit: int | tuple[int, int | None] = WRITE_LIMIT,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        logger: LoggerLike | str | None = None,
        create_connection: Callable[..., ClientConnection] | None = None,
        **kwargs: Any,
    ) -> None:
        known = {*(_UNIX if kwargs.get("unix") else _TCP), *_documented()}
        check_keywords(
            "unix_connect" if kwargs.get("unix") else "connect", kwargs, known
        )
        given = {
            "sock": sock,
            "ssl": ssl,
            "server_hostname": server_hostname,
            "proxy_ssl": proxy_ssl,
            "proxy_server_hostname": proxy_server_hostname,
        }
        self._settings = client_settings(
            uri,
            limits=limits_from(
                limits,
                max_size=max_size,
                max_queue=max_queue,
                write_limit=write_limit,
            ),
            timeouts=timeouts_from(
                timeouts, open_timeout=open_timeout, close_timeout=close_timeout
            ),
            keepalive=Keepalive(interval=ping_interval, timeout=ping_timeout),
            origin=origin,
            extensions=extensions,
            subprotocols=subprotocols,
            compression=compression_from(compression),
            additional_headers=additional_headers,
            user_agent_header=user_agent_header,
            proxy=proxy,
            logger=logger,
            network={**given, **kwargs},
        )
        for name, value in (
            ("process_exception", process_exception),
            ("reconnect_delays", reconnect_delays),
            ("create_connection", create_connection or ClientConnection),
        ):
            if not callable(value):
                kind = type(value).__name__
                raise TypeError(f"{name} must be a function or class, not {kind}")
        self._process_exception = process_exception
        self._reconnect_delays = reconnect_delays
        self._create_connection = create_connection
        self._connection: ClientConnection | None = None

    _plain = "for websocket in reconnect(...)"
    # Whether an error says what came of the attempt; longwire.websockets has texts of
    # its own.
    _explains = True

    def connect(self) -> ClientConnection:
        """Return a new connection, open.

        Raises OSError when the server cannot be reached, TimeoutError, or an
        :exc:`~longwire.InvalidHandshake` that says what was wrong with the answer.
        """
        settings = self._settings
        stream = Stream()
        try:
            opened = _within(settings, self._plan(), stream)
            connection = self._make(stream.wire)
            connection.opened(opened)
        except BaseException as exc:
            # Whatever it is, an interrupt too: nobody else knows of the socket.
            stream.abort()
            if self._explains:
                explain(exc, settings.uri)
            raise
        return connection

    def _plan(self) -> Plan[Opened]:
        """Return how to open a connection."""
        return connect_plan(self._settings)

    def _make(self, wire: Any) -> ClientConnection:
        settings, create = self._settings, self._create_connection
        if create is None:
            return ClientConnection(wire, settings)
        limits, keepalive = settings.limits, settings.keepalive
        return create(
            wire,
            settings,
            ping_interval=keepalive.interval,
            ping_timeout=keepalive.timeout,
            close_timeout=settings.timeouts.close,
            max_queue=(limits.queued_messages, limits.queued_messages_low),
        )

    def __enter__(self) -> ClientConnection:
        """Return a new connection, open; leaving the block closes it."""
        if self._connection is not None:
            raise ConcurrencyError(
                "this reconnect() is in use by another 'with'; make one for each"
            )
        self._connection = self.connect()
        return self._connection.__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.__exit__(exc_type, exc, traceback)

    def __iter__(self) -> Iterator[ClientConnection]:
        """Yield a new connection each time the last one has ended.

        The last one is closed when the loop asks for the next. Raises what
        ``process_exception`` calls final, and the last exception when the delays are
        used up.
        """
        retries = retrying.Retries(
            self._process_exception,
            self._reconnect_delays,
            self._settings.logger,
            self._settings.uri.shown,
        )
        while True:
            try:
                connection = self.connect()
            except Exception as exc:
                time.sleep(retries.delay_after(exc))
                continue
            entered = connection.__enter__()
            try:
                yield entered
            finally:
                # An exception in the body of the loop does not come here: leaving
                # the loop by one looks like leaving it by break.
                connection.__exit__(None, None, None)
            time.sleep(retries.delay_after_end(connection._live.exception()))


def _within(settings: ClientSettings, plan: Plan[Opened], stream: Stream) -> Opened:
    """Carry out the opening handshake within its time."""
    timeout = settings.timeouts.open
    if timeout is not None:
        stream.ends_at = time.monotonic() + timeout
    try:
        return run(plan, stream)
    except OutOfTime:
        raise TimeoutError(
            "timed out while waiting for the opening handshake: "
            f"still {stream.doing} after {timeout} seconds"
        ) from None


def connect(uri: str, **kwargs: Any) -> ClientConnection:
    """Return an open connection to the WebSocket server at ``uri``.

    ::

        with connect("ws://localhost:8765") as websocket:
            websocket.send("Hello!")
            print(websocket.recv())

    Leaving the block closes it; without one, call ``close()``. The keywords are those
    of :class:`reconnect`, but for ``process_exception`` and ``reconnect_delays``.
    Raises InvalidURI, ValueError or TypeError for what cannot be used, OSError when the
    server cannot be reached, TimeoutError, or an :exc:`~longwire.InvalidHandshake` that
    says what was wrong with the answer.
    """
    given = kwargs.keys() & {"process_exception", "reconnect_delays"}
    if given:
        raise TypeError(f"connect() does not try again; {min(given)} is reconnect()'s")
    return reconnect(uri, **kwargs).connect()


def unix_connect(
    path: str | os.PathLike[str] | None = None, uri: str | None = None, **kwargs: Any
) -> ClientConnection:
    """Return what :func:`connect` does, to the server at the Unix socket ``path``.

    ``uri`` says what is asked for there; ws://localhost/ if None, wss://localhost/ with
    ``ssl``.
    """
    return connect(_unix_uri(uri, kwargs), unix=True, path=_path(path), **kwargs)


def unix_reconnect(
    path: str | os.PathLike[str] | None = None, uri: str | None = None, **kwargs: Any
) -> reconnect:
    """Return :class:`reconnect` to the server at the Unix socket ``path``."""
    return reconnect(_unix_uri(uri, kwargs), unix=True, path=_path(path), **kwargs)


def _unix_uri(uri: str | None, kwargs: dict[str, Any]) -> str:
    if uri is not None:
        return uri
    return "ws://localhost/" if kwargs.get("ssl") is None else "wss://localhost/"


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _documented() -> frozenset[str]:
    """Return the names of the keywords of :class:`reconnect` itself, for hints."""
    return frozenset(reconnect.__init__.__annotations__) - {"return", "uri", "kwargs"}
