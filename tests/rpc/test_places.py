"""Places of calls: whatever happens to a call, what it took is free again."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

import longwire
from longwire import rpc
from tests.rpc.links import Line

LIMITS = rpc.RpcLimits(calls=3, queued=4, streams=2, calls_in_all=1000)
THREADS = 4


class Odd(BaseException):
    """What no route should raise."""


async def forever() -> None:
    await asyncio.Event().wait()


async def at_once() -> int:
    return 1


async def soon() -> int:
    await asyncio.sleep(0)
    return 1


async def stubborn() -> int:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.02)
    return 1


def later() -> Any:
    return soon()


def failing(exc: type[BaseException]) -> Callable[..., Any]:
    async def route() -> None:
        raise exc

    return route


async def fails_when_cancelled() -> None:
    try:
        await forever()
    except asyncio.CancelledError:
        raise RuntimeError("no") from None


def not_written() -> object:
    return object()


async def items() -> AsyncIterator[int]:
    for number in range(5):
        yield number


async def endless() -> AsyncIterator[int]:
    while True:
        yield 1
        await asyncio.sleep(0)


async def broken() -> AsyncIterator[int]:
    yield 1
    raise Odd


async def broken_at_its_end() -> AsyncIterator[int]:
    try:
        while True:
            yield 1
    finally:
        raise RuntimeError("closing failed")


def not_items() -> AsyncIterator[int]:
    return 5  # type: ignore[return-value]


class Thread:
    """A route in a thread that ends when it is told to."""

    def __init__(self) -> None:
        self.may_end = threading.Event()

    def run(self) -> int:
        self.may_end.wait(5)
        return 1


def routes_with(thread: Thread) -> rpc.Routes:
    routes = rpc.Routes(
        {
            "forever": forever,
            "at_once": at_once,
            "soon": soon,
            "stubborn": stubborn,
            "later": later,
            "plain": lambda: 1,
            "failing": failing(RuntimeError),
            "cancelled": failing(asyncio.CancelledError),
            "odd": failing(Odd),
            "generator_exit": failing(GeneratorExit),
            "stop": failing(StopIteration),
            "fails_when_cancelled": fails_when_cancelled,
            "not_written": not_written,
            "items": items,
            "endless": endless,
            "broken": broken,
            "broken_at_its_end": broken_at_its_end,
            "not_items": not_items,
        }
    )
    routes.add("thread", thread.run, threads=True)
    routes.add("short", forever, deadline=0.01)
    return routes


CALLS = sorted(
    {route.name for route in routes_with(Thread()) if not route.is_stream} - {"plain"}
)
STREAMS = sorted(route.name for route in routes_with(Thread()) if route.is_stream)


def call(id: Any, method: str, **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": [], **more}


def cancel(id: int) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": id}}


async def everything_is_free(server: rpc.Server, *peers: rpc.Peer) -> None:
    """Wait until no call has a place; a bound, and not for long."""
    budget = server.settings.budget
    async with asyncio.timeout(5):
        while budget.left != LIMITS.calls_in_all or any(p.table.theirs for p in peers):
            await asyncio.sleep(0.001)
    assert budget.memory_left == LIMITS.memory_in_all
    for peer in peers:
        table = peer.table
        assert (table._running, table._lent, table._streams, table._starved) == (0,) * 4
        assert (table.waiting_size, table.read_size, table.holding.memory) == (0, 0, 0)
        assert not table._waiting
        assert not peer.incoming.deferred
        assert peer.incoming._batched == 0
        assert peer.outbox.size == 0


def eager(loop: asyncio.AbstractEventLoop) -> None:
    if hasattr(asyncio, "eager_task_factory"):
        loop.set_task_factory(asyncio.eager_task_factory)


def plain_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Tasks as they are without a factory."""


FACTORIES = [plain_tasks, eager] if sys.version_info >= (3, 12) else [plain_tasks]
every_factory = pytest.mark.parametrize("factory", FACTORIES)

HOW = [
    "ends",
    "cancelled at once",
    "cancelled later",
    "lost at once",
    "lost later",
    "left",
]


