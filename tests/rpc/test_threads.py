"""RPC in threads: a client and a server of longwire.rpc.sync on real sockets."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

import longwire.sync
from longwire import rpc
from longwire.broadcasting import BroadcastResult
from longwire.rpc import sync

SECONDS = 10.0


class Missing(rpc.ApplicationError):
    """An error of the application."""


class Gate:
    """Routes that wait until the test lets them go on, and what they were given."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun: queue.Queue[int] = queue.Queue()

    def wait(self, number: int = 0) -> int:
        self.begun.put(number)
        assert self.opened.wait(SECONDS)
        return number

    def taken(self) -> int:
        return self.begun.get(timeout=SECONDS)


def add(a: int, b: int) -> int:
    return a + b


def count(to: int) -> Iterator[int]:
    yield from range(to)


def missing(name: str) -> None:
    raise Missing("no such thing", {"name": name})


def broken() -> None:
    raise RuntimeError("a secret")


def ask_back(peer: sync.Peer, method: str) -> Any:
    return peer.call(method, timeout=SECONDS)


ROUTES: dict[str, Any] = {
    "add": add,
    "count": count,
    "missing": missing,
    "broken": broken,
    "ask_back": ask_back,
}


@contextlib.contextmanager
def served(routes: Any = None, **options: Any) -> Iterator[tuple[sync.Server, str]]:
    """A server in threads, and its URI."""
    server = sync.Server(ROUTES if routes is None else routes, **options)
    with listening(server) as uri:
        yield server, uri


@contextlib.contextmanager
def listening(server: sync.Server, port: int = 0) -> Iterator[str]:
    with server.serve("127.0.0.1", port) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{found.socket.getsockname()[1]}/"
        finally:
            found.shutdown()
            thread.join(SECONDS)


@contextlib.contextmanager
def linked(
    routes: Any = None,
    ours: Any = None,
    client: dict[str, Any] | None = None,
    **kw: Any,
) -> Iterator[tuple[sync.Server, sync.Client]]:
    """A server and a client that is connected to it."""
    with served(routes, **kw) as (server, uri):
        with sync.Client(uri, ours, **(client or {})) as found:
            found.connected(SECONDS)
            until(lambda: server.peers)
            yield server, found


def until(condition: Callable[[], object]) -> None:
    ends_at = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends_at, "it never came true"
        time.sleep(0.005)


def in_thread(function: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """Begin ``function`` in a thread; return what waits for what it returns."""
    found: queue.Queue[Any] = queue.Queue()

    def run() -> None:
        try:
            found.put(function(*args))
        except BaseException as exc:
            found.put(exc)

    threading.Thread(target=run, daemon=True).start()
    return lambda: found.get(timeout=SECONDS)


# --- calls -----------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["jsonrpc", "msgpack", "wsrpc", "wsrpc.1"])
def test_a_call_returns_the_result_on_every_wire(wire: str) -> None:
    with linked(client={"wire": wire}, wire=wire) as (_, client):
        assert client.call("add", 1, 2, timeout=SECONDS) == 3
        assert client.call("add", a=3, b=4, returns=int) == 7
        assert client.proxy.add(5, 6) == 11
        with pytest.raises(rpc.RemoteError, match="expected int, got str"):
            client.call("add", 1, "2")
        with pytest.raises(rpc.RemoteError, match="no such method"):
            client.call("nothing")


def test_errors_are_those_of_asyncio(caplog: pytest.LogCaptureFixture) -> None:
    with linked(client={"errors": [Missing]}) as (_, client):
        with pytest.raises(Missing, match="no such thing") as caught:
            client.call("missing", "x")
        assert caught.value.data == {"name": "x"}
        with pytest.raises(rpc.InternalError, match="internal error") as hidden:
            client.call("broken")
        with pytest.raises(rpc.StreamMismatch):
            client.call("count", 1)
        with pytest.raises(rpc.InvalidResult, match="expected str, got int"):
            client.call("add", 1, 2, returns=str)
        with pytest.raises(ValueError, match="at most"):
            client.call("add", "x" * (2 << 20), 1)
    assert "a secret" not in str(hidden.value)
    assert str(hidden.value.id) in caplog.text


def test_many_threads_call_over_one_connection() -> None:
    with linked(threads=4) as (server, client):
        results: list[Any] = []

        def work(number: int) -> None:
            for each in range(20):
                assert (
                    client.call("add", number, each, timeout=SECONDS) == number + each
                )
            results.append(number)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)

        assert sorted(results) == list(range(8))
        assert len(server.peers) == 1


