"""The asyncio server: ``serve`` and its server object.

Who is let in and how connections are closed is decided in ``hosting.py``; what happens
on one connection is in ``server_connection.py``.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import socket
import warnings
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from functools import partial
from typing import Any, NoReturn, Self, TypeVar, Unpack, cast

from ..budget import LATEST
from ..hints import explained, no_loop, use_async
from ..hosting import PATIENCE, Host, address_of, check_drain, name_of, place_of
from ..http.extensions import ServerExtensionFactory
from ..http.heads import Request, Response
from ..observer import Observer
from ..opening.arguments import check_path, settings_of_server
from ..opening.origins import Origins
from ..opening.server_plan import Health, ServerSettings
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
from ..session.session import check_close
from . import native, transport
from .checking import check_network
from .keywords import ListenOptions
from .listening import Listening, listen
from .network import Tls, take_tls
from .server_connection import ServerConnection
from .usage import check_loop, check_thread

__all__ = ["Server", "ServerConnection", "serve", "unix_serve"]

Handler = Callable[[ServerConnection], Awaitable[None]]
# A handler may be written for the subclass that create_connection makes.
C = TypeVar("C", bound=ServerConnection)
ProcessRequest = Callable[
    [ServerConnection, Request], Awaitable[Response | None] | Response | None
]
ProcessResponse = Callable[
    [ServerConnection, Request, Response],
    Awaitable[Response | None] | Response | None,
]


_ACCEPTED_GRACE = 2.0
"""Seconds in which a connection that was accepted last may still ask."""

# What a task passes on without having failed.
_ENDS_OF_THE_PROGRAM = (KeyboardInterrupt, SystemExit, GeneratorExit)


class Server(Host[ServerConnection]):
    """A WebSocket server, made by :func:`serve`.

    Await it, or enter it with ``async with``, to start listening. Leaving the block
    closes it and waits for its connections. The other methods are those of
    :class:`asyncio.Server`, and ``drain``. ``create_server`` returns the awaitable
    that makes the listening :class:`asyncio.Server`.
    """

    _awaits = "await "
    _connection_class = ServerConnection
    _telling: asyncio.TimerHandle | None = None
    _looking: asyncio.TimerHandle | None = None
    _departing: asyncio.Handle | None = None
    _context: contextvars.Context | None = None
    _unused = False  # what serve() has made: nobody started it yet
    observer: Observer | None = None
    """Told of each handshake and end; :class:`longwire.metrics.Metrics` sets it."""

    def __init__(
        self,
        create_server: Callable[[Server], Coroutine[Any, Any, Listening]],
        handler: Handler,
        logger: LoggerLike | None = None,
        *,
        settings: ServerSettings | None = None,
        create_connection: Callable[..., ServerConnection] | None = None,
        tls: Tls | None = None,
    ) -> None:
        super().__init__(handler, logger, settings, create_connection, tls)
        self._create_server = create_server
        # Where the loop does TLS, this is set to False: see listening.py.
        self._starts_tls = tls is not None
        self._server: Listening | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Lock | None = None
        self._closed: asyncio.Event = asyncio.Event()
        self._stopped: asyncio.Event = asyncio.Event()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if self._unused:
            warn(
                "serve() was never awaited or entered: its server has not listened",
                RuntimeWarning,
                source=self,
            )

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        if self._server is None:
            text = "in a coroutine, await it or enter it by 'async with'"
            return f"<{name}, not started: {text}>"
        sockets = ", ".join(map(name_of, self.sockets)) or "closed"
        return f"<{name}: {sockets}>"

    # --- starting ----------------------------------------------------------------

    def __enter__(self) -> NoReturn:
        """Raise TypeError: starting takes time."""
        raise use_async("serve()", "with serve(...) as server")

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    def __await__(self) -> Generator[Any, None, Self]:
        """Start listening; return the server itself."""
        return self._start().__await__()

    async def __aenter__(self) -> Self:
        """Start listening; return the server itself."""
        return await self._start()

    async def __aexit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        self.close()
        await self.wait_closed()

    async def _start(self) -> Self:
        self._unused = False
        if self._loop is None:
            if asyncio._get_running_loop() is None:
                raise no_loop("serve()")
            self._loop = asyncio.get_running_loop()
        check_loop(self._loop, "server")
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._server is None and not self._closing:
                self._context = contextvars.copy_context()
                self._server = await self._create_server(self)
                if self._closing:  # while its address was looked up
                    self._server.close()
                for sock in self._server.sockets:
                    self.logger.info("server listening on %s", name_of(sock))
        if self._closing:
            raise RuntimeError("the server was closed; make another")
        return self

    @property
    def _listening(self) -> Listening:
        if self._server is None:
            raise _not_started()
        return self._server

    def _check_awaited(self) -> None:
        """Raise the right error where waiting for the end would be for ever."""
        if self._loop is not None:
            check_loop(self._loop, "server")
        elif not self._closing:
            raise _not_started()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop that the server runs on."""
        return self._listening.get_loop()

    def is_serving(self) -> bool:
        """Return whether the server accepts connections."""
        if self._server is None or self._draining:
            return False
        return self._server.is_serving()

    async def start_serving(self) -> None:
        """Begin to accept connections, after ``start_serving=False``."""
        await self._start()
        if not self._listening.is_serving():
            self._context = contextvars.copy_context()
        await self._listening.start_serving()

    async def serve_forever(self) -> None:
        """Accept connections until cancelled, or until the server is closed.

        Either way the server is closed, and its handlers have returned, when this
        ends.
        """
        await self.start_serving()
        try:
            await self._stopped.wait()
        finally:
            self.close()
            await self.wait_closed()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; none before the start and after the end."""
        return () if self._server is None else self._server.sockets

    # --- ending ------------------------------------------------------------------

    def close(
        self, close_connections: bool = True, code: int = 1001, reason: str = ""
    ) -> Awaitable[None]:
        """Stop listening and close the connections with ``code`` and ``reason``.

        Connections in their opening handshake are answered with 503. With
        ``close_connections=False`` open ones are left to end by themselves. Returns
        at once; awaiting the result is awaiting ``wait_closed()``. Handlers that wait
        in ``recv()`` or ``wait_closed()`` learn of it, others should end by
        themselves.
        """
        check_close(code, reason)
        self._parting = (code, reason)
        if self._loop is not None:
            check_thread(self._loop, "server")
        self._stop_listening()
        self._close_all(close_connections, code, reason)
        return _WaitClosed(self)

    async def wait_closed(self) -> None:
        """Wait until the server is closed and all its handlers have returned.

        Raises RuntimeError for a server that was neither started nor closed.
        """
        self._check_awaited()
        await self._closed.wait()

    async def drain(
        self,
        batch: int = 1000,
        interval: float = 1.0,
        timeout: float | None = 30.0,
        code: int = 1001,
        reason: str = "",
        keep_listening: bool = True,
    ) -> None:
        """Close the server and its connections little by little; return when done.

        ``batch`` connections at a time are closed with ``code`` and ``reason``, in a
        random order and with pauses of about ``interval`` seconds, so that they do not
        all come back to the next server at once. Connections of :class:`rpc.Server`
        end when the calls under way have. What is left after ``timeout`` seconds is cut
        off: its handlers are cancelled.

        Until the last connection has ended, every new request is answered with 503,
        that for ``health`` too, so that a load balancer learns of it. With
        ``keep_listening=False`` accepting stops at once, as it should where the next
        server has the same port already; connections accepted before that have two
        seconds for their opening handshakes.
        """
        check_drain(batch, interval, timeout, code, reason)
        self._check_awaited()
        if not keep_listening and self._server is not None:
            await self._finish_accepted(self._server)
        self._parting = (code, reason)
        self._draining = True
        if not keep_listening:
            self._stop_listening()
        try:
            async with asyncio.timeout(timeout):
                for pause in self._close_in_batches(batch, interval, code, reason):
                    await asyncio.sleep(pause)
                while tasks := [self._runs[ws] for ws in self._open]:
                    await asyncio.wait(tasks)
                # Who has sent no request by now gets no more time for it.
                await self.close(code=code, reason=reason)
        except TimeoutError:
            self._stop_listening()
            self._cut_off_rest(timeout)
            for task in list(self._runs.values()):
                if task is not None:  # None until its client has said something
                    task.cancel()
            await self.wait_closed()

    async def _finish_accepted(self, listening: Listening) -> None:
        """Accept no more, and give those who were accepted time to ask.

        The next server never hears of them, so a 503 would be for nothing.
        """
        listening.pause()
        loop = asyncio.get_running_loop()
        end = loop.time() + _ACCEPTED_GRACE
        while loop.time() < end and not self._closing:
            if not (
                listening.is_making or self._departed or self._runs.keys() - self._open
            ):
                break
            await asyncio.sleep(0.02)

    def _stop_listening(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._unused = False
        if self._server is not None:
            self.logger.info("server closing")
            self._server.close()
        self._departed.drop_all()
        self._stopped.set()
        if self._runs and self._loop is not None:
            self._telling = self._loop.call_later(PATIENCE, self._tell_of_stuck)
        self._check_closed()

    def _check_closed(self) -> None:
        if self._closing and not self._runs and not self._closed.is_set():
            self._closed.set()
            if self._looking is not None:
                self._looking.cancel()
                self._looking = None
            if self._telling is not None:
                self._telling.cancel()
            self.logger.info("server closed")

    # --- connections -------------------------------------------------------------

    def make_wire(self) -> transport.Wire:
        """Return the protocol of one more connection; for ``create_server``."""
        ws = self._make_connection()
        # Not by _take(): asyncio makes the connection.
        ws.wire = wire = transport.Wire(ws)
        return wire

    def _take(self, fd: int, peername: Any) -> None:
        """Take in a connection that the reactor has accepted."""
        if self._is_crowded(address_of(peername)):
            os.close(fd)
            return
        try:
            ws = self._make_connection()
        except BaseException:
            os.close(fd)
            raise
        self._attach(ws, fd, peername)

    def _begin_with_departed(self) -> None:
        if self._departing is None and self._departed:
            # One in each turn of the loop, in which many are accepted.
            self._departing = self._own_loop().call_soon(self._begin_with_one)

    def _begin_with_one(self) -> None:
        self._departing = None
        try:
            self._departed.begin_one()
        finally:
            self._begin_with_departed()

    def _attach(self, ws: ServerConnection, fd: int, peername: Any) -> None:
        """Make the wire of an accepted connection, and begin."""
        try:
            ws.wire = native.Wire(ws, self._own_loop(), fd, peername)
        except BaseException:
            os.close(fd)
            raise
        try:
            ws.wire_made()
        except BaseException:
            ws.wire.abort()  # nobody else is going to
            raise

    def _keywords_of_connections(self) -> dict[str, Any]:
        limits = self._settings.limits
        return {
            **super()._keywords_of_connections(),
            "write_limit": (limits.output_bytes, limits.output_bytes_low),
        }

    def _exhausted(self, exc: OSError) -> None:
        self.logger.error("server cannot accept connections for a while: %s", exc)

    def _begin_to_serve(self, ws: ServerConnection) -> None:
        """Start serving a connection that was just accepted, or cut it off."""
        assert ws.wire is not None
        if not self._admit(ws, None):
            ws.wire.abort()
            return
        try:
            if self._starts_tls:
                # The first bytes are for TLS, which starts in a moment.
                ws.transport.pause_reading()
            elif ws._wait_for_request():
                return
        except BaseException:
            self._give_up(ws)
            raise
        self._serve_connection(ws)

    def _serve_connection(self, ws: ServerConnection) -> None:
        """Start the one task of a connection."""
        assert ws.wire is not None
        serving = ws._serve()
        create: Callable[..., asyncio.Task[None]] = ws.wire.loop.create_task
        if self._context is not None:
            # As with asyncio's servers, handlers see the variables of whoever began to
            # listen: not those of what happens to be at work when the first bytes come.
            create = partial(self._context.copy().run, create)
        try:
            task = create(serving)
        except BaseException:
            serving.close()
            self._give_up(ws)
            raise
        self._runs[ws] = task
        task.add_done_callback(ws._task_ended)

    def _give_up(self, ws: ServerConnection) -> None:
        """Forget a connection that could not get its task: nobody else would end it."""
        assert ws.wire is not None
        ws.wire.abort()
        ws.failed_to_open()
        if ws in self._runs:
            self._has_ended(ws)
        self._check_closed()

    _cuts_off = "; under asyncio.run(), a second Ctrl-C cuts them off"

    def _where_it_waits(self, ws: ServerConnection, run: asyncio.Task[None]) -> str:
        return place_of(run.get_coro())

    def _has_reached(self, limit: str) -> None:
        if self.observer is not None:
            self.observer.limited(limit)

    def _task_of(self, ws: ServerConnection) -> asyncio.Task[None] | None:
        return self._runs.get(ws)

    def _has_opened(self, ws: ServerConnection) -> None:
        if self.observer is not None:
            self.observer.opened(ws, ws._seconds())
        if self._looking is None and self._watch is not None:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(LATEST, self._look)
        super()._has_opened(ws)

    def _look(self) -> None:
        """Look at the memory of all connections, now and again.

        The timer stays when the last connection ends: where connections come and go one
        by one, each would leave a cancelled timer in the heap of the loop.
        """
        self._looking = None
        if not self._open:
            return
        pause = LATEST
        try:
            pause = self._look_at_memory()
        finally:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(pause, self._look)

    def _now(self) -> float:
        return self._own_loop().time()

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        # To ask which loop is running costs a system call in Python 3.11.
        return self._loop or asyncio.get_running_loop()

    def _release(self, ws: ServerConnection, task: asyncio.Task[None]) -> None:
        """A connection's task has ended."""
        self._has_ended(ws)
        exc = None if task.cancelled() else task.exception()
        if exc is not None and not isinstance(exc, _ENDS_OF_THE_PROGRAM):
            ws.logger.error("connection task failed", exc_info=exc)
        self._check_closed()


