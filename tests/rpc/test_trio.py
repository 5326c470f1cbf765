"""RPC on trio: a client and a server of longwire.rpc.trio on real sockets."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python
needs("trio")

import trio

import longwire.trio
from longwire import ConcurrencyError, rpc
from longwire.rpc import trio as rpc_trio

SECONDS = 10.0


class Missing(rpc.ApplicationError):
    """An error of the application."""


class Gate:
    """A route that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.opened = trio.Event()
        self.begun = trio.Event()
        self.cancelled = trio.Event()

    async def wait(self, number: int = 0) -> int:
        self.begun.set()
        try:
            await self.opened.wait()
        except trio.Cancelled:
            self.cancelled.set()
            raise
        return number


def add(a: int, b: int) -> int:
    return a + b


async def count(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


async def missing(name: str) -> None:
    raise Missing("no such thing", {"name": name})


def broken() -> None:
    raise RuntimeError("a secret")


async def ask_back(peer: rpc_trio.Peer, method: str) -> Any:
    return await peer.call(method)


ROUTES: dict[str, Any] = {
    "add": add,
    "count": count,
    "missing": missing,
    "broken": broken,
    "ask_back": ask_back,
}


def on_trio(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on trio, but not for ever."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            with trio.fail_after(3 * SECONDS):
                await test(*args, **kwargs)

        trio.run(main)

    return run


@contextlib.asynccontextmanager
async def served(
    routes: Any = None, **options: Any
) -> AsyncIterator[tuple[rpc_trio.Server, str]]:
    """A server on trio, and its URI."""
    server = rpc_trio.Server(ROUTES if routes is None else routes, **options)
    async with trio.open_nursery() as nursery:
        serve = functools.partial(server.serve, 0, host="127.0.0.1")
        found = await nursery.start(serve)
        port = found.listeners[0].socket.getsockname()[1]
        try:
            yield server, f"ws://127.0.0.1:{port}/"
        finally:
            nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def linked(
    routes: Any = None,
    ours: Any = None,
    client: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[rpc_trio.Server, rpc_trio.Client]]:
    """A server and a client that is connected to it."""
    async with served(routes, **options) as (server, uri):
        async with rpc_trio.Client(uri, ours, **(client or {})) as found:
            await found.connected()
            await until(lambda: server.peers)
            yield server, found


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(SECONDS):
        while not condition():
            await trio.sleep(0.005)


# --- calls -----------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["jsonrpc", "msgpack", "wsrpc", "wsrpc.1"])
@on_trio
async def test_a_call_returns_the_result_on_every_wire(wire: str) -> None:
    async with linked(client={"wire": wire}, wire=wire) as (_, client):
        assert await client.call("add", 1, 2) == 3
        assert await client.call("add", a=3, b=4, returns=int) == 7
        assert await client.proxy.add(5, 6) == 11
        with pytest.raises(rpc.RemoteError, match="expected int, got str"):
            await client.call("add", 1, "2")


@on_trio
async def test_errors_are_those_of_asyncio() -> None:
    async with linked(client={"errors": [Missing]}) as (_, client):
        with pytest.raises(Missing, match="no such thing") as caught:
            await client.call("missing", "x")
        assert caught.value.data == {"name": "x"}
        with pytest.raises(rpc.InternalError, match="internal error") as hidden:
            await client.call("broken")
        with pytest.raises(rpc.MethodNotFound):
            await client.call("nothing")
        with pytest.raises(rpc.StreamMismatch):
            await client.call("count", 1)
        with pytest.raises(ValueError, match="at most"):
            await client.call("add", "x" * (2 << 20), 1)
    assert "a secret" not in str(hidden.value)


async def read_all(stream: Any) -> None:
    async for _ in stream:
        pass


ELSEWHERE: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "call": lambda peer: peer.call("add", 1, 2),
    "notify": lambda peer: peer.notify("add", 1, 2),
    "stream": lambda peer: read_all(peer.stream("count", 3)),
}


@pytest.mark.parametrize("verb", ELSEWHERE.values(), ids=list(ELSEWHERE))
@pytest.mark.parametrize("who", ["client", "peer"])
@on_trio
async def test_a_call_in_another_run_is_refused(
    who: str, verb: Callable[[Any], Awaitable[Any]]
) -> None:
    async with linked() as (_, client):
        await client.call("add", 1, 2)
        caller = client if who == "client" else client.peer

        async def call() -> None:
            with trio.fail_after(3):
                await verb(caller)

        with pytest.raises(ConcurrencyError, match="another run"):
            await trio.to_thread.run_sync(trio.run, call)
        assert await client.call("add", 1, 2) == 3


async def raise_generator_exit() -> None:
    raise GeneratorExit


async def give_one_and_raise_generator_exit() -> AsyncIterator[int]:
    yield 1
    raise GeneratorExit


def raise_generator_exit_at_once() -> None:
    raise GeneratorExit


async def fail_when_cancelled() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fail_in_cleanup)
        await trio.sleep_forever()


