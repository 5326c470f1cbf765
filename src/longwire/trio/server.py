"""The server for trio: ``serve``, its server object and its connections.

Accepts in a nursery, in which one task for each connection does its opening handshake,
runs the handler and closes. What is decided is decided elsewhere: ``hosting.py`` and
what it names.
"""

from __future__ import annotations

import math
import os
import ssl as ssl_module
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import trio
from trio.lowlevel import (
    ParkingLot,
    TrioToken,
    current_task,
    current_trio_token,
    in_trio_task,
)

from ..admission import ACCEPT_PAUSE, BACKLOG, EXHAUSTED
from ..budget import LATEST
from ..departed import has_hung_up
from ..hints import explained, no_loop
from ..hosting import (
    LINGER,
    LINGER_READS,
    PATIENCE,
    Host,
    Hosted,
    check_drain,
    listen_unix,
    name_of,
    place_of,
)
from ..http.extensions import ServerExtensionFactory
from ..link import with_keywords
from ..opening.arguments import check_path, settings_of_server
from ..opening.origins import Origins
from ..opening.server_plan import CLOSING, Health, Refused, ServerSettings
from ..opening.settings import (
    CLOSE_TIMEOUT,
    KEEPALIVE,
    MAX_QUEUE,
    MAX_SIZE,
    OPEN_TIMEOUT,
    PRODUCT,
    WRITE_LIMIT,
)
from ..opening.steps import Opened, StartTls
from ..options import Compression, Limits, LoggerLike, Timeouts
from ..session.leaving import Outcome, outcome_of
from ..session.session import check_close
from .connection import Connection, is_from_outside, what_stops
from .driver import Stream, run
from .link import Spawner, check_run
from .wire import Wire, adopt

__all__ = ["Server", "ServerConnection", "serve", "unix_serve"]

Handler = Callable[..., Any]

_ACCEPTS = 16  # connections accepted until one is served that had hung up
_CALL = "serve(handler, {port}, host={host!r})"


def _how_to_serve(args: tuple[Any, ...]) -> str:
    """Return how ``serve`` is called, for who gave it ``args`` by position."""
    host = next((each for each in args[1:] if isinstance(each, str)), "localhost")
    port = next((each for each in args[1:] if isinstance(each, int)), 8765)
    return _CALL.format(host=host, port=port)


