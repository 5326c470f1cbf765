"""Wires for threads: how a thread waits for a socket.

Bytes are received by the thread that wants them, outside of any lock.
"""

from __future__ import annotations

import select
import socket
import ssl
import time

from .. import wire
from ..wire import NO_WAIT, READ_SIZE

__all__ = ["BUFFER_SIZE", "Wire", "wait_for"]

# What one read takes into the wire's own buffer, which is all that a connection holds
# whose reader waits. Who sends more is read from with READ_SIZE.
BUFFER_SIZE = 4096
_READ_SIZES = (READ_SIZE,)
_NO_BUFFER = memoryview(b"")


def wait_for(
    sock: socket.socket, writing: bool, seconds: float | None, reading: bool = False
) -> bool:
    """Return whether ``sock`` can be read, or written, within ``seconds``.

    ``writing`` waits to write, and to read as well where ``reading`` is true.
    """
    reading = reading or not writing
    if not hasattr(select, "poll"):
        readers, writers = [sock] * reading, [sock] * writing
        return any(select.select(readers, writers, [], seconds))
    poll = select.poll()
    poll.register(sock, select.POLLOUT * writing | select.POLLIN * reading)
    # Rounded up: a wait that ends too early would be repeated at once.
    return bool(poll.poll(None if seconds is None else int(seconds * 1000) + 1))


class Wire(wire.Wire):
    """One socket. The caller's lock guards all but ``receive()``."""

    is_bulk = False  # the last read was full

    def _prepare(self) -> None:
        super()._prepare()
        # The last read, until it is in `came`: how many are in `buffer`, or they.
        self.count: int | None = None
        self.piece: bytes | None = None
        self.buffer = _NO_BUFFER

    def receive(self, seconds: float | None) -> bool:
        """Wait for bytes as they come from the network, for ``decode()``.

        Returns False after ``seconds``. Raises OSError when TCP is lost. What a signal
        interrupts has read nothing, or the wire has all that it read.
        """
        if (seconds is not None or not NO_WAIT) and not wait_for(
            self.sock, False, seconds
        ):
            return False
        if self.is_bulk:
            (self.piece,) = map(self.sock.recv, _READ_SIZES)
        else:
            if self.buffer is _NO_BUFFER:
                self.buffer = memoryview(bytearray(BUFFER_SIZE))
            (self.count,) = map(self.sock.recv_into, (self.buffer,))
        return True

    def receive_now(self) -> bool:
        """Read what is there, for ``came``; return whether there was something."""
        self.settle()
        return super().receive_now()

    def settle(self) -> None:
        """Bring what the last read brought to ``came``: before the next one."""
        came, count, piece = self.came, self.count, self.piece
        # Each in one statement: moved, and not to be moved again.
        if count is not None:
            self.is_bulk = count == BUFFER_SIZE
            came[len(came) :], self.count = (bytes(self.buffer[:count]),), None
        if piece is not None:
            self.is_bulk = len(piece) == READ_SIZE
            came[len(came) :], self.piece = (piece,), None

    def decode(self) -> None:
        """Bring what came to ``plain``. Raises ssl.SSLError for what is no TLS."""
        self.settle()
        if self.layers:
            super().decode()

    def start_tls(
        self,
        context: ssl.SSLContext,
        server_hostname: str | None,
        server_side: bool,
        ends_at: float | None,
    ) -> None:
        """Do a TLS handshake, inside of the TLS that is there.

        Raises OSError or ssl.SSLError when it fails, TimeoutError at ``ends_at``.
        """
        handshake = self.tls_handshake(context, server_hostname, server_side)
        try:
            next(handshake)
            while True:
                self.drain(ends_at)
                if not self.receive(_left(ends_at)):
                    raise TimeoutError("timed out in the TLS handshake")
                next(handshake)
        except StopIteration:
            self.drain(ends_at)

    def drain(self, ends_at: float | None) -> None:
        """Wait until all is sent; raise TimeoutError at ``ends_at``, OSError if not."""
        # Nothing is asked of a socket for whom nothing waits: a peer that has reset it
        # meanwhile may have got all.
        if self.unsent or self.layers:
            self.flush()
        while self.unsent:
            if not wait_for(self.sock, True, _left(ends_at)):
                raise TimeoutError("timed out while sending to the peer")
            self.flush()
        if self.error is not None:
            raise self.error


def _left(ends_at: float | None) -> float | None:
    """Return the seconds until ``ends_at``, None for ever."""
    return None if ends_at is None else max(0.0, ends_at - time.monotonic())