def test_a_timeout_cancels_the_call_and_gives_its_place_back_when_it_ends() -> None:
    gate = Gate()
    with linked({"wait": gate.wait}) as (server, client):
        with pytest.raises(rpc.CallTimeout, match=r"no answer from wait within 0\.05"):
            client.call("wait", timeout=0.05)
        (peer,) = server.peers
        until(lambda: all(r.answered for r in peer.table.theirs.values()))

        gate.opened.set()
        until(lambda: not peer.table.theirs)
        assert client.call("wait", 5, timeout=SECONDS) == 5
        assert client.peer is not None and not client.peer.table.ours
        assert client.peer.table.strange == 0


def test_limits_are_those_of_asyncio() -> None:
    gate = Gate()
    limits = rpc.RpcLimits(calls=1, queued=1, deadline=None)
    with linked({"wait": gate.wait}, limits=limits) as (_, client):
        first = in_thread(client.call, "wait", 1)
        assert gate.taken() == 1
        second = in_thread(client.call, "wait", 2)
        until(lambda: len(client.peer.table.ours) == 2)  # type: ignore[union-attr]
        with pytest.raises(rpc.TooBusy, match="1 calls run and 1 wait already"):
            client.call("wait", 3, timeout=SECONDS)
        gate.opened.set()
        assert (first(), second()) == (1, 2)


def test_a_deadline_ends_a_call_that_takes_too_long() -> None:
    gate = Gate()
    with linked({"wait": gate.wait}, limits=rpc.RpcLimits(deadline=0.05)) as (
        _,
        client,
    ):
        with pytest.raises(rpc.DeadlineExceeded, match="took too long"):
            client.call("wait", timeout=SECONDS)
        gate.opened.set()


def test_notifications_are_carried_out_and_those_to_all_reach_all() -> None:
    told: queue.Queue[str] = queue.Queue()
    with linked({"tell": told.put}, {"tell": told.put}) as (server, client):
        client.notify("tell", "the server")
        assert told.get(timeout=SECONDS) == "the server"
        server.notify("tell", "everybody")
        assert told.get(timeout=SECONDS) == "everybody"


def test_the_server_calls_its_clients_while_it_is_called() -> None:
    def deeper(peer: sync.Peer) -> Any:
        return peer.call("add", 1, 1, timeout=SECONDS)

    ours = {"name": lambda: "client", "deeper": deeper}
    with linked(ours=ours, threads=1, client={"threads": 1}) as (server, client):
        assert client.call("ask_back", "name", timeout=SECONDS) == "client"
        # The call that waits lets the call that it waits for have its thread.
        assert client.call("ask_back", "deeper", timeout=SECONDS) == 2
        (peer,) = server.peers
        assert server.broadcast("name", timeout=SECONDS) == {peer: "client"}
        (found,) = server.broadcast("nothing", timeout=SECONDS).values()
        assert isinstance(found, rpc.MethodNotFound)


def test_a_batch_is_answered_as_one_message() -> None:
    with served() as (_, uri), longwire.sync.connect(uri) as ws:
        calls = [
            {"jsonrpc": "2.0", "id": n, "method": "add", "params": [n, 1]}
            for n in range(3)
        ]
        ws.send(json.dumps([*calls, {"jsonrpc": "2.0", "id": 9, "method": "none"}]))
        answers = json.loads(ws.recv(SECONDS))

    assert {a["id"]: a.get("result") for a in answers} == {0: 1, 1: 2, 2: 3, 9: None}