class _WaitClosed:
    """What ``Server.close()`` returns: may be awaited, need not be."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __await__(self) -> Generator[Any, None, None]:
        return self._server.wait_closed().__await__()


def _not_started() -> RuntimeError:
    return RuntimeError("the server was not started: await it, or enter it")


# --- serve -----------------------------------------------------------------------


@explained("serve(handler, 'localhost', 8765)")
def serve(
    handler: Callable[[C], Awaitable[None]],
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    origins: Origins | None = None,
    extensions: Iterable[ServerExtensionFactory] | None = None,
    subprotocols: Sequence[str] | None = None,
    select_subprotocol: Callable[[ServerConnection, Sequence[str]], str | None]
    | None = None,
    compression: str | Compression | None = "deflate",
    process_request: ProcessRequest | None = None,
    process_response: ProcessResponse | None = None,
    server_header: str | None = PRODUCT,
    open_timeout: float | None = OPEN_TIMEOUT,
    ping_interval: float | None = KEEPALIVE.interval,
    ping_timeout: float | None = KEEPALIVE.timeout,
    close_timeout: float | None = CLOSE_TIMEOUT,
    max_size: int | tuple[int | None, int | None] | None = MAX_SIZE,
    max_queue: int | tuple[int | None, int | None] | None = MAX_QUEUE,
    write_limit: int | tuple[int, int | None] = WRITE_LIMIT,
    logger: LoggerLike | str | None = None,
    create_connection: Callable[..., C] | None = None,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    health: str | Mapping[str, Health] | None = None,
    **kwargs: Unpack[ListenOptions],
) -> Server:
    """Return a WebSocket server for ``host`` and ``port``, not started yet.

    ::

        async def echo(websocket):
            async for message in websocket:
                await websocket.send(message)

        async with serve(echo, "localhost", 8765) as server:
            await server.serve_forever()

    ``server = await serve(...)`` starts it too. ``handler`` is called with each
    connection whose opening handshake succeeded; when it returns, the connection is
    closed with 1000; when it raises, with 1011 and a traceback in the log; when its
    task is cancelled, with 1001.

    Who is let in:

    * ``origins``: a list of acceptable ``Origin`` headers, as strings or compiled
      patterns, None among them if the header may be missing; or ``"same"``, for the
      host of the request itself. Protects against other sites' pages.
    * ``process_request(connection, request)``: may return a response to refuse with;
      see ``connection.respond()`` and :func:`basic_auth`.
    * ``process_response(connection, request, response)``: may change the response, or
      return another. Both may be functions or coroutines. When the client goes away
      meanwhile, ``connection.wait_closed()`` returns, and what still waits a second
      later is cancelled; it is cancelled at once when the server closes.
    * ``health``: a path such as ``"/healthz"`` that is answered with 200, with 503
      while the server is closing or full, and not logged. Or a mapping of paths to
      functions without arguments: one that returns a text is answered with 503, too,
      and the text; None in place of a function is always answered with 200.
    * ``open_timeout``: seconds for the whole opening handshake, TLS included.

    What is agreed on: ``subprotocols`` in order of preference, or
    ``select_subprotocol(connection, offered)``; ``compression``, the name of a profile
    (``"deflate"``, ``"fast"``, ``"lean"``, ``"ratio"``), a :class:`Compression` or
    None; ``extensions``; ``server_header``.

    How connections behave: ``ping_interval`` and ``ping_timeout`` in seconds, None for
    no keepalive; ``close_timeout``; ``max_size`` of a message in bytes, or of
    (message, fragment); ``max_queue``, frames received and not read yet at which
    reading pauses, or (high, low); ``write_limit``, bytes not sent yet at which
    ``send()`` waits, or (high, low); ``limits`` for all other :class:`Limits`,
    ``timeouts`` for all other :class:`Timeouts`.

    ``logger`` is a logger or its name. ``create_connection`` is a subclass of
    :class:`ServerConnection` or a factory. All other keywords go to
    :meth:`asyncio.loop.create_server`: ``ssl``, ``sock``, ``reuse_port``,
    ``start_serving``, … Mistakes raise TypeError or ValueError here.
    """
    settings = settings_of_server({**locals()}, pages="make_server" not in kwargs)
    options = cast(dict[str, Any], kwargs)  # ours for other front doors among them
    unix = options.pop("unix", False)
    # For longwire.websockets, whose servers have names of former editions too.
    make_server: Callable[..., Server] = options.pop("make_server", Server)
    check_network(unix, options, _own_keywords())
    tls = take_tls(options)
    if not unix:
        options.update(host=host, port=port)

    start = options.pop("start_serving", True)

    async def create(server: Server) -> Listening:
        return await listen(server, unix, options, start)

    server = make_server(
        create,
        cast(Handler, handler),
        settings.logger,
        settings=settings,
        create_connection=create_connection,
        tls=tls,
    )
    server._unused = True
    return server


def _own_keywords() -> Mapping[str, Any]:
    """Return the parameters of :func:`serve`, by name."""
    return inspect.signature(serve).parameters


def unix_serve(
    handler: Callable[[C], Awaitable[None]],
    path: str | os.PathLike[str] | None = None,
    **kwargs: Any,
) -> Server:
    """Return a server as :func:`serve` does, on the Unix socket at ``path``.

    A socket left at ``path`` by an earlier process is replaced, as by
    :meth:`asyncio.loop.create_unix_server`, to which further keywords go.
    """
    check_path(path, kwargs)
    check_network(True, kwargs, _own_keywords())
    options: dict[str, Any] = {"unix": True, "path": path, **kwargs}
    return serve(handler, **options)
