"""A stranger at the wire: what no client of ours would send, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import longwire
from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from longwire import rpc
from longwire.rpc.codecs import Json, MessagePack
from longwire.rpc.envelope import JsonRpc, Wire
from longwire.rpc.wsrpc import Wsrpc, Wsrpc1

WIRES: list[Wire] = [
    JsonRpc(Json()),
    JsonRpc(MessagePack()),
    Wsrpc(Json()),
    Wsrpc1(Json()),
]
every_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)

KEYS = ("jsonrpc", "id", "method", "params", "result", "error", "stream", "code")
MORE_KEYS = ("serial", "type", "call", "arguments", "data", "message", "value", "count")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["2.0", "$/cancel", "$/item", "$/more", "call", "callback", ""])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS + MORE_KEYS), inner, max_size=5)
    ),
    max_leaves=12,
)


@every_wire
@settings(max_examples=200, deadline=None)
@given(value=VALUES)
def test_whatever_value_comes_is_read(wire, value):
    for message in wire.read(wire.codec.encode(value)):
        repr(message)


@every_wire
@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=40))
def test_whatever_bytes_come_are_read(wire, data):
    frame = data.decode("utf-8", "replace") if wire.codec.is_text else data
    for message in wire.read(frame):
        repr(message)


# --- on sockets ------------------------------------------------------------------


async def forever() -> None:
    await asyncio.Event().wait()


async def flood() -> AsyncIterator[str]:
    while True:
        yield "x" * 1000


ROUTES = {
    "echo": lambda value: value,
    "blob": lambda: "x" * 100_000,
    "forever": forever,
    "flood": flood,
}


@contextlib.asynccontextmanager
async def server(**options: Any) -> AsyncIterator[tuple[rpc.Server, str]]:
    made = rpc.Server(ROUTES, **options)
    async with made.serve("localhost", 0, close_timeout=1) as listening:
        yield made, f"ws://localhost:{listening.sockets[0].getsockname()[1]}/"


def call(id: int, method: str, *params: Any, **more: Any) -> str:
    frame = {"jsonrpc": "2.0", "id": id, "method": method, "params": params, **more}
    return json.dumps(frame)


async def still_serves(uri: str) -> bool:
    async with rpc.Client(uri) as client:
        return bool(await client.call("echo", 5) == 5)


async def test_an_oversized_message_ends_its_connection_and_no_other():
    async with server() as (_, uri), longwire.connect(uri) as stranger:
        await stranger.send(call(1, "echo", "x" * (2 << 20)))
        with pytest.raises(longwire.ConnectionClosedError) as closed:
            await stranger.recv()

        assert closed.value.code == 1009
        assert await still_serves(uri)


async def test_an_oversized_answer_fails_our_calls_with_the_limit_in_the_report():
    async def answer(connection: longwire.ServerConnection) -> None:
        await connection.recv()
        await connection.send("x" * (2 << 20))
        await connection.wait_closed()

    async with longwire.serve(answer, "localhost", 0) as listening:
        uri = f"ws://localhost:{listening.sockets[0].getsockname()[1]}/"
        async with rpc.Client(uri, subprotocols=None) as client:
            with pytest.raises(rpc.Disconnected) as raised:
                await client.call("x")

    assert raised.value.report is not None
    assert raised.value.report.limit == "message"


async def test_a_flood_of_calls_runs_no_more_than_allowed_and_answers_all():
    limits = rpc.RpcLimits(calls=5, queued=10, deadline=0.5)
    async with server(limits=limits) as (made, uri):
        async with longwire.connect(uri) as stranger:
            for number in range(500):
                await stranger.send(call(number, "forever"))
            answers = [json.loads(await stranger.recv()) for _ in range(500)]
            (peer,) = made.peers

            assert len(peer.table.theirs) <= 15
        assert await still_serves(uri)

    assert {answer["id"] for answer in answers} == set(range(500))
    codes = [answer["error"]["code"] for answer in answers]
    assert codes.count(rpc.DeadlineExceeded.code) == 15
    assert codes.count(rpc.TooBusy.code) == 485


@pytest.mark.timeout(60)
async def test_who_calls_and_never_reads_is_held_up_with_little_kept_for_him():
    async with server() as (_, uri):
        async with longwire.connect(uri, max_queue=1) as stranger:
            sent = 0
            tracemalloc.start()
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.5):
                        while sent < 5000:  # answers of 500 MB
                            await stranger.send(call(sent, "blob"))
                            sent += 1
                kept, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert kept < 50_000_000
            assert await still_serves(uri)
            stranger.wire.abort()


async def test_a_stream_nobody_reads_stops_at_what_was_granted():
    async with server() as (made, uri):
        async with longwire.connect(uri) as stranger:
            await stranger.send(call(1, "flood", stream=1024))
            for _ in range(1024):
                await stranger.recv()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await stranger.recv()
            (peer,) = made.peers
            assert len(peer.table.theirs) == 1
        assert await still_serves(uri)


async def test_credit_without_end_is_no_way_to_make_us_count_for_ever():
    async with server() as (_, uri), longwire.connect(uri) as stranger:
        await stranger.send(call(1, "flood", stream=1))
        more = {"id": 1, "count": 10**18}
        notification = {"jsonrpc": "2.0", "method": "$/more", "params": more}
        for _ in range(10):
            await stranger.send(json.dumps(notification))
        for _ in range(100):
            assert json.loads(await stranger.recv())["method"] == "$/item"
        await stranger.send(
            json.dumps({**notification, "method": "$/cancel", "params": {"id": 1}})
        )
        async with asyncio.timeout(5):
            while "error" not in json.loads(await stranger.recv()):
                pass


async def test_a_peers_fault_leaves_no_traceback_in_the_log(caplog):
    caplog.set_level(logging.INFO)
    limits = rpc.RpcLimits(strange=20)
    async with server(limits=limits) as (_, uri):
        async with longwire.connect(uri) as stranger:
            await stranger.send(call(1, "forever"))
            await stranger.send(call(2, "none"))
            await stranger.send(call(3, "echo", 1, 2, 3))
            with contextlib.suppress(longwire.ConnectionClosed):
                for _ in range(100):
                    await stranger.send("{")
                while True:
                    await stranger.recv()
            assert stranger.close_code == 1008

    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_thousand_calls_under_way_do_not_keep_the_server_from_closing():
    made = rpc.Server(ROUTES)
    async with contextlib.AsyncExitStack() as stack:
        listening = await made.serve("localhost", 0)
        uri = f"ws://localhost:{listening.sockets[0].getsockname()[1]}/"
        client = await stack.enter_async_context(rpc.Client(uri))
        calls = [asyncio.create_task(client.call("forever")) for _ in range(1000)]
        await client.connected()
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        listening.close()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        await listening.wait_closed()

        assert time.monotonic() - begun < 3
        assert {type(exc) for exc in ended} == {rpc.Disconnected}
        assert {exc.report.code for exc in ended} == {1001}
