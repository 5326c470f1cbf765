"""What one read over TLS causes to be sent leaves in one record."""

import asyncio
import socket
import ssl

from longwire import serve

FRAMES = 10
FRAME = b"\x81\x85\x00\x00\x00\x00hello"
ANSWER = b"\x81\x05hello"
HEAD = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
APPLICATION_DATA = 23  # a record's type, RFC 8446 section 5.1


class TlsPeer:
    """A TLS client that sees the records themselves."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), 5)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost"
        )
        self._unread = b""
        self.records: list[int] = []
        while True:
            try:
                self._tls.do_handshake()
                self._push()
                return
            except ssl.SSLWantReadError:
                self._push()
                self._pull()

    def _push(self) -> None:
        self._sock.sendall(self._outgoing.read())

    def _pull(self) -> None:
        data = self._sock.recv(65536)
        assert data, "closed"
        self._incoming.write(data)
        self._unread += data
        while len(self._unread) >= 5:
            size = 5 + int.from_bytes(self._unread[3:5])
            if len(self._unread) < size:
                break
            self.records.append(self._unread[0])
            self._unread = self._unread[size:]

    def send(self, data: bytes) -> None:
        """Send ``data`` in one record."""
        self._tls.write(data)
        self._push()

    def receive(self, size: int) -> bytes:
        """Return ``size`` bytes or more."""
        data = b""
        while len(data) < size:
            try:
                data += self._tls.read(65536)
            except ssl.SSLWantReadError:
                self._pull()
        return data

    def close(self) -> None:
        self._sock.close()


async def test_answers_to_what_came_together_are_one_record(certificates):
    async def echo(websocket):
        async for message in websocket:
            await websocket.send(message)

    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    # TLS 1.3 sends records of its own after the handshake, of the same type.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    seen: list[bytes] = []

    def play(port: int) -> None:
        peer = TlsPeer(port, context)
        peer.send(HEAD)
        head = peer.receive(1)
        while b"\r\n\r\n" not in head:
            head += peer.receive(1)
        peer.records.clear()

        peer.send(FRAME * FRAMES)
        seen.append(peer.receive(len(ANSWER) * FRAMES))
        seen.append(bytes(peer.records))
        peer.close()

    async with serve(
        echo, "127.0.0.1", 0, ssl=certificates.server, compression=None
    ) as server:
        port = server.sockets[0].getsockname()[1]
        await asyncio.to_thread(play, port)

    answers, records = seen
    assert answers == ANSWER * FRAMES
    assert list(records) == [APPLICATION_DATA]
