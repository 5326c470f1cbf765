"""The client that comes back: what happens to calls and streams between connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

import longwire
from longwire import rpc
from tests.support.ports import free_port


def at_once() -> Any:
    """Delays between attempts to connect."""
    while True:
        yield 0.02


async def ticks(start: int = 0) -> AsyncIterator[int]:
    number = start
    while True:
        yield number
        number += 1
        await asyncio.sleep(0.005)


ROUTES = {"add": lambda a, b: a + b, "ticks": ticks, "wait": asyncio.Event().wait}


@contextlib.asynccontextmanager
async def serving(port: int, routes: Any = None) -> AsyncIterator[rpc.Server]:
    server = rpc.Server(ROUTES if routes is None else routes)
    async with server.serve("localhost", port):
        yield server


def client_of(port: int, routes: Any = None, **options: Any) -> rpc.Client:
    options.setdefault("reconnect_delays", at_once)
    return rpc.Client(f"ws://localhost:{port}/", routes, **options)


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_calls_made_before_there_is_a_server_wait_for_it_in_order():
    port, order = free_port(), []
    async with client_of(port) as client:
        calls = [asyncio.create_task(client.call("note", n)) for n in range(5)]
        await asyncio.sleep(0.05)
        async with serving(port, {"note": order.append}):
            await asyncio.gather(*calls)

    assert order == [0, 1, 2, 3, 4]


async def test_calls_without_a_connection_are_rejected_where_that_is_chosen():
    async with client_of(free_port(), offline="reject") as client:
        with pytest.raises(rpc.Disconnected, match="not connected"):
            await client.call("add", 1, 2)
        with pytest.raises(rpc.Disconnected):
            await client.notify("add", 1, 2)


async def test_the_calls_that_wait_for_a_connection_are_limited():
    async with client_of(free_port(), max_queued=2) as client:
        calls = [asyncio.create_task(client.call("add", 1, 2)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(rpc.TooBusy, match="2 calls wait for a connection already"):
            await client.call("add", 1, 2)
        await client.close()
        ended = await asyncio.gather(*calls, return_exceptions=True)

    assert [str(exc) for exc in ended] == ["the client is closed"] * 2


async def test_time_in_the_queue_counts():
    async with client_of(free_port()) as client:
        with pytest.raises(rpc.CallTimeout, match=r"within 0\.05 seconds"):
            await client.call("add", 1, 2, timeout=0.05)
        assert not client._waiting


async def test_a_client_comes_back_and_says_so():
    port, told = free_port(), []
    async with contextlib.AsyncExitStack() as stack:
        client = client_of(port)
        client.signals.opened.connect(lambda peer: told.append("opened"))
        client.signals.closed.connect(lambda peer, report: told.append(report.code))
        async with serving(port):
            await stack.enter_async_context(client)
            assert await client.call("add", 1, 2) == 3
            assert client.is_connected
        await until(lambda: len(told) == 2)
        assert not client.is_connected
        async with serving(port):
            assert await client.call("add", 2, 2) == 4

    assert told == ["opened", 1001] * 2


async def test_a_thousand_calls_under_way_fail_at_once_when_the_link_is_cut():
    port = free_port()
    async with serving(port), client_of(port) as client:
        await client.connected()
        calls = [asyncio.create_task(client.call("wait")) for _ in range(1000)]
        await asyncio.sleep(0.2)
        sock: socket.socket = client.peer.connection.wire.get_extra_info("socket")
        begun = asyncio.get_running_loop().time()
        sock.shutdown(socket.SHUT_RDWR)
        ended = await asyncio.gather(*calls, return_exceptions=True)
        seconds = asyncio.get_running_loop().time() - begun

        assert {type(exc) for exc in ended} == {rpc.Disconnected}
        assert {exc.report.cause for exc in ended} == {longwire.Cause.NETWORK}
        assert seconds < 2
        # And it goes on with a new connection.
        assert await client.call("add", 1, 2) == 3


async def test_a_stream_that_asked_for_it_goes_on_with_the_next_connection():
    port, gaps = free_port(), []
    async with client_of(port) as client:
        stream = client.stream("ticks", start=100, resubscribe=gaps.append)
        async with stream:
            async with serving(port):
                first = [await stream.__anext__() for _ in range(3)]
            async with serving(port):
                while not gaps:
                    item = await stream.__anext__()

    assert first == [100, 101, 102]
    assert item == 100  # told of the gap before the first item after it
    assert [report.code for report in gaps] == [1001]


async def test_other_streams_end_with_their_connection():
    port = free_port()
    async with client_of(port) as client:
        async with serving(port):
            await client.connected()
            stream = client.stream("ticks")
            assert await stream.__anext__() == 0
        with pytest.raises(rpc.Disconnected) as raised:
            async for _ in stream:
                pass
        await stream.aclose()

    assert raised.value.report.code == 1001


async def test_a_stream_that_is_left_is_over():
    port = free_port()
    async with serving(port), client_of(port) as client:
        stream = client.stream("ticks", resubscribe=lambda report: None)
        assert await stream.__anext__() == 0
        await stream.aclose()
        with pytest.raises(StopAsyncIteration):
            await stream.__anext__()


async def test_what_makes_connecting_impossible_is_raised_by_every_call():
    async def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(404, "no\n")

    server = longwire.serve(rpc.Server(), "localhost", 0, process_request=refuse)
    async with server as listening:
        port = listening.sockets[0].getsockname()[1]
        async with client_of(port) as client:
            for _ in range(2):
                with pytest.raises(longwire.InvalidStatus, match="404"):
                    await client.call("add", 1, 2)
            assert client.is_closed


async def test_a_closed_client_says_so():
    port = free_port()
    async with serving(port):
        async with client_of(port) as client:
            await client.connected()
        with pytest.raises(rpc.Disconnected, match="the client is closed"):
            await client.call("add", 1, 2)
        await client.close()


async def test_a_client_that_was_not_started_says_so():
    client = client_of(free_port())

    with pytest.raises(RuntimeError, match="enter it with async with"):
        await client.call("add", 1, 2)


async def test_a_client_is_started_once():
    async with client_of(free_port()) as client:
        with pytest.raises(RuntimeError, match="started before"):
            client.start()


async def test_the_old_wires_have_no_streams():
    server = rpc.Server(ROUTES, wire="wsrpc")
    async with server.serve("localhost", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with client_of(port, wire="wsrpc") as client:
            await client.connected()
            with pytest.raises(TypeError, match="wsrpc has no streams"):
                client.stream("ticks")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"offline": "wait"}, ValueError, "offline is 'wait'"),
        ({"max_queued": "5"}, TypeError, "max_queued must be an int, not str"),
        ({"wire": "xml"}, ValueError, "wire is 'xml'"),
        ({"reconect_delays": at_once}, TypeError, "reconect_delays"),
    ],
)
def test_a_wrong_option_is_refused_when_the_client_is_made(options, error, message):
    with pytest.raises(error, match=message):
        rpc.Client("ws://localhost/", **options)


def test_resubscribing_takes_a_function_that_is_told():
    client = rpc.Client("ws://localhost/")

    with pytest.raises(TypeError, match="it is told of the gap"):
        client.stream("x", resubscribe=True)


# --- no server is there ------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait for a tenth of a second where connecting fails."""
    monkeypatch.setattr("longwire.rpc.keeping.PATIENCE", 0.1)


