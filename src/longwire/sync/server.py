"""The server for threads: ``serve``, its server object and its connections.

One thread accepts, one more for each connection does its opening handshake, runs the
handler and closes. What is decided is decided elsewhere: ``opening/server_plan.py``,
``admission.py``, ``budget.py``, ``session/leaving.py``.
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl as ssl_module
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self

from ..admission import ACCEPT_PAUSE, BACKLOG, EXHAUSTED, Admission
from ..budget import LATEST, Watch
from ..departed import has_hung_up
from ..hints import Blocking, explained
from ..hosting import (
    LINGER,
    PATIENCE,
    Host,
    check_drain,
    listen_unix,
    name_of,
)
from ..http.extensions import ServerExtensionFactory
from ..http.heads import Request, Response
from ..opening.arguments import check_path, check_sock, settings_of_server
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
    check_keywords,
)
from ..options import Compression, Limits, LoggerLike, Timeouts
from ..session.session import check_close
from . import stuck
from .places import Places, wait_at
from .reporting import report
from .server_connection import ServerConnection
from .unserved import Unserved
from .wire import Wire

__all__ = ["Server", "ServerConnection", "serve", "unix_serve"]

Handler = Callable[..., None]
ProcessRequest = Callable[["ServerConnection", Request], Response | None]
ProcessResponse = Callable[["ServerConnection", Request, Response], Response | None]

_ACCEPTS = 64  # connections accepted in one round
_NETWORK = frozenset({"backlog", "dualstack_ipv6", "family", "reuse_port"})
_UNIX = frozenset({"backlog", "path", "unix"})


class Server(Blocking, Host[ServerConnection]):
    """A WebSocket server that listens, made by :func:`serve`.

    ``serve_forever()`` accepts connections in the calling thread until ``shutdown()``
    is called from another; leaving a ``with`` block of the server does that too. A
    server that goes without ``serve_forever()``, ``shutdown()`` or ``drain()`` having
    been called is told of by a RuntimeWarning.
    """

    _connection_class = ServerConnection
    _warns_unserved = True  # not in the documented API
    _plain = "with serve(...) as server"
    _closed_logged = False

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
        # Of those that wait for ends of connections, or for ours.
        self._places = Places()
        _SERVERS.add(self)
        self._nudges: set[socket.socket] = set()
        sock.setblocking(False)
        where = name_of(sock)
        self._unserved = Unserved(self, where) if self._warns_unserved else None
        self.logger.info("server listening on %s", where)

    def _begin_anew(self) -> None:
        """In a child process: threads and connections are the parent's."""
        self._lock = threading.RLock()
        self._places = Places()
        self._nudges = set()
        self._runs, self._open = {}, set()
        self._admission = Admission(self._settings.limits)
        self._departed = self._make_departed()
        if self._watch is not None:
            self._watch = Watch(self._watch.limit, self.logger, self._put_off)

    def fileno(self) -> int:
        """Return the descriptor of the listening socket."""
        return self.socket.fileno()

    def __enter__(self) -> Self:
        """Return the server; leaving the block shuts it down."""
        return self

    def __exit__(self, exc_type: object = None, *exc_info: object) -> None:
        unserved = self._unserved
        is_known = unserved is None or unserved.is_known
        self.shutdown()
        if unserved is not None and exc_type is None:
            # Nobody asked for this shutdown by name.
            unserved.is_known = is_known

    def _expect_no_serving(self) -> None:
        """It is no mistake if ``serve_forever()`` is not called here."""
        if self._unserved is not None:
            self._unserved.is_known = True

    # --- accepting ---------------------------------------------------------------

    def serve_forever(self) -> None:
        """Accept connections until ``shutdown()`` is called from another thread."""
        self._expect_no_serving()
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
            seconds = None
            if self._watch is not None and self._open:
                seconds = max(0.0, look_at - time.monotonic())
            if self._departed:
                seconds = 0.0
            for key, _ in selector.select(seconds):
                if key.fileobj is nudged:
                    nudged.recv(4096)
                else:
                    self._accept_some()
            self._departed.begin_one()
            if not self._open:
                super()._forget_held()
            elif time.monotonic() >= look_at:
                look_at = time.monotonic() + self._look_at_memory()

    def _accept_some(self) -> None:
        for _ in range(_ACCEPTS):
            if self._closing or not self._accept():
                break

    def _accept(self) -> bool:
        """Accept one connection; return whether there may be another."""
        try:
            sock, peername = self.socket.accept()
        except BlockingIOError:
            return False
        except OSError as exc:
            if exc.errno in EXHAUSTED:
                self._pause(exc)
            # Else: closed meanwhile, or an error of the network's.
            return False
        if has_hung_up(sock):
            self._serve_last(peername, sock.close, partial(self._begin, sock))
        else:
            self._begin(sock)
        return True

    def _begin_with_departed(self) -> None:
        pass  # after each round of accepting

    def _begin(self, sock: socket.socket) -> None:
        """Start serving the accepted ``sock``, whatever becomes of that."""
        try:
            self._take(sock)
        except RuntimeError as exc:
            sock.close()
            self._pause(exc)  # no thread can be started
        except OSError:
            sock.close()  # gone already
        except Exception as exc:
            sock.close()
            self._put_off(self._log_failure, exc)

    def _pause(self, exc: BaseException) -> None:
        self._put_off(
            self.logger.error, "server cannot accept connections for a while: %s", exc
        )
        ends_at = time.monotonic() + ACCEPT_PAUSE
        self._wait_until(lambda: self._closing, ends_at)

    def _put_off(self, log: Callable[..., object], *args: object) -> None:
        # What the thread that accepts has to say, another says: no handler of the log
        # keeps clients out.
        report(log, *args)

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
        super()._has_ended(ws)
        with self._lock:
            self._places.wake()

    def _forget_held(self) -> None:
        # Only the thread that accepts looks at memory.
        if self._watch is not None and self._watch.begun:
            self._nudge()

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
        self._parting = (code, reason)
        self._stop_listening()
        self._close_all(close_connections, code, reason)
        if not self._wait_for_handlers(time.monotonic() + PATIENCE):
            self._tell_of_stuck()
            self._wait_for_handlers(None)
        self._log_closed()

    def _log_closed(self) -> None:
        with self._lock:
            logged, self._closed_logged = self._closed_logged, True
        if not logged:
            self.logger.info("server closed")

    # Threads of handlers are daemons: the program does not wait for them at its end.
    _cuts_off = "; drain() does not wait for them, and a second Ctrl-C cuts them off"

    def _where_it_waits(self, ws: ServerConnection, run: threading.Thread) -> str:
        return stuck.where_it_waits(run)

    def _stop_listening(self) -> None:
        self._expect_no_serving()
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._places.wake()
        self.logger.info("server closing")
        self._nudge()
        self.socket.close()
        self._departed.drop_all()

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
        return self._wait_until(
            lambda: all(thread is me for thread in self._runs.values()), ends_at
        )

    def _wait_until(self, done: Callable[[], bool], ends_at: float | None) -> bool:
        """Wait for what ends of connections bring about; return whether it has come."""
        while True:
            with self._lock:
                if done():
                    return True
                place = self._places.take()
            left = None if ends_at is None else ends_at - time.monotonic()
            if left is not None and left <= 0:
                with self._lock:
                    self._places.leave(place)
                return False
            wait_at(place, left)

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
        check_drain(batch, interval, timeout, code, reason)
        ends_at = None if timeout is None else time.monotonic() + timeout
        self._parting = (code, reason)
        self._draining = True
        if not keep_listening:
            self._stop_listening()
        for pause in self._close_in_batches(batch, interval, code, reason):
            time.sleep(pause)
        if not self._wait_until(lambda: not self._open, ends_at):
            self._cut_off_rest(timeout)
        self._stop_listening()
        if self._wait_for_handlers(None if ends_at is None else ends_at + LINGER):
            self._log_closed()


