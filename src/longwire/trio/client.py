"""The client for trio: ``connect`` and its connections.

Decides nothing about the handshake, which is the business of
``opening/client_plan.py``; ends each attempt in time, and leaves no socket behind where
one fails or is cancelled.
"""

from __future__ import annotations

import math
import os
import ssl as ssl_module
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, NoReturn, Self

import trio

from ..dialing import Dialed, Dialer, how_to_connect, path_of, unix_uri
from ..errors import ConcurrencyError
from ..hints import explained, no_loop, use_async
from ..http.extensions import ClientExtensionFactory
from ..http.headers import HeadersLike
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
from ..options import Compression, Limits, LoggerLike, Timeouts
from .connection import Connection
from .driver import Stream, run
from .link import SYSTEM, Spawner

__all__ = ["ClientConnection", "connect", "unix_connect"]


class ClientConnection(Connection, Dialed):
    """The client's end of a connection, made by :class:`connect`.

    ``request`` and ``response`` are those of the opening handshake.
    """


class connect(Dialer[ClientConnection]):
    """A way to connect to the WebSocket server at ``uri``.

    ::

        async with connect("ws://localhost:8765") as websocket:
            await websocket.send("Hello!")
            print(await websocket.recv())

    Leaving the block closes the connection. ``async for`` gives a new connection each
    time the last has ended, waiting longer after each failed attempt, and after each
    connection that came to nothing::

        async for websocket in connect("ws://localhost:8765"):
            try:
                async for message in websocket:
                    ...
            except ConnectionClosed:
                continue

    ``await connect(uri).connect(nursery)`` returns a connection whose background tasks
    run in ``nursery``.

    The keywords are those of :class:`longwire.connect`, which explains them;
    ``stream`` is a connected :class:`trio.abc.Stream` to be used instead of a new one.
    Others say how to reach the server: ``host`` and ``port`` (instead of the URI's),
    and those of :func:`trio.open_tcp_stream`.

    Raises InvalidURI, ValueError or TypeError at once for what cannot be used; OSError
    when the server cannot be reached, TimeoutError, or an
    :exc:`~longwire.InvalidHandshake` that says what was wrong with the answer.
    """

    _connection_class = ClientConnection
    _tcp = frozenset({"happy_eyeballs_delay", "host", "local_address", "port"})
    _name, _uses = "connect", "entered or iterated"
    _given = "stream", "ssl", "server_hostname", "proxy_ssl", "proxy_server_hostname"

    @explained(how_to_connect)
    def __init__(
        self,
        uri: str,
        *,
        stream: trio.abc.Stream | None = None,
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
        **kwargs: Any,
    ) -> None:
        given = {**locals()}
        for name in ("self", "uri", "kwargs"):
            del given[name]
        self._set_options(uri, given, kwargs)
        self._connection: ClientConnection | None = None
        self._is_entered = False  # by a block, which may still wait to connect

    def __await__(self) -> NoReturn:
        """Raise TypeError: what belongs to the connection needs a place to run."""
        self._unused = False  # this is what there is to say
        raise TypeError(
            "connect() of longwire.trio is not awaited: write 'async with connect(...) "
            "as websocket', or 'await connect(...).connect(nursery)'"
        )

    def __enter__(self) -> NoReturn:
        """Raise TypeError: connecting takes time."""
        self._unused = False
        raise use_async("connect()", "with connect(...) as websocket")

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    def __iter__(self) -> NoReturn:
        """Raise TypeError: connecting takes time."""
        self._unused = False
        raise use_async("connect()", "for websocket in connect(...)")

    async def connect(self, nursery: Spawner) -> ClientConnection:
        """Return a new connection, open, whose background tasks run in ``nursery``."""
        self._unused = False
        if not trio.lowlevel.in_trio_run():
            raise no_loop("connect()", "trio")
        timeout = self._settings.timeouts.open
        stream = Stream()
        try:
            with trio.move_on_after(math.inf if timeout is None else timeout) as scope:
                opened = await run(self._plan(), stream)
            if scope.cancelled_caught:
                raise self._too_late(stream.doing)
            connection = self._make(nursery, stream.wire)
            connection.opened(opened)
        except BaseException as exc:
            # Whatever it is, a cancellation too: nobody else knows of the socket.
            await stream.abort()
            if self._explains:
                explain(exc, self._settings.uri, stream.doing)
            raise
        return connection

    async def __aenter__(self) -> ClientConnection:
        """Return a new connection, open; leaving the block closes it."""
        if self._is_entered:
            raise ConcurrencyError(
                "this connect() is in use by another 'async with'; make one for each"
            )
        self._is_entered = True
        try:
            self._connection = await self.connect(SYSTEM)
        except BaseException:
            self._is_entered = False
            raise
        return await self._connection.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        self._is_entered = False
        if connection is not None:
            await connection.__aexit__(exc_type, exc, traceback)

    def __aiter__(self) -> AsyncIterator[ClientConnection]:
        """Yield a new connection each time the last one has ended.

        The last one is closed when the loop asks for the next, and where it asks for
        none, when nobody uses the loop any more. Raises what ``process_exception``
        calls final, and the last exception when the delays are used up.
        """
        return _Connections(self)


class _Connections:
    """The connections of a loop; no generator, which ``break`` would leave open."""

    def __init__(self, maker: connect) -> None:
        maker._unused = False
        self._maker = maker
        self._retries = maker._retries()
        self._last: ClientConnection | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ClientConnection:
        last, self._last = self._last, None
        if last is not None:
            # An exception in the body of the loop does not come here: leaving the
            # loop by one looks like leaving it by break.
            await last.__aexit__(None, None, None)
            error = last._live.exception()
            await trio.sleep(self._retries.delay_after_end(error))
        while True:
            try:
                self._last = await self._maker.connect(SYSTEM)
            except Exception as exc:
                await trio.sleep(self._retries.delay_after(exc))
            else:
                return await self._last.__aenter__()

    def __del__(self) -> None:
        if self._last is not None and trio.lowlevel.in_trio_run():
            self._last._start_close(1000, "")


def unix_connect(
    path: str | os.PathLike[str] | None = None, uri: str | None = None, **kwargs: Any
) -> connect:
    """Return what :class:`connect` does, to the server at the Unix socket ``path``.

    ``uri`` says what is asked for there; ws://localhost/ if None, wss://localhost/ with
    ``ssl``.
    """
    return connect(unix_uri(uri, kwargs), unix=True, path=path_of(path), **kwargs)
