"""How the asyncio server closes and drains."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.asyncio_.serving import (
    UPGRADE,
    ask,
    closed,
    connected,
    lines,
    listen,
    raw,
    until,
    uri_of,
    wait,
)
from websockets.asyncio.client import connect

import longwire
from longwire.asyncio.server import ServerConnection

# --- closing ------------------------------------------------------------------


async def test_close_tells_handlers_and_peers() -> None:
    told: list[Any] = []

    async def handler(ws: ServerConnection) -> None:
        try:
            await ws.recv()
        except longwire.ConnectionClosed as exc:
            told.append((exc.sent and exc.sent.code, exc.rcvd and exc.rcvd.code))

    async with listen(handler) as server:
        clients = [await connected(server) for _ in range(3)]
        await until(lambda: len(server.connections) == 3)

        server.close(code=1012, reason="back soon")
        assert not server.is_serving()
        assert server.connections == set()
        await server.wait_closed()

    assert [await closed(c) for c in clients] == [(1012, "back soon")] * 3
    assert told == [(1012, 1012)] * 3


async def test_close_may_be_awaited_and_repeated() -> None:
    server = await listen(wait)
    client = await connected(server)

    await server.close()
    await server.close()

    assert await closed(client) == (1001, "")


async def test_close_may_leave_connections_open() -> None:
    async with listen() as server:
        uri = uri_of(server)
        client = await connected(server)

        server.close(close_connections=False)

        await client.send("still here")
        assert await client.recv() == "still here"
        with pytest.raises(OSError):
            await connect(uri, proxy=None)
        await client.close()
        await server.wait_closed()


async def test_wait_closed_waits_for_handlers() -> None:
    done: list[bool] = []

    async def handler(ws: ServerConnection) -> None:
        await ws.wait_closed()
        await asyncio.sleep(0.1)
        done.append(True)

    async with listen(handler) as server:
        client = await connected(server)
        await until(lambda: server.connections)

    assert done == [True]
    await client.wait_closed()


@pytest.mark.parametrize("sent", [b"", UPGRADE[:40]])
async def test_handshakes_under_way_at_close_get_503(sent: bytes) -> None:
    async with listen() as server, raw(server) as (reader, writer):
        writer.write(sent)
        await until(lambda: server._runs)
        await asyncio.sleep(0.02)

        server.close()

        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert answer.endswith(b"\r\n\r\nServer is shutting down.\n")


async def test_a_server_that_was_never_started_can_be_closed() -> None:
    server = listen()

    server.close()

    await server.wait_closed()


async def test_a_peer_that_never_answers_does_not_hold_up_the_end() -> None:
    async with listen(wait, close_timeout=0.2) as server, raw(server) as (_, writer):
        writer.write(UPGRADE)
        await until(lambda: server.connections)

        async with asyncio.timeout(10):
            await server.close()


async def test_serve_forever_ends_with_close() -> None:
    server = await listen(wait)
    task = asyncio.create_task(server.serve_forever())
    client = await connected(server)

    server.close()

    await task
    assert await closed(client) == (1001, "")


async def test_cancelling_serve_forever_closes() -> None:
    server = await listen(wait)
    task = asyncio.create_task(server.serve_forever())
    client = await connected(server)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await closed(client) == (1001, "")
    assert not server.is_serving()


# --- draining -----------------------------------------------------------------


async def test_drain_closes_in_batches() -> None:
    async with listen(wait) as server:
        clients = [await connected(server) for _ in range(5)]
        await until(lambda: len(server.connections) == 5)

        drained = asyncio.create_task(
            server.drain(batch=2, interval=0.2, code=1012, reason="move")
        )
        await asyncio.sleep(0.05)
        assert len(server.connections) == 3
        assert not server.is_serving()
        await drained

        assert [await closed(c) for c in clients] == [(1012, "move")] * 5


async def test_drain_answers_late_requests_with_503() -> None:
    async with listen(wait, health="/healthz") as server:
        clients = [await connected(server) for _ in range(2)]
        async with raw(server) as (reader, writer), raw(server) as (probe, asking):
            await until(lambda: len(server._runs) == 4)
            drained = asyncio.create_task(server.drain(batch=1, interval=0.5))
            await asyncio.sleep(0.02)

            writer.write(UPGRADE)
            asking.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")

            assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
            assert (await probe.read()).startswith(b"HTTP/1.1 503 ")
            await drained
        for client in clients:
            await client.wait_closed()


async def test_who_comes_while_draining_gets_503() -> None:
    release = asyncio.Event()

    async def slow(ws: ServerConnection) -> None:
        await release.wait()

    async with listen(slow, health="/healthz") as server:
        client = await connected(server)
        await until(lambda: server.connections)
        port = server.sockets[0].getsockname()[1]
        drained = asyncio.create_task(server.drain())
        await asyncio.sleep(0.02)

        healthz = await ask(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        late = await ask(server, UPGRADE)

        assert healthz.startswith(b"HTTP/1.1 503 ")
        assert late.startswith(b"HTTP/1.1 503 ")
        assert not drained.done()
        release.set()
        await drained
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        await client.wait_closed()


async def test_drain_may_leave_the_port_to_the_next_server_at_once() -> None:
    release = asyncio.Event()

    async def slow(ws: ServerConnection) -> None:
        await release.wait()

    async with listen(slow) as server:
        client = await connected(server)
        await until(lambda: server.connections)
        port = server.sockets[0].getsockname()[1]
        drained = asyncio.create_task(server.drain(keep_listening=False))
        await asyncio.sleep(0.02)

        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        assert not drained.done()
        release.set()
        await drained
        await client.wait_closed()


async def test_a_code_that_cannot_be_sent_closes_nothing() -> None:
    async with listen(wait) as server:
        with pytest.raises(longwire.InvalidClose, match="close code 1006"):
            server.close(code=1006)
        with pytest.raises(longwire.InvalidClose, match="close code 1006"):
            await server.drain(code=1006)

        assert server.is_serving()


async def test_a_refused_connection_is_closed() -> None:
    kept: list[ServerConnection] = []

    def refuse(ws: ServerConnection, request: longwire.Request) -> longwire.Response:
        kept.append(ws)
        return ws.respond(403, "no")

    async with listen(wait, process_request=refuse) as server:
        await ask(server, UPGRADE)

        async with asyncio.timeout(10):
            await kept[0].wait_closed()
        assert kept[0].state is longwire.State.CLOSED


async def test_a_client_that_leaves_before_its_answer_is_closed() -> None:
    asked = asyncio.Event()
    states: asyncio.Queue[longwire.State] = asyncio.Queue()

    async def look(ws: ServerConnection, request: longwire.Request) -> None:
        asked.set()
        await ws.wait_closed()
        states.put_nowait(ws.state)

    async with listen(wait, process_request=look) as server:
        async with asyncio.timeout(10):
            port = server.sockets[0].getsockname()[1]
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(UPGRADE)
            await asked.wait()
            writer.close()
            assert await states.get() is longwire.State.CLOSED


async def test_drain_cuts_off_what_takes_too_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def stubborn(ws: ServerConnection) -> None:
        await asyncio.sleep(60)

    async with listen(stubborn, close_timeout=60) as server, raw(server) as (_, writer):
        writer.write(UPGRADE)
        await until(lambda: server.connections)

        async with asyncio.timeout(10):
            await server.drain(timeout=0.2)

        assert not server._runs
    assert "cut off 1 connections" in lines(caplog, logging.WARNING)[0]


async def test_drain_needs_a_batch() -> None:
    async with listen() as server:
        with pytest.raises(ValueError, match="batch is 0"):
            await server.drain(batch=0)

        assert server.is_serving()
