"""What trio expects of a library: cancel scopes, checkpoints, nurseries, streams."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.trio_.running import connect, echo, serving, trio, trio_test, until

import longwire.trio
from longwire import Cause, ConcurrencyError, ConnectionClosed, ConnectionClosedError


@trio_test
async def test_a_cancelled_recv_loses_no_message():
    async with serving() as (_, uri), connect(uri) as ws:
        received = []
        async with trio.open_nursery() as nursery:

            async def send():
                for number in range(60):
                    await ws.send(str(number))
                    if number % 7 == 0:
                        await trio.sleep(0.003)

            nursery.start_soon(send)
            while len(received) < 60:
                with trio.move_on_after(0.001):
                    received.append(await ws.recv())

    assert received == [str(number) for number in range(60)]


@trio_test
async def test_a_recv_cancelled_with_its_message_there_leaves_it():
    async with serving() as (_, uri), connect(uri) as ws:
        await ws.send("kept")
        await until(lambda: ws._session.has_message)

        with trio.CancelScope() as scope:
            scope.cancel()
            await ws.recv()

        assert scope.cancelled_caught
        assert await ws.recv() == "kept"


VERBS = {
    "recv": lambda ws: ws.recv(),
    "send": lambda ws: ws.send("x"),
    "send fragments": lambda ws: ws.send(["x", "y"]),
    "ping": lambda ws: ws.ping(),
    "pong": lambda ws: ws.pong(),
    "wait_closed": lambda ws: ws.wait_closed(),
    "aclose": lambda ws: ws.aclose(),
    "broadcast": lambda ws: longwire.trio.broadcast({ws}, "x"),
}


@pytest.mark.parametrize("name", VERBS)
@trio_test
async def test_every_verb_is_a_checkpoint(name):
    async with serving() as (_, uri), connect(uri) as ws:
        if name == "recv":
            await ws.send("there")
            await until(lambda: ws._session.has_message)
        if name == "wait_closed":
            await ws.aclose()

        with trio.testing.assert_checkpoints():
            await VERBS[name](ws)


@pytest.mark.parametrize("name", VERBS)
@trio_test
async def test_a_verb_in_a_cancelled_scope_is_cancelled(name):
    async with serving() as (_, uri), connect(uri) as ws:
        with trio.CancelScope() as scope:
            scope.cancel()
            await VERBS[name](ws)

        assert scope.cancelled_caught
        if name == "aclose":
            # It still closes, and does not wait.
            assert ws.wire.closed
            assert ws.close_report.sent.code == 1000
        else:
            assert ws.close_report is None


@trio_test
async def test_a_cancelled_block_says_1001_and_closes_at_once():
    seen = []

    async def handler(ws):
        try:
            await ws.recv()
        except ConnectionClosed as exc:
            seen.append(exc.rcvd.code)

    async with serving(handler) as (_, uri):
        with trio.move_on_after(0.05):
            async with connect(uri) as ws:
                await trio.sleep_forever()
        assert ws.wire.closed
        await until(lambda: seen)

    assert seen == [1001]
    assert ws.close_report.cause is Cause.LOCAL


@trio_test
async def test_an_exception_leaves_a_block_as_it_is():
    async with serving() as (_, uri):
        with pytest.raises(KeyError):
            async with connect(uri) as ws:
                raise KeyError("mine")

    assert ws.close_report.sent.code == 1011


@trio_test
async def test_a_cancelled_server_says_1001_to_its_clients():
    async with trio.open_nursery() as nursery:
        server = await nursery.start(longwire.trio.serve, echo, 0)
        port = server.listeners[0].socket.getsockname()[1]
        async with connect(f"ws://localhost:{port}/") as ws:
            await ws.send("x")
            await ws.recv()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True), pytest.raises(ConnectionClosed) as info:
                await ws.recv()

    assert info.value.rcvd.code == 1001


@trio_test
async def test_a_connection_lives_in_the_nursery_it_was_given():
    async with serving() as (_, uri):
        async with trio.open_nursery() as nursery:
            ws = await connect(uri).connect(nursery)
            await ws.send("x")
            assert await ws.recv() == "x"
            assert len(nursery.child_tasks) == 1
            nursery.cancel_scope.cancel()

        assert ws.wire.closed
        assert ws.close_report.sent.code == 1001


@trio_test
async def test_leaving_a_loop_of_connections_by_break_leaves_scopes_alone():
    async with serving() as (server, uri):
        with trio.CancelScope():
            async for ws in connect(uri):
                await ws.send("x")
                await ws.recv()
                break
        del ws
        await until(lambda: not server.connections)


@trio_test
async def test_a_stream_of_the_callers_is_used():
    async with serving() as (server, uri):
        port = server.listeners[0].socket.getsockname()[1]
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with connect(uri, stream=stream) as ws:
            await ws.send(b"x" * 500_000)
            assert await ws.recv() == b"x" * 500_000
            assert ws.remote_address == ("127.0.0.1", port)

        await until(lambda: stream.socket.fileno() == -1)


@trio_test
async def test_a_server_and_a_client_meet_on_streams_without_a_network():
    ours, theirs = trio.testing.memory_stream_pair()

    class Listener(trio.abc.Listener):
        async def accept(self):
            nonlocal theirs
            if theirs is None:
                await trio.sleep_forever()
            stream, theirs = theirs, None
            return stream

        async def aclose(self):
            pass

    async with trio.open_nursery() as nursery:

        async def serve(task_status):
            await longwire.trio.serve(
                echo, listeners=[Listener()], task_status=task_status
            )

        await nursery.start(serve)
        async with connect("ws://nowhere/", stream=ours) as ws:
            await ws.send("through memory")
            assert await ws.recv() == "through memory"
            assert ws.local_address is None
        nursery.cancel_scope.cancel()
    assert ws.close_code == 1000


@trio_test
async def test_tls_of_the_callers_stream_is_used(certificates):
    async with serving(ssl=certificates.server) as (server, _uri):
        port = server.listeners[0].socket.getsockname()[1]
        plain = await trio.open_tcp_stream("127.0.0.1", port)
        stream = trio.SSLStream(
            plain,
            certificates.client,
            server_hostname="localhost",
            https_compatible=True,
        )
        async with connect(f"ws://localhost:{port}/", stream=stream) as ws:
            await ws.send("inside")
            assert await ws.recv() == "inside"


@trio_test
async def test_only_one_task_receives():
    async with serving() as (_, uri), connect(uri) as ws:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.recv)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(ConcurrencyError, match="another task"):
                await ws.recv()
            await ws.send("for the first")


def test_keepalive_and_timeouts_go_by_the_clock_of_the_run():
    async def main():
        ours, theirs = trio.testing.memory_stream_pair()

        async def never_answers():
            data = b""
            while b"\r\n\r\n" not in data:
                data += await theirs.receive_some()
            key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            token = longwire_accept(key)
            await theirs.send_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + token + b"\r\n\r\n"
            )
            while await theirs.receive_some():
                pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(never_answers)
            begun = trio.current_time()
            with pytest.raises(ConnectionClosedError) as caught:
                async with connect("ws://nowhere/", stream=ours) as ws:
                    await ws.recv()
            nursery.cancel_scope.cancel()
        assert caught.value.report.cause is Cause.KEEPALIVE
        # 20 seconds to the ping, and 20 for its pong; the peer does not close either.
        assert 40 <= trio.current_time() - begun <= 61

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def longwire_accept(key):
    import base64
    import hashlib

    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return base64.b64encode(hashlib.sha1(key + guid).digest())


def test_it_works_in_an_anyio_program_on_trio():
    anyio = pytest.importorskip("anyio")

    async def main():
        async with serving() as (_, uri), connect(uri) as ws:
            async with anyio.create_task_group() as group:
                group.start_soon(ws.send, "by anyio")
                with anyio.fail_after(10):
                    assert await ws.recv() == "by anyio"
                with anyio.move_on_after(0.01) as scope:
                    await ws.recv()
                assert scope.cancelled_caught

    anyio.run(main, backend="trio")


@pytest.mark.once
def test_nothing_else_needs_trio():
    program = (
        "import sys\n"
        "sys.modules['trio'] = None\n"
        "import longwire, longwire.sync\n"
        "from longwire import websockets\n"
        "import longwire.websockets.trio\n"
        "try:\n"
        "    import longwire.websockets.trio.client\n"
        "except ImportError:\n"
        "    pass\n"
        "else:\n"
        "    raise SystemExit('trio was not asked for')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