def test_each_connection_has_one_instance_of_a_class_and_tells_it_of_the_end() -> None:
    ended: queue.Queue[int] = queue.Queue()

    class Counter(rpc.Service):
        value = 0

        def more(self) -> int:
            self.value += 1
            return self.value

        def on_close(self) -> None:
            ended.put(self.value)

    with linked({"counter": Counter}) as (_, client):
        assert [client.call("counter.more") for _ in range(3)] == [1, 2, 3]
    assert ended.get(timeout=SECONDS) == 3


# --- streams ---------------------------------------------------------------------


def test_a_stream_gives_all_items_and_no_more_than_granted() -> None:
    made: list[int] = []

    def items(to: int) -> Iterator[int]:
        for number in range(to):
            made.append(number)
            yield number

    with linked({"items": items}) as (_, client):
        assert list(client.stream("items", 100, returns=int)) == list(range(100))
        made.clear()
        with client.stream("items", 100, window=4) as stream:
            assert next(stream) == 0
            until(lambda: len(made) >= 5)
            time.sleep(0.05)
            assert len(made) <= 8


def test_a_stream_that_is_left_ends_its_generator_and_its_thread() -> None:
    ended = threading.Event()

    def ticks() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            ended.set()

    with linked({"ticks": ticks}) as (server, client):
        stream = client.stream("ticks", window=1)
        assert next(stream) == 0
        stream.close()
        with pytest.raises(StopIteration):
            next(stream)
        assert ended.wait(SECONDS)
        until(lambda: not next(iter(server.peers)).table.theirs)


def test_a_stream_waits_no_longer_than_it_is_told_and_loses_nothing() -> None:
    gate = Gate()

    def late() -> Iterator[int]:
        gate.wait()
        yield 1

    with linked({"late": late}) as (_, client):
        stream = client.stream("late")
        with pytest.raises(TimeoutError):
            stream.get(timeout=0.05)
        gate.opened.set()
        assert list(stream) == [1]


def test_a_stream_that_nobody_reads_is_ended_after_a_while() -> None:
    begun = threading.Event()

    def ticks() -> Iterator[int]:
        begun.set()
        while True:
            yield 1

    limits = rpc.RpcLimits(stream_idle=0.05)
    with linked({"ticks": ticks}, limits=limits) as (server, client):
        stream = client.stream("ticks", window=1)
        assert begun.wait(SECONDS)
        until(lambda: not next(iter(server.peers)).table.theirs)
        with pytest.raises(rpc.DeadlineExceeded, match="no item of the stream"):
            list(stream)


def test_a_stream_survives_the_loss_of_its_connection_if_it_says_so() -> None:
    gaps: list[Any] = []
    with linked(client={"reconnect_delays": lambda: [0.0] * 50}) as (server, client):
        stream = client.stream("count", 3, window=1, resubscribe=gaps.append)
        assert next(stream) == 0
        (peer,) = server.peers
        peer.close(1012)
        until(lambda: client.peer is not None and client.is_connected)
        found = list(stream)
    # What came before the loss is kept, and the stream begins anew.
    assert found in ([1, 2], [0, 1, 2], [1, 0, 1, 2], [1, 2, 0, 1, 2])


# --- endings ---------------------------------------------------------------------


def test_calls_fail_with_their_connection_and_the_client_comes_back() -> None:
    gate = Gate()
    delays = {"reconnect_delays": lambda: [0.01] * 200}
    with linked({"wait": gate.wait, "add": add}, client=delays) as (server, client):
        waiting = in_thread(client.call, "wait")
        gate.taken()
        (peer,) = server.peers
        peer.close(1012, "restart")
        lost = waiting()
        gate.opened.set()

        assert client.call("add", 1, 1, timeout=SECONDS) == 2
    assert isinstance(lost, rpc.Disconnected)
    assert lost.report is not None and lost.report.code == 1012
    with pytest.raises(rpc.Disconnected, match="the client is closed"):
        client.call("add", 1, 1)


