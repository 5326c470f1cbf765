"""Sending without waiting: post(), has_room, on_room() and close_for()."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import longwire
from longwire import Cause, ConcurrencyError, ConnectionClosedError, LimitExceeded
from longwire.options import Limits


@contextlib.asynccontextmanager
async def pair(
    **options: Any,
) -> AsyncIterator[tuple[longwire.ServerConnection, longwire.ClientConnection]]:
    """Yield both ends of a connection; ``options`` are the server's."""
    arrived: asyncio.Queue[longwire.ServerConnection] = asyncio.Queue()

    async def hold(ws: longwire.ServerConnection) -> None:
        arrived.put_nowait(ws)
        await ws.wait_closed()

    options = {"compression": None, **options}  # what is sent takes its size
    async with longwire.serve(hold, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        uri = f"ws://127.0.0.1:{port}/"
        async with longwire.connect(uri, proxy=None, max_queue=2) as client:
            yield await arrived.get(), client


def fill(ws: longwire.ServerConnection) -> int:
    """Post until there is no room; return how many messages were posted."""
    count = 0
    while ws.has_room:
        assert ws.post(bytes([count % 256]) * 60_000)
        count += 1
    return count


async def test_posted_messages_arrive_in_order_and_as_what_they_are() -> None:
    async with pair() as (server, client):
        assert server.has_room
        assert server.post("text")
        assert server.post(b"binary")
        assert server.post(b"as text", True)
        await server.send("after them")

        received = [await client.recv() for _ in range(4)]

    assert received == ["text", b"binary", "as text", "after them"]


async def test_posting_does_not_wait_and_what_waits_leaves_in_order() -> None:
    async with pair(limits=Limits(unsent_bytes=None)) as (server, client):
        count = fill(server)
        for number in range(50):
            assert server.post(f"{number}")
        sending = asyncio.create_task(server.send("last"))
        received = [await client.recv() for _ in range(count + 51)]
        await sending

    assert received[count:] == [*map(str, range(50)), "last"]


async def test_on_room_is_called_once_there_is_room_again() -> None:
    async with pair(limits=Limits(unsent_bytes=None)) as (server, client):
        count = fill(server)
        called: list[bool] = []
        server.on_room(lambda: called.append(server.has_room))
        await asyncio.sleep(0)
        assert called == []

        for _ in range(count):
            await client.recv()
        async with asyncio.timeout(10):
            while not called:
                await asyncio.sleep(0.01)

    assert called == [True]


async def test_on_room_is_called_after_a_message_in_fragments() -> None:
    async with pair() as (server, client):
        go_on = asyncio.Event()

        async def fragments() -> AsyncIterator[str]:
            yield "a"
            await go_on.wait()
            yield "b"

        sending = asyncio.create_task(server.send(fragments()))
        async with asyncio.timeout(10):
            while server.has_room:
                await asyncio.sleep(0)
        called = asyncio.Event()
        server.on_room(called.set)
        assert server.post("posted meanwhile")
        go_on.set()
        await asyncio.wait_for(called.wait(), 10)
        await sending

        assert [await client.recv(), await client.recv()] == ["ab", "posted meanwhile"]


async def test_on_room_is_called_soon_where_there_is_room() -> None:
    async with pair() as (server, _):
        called: list[int] = []
        server.on_room(lambda: called.append(1))
        assert called == []
        await asyncio.sleep(0)
        assert called == [1]
        server._react()
        await asyncio.sleep(0)
        assert called == [1]


async def test_on_room_is_called_when_the_connection_ends() -> None:
    async with pair(limits=Limits(unsent_bytes=None)) as (server, client):
        fill(server)
        called = asyncio.Event()
        server.on_room(called.set)
        assert client.wire is not None
        client.wire.abort()
        await asyncio.wait_for(called.wait(), 10)

        assert not server.has_room
        assert not server.post("too late")


async def test_a_connection_for_which_too_much_waits_is_closed() -> None:
    async with pair(limits=Limits(unsent_bytes=200_000)) as (server, client):
        for _ in range(10_000):
            if not server.post(b"x" * 60_000):
                break
        else:
            pytest.fail("nothing bounded what waits")

        assert server.close_report is not None
        assert server.close_report.cause is Cause.LIMIT
        assert server.close_report.limit == "unsent_bytes"
        with pytest.raises(ConnectionClosedError):
            while True:
                await client.recv()


async def test_close_for_closes_with_the_code_of_the_error_and_reports_it() -> None:
    async with pair() as (server, client):
        error = LimitExceeded("too many subscriptions")
        error.limit, error.limit_value = "subscriptions", 10
        server.close_for(error)
        server.close_for(LimitExceeded("another"))

        with pytest.raises(ConnectionClosedError) as caught:
            await client.recv()

    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == error.code
    assert caught.value.rcvd.reason == "too many subscriptions"
    report = server.close_report
    assert report is not None
    assert (report.cause, report.error) == (Cause.LIMIT, error)
    assert (report.limit, report.limit_value) == ("subscriptions", 10)


async def test_messages_of_another_type_are_refused() -> None:
    async with pair() as (server, _):
        with pytest.raises(TypeError):
            server.post(["a", "b"])  # type: ignore[arg-type]


async def test_another_thread_is_refused() -> None:
    async with pair() as (server, _):
        for call in (lambda: server.post("x"), lambda: server.on_room(print)):
            with pytest.raises(ConcurrencyError):
                await asyncio.to_thread(call)
