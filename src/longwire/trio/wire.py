"""Wires for trio: sockets of our own, and streams that the caller gives.

A socket takes what it can at once, without a switch of tasks. A stream is used by
nothing but its methods, so that it may be anything: TLS, memory, a tunnel.
"""

from __future__ import annotations

import socket
from typing import Any

import trio
from trio.lowlevel import notify_closing, wait_readable, wait_writable

from .. import wire
from ..wire import READ_SIZE

__all__ = ["StreamWire", "Wire", "adopt"]


class Wire(wire.Wire):
    """A socket; what raises an error raises an OSError."""

    async def receive(self) -> bool:
        """Wait for bytes as they come from the network, and put them in ``came``.

        Returns False when interrupted. Nothing is lost where that is cancelled.
        """
        try:
            await wait_readable(self.sock)
            while not self.receive_now():
                await wait_readable(self.sock)
        except trio.ClosedResourceError:
            return False
        return True

    def interrupt(self) -> None:
        """Wake who waits for the socket."""
        # trio has it for sockets about to be closed; this one may stay open.
        notify_closing(self.sock)

    async def send_some(self) -> None:
        """Wait until more of what is unsent can be sent, and send that."""
        try:
            await wait_writable(self.sock)
        except trio.ClosedResourceError:
            if self.closed:
                self.error = OSError("the socket was closed")
        else:
            self.flush()

    async def drain(self) -> None:
        """Wait until all is sent; raise OSError if it cannot be."""
        while self.unsent and self.error is None:
            await self.send_some()
        if self.error is not None:
            raise self.error

    async def start_tls(self, context: Any, name: str | None, server: bool) -> None:
        """Do a TLS handshake; raise OSError or ssl.SSLError when it fails."""
        handshake = self.tls_handshake(context, name, server)
        try:
            next(handshake)
            while True:
                await self.drain()
                await self.receive()
                next(handshake)
        except StopIteration:
            await self.drain()

    def close(self, *, in_use: bool = False) -> None:
        """Close TCP, whatever was not sent; wakes who waits for it."""
        if not self.closed:
            self.interrupt()
        super().close(in_use=False)

    async def aclose(self) -> None:
        """Do of closing what takes time for others."""
        self.close()


class StreamWire(Wire):
    """A stream of the caller's; sends nothing before somebody waits for it.

    Whatever its methods raise is an OSError here: one stream's fault is that of its
    connection, and of nothing else.
    """

    _eof_due = False

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._prepare()

    def addresses(self) -> tuple[Any, Any]:
        """Return our address and the peer's, where a socket is at the bottom."""
        below: Any = self.stream
        while hasattr(below, "transport_stream"):
            below = below.transport_stream
        self.sock = getattr(below, "socket", None)  # type: ignore[assignment]
        return (None, None) if self.sock is None else super().addresses()

    async def receive(self) -> bool:
        """Wait for bytes, and put them in ``came``."""
        try:
            data = bytes(await self.stream.receive_some(READ_SIZE))
        except Exception as exc:
            raise _lost(exc) from exc
        self.came.append(data)
        return True

    async def send_some(self) -> None:
        """Send some of what is unsent."""
        data = bytes(self._unsent[:READ_SIZE])
        try:
            if data:
                await self.stream.send_all(data)
            elif self._eof_due:
                self._eof_due = False
                await self.stream.send_eof()  # type: ignore[attr-defined]
        except Exception as exc:
            self._fail(_lost(exc))
        del self._unsent[: len(data)]

    @property
    def unsent(self) -> int:
        """Bytes written that the stream has not taken yet; one for its end."""
        return len(self._unsent) + self._eof_due

    def flush(self) -> bool:
        """Leave what is to be sent to ``send_some()``; return whether it is nothing."""
        self.fresh.append(self.given)
        self.given = b""
        if self.layers:
            self._encrypt()
        fresh = self._first_pieces()
        if not self._ended and self.error is None:
            for data in fresh:
                self._unsent += data
        fresh.clear()
        return not self.unsent and self.error is None

    def _shut_down(self, how: int) -> None:
        self._eof_due = isinstance(self.stream, trio.abc.HalfCloseableStream)

    def close(self, *, in_use: bool = False) -> None:
        """Send nothing more; ``aclose()`` has to follow."""
        self.closed = self._ended = True
        self._eof_due = False
        self._drop()

    async def aclose(self) -> None:
        """Close the stream at once."""
        self.close()
        with trio.CancelScope(shield=True):  # which takes no time
            try:
                await trio.aclose_forcefully(self.stream)
            except Exception:
                pass  # nothing is expected of it any more


def _lost(exc: Exception) -> OSError:
    if isinstance(exc, OSError):
        return exc
    if isinstance(exc, (trio.BrokenResourceError, trio.ClosedResourceError)):
        return ConnectionResetError(str(exc) or "the stream is broken")
    return ConnectionResetError(f"the stream raised {type(exc).__name__}: {exc}")


def adopt(stream: trio.abc.Stream) -> Wire:
    """Return the wire of a stream that nobody else has: the socket of it, if any."""
    if isinstance(stream, trio.SocketStream):
        return Wire(socket.socket(fileno=stream.socket.detach()))
    return StreamWire(stream)