@pytest.mark.parametrize("offline", ["queue", "keep", "reject"])
def test_calls_without_a_connection_do_as_offline_says(
    offline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longwire.rpc.keeping.PATIENCE", 0.1)
    closed = longwire.sync.serve(print, "127.0.0.1", 0)
    port = closed.socket.getsockname()[1]
    closed.shutdown()
    uri = f"ws://127.0.0.1:{port}/"
    with sync.Client(uri, offline=offline, reconnect_delays=lambda: [60.0]) as client:
        error: type[Exception] = (
            rpc.CallTimeout if offline == "keep" else rpc.Disconnected
        )
        with pytest.raises(error, match="not connected") as caught:
            client.call("add", 1, 1, timeout=0.5)
        assert "add was not sent" in str(caught.value)


def test_what_can_never_be_connected_is_raised_by_every_call() -> None:
    with served(authorize=lambda connection, request: False) as (_, uri):
        with sync.Client(uri) as client:
            with pytest.raises(longwire.InvalidStatus):
                client.connected(SECONDS)
            with pytest.raises(longwire.InvalidStatus):
                client.call("add", 1, 1)
            assert client.is_closed


def test_draining_lets_calls_end_and_refuses_new_ones() -> None:
    gate = Gate()
    with linked({"wait": gate.wait}) as (server, client):
        waiting = in_thread(client.call, "wait", 7)
        gate.taken()
        (peer,) = server.peers
        draining = in_thread(peer.connection.server.drain)
        until(lambda: peer.table.is_draining)
        with pytest.raises(rpc.TooBusy, match="about to end the connection"):
            client.call("wait", timeout=SECONDS)
        gate.opened.set()
        assert waiting() == 7
        assert draining() is None
        until(lambda: not server.peers)


def test_a_slow_peer_holds_up_its_own_calls_and_nothing_piles_up() -> None:
    done: list[int] = []

    def work(size: int) -> str:
        done.append(size)
        return "x" * size

    limits = rpc.RpcLimits(unsent=200_000, calls=4)
    with served({"work": work}, limits=limits) as (server, uri):
        # Little is received before it is read, in the kernel and by the client.
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.connect((urlsplit(uri).hostname, urlsplit(uri).port))
        with longwire.sync.connect(uri, sock=sock, max_queue=1, compression=None) as ws:
            call = {"jsonrpc": "2.0", "method": "work", "params": [900_000]}
            for number in range(40):
                ws.send(json.dumps({**call, "id": number}))
            until(lambda: len(done) > 1)
            time.sleep(0.3)
            (peer,) = server.peers
            assert len(done) < 40
            assert peer.outbox.size < 20_000_000
            # Once it reads, all are answered.
            answers = {json.loads(ws.recv(SECONDS))["id"] for _ in range(40)}
    assert answers == set(range(40))
    assert server.settings.budget.left == limits.calls_in_all
    assert server.settings.budget.memory_left == limits.memory_in_all


def test_a_frame_that_has_to_wait_after_all_is_sent_once() -> None:
    calls: list[int] = []
    with linked({"note": calls.append}) as (_, client):
        outbox = client.peer.outbox
        broadcast = outbox._broadcast

        def crowded(*args: Any, **kwargs: Any) -> BroadcastResult:
            done = broadcast(*args, **kwargs)
            # As if another thread had taken the room since it was asked for.
            return BroadcastResult(waiting=done.sent)

        outbox._broadcast = crowded
        for number in range(3):
            client.call("note", number, timeout=SECONDS)
    assert calls == [0, 1, 2]


def test_nonsense_is_answered_and_too_much_of_it_closes() -> None:
    with served(limits=rpc.RpcLimits(strange=10)) as (_, uri):
        with longwire.sync.connect(uri) as ws:
            ws.send("{")
            assert json.loads(ws.recv(SECONDS))["error"]["code"] == -32700
            for _ in range(10):
                ws.send("{}")
            with pytest.raises(longwire.ConnectionClosedError):
                while True:
                    ws.recv(SECONDS)
        assert ws.close_code == 1008
        with longwire.sync.connect(uri) as ws:
            ws.send(b"{}")
            assert ws.wait_closed(SECONDS)
        assert ws.close_code == 1003


# --- what is called --------------------------------------------------------------


async def coroutine() -> None: ...


async def agen() -> Any:
    yield 1


async def asynchronous(connection: Any, request: Any) -> None: ...


@pytest.mark.parametrize("route", [coroutine, agen])
def test_what_would_have_to_be_awaited_is_refused_when_it_is_registered(
    route: Any,
) -> None:
    with pytest.raises(TypeError, match="cannot be asynchronous"):
        sync.Server({"route": route})
    shared = rpc.Routes({"route": route})
    with pytest.raises(TypeError, match="cannot be asynchronous"):
        sync.Client("ws://localhost/", shared)
    with pytest.raises(TypeError, match="plain function"):
        sync.Server({}, authorize_call=coroutine)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="process_request must be a plain function"):
        sync.Server({}).serve("localhost", 0, process_request=asynchronous)
    with pytest.raises(TypeError, match="plain function"):
        sync.Server({}).signals.opened.connect(coroutine)


