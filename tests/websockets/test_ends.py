"""When a connection of the documented API is open, closing and closed.

What its attributes say and what its methods do agree at every moment: the end is told
of when TCP has ended, not before.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import socket
import struct

import pytest

from longwire import websockets
from longwire.websockets import State, old_names
from tests.websockets.serving import UPGRADE, port_of

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

SERVES = {
    "old": websockets.legacy.server.serve,
    "today's": websockets.asyncio.server.serve,
    "top level": websockets.serve,
}
CONNECTS = {
    "old": websockets.legacy.client.connect,
    "today's": websockets.asyncio.client.connect,
    "top level": websockets.connect,
}


class Peer:
    """The raw other side of one connection: frames as bytes, TCP as it likes."""

    def __init__(self, reader, writer, masks):
        self.reader, self.writer, self._masks = reader, writer, masks

    def frame(self, head, payload=b""):
        """Write a frame whose first byte is ``head``."""
        size = len(payload) | (0x80 if self._masks else 0)
        mask = b"\0\0\0\0" if self._masks else b""
        self.writer.write(bytes((head, size)) + mask + payload)

    def close_frame(self, code=1000, reason=b""):
        self.frame(0x88, code.to_bytes(2, "big") + reason)

    async def end(self):
        """End TCP."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def a_client(kind, **options):
    """A connection of ``connect`` and its raw server."""
    there = asyncio.get_running_loop().create_future()

    async def accept(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)[1]
        token = base64.b64encode(hashlib.sha1(key + GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n" % token
        )
        there.set_result(Peer(reader, writer, masks=False))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        uri = f"ws://127.0.0.1:{port_of(server)}"
        fixed = {"compression": None, "proxy": None}
        websocket = await CONNECTS[kind](uri, **fixed, **options)
        peer = await there
        try:
            yield websocket, peer
        finally:
            await peer.end()
            await websocket.wait_closed()


@contextlib.asynccontextmanager
async def a_server(kind):
    """A connection of ``serve`` and its raw client."""
    there = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def handler(websocket):
        there.set_result(websocket)
        await over.wait()

    async with SERVES[kind](handler, "127.0.0.1", 0, compression=None) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(UPGRADE % (b"/", b""))
        await reader.readuntil(b"\r\n\r\n")
        peer = Peer(reader, writer, masks=True)
        try:
            yield await there, peer
        finally:
            over.set()
            await peer.end()


SIDES = {"client": a_client, "server": a_server}
each = pytest.mark.parametrize(
    ("side", "kind"), [(side, kind) for side in SIDES for kind in SERVES]
)


async def one_of(iterable):
    return await anext(aiter(iterable))


VERBS = {
    "recv": lambda ws: ws.recv(),
    "iteration": one_of,
    "send": lambda ws: ws.send("late"),
    "send a list": lambda ws: ws.send(["la", "te"]),
    "ping": lambda ws: ws.ping(),
    "pong": lambda ws: ws.pong(),
    "recv_streaming": lambda ws: one_of(ws.recv_streaming()),
}


def said(websocket):
    """What the attributes of ``websocket`` say of its state."""
    found = {"state": websocket.state, "code": websocket.close_code}
    for name in ("open", "closed"):
        if name != "open" or hasattr(websocket, name):
            found[name] = getattr(websocket, name, None)
    return found


def is_open(websocket):
    return (
        websocket.state is State.OPEN
        and websocket.close_code is websocket.close_reason is None
        and getattr(websocket, "open", True) is True
        and getattr(websocket, "closed", False) is False
    )


def is_closing(websocket):
    return (
        websocket.state is State.CLOSING
        and websocket.close_code is websocket.close_reason is None
        and getattr(websocket, "open", False) is False
        and getattr(websocket, "closed", False) is False
    )


def is_closed(websocket, code):
    return (
        websocket.state is State.CLOSED
        and websocket.close_code == code
        and isinstance(websocket.close_reason, str)
        and getattr(websocket, "open", False) is False
        and getattr(websocket, "closed", True) is True
    )


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@each
@pytest.mark.parametrize("verb", VERBS)
async def test_the_end_is_told_of_when_tcp_has_ended(side, kind, verb):
    async with SIDES[side](kind) as (websocket, peer):
        assert is_open(websocket)
        peer.close_frame(1000, b"bye")
        await until(lambda: websocket.state is not State.OPEN)
        assert is_closing(websocket)

        task = asyncio.ensure_future(VERBS[verb](websocket))
        await asyncio.sleep(0.05)
        assert not task.done()
        assert is_closing(websocket)

        await peer.end()
        expected = (websockets.ConnectionClosedOK, StopAsyncIteration)
        with pytest.raises(expected):
            await asyncio.wait_for(task, 10)
        assert is_closed(websocket, 1000)
        assert websocket.close_reason == "bye"


@each
async def test_a_close_frame_is_answered_while_messages_wait(side, kind):
    async with SIDES[side](kind) as (websocket, peer):
        for payload in (b"a", b"b"):
            peer.frame(0x81, payload)
        peer.close_frame(1001)
        await until(lambda: websocket.state is not State.OPEN)

        assert (await peer.reader.readexactly(1)) == b"\x88"
        assert is_closing(websocket)
        assert [await websocket.recv(), await websocket.recv()] == ["a", "b"]
        assert is_closing(websocket)
        await peer.end()
        with pytest.raises(websockets.ConnectionClosedOK):
            await websocket.recv()
        assert is_closed(websocket, 1001)


@each
async def test_the_loop_of_who_asks_closed_before_each_recv_ends(side, kind):
    async with SIDES[side](kind) as (websocket, peer):
        rounds = 0

        async def program():
            nonlocal rounds
            while websocket.state is not State.CLOSED:
                rounds += 1
                try:
                    await websocket.recv()
                except websockets.ConnectionClosed:
                    continue

        running = asyncio.create_task(program())
        peer.frame(0x81, b"one")
        peer.close_frame()
        await until(lambda: websocket.state is State.CLOSING)
        await asyncio.sleep(0.05)
        await peer.end()
        await asyncio.wait_for(running, 10)

        assert rounds <= 3


@each
async def test_whoever_closes_is_closing_until_the_peer_has_ended_tcp(side, kind):
    async with SIDES[side](kind) as (websocket, peer):
        closing = asyncio.create_task(websocket.close(1000, "ours"))
        await until(lambda: websocket.state is not State.OPEN)
        assert is_closing(websocket)
        peer.close_frame(1000, b"ours")
        await asyncio.sleep(0.05)
        assert is_closing(websocket)
        assert not closing.done()
        await peer.end()
        await asyncio.wait_for(closing, 10)

        assert is_closed(websocket, 1000)


@each
async def test_a_fault_of_the_peer_is_told_of_when_tcp_has_ended(side, kind):
    async with SIDES[side](kind) as (websocket, peer):
        receiving = asyncio.ensure_future(websocket.recv())
        peer.frame(0x83)  # a reserved opcode
        await until(lambda: websocket.state is not State.OPEN)
        assert is_closing(websocket)
        await asyncio.sleep(0.05)
        assert not receiving.done()
        await peer.end()
        with pytest.raises(websockets.ConnectionClosedError, match="sent 1002"):
            await asyncio.wait_for(receiving, 10)

        assert is_closed(websocket, 1006)


@each
async def test_a_lost_connection_is_closed_with_1006(side, kind):
    async with SIDES[side](kind) as (websocket, peer):
        receiving = asyncio.ensure_future(websocket.recv())
        await asyncio.sleep(0)
        peer.writer.transport.abort()
        with pytest.raises(websockets.ConnectionClosedError, match="no close frame"):
            await asyncio.wait_for(receiving, 10)

        assert is_closed(websocket, 1006)


@pytest.mark.parametrize("how", ["the end of TCP", "our own abort", "a reset"])
@each
async def test_a_lost_connection_names_its_cause(side, kind, how):
    async with SIDES[side](kind) as (websocket, peer):
        if how == "our own abort":
            websocket.transport.abort()
        elif how == "a reset":
            raw = peer.writer.get_extra_info("socket")
            linger = struct.pack("ii", 1, 0)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            peer.writer.transport.abort()
        else:
            peer.writer.close()
        raised = []
        for verb in (websocket.recv, websocket.recv, lambda: websocket.send("late")):
            with pytest.raises(websockets.ConnectionClosedError) as caught:
                await asyncio.wait_for(verb(), 10)
            raised.append(caught.value)

    for exc in raised:
        assert (exc.rcvd, exc.sent) == (None, None)
        if how == "a reset":
            assert isinstance(exc.__cause__, ConnectionResetError)
        elif kind == "old":
            text = "0 bytes read on a total of 2 expected bytes"
            assert isinstance(exc.__cause__, asyncio.IncompleteReadError)
            assert str(exc.__cause__) == text
        else:
            assert isinstance(exc.__cause__, EOFError)
            assert str(exc.__cause__) == "unexpected end of stream"


@each
async def test_a_proper_end_has_no_cause(side, kind):
    async with SIDES[side](kind) as (websocket, peer):
        peer.close_frame()
        peer.writer.close()
        with pytest.raises(websockets.ConnectionClosedOK) as caught:
            await asyncio.wait_for(websocket.recv(), 10)

    assert caught.value.__cause__ is None


@each
async def test_a_ping_that_waits_is_told_when_tcp_has_ended(side, kind):
    async with SIDES[side](kind) as (websocket, peer):
        waiter = await websocket.ping()
        peer.close_frame()
        await until(lambda: websocket.state is not State.OPEN)
        await asyncio.sleep(0.05)
        assert not waiter.done()
        await peer.end()
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(waiter, 10)


@pytest.mark.parametrize("kind", CONNECTS)
async def test_before_it_is_open_a_connection_says_connecting(kind):
    seen = []
    old = kind == "old"
    base = {
        "old": websockets.legacy.client.WebSocketClientProtocol,
        "today's": websockets.asyncio.client.ClientConnection,
        "top level": old_names.ClientConnection,
    }[kind]

    class Watching(base):
        def connection_made(self, transport):
            super().connection_made(transport)
            seen.append((self.state, self.close_code, self.close_reason))
            seen.append(getattr(self, "open", False) or getattr(self, "closed", False))

    keyword = "create_protocol" if old else "create_connection"
    listen = SERVES[kind]

    async def handler(websocket):
        await websocket.wait_closed()

    async with listen(handler, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{port_of(server)}"
        async with CONNECTS[kind](uri, proxy=None, **{keyword: Watching}):
            pass

    assert seen == [(State.CONNECTING, None, None), False]


@pytest.mark.parametrize("kind", SERVES)
async def test_a_connection_that_was_refused_is_closed(kind):
    made = []
    base = {
        "old": websockets.legacy.server.WebSocketServerProtocol,
        "today's": websockets.asyncio.server.ServerConnection,
        "top level": old_names.ServerConnection,
    }[kind]

    class Noted(base):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    keyword = "create_protocol" if kind == "old" else "create_connection"
    async with SERVES[kind](print, "127.0.0.1", 0, **{keyword: Noted}) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.read()
        writer.close()
        await until(lambda: made[0].state is State.CLOSED)

    assert is_closed(made[0], 1006)


# --- messages under way ------------------------------------------------------------


async def never_ending(item, ready):
    yield item
    ready.set()
    await asyncio.Event().wait()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", ["today's", "top level"])
async def test_closing_in_the_middle_of_a_message_is_a_failure(side, kind):
    async with SIDES[side](kind) as (websocket, peer):
        ready = asyncio.Event()
        sending = asyncio.ensure_future(websocket.send(never_ending("half", ready)))
        await ready.wait()
        closing = asyncio.ensure_future(websocket.close(1000, "bye"))

        assert (await frame_of(peer))[:1] == b"\x01"
        opcode, payload = split(await frame_of(peer))
        assert opcode == 0x88
        assert payload == b"\x03\xf3close during fragmented message"

        await peer.end()
        await asyncio.wait_for(closing, 10)
        sending.cancel()
        await asyncio.wait({sending})


@pytest.mark.parametrize("side", SIDES)
async def test_an_old_connection_fails_without_words_where_an_iterable_does(side):
    async with SIDES[side]("old") as (websocket, peer):
        with pytest.raises(TypeError):
            await websocket.send(["text", b"bytes"])

        assert (await frame_of(peer))[:1] == b"\x01"
        assert split(await frame_of(peer)) == (0x88, b"\x03\xf3")
        assert websocket.state is not State.OPEN


@each
async def test_a_ping_is_answered_after_the_own_close_frame(side, kind):
    async with SIDES[side](kind) as (websocket, peer):
        closing = asyncio.ensure_future(websocket.close())
        assert split(await frame_of(peer)) == (0x88, b"\x03\xe8")

        peer.frame(0x89, b"still there?")
        assert split(await frame_of(peer)) == (0x8A, b"still there?")

        peer.close_frame()
        await peer.end()
        await asyncio.wait_for(closing, 10)


async def test_an_old_connection_reads_a_message_to_its_end_that_nobody_waits_for():
    async with a_client("old", max_queue=1) as (websocket, peer):
        peer.frame(0x01, b"a" * 100)
        peer.frame(0x00, b"b" * 100)
        peer.frame(0x89, b"first")
        assert split(await frame_of(peer)) == (0x8A, b"first")
        peer.frame(0x80, b"c")

        assert (
            await asyncio.wait_for(websocket.recv(), 10) == "a" * 100 + "b" * 100 + "c"
        )


async def frame_of(peer):
    """Read a frame of at most 125 bytes; return it without its mask."""
    head = await asyncio.wait_for(peer.reader.readexactly(2), 10)
    size = head[1] & 0x7F
    if not head[1] & 0x80:
        return head + await peer.reader.readexactly(size)
    mask = await peer.reader.readexactly(4)
    payload = await peer.reader.readexactly(size)
    return head + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def split(frame):
    return frame[0], frame[2:]
