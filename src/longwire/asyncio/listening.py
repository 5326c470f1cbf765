"""Listening: a server's sockets, with the loop or the reactor at them.

asyncio binds them as its many options say; who accepts from them is decided here. Not
asyncio itself, where the loop can watch a descriptor: out of descriptors, it tells its
exception handler of each of a hundred attempts a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from ..admission import ACCEPT_PAUSE, BACKLOG, EXHAUSTED
from ..departed import Last, has_hung_up, serve_now
from ..escaping import one_line
from .native import Listener, can_watch, is_available
from .network import method_of

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Listening", "LoopListener", "Transports", "listen"]

# Connections accepted in one turn of the loop from one socket.
_ACCEPTS = 64
# The socket is not ours any more. All other errors are of the one connection.
_LOST = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)

Exhausted = Callable[[OSError], None]


class LoopListener:
    """A listening socket that the loop watches: ``connect(sock)`` makes a connection.

    ``exhausted`` is told when the process has no descriptor or memory for one more;
    after ``ACCEPT_PAUSE`` seconds it goes on. Where the peer has hung up already,
    ``last`` decides when.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: Any,
        backlog: int,
        connect: Callable[[socket.socket], Coroutine[Any, Any, None]],
        exhausted: Exhausted,
        last: Last,
    ) -> None:
        self._loop = loop
        self._connect = connect
        self._exhausted = exhausted
        self._last = last
        self._told = False
        self._again: asyncio.TimerHandle | None = None
        self._making: set[asyncio.Task[None]] = set()
        # Some loops show what is no socket, and watch what they have themselves.
        self._sock = socket.socket(fileno=os.dup(sock.fileno()))
        self._sock.setblocking(False)
        self._sock.listen(backlog)
        loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, peername = self._sock.accept()
            except BlockingIOError:
                self._told = False
                return
            except OSError as exc:
                if exc.errno in EXHAUSTED:
                    self._back_off(exc)
                    return
                if self._sock.fileno() < 0:
                    return  # stopped by the last one accepted
                if exc.errno in _LOST:
                    self.stop()
                    raise
                continue  # gone already, or an error of the network's
            sock.setblocking(False)
            if has_hung_up(sock):
                self._last(peername, sock.close, partial(self._begin, sock))
            else:
                self._begin(sock)

    def _begin(self, sock: socket.socket) -> None:
        task = self._loop.create_task(self._connect(sock))
        self._making.add(task)
        task.add_done_callback(partial(self._made, sock))

    def _made(self, sock: socket.socket, task: asyncio.Task[None]) -> None:
        self._making.discard(task)
        if task.cancelled():
            sock.close()  # where it had not begun, it did not do that itself

    def _back_off(self, exc: OSError) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._again = self._loop.call_later(ACCEPT_PAUSE, self._go_on)
        if not self._told:
            # Once for each time that it lasts, not for each attempt.
            self._told = True
            self._exhausted(exc)

    def _go_on(self) -> None:
        self._again = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    @property
    def is_making(self) -> bool:
        """Whether something was accepted that is no connection yet."""
        return bool(self._making)

    def pause(self) -> None:
        """Accept no more; what was accepted becomes a connection."""
        if self._again is not None:
            self._again.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())

    def stop(self) -> None:
        """Accept no more; drop what was accepted and is no connection yet."""
        self.pause()
        if self._sock.fileno() >= 0:
            self._sock.close()
        for task in self._making:
            task.cancel()


