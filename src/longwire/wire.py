"""Wires: a connected socket, with TLS over it or not, for front ends without asyncio.

Waits for nothing. TLS works on memory, so that one may wait for input while another
writes. What the kernel does not take at once stays here until ``flush()`` is called
again. A front end adds ``receive()``, ``drain()`` and how to wait in a TLS handshake.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Generator
from typing import Any

__all__ = ["NO_WAIT", "READ_SIZE", "Wire"]

READ_SIZE = 65536

# Where the system has no such flag, sockets do not block and are waited for.
NO_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
_PENDING = (BlockingIOError, InterruptedError)


class Wire:
    """One socket, as far as nobody has to wait for it."""

    error: OSError | None = None
    """Why writing failed."""
    closed = False
    ended = False
    """The peer sends nothing more."""
    early = b""
    """What has come with the end of a TLS handshake, to be taken first."""
    _half_closed = False
    _ended = False  # nothing more is sent

    def __init__(self, sock: socket.socket) -> None:
        if isinstance(sock, ssl.SSLSocket):
            raise TypeError("sock must be a plain socket; give the context as ssl")
        sock.settimeout(None if NO_WAIT else 0)
        if sock.family in (socket.AF_INET, getattr(socket, "AF_INET6", None)):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._layers: list[_Tls] = []  # the first is next to the socket
        self._unsent = bytearray()

    def addresses(self) -> tuple[Any, Any]:
        """Return our address and the peer's, as far as they are known."""
        return _address(self.sock.getsockname), _address(self.sock.getpeername)

    # --- reading -----------------------------------------------------------------

    def receive_now(self) -> bytes | None:
        """Return the bytes that are there, None if there are none."""
        try:
            return self.sock.recv(READ_SIZE, NO_WAIT)
        except _PENDING:
            return None

    def decode(self, data: bytes) -> tuple[bytes, bool]:
        """Return what ``data`` brings below TLS, and whether that has ended.

        Raises ssl.SSLError for what is no TLS.
        """
        ended = not data
        for layer in self._layers:
            data, over = layer.decrypt(data)
            ended = ended or over
            answer = layer.outgoing.read()
            if answer:
                self._put(answer, self._layers.index(layer))
        self.ended = self.ended or ended
        return data, ended

    @property
    def is_tls(self) -> bool:
        """Whether the stream is encrypted."""
        return bool(self._layers)

    # --- writing -----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send ``data``, or as much as can be sent now; ``error`` says if it failed."""
        if self._layers or self._unsent or self.error is not None or self._ended:
            self._put(data, len(self._layers))
            return
        # By far the most common: no TLS, and room.
        sent = self._send(data)
        if sent < len(data) and self.error is None:
            self._unsent += data[sent:]

    def _put(self, data: bytes, above: int) -> None:
        if self.error is not None or self._ended:
            return
        for layer in reversed(self._layers[:above]):
            data = layer.encrypt(data)
        if not self._unsent:
            sent = self._send(data)
            if sent == len(data):
                return
            data = data[sent:]
        if self.error is None:
            self._unsent += data

    def flush(self) -> None:
        """Send as much as can be sent now of what waits."""
        while self._unsent:
            sent = self._send(self._unsent)
            if not sent:
                return
            del self._unsent[:sent]

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self.sock.send(data, NO_WAIT)
        except _PENDING:
            return 0
        except OSError as exc:
            self.error = exc
            self._unsent.clear()
            return 0

    @property
    def unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return len(self._unsent)

    # --- TLS ---------------------------------------------------------------------

    def tls_handshake(
        self, context: ssl.SSLContext, server_hostname: str | None, server_side: bool
    ) -> Generator[None, bytes, None]:
        """Do a TLS handshake, inside of the TLS that is there.

        Yields when what waits here is to be sent, and is resumed with what comes from
        the network then. Raises OSError or ssl.SSLError when it fails.
        """
        layer = _Tls(context, server_hostname, server_side)
        below = len(self._layers)
        while True:
            try:
                layer.object.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            finally:
                # An alert that says what was wrong is sent, too.
                self._put(layer.outgoing.read(), below)
            data, self.early = self.early, b""
            while not data:
                data, ended = self.decode((yield))
                if ended and not data:
                    raise ConnectionResetError("connection lost in the TLS handshake")
            layer.incoming.write(data)
        self._layers.append(layer)
        self.early, ended = layer.decrypt(b"")
        self.ended = self.ended or ended

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """The innermost TLS, None without."""
        return self._layers[-1].object if self._layers else None

    # --- ending ------------------------------------------------------------------

    def half_close(self) -> None:
        """Send the end of the stream, when all is sent; go on reading."""
        if self._half_closed or self._unsent or self.closed:
            return
        # A peer that has ended reads nothing more inside of the TLS of a proxy.
        layers = self._layers[:1] if self.ended else self._layers
        for at in range(len(layers) - 1, -1, -1):
            self._put(layers[at].end(), at)
        if self._unsent:
            return  # to be called again
        self._half_closed = self._ended = True
        self._shut_down(socket.SHUT_WR)

    def close(self, *, in_use: bool) -> None:
        """Close TCP, whatever was not sent.

        Where a thread waits ``in_use`` of the socket it is woken, and has to call
        ``release()`` then: the descriptor must not become another's meanwhile.
        """
        if not self.closed:
            self.closed = self._ended = True
            self._unsent.clear()
            if in_use:
                self._shut_down(socket.SHUT_RDWR)
        if not in_use:
            self.sock.close()

    def release(self) -> None:
        """Close the descriptor of a wire that was closed while in use."""
        if self.closed:
            self.sock.close()

    def _shut_down(self, how: int) -> None:
        try:
            self.sock.shutdown(how)
        except OSError:
            pass  # TCP has ended already


class _Tls:
    """One layer of TLS, from memory to memory."""

    def __init__(
        self, context: ssl.SSLContext, server_hostname: str | None, server_side: bool
    ) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
        )

    def encrypt(self, data: bytes) -> bytes:
        """Return ``data`` as it goes over the wire."""
        at = 0
        while at < len(data):
            at += self.object.write(data[at:] if at else data)
        return self.outgoing.read()

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        """Return what came below TLS, and whether the peer has ended it."""
        self.incoming.write(data)
        parts = []
        try:
            while part := self.object.read(READ_SIZE):
                parts.append(part)
            return b"".join(parts), True
        except ssl.SSLWantReadError:
            return b"".join(parts), False
        except ssl.SSLZeroReturnError:
            return b"".join(parts), True

    def end(self) -> bytes:
        """Return what says that nothing more will be sent (close_notify)."""
        try:
            self.object.unwrap()
        except ssl.SSLError:
            pass  # it waits for the peer's, which is read with the rest
        return self.outgoing.read()


def _address(name: Callable[[], Any]) -> Any:
    try:
        return name()
    except OSError:
        return None  # the peer has gone already