def test_plain_routes_of_asyncio_are_taken() -> None:
    with linked(rpc.Routes({"add": add})) as (_, client):
        assert client.call("add", 2, 2) == 4


def test_a_route_that_returns_an_awaitable_fails_and_ends_its_process_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def ends() -> None:
        sys.exit(3)

    with linked({"hidden": lambda: coroutine(), "ends": ends}) as (_, client):
        with pytest.raises(rpc.InternalError):
            client.call("hidden")
        with pytest.raises(rpc.InternalError):
            client.call("ends")
    assert "returned a coroutine" in caplog.text


def test_signals_tell_of_connections_and_calls() -> None:
    told: queue.Queue[str] = queue.Queue()
    signals = rpc.Signals()
    signals.opened.connect(lambda peer: told.put("opened"))
    signals.call_started.connect(lambda call: told.put(f"started {call.method}"))
    signals.call_ended.connect(lambda call, seconds: told.put("ended"))
    signals.closed.connect(lambda peer, report: told.put(f"closed {report.code}"))
    with linked(signals=signals) as (_, client):
        client.call("add", 1, 1)
    names = [told.get(timeout=SECONDS) for _ in range(4)]
    assert names == ["opened", "started add", "ended", "closed 1000"]


# --- processes -------------------------------------------------------------------

SCRIPT = """
import sys, threading
from longwire.rpc import sync
with sync.Client(sys.argv[1]) as client:
    print(client.call("add", 1, 2), flush=True)
    client.call("wait")
"""


def test_ctrl_c_ends_a_script_that_waits_for_an_answer() -> None:
    gate = Gate()
    with served({"add": add, "wait": gate.wait}) as (_, uri):
        script = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, uri],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )
        assert script.stdout is not None
        assert script.stdout.readline() == "3\n"
        gate.taken()
        script.send_signal(signal.SIGINT)
        gate.opened.set()
        _, errors = script.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert script.returncode != 0


def test_an_asyncio_server_and_a_client_in_threads_understand_each_other() -> None:
    import asyncio

    ready: queue.Queue[int] = queue.Queue()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        async def ask(peer: rpc.Peer) -> Any:
            return await peer.call("name")

        async def ticks() -> Any:
            for number in range(30):
                yield number

        server = rpc.Server({"ask": ask, "ticks": ticks})
        async with server.serve("127.0.0.1", 0) as found:
            ready.put(found.sockets[0].getsockname()[1])
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        uri = f"ws://127.0.0.1:{ready.get(timeout=SECONDS)}/"
        with sync.Client(uri, {"name": lambda: "threads"}) as client:
            assert client.call("ask", timeout=SECONDS) == "threads"
            assert list(client.stream("ticks")) == list(range(30))
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(SECONDS)
        loop.close()


def test_no_thread_is_left_when_all_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    with linked() as (_, client):
        client.call("add", 1, 1)
    until(
        lambda: (
            not [
                thread.name
                for thread in threading.enumerate()
                if thread.name.startswith("longwire-rpc") and "_" not in thread.name
            ]
        )
    )
    assert not caplog.records
