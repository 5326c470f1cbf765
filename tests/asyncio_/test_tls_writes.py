"""Writing over TLS: what one read causes to be sent leaves in one record; what waits
below TLS is counted.
"""

import asyncio
import contextlib
import socket
import ssl
import time

import pytest

from longwire import Cause, ConnectionClosed, Timeouts, connect, serve

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


# --- what waits below TLS ---

MIB = 1 << 20
LARGE = 24 * MIB  # several times what the system takes of it


@pytest.fixture(params=["native", "transport"])
def engine(request, monkeypatch):
    """Have TLS by aiofastnet, where it is installed, and by the loop itself."""
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)
    return request.param


def connected(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a client that has a small buffer and reads when it is told to."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.settimeout(10)
    sock.connect(("127.0.0.1", port))
    tls = context.wrap_socket(sock, server_hostname="localhost")
    tls.sendall(HEAD)
    return tls


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.stock_loop  # uvloop does not tell what waits below its TLS
async def test_a_message_that_waits_below_tls_is_counted(certificates, engine):
    context = certificates.client
    ended = asyncio.Event()

    async def send(websocket):
        with contextlib.suppress(ConnectionClosed):
            await websocket.send(bytes(LARGE))
        await ended.wait()

    async with serve(
        send, "localhost", 0, ssl=certificates.server, compression=None
    ) as server:
        port = server.sockets[0].getsockname()[1]
        peer = await asyncio.to_thread(connected, port, context)
        await until(lambda: server.connections)
        (websocket,) = server.connections
        await until(lambda: websocket._memory > LARGE // 2)
        taken = websocket._memory
        # Encrypted, and what allocators and two layers add; not both layers' sums.
        assert taken < 2 * LARGE
        peer.close()
        await until(lambda: websocket._memory == 0)
        ended.set()


@pytest.mark.stock_loop  # uvloop does not tell what waits below its TLS
async def test_a_client_counts_what_waits_below_tls_too(certificates, engine):
    ended = asyncio.Event()

    async def deaf(websocket):
        websocket.transport.pause_reading()
        await ended.wait()
        websocket.transport.abort()

    context = certificates.client
    async with serve(deaf, "localhost", 0, ssl=certificates.server) as server:
        port = server.sockets[0].getsockname()[1]
        websocket = await connect(
            f"wss://localhost:{port}/", ssl=context, compression=None
        )
        sending = asyncio.create_task(websocket.send(bytes(LARGE)))
        await until(lambda: websocket._memory > LARGE // 2)
        ended.set()
        await asyncio.wait([sending])
        sending.exception()
        await websocket.wait_closed()


@pytest.mark.stock_loop  # uvloop does not tell what waits below its TLS
async def test_a_peer_that_takes_a_message_slowly_over_tls_is_not_cut_off(
    certificates, engine
):
    context = certificates.client
    reports = asyncio.Queue()

    async def send(websocket):
        try:
            await websocket.send(bytes(LARGE))
            await websocket.send(bytes(MIB))  # waits in front of TLS
        finally:
            await websocket.wait_closed()
            reports.put_nowait(websocket.close_report)

    def read(port: int) -> int:
        with connected(port, context) as peer:
            peer.recv(65536)
            count = 0
            while count < LARGE:
                some = 0
                while some < 2 * MIB:
                    data = peer.recv(65536)
                    if not data:
                        return count + some
                    some += len(data)
                count += some
                time.sleep(0.4)
            return count

    async with serve(
        send,
        "localhost",
        0,
        ssl=certificates.server,
        compression=None,
        timeouts=Timeouts(write=1.5, close=1.0),
    ) as server:
        port = server.sockets[0].getsockname()[1]
        received = await asyncio.to_thread(read, port)
        report = await reports.get()

    assert received >= LARGE
    assert report.cause is not Cause.WRITE_TIMEOUT