async def _fail_in_cleanup() -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise ValueError("in its cleanup")


@on_trio
async def test_what_a_route_raises_ends_its_call_and_no_other() -> None:
    gate = Gate()
    routes = {
        "plain": raise_generator_exit_at_once,
        "async": raise_generator_exit,
        "stream": give_one_and_raise_generator_exit,
        "cleanup": fail_when_cancelled,
        "wait": gate.wait,
    }
    async with linked(routes) as (server, client), trio.open_nursery() as nursery:
        results: list[int] = []

        async def wait() -> None:
            results.append(await client.call("wait", 7))

        nursery.start_soon(wait)
        await gate.begun.wait()
        for method in ("plain", "async"):
            with pytest.raises(rpc.InternalError):
                await client.call(method)
        with pytest.raises(rpc.InternalError):
            async for _ in client.stream("stream"):
                pass
        with pytest.raises(rpc.CallTimeout):
            await client.call("cleanup", timeout=0.05)
        (peer,) = server.peers
        await until(lambda: len(peer.table.theirs) == 1)
        gate.opened.set()
    assert results == [7]


@on_trio
async def test_a_cancel_scope_cancels_the_call_on_the_other_side() -> None:
    gate = Gate()
    async with linked({"wait": gate.wait, "add": add}) as (server, client):
        with trio.move_on_after(0.05) as scope:
            await client.call("wait")
        assert scope.cancelled_caught
        await gate.cancelled.wait()
        with pytest.raises(rpc.CallTimeout, match=r"no answer from wait within 0\.05"):
            await client.call("wait", timeout=0.05)
        (peer,) = server.peers
        await until(lambda: not peer.table.theirs)
        assert await client.call("add", 1, 1) == 2
        assert client.peer is not None and not client.peer.table.ours


@on_trio
async def test_limits_are_those_of_asyncio() -> None:
    gate = Gate()
    limits = rpc.RpcLimits(calls=1, queued=1)
    results: list[int] = []
    async with linked({"wait": gate.wait}, limits=limits) as (server, client):

        async def ask(number: int) -> None:
            results.append(await client.call("wait", number))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, 1)
            await gate.begun.wait()
            nursery.start_soon(ask, 2)
            (peer,) = server.peers
            await until(lambda: len(peer.table.theirs) == 2)
            with pytest.raises(rpc.TooBusy, match="1 calls run and 1 wait already"):
                await client.call("wait", 3)
            gate.opened.set()
    assert sorted(results) == [1, 2]
    assert server.settings.budget.left == limits.calls_in_all
    assert server.settings.budget.memory_left == limits.memory_in_all


@on_trio
async def test_a_deadline_ends_a_call_that_takes_too_long() -> None:
    gate = Gate()
    routes = rpc.Routes()
    routes.add("short", gate.wait, deadline=0.05)
    async with linked(routes) as (_, client):
        with pytest.raises(rpc.DeadlineExceeded, match="took too long"):
            await client.call("short")
    assert gate.cancelled.is_set()


