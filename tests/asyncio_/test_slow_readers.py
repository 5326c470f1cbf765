"""A client that closes, or a server, while the other end is still reading."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import longwire
from longwire import Cause


@pytest.fixture(params=["native", "transport"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)
    return str(request.param)


@pytest.mark.usefixtures("engine")
async def test_a_server_slower_than_its_client_gets_all_messages() -> None:
    """100 messages of 100 KB, compressed to 12 KB in all, 20 ms each."""
    got: list[Any] = []
    ends: asyncio.Queue[Any] = asyncio.Queue()

    async def handler(ws: longwire.ServerConnection) -> None:
        async for message in ws:
            await asyncio.sleep(0.02)
            got.append(message)
        await ws.wait_closed()
        ends.put_nowait(ws.close_report)

    async with longwire.serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with longwire.connect(
            f"ws://127.0.0.1:{port}/", close_timeout=0.5
        ) as client:
            for number in range(100):
                await client.send(b"%d " % number + bytes(100_000))
        report = await ends.get()

    assert got == [b"%d " % number + bytes(100_000) for number in range(100)]
    assert (report.cause, report.code) == (Cause.PEER, 1000)
    assert (report.messages_received, report.received_dropped) == (100, 0)


async def receive_slowly(count: int, seconds: float, **options: Any) -> None:
    """Receive from a server that sends and leaves, at ``seconds`` for each message."""
    message = "some words that are said again and again " * 1500

    async def handler(ws: longwire.ServerConnection) -> None:
        for number in range(count):
            await ws.send(f"{number} {message}")

    got = []
    async with longwire.serve(handler, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        async with longwire.connect(f"ws://127.0.0.1:{port}/") as client:
            async for received in client:
                await asyncio.sleep(seconds)
                got.append(received)

    assert got == [f"{number} {message}" for number in range(count)]
    report = client.close_report
    assert report is not None
    assert (report.code, report.messages_received) == (1000, count)
    assert report.received_dropped == report.messages_dropped == 0


@pytest.mark.usefixtures("engine")
async def test_a_client_slower_than_its_server_gets_all_messages() -> None:
    await receive_slowly(120, 0.02, close_timeout=0.5)


@pytest.mark.long
@pytest.mark.once
@pytest.mark.timeout(90)
async def test_a_client_slower_than_the_closing_handshake_gets_all_messages() -> None:
    """With all defaults: the server gives the client up after ten seconds."""
    await receive_slowly(200, 0.15)
