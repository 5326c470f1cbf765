"""A client that goes away while the server still decides on its request."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.asyncio_.serving import UPGRADE, lines, listen, raw, traces, until
from tests.support.certificates import Certificates

from longwire.asyncio import server_connection
from longwire.asyncio.server import ServerConnection

CALLBACKS = ["process_request", "process_response"]


@pytest.fixture(params=["native", "transport"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut callbacks off as soon as the client has gone."""
    monkeypatch.setattr(server_connection, "_LEFT_GRACE", 0.01)


def goes(writer: asyncio.StreamWriter) -> None:
    writer.close()


def resets(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def half_closes(writer: asyncio.StreamWriter) -> None:
    writer.write_eof()


LEAVING = {f.__name__: f for f in (goes, resets, half_closes)}


@pytest.mark.parametrize("leave", list(LEAVING))
@pytest.mark.parametrize("callback", CALLBACKS)
async def test_who_waits_for_the_end_is_woken(callback: str, leave: str) -> None:
    begun, woken = asyncio.Event(), asyncio.Event()

    async def wait(ws: ServerConnection, *args: Any) -> None:
        begun.set()
        await ws.wait_closed()
        await ws.wait_closed()  # and again, which has nothing to wait for
        woken.set()

    async with listen(**{callback: wait}, open_timeout=None) as server:
        async with raw(server) as (_, writer):
            writer.write(UPGRADE)
            await begun.wait()
            assert not woken.is_set()

            LEAVING[leave](writer)

            await asyncio.wait_for(woken.wait(), 10)
        await until(lambda: not server._runs)


async def test_over_tls_too(certificates: Certificates) -> None:
    begun, woken = asyncio.Event(), asyncio.Event()

    async def wait(ws: ServerConnection, *args: Any) -> None:
        begun.set()
        await ws.wait_closed()
        woken.set()

    async with listen(
        process_request=wait, open_timeout=None, ssl=certificates.server
    ) as server:
        async with raw(
            server, ssl=certificates.client, server_hostname="localhost"
        ) as (_, writer):
            writer.write(UPGRADE)
            await begun.wait()
            writer.close()
            await asyncio.wait_for(woken.wait(), 10)
        await until(lambda: not server._runs)


@pytest.mark.parametrize("leave", ["goes", "resets"])
@pytest.mark.parametrize("callback", CALLBACKS)
async def test_who_waits_for_anything_else_is_cancelled(
    callback: str, leave: str, at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(ws: ServerConnection, *args: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with listen(**{callback: wait}, open_timeout=None) as server:
        async with raw(server) as (_, writer):
            writer.write(UPGRADE)
            await begun.wait()

            LEAVING[leave](writer)

            await asyncio.wait_for(cancelled.wait(), 10)
        await until(lambda: not server._runs)

    text = "opening handshake failed: The client has gone (from 127.0.0.1:"
    (line,) = [each for each in lines(caplog) if each.startswith(text)]
    assert line.endswith(", /)")
    assert traces(caplog) == []


async def test_a_client_that_only_ended_its_own_direction_is_answered() -> None:
    begun = asyncio.Event()

    async def refuse(ws: ServerConnection, *args: Any) -> Any:
        begun.set()
        await ws.wait_closed()
        return ws.respond(403, "not you")

    async with listen(process_request=refuse) as server:
        async with raw(server) as (reader, writer):
            writer.write(UPGRADE)
            await begun.wait()
            writer.write_eof()

            assert (await reader.read()).startswith(b"HTTP/1.1 403 ")


async def test_a_client_that_ends_its_direction_with_the_request_is_served() -> None:
    seen: list[Any] = []

    async def slowly(ws: ServerConnection, *args: Any) -> None:
        await asyncio.sleep(0.05)

    async def handler(ws: ServerConnection) -> None:
        await ws.wait_closed()  # not done yet: TCP has not ended
        seen.append(ws.state.name)

    async with listen(handler, process_request=slowly, close_timeout=0.1) as server:
        async with raw(server) as (reader, writer):
            writer.write(UPGRADE)
            writer.write_eof()

            assert (await reader.read()).startswith(b"HTTP/1.1 101 ")
        await until(lambda: not server._runs)

    assert seen == ["CLOSED"]


@pytest.mark.parametrize("drain", [False, True])
@pytest.mark.parametrize("callback", CALLBACKS)
async def test_a_server_can_close_while_a_callback_waits_for_the_end(
    callback: str, drain: bool
) -> None:
    begun = asyncio.Event()

    async def wait(ws: ServerConnection, *args: Any) -> None:
        begun.set()
        await ws.wait_closed()

    server = await listen(**{callback: wait}, open_timeout=None)
    async with raw(server) as (reader, writer):
        writer.write(UPGRADE)
        await begun.wait()

        async with asyncio.timeout(10):
            if drain:
                await server.drain()
            else:
                await server.close()

        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")


async def test_clients_that_leave_before_their_request_leave_no_timers() -> None:
    async with listen() as server:
        loop = asyncio.get_running_loop()
        for _ in range(20):
            async with raw(server) as (_, writer):
                writer.write(UPGRADE[:20])
        await until(lambda: not server._runs)

        timers = [t for t in getattr(loop, "_scheduled", []) if not t.cancelled()]
        assert not [t for t in timers if "_interrupt" in repr(t)]