class ServerConnection(Connection, Hosted):
    """A client's connection, as handlers get it.

    ``server`` is the :class:`Server` it belongs to, ``username`` is set by
    :func:`basic_auth`; ``request`` and ``response`` are those of the opening handshake.
    """

    _opening: trio.CancelScope | None = None
    _runner: Any = None  # the task of the handler

    @with_keywords
    def __init__(
        self,
        nursery: Spawner,
        stream: trio.abc.Stream | Wire,
        protocol: ServerSettings,
        server: Server,
        **keywords: Any,
    ) -> None:
        super().__init__(nursery, stream, protocol, **keywords)
        self._join(server)

    # --- the connection's task ---------------------------------------------------

    async def _run(self, scope: trio.CancelScope) -> None:
        """Open, handle, close; raises nothing but what ends tasks."""
        self._runner = current_task()
        try:
            with scope:
                opened = await self._open()
                if opened is not None:
                    self.opened(opened)
                    self.server._has_opened(self)
                    await self._handle()
        except Exception:
            self.logger.exception("connection task failed")
        finally:
            if self._session is None:
                self.failed_to_open()
                await self.wire.aclose()
            elif not self._live.is_gone:
                self._abort("its task has ended")
            self.server._has_ended(self)

    async def _handle(self) -> None:
        """Run the handler, and close for how it ended."""
        exc: BaseException | None = None
        try:
            await self.server.handler(self)
        except BaseException as raised:
            exc = raised
        try:
            outcome = outcome_of(exc, self._live, from_outside=self._is_stopped(exc))
            if outcome is Outcome.RETURNED and self._live.can_send:
                self.server._warn_if_one_shot(self)
            self._log_outcome(outcome, exc)
            await self._leave_block(outcome, exc)
            # Anything else would end the nursery, and so all other connections.
            stop = exc if outcome is Outcome.STOPPED else what_stops(exc)
            if stop is not None:
                raise stop
        finally:
            exc = stop = None

    def _is_stopped(self, exc: BaseException | None) -> bool:
        """Return whether the handler was cancelled, or its coroutine closed."""
        runs = in_trio_task() and current_task() is self._runner
        return is_from_outside(exc, runs=runs)

    # --- opening -----------------------------------------------------------------

    async def _open(self) -> Opened | None:
        """Return what the opening handshake agreed on, None if it was refused."""
        tls, wire = self.server._tls, self.wire
        acceptor = self._make_acceptor()
        outcome: Opened | Refused
        ends_at = self._ends_at()
        stream = Stream(wire)
        with trio.CancelScope(
            deadline=math.inf if ends_at is None else ends_at
        ) as self._opening:
            try:
                if tls is not None:
                    await stream.start_tls(StartTls(tls, None), server_side=True)
                outcome = await run(acceptor.plan(), stream)
            except OSError as exc:  # that of TLS too
                outcome = Refused(None, exc)
        if self._opening.cancelled_caught:
            outcome, answer = acceptor.interrupted(self._interrupted)
            if wire.is_tls or tls is None:
                wire.write(answer)
        self._opening = None
        if isinstance(outcome, Opened):
            return outcome
        self._log_refusal(outcome)
        if outcome.response is not None:
            await self._linger()
        return None

    def _interrupt(self, why: str = CLOSING) -> None:
        self._interrupted = why
        if self._opening is not None:
            self._opening.cancel()

    async def _linger(self) -> None:
        """Close so that the peer gets to see the answer.

        Closing a socket with unread data resets it, and the peer may lose what we
        sent (RFC 9112 section 9.6): so send the end, and read on for a moment.
        """
        wire = self.wire
        with trio.move_on_after(LINGER):
            try:
                await wire.drain()
                wire.half_close()
                await wire.drain()
                for _ in range(LINGER_READS):
                    await wire.receive()
                    wire.take()
                    if wire.ended:
                        break
            except OSError:
                pass  # gone, or still talking: it had its answer


