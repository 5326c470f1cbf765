"""The wire over the reactor: plain TCP and Unix sockets, without asyncio's transports.

Decides which wire a connection gets. ``LONGWIRE_ENGINE=transport`` in the environment
turns the native one off, for debugging; it is not there either on Windows, in the pure
build, and on loops that cannot watch descriptors.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..departed import Last
from ..once import MAKING
from . import transport, wire
from .clocks import has_own_time
from .network import wanted_engine
from .usage import check_thread
from .wire import Owner

__all__ = ["Listener", "Transport", "Wire", "adopt", "can_watch", "is_available"]

if TYPE_CHECKING:
    # What sockets.pyx has.
    found = True

    class Socket:
        closing: bool
        is_shared: bool
        is_reading: bool
        lost: bool
        write_limits: tuple[int, int]
        receiver: object

        def __init__(self, loop: asyncio.AbstractEventLoop, fd: int) -> None: ...

        def close_if_quiet(self) -> bool: ...

        def sock(self) -> socket.socket | None: ...

        def sockname(self) -> Any: ...

    class NativeListener:
        def __init__(
            self,
            loop: asyncio.AbstractEventLoop,
            fd: int,
            backlog: int,
            tcp: bool,
            accepted: Callable[[int, Any], None],
            hung_up: Callable[[int, Any], None],
        ) -> None: ...

        def stop(self) -> None: ...

else:
    try:
        from .sockets import Listener as NativeListener
        from .sockets import Socket

        found = True
    except ImportError:
        # Not compiled: nobody makes any of them.
        class Socket:
            pass

        class NativeListener:
            pass

        found = False


def is_available(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether connections of ``loop`` can use the reactor.

    Raises ValueError where the environment asks for an engine that does not exist.
    """
    if wanted_engine() != "native" or not found or not can_watch(loop):
        return False
    return not has_own_time(loop)  # the reactor reads time.monotonic


def can_watch(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether ``loop`` can watch a descriptor."""
    # Windows' proactor has the method and cannot do it.
    return type(loop).add_reader is not asyncio.AbstractEventLoop.add_reader


class Wire(Socket, wire.Wire):
    """One socket of the reactor and its owner; ``fd`` is the wire's from now on."""

    kind = "native"
    is_tls = False

    _peername: Any = None
    _transport: Transport | None = None

    def __init__(
        self, owner: Owner, loop: asyncio.AbstractEventLoop, fd: int, peername: Any
    ) -> None:
        wire.Wire.__init__(self, owner, loop)
        self._peername = peername
        Socket.__init__(self, loop, fd)

    def shorten(self) -> None:
        """Have bytes go to the owner without a detour through Python."""
        self.receiver = self.owner

    def close_at_once(self) -> bool:
        """Close where that loses nothing that was received or written.

        Returns whether it was done; then the owner has been told already.
        """
        return self._switched and self.close_if_quiet()

    def writing_failed(self, exc: OSError) -> None:
        """Tell the owner, who has put off reading, that TCP is gone."""
        # Not at once: the owner is at work, it has just written.
        self.loop.call_soon(self._tell_cut, exc)

    def _tell_cut(self, exc: OSError) -> None:
        if not self.lost:
            self.owner.cut(exc)

    @property
    def transport(self) -> asyncio.Transport:
        """What looks like a transport of asyncio; made at the first look."""
        if self._transport is None:
            with MAKING:
                if self._transport is None:
                    self._transport = Transport(self)
        return self._transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return "peername", "sockname", or "socket" while it is open."""
        if name == "peername":
            return self._peername
        if name == "sockname":
            return self.sockname()
        if name == "socket" and (sock := self.sock()) is not None:
            return TransportSocket(sock)
        return default


class Listener(NativeListener):
    """A listening socket of the reactor; ``accepted`` gets (descriptor, peer).

    It raises OSError where the system does not watch one more descriptor. Where the
    peer has hung up, ``last`` gets (address, what closes the descriptor, what begins).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: Any,
        backlog: int,
        accepted: Callable[[int, Any], None],
        exhausted: Callable[[OSError], None],
        last: Last,
    ) -> None:
        self._family = sock.family
        self._tell_accepted = accepted
        self._tell_exhausted = exhausted
        self._last = last
        tcp = self._family in (socket.AF_INET, socket.AF_INET6)
        super().__init__(loop, sock.fileno(), backlog, tcp, self._take, self._hung_up)

    def _hung_up(self, fd: int, peername: Any) -> None:
        # A bare descriptor would stay open where the loop ends and nobody has closed
        # the server; a socket object goes with it.
        kept = socket.socket(self._family, socket.SOCK_STREAM, 0, fd)
        begin = functools.partial(self._take_kept, kept, peername)
        self._last(peername, kept.close, begin)

    def _take_kept(self, kept: socket.socket, peername: Any) -> None:
        self._take(kept.detach(), peername)

    def _take(self, fd: int, peername: Any) -> None:
        if peername is None:
            sock = socket.socket(self._family, socket.SOCK_STREAM, 0, fd)
            try:
                peername = sock.getpeername()
            except OSError:
                sock.close()  # gone already
                return
            sock.detach()
        self._tell_accepted(fd, peername)

    def exhausted(self, exc: OSError) -> None:
        """Say that connections have to wait."""
        self._tell_exhausted(exc)


