"""Server and client over real sockets: what an application sees."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

import longwire
from longwire import rpc

WIRES = ["jsonrpc", "msgpack", "wsrpc", "wsrpc.1"]
LONGWIRES = ["jsonrpc", "msgpack"]


class OutOfStock(rpc.ApplicationError):
    """A declared error with data."""


@dataclasses.dataclass
class Order:
    item: str
    count: int = 1


class Basket(rpc.Service):
    """Keeps what one client has ordered."""

    closed: list[Any] = []

    def __init__(self, peer: rpc.Peer) -> None:
        super().__init__(peer)
        self.orders: list[Order] = []

    def init(self) -> int:
        return len(self.orders)

    def add(self, order: Order) -> int:
        if order.count > 10:
            raise OutOfStock("not that many", {"left": 10})
        self.orders.append(order)
        return len(self.orders)

    async def ask(self) -> Any:
        return await self.peer.call("whoAreYou")

    async def on_close(self) -> None:
        await asyncio.sleep(0)
        Basket.closed.append(self.peer.close_report)


def add(a: int, b: int) -> int:
    return a + b


async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


async def count(n: int, pause: float = 0.0) -> AsyncIterator[int]:
    for number in range(n):
        if pause:
            await asyncio.sleep(pause)
        yield number


async def path() -> str:
    await asyncio.sleep(0)
    return str(rpc.current().request.path)


def remember(peer: rpc.Peer, value: int) -> int:
    peer.state["sum"] = peer.state.get("sum", 0) + value
    return int(peer.state["sum"])


ROUTES = {
    "add": add,
    "slow": slow,
    "count": count,
    "path": path,
    "remember": remember,
    "basket": Basket,
}


@contextlib.asynccontextmanager
async def serving(server: rpc.Server | None = None) -> AsyncIterator[str]:
    """A server at work; its URI."""
    server = server or rpc.Server(ROUTES)
    async with server.serve("localhost", 0) as listening:
        yield f"ws://localhost:{listening.sockets[0].getsockname()[1]}/"


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


# --- calls -----------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
async def test_calls_go_both_ways_on_every_wire(wire):
    async with serving(rpc.Server(ROUTES, wire=wire)) as uri:
        routes = {"whoAreYou": lambda: "me"}
        async with rpc.Client(uri, routes, wire=wire, errors=[OutOfStock]) as client:
            assert await client.call("add", 1, 2) == 3
            assert await client.call("add", a=1, b=2) == 3
            assert await client.proxy.basket.add({"item": "tea"}) == 1
            assert await client.call("basket.ask") == "me"
            with pytest.raises(OutOfStock, match="not that many") as raised:
                await client.call("basket.add", Order("tea", 11))
            if wire in LONGWIRES:
                assert raised.value.data == {"left": 10}


@pytest.mark.parametrize("wire", LONGWIRES)
async def test_streams_go_both_ways(wire):
    async def total(peer: rpc.Peer) -> int:
        return sum([number async for number in peer.stream("count", 100)])

    async with serving(rpc.Server({**ROUTES, "total": total})) as uri:
        async with rpc.Client(uri, {"count": count}, wire=wire) as client:
            numbers = [number async for number in client.stream("count", 100)]

            assert numbers == list(range(100))
            assert await client.call("total") == sum(range(100))


async def test_a_result_becomes_the_type_that_is_asked_for():
    async with serving(rpc.Server({"order": lambda: Order("tea", 2)})) as uri:
        async with rpc.Client(uri) as client:
            order = await client.call("order", returns=Order)

    assert order == Order("tea", 2)


async def test_many_calls_at_once_get_their_own_answers():
    async with serving() as uri, rpc.Client(uri) as client:
        results = await asyncio.gather(*(client.call("add", n, n) for n in range(500)))

    assert results == [2 * n for n in range(500)]


async def test_answers_come_in_any_order():
    async with serving() as uri, rpc.Client(uri) as client:
        late = asyncio.create_task(client.call("slow", 0.2))
        await asyncio.sleep(0.01)

        assert await client.call("add", 1, 1) == 2
        assert not late.done()
        assert await late == "done"


async def test_cancelling_the_task_that_waits_cancels_the_remote_call():
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(rpc.Server({"wait": wait})) as uri, rpc.Client(uri) as client:
        task = asyncio.create_task(client.call("wait"))
        async with asyncio.timeout(20):
            await begun.wait()
            task.cancel()
            await cancelled.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_stream_that_is_left_ends_the_remote_generator():
    ended = asyncio.Event()

    async def ticks() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    async with serving(rpc.Server({"ticks": ticks})) as uri, rpc.Client(uri) as client:
        async with client.stream("ticks", window=3) as stream:
            async for _ in stream:
                break

        async with asyncio.timeout(5):
            await ended.wait()


async def test_a_generator_is_never_further_than_its_window_ahead():
    made = 0

    async def ticks() -> AsyncIterator[int]:
        nonlocal made
        while True:
            made += 1
            yield made

    async with serving(rpc.Server({"ticks": ticks})) as uri, rpc.Client(uri) as client:
        async with client.stream("ticks", window=4) as stream:
            for taken in range(1, 20):
                assert await stream.__anext__() == taken
                await asyncio.sleep(0.005)
                # What is on the way, and the one that waits to be sent.
                assert made <= taken + 4 + 1


async def test_arguments_go_by_position_or_by_name():
    async with serving() as uri, rpc.Client(uri) as client:
        with pytest.raises(TypeError, match="not both in one call"):
            await client.call("add", 1, b=2)


async def test_two_sides_that_flood_each_other_do_not_wait_for_ever():
    def blob(n: int) -> str:
        return str(n) * 100_000

    async def ask_back(peer: rpc.Peer) -> int:
        blobs = await asyncio.gather(*(peer.call("blob", n % 10) for n in range(200)))
        return len(blobs)

    async with serving(rpc.Server({"blob": blob, "ask_back": ask_back})) as uri:
        async with rpc.Client(uri, {"blob": blob}) as client:
            back = asyncio.create_task(client.call("ask_back"))
            calls = [client.call("blob", n % 10) for n in range(200)]
            blobs = await asyncio.gather(*calls)

            assert [blob[0] for blob in blobs] == [str(n % 10) for n in range(200)]
            assert await back == 200


# --- one connection --------------------------------------------------------------


async def test_a_class_has_an_instance_for_each_connection_until_it_ends():
    Basket.closed.clear()
    async with serving() as uri, rpc.Client(uri) as other:
        async with rpc.Client(uri) as client:
            await client.call("basket.add", Order("tea"))
            assert await client.call("basket.add", Order("milk")) == 2
            assert await other.call("basket") == 0
        await until(lambda: Basket.closed)

        (report,) = Basket.closed
        assert isinstance(report, longwire.CloseReport)
        assert report.code == 1000
    await until(lambda: len(Basket.closed) == 2)


async def test_a_connection_has_state_and_a_request_at_hand():
    async with serving() as uri:
        async with rpc.Client(f"{uri}some/path?x=1") as client:
            assert await client.call("path") == "/some/path?x=1"
            assert await client.call("remember", 2) == 2
            assert await client.call("remember", 3) == 5
        async with rpc.Client(uri) as client:
            assert await client.call("remember", 1) == 1


def test_outside_of_a_route_there_is_no_current_call():
    with pytest.raises(LookupError):
        rpc.current()


async def test_functions_can_be_told_of_the_end_of_a_connection():
    ended: list[str] = []

    def watch(peer: rpc.Peer) -> None:
        peer.on_close(lambda: ended.append("plain"))

        @peer.on_close
        async def last() -> None:
            ended.append("async")
            raise RuntimeError("this stops nothing")

    async with serving(rpc.Server({"watch": watch})) as uri:
        async with rpc.Client(uri) as client:
            await client.call("watch")
        await until(lambda: len(ended) == 2)

    assert ended == ["async", "plain"]


async def test_routes_may_be_an_attribute_of_the_class_as_in_the_article():
    class Handler(rpc.Server):
        ROUTES = {"getTime": lambda: 12}

    Handler.ROUTES["late"] = lambda: "late"
    async with serving(Handler({"more": lambda: "more"})) as uri:
        async with rpc.Client(uri) as client:
            assert await client.call("getTime") == 12
            assert await client.call("late") == "late"
            assert await client.call("more") == "more"


async def test_a_server_is_a_handler_that_serve_takes():
    server = rpc.Server(ROUTES)
    async with longwire.serve(server, "localhost", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        connecting = longwire.connect(f"ws://localhost:{port}/")
        async with connecting as connection, rpc.Peer(connection) as peer:
            assert await peer.call("add", 1, 2) == 3


async def test_a_peer_works_on_a_connection_of_the_documented_api():
    import websockets

    async with serving() as uri, websockets.connect(uri) as connection:
        await connection.send('{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]}')

        assert await connection.recv() == '{"jsonrpc":"2.0","id":1,"result":3}'


# --- all clients -----------------------------------------------------------------


async def test_a_broadcast_collects_what_each_client_answers():
    def refuse() -> None:
        raise OutOfStock("no")

    async def never() -> None:
        await asyncio.sleep(10)

    server = rpc.Server(ROUTES)
    async with serving(server) as uri, contextlib.AsyncExitStack() as stack:
        for route in (lambda: 1, lambda: 2, refuse, never):
            client = rpc.Client(uri, {"vote": route})
            await (await stack.enter_async_context(client)).connected()
        await until(lambda: len(server.peers) == 4)

        votes = await server.broadcast("vote", timeout=0.2)

    found = sorted(
        str(vote) if isinstance(vote, int) else type(vote).__name__
        for vote in votes.values()
    )
    assert found == ["1", "2", "ApplicationError", "CallTimeout"]


async def test_a_notification_goes_to_all_clients_on_their_own_wires():
    heard: list[tuple[str, str]] = []
    server = rpc.Server(ROUTES)
    async with serving(server) as uri, contextlib.AsyncExitStack() as stack:
        for wire in LONGWIRES:
            routes = {"news": lambda text, wire=wire: heard.append((wire, text))}
            client = rpc.Client(uri, routes, wire=wire)
            await (await stack.enter_async_context(client)).connected()
        await until(lambda: len(server.peers) == 2)

        server.notify("news", "rain")
        server.notify("news", "sun", peers=[])
        await until(lambda: len(heard) == 2)

    assert sorted(heard) == [("jsonrpc", "rain"), ("msgpack", "rain")]


async def test_a_notification_reaches_clients_of_the_old_wires():
    heard: list[str] = []
    server = rpc.Server(ROUTES, wire="wsrpc")
    async with serving(server) as uri:
        async with rpc.Client(uri, {"news": heard.append}, wire="wsrpc") as client:
            await client.connected()
            await until(lambda: server.peers)
            for _ in range(200):
                server.notify("news", "rain")
            await until(lambda: len(heard) == 200)

            assert await client.call("add", 1, 2) == 3


# --- who may ---------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_connection_may_be_refused_in_its_handshake(is_async):
    def authorize(connection: Any, request: longwire.Request) -> bool:
        return request.headers.get("Authorization") == "token"

    async def authorize_later(connection: Any, request: longwire.Request) -> bool:
        return authorize(connection, request)

    server = rpc.Server(ROUTES, authorize=authorize_later if is_async else authorize)
    async with serving(server) as uri:
        async with rpc.Client(uri) as client:
            with pytest.raises(longwire.InvalidStatus, match="403"):
                await client.call("add", 1, 2)
            with pytest.raises(longwire.InvalidStatus, match="403"):
                await client.connected()
        headers = {"Authorization": "token"}
        async with rpc.Client(uri, additional_headers=headers) as client:
            assert await client.call("add", 1, 2) == 3


async def test_a_connection_may_be_refused_where_the_handshake_is_not_ours():
    server = rpc.Server(ROUTES, authorize=lambda connection, request: False)
    async with longwire.serve(server, "localhost", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with longwire.connect(f"ws://localhost:{port}/") as connection:
            with pytest.raises(longwire.ConnectionClosedError) as closed:
                await connection.recv()

    assert closed.value.code == 1008


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_call_may_be_refused_before_its_arguments_are_looked_at(is_async):
    called = []

    def authorize(call: rpc.Call) -> bool:
        if call.method == "secret":
            return False
        if call.method == "forgotten":
            return None  # type: ignore[return-value]
        if call.method == "other":
            raise rpc.NotAuthorised("not today", {"until": "noon"})
        return True

    async def authorize_later(call: rpc.Call) -> bool:
        await asyncio.sleep(0)
        return authorize(call)

    names = ("secret", "other", "forgotten")
    routes = {**dict.fromkeys(names, called.append), "add": add}
    hook = authorize_later if is_async else authorize
    async with serving(rpc.Server(routes, authorize_call=hook)) as uri:
        async with rpc.Client(uri) as client:
            for arguments in ((), (1,), (1, 2)):
                with pytest.raises(rpc.NotAuthorised, match="not authorised"):
                    await client.call("secret", *arguments)
            with pytest.raises(rpc.NotAuthorised):
                await client.call("forgotten", 1)
            with pytest.raises(rpc.NotAuthorised) as raised:
                await client.call("other", 1)
            assert await client.call("add", 1, 2) == 3

    assert raised.value.data == {"until": "noon"}
    assert called == []


# --- signals ---------------------------------------------------------------------


async def test_signals_tell_of_connections_and_calls_with_their_durations():
    told: list[tuple[Any, ...]] = []
    server = rpc.Server(ROUTES)
    signals = server.signals
    signals.opened.connect(lambda peer: told.append(("opened", len(server.peers))))
    signals.closed.connect(lambda peer, report: told.append(("closed", report.code)))
    signals.call_started.connect(lambda call: told.append(("started", call.method)))
    signals.call_ended.connect(lambda call, s: told.append(("ended", call.method, s)))
    signals.call_failed.connect(
        lambda call, s, error: told.append(("failed", call.method, type(error)))
    )
    async with serving(server) as uri, rpc.Client(uri) as client:
        await client.call("add", 1, 2)
        await client.call("slow", 0.05)
        with pytest.raises(rpc.InvalidParams):
            await client.call("add", "x")
        with pytest.raises(rpc.CallTimeout):
            await client.call("slow", 5, timeout=0.05)
        await until(lambda: told[-1][0] == "failed" and told[-1][1] == "slow")
    await until(lambda: told[-1][0] == "closed")

    assert told[0] == ("opened", 1)
    assert [entry[:2] for entry in told[1:5]] == [
        ("started", "add"),
        ("ended", "add"),
        ("started", "slow"),
        ("ended", "slow"),
    ]
    assert 0 <= told[2][2] < 0.05 <= told[4][2] < 5
    assert told[6] == ("failed", "add", rpc.InvalidParams)
    assert told[8] == ("failed", "slow", asyncio.CancelledError)
    assert told[-1] == ("closed", 1000)


async def test_a_receiver_that_fails_stops_nothing(caplog):
    server = rpc.Server(ROUTES)

    @server.signals.call_started.connect
    def fail(call: rpc.Call) -> None:
        raise RuntimeError("no")

    async with serving(server) as uri, rpc.Client(uri) as client:
        assert await client.call("add", 1, 2) == 3
        server.signals.call_started.disconnect(fail)
        assert not server.signals.times_calls

    assert "a receiver of the signal call_started failed" in caplog.text


# --- the description -------------------------------------------------------------


async def test_routes_are_described_with_their_types():
    async with serving() as uri, rpc.Client(uri) as client:
        description = await client.call("rpc.describe")

    routes = {route["name"]: route for route in description["routes"]}
    assert routes.keys() == {
        *("add", "slow", "count", "path", "remember", "basket", "basket.add"),
        "basket.ask",
    }
    assert routes["add"]["returns"] == {"type": "integer"}
    assert routes["count"]["stream"] is True
    assert routes["remember"]["params"] == [
        {
            "name": "value",
            "schema": {"type": "integer"},
            "required": True,
            "variadic": None,
            "by": "both",
        }
    ]
    assert routes["basket.add"]["params"][0]["schema"] == {"$ref": "#/types/Order"}
    assert description["types"]["Order"]["required"] == ["item"]


async def test_the_description_can_be_turned_off():
    async with serving(rpc.Server(ROUTES, describe=False)) as uri:
        async with rpc.Client(uri) as client:
            with pytest.raises(rpc.MethodNotFound):
                await client.call("rpc.describe")


# --- what is refused at once -----------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"wire": "xml"}, ValueError, "wire is 'xml'; one of jsonrpc, msgpack"),
        ({"threads": 0}, ValueError, "threads is 0"),
        ({"routes": [1]}, TypeError, "routes must be Routes or a mapping, not list"),
        ({"errors": [5]}, TypeError, "errors: 5 is not an exception class"),
        ({"errors": {"X": int}}, TypeError, "'int'> is not an exception class"),
        ({"errors": [StopIteration]}, TypeError, "StopIteration ends an iteration"),
        (
            {"errors": {"end": StopAsyncIteration}},
            TypeError,
            "StopAsyncIteration ends an iteration",
        ),
        ({"authorize": 5}, TypeError, "authorize must be a function"),
        ({"authorize_call": 5}, TypeError, "authorize_call must be a function"),
        ({"limit": 5}, TypeError, "limit"),
    ],
)
def test_a_wrong_option_is_refused_when_the_server_is_made(options, error, message):
    with pytest.raises(error, match=message):
        rpc.Server(**options)


@pytest.mark.parametrize(
    ("limits", "error", "message"),
    [
        ({"calls": 0}, ValueError, "calls is 0; the least allowed is 1"),
        ({"calls": "5"}, TypeError, "calls must be an int, not str"),
        ({"calls": True}, TypeError, "calls must be an int, not bool"),
        ({"queued": -1}, ValueError, "queued is -1; the least allowed is 0"),
        ({"window": 2000}, ValueError, "window is 2000; 1 to 1024 are allowed"),
        ({"deadline": 0}, ValueError, "deadline is 0; a finite number > 0"),
        ({"timeout": "5"}, TypeError, "timeout must be a number of seconds or None"),
    ],
)
def test_a_wrong_limit_is_refused(limits, error, message):
    with pytest.raises(error, match=message):
        rpc.RpcLimits(**limits)