class Server(Host[ServerConnection]):
    """A WebSocket server that listens, made by :func:`serve`.

    ``serve_forever()`` accepts connections until ``aclose()`` has ended, or it is
    cancelled; leaving an ``async with`` block of the server closes it too.
    """

    _awaits = "await "
    _close_name = "aclose"
    _now: Callable[[], float] = staticmethod(trio.current_time)
    _connection_class = ServerConnection
    _nursery: trio.Nursery
    _watching: trio.CancelScope | None = None
    _departing = False
    _home: TrioToken | None = None  # the run that it serves in

    def __init__(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        handler: Handler,
        logger: LoggerLike | None = None,
        *,
        settings: ServerSettings | None = None,
        create_connection: Callable[..., ServerConnection] | None = None,
        tls: ssl_module.SSLContext | None = None,
    ) -> None:
        super().__init__(handler, logger, settings, create_connection, tls)
        self.listeners = list(listeners)
        self._ended = ParkingLot()
        for listener in self.listeners:
            sock = getattr(listener, "socket", None)
            where = listener if sock is None else name_of(sock)
            self.logger.info("server listening on %s", where)

    async def __aenter__(self) -> Self:
        """Return the server; leaving the block closes it."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    # --- accepting ---------------------------------------------------------------

    async def serve_forever(
        self, task_status: trio.TaskStatus[Self] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept connections until the server is closed and its handlers are done."""
        self._home = current_trio_token()
        try:
            async with trio.open_nursery() as self._nursery:
                for listener in self.listeners:
                    self._nursery.start_soon(self._accept_from, listener)
                task_status.started(self)
        finally:
            await self._stop_listening()
        self.logger.info("server closed")

    async def _accept_from(self, listener: trio.abc.Listener[Any]) -> None:
        while not self._closing:
            try:
                await self._begin(await listener.accept())
            except trio.ClosedResourceError:
                break
            except OSError as exc:
                if exc.errno in EXHAUSTED:
                    text = "server cannot accept connections for a while: %s"
                    self.logger.error(text, exc)
                    await trio.sleep(ACCEPT_PAUSE)
                # Else: an error of the network's, or a client that has gone.

    async def _begin(self, stream: trio.abc.Stream) -> None:
        """Serve a connection that was just accepted, or have it served later."""
        if not isinstance(stream, trio.SocketStream) or not has_hung_up(stream.socket):
            await self._take(stream)
            return
        sock = stream.socket
        try:
            peername = sock.getpeername()
        except OSError:
            sock.close()  # gone already
            return
        begin = partial(self._nursery.start_soon, self._take, stream)
        self._serve_last(peername, sock.close, begin)

    def _begin_with_departed(self) -> None:
        if not self._departing:
            self._departing = True
            self._nursery.start_soon(self._serve_departed)

    async def _serve_departed(self) -> None:
        while self._departed:
            # Each is a turn in which one connection may be accepted.
            for _ in range(_ACCEPTS):
                await trio.lowlevel.checkpoint()
            self._departed.begin_one()
        self._departing = False

    async def _take(self, stream: trio.abc.Stream) -> None:
        """Start serving a connection that was just accepted, or cut it off."""
        wire = adopt(stream)
        try:
            ws = self._make_connection(self._nursery, wire)
        except Exception as exc:
            await wire.aclose()
            self._log_failure(exc)
            return
        scope = trio.CancelScope()
        if self._admit(ws, scope):
            self._nursery.start_soon(ws._run, scope)
        else:
            ws.failed_to_open()
            await wire.aclose()

    def _has_opened(self, ws: ServerConnection) -> None:
        super()._has_opened(ws)
        if self._watching is None and self._watch is not None:
            self._watching = trio.CancelScope()
            self._nursery.start_soon(self._watch_memory, self._watching)

    def _has_ended(self, ws: ServerConnection) -> None:
        super()._has_ended(ws)
        self._ended.unpark_all()
        if not self._open and self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _watch_memory(self, scope: trio.CancelScope) -> None:
        pause = LATEST
        with scope:
            while True:
                await trio.sleep(pause)
                pause = self._look_at_memory()

    # --- ending ------------------------------------------------------------------

    async def aclose(
        self, close_connections: bool = True, code: int = 1001, reason: str = ""
    ) -> None:
        """Stop listening, close the connections, and wait for their handlers.

        Connections in their opening handshake are answered with 503, open ones closed
        with ``code`` and ``reason``. With ``close_connections=False`` these are left to
        end by themselves. Cancelled, it cuts off what is left.
        """
        check_close(code, reason)
        self._parting = (code, reason)
        check_run(self._home, "server")
        await self._stop_listening()
        self._close_all(close_connections, code, reason)
        await self._wait_for_handlers()

    async def _stop_listening(self) -> None:
        if not self._closing:
            self._closing = True
            self.logger.info("server closing")
            self._departed.drop_all()
            with trio.CancelScope(shield=True):
                for listener in self.listeners:
                    await trio.aclose_forcefully(listener)

    async def _wait_for_handlers(self) -> None:
        me = current_task()

        async def wait() -> None:
            while any(ws._runner is not me for ws in self._runs):
                await self._ended.park()

        try:
            await trio.lowlevel.checkpoint()
            with trio.move_on_after(PATIENCE) as scope:
                await wait()
            if scope.cancelled_caught:
                self._tell_of_stuck()
                await wait()
        except trio.Cancelled:
            self._cancel_rest()
            raise

    _cuts_off = "; a cancelled aclose(), or drain(), cuts them off"

    def _where_it_waits(self, ws: ServerConnection, run: Any) -> str:
        return "" if ws._runner is None else place_of(ws._runner.coro)

    def _cancel_rest(self) -> None:
        for ws, scope in list(self._runs.items()):
            ws._cut_off()
            scope.cancel()

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
        all come back to the next server at once. What is left after ``timeout`` seconds
        is cut off: its handlers are cancelled.

        Until the last connection has ended, every new request is answered with 503,
        that for ``health`` too, so that a load balancer learns of it. With
        ``keep_listening=False`` listening stops at once.
        """
        check_drain(batch, interval, timeout, code, reason)
        check_run(self._home, "server")
        self._parting = (code, reason)
        self._draining = True
        if not keep_listening:
            await self._stop_listening()
        with trio.move_on_after(math.inf if timeout is None else timeout) as scope:
            for pause in self._close_in_batches(batch, interval, code, reason):
                await trio.sleep(pause)
            while self._open:
                await self._ended.park()
        if scope.cancelled_caught:
            self._cut_off_rest(timeout)
            self._cancel_rest()
        await self.aclose(code=code, reason=reason)


# --- serve -----------------------------------------------------------------------


@explained(_how_to_serve)
async def serve(
    handler: Handler,
    port: int | None = None,
    *,
    host: str | bytes | None = None,
    backlog: int | None = None,
    listeners: Sequence[trio.abc.Listener[Any]] | None = None,
    ssl: ssl_module.SSLContext | None = None,
    origins: Origins | None = None,
    extensions: Iterable[ServerExtensionFactory] | None = None,
    subprotocols: Sequence[str] | None = None,
    select_subprotocol: Callable[[ServerConnection, Sequence[str]], Any] | None = None,
    compression: str | Compression | None = "deflate",
    process_request: Callable[..., Any] | None = None,
    process_response: Callable[..., Any] | None = None,
    server_header: str | None = PRODUCT,
    open_timeout: float | None = OPEN_TIMEOUT,
    ping_interval: float | None = KEEPALIVE.interval,
    ping_timeout: float | None = KEEPALIVE.timeout,
    close_timeout: float | None = CLOSE_TIMEOUT,
    max_size: int | tuple[int | None, int | None] | None = MAX_SIZE,
    max_queue: int | tuple[int | None, int | None] | None = MAX_QUEUE,
    write_limit: int | tuple[int, int | None] = WRITE_LIMIT,
    logger: LoggerLike | str | None = None,
    create_connection: Callable[..., ServerConnection] | None = None,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    health: str | Mapping[str, Health] | None = None,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve WebSocket connections on ``port`` until cancelled, or the server is closed.

    ::

        async def echo(websocket):
            async for message in websocket:
                await websocket.send(message)

        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve, echo, 8765)
            async with server:
                ...

    ``nursery.start`` returns the :class:`Server` when it listens. ``handler`` is run in
    a task of its own with each connection whose opening handshake succeeded; when it
    returns, the connection is closed with 1000; when it raises, with 1011 and a
    traceback in the log; when it is cancelled, with 1001.

    The keywords are those of :func:`longwire.serve`, which explains them. ``listeners``
    are used instead of ``port``, ``host`` and ``backlog``, which are those of
    :func:`trio.open_tcp_listeners`. Mistakes raise TypeError or ValueError.
    """
    await serve_with(Server, {**locals()}, pages=True)


