"""Links that live for long: heartbeats, calls that take their time, proper ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

import longwire
from longwire import rpc
from tests.rpc.links import Line

WIRES = ["jsonrpc", "msgpack", "wsrpc", "wsrpc.1"]


def call(id: Any, method: str, *params: Any, **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params, **more}


@contextlib.asynccontextmanager
async def serving(server: rpc.Server, **options: Any) -> AsyncIterator[str]:
    async with server.serve("localhost", 0, **options) as listening:
        yield f"ws://localhost:{listening.sockets[0].getsockname()[1]}/"


# --- heartbeats --------------------------------------------------------------------


async def test_any_number_of_heartbeats_is_nothing_strange():
    line = Line()
    allowed: list[str] = []

    def authorize(call: rpc.Call) -> bool:
        allowed.append(call.method)
        return False

    async with rpc.Peer(line, authorize_call=authorize) as peer:
        for number in range(500):
            line.put({"jsonrpc": "2.0", "id": number, "method": "$/ping"})
        answers = [await line.sent() for _ in range(500)]

        assert peer.table.strange == 0
    assert answers[7] == {"jsonrpc": "2.0", "id": 7, "result": None}
    assert allowed == []
    assert line.closed_with is None


async def test_heartbeats_are_answered_by_a_peer_that_takes_no_more_calls():
    line = Line()
    limits = rpc.RpcLimits(calls=1, queued=0)
    async with rpc.Peer(line, {"wait": asyncio.Event().wait}, limits=limits) as peer:
        line.put(call(1, "wait"))
        await line.settled()
        peer.drain()
        line.put({"jsonrpc": "2.0", "id": 2, "method": "$/ping"})

        assert await line.sent() == {"jsonrpc": "2.0", "id": 2, "result": None}


async def test_calls_of_methods_that_a_later_version_has_are_nothing_strange():
    line = Line()
    async with rpc.Peer(line) as peer:
        for number in range(200):
            line.put({"jsonrpc": "2.0", "id": number, "method": "$/later"})
            line.put({"jsonrpc": "2.0", "method": "$/later"})
            error = (await line.sent())["error"]
            assert error["code"] == rpc.MethodNotFound.code

        assert peer.table.strange == 0


@pytest.mark.timeout(10_000)
async def test_what_is_strange_is_forgiven_with_time(monkeypatch):
    """The limit's worth of it in a minute: a page may be wrong now and then."""
    loop = asyncio.get_running_loop()
    passed = [0.0]
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + passed[0])
    line = Line()
    async with rpc.Peer(line, limits=rpc.RpcLimits(strange=10)) as peer:
        for _ in range(100):
            for _ in range(3):
                line.put("{")
                await line.sent()
            passed[0] += 20
        assert line.closed_with is None
        for _ in range(10):
            line.put("{")
        await line.settled_or_closed()
        assert peer.table.strange >= 10

    assert line.closed_with == 1008


# --- answers to calls that were given up -------------------------------------------


async def test_answers_to_any_number_of_calls_given_up_are_nothing_strange():
    line = Line()
    async with rpc.Peer(line) as peer:
        calls = [asyncio.create_task(peer.call("x")) for _ in range(5000)]
        await asyncio.sleep(0)
        for task in calls:
            task.cancel()
        await asyncio.wait(calls)
        for number in range(1, 5001):
            line.put({"jsonrpc": "2.0", "id": number, "result": 1})
        again = asyncio.create_task(peer.call("x"))
        await asyncio.sleep(0)
        line.put({"jsonrpc": "2.0", "id": 5001, "result": 5})

        assert await again == 5
        assert peer.table.strange == 0
    assert line.closed_with is None


@pytest.mark.parametrize("wire", ["wsrpc", "wsrpc.1"])
@pytest.mark.timeout(60)
async def test_a_burst_of_notifications_on_the_wires_of_wsrpc_closes_nothing(wire):
    heard: list[int] = []
    server = rpc.Server(wire=wire)
    async with serving(server) as uri:
        async with rpc.Client(uri, {"news": heard.append}, wire=wire) as client:
            peer = await client.connected()
            async with asyncio.timeout(5):
                while not server.peers:
                    await asyncio.sleep(0.001)
            for number in range(3000):
                server.notify("news", number)
            for number in range(3000, 4000):
                await next(iter(server.peers)).notify("news", number)
            async with asyncio.timeout(20):
                while len(heard) < 4000:
                    await asyncio.sleep(0.01)

            assert client.peer is peer
            assert heard == list(range(4000))