@every_factory
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", [*CALLS, *STREAMS])
async def test_a_call_gives_its_place_back_however_it_ends(name, how, factory, caplog):
    caplog.set_level(logging.CRITICAL)
    factory(asyncio.get_running_loop())
    thread = Thread()
    server = rpc.Server(routes_with(thread), limits=LIMITS)
    line = Line()
    peer = server.make_peer(line)
    more = {"stream": 1} if name in STREAMS else {}
    async with peer:
        # More than run at a time: some wait, some are refused.
        for number in range(9):
            line.put(call(number, name, **more))
        if how == "cancelled later" or how == "lost later":
            await line.settled()
        if how.startswith("cancelled") or name in ("forever", "endless"):
            for number in range(9):
                line.put(cancel(number))
        if how.startswith("lost"):
            line.lose()
        if how == "left":
            await asyncio.sleep(0)
        elif not how.startswith("lost"):
            thread.may_end.set()
            if how == "ends" and name in STREAMS:
                more = {"jsonrpc": "2.0", "method": "$/more"}
                for number in range(9):
                    line.put({**more, "params": {"id": number, "count": 3}})
                await line.settled()
                for number in range(9):
                    line.put(cancel(number))
            await line.settled()
            if how != "ends" or name != "fails_when_cancelled":
                await everything_is_free(server, peer)
    thread.may_end.set()
    await everything_is_free(server, peer)


@every_factory
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("name", [*CALLS, *STREAMS])
async def test_a_visit_of_any_length_leaves_nothing_behind(
    name, turns, factory, caplog
):
    """On a socket: calls, and the connection is gone before, or while, they begin."""
    caplog.set_level(logging.CRITICAL)
    factory(asyncio.get_running_loop())
    thread = Thread()
    server = rpc.Server(routes_with(thread), limits=LIMITS)
    stream = {"stream": 1} if name in STREAMS else {}
    line = Line()
    peer = server.make_peer(line)
    for number in range(9):
        line.put(call(number, name, **stream))
        line.put({**call(None, name), "id": number + 100} if not stream else "[]")
    running = asyncio.create_task(peer.run())
    for _ in range(turns):
        await asyncio.sleep(0)
    (line.end if turns == 0 else line.lose)()
    thread.may_end.set()
    await running
    await everything_is_free(server, peer)


async def test_visits_of_a_stranger_do_not_use_up_the_places_of_the_server():
    limits = rpc.RpcLimits(calls_in_all=100)
    routes = {"soon": soon, "forever": forever}
    server = rpc.Server(routes, limits=limits)
    async with server.serve("localhost", 0) as listening:
        uri = f"ws://localhost:{listening.sockets[0].getsockname()[1]}/"
        for visit in range(30):
            async with longwire.connect(uri) as connection:
                for number in range(20):
                    name = ("soon", "forever")[number % 2]
                    await connection.send(json.dumps(call(number, name)))
                if visit % 2:
                    connection.wire.abort()
        await everything_is_free_again(server)
        async with rpc.Client(uri) as client:
            assert await client.call("soon") == 1


async def everything_is_free_again(server: rpc.Server) -> None:
    budget, limits = server.settings.budget, server.settings.limits
    async with asyncio.timeout(10):
        while server.peers or budget.left != limits.calls_in_all:
            await asyncio.sleep(0.01)
    assert budget.memory_left == limits.memory_in_all


# --- what wants no answer ----------------------------------------------------------


@every_factory
@pytest.mark.parametrize("count", [1, 3, 7])
async def test_notifications_followed_by_a_close_are_still_carried_out(count, factory):
    """All of them: those that run, and those that wait for their turn."""
    factory(asyncio.get_running_loop())
    done = []

    async def note(number: int) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        done.append(number)

    server = rpc.Server({"note": note}, limits=LIMITS)
    line = Line()
    peer = server.make_peer(line)
    for number in range(count):
        line.put({"jsonrpc": "2.0", "method": "note", "params": [number]})
    line.end()
    await peer.run()

    assert sorted(done) == list(range(count))
    await everything_is_free(server, peer)


