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

__all__ = ["Wire", "wait_for"]

# Python makes the bytes that recv() fills before it waits: a connection that is silent
# holds no more than this. Who sends much is read from with READ_SIZE.
_FIRST_SIZE = 4096


def wait_for(sock: socket.socket, writing: bool, seconds: float | None) -> bool:
    """Return whether ``sock`` can be read, or written, within ``seconds``."""
    if not hasattr(select, "poll"):
        readers, writers = ([], [sock]) if writing else ([sock], [])
        return any(select.select(readers, writers, [], seconds))
    poll = select.poll()
    poll.register(sock, select.POLLOUT if writing else select.POLLIN)
    # Rounded up: a wait that ends too early would be repeated at once.
    return bool(poll.poll(None if seconds is None else int(seconds * 1000) + 1))


class Wire(wire.Wire):
    """One socket. The caller's lock guards all but ``receive()``."""

    _size = _FIRST_SIZE  # what is asked for next

    def receive(self, seconds: float | None) -> bytes | None:
        """Wait for bytes as they come from the network; b"" at the end of the stream.

        Returns None after ``seconds``. Raises OSError when TCP is lost.
        """
        if (seconds is not None or not NO_WAIT) and not wait_for(
            self.sock, False, seconds
        ):
            return None
        size = self._size
        data = self.sock.recv(size)
        self._size = READ_SIZE if len(data) == size else _FIRST_SIZE
        return data

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
                data = self.receive(_left(ends_at))
                if data is None:
                    raise TimeoutError("timed out in the TLS handshake")
                handshake.send(data)
        except StopIteration:
            self.drain(ends_at)

    def drain(self, ends_at: float | None) -> None:
        """Wait until all is sent; raise TimeoutError at ``ends_at``, OSError if not."""
        self.flush()
        while self._unsent:
            if not wait_for(self.sock, True, _left(ends_at)):
                raise TimeoutError("timed out while sending to the peer")
            self.flush()
        if self.error is not None:
            raise self.error


def _left(ends_at: float | None) -> float | None:
    """Return the seconds until ``ends_at``, None for ever."""
    return None if ends_at is None else max(0.0, ends_at - time.monotonic())
