"""The server for threads: ``serve``, its server object and its connections.

One thread accepts, one more for each connection does its opening handshake, runs the
handler and closes. What is decided is decided elsewhere: ``opening/server_plan.py``,
``admission.py``, ``budget.py``, ``session/leaving.py``.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl as ssl_module
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from ..budget import LATEST
from ..hints import Blocking
from ..hosting import (
    ACCEPT_PAUSE,
    LINGER,
    Host,
    check_drain,
    listen_unix,
    name_of,
)
from ..http.extensions import ServerExtensionFactory
from ..http.heads import Request, Response
from ..opening.arguments import (
    check_context,
    check_handler,
    check_host,
    check_port,
)
from ..opening.server_plan import (
    Health,
    Origins,
    ServerSettings,
    server_settings,
)
from ..opening.settings import (
    CLOSE_TIMEOUT,
    KEEPALIVE,
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
from ..options import Compression, Keepalive, Limits, LoggerLike, Timeouts
from ..session.session import check_close
from . import stuck
from .server_connection import ServerConnection
from .wire import Wire

__all__ = ["Server", "ServerConnection", "serve", "unix_serve"]

Handler = Callable[..., None]
ProcessRequest = Callable[["ServerConnection", Request], Response | None]
ProcessResponse = Callable[["ServerConnection", Request, Response], Response | None]

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_NETWORK = frozenset({"backlog", "dualstack_ipv6", "family", "reuse_port"})
_UNIX = frozenset({"backlog", "path", "unix"})


class Server(Blocking, Host[ServerConnection]):
    """A WebSocket server that listens, made by :func:`serve`.

    ``serve_forever()`` accepts connections in the calling thread until ``shutdown()``
    is called from another; leaving a ``with`` block of the server does that too.
    """

    _connection_class = ServerConnection
    _plain = "with serve(...) as server"

    def __init__(
        self,
        sock: socket.socket,
        handler: Handler,
        logger: LoggerLike | None = None,
        *,
        settings: ServerSettings | None = None,
        create_connection: Callable[..., ServerConnection] | None = None,
        tls: ssl_module.SSLContext | None = None,
    ) -> None:
        super().__init__(handler, logger, settings, create_connection, tls)
        self.socket = sock
        # Reentrant: a signal's handler may shut down what its thread has locked.
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)
        self._nudges: set[socket.socket] = set()
        sock.setblocking(False)
        self.logger.info("server listening on %s", name_of(sock))

    def fileno(self) -> int:
        """Return the descriptor of the listening socket."""
        return self.socket.fileno()

    def __enter__(self) -> Self:
        """Return the server; leaving the block shuts it down."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()

    # --- accepting ---------------------------------------------------------------

    def serve_forever(self) -> None:
        """Accept connections until ``shutdown()`` is called from another thread."""
        nudge, nudged = socket.socketpair()
        nudge.setblocking(False)
        # All of its own, so that child processes can serve on the same socket.
        with nudge, nudged, selectors.DefaultSelector() as selector:
            with self._lock:
                if self._closing:
                    return
                selector.register(self.socket, selectors.EVENT_READ)
                selector.register(nudged, selectors.EVENT_READ)
                self._nudges.add(nudge)
            try:
                self._serve(selector, nudged)
            finally:
                with self._lock:
                    self._nudges.discard(nudge)

    def _serve(self, selector: selectors.BaseSelector, nudged: socket.socket) -> None:
        look_at = time.monotonic() + LATEST
        while not self._closing:
            seconds = max(0.0, look_at - time.monotonic()) if self._open else None
            for key, _ in selector.select(seconds):
                if key.fileobj is nudged:
                    nudged.recv(4096)
                elif not self._closing:
                    self._accept()
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + self._look_at_memory()

    def _accept(self) -> None:
        try:
            sock, _ = self.socket.accept()
        except BlockingIOError:
            return
        except OSError as exc:
            if exc.errno in _EXHAUSTED:
                self._pause(exc)
            # Else: closed meanwhile, or an error of the network's.
            return
        try:
            self._take(sock)
        except RuntimeError as exc:
            sock.close()
            self._pause(exc)  # no thread can be started
        except OSError:
            sock.close()  # gone already
        except Exception:
            sock.close()
            self.logger.exception("making a connection failed")

    def _pause(self, exc: BaseException) -> None:
        self.logger.error("server cannot accept connections for a while: %s", exc)
        with self._ended:
            self._ended.wait_for(lambda: self._closing, ACCEPT_PAUSE)

    def _take(self, sock: socket.socket) -> None:
        """Start serving a connection that was just accepted, or cut it off."""
        ws = self._make_connection(Wire(sock))
        name = f"longwire {ws._address}"
        thread = threading.Thread(target=ws._run, name=name, daemon=True)
        if not self._admit(ws, thread):
            ws.failed_to_open()
            return
        try:
            thread.start()
        except BaseException:
            self._has_ended(ws)
            raise

    def _has_opened(self, ws: ServerConnection) -> None:
        super()._has_opened(ws)
        if len(self._open) == 1:
            self._nudge()

    def _has_ended(self, ws: ServerConnection) -> None:
        with self._ended:
            super()._has_ended(ws)
            self._ended.notify_all()

    # --- ending ------------------------------------------------------------------

    def shutdown(
        self, close_connections: bool = True, code: int = 1001, reason: str = ""
    ) -> None:
        """Stop listening, close the connections, and wait for their handlers.

        Connections in their opening handshake are answered with 503, open ones closed
        with ``code`` and ``reason``. With ``close_connections=False`` these are left to
        end by themselves. Not to be called by a handler, for which it would wait.
        """
        check_close(code, reason)
        self._stop_listening()
        self._close_all(close_connections, code, reason)
        if not self._wait_for_handlers(time.monotonic() + stuck.PATIENCE):
            self._tell_of_stuck()
            self._wait_for_handlers(None)
        self.logger.info("server closed")

    def _tell_of_stuck(self) -> None:
        with self._lock:
            running = list(self._runs.items())
        text = stuck.describe(running)
        if text:
            self.logger.warning(
                "server waits for handlers whose connections are closed already: %s; "
                "they learn of it in recv() or wait_closed()",
                text,
            )

    def _stop_listening(self) -> None:
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._ended.notify_all()
        self.logger.info("server closing")
        self._nudge()
        self.socket.close()

    def _nudge(self) -> None:
        """Have ``serve_forever()`` look again."""
        with self._lock:
            for nudge in self._nudges:
                try:
                    nudge.send(b"x")
                except OSError:
                    pass  # full: it is about to look

    def _wait_for_handlers(self, ends_at: float | None) -> bool:
        me = threading.current_thread()
        with self._lock:
            while any(thread is not me for thread in self._runs.values()):
                left = None if ends_at is None else ends_at - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._ended.wait(left)
        return True

    def drain(
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
        is cut off; handlers that do not notice are not waited for.

        Until the last connection has ended, every new request is answered with 503,
        that for ``health`` too, so that a load balancer learns of it. With
        ``keep_listening=False`` listening stops at once.
        """
        check_drain(batch, code, reason)
        ends_at = None if timeout is None else time.monotonic() + timeout
        self._draining = True
        if not keep_listening:
            self._stop_listening()
        for pause in self._close_in_batches(batch, interval, code, reason):
            time.sleep(pause)
        if not self._wait_for_open(ends_at):
            self._cut_off_rest(timeout)
        self._stop_listening()
        if self._wait_for_handlers(None if ends_at is None else ends_at + LINGER):
            self.logger.info("server closed")

    def _wait_for_open(self, ends_at: float | None) -> bool:
        with self._lock:
            while self._open:
                left = None if ends_at is None else ends_at - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._ended.wait(left)
        return True


# --- serve -----------------------------------------------------------------------


def serve(
    handler: Handler,
    host: str | None = None,
    port: int | None = None,
    *,
    sock: socket.socket | None = None,
    ssl: ssl_module.SSLContext | None = None,
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
    create_connection: Callable[..., ServerConnection] | None = None,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    health: str | Mapping[str, Health] | None = None,
    **kwargs: Any,
) -> Server:
    """Return a WebSocket server that listens on ``host`` and ``port``.

    ::

        def echo(websocket):
            for message in websocket:
                websocket.send(message)

        with serve(echo, "localhost", 8765) as server:
            server.serve_forever()

    ``handler`` is called in a thread of its own with each connection whose opening
    handshake succeeded; when it returns, the connection is closed with 1000; when it
    raises, with 1011 and a traceback in the log.

    The keywords are those of :func:`longwire.serve`, which explains them, with
    functions instead of coroutines. ``sock`` is a socket to listen on instead of
    ``host`` and ``port``; all others are those of :func:`socket.create_server`.
    Mistakes raise TypeError or ValueError here.
    """
    check_handler(handler, awaits=False)
    settings = server_settings(
        limits=limits_from(
            limits, max_size=max_size, max_queue=max_queue, write_limit=write_limit
        ),
        timeouts=timeouts_from(
            timeouts, open_timeout=open_timeout, close_timeout=close_timeout
        ),
        keepalive=Keepalive(interval=ping_interval, timeout=ping_timeout),
        origins=origins,
        extensions=extensions,
        subprotocols=subprotocols,
        select_subprotocol=select_subprotocol,
        compression=compression_from(compression),
        process_request=process_request,
        process_response=process_response,
        server_header=server_header,
        health=health,
        logger=logger,
    )
    if create_connection is not None and not callable(create_connection):
        kind = type(create_connection).__name__
        raise TypeError(f"create_connection must be a class or factory, not {kind}")
    # For longwire.websockets, whose server has a class of its own.
    make_server: Callable[..., Server] = kwargs.pop("make_server", Server)
    unix = kwargs.get("unix", False)
    known = {*(_UNIX if unix else _NETWORK), *serve.__annotations__} - {"kwargs"}
    check_keywords("unix_serve" if unix else "serve", kwargs, known)
    if ssl is not None:
        check_context(ssl)
    check_host(host)
    check_port(port)
    return make_server(
        _listen(host, port, sock=sock, **kwargs),
        handler,
        settings.logger,
        settings=settings,
        create_connection=create_connection,
        tls=ssl,
    )


def unix_serve(
    handler: Handler, path: str | os.PathLike[str] | None = None, **kwargs: Any
) -> Server:
    """Return a server as :func:`serve` does, on the Unix socket at ``path``.

    A socket left at ``path`` by an earlier process is replaced.
    """
    path = None if path is None else os.fspath(path)
    return serve(handler, unix=True, path=path, **kwargs)


def _listen(
    host: str | None,
    port: int | None,
    *,
    sock: socket.socket | None = None,
    unix: bool = False,
    path: str | None = None,
    backlog: int = 100,
    **options: Any,
) -> socket.socket:
    """Return a listening socket."""
    if sock is not None:
        sock.listen(backlog)
        return sock
    if unix:
        return listen_unix(path, backlog)
    if port is None:
        raise ValueError("port or sock is needed")
    if ":" in (host or "") and "family" not in options:
        options["family"] = socket.AF_INET6
    return socket.create_server((host or "", port), backlog=backlog, **options)