@pytest.mark.parametrize("wire", ["jsonrpc", "msgpack"])
@pytest.mark.parametrize("threads", [False, True])
async def test_a_client_that_notifies_and_leaves_is_heard(wire, threads):
    done: list[int] = []
    routes = rpc.Routes()
    if threads:
        routes.add("note", done.append, threads=True)
    else:

        @routes.route
        async def note(number: int) -> None:
            await asyncio.sleep(0.01)
            done.append(number)

    server = rpc.Server(routes)
    async with server.serve("localhost", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with rpc.Client(f"ws://localhost:{port}/", wire=wire) as client:
            for number in range(20):
                await client.notify("note", number)
        await everything_is_free_again(server)

    assert sorted(done) == list(range(20))


async def test_a_call_that_was_read_begins_although_its_connection_has_ended():
    """On the wire wsrpc a notification is a call, and cannot be told from one."""
    begun = []

    async def note() -> None:
        begun.append(True)
        await forever()

    line = Line("wsrpc")
    peer = rpc.Peer(line, {"note": note})
    line.put({"id": 3, "method": "note"})
    line.end()
    await peer.run()

    assert begun == [True]
    assert not peer.table.theirs


async def test_more_notifications_than_have_room_wait_and_are_not_dropped():
    done = []

    async def note(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    line = Line()
    async with rpc.Peer(line, {"note": note}, limits=LIMITS) as peer:
        for number in range(100):
            line.put({"jsonrpc": "2.0", "method": "note", "params": [number]})
        async with asyncio.timeout(5):
            while len(done) < 100:
                await asyncio.sleep(0.001)
        assert done == list(range(100))
        assert await line.settled() == []
        assert not peer.table.theirs


async def test_a_notification_that_has_to_be_dropped_is_in_the_log(caplog, monkeypatch):
    """While we wait for an answer of the peer's, reading cannot stop for it."""
    monkeypatch.setattr("longwire.rpc.peer.LEAVING", 0.05)
    line = Line()
    async with rpc.Peer(line, {"forever": forever}, limits=LIMITS) as peer:
        asked = asyncio.create_task(peer.call("x"))
        await line.sent()
        for _ in range(8):
            line.put({"jsonrpc": "2.0", "method": "forever"})
        line.put({"jsonrpc": "2.0", "id": 1, "result": 5})

        assert await asked == 5

    assert (
        "a notification of forever was dropped: 3 calls run and 4 wait" in caplog.text
    )


@pytest.mark.parametrize("wire", ["longwire.jsonrpc", "longwire.msgpack"])
async def test_a_peer_does_not_write_more_to_our_log_than_it_sends(
    wire, caplog, monkeypatch
):
    monkeypatch.setattr("longwire.rpc.peer.LEAVING", 0.05)
    line = Line(wire)
    async with rpc.Peer(line, {"forever": forever}, limits=LIMITS) as peer:
        asked = asyncio.create_task(peer.call("x"))
        await line._out.get()
        notification = peer.wire.notification("forever", None)
        if peer.wire.codec.is_text:
            notification = notification.decode()
        for _ in range(1007):
            line.put(notification)
        await line.quiet.wait()
        asked.cancel()
        await asyncio.wait([asked])

    lines = [line for line in caplog.messages if "was dropped" in line]
    # 7 have a place; of 1,000 the first, the second, the fourth, ... the 512th.
    assert len(lines) == 10
    assert "(1 of this connection so far)" in lines[0]
    assert "(512 of this connection so far)" in lines[-1]


async def test_notifications_that_never_end_are_left_behind(caplog, monkeypatch):
    monkeypatch.setattr("longwire.rpc.peer.LEAVING", 0.05)
    server = rpc.Server({"forever": forever}, limits=LIMITS)
    line = Line()
    peer = server.make_peer(line)
    for _ in range(7):
        line.put({"jsonrpc": "2.0", "method": "forever"})
    line.end()
    await peer.run()

    await everything_is_free(server, peer)


# --- our own calls -----------------------------------------------------------------


async def cancelled(line: Line, peer: rpc.Peer) -> None:
    task = asyncio.create_task(peer.call("x"))
    await line.sent()
    task.cancel()
    await asyncio.wait([task])


async def cancelled_before_it_began(line: Line, peer: rpc.Peer) -> None:
    task = asyncio.create_task(peer.call("x"))
    task.cancel()
    await asyncio.wait([task])


async def timed_out(line: Line, peer: rpc.Peer) -> None:
    with pytest.raises(rpc.CallTimeout):
        await peer.call("x", timeout=0.01)


async def answered_with_an_error(line: Line, peer: rpc.Peer) -> None:
    task = asyncio.create_task(peer.call("x"))
    frame = await line.sent()
    line.put(
        {"jsonrpc": "2.0", "id": frame["id"], "error": {"code": 1, "message": "n"}}
    )
    with pytest.raises(rpc.RemoteError):
        await task


async def not_encoded(line: Line, peer: rpc.Peer) -> None:
    with pytest.raises(TypeError):
        await peer.call("x", object())


async def too_large(line: Line, peer: rpc.Peer) -> None:
    with pytest.raises(ValueError, match="at most"):
        await peer.call("x", "y" * 2_000_000)


async def half_a_surrogate(line: Line, peer: rpc.Peer) -> None:
    with pytest.raises(UnicodeEncodeError):
        await peer.call("x", "\udce9")


async def of_an_unreadable_type(line: Line, peer: rpc.Peer) -> None:
    with pytest.raises(TypeError, match="cannot be read"):
        await peer.call("x", returns=threading.Event)


async def not_sent(line: Line, peer: rpc.Peer) -> None:
    async def fail(*args: Any) -> None:
        raise OSError("no")

    peer.send, before = fail, peer.send  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no"):
        await peer.call("x")
    peer.send = before  # type: ignore[method-assign]


async def stream_left(line: Line, peer: rpc.Peer) -> None:
    await peer.stream("x").aclose()


async def stream_dropped(line: Line, peer: rpc.Peer) -> None:
    peer.stream("x")
    gc.collect()
    await asyncio.sleep(0)


async def stream_not_encoded(line: Line, peer: rpc.Peer) -> None:
    with pytest.raises(TypeError):
        peer.stream("x", object())


async def stream_of_an_unreadable_type(line: Line, peer: rpc.Peer) -> None:
    with pytest.raises(TypeError, match="cannot be read"):
        peer.stream("x", returns=threading.Event)


OURS = [
    *(cancelled, cancelled_before_it_began, timed_out, answered_with_an_error),
    *(not_encoded, too_large, half_a_surrogate, of_an_unreadable_type, not_sent),
    *(stream_left, stream_dropped, stream_not_encoded, stream_of_an_unreadable_type),
]


@pytest.mark.parametrize("end", OURS)
async def test_a_call_of_ours_gives_its_place_back_however_it_ends(end):
    line = Line()
    async with rpc.Peer(line, limits=rpc.RpcLimits(pending=2)) as peer:
        for _ in range(5):
            await end(line, peer)
            assert not peer.table.ours


async def test_a_client_forgets_calls_that_waited_for_a_connection():
    async with rpc.Client("ws://localhost:1/", max_queued=2) as client:
        for _ in range(5):
            task = asyncio.create_task(client.call("x"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        assert client._queued == 0
        assert not client._waiting


# --- the peer itself -----------------------------------------------------------------


@every_factory
async def test_a_peer_that_is_left_at_once_has_ended(factory):
    factory(asyncio.get_running_loop())
    ended = []
    peer = rpc.Peer(Line(), {"x": soon})
    peer.on_close(functools.partial(ended.append, "on_close"))
    async with peer:
        pass

    assert not peer.is_open
    assert ended == ["on_close"]


@pytest.mark.parametrize("turns", range(6))
async def test_a_peer_whose_end_is_cancelled_stops_its_calls_all_the_same(turns):
    server = rpc.Server({"stubborn": stubborn, "forever": forever}, limits=LIMITS)
    line, ended = Line(), []
    peer = server.make_peer(line)
    peer.on_close(lambda: ended.append(True))
    running = asyncio.create_task(peer.run())
    for number in range(6):
        line.put(call(number, ("stubborn", "forever")[number % 2]))
    await line.settled()
    line.lose()
    for _ in range(turns):
        await asyncio.sleep(0)
    for _ in range(2):
        running.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([running])

    await everything_is_free(server, peer)
    assert ended == [True]


# --- threads -------------------------------------------------------------------------


async def test_one_connection_has_at_most_half_of_the_threads():
    server, thread = rpc.Server({}, threads=4), Thread()
    server.routes.add("block", thread.run, threads=True)
    server.routes.add("where", lambda: 5, threads=True)
    lines = [Line(), Line()]
    first, second = map(server.make_peer, lines)
    async with first, second:
        for number in range(20):
            lines[0].put(call(number, "block"))
        await lines[0].settled()
        lines[1].put(call(1, "where"))

        assert (await lines[1].sent())["result"] == 5
        thread.may_end.set()
        for _ in range(20):
            await lines[0].sent()


async def test_connections_take_turns_at_the_threads():
    server, order = rpc.Server({}, threads=1), []
    gate = threading.Event()

    def note(name: str) -> None:
        gate.wait(5)
        order.append(name)

    server.routes.add("note", note, threads=True)
    lines = [Line() for _ in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        for line in lines:
            await stack.enter_async_context(server.make_peer(line))
        for name, line in zip("abc", lines, strict=True):
            for number in range(3):
                line.put({**call(number, "note"), "params": [name]})
            await line.settled()
        gate.set()
        for line in lines:
            for _ in range(3):
                await line.sent()

    assert "".join(order) == "abcabcabc"


def test_event_loops_of_several_threads_share_the_threads_of_a_server():
    server = rpc.Server({})
    server.routes.add("where", lambda: threading.current_thread().name, threads=True)
    barrier = threading.Barrier(4)
    names: list[str] = []

    async def visit() -> None:
        line = Line()
        async with server.make_peer(line):
            barrier.wait()
            for number in range(20):
                line.put(call(number, "where"))
            names.extend([(await line.sent())["result"] for _ in range(20)])

    visits = [threading.Thread(target=asyncio.run, args=(visit(),)) for _ in range(4)]
    for visitor in visits:
        visitor.start()
    for visitor in visits:
        visitor.join(20)

    assert len(names) == 80
    assert len(set(names)) <= 8
    assert server.settings.budget.left == server.settings.limits.calls_in_all
