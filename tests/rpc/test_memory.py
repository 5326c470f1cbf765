"""What a peer can make us keep by calling: bytes are counted, and stay under a sum.

The sums are those of docs/rpc/safety.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import pytest

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from longwire import rpc
from longwire.rpc import memory
from longwire.rpc.calls import Admission, Budget, CallTable
from tests.rpc.links import Line
from tests.support.rawpeer import request

pytestmark = [pytest.mark.long, pytest.mark.once]

MIB = 1 << 20
LIMIT = rpc.RpcLimits()
MOST = 32 * MIB
"""For one connection at the default limits, whatever it does."""


# --- what a value takes ------------------------------------------------------------


@dataclasses.dataclass
class Data:
    first: Any
    second: Any


@dataclasses.dataclass(slots=True)
class Slotted:
    first: Any
    second: Any


class Struct(msgspec.Struct):
    field: Any


VALUES: dict[str, Callable[[], Any]] = {
    "empty lists": lambda: json.loads("[" + ",".join(["[]"] * 20_000) + "]"),
    "empty dicts": lambda: json.loads("[" + ",".join(["{}"] * 20_000) + "]"),
    "small dicts": lambda: [{"a": n, "b": str(n)} for n in range(1000, 9000)],
    "integers": lambda: list(range(1000, 50_000)),
    "small integers": lambda: [n % 200 for n in range(50_000)],
    "negative integers": lambda: [-1000 - n for n in range(50_000)],
    "floats": lambda: [n / 3 for n in range(50_000)],
    "texts": lambda: [str(n) for n in range(50_000)],
    "one text": lambda: "x" * MIB,
    "one emoji": lambda: "x" * MIB + "\U0001f600",
    "bytes": lambda: bytes(MIB),
    "a deep list": lambda: json.loads("[" * 900 + "]" * 900),
    "a dict of texts": lambda: {str(n): str(n) for n in range(20_000)},
    "a set": lambda: {str(n) for n in range(20_000)},
    "tuples": lambda: [(n, str(n)) for n in range(1000, 20_000)],
    "objects": lambda: [Data(str(n), n / 3) for n in range(5000)],
    "objects with slots": lambda: [Slotted(str(n), n / 3) for n in range(5000)],
    "structs": lambda: [Struct(str(n)) for n in range(5000)],
}


@pytest.mark.parametrize("name", VALUES)
def test_what_a_value_takes_is_known_nearly(name):
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        value = VALUES[name]()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    taken = after - before

    found = memory.size_of(value, 1 << 60)

    assert 0.7 * taken - 2000 < found < 1.6 * taken + 2000


def test_counting_stops_at_the_limit():
    endless: list[Any] = []
    endless.append(endless)
    many = [[] for _ in range(100_000)]

    assert memory.size_of(endless, 10_000) < 1000
    assert 10_000 < memory.size_of(many, 10_000) < 10_000_000


@pytest.mark.parametrize("slots", [5, property(), [7, "field"], None])
def test_a_class_may_have_another_thing_named_slots(slots):
    class Odd:
        pass

    Odd.__slots__ = slots  # type: ignore[attr-defined]
    value = Odd()
    value.field = "x" * 10_000  # type: ignore[attr-defined]

    assert 10_000 < memory.size_of([value], MIB) < 20_000


async def peer_first(peer: rpc.Peer, text: str) -> int:
    return peer.table.read_size


async def peer_by_name(text: str, *, peer: rpc.Peer) -> int:
    return peer.table.read_size


async def no_peer(text: str) -> int:
    return rpc.current().peer.table.read_size


@pytest.mark.parametrize("params", [["x" * 1000], {"text": "x" * 1000}])
async def test_the_peer_is_not_counted_among_the_arguments(params):
    found = {}
    for route in (no_peer, peer_first, peer_by_name):
        line = Line()
        async with rpc.Peer(line, {"route": route}):
            line.put({"jsonrpc": "2.0", "id": 1, "method": "route", "params": params})
            answer = await line.sent()
        found[route.__name__] = answer["result"]

    assert set(found.values()) == {found["no_peer"]}
    assert memory.CALL + 1000 < found["no_peer"] < memory.CALL + 2000


# --- one connection is hostile -----------------------------------------------------


async def forever(*args: Any) -> None:
    await asyncio.Event().wait()


async def large() -> str:
    return "x" * 1_000_000


async def later_large() -> str:
    await asyncio.sleep(0.01)
    return "y" * 1_000_000


async def in_turns() -> str:
    await asyncio.sleep(0)
    return "z" * 1_000_000


async def endless() -> AsyncIterator[str]:
    while True:
        yield "z" * 100_000


async def large_items() -> AsyncIterator[str]:
    while True:
        yield "z" * 1_000_000


def routes() -> rpc.Routes:
    found = rpc.Routes(
        {
            "forever": forever,
            "echo": lambda value: value,
            "large": large,
            "later": later_large,
            "turns": in_turns,
            "plain": lambda: "x" * 1_000_000,
            "endless": endless,
            "large_items": large_items,
        }
    )
    found.add("thread", lambda: "w" * 1_000_000, threads=True)
    return found


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """A frame of a client, with a mask of zeros."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0xFE, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0xFF, size)
    return head + bytes(4) + payload


