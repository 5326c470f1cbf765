"""``send()`` in another event loop than the connection's: programs with threads do."""

from __future__ import annotations

import asyncio
import threading

import pytest

from longwire import ConcurrencyError, websockets
from tests.websockets.serving import port_of

SERVES = {
    "old": websockets.legacy.server.serve,
    "today's": websockets.asyncio.server.serve,
    "top level": websockets.serve,
}
CONNECTS = {
    "old": websockets.legacy.client.connect,
    "today's": websockets.asyncio.client.connect,
    "top level": websockets.connect,
}
each = pytest.mark.parametrize("kind", SERVES)


@each
@pytest.mark.parametrize(
    ("message", "received"),
    [("text", "text"), (b"bytes", b"bytes"), (["two ", "items"], "two items")],
)
async def test_the_loop_of_another_thread_sends(kind, message, received):
    async def handler(websocket, path=None):
        await asyncio.to_thread(asyncio.run, as_coroutine(websocket.send, message))
        await websocket.recv()

    async with SERVES[kind](handler, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{port_of(server)}"
        async with CONNECTS[kind](uri, proxy=None) as websocket:
            assert await asyncio.wait_for(websocket.recv(), 10) == received
            await asyncio.to_thread(asyncio.run, as_coroutine(websocket.send, message))
            await asyncio.wait_for(websocket.wait_closed(), 10)


@each
async def test_who_sends_from_elsewhere_is_told_of_the_end(kind):
    async def handler(websocket, path=None):
        await websocket.recv()

    async with SERVES[kind](handler, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{port_of(server)}"
        websocket = await CONNECTS[kind](uri, proxy=None)
        await websocket.close()
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.to_thread(asyncio.run, as_coroutine(websocket.send, "late"))


@each
def test_a_loop_that_does_not_run_cannot_send(kind):
    loop = asyncio.new_event_loop()
    failures = []

    async def hold(websocket, path=None):
        await websocket.wait_closed()

    async def opened():
        server = await SERVES[kind](hold, "127.0.0.1", 0)
        uri = f"ws://127.0.0.1:{port_of(server)}"
        return server, await CONNECTS[kind](uri, proxy=None)

    async def closed(server, websocket):
        await websocket.close()
        server.close()
        await server.wait_closed()

    def send(websocket):
        try:
            asyncio.run(as_coroutine(websocket.send, "text"))
        except ConcurrencyError as exc:
            failures.append(exc)

    server, websocket = loop.run_until_complete(opened())
    thread = threading.Thread(target=send, args=(websocket,))
    thread.start()
    thread.join(10)
    assert len(failures) == 1
    loop.run_until_complete(closed(server, websocket))
    loop.close()


async def as_coroutine(function, *args):
    return await function(*args)