async def serve_with(
    make_server: Callable[..., Server], given: dict[str, Any], *, pages: bool = False
) -> None:
    """Serve with what :func:`serve` was given; ``pages`` as for its settings."""
    settings = settings_of_server(given, call=_CALL, pages=pages)
    if not trio.lowlevel.in_trio_run():
        raise no_loop("serve()", "trio")
    listeners = given["listeners"]
    if listeners is None:
        if given["port"] is None:
            raise ValueError("port or listeners are needed")
        listeners = await trio.open_tcp_listeners(
            given["port"], host=given["host"], backlog=given["backlog"]
        )
    server = make_server(
        listeners,
        given["handler"],
        settings.logger,
        settings=settings,
        create_connection=given["create_connection"],
        tls=given["ssl"],
    )
    await server.serve_forever(given["task_status"])


async def unix_serve(
    handler: Handler,
    path: str | os.PathLike[str] | None = None,
    *,
    backlog: int = BACKLOG,
    **kwargs: Any,
) -> None:
    """Serve as :func:`serve` does, on the Unix socket at ``path``.

    A socket left at ``path`` by an earlier process is replaced.
    """
    check_path(path, kwargs)
    sock = listen_unix(None if path is None else os.fspath(path), backlog)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    await serve(handler, listeners=[listener], **kwargs)
