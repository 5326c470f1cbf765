"""PyPI's websockets as the peer of longwire.sync.

Its asyncio edition: its threads read and write one TLS object without a lock, which on
Python 3.11 and 3.12 loses a handshake now and then, with its own server as with ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve


async def _echo(ws):
    async for message in ws:
        await ws.send(message)


@contextlib.contextmanager
def other_server(**options):
    """Yield the port of its echo server, which has a thread and a loop of its own."""
    ready = threading.Event()
    port, ended, loop = 0, asyncio.Event(), asyncio.new_event_loop()

    async def main():
        nonlocal port
        async with serve(_echo, "127.0.0.1", 0, **options) as server:
            port = server.sockets[0].getsockname()[1]
            ready.set()
            await ended.wait()

    def run():
        with contextlib.closing(loop):
            loop.run_until_complete(main())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(20)
        yield port
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(20)
        assert not thread.is_alive()


def answers(uri, messages, ssl=None):
    """What comes back when its client sends ``messages`` one by one."""

    async def main():
        async with connect(uri, ssl=ssl, proxy=None, max_size=None) as ws:
            got = []
            for message in messages:
                await ws.send(message)
                got.append(await asyncio.wait_for(ws.recv(), 20))
            return got

    return asyncio.run(main())
