"""Broadcasts and messages from threads other than the event loop's."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.asyncio_.serving import connected, until
from tests.asyncio_.test_broadcast import audience

from longwire import (
    BroadcastResult,
    ConcurrencyError,
    ConnectionClosed,
    InvalidState,
    broadcast,
    serve,
)
from longwire.asyncio import threads
from longwire.asyncio.server import ServerConnection


async def in_threads(*calls: Any) -> None:
    await asyncio.gather(*(asyncio.to_thread(call) for call in calls))


async def test_a_thread_can_broadcast() -> None:
    async with audience(2) as (server, clients):
        everybody = list(server.connections)

        result = await asyncio.to_thread(broadcast, everybody, "from a thread")

        assert result == BroadcastResult(elsewhere=2)
        for client in clients:
            assert await client.recv() == "from a thread"


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_each_threads_messages_come_in_order(compression: Any) -> None:
    async with audience(2, compression=compression) as (server, clients):
        everybody = list(server.connections)

        def work(name: str) -> None:
            for n in range(300):
                broadcast(everybody, f"{name} {n}")

        async def read(client: Any) -> dict[str, list[int]]:
            got = defaultdict(list)
            for _ in range(900):
                name, n = (await client.recv()).split()
                got[name].append(int(n))
            return got

        reading = [asyncio.create_task(read(client)) for client in clients]
        await in_threads(*(lambda name=name: work(name) for name in "abc"))

        for got in await asyncio.gather(*reading):
            assert got == {name: list(range(300)) for name in "abc"}


async def wait_open(ws: ServerConnection) -> None:
    await ws.wait_closed()


class Elsewhere:
    """A server on an event loop of its own thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = self.run(self._serve())

    async def _serve(self) -> Any:
        return await serve(wait_open, "127.0.0.1", 0)

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def _close(self) -> None:
        self.server.close()
        await self.server.wait_closed()

    def close(self) -> None:
        self.run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def other() -> Iterator[Elsewhere]:
    elsewhere = Elsewhere()
    yield elsewhere
    elsewhere.close()


async def test_one_broadcast_reaches_connections_of_several_loops(
    other: Elsewhere,
) -> None:
    async with audience(2) as (server, clients):
        far = await connected(other.server)
        await until(lambda: len(other.server.connections) == 1)
        everybody = [*server.connections, *other.server.connections]

        for n in range(20):
            result = broadcast(everybody, f"to all {n}")
            assert result == BroadcastResult(sent=2, elsewhere=1)

        for client in [*clients, far]:
            assert [await client.recv() for _ in range(20)] == [
                f"to all {n}" for n in range(20)
            ]
        await far.close()


async def test_connections_of_a_closed_loop_are_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    async with audience(1) as (server, _):
        (ws,) = server.connections
        with monkeypatch.context() as patched:
            patched.setattr(ws, "_loop", closed)

            assert broadcast([ws], "anyone?") == BroadcastResult(skipped=1)
            with pytest.raises(RuntimeError):
                ws.send_threadsafe("anyone?").result(5)


async def test_a_thread_waits_while_too_much_waits_for_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "PENDING", 10)
    done: list[int] = []
    async with audience(1) as (server, (client,)):
        everybody = list(server.connections)
        # A mailbox of this test's, with the bound of this test.
        threads.Mailbox._boxes.pop(asyncio.get_running_loop(), None)

        def work() -> None:
            for n in range(50):
                broadcast(everybody, str(n))
                done.append(n)

        thread = threading.Thread(target=work)
        thread.start()
        # The loop does nothing meanwhile, so nothing is taken from the mailbox.
        while len(done) < 10:
            thread.join(0.01)
        thread.join(0.2)
        assert len(done) == 10

        assert [int(await client.recv()) for _ in range(50)] == list(range(50))
        await asyncio.to_thread(thread.join)
    threads.Mailbox._boxes.pop(asyncio.get_running_loop(), None)


async def test_a_loop_is_not_made_to_wait_for_another(
    other: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "PENDING", 10)
    client = await connected(other.server)
    await until(lambda: len(other.server.connections) == 1)
    (ws,) = other.server.connections
    release = threading.Event()
    other.loop.call_soon_threadsafe(release.wait)

    results = [broadcast([ws], str(n)) for n in range(12)]
    with pytest.raises(ExceptionGroup) as caught:
        broadcast([ws], "one more", raise_exceptions=True)
    release.set()

    assert [result.elsewhere for result in results] == [1] * 10 + [0] * 2
    assert [result.failed for result in results] == [0] * 10 + [1] * 2
    assert isinstance(caught.value.exceptions[0], ConcurrencyError)
    assert [await client.recv() for _ in range(10)] == [str(n) for n in range(10)]
    await client.close()


