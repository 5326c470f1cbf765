"""Tasks that share a connection, give up, or misuse it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import struct
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.asyncio_.serving import UPGRADE, listen, raw, until, uri_of, wait

import longwire
from longwire import ConcurrencyError, ConnectionClosedError, State
from longwire.asyncio.server import Server, ServerConnection

ZERO = b"\x00\x00\x00\x00"


def frame(first: int, payload: bytes) -> bytes:
    """Return a client's frame, masked with zeros."""
    if len(payload) < 126:
        return bytes((first, 0x80 | len(payload))) + ZERO + payload
    return bytes((first, 0xFE)) + struct.pack("!H", len(payload)) + ZERO + payload


@contextlib.asynccontextmanager
async def link(
    **options: Any,
) -> AsyncIterator[tuple[ServerConnection, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Give a server's connection and its raw client."""
    arrived: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def handler(ws: ServerConnection) -> None:
        arrived.put_nowait(ws)
        await ws.wait_closed()

    options.setdefault("close_timeout", 0.2)
    async with listen(handler, **options) as server, raw(server) as (reader, writer):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        yield await arrived.get(), reader, writer


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


# --- turns of sending ------------------------------------------------------------


async def test_who_gives_up_waiting_for_a_turn_does_not_close() -> None:
    async with link() as (ws, reader, _writer):
        more = asyncio.Event()

        async def slow() -> AsyncIterator[str]:
            yield "he"
            await more.wait()
            yield "llo"

        async def later() -> AsyncIterator[str]:
            await asyncio.sleep(0)
            yield "second"

        # Both are asked for their first fragment while nobody has the turn.
        second = asyncio.create_task(ws.send(later()))
        first = asyncio.create_task(ws.send(slow()))
        assert await reader.readexactly(4) == b"\x01\x02he"
        await asyncio.sleep(0.01)

        await cancel(second)
        more.set()
        await first

        assert await reader.readexactly(7) == b"\x00\x03llo\x80\x00"
        assert ws.state is State.OPEN


async def test_senders_that_give_up_leave_nothing_behind() -> None:
    async with link(write_limit=1024) as (ws, _reader, _writer):
        ws.write_paused()

        for _ in range(20):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    await ws.send("x")

        assert not ws._waiting
        ws.write_resumed()


async def test_a_message_of_many_fragments_lets_other_tasks_run() -> None:
    async with link(write_limit=1 << 24) as (ws, _reader, _writer):
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        before = turns
        await ws.send(b"x" for _ in range(2000))

        assert turns - before >= 4
        await cancel(counting)


# --- streams that are left -------------------------------------------------------


async def test_a_stream_cancelled_in_mid_message_leaves_no_half_message() -> None:
    async with link() as (ws, _reader, writer):
        writer.write(frame(0x01, b"he"))

        async def read() -> list[Any]:
            return [piece async for piece in ws.recv_streaming()]

        reading = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        await cancel(reading)
        writer.write(frame(0x80, b"llo"))

        with pytest.raises(ConcurrencyError):
            await ws.recv()


async def test_a_stream_cancelled_before_its_message_loses_nothing() -> None:
    async with link() as (ws, _reader, writer):
        reading = asyncio.ensure_future(anext(ws.recv_streaming()))
        await asyncio.sleep(0.01)
        await cancel(reading)
        writer.write(frame(0x81, b"hello"))

        assert await ws.recv() == "hello"


async def test_a_stream_left_at_its_last_piece_is_over() -> None:
    async with link() as (ws, _reader, writer):
        writer.write(frame(0x81, b"one") + frame(0x81, b"two"))

        async for piece in ws.recv_streaming():
            assert piece == "one"
            break

        assert await ws.recv() == "two"


async def test_a_stream_left_at_its_last_piece_does_not_disturb_the_next() -> None:
    async with link() as (ws, _reader, writer):
        writer.write(frame(0x81, b"one"))
        stream = ws.recv_streaming()
        assert await anext(stream) == "one"

        waiting = asyncio.create_task(ws.recv())
        await asyncio.sleep(0.01)
        await stream.aclose()  # type: ignore[attr-defined]

        with pytest.raises(ConcurrencyError):
            await ws.recv()
        writer.write(frame(0x81, b"two"))
        assert await waiting == "two"


async def test_the_rest_of_a_stream_is_no_message_after_the_end() -> None:
    async with link() as (ws, _reader, writer):
        writer.write(frame(0x01, b"a") + frame(0x00, b"b") + frame(0x80, b"c"))
        stream = ws.recv_streaming()
        assert await anext(stream) == "a"
        writer.write_eof()
        await ws.wait_closed()
        await stream.aclose()  # type: ignore[attr-defined]

        with pytest.raises(ConcurrencyError):
            await ws.recv()


async def test_a_stream_that_ends_with_the_connection_says_so_again() -> None:
    async with link() as (ws, _reader, writer):
        writer.write(frame(0x01, b"a"))
        writer.write_eof()
        with pytest.raises(ConnectionClosedError):
            async for _ in ws.recv_streaming():
                pass

        with pytest.raises(ConnectionClosedError):
            await ws.recv()


# --- bounds ----------------------------------------------------------------------


async def test_messages_that_come_with_the_handshake_stop_the_peer_too() -> None:
    async def process_request(ws: Any, request: Any) -> None:
        await asyncio.sleep(0.1)

    arrived: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def handler(ws: ServerConnection) -> None:
        arrived.put_nowait(ws)
        await ws.wait_closed()

    async with (
        listen(
            handler, process_request=process_request, max_queue=4, close_timeout=0.1
        ) as server,
        raw(server) as (_reader, writer),
    ):
        writer.write(UPGRADE + frame(0x82, bytes(1000)) * 5)
        await asyncio.sleep(0.05)
        writer.write(frame(0x82, bytes(1000)) * 5)
        ws = await arrived.get()
        for _ in range(200):
            writer.write(frame(0x82, bytes(60000)) * 5)
            await asyncio.sleep(0)
            if writer.transport.get_write_buffer_size() > 30_000_000:
                break
        await asyncio.sleep(0.3)

        assert ws._live.protocol.buffered < 2_000_000
        writer.transport.abort()


# --- nothing is left -------------------------------------------------------------


@pytest.mark.parametrize("side", ["client", "server"])
async def test_an_ended_connection_is_freed_at_once(side: str) -> None:
    kept: list[weakref.ref[Any]] = []

    async def handler(ws: ServerConnection) -> None:
        if side == "server":
            kept.append(weakref.ref(ws))
            kept.append(weakref.ref(ws.wire))
        async for message in ws:
            await ws.send(message)

    async with listen(handler) as server:
        gc.disable()
        try:
            async with longwire.connect(uri_of(server), proxy=None) as ws:
                await ws.send("x")
                await ws.recv()
                if side == "client":
                    kept.append(weakref.ref(ws))
                    kept.append(weakref.ref(ws.wire))
            del ws
            for _ in range(5):
                await asyncio.sleep(0.01)

            assert [ref() for ref in kept] == [None, None]
        finally:
            gc.enable()


# --- misuse ----------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["send", "recv", "ping", "pong", "close"])
async def test_another_event_loop_is_told_that_it_is_the_wrong_one(verb: str) -> None:
    async with link() as (ws, _reader, _writer):
        work = getattr(ws, verb)
        arguments = ["x"] if verb == "send" else []

        def misuse() -> None:
            asyncio.run(work(*arguments))

        with pytest.raises(RuntimeError, match="loop"):
            await asyncio.to_thread(misuse)
        assert ws.state is State.OPEN


async def test_who_uses_a_wrong_event_loop_is_told_what_to_do() -> None:
    async with link() as (ws, _reader, _writer):

        async def misuse() -> None:
            await ws.send("x")

        with pytest.raises(RuntimeError, match="send_threadsafe"):
            await asyncio.to_thread(asyncio.run, misuse())


# --- the peer leaves at a bad moment ---------------------------------------------


async def leave_while_asked(server_of: Any) -> list[str]:
    """Have a client leave while ``process_request`` runs; return what was logged."""
    asked, left = asyncio.Event(), asyncio.Event()
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(str(context)))

    async def process_request(ws: Any, request: Any) -> None:
        asked.set()
        await left.wait()

    server: Server = server_of(process_request)
    async with server:
        async with raw(server) as (_reader, writer):
            writer.write(UPGRADE)
            await asked.wait()
            writer.transport.abort()
        await asyncio.sleep(0.05)
        left.set()
        await until(lambda: not server._runs)
    return complaints


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_client_that_leaves_during_a_callback_disturbs_nobody(
    loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    factory = asyncio.new_event_loop
    if loop == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop

    with asyncio.Runner(loop_factory=factory) as runner:
        complaints = runner.run(
            leave_while_asked(lambda ask: listen(wait, process_request=ask))
        )

    assert not complaints
    assert not [r for r in caplog.records if r.exc_info]


# --- timeouts -------------------------------------------------------------------


async def test_a_peer_that_takes_nothing_is_given_up_after_the_write_timeout() -> None:
    ended: asyncio.Future[longwire.CloseReport] = asyncio.Future()

    async def flood(ws: longwire.ServerConnection) -> None:
        try:
            while True:
                await ws.send(b"x" * 65536)
        finally:
            assert ws.close_report is not None
            ended.set_result(ws.close_report)

    server = longwire.serve(
        flood,
        "127.0.0.1",
        0,
        compression=None,
        timeouts=longwire.Timeouts(write=0.2),
    )
    async with server, raw(server) as (_, writer):
        writer.transport.pause_reading()
        writer.write(UPGRADE)

        report = await asyncio.wait_for(ended, 20)

    assert report.cause is longwire.Cause.WRITE_TIMEOUT
    assert "within 0.2 seconds" in report.detail


async def test_latency_is_measured_on_any_loop() -> None:
    async with longwire.serve(_keep, "127.0.0.1", 0) as server:
        async with longwire.connect(uri_of(server), proxy=None) as ws:
            latency = await (await ws.ping())

    assert 0 < latency == ws.latency


async def _keep(ws: longwire.ServerConnection) -> None:
    await ws.wait_closed()