async def test_a_call_to_a_port_where_nobody_listens_says_so_soon():
    hosts = ("localhost", "127.0.0.1")
    await asyncio.gather(*(call_nobody(host, free_port()) for host in hosts))


async def call_nobody(host: str, port: int) -> None:
    uri = f"ws://{host}:{port}/"
    begun = asyncio.get_running_loop().time()
    async with rpc.Client(uri) as client:
        with pytest.raises(rpc.Disconnected) as raised:
            await client.call("add", 1, 2)

    assert str(raised.value) == (
        f"not connected to {uri} (Connection refused); add was not sent"
    )
    assert raised.value.report is None
    assert asyncio.get_running_loop().time() - begun < 6


VERBS: dict[str, Any] = {
    "call": lambda client: client.call("add", 1, 2),
    "notify": lambda client: client.notify("add", 1, 2),
    "stream": lambda client: anext(client.stream("add")),
    "proxy": lambda client: client.proxy.add(1, 2),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("verb", VERBS)
async def test_whatever_was_not_sent_is_named(verb):
    async with client_of(free_port()) as client:
        with pytest.raises(rpc.Disconnected, match="add was not sent") as raised:
            await VERBS[verb](client)

    assert "Connection refused" in str(raised.value)


@pytest.mark.usefixtures("impatient")
async def test_each_of_many_calls_is_told_of_itself():
    async with client_of(free_port()) as client:
        calls = [client.call(f"number{n}") for n in range(10)]
        ended = await asyncio.gather(*calls, return_exceptions=True)

        assert client._queued == 0
    for number, exc in enumerate(ended):
        assert str(exc).endswith(f"; number{number} was not sent")


@pytest.mark.usefixtures("impatient")
async def test_why_there_is_no_connection_is_always_told():
    port = free_port()

    async def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(503, "not now\n")

    server = longwire.serve(rpc.Server(), "localhost", 0, process_request=refuse)
    async with server as listening:
        busy = listening.sockets[0].getsockname()[1]
        for uri, why in (
            (f"ws://user:secret@localhost:{port}/x?y=1", "Connection refused"),
            (f"ws://localhost:{busy}/", "503"),
            ("ws://no-such-host.invalid/", "."),
        ):
            async with rpc.Client(uri, reconnect_delays=at_once) as client:
                with pytest.raises(rpc.Disconnected, match=why) as raised:
                    await client.call("x")
                assert "secret" not in str(raised.value)
                assert str(raised.value).startswith("not connected to ws://")
                assert str(raised.value).endswith("); x was not sent")


async def test_a_time_limit_tells_of_a_call_that_was_not_sent():
    async with client_of(free_port()) as client:
        with pytest.raises(rpc.CallTimeout) as raised:
            await client.call("add", 1, 2, timeout=0.1)

    assert str(raised.value).startswith("no answer from add within 0.1 seconds: not ")
    assert str(raised.value).endswith("(Connection refused); add was not sent")


async def test_who_rejects_calls_without_a_connection_is_told_why_there_is_none():
    async with client_of(free_port(), offline="reject") as client:
        await asyncio.sleep(0.1)
        with pytest.raises(rpc.Disconnected, match=r"refused.*; add was not sent"):
            await client.call("add", 1, 2)


@pytest.mark.usefixtures("impatient")
async def test_calls_are_kept_for_as_long_as_it_takes_where_that_is_chosen():
    port = free_port()
    async with client_of(port, offline="keep") as client:
        call = asyncio.create_task(client.call("add", 1, 2))
        await asyncio.sleep(0.3)
        assert not call.done()
        async with serving(port):
            assert await call == 3


@pytest.mark.usefixtures("impatient")
async def test_waiting_for_a_connection_itself_has_no_end():
    port = free_port()
    async with client_of(port) as client:
        connected = asyncio.create_task(client.connected())
        await asyncio.sleep(0.3)
        assert not connected.done()
        async with serving(port):
            await connected


@pytest.mark.usefixtures("impatient")
async def test_a_stream_that_goes_on_waits_for_the_next_connection_without_end():
    port, gaps = free_port(), []
    async with client_of(port) as client:
        stream = client.stream("ticks", resubscribe=gaps.append)
        async with serving(port):
            assert await anext(stream) == 0
        await asyncio.sleep(0.4)
        async with serving(port):
            while not gaps:
                await anext(stream)


async def test_a_filter_of_exceptions_goes_on_deciding():
    seen: list[Exception] = []

    def final(exc: Exception) -> Exception:
        seen.append(exc)
        return RuntimeError("enough")

    async with client_of(free_port(), process_exception=final) as client:
        with pytest.raises(RuntimeError, match="enough"):
            await client.call("add", 1, 2)

    assert isinstance(seen[0], OSError)


async def test_a_route_may_close_the_client_that_it_belongs_to():
    closed = asyncio.Event()

    async def stop() -> None:
        await client.close()
        closed.set()

    server = rpc.Server()
    async with server.serve("localhost", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        client = client_of(port, {"stop": stop})
        async with client:
            await client.connected()
            await until(lambda: server.peers)
            server.notify("stop")
            begun = asyncio.get_running_loop().time()
            await closed.wait()
            assert asyncio.get_running_loop().time() - begun < 2


async def test_what_the_server_told_a_client_before_it_closed_is_carried_out():
    done: list[int] = []

    async def note(number: int) -> None:
        await asyncio.sleep(0.05)
        done.append(number)

    server = rpc.Server()
    async with server.serve("localhost", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with client_of(port, {"note": note}) as client:
            peer = await client.connected()
            await until(lambda: server.peers)
            for number in range(3):
                server.notify("note", number)
            await until(lambda: peer.table.theirs)

    assert done == [0, 1, 2]
