"""The contract of the asyncio front end in words of asyncio: tasks, futures, loops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

import longwire
from longwire import (
    ClientConnection,
    ConnectionClosedError,
    ConnectionClosedOK,
    Server,
    ServerConnection,
)


@contextlib.asynccontextmanager
async def pair(
    **options: Any,
) -> AsyncIterator[tuple[ServerConnection, ClientConnection]]:
    """Yield both ends of a connection; ``options`` are the server's."""
    arrived: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def hold(ws: ServerConnection) -> None:
        arrived.put_nowait(ws)
        await ws.wait_closed()

    async with longwire.serve(hold, "127.0.0.1", 0, **options) as server:
        async with connected(server) as client:
            yield await arrived.get(), client


def connected(server: Server, **options: Any) -> longwire.connect:
    port = server.sockets[0].getsockname()[1]
    return longwire.connect(f"ws://127.0.0.1:{port}/", proxy=None, **options)


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


def test_servers_and_clients_can_be_made_with_no_loop_running() -> None:
    server = longwire.serve(echo, "127.0.0.1", 0)

    async def main() -> Any:
        async with server:
            async with connected(server) as client:
                await client.send("hello")
                return await client.recv()

    assert asyncio.run(main()) == "hello"


async def test_wait_for_in_a_loop_loses_nothing() -> None:
    async with pair() as (server, client):

        async def send_now_and_then() -> None:
            for number in range(50):
                await client.send(str(number))
                if number % 7 == 0:
                    await asyncio.sleep(0.01)

        sending = asyncio.create_task(send_now_and_then())
        received: list[Any] = []
        while len(received) < 50:
            try:
                received.append(await asyncio.wait_for(server.recv(), 0.002))
            except TimeoutError:
                pass  # that is what is tried here: again, with nothing lost
        await sending

    assert received == [str(number) for number in range(50)]


async def test_a_recv_cancelled_with_its_message_there_leaves_it() -> None:
    async with pair() as (server, _):
        for _ in range(50):
            receiving = asyncio.create_task(server.recv())
            await asyncio.sleep(0)

            # Read while a task is running, so that the receiver cannot run at once.
            server.feed(b"\x81\x85\x00\x00\x00\x00hello")
            assert server._session.has_message  # type: ignore[union-attr]
            receiving.cancel()

            with pytest.raises(asyncio.CancelledError):
                await receiving
            assert await server.recv() == "hello"


async def test_the_slower_of_two_waits_can_be_cancelled() -> None:
    async with pair() as (server, client):
        for number in range(20):
            other = asyncio.create_task(asyncio.sleep(0.001 * (number % 3)))
            receiving = asyncio.create_task(server.recv())
            if number % 2:
                await client.send(str(number))
            _, pending = await asyncio.wait(
                {other, receiving}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in pending:
                task.cancel()
            await asyncio.wait({other, receiving})
            if number % 2:
                if receiving.cancelled():
                    assert await server.recv() == str(number)
                else:
                    assert receiving.result() == str(number)


async def test_recv_works_in_gather_timeout_and_task_groups() -> None:
    async with pair() as (server, client):
        await asyncio.gather(client.send("one"), server.send("two"))
        assert await asyncio.gather(server.recv(), client.recv()) == ["one", "two"]

        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            receiving = group.create_task(server.recv())
            await client.send("three")
        assert receiving.result() == "three"


async def test_cancelling_a_sender_does_not_tear_its_message() -> None:
    async with pair(ping_interval=None) as (server, client):
        sending = asyncio.create_task(server.send(b"x" * (1 << 20)))
        await asyncio.sleep(0)
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        await server.send("next")

        assert await client.recv() == b"x" * (1 << 20)
        assert await client.recv() == "next"


async def test_cancelling_close_still_closes() -> None:
    async with pair() as (server, client):
        closing = asyncio.create_task(server.close(4000, "cancelled"))
        await asyncio.sleep(0)
        closing.cancel()

        with pytest.raises(ConnectionClosedError):
            await client.recv()
        await server.wait_closed()

        assert server.close_code == 4000


async def test_asynchronous_iterables_are_sent_as_they_come() -> None:
    async with pair() as (server, client):
        step = asyncio.Event()

        async def words() -> AsyncIterator[str]:
            yield "one "
            yield "two "
            await step.wait()
            yield "three"

        sending = asyncio.create_task(server.send(words()))
        received = []
        async for piece in client.recv_streaming():
            received.append(piece)
            if len(received) == 1:
                step.set()
        await sending

    assert "".join(map(str, received)) == "one two three"
    assert len(received) > 1


async def test_iterating_twice_goes_on_where_it_stopped() -> None:
    async with pair() as (server, client):
        for number in range(4):
            await client.send(str(number))
        received = []
        async for message in server:
            received.append(message)
            if len(received) == 2:
                break
        await client.close()
        received += [message async for message in server]

    assert received == ["0", "1", "2", "3"]


async def test_a_closed_connection_can_be_asked_again_and_again() -> None:
    async with pair() as (server, client):
        await client.close(1000, "bye")

        for _ in range(3):
            with pytest.raises(ConnectionClosedOK) as caught:
                await server.recv()
            assert caught.value.report is server.close_report
        assert [message async for message in server] == []


async def test_there_is_no_task_for_keepalive() -> None:
    async with pair(ping_interval=0.05) as (server, client):
        before = len(asyncio.all_tasks())
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(connected(server.server))
            await asyncio.sleep(0.2)

            # One for each handler, and none for any client.
            assert len(asyncio.all_tasks()) - before == 20
            assert server.latency > 0
        assert client.close_code is None


async def test_a_handler_that_blocks_the_loop_loses_no_connection() -> None:
    async with pair(ping_interval=0.1, ping_timeout=0.3) as (server, client):
        for _ in range(2):
            await asyncio.sleep(0.25)
            time.sleep(0.8)

        await client.send("alive")

        assert await server.recv() == "alive"
        assert server.close_report is None


async def test_two_hundred_connections_leave_nothing_behind() -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    async def handler(ws: ServerConnection) -> None:
        alive.add(ws)
        await echo(ws)

    async def visit(server: Server, number: int) -> None:
        ws = await connected(server)
        alive.add(ws)
        await ws.send(str(number))
        assert await ws.recv() == str(number)
        if number % 3 == 0:
            ws.transport.abort()
        elif number % 3 == 1:
            await ws.ping()
            await ws.close()
        else:
            await ws.close(4000, "x")

    async with longwire.serve(handler, "127.0.0.1", 0) as server:
        await visit(server, 1)
        await until(lambda: not server._runs)
        tasks, files = len(asyncio.all_tasks()), count_files()
        for batch in range(10):
            await asyncio.gather(*(visit(server, 20 * batch + n) for n in range(20)))

        await until(lambda: not server._runs)
        assert len(asyncio.all_tasks()) == tasks
        await until(lambda: count_files() == files)
        await until(lambda: not gc.collect() and not alive)
        assert not server._admission.addresses


def count_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def until(condition: Any) -> None:
    """Wait until ``condition()`` holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