class Transports:
    """Makes connections of ``server`` over transports of the loop."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self.tls = self._loop_tls()

    def _loop_tls(self) -> dict[str, Any]:
        """Return what the loop has to know of TLS: nothing, where we start it.

        asyncio's own TLS says nothing of failures and knows nothing of our limits.
        Other loops (uvloop) read before a connection can be turned to TLS, so there it
        has to do.
        """
        server, tls = self._server, self._server._tls
        if tls is None or isinstance(self._loop, asyncio.BaseEventLoop):
            return {}
        server._starts_tls = False
        options = {"ssl": tls.context, **tls.options}
        if server._settings.timeouts.open:
            time_limit = server._settings.timeouts.open
            options.setdefault("ssl_handshake_timeout", time_limit)
        return options

    async def connect(self, sock: socket.socket) -> None:
        """Make a connection of the accepted ``sock``."""
        server, loop = self._server, self._loop
        connect = method_of(loop, "connect_accepted_socket", server._tls is not None)
        try:
            await connect(server.make_wire, sock, **self.tls)
        except (OSError, ssl.SSLError) as exc:
            # Gone already, or failed in a TLS handshake of the loop's own.
            sock.close()
            server.logger.info("opening handshake failed: %s", one_line(exc))
        except Exception as exc:
            sock.close()
            what = {"message": "making a connection failed", "exception": exc}
            loop.call_exception_handler(what)
        except BaseException:
            sock.close()
            raise


async def listen(
    server: Server, unix: bool, options: dict[str, Any], start: bool
) -> Listening:
    """Bind the sockets of ``server``, and begin to accept if ``start``.

    ``options`` are those of the loop's ``create_server()`` or ``create_unix_server()``.
    """
    loop = asyncio.get_running_loop()
    # Asked first: it raises where the environment asks for nonsense.
    by_reactor = is_available(loop) and server._tls is None
    watched = can_watch(loop)
    transports = Transports(server, loop)
    name = "create_unix_server" if unix else "create_server"
    create = method_of(loop, name, server._tls is not None and not watched)
    # Where the loop accepts, it has to know of TLS.
    options = {
        "backlog": BACKLOG,
        **options,
        **({} if watched else transports.tls),
    }
    try:
        made = await create(server.make_wire, start_serving=False, **options)
    except socket.gaierror as exc:
        exc.strerror = f"{exc.strerror}: host {options.get('host')!r} to listen on"
        raise
    listening = Listening(
        made,
        options["backlog"],
        accepted=server._take if by_reactor else None,
        connect=transports.connect if watched else None,
        exhausted=server._exhausted,
        last=server._serve_last,
    )
    if start:
        await listening.start_serving()
    return listening


class Listening:
    """The listening sockets of ``server``.

    ``accepted`` gets (descriptor, peer's address) of each connection, by the reactor.
    Without it, ``connect`` is called with a connected socket and makes a transport of
    it. With neither, asyncio itself accepts, as it does on loops that cannot watch a
    descriptor. ``exhausted`` is told when the process has no descriptors left, and
    ``last`` of those that had hung up before they were accepted.
    """

    def __init__(
        self,
        server: asyncio.Server,
        backlog: int = BACKLOG,
        accepted: Callable[[int, Any], None] | None = None,
        exhausted: Exhausted | None = None,
        connect: Callable[[socket.socket], Coroutine[Any, Any, None]] | None = None,
        last: Last = serve_now,
    ) -> None:
        self._server = server
        self._backlog = backlog
        self._accepted = accepted
        self._exhausted = exhausted or (lambda exc: None)
        self._connect = connect
        self._last = last
        self._listeners: list[Listener | LoopListener] = []

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop."""
        return self._server.get_loop()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The sockets; none after ``close()``."""
        return tuple(self._server.sockets)

    def is_serving(self) -> bool:
        """Return whether connections are accepted."""
        return bool(self._listeners) or self._server.is_serving()

    async def start_serving(self) -> None:
        """Begin to accept connections, if not begun."""
        if self._accepted is None and self._connect is None:
            await self._server.start_serving()
        elif not self._listeners:
            with contextlib.ExitStack() as undo:
                for sock in self.sockets:
                    listener = self._listen(sock)
                    undo.callback(listener.stop)
                    self._listeners.append(listener)
                undo.pop_all()

    def _listen(self, sock: socket.socket) -> Listener | LoopListener:
        loop, backlog = self.get_loop(), self._backlog
        told = (self._exhausted, self._last)
        if self._accepted is not None:
            return Listener(loop, sock, backlog, self._accepted, *told)
        assert self._connect is not None
        return LoopListener(loop, sock, backlog, self._connect, *told)

    @property
    def is_making(self) -> bool:
        """Whether something was accepted that is no connection yet."""
        loops = [each for each in self._listeners if isinstance(each, LoopListener)]
        return any(each.is_making for each in loops)

    def pause(self) -> None:
        """Accept no more; what was accepted becomes a connection."""
        for listener in self._listeners:
            # What the reactor accepts is a connection at once.
            stop = listener.pause if isinstance(listener, LoopListener) else None
            (stop or listener.stop)()

    def close(self) -> None:
        """Accept no more, and close the sockets."""
        for listener in self._listeners:
            listener.stop()
        self._listeners.clear()
        self._server.close()