@on_trio
async def test_routes_in_threads_do_not_hold_up_others() -> None:
    opened = threading.Event()
    routes = rpc.Routes({"add": add})
    routes.add("block", lambda: opened.wait(SECONDS), threads=True)
    async with linked(routes) as (_, client):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.call, "block")
            assert await client.call("add", 1, 1) == 2
            opened.set()


@on_trio
async def test_the_server_calls_and_tells_its_clients() -> None:
    told: list[str] = []
    ours = {"name": lambda: "client", "tell": told.append}
    async with linked(ours=ours) as (server, client):
        assert await client.call("ask_back", "name") == "client"
        (peer,) = server.peers
        assert await server.broadcast("name") == {peer: "client"}
        server.notify("tell", "everybody")
        await until(lambda: told)
        await client.notify("tell", "ignored")
    assert told == ["everybody"]


@on_trio
async def test_a_stream_gives_all_items_and_ends_where_it_is_left() -> None:
    ended = trio.Event()

    async def ticks() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    async with linked({**ROUTES, "ticks": ticks}) as (server, client):
        items = [item async for item in client.stream("count", 100, returns=int)]
        assert items == list(range(100))
        async with client.stream("ticks", window=2) as stream:
            assert await anext(stream) == 1
        with trio.fail_after(SECONDS):
            await ended.wait()
        (peer,) = server.peers
        await until(lambda: not peer.table.theirs)


@on_trio
async def test_a_stream_survives_the_loss_of_its_connection_if_it_says_so() -> None:
    gaps: list[Any] = []
    delays = {"reconnect_delays": lambda: [0.0] * 50}
    async with linked(client=delays) as (server, client):
        stream = client.stream("count", 3, window=1, resubscribe=gaps.append)
        assert await anext(stream) == 0
        (peer,) = server.peers
        await peer.aclose(1012)
        items = [item async for item in stream]
        # What came before the loss is kept, and the stream begins anew.
        assert items in ([1, 2], [0, 1, 2], [1, 0, 1, 2], [1, 2, 0, 1, 2])
    assert len(gaps) == (items != [1, 2])


# --- endings ---------------------------------------------------------------------


@on_trio
async def test_calls_fail_with_their_connection_and_the_client_comes_back() -> None:
    gate = Gate()
    delays = {"reconnect_delays": lambda: [0.0] * 50}
    async with linked({"wait": gate.wait, "add": add}, client=delays) as found:
        server, client = found

        async def cut() -> None:
            await gate.begun.wait()
            await next(iter(server.peers)).aclose(1012, "restart")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut)
            with pytest.raises(rpc.Disconnected) as caught:
                await client.call("wait")
        assert gate.cancelled.is_set()
        assert caught.value.report is not None and caught.value.report.code == 1012
        assert await client.call("add", 1, 1) == 2
    with pytest.raises(rpc.Disconnected, match="the client is closed"):
        await client.call("add", 1, 1)


@pytest.mark.parametrize("offline", ["queue", "keep", "reject"])
@on_trio
async def test_calls_without_a_connection_do_as_offline_says(offline: Any) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    uri = f"ws://127.0.0.1:{port}/"
    error: Any = rpc.CallTimeout if offline == "keep" else rpc.Disconnected
    delays = {"reconnect_delays": lambda: [60.0]}
    async with rpc_trio.Client(uri, offline=offline, **delays) as client:
        with pytest.raises(error, match="add was not sent"):
            await client.call("add", 1, 1, timeout=0.3 if offline == "keep" else 5)


@on_trio
async def test_what_can_never_be_connected_is_raised_as_it_is() -> None:
    async with served(authorize=lambda connection, request: False) as (_, uri):
        async with rpc_trio.Client(uri) as client:
            with pytest.raises(longwire.InvalidStatus):
                await client.connected()
            assert client.is_closed


