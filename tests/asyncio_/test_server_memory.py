"""Limits.server_memory: what the messages of all connections of a server may take."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import struct
import weakref
from typing import Any

import pytest
from tests.asyncio_.serving import UPGRADE, listen, raw, uri_of

import longwire
from longwire import budget
from longwire.asyncio.server import ServerConnection

MOST = 1 << 18
LIMITS = longwire.Limits(server_memory=MOST, queued_messages=None)
RESET = struct.pack("ii", 1, 0)
MESSAGES = [number.to_bytes(4, "big") + bytes(16380) for number in range(64)]


@pytest.fixture(params=["native", "transport"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)
    return str(request.param)


class Deaf:
    """A handler that echoes, or, for the path /deaf, reads when it is allowed to."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.got: list[Any] = []
        self.reports: asyncio.Queue[longwire.CloseReport | None] = asyncio.Queue()

    async def __call__(self, ws: ServerConnection) -> None:
        assert ws.request is not None
        if ws.request.path != "/deaf":
            async for message in ws:
                await ws.send(message)
            return
        await self.reads.wait()
        try:
            async for message in ws:
                self.got.append(message)
        finally:
            await ws.wait_closed()
            self.reports.put_nowait(ws.close_report)


async def said(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in caplog.text:
            await asyncio.sleep(0.01)


async def send_all(ws: longwire.ClientConnection) -> None:
    for message in MESSAGES:
        await ws.send(message)


async def test_the_largest_waits_unread_others_go_on_and_nothing_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    handler = Deaf()
    async with (
        listen(handler, limits=LIMITS) as server,
        longwire.connect(uri_of(server)) as small,
        longwire.connect(uri_of(server) + "deaf") as large,
    ):
        sending = asyncio.create_task(send_all(large))
        await said(caplog, "server reads no more from the 1 largest connections")

        for number in range(10):
            await small.send(f"small {number}")
            assert await small.recv() == f"small {number}"

        handler.reads.set()
        await sending
        await large.close()
        await said(caplog, "server reads from all connections again")
        report = await handler.reports.get()

    assert handler.got == MESSAGES
    assert report is not None
    assert (report.code, report.received_dropped) == (1000, 0)


async def test_one_that_is_not_read_either_is_closed_and_its_memory_is_free(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "PATIENCE", 0.0)
    handler = Deaf()
    async with (
        listen(handler, limits=LIMITS) as server,
        longwire.connect(uri_of(server) + "deaf") as large,
    ):
        (held,) = server.connections
        sending = asyncio.create_task(send_all(large))
        with pytest.raises(longwire.ConnectionClosedError, match="1013"):
            await large.recv()
        await asyncio.wait([sending])
        sending.exception()

        assert held._memory < MOST
        handler.reads.set()
        report = await handler.reports.get()

    assert handler.got == []
    assert report is not None
    assert (report.limit, report.limit_value) == ("server_memory", MOST)
    assert report.received_dropped > 0


@pytest.mark.parametrize(
    ("end", "code", "cause"),
    [
        ("close", 1000, longwire.Cause.PEER),
        ("leave", 1006, longwire.Cause.NETWORK),
        ("reset", 1006, longwire.Cause.NETWORK),
    ],
)
async def test_what_is_dropped_of_a_connection_that_has_ended_is_counted_too(
    end: str,
    code: int,
    cause: longwire.Cause,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Not before the end is certain, which comes fault_grace after a close frame.
    monkeypatch.setattr(budget, "PATIENCE", 0.3)
    caplog.set_level(logging.INFO)
    handler = Deaf()
    timeouts = longwire.Timeouts(fault_grace=0.1)
    async with listen(handler, limits=LIMITS, timeouts=timeouts) as server:
        large = await longwire.connect(uri_of(server) + "deaf", compression=None)
        await send_all(large)
        (held,) = server.connections
        async with asyncio.timeout(20):
            while held._live.protocol.messages_received < len(MESSAGES):
                await asyncio.sleep(0.01)
        if end == "close":
            await large.close()
        elif end == "leave":
            large.transport.close()
        else:
            sock = large.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            large.transport.abort()
        async with asyncio.timeout(20):
            while held.close_report is None:
                await asyncio.sleep(0.01)
        before = held.close_report
        assert before.received_dropped == 0

        await said(caplog, "server reads from all connections again")
        handler.reads.set()
        report = await handler.reports.get()
        with pytest.raises(longwire.ConnectionClosedError) as raised:
            await held.recv()
        await large.wait_closed()

    assert handler.got == []
    assert report is before is raised.value.report
    assert (report.code, report.cause) == (code, cause)
    assert (report.limit, report.limit_value) == ("server_memory", MOST)
    assert report.received_dropped == report.messages_dropped == len(MESSAGES)
    assert f"{len(MESSAGES)} received messages dropped unread" in str(report)
    assert f"dropped {len(MESSAGES)} unread messages" in caplog.text


async def test_output_that_nobody_takes_makes_room_at_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "PATIENCE", 0.2)
    caplog.set_level(logging.INFO)
    reports: asyncio.Queue[longwire.CloseReport | None] = asyncio.Queue()

    async def flood(ws: ServerConnection) -> None:
        try:
            await ws.send(bytes(32 * MOST))
        finally:
            await ws.wait_closed()
            reports.put_nowait(ws.close_report)

    async with listen(flood, limits=LIMITS) as server, raw(server) as (_, writer):
        # Close frame and half-close alone would leave it waiting for close_timeout.
        writer.transport.pause_reading()
        writer.write(UPGRADE)
        await said(caplog, "server reads no more from the 1 largest connections")
        async with asyncio.timeout(5):
            report = await reports.get()

    assert report is not None
    assert (report.cause, report.limit) == (longwire.Cause.LIMIT, "server_memory")


async def test_without_a_limit_nobody_looks(caplog: pytest.LogCaptureFixture) -> None:
    limits = longwire.Limits(server_memory=None, queued_messages=None)
    async with (
        listen(limits=limits) as server,
        longwire.connect(uri_of(server)) as ws,
    ):
        await ws.send("hello")
        assert await ws.recv() == "hello"

        assert server._watch._timer is None


async def test_nobody_looks_at_a_server_without_connections() -> None:
    handler = Deaf()
    async with listen(handler, limits=LIMITS) as server:
        async with longwire.connect(uri_of(server)):
            assert server._watch._timer is not None
        async with asyncio.timeout(10):
            while server._open:
                await asyncio.sleep(0.01)

        assert server._watch._timer is None


async def test_connections_that_were_held_are_forgotten_when_the_last_has_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    leave = asyncio.Event()
    seen: list[weakref.ref[ServerConnection]] = []

    async def deaf(ws: ServerConnection) -> None:
        seen.append(weakref.ref(ws))
        await leave.wait()

    async with listen(deaf, limits=LIMITS) as server:
        async with longwire.connect(uri_of(server)) as large:
            sending = asyncio.create_task(send_all(large))
            await said(caplog, "server reads no more from the 1 largest connections")
            leave.set()
            await asyncio.wait([sending])
            sending.exception()
        await said(caplog, "server reads from all connections again")
        async with asyncio.timeout(10):
            while seen[0]() is not None:
                await asyncio.sleep(0.01)
                gc.collect()
