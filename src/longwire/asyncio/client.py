"""The asyncio client: ``connect``, ``unix_connect`` and their connections.

Decides nothing about the handshake, which is the business of
``opening/client_plan.py``; ends each attempt in time, and leaves no socket behind where
one fails or is cancelled.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Sequence,
)
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Unpack, cast

from ..dialing import Dialed, Dialer, how_to_connect, path_of, unix_uri
from ..errors import (
    ConcurrencyError,
    InvalidHandshake,
    InvalidStatus,
    LimitExceeded,
)
from ..hints import explained, no_loop, not_awaited, use_async
from ..http.extensions import ClientExtensionFactory
from ..http.headers import HeadersLike
from ..observer import Observer
from ..opening import client_plan as connecting
from ..opening import retry as retrying
from ..opening.refusals import explain
from ..opening.settings import (
    CLOSE_TIMEOUT,
    KEEPALIVE,
    MAX_QUEUE,
    MAX_SIZE,
    OPEN_TIMEOUT,
    PRODUCT,
    WRITE_LIMIT,
)
from ..opening.steps import Opened, Plan
from ..options import Compression, Limits, LoggerLike, Timeouts
from .connection import Connection
from .driver import Stream, run
from .keywords import ReachOptions
from .native import adopt
from .transport import Wire

__all__ = ["ClientConnection", "connect", "unix_connect"]

# Keywords for reaching the server: ours, and the loop's own.
_UNIX = frozenset(
    {
        "path",
        "server_hostname",
        "sock",
        "ssl",
        "ssl_handshake_timeout",
        "ssl_shutdown_timeout",
        "unix",
    }
)
_TCP = frozenset(
    {
        "family",
        "flags",
        "happy_eyeballs_delay",
        "host",
        "interleave",
        "local_addr",
        "port",
        "proto",
        "proxy_server_hostname",
        "proxy_ssl",
        "server_hostname",
        "sock",
        "ssl",
        "ssl_handshake_timeout",
        "ssl_shutdown_timeout",
        *(["all_errors"] if sys.version_info >= (3, 12) else []),
    }
)


class ClientConnection(Connection, Dialed):
    """The client's end of a connection, made by :class:`connect`.

    ``request`` and ``response`` are those of the opening handshake.
    """

    _observer: Observer | None = None

    def _log_end(self) -> None:
        super()._log_end()
        if self._observer is not None and self.close_report is not None:
            self._observer.ended(self, self.close_report)


_OF_CONNECTIONS = frozenset(
    name for name in dir(ClientConnection) if not name.startswith("_")
)


class connect(Dialer[ClientConnection]):
    """A connection to the WebSocket server at ``uri``, or a way to keep one.

    ``await connect(uri)`` gives a :class:`ClientConnection`; ``async with`` also closes
    it; ``async for`` gives a new one each time the last has ended, waiting longer after
    each failed attempt, and after each connection that came to nothing. Nothing happens
    before that, and no running loop is needed to make the object.

    ``origin``, ``subprotocols``, ``additional_headers`` and ``user_agent_header`` go
    into the request; ``compression`` is the name of a profile, a
    :class:`~longwire.Compression` or None; ``extensions`` are factories of others.
    ``proxy`` is True for what the environment says, a URL, or None. ``limits`` and
    ``timeouts`` set what can be set below and more; a keyword wins over them.

    Times are in seconds, None is for ever: ``open_timeout`` bounds a whole attempt:
    name resolution, proxies, TLS and redirects; ``ping_interval``, ``ping_timeout`` and
    ``close_timeout`` are those of the connection. ``max_size`` is the largest message
    in bytes, or (message, fragment); ``max_queue`` the number of frames at which
    reading pauses, or (high, low); ``write_limit`` the number of unsent bytes at which
    ``send()`` waits, or (high, low).

    ``process_exception`` decides whether ``async for`` goes on after an exception, by
    returning None, or the exception to raise; ``reconnect_delays`` returns an iterable
    of the seconds to wait each time. ``logger`` is a logger or its name.
    ``create_connection`` is called in place of :class:`ClientConnection`.

    Other keywords say how to reach the server: ``ssl``, ``server_hostname``, ``sock``,
    ``host`` and ``port`` (instead of the URI's), ``proxy_ssl``,
    ``proxy_server_hostname``, and those of the loop's ``create_connection()``.

    Raises InvalidURI, ValueError or TypeError at once for what cannot be used. An
    attempt raises OSError when the server cannot be reached, TimeoutError, or an
    :exc:`~longwire.InvalidHandshake` that says what was wrong with the answer.
    """

    _name, _uses = "connect", "awaited, entered or iterated"
    _entered = False
    observer: Observer | None = None
    """Told of each handshake and end; :class:`longwire.metrics.Metrics` sets it."""
    _connection_class = ClientConnection
    _tcp = _TCP
    _unix = _UNIX

    @explained(how_to_connect)
    def __init__(
        self,
        uri: str,
        *,
        origin: str | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        compression: str | Compression | None = "deflate",
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = PRODUCT,
        proxy: str | bool | None = True,
        process_exception: Callable[
            [Exception], Exception | None
        ] = retrying.process_exception,
        open_timeout: float | None = OPEN_TIMEOUT,
        ping_interval: float | None = KEEPALIVE.interval,
        ping_timeout: float | None = KEEPALIVE.timeout,
        close_timeout: float | None = CLOSE_TIMEOUT,
        reconnect_delays: Callable[[], Iterable[float]] = retrying.backoff,
        max_size: int | tuple[int | None, int | None] | None = MAX_SIZE,
        max_queue: int | tuple[int | None, int | None] | None = MAX_QUEUE,
        write_limit: int | tuple[int, int | None] = WRITE_LIMIT,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        logger: LoggerLike | str | None = None,
        create_connection: Callable[..., ClientConnection] | None = None,
        **kwargs: Unpack[ReachOptions],
    ) -> None:
        given = {**locals()}
        for name in ("self", "uri", "kwargs"):
            del given[name]
        # Those of unix_connect() among them.
        self._set_options(uri, given, cast(dict[str, Any], kwargs))
        self._keywords: dict[str, Any] = {
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": self._settings.timeouts.close,
            "max_queue": max_queue,
            "write_limit": write_limit,
        }

    def __enter__(self) -> NoReturn:
        """Raise TypeError: connecting takes time."""
        raise use_async("connect()", "with connect(...) as websocket")

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    def __iter__(self) -> Any:
        """Raise TypeError: connecting takes time."""
        raise use_async("connect()", "for websocket in connect(...)")

    def __repr__(self) -> str:
        # What asyncio.run() and others show of it: it is no coroutine itself.
        settings = self.__dict__.get("_settings")
        where = "" if settings is None else f" to {settings.uri.shown}"
        return f"<connect{where}: in a coroutine, await it or enter it by 'async with'>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise not_awaited(self, name, "connect", _OF_CONNECTIONS)

    def connect(self) -> Coroutine[Any, Any, ClientConnection]:
        """Return a new connection, open; what ``await connect(...)`` does."""
        # Not when it begins: a task may be cancelled before it does.
        self._unused = False
        return self._connect()

    async def _connect(self) -> ClientConnection:
        if asyncio._get_running_loop() is None:
            raise no_loop("connect()")
        settings, observer = self._settings, self.observer
        connection = self._create_connection(settings, **self._keywords)
        stream = self._stream(connection)
        begun = time.monotonic()
        try:
            opened = await _within(self, self._plan(connection, stream), stream)
            assert stream.wire is not None
            connection.wire = stream.wire = adopt(stream.wire, connection)
            if observer is not None:
                connection._observer = observer
            connection.opened(opened)
        except BaseException as exc:
            if observer is not None:
                how, status = _how_it_failed(exc)
                observer.refused(connection, time.monotonic() - begun, how, status)
            # Whatever it is, a cancellation too: nobody else knows of the socket.
            stream.abort()
            if self._explains:
                explain(exc, settings.uri, stream.doing)
            raise
        if observer is not None:
            observer.opened(connection, time.monotonic() - begun)
        return connection

    def _stream(self, connection: ClientConnection) -> Stream:
        """Return what the plan's steps happen on; longwire.testing has its own."""
        return Stream(make_wire=lambda: Wire(connection))

    def _plan(self, connection: ClientConnection, stream: Stream) -> Plan[Opened]:
        """Return how to open ``connection``; longwire.websockets asks its methods."""
        # A connection may have been made to ask for something else.
        return connecting.connect_plan(connection.protocol)

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        """Return a new connection, open."""
        return self.connect().__await__()

    async def __aenter__(self) -> ClientConnection:
        """Return a new connection, open; leaving the block closes it.

        Raises ConcurrencyError while another block has this same object.

        With 1000; with 1001 when its task is cancelled or the program interrupted; with
        1011 when another exception leaves it.
        """
        if self._entered:
            raise ConcurrencyError(
                "this connect() is in use by another 'async with'; make one for each"
            )
        self._entered = True
        try:
            self.connection = await self.connect()
            return await self.connection.__aenter__()
        except BaseException:
            self._entered = False
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        try:
            await self.connection.__aexit__(exc_type, exc, traceback)
        finally:
            self._entered = False

    async def __aiter__(self) -> AsyncIterator[ClientConnection]:
        """Yield a new connection each time the last one has ended.

        The last one is closed when the loop asks for the next. The delays begin anew
        after a connection that brought a message or lasted longer than the last delay;
        one that did not, or that the server closed with 1013, counts as a failed
        attempt. Raises what ``process_exception`` calls final, and the last exception
        when the delays are used up.
        """
        retries = self._retries()
        while True:
            try:
                connection = await self.connect()
            except Exception as exc:
                delay = retries.delay_after(exc)
                await asyncio.sleep(delay)
                continue
            entered = await connection.__aenter__()
            try:
                yield entered
            finally:
                # An exception in the body of the loop does not come here: leaving
                # the loop by one looks like leaving it by break.
                await connection.__aexit__(None, None, None)
            await asyncio.sleep(retries.delay_after_end(connection._live.exception()))


def _how_it_failed(exc: BaseException) -> tuple[str, int]:
    """Return in one word how an attempt failed, and the status of an answer."""
    if isinstance(exc, InvalidStatus):
        return "status", exc.response.status_code
    if isinstance(exc, TimeoutError):
        return "timeout", 0
    if isinstance(exc, (InvalidHandshake, LimitExceeded)):
        return "invalid", 0
    return ("network" if isinstance(exc, (OSError, EOFError)) else "error"), 0


async def _within(maker: connect, plan: Plan[Opened], stream: Stream) -> Opened:
    """Carry out the opening handshake within its time."""
    scope = asyncio.timeout(maker._settings.timeouts.open)
    try:
        async with scope:
            stream.ends_at = scope.when()
            return await run(plan, stream)
    except TimeoutError as exc:
        if not scope.expired():
            raise  # the network's own: ETIMEDOUT is a TimeoutError too
        raise maker._too_late(stream.doing) from exc


def unix_connect(
    path: str | os.PathLike[str] | None = None,
    uri: str | None = None,
    **kwargs: Any,
) -> connect:
    """Return :class:`connect` to the server at the Unix socket ``path``.

    ``uri`` says what is asked for there; ws://localhost/ if None, wss://localhost/ with
    ``ssl``. The other keywords are those of :class:`connect`.
    """
    options: dict[str, Any] = {"unix": True, "path": path_of(path), **kwargs}
    return connect(unix_uri(uri, kwargs), **options)


def documented_keywords() -> frozenset[str]:
    """Return the names of the keywords of :class:`connect` itself, for hints."""
    return frozenset(connect.__init__.__annotations__) - {"return", "uri", "kwargs"}
