"""The questions and answers of editions 9.0 and 9.1: S23 to S37."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import ssl
import struct

import pytest
import websockets as peer

from longwire import websockets
from tests.websockets.snippets.harness import (
    Sleep,
    awaited_block,
    block,
    connect,
    peer_serving,
    ran,
    serving,
    until,
    uri_of,
    written,
)

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_s23_a_handler_with_a_path_and_no_loop_closes_after_one_message():
    names = block(
        """
        async def handler(websocket, path):
            print(websocket.recv())
        """
    )
    async with serving(names.handler) as uri, connect(uri) as websocket:
        await websocket.wait_closed()

        assert websocket.close_code == 1000


async def test_s23_a_handler_with_a_path_loops_over_messages(capsys):
    names = block(
        """
        async def handler(websocket, path):
            async for message in websocket:
                print(message)
        """
    )
    async with serving(names.handler) as uri, connect(uri) as websocket:
        await websocket.send("one")
        await websocket.send("two")
        await websocket.close()

    assert capsys.readouterr().out == "one\ntwo\n"


async def test_s23_a_handler_with_a_path_sleeps_without_blocking():
    clock = Sleep()
    names = block(
        """
        async def handler(websocket, path):
            await asyncio.sleep(1)
        """,
        asyncio=clock,
    )
    async with serving(names.handler) as uri:
        async with connect(uri) as first, connect(uri) as second:
            await until(lambda: clock.asked == [1, 1])
            assert first.state is second.state is peer.State.OPEN
            clock.end()


async def test_s24_partial_passes_arguments_to_a_handler_with_a_path():
    seen = []
    names = block(
        """
        import asyncio
        import functools
        import websockets

        async def handler(websocket, path, extra_argument):
            seen.append((path, extra_argument))

        bound_handler = functools.partial(handler, extra_argument='spam')
        start_server = websockets.serve(bound_handler, *where)
        """,
        seen=seen,
        where=("127.0.0.1", 0),
    )
    async with names.start_server as server:
        async with connect(uri_of(server, "/eggs?n=1")) as websocket:
            await websocket.wait_closed()

    assert seen == [("/eggs?n=1", "spam")]


async def test_s25_cookies_during_the_handshake_and_after():
    names = block(
        """
        async def process_request(self, path, request_headers):
            cookies = request_header["Cookie"]

        async def handler(websocket, path):
            cookies = websocket.request_headers["Cookie"]
            await websocket.send(cookies)
        """,
        request_header={"Cookie": "the document's slip: request_headers is meant"},
    )

    class Protocol(websockets.WebSocketServerProtocol):
        process_request = names.process_request

    async with serving(names.handler, create_protocol=Protocol) as uri:
        headers = {"Cookie": "session=1"}
        async with connect(uri, additional_headers=headers) as websocket:
            assert await websocket.recv() == "session=1"


async def test_s26_the_address_of_the_client_in_a_handler_with_a_path():
    seen = []
    names = block(
        """
        async def handler(websocket, path):
            remote_ip = websocket.remote_address[0]
            seen.append(remote_ip)
        """,
        seen=seen,
    )
    async with serving(names.handler) as uri, connect(uri) as websocket:
        await websocket.wait_closed()

    assert seen == ["127.0.0.1"]


async def test_s27_leaving_the_context_manager_closes_a_client():
    codes = []

    async def handler(websocket):
        await websocket.wait_closed()
        codes.append(websocket.close_code)

    async with peer_serving(handler) as uri:
        names = await awaited_block(
            """
            async with connect(uri) as websocket:
                ...
            """,
            connect=websockets.connect,
            uri=uri,
        )

    assert codes == [1000]
    assert names.websocket.closed
    assert not names.websocket.open


async def test_s28_iterating_over_connect_reconnects():
    visits = []

    async def handler(websocket):
        visits.append(websocket)
        await websocket.send(f"visit {len(visits)}")
        await websocket.close(1011)

    names = block(
        """
        import websockets

        async def client(uri):
            async for websocket in websockets.connect(uri):
                try:
                    async for message in websocket:
                        received.append(message)
                except websockets.ConnectionClosed:
                    if len(received) == 3:
                        return
                    continue
        """,
        received=[],
    )
    async with peer_serving(handler) as uri:
        await names.client(uri)

    assert names.received == ["visit 1", "visit 2", "visit 3"]


async def test_s29_a_close_made_beforehand_ends_the_client_when_it_is_run():
    # The program itself is run as S40, in test_included_examples.py.
    async def handler(websocket):
        await websocket.send("working")
        await websocket.wait_closed()

    async with peer_serving(handler) as uri, websockets.connect(uri) as websocket:
        closing = websocket.close()
        assert await websocket.recv() == "working"
        assert websocket.open

        task = asyncio.get_running_loop().create_task(closing)
        assert [message async for message in websocket] == []

        await task
        assert websocket.close_code == 1000


async def test_s30_a_context_that_verifies_nothing(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    async with peer_serving(echo, ssl=certificates.server) as uri:
        uri = uri.replace("ws:", "wss:")
        async with websockets.connect(uri, ssl=context) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"

        with pytest.raises(ssl.SSLCertVerificationError):
            await websockets.connect(uri)


def reset(websocket):
    """Cut a connection of the peer off with a TCP reset, as a network may."""
    sock = websocket.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    websocket.transport.abort()


def assert_tcp_was_lost(exc):
    assert isinstance(exc, websockets.ConnectionClosedError)
    assert (exc.code, exc.reason) == (1006, "")
    assert exc.rcvd is exc.sent is None
    assert str(exc) == "no close frame received or sent"


async def test_s31_a_server_logs_a_lost_connection_with_its_cause(caplog):
    names = block(
        """
        async def handler(websocket, path):
            async for message in websocket:
                print(message)
        """
    )
    with caplog.at_level(logging.ERROR, "websockets.server"):
        async with serving(names.handler) as uri:
            reset(await connect(uri))
            await until(lambda: caplog.records)

    (record,) = caplog.records
    assert (record.name, record.levelname) == ("websockets.server", "ERROR")
    assert record.getMessage() == "connection handler failed"
    assert_tcp_was_lost(record.exc_info[1])
    assert isinstance(record.exc_info[1].__cause__, ConnectionResetError)


async def test_s31_a_client_raises_with_the_cause():
    async def handler(websocket):
        reset(websocket)
        await websocket.wait_closed()

    async with peer_serving(handler) as uri:
        async with websockets.connect(uri) as websocket:
            with pytest.raises(websockets.ConnectionClosedError) as lost:
                await websocket.recv()

    assert_tcp_was_lost(lost.value)
    assert isinstance(lost.value.__cause__, ConnectionResetError)


async def test_s31_catching_connection_closed_keeps_it_out_of_the_log(caplog):
    caught = []

    async def handler(websocket, path):
        try:
            await websocket.recv()
        except websockets.ConnectionClosed as exc:
            caught.append(exc)

    with caplog.at_level(logging.INFO, "websockets.server"):
        async with serving(handler) as uri:
            reset(await connect(uri))
            await until(lambda: caught)

    assert "connection handler failed" not in caplog.text


async def test_s32_a_protocol_class_of_a_server_with_its_own_argument():
    async def handler(websocket, path):
        await websocket.send(websocket.extra_argument)

    names = block(
        """
        import asyncio
        import functools
        import websockets

        class MyServerProtocol(websockets.WebSocketServerProtocol):
            def __init__(self, extra_argument, *args, **kwargs):
                super().__init__(*args, **kwargs)
                # do something with extra_argument
                self.extra_argument = extra_argument

        create_protocol = functools.partial(MyServerProtocol, extra_argument='spam')
        start_server = websockets.serve(*what, create_protocol=create_protocol)
        """,
        what=(handler, "127.0.0.1", 0),
    )
    async with names.start_server as server:
        async with connect(uri_of(server)) as websocket:
            assert await websocket.recv() == "spam"


async def test_s32_a_protocol_class_of_a_client_with_its_own_argument():
    names = block(
        """
        import asyncio
        import functools
        import websockets

        class MyClientProtocol(websockets.WebSocketClientProtocol):
            def __init__(self, extra_argument, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.extra_argument = extra_argument

        create_protocol = functools.partial(MyClientProtocol, extra_argument='spam')
        """
    )
    async with peer_serving(echo) as uri:
        async with websockets.connect(
            uri, create_protocol=names.create_protocol
        ) as websocket:
            assert isinstance(websocket, names.MyClientProtocol)
            await websocket.send(websocket.extra_argument)
            assert await websocket.recv() == "spam"


async def test_s33_there_are_no_callbacks():
    async with peer_serving(echo) as uri, websockets.connect(uri) as websocket:
        for name in ("onopen", "onmessage", "onerror", "onclose"):
            assert not hasattr(websocket, name)
        assert all(
            inspect.iscoroutinefunction(getattr(websocket, name))
            for name in ("recv", "send", "close", "ping", "pong", "wait_closed")
        )


async def test_s34_every_call_works_through_run_until_complete(tmp_path):
    program = """
        import asyncio
        import websockets

        async def echo(websocket, path):
            async for message in websocket:
                await websocket.send(message)

        start_server = websockets.serve(echo, "localhost", 0)
        server = asyncio.get_event_loop().run_until_complete(start_server)
        port = server.sockets[0].getsockname()[1]

        connecting = websockets.connect(f"ws://localhost:{port}/")
        websocket = asyncio.get_event_loop().run_until_complete(connecting)
        asyncio.get_event_loop().run_until_complete(websocket.send("hello"))
        print(asyncio.get_event_loop().run_until_complete(websocket.recv()))
        pong = asyncio.get_event_loop().run_until_complete(websocket.ping())
        print(asyncio.get_event_loop().run_until_complete(pong) >= 0)
        asyncio.get_event_loop().run_until_complete(websocket.close())
        print(websocket.closed)
        server.close()
        asyncio.get_event_loop().run_until_complete(server.wait_closed())
        """
    printed = await ran(written(tmp_path, "synchronous.py", program))

    assert [line for line in printed.splitlines() if "Warning" not in line][-3:] == [
        "hello",
        "True",
        "True",
    ]


async def test_s35_nothing_is_lost_when_recv_times_out():
    async def handler(websocket):
        async for message in websocket:
            for number in range(20):
                await websocket.send(f"{message} {number}")
                await asyncio.sleep(0.003)

    async with peer_serving(handler) as uri, websockets.connect(uri) as websocket:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(websocket.recv(), timeout=0.01)
        await websocket.send("message")
        received, timeouts = [], 0
        while len(received) < 20:
            try:
                receiving = asyncio.wait_for(websocket.recv(), timeout=0.001)
                received.append(await receiving)
            except TimeoutError:
                timeouts += 1
        assert timeouts
        assert received == [f"message {number}" for number in range(20)]

        await websocket.send("last")
        names = await awaited_block(
            """
            message = await asyncio.wait_for(websocket.recv(), timeout=10)
            """,
            websocket=websocket,
        )
        assert names.message == "last 0"


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OUFCQ0RFRg==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


async def test_s36_a_client_that_answers_no_ping_is_left_with_1011():
    failures = []

    async def handler(websocket, path):
        try:
            await websocket.recv()
        except websockets.ConnectionClosed as exc:
            failures.append(exc)

    limits = {"ping_interval": 0.05, "ping_timeout": 0.05, "close_timeout": 0.05}
    async with serving(handler, **limits) as uri:
        host, port = uri.split("/")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        wire = await reader.read()
        writer.close()
        await writer.wait_closed()
        await until(lambda: failures)

    assert wire[:2] == b"\x89\x04"  # a ping with four bytes
    assert wire[6:10] == b"\x88\x18\x03\xf3"  # a close frame with 1011
    assert wire[10:] == b"keepalive ping timeout"
    assert isinstance(failures[0], websockets.ConnectionClosedError)
    assert failures[0].sent.code == 1011


def test_s36_pings_are_sent_and_awaited_for_20_seconds_by_default():
    keywords = inspect.signature(websockets.server.serve).parameters
    assert keywords["ping_interval"].default == 20
    assert keywords["ping_timeout"].default == 20


async def test_s37_pings_are_answered_for_the_handler():
    async def handler(websocket, path):
        await websocket.wait_closed()

    async with serving(handler) as uri, connect(uri) as websocket:
        pong = await websocket.ping(b"are you there?")
        async with asyncio.timeout(10):
            assert await pong >= 0


async def test_s37_pings_are_answered_for_the_client():
    answered = asyncio.Event()

    async def handler(websocket):
        await (await websocket.ping())
        answered.set()

    async with peer_serving(handler) as uri, websockets.connect(uri):
        async with asyncio.timeout(10):
            await answered.wait()