@on_trio
async def test_exceptions_leave_the_blocks_of_peers_and_clients_in_no_group() -> None:
    async with served() as (_, uri):
        with pytest.raises(KeyError):
            async with rpc_trio.Client(uri) as client:
                await client.connected()
                raise KeyError
        async with longwire.trio.connect(uri) as connection:
            with pytest.raises(KeyError):
                async with rpc_trio.Peer(connection) as peer:
                    assert await peer.call("add", 1, 2) == 3
                    raise KeyError
            # The connection is as it was.
            async with rpc_trio.Peer(connection) as peer:
                assert await peer.call("add", 1, 2) == 3


@on_trio
async def test_a_client_runs_in_a_nursery_of_the_program() -> None:
    async with served() as (_, uri), trio.open_nursery() as nursery:
        client = rpc_trio.Client(uri)
        await nursery.start(client.run)
        assert await client.call("add", 1, 2) == 3
        await client.aclose()


@on_trio
async def test_draining_lets_calls_end_and_refuses_new_ones() -> None:
    gate = Gate()
    results: list[Any] = []
    async with linked({"wait": gate.wait}) as (server, client):
        (peer,) = server.peers

        async def ask() -> None:
            results.append(await client.call("wait", 7))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await gate.begun.wait()
            nursery.start_soon(peer.connection.server.drain)
            await until(lambda: peer.table.is_draining)
            with pytest.raises(rpc.TooBusy, match="about to end the connection"):
                await client.call("wait")
            gate.opened.set()
        assert results == [7]
        await until(lambda: not server.peers)


@on_trio
async def test_a_slow_peer_holds_up_its_own_calls_and_nothing_piles_up() -> None:
    done: list[int] = []

    def work(size: int) -> str:
        done.append(size)
        return "x" * size

    limits = rpc.RpcLimits(unsent=200_000, calls=4)
    async with served({"work": work}, limits=limits) as (server, uri):
        # Little is received before it is read, in the kernel and by the client.
        sock = trio.socket.socket()
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 65_536)
        await sock.connect((urlsplit(uri).hostname, urlsplit(uri).port))
        async with longwire.trio.connect(
            uri, stream=trio.SocketStream(sock), max_queue=1, compression=None
        ) as ws:
            call = {"jsonrpc": "2.0", "method": "work", "params": [900_000]}
            for number in range(40):
                await ws.send(json.dumps({**call, "id": number}))
            await until(lambda: len(done) > 1)
            await trio.sleep(0.3)
            (peer,) = server.peers
            assert len(done) < 40
            assert peer.outbox.size < 20_000_000
            answers = {json.loads(await ws.recv())["id"] for _ in range(40)}
    assert answers == set(range(40))
    assert server.settings.budget.left == limits.calls_in_all
    assert server.settings.budget.memory_left == limits.memory_in_all


@on_trio
async def test_nonsense_is_answered_and_too_much_of_it_closes() -> None:
    async with served(limits=rpc.RpcLimits(strange=10)) as (_, uri):
        async with longwire.trio.connect(uri) as ws:
            for _ in range(11):
                await ws.send("{")
            with pytest.raises(longwire.ConnectionClosedError):
                while True:
                    await ws.recv()
        assert ws.close_code == 1008


@on_trio
async def test_instances_and_signals_are_told_of_the_end() -> None:
    told: list[Any] = []

    class Counter(rpc.Service):
        value = 0

        async def more(self) -> int:
            self.value += 1
            return self.value

        async def on_close(self) -> None:
            await trio.sleep(0)
            told.append(self.value)

    signals = rpc.Signals()
    signals.call_started.connect(lambda call: told.append(call.method))
    signals.closed.connect(lambda peer, report: told.append(report.code))
    async with linked({"counter": Counter}, signals=signals) as (server, client):
        assert await client.call("counter.more") == 1
        await client.aclose()
        await until(lambda: not server.peers)
    assert told == ["counter.more", 1, 1000]
    with pytest.raises(TypeError, match="plain function"):
        signals.opened.connect(missing)


@on_trio
async def test_nothing_is_logged_and_no_task_left_when_all_is_well() -> None:
    records: list[Any] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger("longwire").addHandler(handler)
    try:
        async with linked() as (_, client):
            await client.call("add", 1, 1)
    finally:
        logging.getLogger("longwire").removeHandler(handler)
    assert not records
