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

from ..dialing import Dialed, Dialer, how_to_connect, path_of, unix_uri
from ..errors import ConcurrencyError
from ..hints import Blocking, explained
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
from ..opening.steps import Opened
from ..options import Compression, Limits, LoggerLike, Timeouts
from .connection import Connection
from .driver import OutOfTime, Stream, run

__all__ = [
    "ClientConnection",
    "connect",
    "reconnect",
    "unix_connect",
    "unix_reconnect",
]


class ClientConnection(Connection, Dialed):
    """The client's end of a connection, made by :func:`connect`.

    ``request`` and ``response`` are those of the opening handshake.
    """


class reconnect(Blocking, Dialer[ClientConnection]):
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

    _connection_class = ClientConnection
    _tcp = frozenset({*("all_errors", "family", "host", "port", "source_address")})
    _name, _uses = "reconnect", "entered or iterated"
    _given = "sock", "ssl", "server_hostname", "proxy_ssl", "proxy_server_hostname"

    @explained(how_to_connect)
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

    _plain = "for websocket in reconnect(...)"

    def _is_for_threads(self) -> TypeError:
        self._unused = False  # this is what there is to say
        return super()._is_for_threads()

    def connect(self) -> ClientConnection:
        """Return a new connection, open.

        Raises OSError when the server cannot be reached, TimeoutError, or an
        :exc:`~longwire.InvalidHandshake` that says what was wrong with the answer.
        """
        self._unused = False
        stream = Stream()
        try:
            opened = self._open(stream)
            connection = self._make(stream.wire)
            connection.opened(opened)
        except BaseException as exc:
            # Whatever it is, an interrupt too: nobody else knows of the socket.
            stream.abort()
            if self._explains:
                explain(exc, self._settings.uri, stream.doing)
            raise
        return connection

    def _open(self, stream: Stream) -> Opened:
        """Carry out the opening handshake within its time."""
        timeout = self._settings.timeouts.open
        if timeout is not None:
            stream.ends_at = time.monotonic() + timeout
        try:
            return run(self._plan(), stream)
        except OutOfTime:
            raise self._too_late(stream.doing) from None

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
        retries = self._retries()
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


@explained(how_to_connect)
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
    return connect(unix_uri(uri, kwargs), unix=True, path=path_of(path), **kwargs)


def unix_reconnect(
    path: str | os.PathLike[str] | None = None, uri: str | None = None, **kwargs: Any
) -> reconnect:
    """Return :class:`reconnect` to the server at the Unix socket ``path``."""
    return reconnect(unix_uri(uri, kwargs), unix=True, path=path_of(path), **kwargs)