def adopt(old: wire.Wire, owner: Owner) -> wire.Wire:
    """Return the native wire of a connection that a transport has opened.

    ``old`` itself where that is not possible: with TLS, with unsent bytes. asyncio
    connects as its many options say; then its transport goes, and a duplicate of the
    descriptor stays.
    """
    below = old.transport
    sock = old.get_extra_info("socket")
    if (
        not isinstance(old, transport.Wire)
        or old.is_tls
        or old.lost
        or old.got_eof
        or sock is None
        or below.is_closing()
        or below.get_write_buffer_size()
        or not is_available(old.loop)
    ):
        return old
    try:
        fd = os.dup(sock.fileno())
    except OSError:
        return old  # no descriptor is left for it; the transport does as well
    below.pause_reading()
    try:
        new = Wire(owner, old.loop, fd, old.get_extra_info("peername"))
    except BaseException:
        os.close(fd)
        raise
    new.is_shared = True  # the transport's descriptor is closed in a moment
    new.data_received(old.take_unread())
    old.forget_owner()
    below.abort()
    return new


class Transport(asyncio.Transport):
    """asyncio's face of a native wire, for programs that look for one."""

    def __init__(self, below: Wire) -> None:
        super().__init__()
        self._wire = below

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the socket."""
        return self._wire.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Return whether it is closed, or about to be."""
        return self._wire.closing

    def close(self) -> None:
        """Close when all that was written has left."""
        check_thread(self._wire.loop)
        self._wire.close()

    def abort(self) -> None:
        """Close now, whatever was not sent."""
        check_thread(self._wire.loop)
        self._wire.abort()

    def get_protocol(self) -> Any:
        """Return the wire."""
        return self._wire

    def is_reading(self) -> bool:
        """Return whether bytes are read as they come."""
        return self._wire.is_reading

    def pause_reading(self) -> None:
        """Stop reading."""
        check_thread(self._wire.loop)
        self._wire.pause()

    def resume_reading(self) -> None:
        """Read again."""
        check_thread(self._wire.loop)
        self._wire.resume()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``, now or when the peer takes it."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data must be bytes-like, not {type(data).__name__}")
        check_thread(self._wire.loop)
        self._wire.write(bytes(data))

    def can_write_eof(self) -> bool:
        """Return True: one direction can be closed alone."""
        return True

    def write_eof(self) -> None:
        """Send the end of the stream after what was written."""
        check_thread(self._wire.loop)
        self._wire.half_close()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the kernel has not taken yet."""
        return self._wire.unsent

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        """Set the marks at which writing is paused and resumed."""
        if high is None:
            high = 65536 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError(f"low is {low}, high {high}; 0 <= low <= high is allowed")
        self._wire.set_write_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low mark and the high one."""
        return self._wire.write_limits
