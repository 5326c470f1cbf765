"""The page of patterns, editions 10.1 to 12.0: S18 to S22, on both sides."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import websockets as peer

from longwire import websockets
from tests.websockets.snippets.harness import (
    Sleep,
    block,
    connect,
    peer_serving,
    serving,
    until,
)

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

CONSUMER = """
    async def consumer_handler(websocket):
        async for message in websocket:
            await consumer(message)
    """
PRODUCER = """
    async def producer_handler(websocket):
        while True:
            message = await producer()
            await websocket.send(message)
    """
GATHER = """
    async def handler(websocket):
        await asyncio.gather(
            consumer_handler(websocket),
            producer_handler(websocket),
        )
    """
FIRST_COMPLETED = """
    async def handler(websocket):
        consumer_task = asyncio.create_task(consumer_handler(websocket))
        producer_task = asyncio.create_task(producer_handler(websocket))
        done, pending = await asyncio.wait(
            [consumer_task, producer_task],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in pending:
            task.cancel()
    """


class Work:
    """The business logic: what was consumed, what there is to produce."""

    def __init__(self):
        self.consumed = []
        self.products = asyncio.Queue()
        self.ended = []  # (what, exception) of handlers

    async def consumer(self, message):
        self.consumed.append(message)

    async def producer(self):
        return await self.products.get()

    def handlers(self):
        names = block(
            CONSUMER + PRODUCER, consumer=self.consumer, producer=self.producer
        )
        return names.consumer_handler, names.producer_handler

    def watched(self, handler):
        """The handler, with a note in ``ended`` of how it ended."""

        async def watch(websocket):
            try:
                await handler(websocket)
            except BaseException as exc:
                self.ended.append(exc)
                raise
            self.ended.append(None)

        return watch


async def test_s18_the_consumer_of_a_server_ends_when_the_client_leaves():
    work = Work()
    consumer_handler, _ = work.handlers()

    async with serving(work.watched(consumer_handler)) as uri:
        async with connect(uri) as websocket:
            await websocket.send("text")
            await websocket.send(b"bytes")
        await until(lambda: work.ended)

    assert work.consumed == ["text", b"bytes"]
    assert work.ended == [None]


async def test_s18_the_consumer_of_a_client_ends_when_the_server_leaves():
    work = Work()
    consumer_handler, _ = work.handlers()

    async def server(websocket):
        await websocket.send("text")
        await websocket.send(b"bytes")

    async with peer_serving(server) as uri:
        async with websockets.connect(uri) as websocket:
            await consumer_handler(websocket)

    assert work.consumed == ["text", b"bytes"]


async def test_s19_the_producer_of_a_server_ends_when_the_client_leaves():
    work = Work()
    _, producer_handler = work.handlers()
    work.products.put_nowait("text")
    work.products.put_nowait(b"bytes")

    async with serving(work.watched(producer_handler)) as uri:
        async with connect(uri) as websocket:
            assert await websocket.recv() == "text"
            assert await websocket.recv() == b"bytes"
        work.products.put_nowait("nobody gets this")
        await until(lambda: work.ended)

    assert isinstance(work.ended[0], websockets.ConnectionClosed)


async def test_s19_the_producer_of_a_client_ends_when_the_server_leaves():
    work = Work()
    _, producer_handler = work.handlers()
    work.products.put_nowait("text")
    received = []

    async def server(websocket):
        received.append(await websocket.recv())

    async with peer_serving(server) as uri:
        async with websockets.connect(uri) as websocket:
            producing = asyncio.create_task(producer_handler(websocket))
            await websocket.wait_closed()
            work.products.put_nowait("nobody gets this")
            with pytest.raises(websockets.ConnectionClosed):
                await producing

    assert received == ["text"]


def both(work, source):
    consumer_handler, producer_handler = work.handlers()
    return block(
        source, consumer_handler=consumer_handler, producer_handler=producer_handler
    ).handler


async def test_s20_gather_receives_and_sends_on_a_server():
    work = Work()
    handler = work.watched(both(work, GATHER))

    async with serving(handler) as uri:
        async with connect(uri) as websocket:
            work.products.put_nowait("down")
            assert await websocket.recv() == "down"
            await websocket.send("up")
        await until(lambda: work.consumed)
        # gather() does not cancel: the producer goes on until it sends.
        assert work.ended == []
        work.products.put_nowait("nobody gets this")
        await until(lambda: work.ended)

    assert work.consumed == ["up"]
    assert isinstance(work.ended[0], websockets.ConnectionClosed)


async def test_s20_gather_receives_and_sends_on_a_client():
    work = Work()
    handler = both(work, GATHER)
    received = []

    async def server(websocket):
        await websocket.send("down")
        received.append(await websocket.recv())

    work.products.put_nowait("up")
    async with peer_serving(server) as uri:
        async with websockets.connect(uri) as websocket:
            handling = asyncio.create_task(handler(websocket))
            await websocket.wait_closed()
            work.products.put_nowait("nobody gets this")
            with pytest.raises(websockets.ConnectionClosed):
                await handling

    assert (work.consumed, received) == (["down"], ["up"])


async def test_s21_the_first_task_to_end_ends_the_handler_of_a_server():
    work = Work()
    handler = work.watched(both(work, FIRST_COMPLETED))

    async with serving(handler) as uri:
        async with connect(uri) as websocket:
            work.products.put_nowait("down")
            assert await websocket.recv() == "down"
            await websocket.send("up")
        await until(lambda: work.ended)

    assert work.consumed == ["up"]
    assert work.ended == [None]


async def test_s21_a_producer_that_ends_closes_the_connection():
    async def producer_handler(websocket):
        await websocket.send("all there is")

    consumer_handler, _ = Work().handlers()
    names = block(
        FIRST_COMPLETED,
        consumer_handler=consumer_handler,
        producer_handler=producer_handler,
    )
    async with serving(names.handler) as uri, connect(uri) as websocket:
        assert [message async for message in websocket] == ["all there is"]

        assert websocket.close_code == 1000


async def test_s21_the_first_task_to_end_ends_the_handler_of_a_client():
    work = Work()
    handler = both(work, FIRST_COMPLETED)

    async def server(websocket):
        await websocket.send("down")
        await websocket.recv()

    async with peer_serving(server) as uri:
        async with websockets.connect(uri) as websocket:
            work.products.put_nowait("up")
            await handler(websocket)

    assert work.consumed == ["down"]


REGISTRATION = """
    connected = set()

    async def handler(websocket):
        # Register.
        connected.add(websocket)
        try:
            # Broadcast a message to all connected clients.
            websockets.broadcast(connected, "Hello!")
            await asyncio.sleep(10)
        finally:
            # Unregister.
            connected.remove(websocket)
    """


async def test_s22_registration_greets_everybody_on_a_server():
    clock = Sleep()
    names = block(REGISTRATION, asyncio=clock)

    async with serving(names.handler) as uri:
        async with connect(uri) as first:
            assert await first.recv() == "Hello!"
            async with connect(uri) as second:
                assert await first.recv() == await second.recv() == "Hello!"
                assert len(names.connected) == 2
                clock.end()
                await until(lambda: not names.connected)
                await first.wait_closed()
                await second.wait_closed()

    assert clock.asked == [10, 10]


async def test_s22_registration_greets_every_server_on_a_client():
    clock = Sleep()
    names = block(REGISTRATION, asyncio=clock)
    received = []

    async def server(websocket):
        with contextlib.suppress(peer.ConnectionClosed):
            async for message in websocket:
                received.append(message)

    async with peer_serving(server) as uri:
        async with (
            websockets.connect(uri) as first,
            websockets.connect(uri) as second,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(names.handler(first))
            tasks.create_task(names.handler(second))
            await until(lambda: received == ["Hello!"] * 3)
            clock.end()

    assert names.connected == set()
