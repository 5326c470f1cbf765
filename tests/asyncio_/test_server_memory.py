"""Limits.server_memory: what the messages of all connections of a server may take."""

from __future__ import annotations

import asyncio
import gc
import logging
import struct
import weakref
from typing import Any

import pytest
from tests.asyncio_.serving import listen, uri_of

import longwire
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


async def test_without_a_limit_nobody_looks(caplog: pytest.LogCaptureFixture) -> None:
    limits = longwire.Limits(server_memory=None, queued_messages=None)
    async with (
        listen(limits=limits) as server,
        longwire.connect(uri_of(server)) as ws,
    ):
        await ws.send("hello")
        assert await ws.recv() == "hello"

        assert server._looking is None


async def test_nobody_looks_at_a_server_without_connections() -> None:
    handler = Deaf()
    async with listen(handler, limits=LIMITS) as server:
        async with longwire.connect(uri_of(server)):
            assert server._looking is not None
        async with asyncio.timeout(10):
            while server._open or server._looking is not None:
                await asyncio.sleep(0.01)

        async with longwire.connect(uri_of(server)):
            assert server._looking is not None
    assert server._looking is None


async def test_connections_one_after_the_other_leave_no_timers_behind() -> None:
    async with listen(Deaf(), limits=LIMITS) as server:
        seen = set()
        for _ in range(3):
            async with longwire.connect(uri_of(server)):
                seen.add(server._looking)
            while server._open:
                await asyncio.sleep(0)

        assert not any(timer is None or timer.cancelled() for timer in seen)


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
