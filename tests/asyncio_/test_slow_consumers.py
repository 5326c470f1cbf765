"""Broadcasts to real clients that do not read, by each policy."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from typing import Any

import pytest
from tests.asyncio_.serving import connected, until
from tests.asyncio_.test_broadcast import audience

from longwire import (
    BroadcastResult,
    ConcurrencyError,
    Limits,
    broadcast,
    broadcast_wait,
)

# Kernels keep some megabytes for a connection before they are slow.
PADDING = "x" * 65536
MANY = 300


def numbered(n: int) -> str:
    return f"{n} {PADDING}"


def number_of(message: Any) -> int:
    return int(str(message).split(" ", 1)[0])


def narrow(*connections: Any) -> None:
    """Let the kernel keep little for them, however long it has time to take more."""
    for each in connections:
        sock = each.transport.get_extra_info("socket")
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 1 << 16)


async def flood(ws: Any, **how: Any) -> int:
    """Broadcast many messages to one who does not read; return how many waited."""
    waited = 0
    for n in range(MANY):
        waited += broadcast([ws], numbered(n), **how).waiting
        await asyncio.sleep(0)
    return waited


async def read_until(client: Any, *last: int) -> list[int]:
    """Return the numbers of the messages up to the one that completes ``last``."""
    numbers: list[int] = []
    async with asyncio.timeout(30):
        while not set(last) <= set(numbers):
            numbers.append(number_of(await client.recv()))
    return numbers


async def test_the_oldest_are_dropped_and_the_rest_comes_in_order() -> None:
    limits = Limits(slow="drop_oldest", unsent_messages=10)
    async with audience(1, compression=None, limits=limits) as (server, (client,)):
        (ws,) = server.connections
        assert await flood(ws) > 10

        numbers = await read_until(client, MANY - 1)

        assert numbers == sorted(set(numbers))
        assert numbers[-10:] == list(range(MANY - 10, MANY))
        assert ws.dropped == MANY - len(numbers) > 0
    assert ws.close_report.messages_dropped == ws.dropped


async def test_dropping_leaves_a_compressed_stream_whole() -> None:
    noise = random.Random(7).randbytes(1 << 15).hex()  # half of it is left
    async with audience(2, compression="fast") as (server, (slow, fast)):
        everybody = list(server.connections)
        for n in range(MANY):
            broadcast(everybody, f"{n} {noise}", slow="drop_oldest")
            assert number_of(await fast.recv()) == n

        numbers = await read_until(slow, MANY - 1)

        assert numbers == sorted(set(numbers))
        assert sum(ws.dropped for ws in everybody) == MANY - len(numbers) > 0


async def test_only_the_latest_waits_for_each_key() -> None:
    async with audience(1, compression=None) as (server, (client,)):
        (ws,) = server.connections
        for n in range(MANY):
            broadcast([ws], numbered(n), slow="latest_only", key=n % 2)

        numbers = await read_until(client, MANY - 2, MANY - 1)

        # Up to where the kernel was full all came, then the last of each key. Which
        # key was first to wait, and so leaves first, depends on the kernel's buffers.
        assert set(numbers[-2:]) == {MANY - 2, MANY - 1}
        assert numbers[:-2] == list(range(len(numbers) - 2))
        assert ws.dropped == MANY - len(numbers) > 0


async def test_send_comes_after_what_was_broadcast_before_and_before_the_rest() -> None:
    async with audience(1, compression=None) as (server, (client,)):
        (ws,) = server.connections
        narrow(ws, client)
        await flood(ws, slow="drop_oldest")

        async def send_then_broadcast() -> None:
            await ws.send(f"{MANY} sent")
            for n in range(MANY + 1, 2 * MANY):
                broadcast([ws], numbered(n), slow="drop_oldest")

        sending = asyncio.create_task(send_then_broadcast())
        await asyncio.sleep(0.05)
        assert not sending.done()

        numbers = await read_until(client, 2 * MANY - 1)
        await sending

        assert numbers == sorted(numbers)
        assert MANY in numbers
        assert ws.dropped == 2 * MANY - len(numbers) > 0


async def test_send_gets_its_turn_however_much_is_broadcast() -> None:
    async with audience(1, compression=None) as (server, (client,)):
        (ws,) = server.connections
        narrow(ws, client)
        await flood(ws, slow="drop_oldest")
        sending = asyncio.create_task(ws.send("-1 sent"))

        async def go_on() -> None:
            for n in range(MANY, 100 * MANY):
                broadcast([ws], numbered(n), slow="drop_oldest")
                await asyncio.sleep(0)

        broadcasting = asyncio.create_task(go_on())
        numbers = await read_until(client, -1)
        await sending

        assert not broadcasting.done()
        assert numbers[:-1] == sorted(numbers[:-1])
        broadcasting.cancel()
        client.transport.abort()


async def test_what_waits_arrives_before_the_close_frame() -> None:
    async with audience(1, compression=None) as (server, (client,)):
        (ws,) = server.connections
        narrow(ws, client)
        await flood(ws, slow="drop_oldest")
        closing = asyncio.create_task(ws.close(4001, "enough"))

        numbers = await read_until(client, MANY - 1)

        await client.wait_closed()
        assert client.close_code == 4001
        await closing
        assert ws.dropped == MANY - len(numbers) > 0


async def test_what_became_of_it_is_counted() -> None:
    async with audience(2) as (server, clients):
        everybody = list(server.connections)
        assert broadcast(everybody, "hello") == BroadcastResult(sent=2)
        await clients[0].close()
        await until(lambda: len(server.connections) == 1)

        assert broadcast(everybody, "hello") == BroadcastResult(sent=1, skipped=1)


async def test_a_key_needs_its_policy() -> None:
    with pytest.raises(ValueError, match="latest_only"):
        broadcast([], "hello", slow="drop_oldest", key="a")
    with pytest.raises(TypeError):
        broadcast([], "hello", key=[])
    with pytest.raises(ValueError, match="'disconnect', 'drop_oldest', 'latest_only'"):
        broadcast([], "hello", slow="block")
    assert broadcast([], "hello", key="a") == BroadcastResult()


# --- waiting ---


async def test_broadcast_wait_waits_for_the_slow() -> None:
    async with audience(2, compression=None) as (server, (slow, fast)):
        everybody = list(server.connections)

        async def publish() -> int:
            sent = 0
            for n in range(MANY):
                sent += (await broadcast_wait(everybody, numbered(n))).sent
            return sent

        reading = asyncio.create_task(read_until(fast, MANY - 1))
        publishing = asyncio.create_task(publish())
        await asyncio.sleep(0.3)
        assert not publishing.done()

        assert await read_until(slow, MANY - 1) == list(range(MANY))
        assert await reading == list(range(MANY))
        assert await publishing == 2 * MANY


async def test_broadcast_wait_leaves_out_who_is_late() -> None:
    async with audience(2, compression=None) as (server, (slow, fast)):
        everybody = list(server.connections)
        blocked = None
        async with asyncio.timeout(30):
            while blocked is None:
                result = await broadcast_wait(everybody, PADDING, timeout=0.2)
                assert await fast.recv() == PADDING
                if result.refused:
                    blocked = result

        assert (blocked.sent, blocked.refused) == (1, 1)
        assert sorted(ws.dropped for ws in everybody) == [0, 1]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while True:
                    assert await slow.recv() == PADDING
        assert (await broadcast_wait(everybody, "again", timeout=5)).sent == 2


async def test_broadcast_wait_skips_who_leaves_meanwhile() -> None:
    async with audience(1, compression=None) as (server, (client,)):
        (ws,) = server.connections
        await flood(ws, slow="drop_oldest")
        waiting = asyncio.create_task(broadcast_wait([ws], "late"))
        await asyncio.sleep(0)
        client.transport.abort()

        assert await waiting == BroadcastResult(skipped=1)


async def test_broadcast_wait_is_for_one_event_loop() -> None:
    async with audience(1) as (server, _):

        async def elsewhere() -> None:
            await broadcast_wait(server.connections, "hello")

        with pytest.raises(ConcurrencyError):
            await asyncio.to_thread(asyncio.run, elsewhere())


async def test_clients_may_be_slow_in_a_crowd() -> None:
    """One that does not read costs the others nothing, and no memory each."""
    async with audience(3, compression=None) as (server, clients):
        for n in range(MANY):
            broadcast(server.connections, numbered(n), slow="drop_oldest")
            for client in clients[:2]:
                assert number_of(await client.recv()) == n
        late = await connected(server, compression=None)
        await until(lambda: len(server.connections) == 4)
        broadcast(server.connections, numbered(MANY), slow="drop_oldest")

        assert number_of(await late.recv()) == MANY
        assert (await read_until(clients[2], MANY))[-1] == MANY
        await late.close()
