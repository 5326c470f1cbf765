"""The other end of a connection as plain bytes on a blocking socket.

Knows just enough of RFC 6455 to write and read single frames, right or wrong, so that
tests see the wire itself and not our own encoder's view of it. All waits have an end.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import ssl
import struct
import time
from collections.abc import Iterable
from typing import NamedTuple, Self

SECONDS = 20.0
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x37\xfa\x21\x3d"

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Frame(NamedTuple):
    """One frame as it came, payload unmasked."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0


def request(*headers: bytes, path: bytes = b"/") -> bytes:
    """Return an opening request with further header lines."""
    lines = [
        b"GET " + path + b" HTTP/1.1",
        b"Host: localhost",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: " + KEY,
        b"Sec-WebSocket-Version: 13",
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def answer(head: bytes, *headers: bytes) -> bytes:
    """Return the 101 that fits the request ``head``, with further header lines."""
    key = next(
        line.partition(b":")[2].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    )
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept_for(key),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def accept_for(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept for ``key`` (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def masked(payload: bytes) -> bytes:
    """Return ``payload`` under the one mask used here, behind the mask."""
    size = len(payload)
    stream = (MASK * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return MASK + mixed.to_bytes(size, "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bool = True,
    size: int | None = None,
) -> bytes:
    """Return a frame; ``size`` announces another length than the payload has."""
    length = len(payload) if size is None else size
    head = bytearray([fin << 7 | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if length < 126:
        head.append(bit | length)
    elif length < 1 << 16:
        head += struct.pack("!BH", bit | 126, length)
    else:
        head += struct.pack("!BQ", bit | 127, length)
    return bytes(head) + (masked(payload) if mask else payload)


def close_payload(code: int, reason: str = "") -> bytes:
    """Return the payload of a close frame."""
    return struct.pack("!H", code) + reason.encode()


class RawPeer:
    """A blocking socket that speaks frames; ``client`` says whether it masks."""

    def __init__(self, sock: socket.socket, client: bool) -> None:
        sock.settimeout(SECONDS)
        self.sock = sock
        self.client = client
        self.head = b""
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # --- opening -----------------------------------------------------------------

    def ask(self, *headers: bytes) -> Self:
        """Do the client's opening handshake."""
        self.sock.sendall(request(*headers))
        self.head = self.read_head()
        assert self.head.startswith(b"HTTP/1.1 101 "), self.head
        return self

    def answer(self, *headers: bytes) -> Self:
        """Do the server's opening handshake."""
        self.head = self.read_head()
        self.sock.sendall(answer(self.head, *headers))
        return self

    def read_head(self) -> bytes:
        """Return an HTTP head up to and with its empty line."""
        while b"\r\n\r\n" not in self._unread:
            self._unread += self._receive()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    # --- writing -----------------------------------------------------------------

    def send(
        self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0
    ) -> None:
        """Send one frame."""
        self.write(self.frame(opcode, payload, fin=fin, rsv=rsv))

    def frame(
        self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0
    ) -> bytes:
        """Return one frame of this side, not sent."""
        return frame(opcode, payload, fin=fin, rsv=rsv, mask=self.client)

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        """Send a close frame, without a code if that is None."""
        self.send(CLOSE, b"" if code is None else close_payload(code, reason))

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def push(self, data: bytes, most: int, idle: float = 0.5) -> int:
        """Send ``data`` again and again until the other end takes no more of it.

        Returns the bytes sent: less than ``most`` if nothing was taken for ``idle``
        seconds.
        """
        self.sock.settimeout(idle)
        sent = 0
        try:
            while sent < most:
                at = sent % len(data)
                sent += self.sock.send(data[at:])
        except TimeoutError:
            pass  # it has stopped us, which is what the caller asks about
        finally:
            self.sock.settimeout(SECONDS)
        self._pushed = data[sent % len(data) :] if sent % len(data) else b""
        return sent

    def finish_push(self) -> None:
        """Send the rest of the frame that ``push`` was stopped in."""
        self.write(self._pushed)

    def dribble(self, data: bytes, pause: float) -> int:
        """Send byte by byte; return how many it was allowed to send."""
        for sent in range(len(data)):
            try:
                self.sock.sendall(data[sent : sent + 1])
            except OSError:
                return sent
            time.sleep(pause)
        return len(data)

    # --- reading -----------------------------------------------------------------

    def _receive(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("the other end sends nothing more")
        return data

    def _exactly(self, size: int) -> bytes:
        parts, have = [self._unread], len(self._unread)
        while have < size:
            parts.append(self._receive())
            have += len(parts[-1])
        data = b"".join(parts)
        self._unread = data[size:]
        return data[:size]

    def read(self) -> Frame:
        """Return the next frame; raises EOFError at the end of the stream."""
        first, second = self._exactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._exactly(8))
        assert bool(second & 0x80) != self.client, "masked by the wrong side"
        key = self._exactly(4) if second & 0x80 else b""
        payload = self._exactly(size)
        if key:
            stream = (key * (size // 4 + 1))[:size]
            mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
            payload = mixed.to_bytes(size, "big")
        return Frame(first & 0x0F, payload, bool(first & 0x80), first >> 4 & 7)

    def read_bytes(self, size: int) -> bytes:
        """Return the next ``size`` bytes as they are on the wire."""
        return self._exactly(size)

    def read_message(self) -> bytes:
        """Return the payload of the next data message, joined."""
        parts = []
        while True:
            found = self.read()
            if found.opcode in (CONT, TEXT, BINARY):
                parts.append(found.payload)
                if found.fin:
                    return b"".join(parts)

    def read_close(self) -> tuple[int | None, str]:
        """Skip to the close frame; return its code, None if it has none, and reason."""
        found = self.read()
        while found.opcode != CLOSE:
            found = self.read()
        if not found.payload:
            return None, ""
        return struct.unpack("!H", found.payload[:2])[0], found.payload[2:].decode()

    def read_all(self) -> bytes:
        """Return everything up to the end of the stream; a reset is an end too."""
        data, self._unread = [self._unread], b""
        with contextlib.suppress(EOFError, ConnectionError, ssl.SSLError):
            while True:
                data.append(self._receive())
        return b"".join(data)

    def is_closed(self, within: float = SECONDS) -> bool:
        """Read on, and return whether the stream ends within so many seconds."""
        end = time.monotonic() + within
        try:
            while (left := end - time.monotonic()) > 0:
                self.sock.settimeout(left)
                if not self.sock.recv(65536):
                    return True
        except TimeoutError:
            pass  # still open
        except (ConnectionError, ssl.SSLError):
            return True
        finally:
            self.sock.settimeout(SECONDS)
        return False

    # --- ending ------------------------------------------------------------------

    def end(self) -> None:
        """Send TCP's end and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    def close(self) -> None:
        """Close TCP."""
        with contextlib.suppress(OSError):
            self.sock.close()


def knock(port: int, *, small: bool = False) -> RawPeer:
    """Return a client that has connected and said nothing yet.

    ``small`` gives it buffers of the kernel that fill up soon.
    """
    sock = socket.socket()
    if small:
        shrink(sock)
    sock.settimeout(SECONDS)
    sock.connect(("127.0.0.1", port))
    return RawPeer(sock, client=True)


def shrink(sock: socket.socket, size: int = 65536) -> None:
    """Give ``sock`` fixed small buffers; before it connects or listens."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def listener(*, small: bool = False) -> socket.socket:
    """Return a socket that listens on a port of 127.0.0.1."""
    sock = socket.socket()
    if small:
        shrink(sock)
    sock.bind(("127.0.0.1", 0))
    sock.listen(64)
    sock.settimeout(SECONDS)
    return sock


def in_pieces(data: bytes, size: int) -> Iterable[bytes]:
    """Cut ``data`` into pieces of ``size`` bytes."""
    return (data[at : at + size] for at in range(0, len(data), size))