# Those of this process, for a child of it that serves on the same sockets.
_SERVERS: weakref.WeakSet[Server] = weakref.WeakSet()


def _expect_children() -> None:
    # Either process may be the one that serves.
    for server in list(_SERVERS):
        server._expect_no_serving()


def _begin_anew() -> None:
    for server in list(_SERVERS):
        server._begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_expect_children, after_in_child=_begin_anew)


# --- serve -----------------------------------------------------------------------


@explained("serve(handler, 'localhost', 8765)")
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
    settings = settings_of_server(
        {**locals()}, awaits=False, pages="make_server" not in kwargs
    )
    # For longwire.websockets, whose server has a class of its own.
    make_server: Callable[..., Server] = kwargs.pop("make_server", Server)
    unix = kwargs.get("unix", False)
    known = {*(_UNIX if unix else _NETWORK), *serve.__annotations__} - {"kwargs"}
    check_keywords("unix_serve" if unix else "serve", kwargs, known)
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
    check_path(path, kwargs)
    path = None if path is None else os.fspath(path)
    return serve(handler, unix=True, path=path, **kwargs)


def _listen(
    host: str | None,
    port: int | None,
    *,
    sock: socket.socket | None = None,
    unix: bool = False,
    path: str | None = None,
    backlog: int = BACKLOG,
    **options: Any,
) -> socket.socket:
    """Return a listening socket."""
    if sock is not None:
        check_sock(sock)
        sock.listen(backlog)
        return sock
    if unix:
        return listen_unix(path, backlog)
    if port is None:
        raise ValueError("port or sock is needed")
    if ":" in (host or "") and "family" not in options:
        options["family"] = socket.AF_INET6
    return socket.create_server((host or "", port), backlog=backlog, **options)
