"""Limits.server_memory: what the messages of all connections of a server may take."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import longwire
from longwire import budget
from longwire.asyncio.server import ServerConnection
from tests.asyncio_.serving import listen, uri_of

MOST = 1 << 18
LIMITS = longwire.Limits(server_memory=MOST, queued_messages=None)
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