def call(id: Any, method: str, params: str = "[]", more: str = "") -> bytes:
    text = f'{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}{more}}}'
    return frame(text.encode())


FULL = 255 * 1024  # a little under the size of a message that a server takes


def waiting_calls() -> Iterator[bytes]:
    params = '["' + "x" * FULL + '"]'
    for number in range(300):
        yield call(number, "forever", params)


def spaces() -> Iterator[bytes]:
    for number in range(300):
        yield call(number, "forever", "[" + " " * FULL + "]")


def padding() -> Iterator[bytes]:
    for number in range(300):
        yield call(number, "forever", "[]", f',"x":"{"x" * FULL}"')


def long_ids() -> Iterator[bytes]:
    for number in range(300):
        yield call(f'"{number}{"x" * FULL}"', "forever")


def ids_of_256_characters() -> Iterator[bytes]:
    for number in range(1200):
        yield call(f'"{number:0256}"', "forever")


def emoji() -> Iterator[bytes]:
    params = '["' + "x" * FULL + '\U0001f600"]'
    for number in range(300):
        yield call(number, "forever", params)


def empty_lists() -> Iterator[bytes]:
    params = "[" + ",".join(["[]"] * (FULL // 3)) + "]"
    for number in range(200):
        yield call(number, "forever", params)


def short_empty_lists() -> Iterator[bytes]:
    params = "[" + ",".join(["[]"] * 40) + "]"
    for number in range(1200):
        yield call(number, "forever", params)


def empty_objects() -> Iterator[bytes]:
    params = "[[" + ",".join(["{}"] * (FULL // 3)) + "]]"
    for number in range(200):
        yield call(number, "forever", params)


def small_calls() -> Iterator[bytes]:
    for number in range(1500):
        yield call(number, "forever")


def notifications() -> Iterator[bytes]:
    params = '["' + "x" * 10_000 + '"]'
    for _ in range(1500):
        yield frame(
            f'{{"jsonrpc":"2.0","method":"forever","params":{params}}}'.encode()
        )


def batches_of_calls() -> Iterator[bytes]:
    part = '{{"jsonrpc":"2.0","id":{},"method":"forever","params":["{}"]}}'
    for batch in range(50):
        parts = (part.format(batch * 90 + n, "x" * 2500) for n in range(90))
        yield frame(f"[{','.join(parts)}]".encode())


def one_of_a_batch() -> Iterator[bytes]:
    """One call waits, and the rest of its batch is padding."""
    for number in range(300):
        waits = f'{{"jsonrpc":"2.0","id":{number},"method":"forever"}}'
        other = '{"jsonrpc":"2.0","method":"none","params":["' + "x" * FULL + '"]}'
        yield frame(f"[{waits},{other[:-3000]}".encode() + b'"]}]')


def unread(method: str) -> Callable[[], Iterator[bytes]]:
    def attack() -> Iterator[bytes]:
        yield b"".join(call(number, method) for number in range(2000))

    attack.__name__ = f"unread_{method}"
    return attack


def unread_batches() -> Iterator[bytes]:
    for number in range(40):
        parts = [
            f'{{"jsonrpc":"2.0","id":{number * 100 + n},"method":"plain"}}'
            for n in range(99)
        ]
        yield frame(f"[{','.join(parts)}]".encode())


def batches_that_never_end() -> Iterator[bytes]:
    """Each with answers that wait for a call that does not end."""
    for number in range(20):
        names = ["forever", *["later"] * 20, *["plain"] * 20]
        parts = [
            f'{{"jsonrpc":"2.0","id":{number * 100 + n},"method":"{name}"}}'
            for n, name in enumerate(names)
        ]
        yield frame(f"[{','.join(parts)}]".encode())


def refused_calls() -> Iterator[bytes]:
    for number in range(20_000):
        yield call(f'"{number:0256}"', "none" + "x" * 60)


def errors_with_long_names() -> Iterator[bytes]:
    for number in range(400):
        yield call(number, "none" + "x" * 100_000)


def streams() -> Iterator[bytes]:
    for number in range(80):
        yield call(number, "endless", "[]", ',"stream":1024')


def large_streams() -> Iterator[bytes]:
    for number in range(80):
        yield call(number, "large_items", "[]", ',"stream":1024')


def answers_to_nobody() -> Iterator[bytes]:
    text = '{"jsonrpc":"2.0","id":5,"result":"' + "x" * FULL + '"}'
    for _ in range(60):
        yield frame(text.encode())


ATTACKS = [
    *(waiting_calls, spaces, padding, long_ids, ids_of_256_characters, emoji),
    *(empty_lists, short_empty_lists, empty_objects, small_calls, notifications),
    *(batches_of_calls, one_of_a_batch, unread_batches, batches_that_never_end),
    *map(unread, ("plain", "large", "later", "turns", "thread")),
    *(refused_calls, errors_with_long_names, streams, large_streams, answers_to_nobody),
]


async def stuff(
    port: int, attack: Iterator[bytes], patience: float = 0.3
) -> socket.socket:
    """Send all that the server takes of ``attack``, and read nothing."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    # What the kernel holds for us, the server does not have to.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", port))
    await loop.sock_sendall(sock, request())
    await loop.sock_recv(sock, 4096)
    with contextlib.suppress(TimeoutError, OSError):
        for part in attack:
            async with asyncio.timeout(patience):
                await loop.sock_sendall(sock, part)
    return sock


async def all_has_ended(server: rpc.Server) -> None:
    """Wait until nothing has changed for a while in what the server does and keeps."""

    def state() -> list[object]:
        return [
            (len(peer.table.theirs), peer.table.read_size, peer.outbox.size)
            for peer in server.peers
        ]

    before, since = state(), 0
    for _ in range(200):
        await asyncio.sleep(0.02)
        now = state()
        before, since = now, since + 1 if now == before else 0
        if since == 10:
            return


@contextlib.asynccontextmanager
async def serving(server: rpc.Server) -> AsyncIterator[int]:
    async with server.serve("127.0.0.1", 0, compression=None) as listening:
        yield listening.sockets[0].getsockname()[1]


async def still_serves(port: int) -> bool:
    async with rpc.Client(f"ws://127.0.0.1:{port}/") as client:
        return bool(await client.call("echo", 5) == 5)


@pytest.fixture
def soon_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading goes on, and a connection is left, after a moment with no call's end."""
    monkeypatch.setattr("longwire.rpc.peer.STALLED", 0.1)
    monkeypatch.setattr("longwire.rpc.peer.LEAVING", 0.5)


@pytest.mark.usefixtures("soon_stalled")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_no_connection_makes_us_keep_more_than_is_said(attack, caplog):
    caplog.set_level("CRITICAL")
    server = rpc.Server(routes())
    async with serving(server) as port:
        tracemalloc.start()
        try:
            sock = await stuff(port, attack())
            await all_has_ended(server)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        print(f"{attack.__name__}: {kept / MIB:.1f} MiB kept")
        assert kept < MOST
        assert await still_serves(port)
        for peer in server.peers:
            assert peer.table.waiting_size <= LIMIT.memory + 300_000
            assert peer.outbox.size <= LIMIT.memory_in_all // 2
            assert peer.incoming._batched <= LIMIT.unsent
        sock.close()
        # Whoever is still there goes on, or ends; nothing stays behind.
        async with asyncio.timeout(20):
            while server.peers:
                await asyncio.sleep(0.01)
    assert server.settings.budget.memory_left == LIMIT.memory_in_all
    assert server.settings.budget.left == LIMIT.calls_in_all


@pytest.mark.usefixtures("soon_stalled")
@pytest.mark.timeout(120)
async def test_many_connections_keep_no_more_than_the_server_may_and_leave_room():
    server = rpc.Server(routes())
    async with serving(server) as port, contextlib.AsyncExitStack() as stack:
        tracemalloc.start()
        try:
            for number in range(12):
                attack = (waiting_calls, unread("plain"), empty_lists)[number % 3]
                sock = await stuff(port, attack(), 0.1)
                stack.callback(sock.close)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        print(f"12 connections: {kept / MIB:.1f} MiB kept")
        # Besides, each may have 4 MiB in the inbox of its connection.
        assert kept < 12 * 6 * MIB + LIMIT.memory_in_all
        assert server.settings.budget.memory_left > -16 * MIB
        assert await still_serves(port)


# --- honest ones ----------------------------------------------------------------------


@pytest.mark.timeout(60)
@pytest.mark.parametrize("method", ["plain", "large", "thread"])
async def test_two_thousand_large_answers_reach_who_reads_them(method):
    server = rpc.Server(routes())
    async with serving(server) as port:
        async with rpc.Client(f"ws://127.0.0.1:{port}/") as client:
            calls = [client.call(method) for _ in range(200)]
            answers = await asyncio.gather(*calls)

    assert {len(answer) for answer in answers} == {1_000_000}


@pytest.mark.timeout(60)
async def test_who_uploads_much_is_slowed_and_not_refused():
    sizes = []

    async def store(blob: str) -> None:
        await asyncio.sleep(0.001)
        sizes.append(len(blob))

    server = rpc.Server({"store": store})
    async with serving(server) as port:
        async with rpc.Client(f"ws://127.0.0.1:{port}/") as client:
            blob = "x" * 200_000
            await asyncio.gather(*(client.call("store", blob) for _ in range(400)))
            for _ in range(100):
                await client.notify("store", blob)
            assert await client.call("store", "") is None

    assert len(sizes) == 501


async def test_calls_that_wait_for_the_peer_do_not_stop_it_from_being_read():
    """Each has much, and waits for an answer that comes behind more of the same."""
    answered = []

    async def ask(peer: rpc.Peer, blob: str) -> None:
        answered.append(await peer.call("answer"))

    server = rpc.Server({"ask": ask})
    async with serving(server) as port:
        routes = {"answer": lambda: 5}
        async with rpc.Client(f"ws://127.0.0.1:{port}/", routes) as client:
            blob = "x" * 200_000
            calls = (client.call("ask", blob) for _ in range(60))
            ended = await asyncio.gather(*calls, return_exceptions=True)

    refused = [exc for exc in ended if exc is not None]
    assert all(isinstance(exc, rpc.TooBusy) for exc in refused)
    assert len(answered) == 60 - len(refused) > 10


# --- batches --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["large", "plain"])
async def test_the_answers_of_a_batch_count_in_sum(method):
    line = Line()
    limits = rpc.RpcLimits(message=10_000, unsent=100_000)
    made = {"large": large_of(4000), "plain": lambda: "x" * 4000}
    async with rpc.Peer(line, made, limits=limits):
        line.put([{"jsonrpc": "2.0", "id": n, "method": method} for n in range(5)])
        answers = await line.sent()

    assert len(json.dumps(answers)) < 11_000
    assert sum("result" in answer for answer in answers) == 2
    wrong = [answer["error"] for answer in answers if "error" in answer]
    assert {error["code"] for error in wrong} == {rpc.InternalError.code}
    assert "the answers of the batch exceed" in wrong[0]["message"]


def large_of(size: int) -> Any:
    async def route() -> str:
        return "x" * size

    return route


async def test_answers_of_batches_that_wait_count_in_sum():
    line = Line()
    limits = rpc.RpcLimits(unsent=10_000)
    made = {"forever": forever, "x": large_of(3000)}
    async with rpc.Peer(line, made, limits=limits) as peer:
        for number in range(10):
            line.put(
                [
                    {"jsonrpc": "2.0", "id": number, "method": "forever"},
                    {"jsonrpc": "2.0", "id": number + 100, "method": "x"},
                ]
            )
        assert await line.settled() == []
        assert peer.incoming._batched <= 10_000 + 10 * 400
        for number in range(10):
            params = {"id": number}
            line.put({"jsonrpc": "2.0", "method": "$/cancel", "params": params})
        batches = [await line.sent() for _ in range(10)]

        assert peer.incoming._batched == 0
    results = [answer for batch in batches for answer in batch if "result" in answer]
    assert len(results) == 2


# --- shares ---------------------------------------------------------------------------


def table_of(budget: Budget) -> CallTable:
    return CallTable(rpc.RpcLimits(calls=10_000, queued=10_000), budget)


def taken_by(table: CallTable, most: int = 10_000, start: int = 0) -> int:
    for number in range(most):
        try:
            table.admit(start + number, None)
        except Admission:
            return number
    return most


@pytest.mark.parametrize("count", [1, 2, 10, 100, 400])
def test_however_many_take_all_they_get_others_find_room(count):
    budget = Budget(10_000)
    takers = [table_of(budget) for _ in range(count)]
    for turn in range(2):  # each again after the others
        for table in takers:
            taken_by(table, start=turn * 10_000)

    newcomers = [table_of(budget) for _ in range(500)]

    assert [taken_by(table, 1) for table in newcomers] == [1] * 500


def test_one_connection_has_no_more_places_than_are_left():
    budget = Budget(10_000)

    assert taken_by(table_of(budget)) == 4500  # a tenth is kept for others
    assert taken_by(table_of(Budget(1))) == 1
    assert taken_by(table_of(Budget(6))) == 3


@pytest.mark.parametrize("count", [1, 10, 30])
def test_however_much_others_hold_a_newcomer_may_hold_something(count):
    budget = Budget(10_000, 64 * MIB)
    tables = [table_of(budget) for _ in range(count)]
    for table in tables:
        with contextlib.suppress(Admission):
            for number in range(64):
                table.admit(number, None, size=MIB // 4)

    table_of(budget).admit(1, None, size=MIB // 4)
    assert budget.memory_left > 0


async def test_ten_connections_do_not_keep_everybody_else_out():
    server = rpc.Server({"forever": forever, "echo": lambda value: value})
    lines = [Line() for _ in range(10)]
    async with contextlib.AsyncExitStack() as stack:
        for line in lines:
            await stack.enter_async_context(server.make_peer(line))
            for number in range(1164):
                line.put(
                    {"jsonrpc": "2.0", "id": number, "method": "forever", "params": []}
                )
            await line.settled()
        other = Line()
        await stack.enter_async_context(server.make_peer(other))
        for number in range(50):
            other.put(
                {"jsonrpc": "2.0", "id": number, "method": "forever", "params": []}
            )
        assert await other.settled() == []


async def test_a_stream_that_nobody_reads_is_ended_some_time():
    closed = []

    async def ticks() -> AsyncIterator[int]:
        try:
            for number in range(100):
                yield number
        finally:
            closed.append(True)

    line = Line()
    limits = rpc.RpcLimits(stream_idle=0.1)
    async with rpc.Peer(line, {"ticks": ticks}, limits=limits) as peer:
        line.put(
            {"jsonrpc": "2.0", "id": 1, "method": "ticks", "params": [], "stream": 2}
        )
        assert [(await line.sent())["method"] for _ in range(2)] == ["$/item"] * 2
        await asyncio.sleep(0.05)
        more = {"id": 1, "count": 1}
        line.put({"jsonrpc": "2.0", "method": "$/more", "params": more})
        assert (await line.sent())["params"]["value"] == 2
        error = (await line.sent())["error"]
        await line.settled()

        assert error["code"] == rpc.DeadlineExceeded.code
        assert "no item of the stream was taken" in error["message"]
        assert closed == [True]
        assert not peer.table.theirs


async def test_a_stream_that_has_nothing_to_say_is_not_idle():
    async def quiet() -> AsyncIterator[int]:
        await asyncio.sleep(0.2)
        yield 5

    line = Line()
    limits = rpc.RpcLimits(stream_idle=0.05)
    async with rpc.Peer(line, {"quiet": quiet}, limits=limits):
        line.put(
            {"jsonrpc": "2.0", "id": 1, "method": "quiet", "params": [], "stream": 2}
        )
        assert (await line.sent())["params"]["value"] == 5


async def test_no_call_begins_while_too_much_is_unsent():
    begun = []

    def plain(number: int) -> str:
        begun.append(number)
        return "x" * 1000

    async def later(number: int) -> str:
        return plain(number)

    routes = rpc.Routes({"plain": plain, "later": later})
    routes.add("thread", plain, threads=True)
    for method in ("plain", "later", "thread"):
        begun.clear()
        line = Line()
        line.open_gate.clear()  # nothing we send is taken
        limits = rpc.RpcLimits(unsent=3000, calls=50)
        async with rpc.Peer(line, routes, limits=limits):
            for number in range(40):
                line.put(
                    {
                        "jsonrpc": "2.0",
                        "id": number,
                        "method": method,
                        "params": [number],
                    }
                )
            await asyncio.sleep(0.1)
            held_up = len(begun)
            line.open_gate.set()
            answers = [await line.sent() for _ in range(40)]

        if method == "thread":
            # Four at a time, whose answers nobody knows before.
            assert held_up <= 3 + 4 + 2
        else:
            assert held_up <= 5
            assert begun == list(range(40))
        assert sorted(answer["id"] for answer in answers) == list(range(40))