async def test_answers_to_calls_that_were_never_made_are_strange():
    line = Line()
    async with rpc.Peer(line, limits=rpc.RpcLimits(strange=10)) as peer:
        await peer.notify("x")
        for number in (1, 2, 99, -1, 0, 1 << 60, "1", "x", None, 3):
            line.put({"jsonrpc": "2.0", "id": number, "error": {"message": "no"}})
        await line.settled_or_closed()

    assert line.closed_with == 1008


# --- calls that take their time ----------------------------------------------------


class Clock:
    """The loop's time, which can be moved on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        time, self.passed = loop.time, 0.0
        monkeypatch.setattr(loop, "time", lambda: time() + self.passed)

    async def move(self, seconds: float) -> None:
        self.passed += seconds
        for _ in range(20):
            await asyncio.sleep(0)


# The time that passes is the loop's, so that these tests may take as long.
an_age = pytest.mark.timeout(1e9)


@an_age
@pytest.mark.parametrize("wire", ["longwire.jsonrpc", "wsrpc", "wsrpc.1"])
@pytest.mark.parametrize("seconds", [65, 3600, 1_000_000])
async def test_any_time_may_pass_between_a_call_and_its_answer(
    wire, seconds, monkeypatch
):
    clock = Clock(monkeypatch)
    gate = asyncio.Event()

    async def route() -> str:
        await gate.wait()
        return "at last"

    line = Line(wire)
    async with rpc.Peer(line, {"route": route}) as peer:
        ours = asyncio.create_task(peer.call("x"))
        asked = await line.sent()
        if wire == "wsrpc.1":
            line.put({"serial": 3, "call": "route"})
        else:
            line.put(call(3, "route"))
        await line.settled()
        for _ in range(5):
            await clock.move(seconds / 5)
        assert not ours.done()
        assert await line.settled() == []

        gate.set()
        answer = await line.sent()
        assert answer.get("result", answer.get("data")) == "at last"
        if wire == "wsrpc.1":
            line.put({"serial": asked["serial"], "type": "callback", "data": 5})
        else:
            line.put({"jsonrpc": "2.0", "id": asked["id"], "result": 5})
        assert await ours == 5


@an_age
async def test_any_time_may_pass_between_the_items_of_a_stream(monkeypatch):
    clock = Clock(monkeypatch)
    gate = asyncio.Event()

    async def route() -> AsyncIterator[int]:
        await gate.wait()
        yield 5

    line = Line()
    async with rpc.Peer(line, {"route": route}):
        line.put(call(3, "route", stream=1))
        await line.settled()
        await clock.move(10_000)
        gate.set()

        assert (await line.sent())["params"]["value"] == 5


@an_age
async def test_a_client_that_waits_for_its_server_waits_as_long_as_it_is_told(
    monkeypatch,
):
    async with rpc.Client("ws://localhost:1/", offline="keep") as client:
        task = asyncio.create_task(client.call("x"))
        await asyncio.sleep(0.05)
        clock = Clock(monkeypatch)
        await clock.move(65)

        assert not task.done()
        task.cancel()


@an_age
@pytest.mark.parametrize("limits", [{"deadline": 60}, {"timeout": 60}])
async def test_times_may_be_limited_all_the_same(limits, monkeypatch):
    clock = Clock(monkeypatch)
    line = Line()
    routes = {"wait": asyncio.Event().wait}
    async with rpc.Peer(line, routes, limits=rpc.RpcLimits(**limits)) as peer:
        if "deadline" in limits:
            line.put(call(1, "wait"))
            await line.settled()
            await clock.move(61)
            error = (await line.sent())["error"]
            assert error["code"] == rpc.DeadlineExceeded.code
        else:
            task = asyncio.create_task(peer.call("x"))
            await line.sent()
            await clock.move(61)
            with pytest.raises(rpc.CallTimeout, match="within 60 seconds"):
                await task


# --- nested calls ------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 5, 20])
@pytest.mark.parametrize("count", [1, 3])
async def test_nested_calls_at_the_limit_do_not_wait_for_each_other(depth, count):
    async def down(peer: rpc.Peer, level: int) -> int:
        if not level:
            return 0
        return 1 + await peer.call("down", level - 1)

    limits = rpc.RpcLimits(calls=2)
    server = rpc.Server({"down": down}, limits=limits)
    async with serving(server) as uri:
        async with rpc.Client(uri, {"down": down}, limits=limits) as client:
            async with asyncio.timeout(10):
                calls = (client.call("down", depth) for _ in range(count))
                assert await asyncio.gather(*calls) == [depth] * count
        (budget,) = {server.settings.budget}
        async with asyncio.timeout(5):
            while budget.left != limits.calls_in_all:
                await asyncio.sleep(0.001)


async def test_nested_calls_by_gather_and_streams_do_not_wait_for_each_other():
    async def inner(number: int) -> int:
        return number

    async def items(peer: rpc.Peer) -> AsyncIterator[int]:
        for number in range(3):
            yield await peer.call("back", number)

    async def outer(peer: rpc.Peer) -> int:
        found = await asyncio.gather(*(peer.call("back", n) for n in range(5)))
        found += [item async for item in peer.stream("items")]
        return sum(found)

    async def back(peer: rpc.Peer, number: int) -> int:
        return int(await peer.call("inner", number))

    limits = rpc.RpcLimits(calls=1)
    server = rpc.Server({"outer": outer, "inner": inner, "back": back}, limits=limits)
    routes = {"back": back, "items": items, "inner": inner}
    async with serving(server) as uri:
        async with rpc.Client(uri, routes, limits=limits) as client:
            async with asyncio.timeout(10):
                calls = (client.call("outer") for _ in range(4))
                assert await asyncio.gather(*calls) == [13] * 4


async def test_nested_calls_in_threads_do_not_wait_for_each_other():
    loop = asyncio.get_running_loop()

    def down(peer: rpc.Peer, level: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        if not level:
            return 0
        calling = peer.call("down", level - 1)
        below = asyncio.run_coroutine_threadsafe(calling, loop)
        return 1 + below.result(10)

    routes = rpc.Routes()
    routes.add("down", down, threads=True)
    server = rpc.Server(routes, threads=2)
    async with serving(server) as uri:
        async with rpc.Client(uri, routes, threads=2) as client:
            async with asyncio.timeout(20):
                assert await client.call("down", 6) == 6


async def test_more_nested_calls_than_have_room_are_refused_and_not_forgotten():
    async def down(peer: rpc.Peer, level: int) -> int:
        return await peer.call("down", level + 1)

    limits = rpc.RpcLimits(calls=2, queued=3)
    server = rpc.Server({"down": down}, limits=limits)
    async with serving(server) as uri:
        async with rpc.Client(uri, {"down": down}, limits=limits) as client:
            async with asyncio.timeout(10):
                with pytest.raises(rpc.InternalError):
                    await client.call("down", 0)


# --- drain -------------------------------------------------------------------------


async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


async def ticks() -> AsyncIterator[int]:
    while True:
        yield 1
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def visiting(uri: str, wire: str = "jsonrpc", routes: Any = None) -> Any:
    """A peer that does not come back when its connection has ended."""
    subprotocols = [SUBPROTOCOLS[wire]] if wire in SUBPROTOCOLS else None
    connecting = longwire.connect(uri, subprotocols=subprotocols)
    async with connecting as connection:
        async with rpc.Peer(connection, routes, wire=wire, client=True) as peer:
            yield peer


SUBPROTOCOLS = {"jsonrpc": "longwire.jsonrpc", "msgpack": "longwire.msgpack"}


async def listening_at(server: rpc.Server) -> tuple[longwire.Server, str]:
    listening = await server.serve("localhost", 0)
    return listening, f"ws://localhost:{listening.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize("wire", WIRES)
async def test_calls_under_way_end_first_when_a_server_is_drained(wire):
    listening, uri = await listening_at(rpc.Server({"slow": slow}, wire=wire))
    async with visiting(uri, wire) as peer:
        under_way = asyncio.create_task(peer.call("slow", 0.3))
        await asyncio.sleep(0.1)
        draining = asyncio.create_task(listening.drain(timeout=5))
        await asyncio.sleep(0.05)
        with pytest.raises(rpc.RemoteError, match="about to end") as refused:
            await peer.call("slow", 0)

        assert await under_way == "done"
        async with asyncio.timeout(4):
            await draining
        await peer.connection.wait_closed()
        assert peer.close_report.code == 1001
    if wire in SUBPROTOCOLS:
        assert isinstance(refused.value, rpc.TooBusy)


async def test_calls_of_ours_end_first_when_a_server_is_drained():
    server = rpc.Server()
    listening, uri = await listening_at(server)
    async with visiting(uri, routes={"slow": slow}):
        while not server.peers:
            await asyncio.sleep(0.001)
        asked = asyncio.create_task(server.broadcast("slow", 0.3))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(4):
            await listening.drain(timeout=5)

        assert list((await asked).values()) == ["done"]


async def test_streams_and_idle_connections_do_not_hold_up_a_drain():
    listening, uri = await listening_at(rpc.Server({"ticks": ticks}))
    async with visiting(uri) as peer, visiting(uri):
        stream = peer.stream("ticks")
        assert await anext(stream) == 1
        async with asyncio.timeout(4):
            await listening.drain(timeout=30)
        with pytest.raises(rpc.Disconnected) as ended:
            async for _ in stream:
                pass

    assert ended.value.report.code == 1001


async def test_a_call_that_takes_too_long_is_cut_off_when_a_drain_is_over():
    listening, uri = await listening_at(rpc.Server({"slow": slow}))
    async with visiting(uri) as peer:
        under_way = asyncio.create_task(peer.call("slow", 60))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(10):
            await listening.drain(timeout=0.2)
        with pytest.raises(rpc.Disconnected):
            await under_way


async def test_a_peer_can_be_drained_by_itself():
    line = Line()
    async with rpc.Peer(line, {"slow": slow}) as peer:
        line.put(call(1, "slow", 0.05))
        await line.settled()
        peer.drain(1012, "restarting")
        line.put({"jsonrpc": "2.0", "method": "slow", "params": [0]})
        assert line.closed_with is None

        assert (await line.sent())["result"] == "done"
        await line.settled_or_closed()
    assert line.closed_with == 1012


# --- signals and events --------------------------------------------------------------


async def test_receivers_that_are_async_are_awaited():
    told: list[Any] = []
    signals = rpc.Signals()

    def receiver(name: str) -> Any:
        async def receive(*args: Any) -> None:
            await asyncio.sleep(0.01)
            told.append(name)

        return receive

    for signal in (signals.opened, signals.closed, signals.call_ended):
        signal.connect(receiver(signal.name))
    line = Line()
    async with rpc.Peer(line, {"x": lambda: list(told)}, signals=signals):
        line.put(call(1, "x"))
        assert (await line.sent())["result"] == ["opened"]
    assert told[-1] == "closed"
    async with asyncio.timeout(5):
        while "call_ended" not in told:
            await asyncio.sleep(0.001)


async def test_receivers_that_are_slow_do_not_pile_up():
    at_work, most = 0, 0

    async def slow_receiver(call: rpc.Call) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.001)
        at_work -= 1

    signals = rpc.Signals()
    signals.call_started.connect(slow_receiver)
    line = Line()
    async with rpc.Peer(line, {"x": lambda: 1}, signals=signals):
        for number in range(1000):
            line.put(call(number, "x"))
        for _ in range(1000):
            await line.sent()
    while at_work or signals.call_started.tasks:
        await asyncio.sleep(0.001)

    assert most <= 102


async def test_an_event_goes_to_clients_of_wsrpc_and_comes_from_them():
    here: list[Any] = []
    there: list[Any] = []
    server = rpc.Server(wire="wsrpc")
    server.signals.opened.connect(lambda peer: peer.on_event(there.append))
    async with serving(server) as uri, rpc.Client(uri, wire="wsrpc") as client:
        peer = await client.connected()

        @peer.on_event
        async def heard(event: Any) -> None:
            await asyncio.sleep(0)
            here.append(event)

        await peer.emit({"from": "client"})
        async with asyncio.timeout(5):
            while not there:
                await asyncio.sleep(0.001)
        server.emit({"from": "server"})
        await next(iter(server.peers)).emit({"from": "its peer", "result": 5})
        async with asyncio.timeout(5):
            while len(here) < 2:
                await asyncio.sleep(0.001)

    assert there == [{"from": "client"}]
    assert here == [{"from": "server"}, {"from": "its peer", "result": 5}]


@pytest.mark.parametrize(
    ("wire", "event", "error", "message"),
    [
        ("wsrpc", {"id": 1}, ValueError, "no member 'id'"),
        ("wsrpc", {"method": None}, ValueError, "no member 'method'"),
        ("wsrpc", {"error": 5}, ValueError, "no member 'error'"),
        ("wsrpc", [1], TypeError, "an event is an object"),
        ("wsrpc", "x", TypeError, "an event is an object"),
        ("wsrpc", {"a": "x" * 2_000_000}, ValueError, "at most"),
        ("longwire.jsonrpc", {"a": 1}, TypeError, "longwire.jsonrpc has no events"),
        ("wsrpc.1", {"a": 1}, TypeError, "has no events"),
    ],
)
async def test_what_is_no_event_is_refused(wire, event, error, message):
    line = Line(wire)
    async with rpc.Peer(line) as peer:
        with pytest.raises(error, match=message):
            await peer.emit(event)
        assert await line.settled() == []


async def test_a_traceback_of_the_page_is_shown_where_its_error_ends_a_route(caplog):
    async def ask(peer: rpc.Peer) -> None:
        await peer.call("x")

    for wire in ("longwire.jsonrpc", "wsrpc", "wsrpc.1"):
        caplog.clear()
        line = Line(wire)
        traceback = "TypeError: no\n  at draw (page.js:5)"
        error: dict[str, Any] = {"message": "no", "traceback": traceback}
        async with rpc.Peer(line, {"ask": ask}):
            if wire == "wsrpc.1":
                line.put({"serial": 3, "call": "ask"})
                serial = (await line.sent())["serial"]
                data = {"type": "TypeError", **error}
                line.put({"serial": serial, "type": "error", "data": data})
            else:
                line.put(call(3, "ask"))
                asked = (await line.sent())["id"]
                if wire == "wsrpc":
                    error["type"] = "TypeError"
                else:
                    data = {"type": "TypeError", "traceback": traceback}
                    error = {"code": -32000, "message": "no", "data": data}
                line.put({"jsonrpc": "2.0", "id": asked, "error": error})
            await line.sent()

        assert "TypeError: no" in caplog.text
        assert "at draw (page.js:5)" in caplog.text


# --- how much may be sent ----------------------------------------------------------


async def test_a_server_tells_a_client_that_asks_for_our_wire_what_it_takes():
    async with serving(rpc.Server({"x": lambda: 5})) as uri:
        asking = longwire.connect(uri, subprotocols=["longwire.jsonrpc"])
        async with asking as connection:
            await connection.send(json.dumps(call(1, "x")))
            first = json.loads(await connection.recv())
            assert json.loads(await connection.recv())["result"] == 5
        async with longwire.connect(uri) as connection:
            await connection.send(json.dumps(call(1, "x")))
            assert json.loads(await connection.recv())["result"] == 5

    limits = {"message": 256 * 1024}
    assert first == {"jsonrpc": "2.0", "method": "$/limits", "params": limits}


@pytest.mark.parametrize("wire", ["jsonrpc", "msgpack"])
async def test_a_call_that_is_too_large_is_refused_here_and_closes_nothing(wire):
    big = "x" * 300_000
    server = rpc.Server({"echo": lambda value: value})
    async with serving(server) as uri:
        routes = {"big": lambda: big}
        async with rpc.Client(uri, routes, wire=wire) as client:
            # The first one of all: it is not known yet what the server takes.
            with pytest.raises(ValueError, match="takes at most 262144"):
                await client.call("echo", big)
            with pytest.raises(ValueError, match="takes at most 262144"):
                await client.notify("echo", big)
            peer = client.peer
            assert await client.call("echo", "x" * 200_000) == "x" * 200_000
            (answer,) = (await server.broadcast("big")).values()
            assert isinstance(answer, rpc.InternalError)
            assert "exceeds the limit of 262144 bytes" in answer.message
            assert await client.call("echo", 5) == 5
            assert client.peer is peer


async def test_a_server_that_was_told_otherwise_says_so():
    big = "x" * 900_000
    server = rpc.Server({"echo": lambda value: value})
    for options in ({"max_size": 1 << 20}, {"limits": longwire.Limits()}):
        async with serving(server, **options) as uri, rpc.Client(uri) as client:
            assert await client.call("echo", big) == big


async def test_a_server_that_says_nothing_gets_what_is_sent():
    async def answer(connection: longwire.ServerConnection) -> None:
        async for message in connection:
            frame = json.loads(message)
            error = {"code": -32601, "message": "no such method"}
            known = frame["method"] != "$/ping"
            outcome = {"result": 5} if known else {"error": error}
            await connection.send(
                json.dumps({"jsonrpc": "2.0", "id": frame["id"], **outcome})
            )

    serve = longwire.serve(
        answer, "localhost", 0, subprotocols=["longwire.jsonrpc"], max_size=1 << 20
    )
    async with serve as listening:
        uri = f"ws://localhost:{listening.sockets[0].getsockname()[1]}/"
        async with rpc.Client(uri) as client:
            assert await client.call("x", "y" * 500_000) == 5


async def test_a_time_limit_holds_while_it_is_asked_what_may_be_sent():
    async def never(connection: longwire.ServerConnection) -> None:
        await connection.wait_closed()

    serve = longwire.serve(never, "localhost", 0, subprotocols=["longwire.jsonrpc"])
    async with serve as listening:
        uri = f"ws://localhost:{listening.sockets[0].getsockname()[1]}/"
        async with rpc.Client(uri) as client:
            with pytest.raises(rpc.CallTimeout, match="no answer from big within"):
                await client.call("big", "y" * 100_000, timeout=0.1)
            assert not client.peer.table.ours


# --- who may connect ---------------------------------------------------------------


@pytest.mark.parametrize(
    "is_ours", [True, False], ids=["server.serve", "serve(server)"]
)
@pytest.mark.parametrize(
    ("options", "origin", "is_let_in"),
    [
        ({}, None, True),
        ({}, "http://localhost:{port}", True),
        ({}, "http://evil.example", False),
        ({}, "http://localhost:1", False),
        ({}, "null", False),
        ({"origins": None}, "http://evil.example", True),
        ({"origins": ["https://good.example"]}, "https://good.example", True),
        ({"origins": ["https://good.example"]}, "http://evil.example", False),
        ({"origins": ["https://good.example"]}, None, False),
        ({"origins": ["https://good.example", None]}, None, True),
        (
            {"origins": ["https://good.example", "same"]},
            "http://localhost:{port}",
            True,
        ),
    ],
)
async def test_pages_of_other_sites_may_not_call_unless_they_are_named(
    options, origin, is_let_in, is_ours, caplog
):
    caplog.set_level(logging.INFO)
    server = rpc.Server({"x": lambda: 5}, **options)
    serve = server.serve if is_ours else functools.partial(longwire.serve, server)
    async with serve("localhost", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        origin = origin and origin.format(port=port)
        connecting = longwire.connect(f"ws://localhost:{port}/", origin=origin)
        outcome: Any
        try:
            async with connecting as connection:
                await connection.send(json.dumps(call(1, "x")))
                outcome = json.loads(await connection.recv())["result"]
        except longwire.InvalidStatus as exc:
            outcome = exc.response.status_code
        except longwire.ConnectionClosedError as exc:
            outcome = exc.code
    refused = 403 if is_ours else 1008
    assert outcome == (5 if is_let_in else refused)


async def test_who_serves_may_say_which_origins_there_are():
    server = rpc.Server({"x": lambda: 5})
    for serve in (server.serve, functools.partial(longwire.serve, server)):
        origins = ["https://good.example"]
        async with serve("localhost", 0, origins=origins) as listening:
            port = listening.sockets[0].getsockname()[1]
            connecting = longwire.connect(
                f"ws://localhost:{port}/", origin="https://good.example"
            )
            async with connecting as connection, rpc.Peer(connection) as peer:
                assert await peer.call("x") == 5


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "message", ["not today", "\udce9\r\nSet-Cookie: x", "", "x" * 999]
)
async def test_authorising_may_say_more_than_no(is_async, message):
    def authorize(connection: Any, request: Any) -> bool:
        raise rpc.NotAuthorised(message)

    async def authorize_later(connection: Any, request: Any) -> bool:
        raise rpc.NotAuthorised(message)

    server = rpc.Server(authorize=authorize_later if is_async else authorize)
    async with serving(server) as uri:
        with pytest.raises(longwire.InvalidStatus, match="403") as refused:
            await longwire.connect(uri)
    async with longwire.serve(server, "localhost", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with longwire.connect(f"ws://localhost:{port}/") as connection:
            with pytest.raises(longwire.ConnectionClosedError) as closed:
                await connection.recv()

    body = refused.value.response.body.decode()
    assert body.startswith("Forbidden: ")
    assert len(body) < 300
    assert message not in ("not today",) or "not today" in body
    assert closed.value.code == 1008
