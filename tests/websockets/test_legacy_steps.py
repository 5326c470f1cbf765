"""The steps of an open connection that subclasses of former editions override."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest
from websockets.asyncio.server import serve as peer_serve

from longwire.websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidState,
    PayloadTooBig,
)
from longwire.websockets.framing import OP_CLOSE, OP_CONT, OP_TEXT
from longwire.websockets.legacy.client import WebSocketClientProtocol, connect
from longwire.websockets.legacy.server import (
    WebSocketServer,
    WebSocketServerProtocol,
    serve,
)
from tests.support.rawpeer import CLOSE, PING, TEXT, knock
from tests.websockets.serving import echo, peer, uri_of, wait


def listen(handler=echo, protocol=WebSocketServerProtocol, **kwargs):
    return serve(handler, "127.0.0.1", 0, create_protocol=protocol, **kwargs)


async def soon(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


# --- opening ---------------------------------------------------------------------


async def test_connection_open_is_called_when_the_handshake_is_complete():
    seen = []

    class Protocol(WebSocketServerProtocol):
        def connection_open(self):
            seen.append((self.path, self.open))
            super().connection_open()
            seen.append(self.open)

    async with listen(protocol=Protocol) as server, peer(server, "/p"):
        await soon(lambda: len(seen) == 2)

    assert seen == [("/p", False), True]


async def test_connection_open_is_called_on_a_client():
    opened = []

    class Protocol(WebSocketClientProtocol):
        def connection_open(self):
            super().connection_open()
            opened.append(self)

    async with peer_serve(echo, "127.0.0.1", 0) as server:
        async with connect(uri_of(server), create_protocol=Protocol) as websocket:
            assert opened == [websocket]


async def test_connection_open_that_does_not_open_is_an_error_that_says_so():
    class Protocol(WebSocketClientProtocol):
        def connection_open(self):
            pass

    async with peer_serve(echo, "127.0.0.1", 0) as server:
        with pytest.raises(RuntimeError, match=r"must call super\(\)\.connection_open"):
            await connect(uri_of(server), create_protocol=Protocol)


async def test_connection_open_before_and_after_its_time_is_an_error():
    with pytest.raises(InvalidState, match="is not complete"):
        WebSocketServerProtocol(echo, WebSocketServer()).connection_open()
    async with peer_serve(echo, "127.0.0.1", 0) as server:
        async with connect(uri_of(server)) as websocket:
            with pytest.raises(InvalidState, match="was completed before"):
                websocket.connection_open()


# --- reading ---------------------------------------------------------------------


class Upper(WebSocketServerProtocol):
    async def read_message(self):
        message = await super().read_message()
        return None if message is None else message.upper()


async def test_what_read_message_returns_is_what_is_received():
    async with listen(protocol=Upper) as server, peer(server) as client:
        await client.send("hello")
        await client.send("again")

        assert [await client.recv(), await client.recv()] == ["HELLO", "AGAIN"]


async def test_a_message_of_read_message_need_not_be_one_of_the_wire():
    class Protocol(WebSocketServerProtocol):
        async def read_message(self):
            message = await super().read_message()
            return None if message is None else {"text": message}

    got = []

    async def handler(websocket):
        async for message in websocket:
            got.append(message)

    async with listen(handler, Protocol) as server:
        async with peer(server) as client:
            await client.send("hello")

    assert got == [{"text": "hello"}]


async def test_recv_of_such_a_connection_can_be_cancelled_without_loss():
    async def handler(websocket):
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(websocket.recv(), 0.001)
        await websocket.send("ready")
        await websocket.send(await websocket.recv())

    async with listen(handler, Upper) as server, peer(server) as client:
        assert await client.recv() == "ready"
        await client.send("kept")
        assert await client.recv() == "KEPT"


async def test_such_a_connection_reads_no_more_than_its_queue_holds():
    seen = []

    class Counting(WebSocketServerProtocol):
        async def read_message(self):
            message = await super().read_message()
            seen.append(message)
            return message

    go = asyncio.Event()

    async def handler(websocket):
        await go.wait()
        await websocket.send(str(len(seen)))
        async for message in websocket:
            await websocket.send(message)

    async with listen(handler, Counting, max_queue=4) as server:
        async with peer(server) as client:
            for number in range(100):
                await client.send(str(number))
            await asyncio.sleep(0.1)
            go.set()

            assert int(await client.recv()) == 5  # one more waits to be put there
            assert [await client.recv() for _ in range(100)] == [
                str(number) for number in range(100)
            ]


async def test_messages_read_before_the_end_are_received_after_it():
    async def handler(websocket):
        for number in range(20):
            await websocket.send(str(number))

    class Protocol(WebSocketClientProtocol):
        async def read_message(self):
            return await super().read_message()

    async with peer_serve(handler, "127.0.0.1", 0) as server:
        websocket = await connect(uri_of(server), create_protocol=Protocol, max_queue=2)
        await websocket.wait_closed()

        assert [message async for message in websocket] == [
            str(number) for number in range(20)
        ]
        await websocket.transfer_data_task
        with pytest.raises(ConnectionClosed):
            await websocket.recv()


async def test_legacy_recv_goes_with_an_overridden_step():
    got = []

    async def handler(websocket):
        while (message := await websocket.recv()) is not None:
            got.append(message)

    with pytest.warns(DeprecationWarning, match="remove legacy_recv"):
        serving = listen(handler, Upper, legacy_recv=True)
    async with serving as server:
        async with peer(server) as client:
            await client.send("one")

    assert got == ["ONE"]


async def test_an_overridden_recv_is_called_with_legacy_recv_too():
    class Protocol(WebSocketServerProtocol):
        async def recv(self):
            message = await super().recv()
            return f"<{message}>"

    async def handler(websocket):
        await websocket.send(await websocket.recv())

    with pytest.warns(DeprecationWarning, match="remove legacy_recv"):
        serving = listen(handler, Protocol, legacy_recv=True)
    async with serving as server, peer(server) as client:
        await client.send("hello")
        assert await client.recv() == "<hello>"


async def test_transfer_data_is_the_task_that_reads():
    events = []

    class Protocol(WebSocketServerProtocol):
        async def transfer_data(self):
            events.append("begin")
            await super().transfer_data()
            events.append("end")

    async with listen(protocol=Protocol) as server:
        async with peer(server) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            assert events == ["begin"]
        await soon(lambda: len(events) == 2)

    assert events == ["begin", "end"]


async def test_a_transfer_data_that_ends_early_ends_the_connection():
    class Protocol(WebSocketServerProtocol):
        async def transfer_data(self):
            self.messages.append(await self.read_message())

    async def handler(websocket):
        await websocket.send(await websocket.recv())
        with pytest.raises(ConnectionClosedError):
            await websocket.recv()

    async with listen(handler, Protocol) as server, peer(server) as client:
        await client.send("only")
        await client.wait_closed()

    assert client.close_code == 1006


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (PayloadTooBig(20, 10), 1009),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 1007),
        (KeyError("oops"), 1011),
    ],
    ids=["too big", "no UTF-8", "a mistake"],
)
async def test_what_read_message_raises_ends_the_connection(raised, code, caplog):
    class Protocol(WebSocketServerProtocol):
        async def read_message(self):
            await super().read_message()
            raise raised

    async def handler(websocket):
        with pytest.raises(ConnectionClosedError):
            await websocket.recv()

    async with listen(handler, Protocol) as server, peer(server) as client:
        await client.send("hello")
        await client.wait_closed()

    assert client.close_code == code
    logged = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert [r.getMessage() for r in logged] == (
        ["transfer_data failed"] if code == 1011 else []
    )


async def test_read_data_frame_gets_the_frames_of_messages():
    frames = []

    class Protocol(WebSocketServerProtocol):
        async def read_data_frame(self, max_size):
            frame = await super().read_data_frame(max_size)
            frames.append(frame)
            return frame

    async with listen(protocol=Protocol, compression=None) as server:
        async with peer(server) as client:
            await client.send(["he", "l", "lo"])
            await (await client.ping())
            await client.send(b"\x00\xff")
            assert await client.recv() == "hello"
            assert await client.recv() == b"\x00\xff"
        await soon(lambda: frames[-1] is None)

    assert [(f.fin, f.opcode, f.data) for f in frames[:-1]] == [
        (False, OP_TEXT, b"he"),
        (False, OP_CONT, b"l"),
        (False, OP_CONT, b"lo"),
        (True, OP_CONT, b""),
        (True, 2, b"\x00\xff"),
    ]


async def test_read_frame_gets_the_close_frame_last():
    frames = []

    class Protocol(WebSocketServerProtocol):
        async def read_frame(self, max_size):
            frame = await super().read_frame(max_size)
            frames.append(frame)
            return frame

    async with listen(protocol=Protocol) as server:
        async with peer(server) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            await client.close(1001, "bye")
        await soon(lambda: len(frames) == 2)

    assert (frames[0].opcode, frames[0].data) == (OP_TEXT, b"hello")
    assert (frames[1].opcode, frames[1].data) == (OP_CLOSE, b"\x03\xe9bye")


async def test_read_frame_refuses_one_larger_than_asked_for():
    class Protocol(WebSocketServerProtocol):
        async def read_data_frame(self, max_size):
            return await super().read_data_frame(3)

    async with listen(wait, Protocol) as server, peer(server) as client:
        await client.send("four")
        await client.wait_closed()

    assert client.close_code == 1009


async def test_the_steps_of_reading_may_be_called_by_a_handler():
    got = []

    async def handler(websocket):
        got.append(await websocket.read_message())
        got.append((await websocket.read_data_frame(100)).data)
        got.append((await websocket.read_frame(None)).data)
        got.append(await websocket.read_message())
        await websocket.transfer_data()

    async with listen(handler) as server:
        async with peer(server) as client:
            for text in ("one", "two", "three"):
                await client.send(text)

    assert got == ["one", b"two", b"three", None]


async def test_read_message_raises_for_a_lost_connection():
    caught = []

    async def handler(websocket):
        try:
            await websocket.read_message()
        except ConnectionClosedError as exc:
            caught.append(exc.code)

    async with listen(handler) as server:
        client = await peer(server)
        client.transport.abort()
        await soon(lambda: caught)

    assert caught == [1006]


# --- pinging ---------------------------------------------------------------------


async def test_keepalive_ping_calling_super_pings_as_the_engine_does():
    begun = []

    class Protocol(WebSocketServerProtocol):
        async def keepalive_ping(self):
            begun.append(self)
            await super().keepalive_ping()

    async with listen(wait, Protocol, ping_interval=0.05) as server:
        async with peer(server, ping_interval=None):
            await soon(lambda: begun and begun[0].latency > 0)
        await soon(begun[0].keepalive_ping_task.done)


async def test_keepalive_ping_that_pings_otherwise_is_the_only_one_that_pings():
    sent = []

    class Protocol(WebSocketClientProtocol):
        async def keepalive_ping(self):
            while True:
                await asyncio.sleep(0.02)
                await (await self.ping(b"mine"))
                sent.append(self.latency)

        def connection_open(self):
            super().connection_open()
            assert self._connection.next_deadline() == float("inf")

    async with peer_serve(wait, "127.0.0.1", 0) as server:
        async with connect(
            uri_of(server), create_protocol=Protocol, ping_interval=0.01
        ) as websocket:
            await soon(lambda: len(sent) >= 2)
        # The end is what ends it: it is in ping() or in sleep().
        await soon(websocket.keepalive_ping_task.done)


async def test_keepalive_ping_by_hand_waits_for_the_end():
    async with peer_serve(wait, "127.0.0.1", 0) as server:
        websocket = await connect(uri_of(server))
        task = asyncio.create_task(websocket.keepalive_ping())
        await asyncio.sleep(0.01)
        assert not task.done()
        await websocket.close()
        await task


async def test_keepalive_ping_without_an_interval_does_nothing():
    async with peer_serve(wait, "127.0.0.1", 0) as server:
        async with connect(uri_of(server), ping_interval=None) as websocket:
            await websocket.keepalive_ping()


async def deaf(reader, writer):
    """Answer the handshake and nothing more."""
    import base64
    import hashlib
    import re

    head = await reader.readuntil(b"\r\n\r\n")
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)[1]
    token = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
        % base64.b64encode(token)
    )
    await reader.read()
    writer.close()


async def test_abort_pings_tells_who_waits_and_keepalive_goes_on():
    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    async with server:
        websocket = await connect(uri_of(server), ping_interval=0.2, ping_timeout=0.2)
        waiter = await websocket.ping()

        websocket.abort_pings()
        websocket.abort_pings()

        with pytest.raises(ConnectionClosed):
            await waiter
        assert websocket.open
        await asyncio.wait_for(websocket.wait_closed(), 10)
        assert websocket.close_report.cause.name == "KEEPALIVE"


async def test_abort_pings_is_called_at_the_end():
    calls = []

    class Protocol(WebSocketServerProtocol):
        def abort_pings(self):
            calls.append(self.state.name)
            super().abort_pings()

    async with listen(protocol=Protocol) as server:
        async with peer(server):
            pass

    assert calls == ["CLOSED"]


# --- closing ---------------------------------------------------------------------


async def test_close_connection_runs_for_the_life_of_a_connection():
    events = []

    class Protocol(WebSocketServerProtocol):
        async def close_connection(self):
            events.append("begin")
            await super().close_connection()
            events.append(self.closed)

    async with listen(protocol=Protocol) as server:
        async with peer(server) as client:
            await client.send("hello")
            await client.recv()
            assert events == ["begin"]
        await soon(lambda: len(events) == 2)

    assert events == ["begin", True]


async def test_close_transport_is_called_when_the_data_has_ended():
    codes = []

    class Protocol(WebSocketServerProtocol):
        async def close_transport(self):
            codes.append((self.close_rcvd.code, self.close_code))
            await super().close_transport()
            codes.append((self.state.name, self.close_code))

    async with listen(protocol=Protocol) as server:
        async with peer(server) as client:
            await client.close(1001)
        await soon(lambda: len(codes) == 2)

    assert codes == [(1001, None), ("CLOSED", 1001)]


async def test_close_connection_by_hand_waits_and_close_transport_does_not():
    async def handler(websocket):
        waiting = asyncio.create_task(websocket.close_connection())
        await asyncio.sleep(0)
        assert not waiting.done()
        await websocket.close_transport()
        await waiting
        assert websocket.closed
        assert websocket.close_report.cause.name == "LOCAL"

    async with listen(handler) as server, peer(server) as client:
        await client.wait_closed()

    assert client.close_code == 1006


async def test_a_step_that_raises_is_in_the_log(caplog):
    class Protocol(WebSocketServerProtocol):
        async def close_connection(self):
            raise KeyError("oops")

    async with listen(protocol=Protocol) as server, peer(server) as client:
        await client.send("still")
        assert await client.recv() == "still"

    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [
        "close_connection failed"
    ]


async def test_steps_leave_no_task_behind():
    class Protocol(WebSocketServerProtocol):
        async def read_message(self):
            return await super().read_message()

        async def close_connection(self):
            await super().close_connection()

        async def keepalive_ping(self):
            await super().keepalive_ping()

    before = asyncio.all_tasks()
    async with listen(wait, Protocol, max_queue=1) as server:
        async with peer(server) as client:
            for _ in range(50):
                await client.send("nobody reads this")
    await asyncio.sleep(0.05)
    gc.collect()

    assert asyncio.all_tasks() == before


# --- the exception ---------------------------------------------------------------


@pytest.mark.parametrize("action", ["send", "recv", "ping", "pong"])
async def test_a_closed_connection_raises_what_clauses_of_2_6_catch(action):
    async with peer_serve(wait, "127.0.0.1", 0) as server:
        websocket = await connect(uri_of(server))
        await websocket.close()

        arguments = ["late"] if action == "send" else []
        with pytest.raises(InvalidState) as caught:
            await getattr(websocket, action)(*arguments)

    assert isinstance(caught.value, ConnectionClosed)
    assert type(caught.value).__name__ == "ConnectionClosedOK"
    assert (caught.value.code, caught.value.rcvd_then_sent) == (1000, False)


async def test_a_ping_that_gets_no_pong_raises_it_too():
    async with peer_serve(wait, "127.0.0.1", 0) as server:
        websocket = await connect(uri_of(server))
        waiter = await websocket.ping()
        await websocket.close_transport()

        with pytest.raises(InvalidState):
            await waiter
        with pytest.raises(ConnectionClosedError):
            await waiter


# --- pings behind the close frame ------------------------------------------------


async def test_a_ping_behind_our_close_frame_holds_up_nothing():
    """Where steps of reading are a subclass's: ``pong()`` waits for the end there."""

    class Protocol(WebSocketServerProtocol):
        async def pong(self, data=b""):
            await super().pong(data)

    async def leave(websocket):
        await websocket.recv()

    def talk(port):
        with knock(port).ask() as other:
            other.send(TEXT, b"hello")
            assert other.read_close()[0] == 1000
            other.send(PING, b"are you there?")
            other.send(CLOSE, b"\x03\xe8")
            other.read_all()

    async with listen(leave, Protocol, close_timeout=600) as server:
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(60):
            await asyncio.to_thread(talk, port)