# --- send_threadsafe ---


async def test_a_thread_can_send() -> None:
    async with audience(1) as (server, (client,)):
        (ws,) = server.connections

        def work() -> list[None]:
            futures = [
                ws.send_threadsafe("text"),
                ws.send_threadsafe(b"bytes"),
                ws.send_threadsafe(b"as text", text=True),
                ws.send_threadsafe(["frag", "ments"], compress=False),
            ]
            return [future.result(10) for future in futures]

        assert await asyncio.to_thread(work) == [None] * 4
        assert [await client.recv() for _ in range(4)] == [
            *("text", b"bytes", "as text", "fragments")
        ]


async def test_what_threads_send_comes_in_order_to_a_slow_reader() -> None:
    async with audience(1, compression=None) as (server, (client,)):
        (ws,) = server.connections
        padding = "x" * 65536

        def work(name: str) -> None:
            for n in range(100):
                ws.send_threadsafe(f"{name} {n} {padding}")

        working = asyncio.create_task(
            in_threads(*(lambda name=name: work(name) for name in "ab"))
        )
        await asyncio.sleep(0.2)
        got = defaultdict(list)
        for _ in range(200):
            name, n, _ = (await client.recv()).split()
            got[name].append(int(n))
        await working

        assert got == {name: list(range(100)) for name in "ab"}


async def test_the_future_has_what_send_raises() -> None:
    async with audience(1) as (server, (client,)):
        (ws,) = server.connections
        wrong = ws.send_threadsafe(3)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await asyncio.wrap_future(wrong)
        await client.close()
        await until(lambda: ws.close_report is not None)

        late = ws.send_threadsafe("late")

        with pytest.raises(ConnectionClosed):
            await asyncio.wrap_future(late)


async def test_a_cancelled_future_is_not_sent() -> None:
    async with audience(1) as (server, (client,)):
        (ws,) = server.connections
        futures = [ws.send_threadsafe(str(n)) for n in range(3)]
        assert futures[1].cancel()

        assert [await client.recv() for _ in range(2)] == ["0", "2"]
        assert not futures[2].cancel()


async def test_messages_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PENDING", 5)
    async with audience(1) as (server, (client,)):
        (ws,) = server.connections
        for n in range(5):
            ws.send_threadsafe(str(n))

        with pytest.raises(ConcurrencyError, match="5 messages wait"):
            ws.send_threadsafe("one more")

        assert [await client.recv() for _ in range(5)] == ["0", "1", "2", "3", "4"]
        ws.send_threadsafe("again")
        assert await client.recv() == "again"


async def test_what_waits_when_the_connection_ends_fails() -> None:
    async with audience(1, compression=None, close_timeout=1) as (server, (client,)):
        (ws,) = server.connections
        futures = [ws.send_threadsafe(b"x" * 1_000_000) for _ in range(50)]
        await until(lambda: not ws._live.writable)
        closing = asyncio.create_task(ws.close())

        def outcomes() -> list[BaseException | None]:
            concurrent.futures.wait(futures, 10)
            return [future.exception(0) for future in futures]

        found = await asyncio.to_thread(outcomes)

        assert found[0] is None
        assert isinstance(found[-1], ConnectionClosed)
        client.transport.abort()
        await closing


async def test_before_the_handshake_nothing_can_be_sent() -> None:
    refused: list[Exception] = []

    def process_request(ws: ServerConnection, request: Any) -> None:
        try:
            ws.send_threadsafe("too early")
        except InvalidState as exc:
            refused.append(exc)

    async with audience(1, process_request=process_request):
        assert len(refused) == 1


async def fragments() -> AsyncIterator[str]:
    yield "asyn"
    yield "chronous"


async def test_asynchronous_fragments_can_be_sent_too() -> None:
    async with audience(1) as (server, (client,)):
        (ws,) = server.connections

        ws.send_threadsafe(fragments())

        assert await client.recv() == "asynchronous"
