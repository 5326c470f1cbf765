"""What the programs for other packages talk to: servers made with longwire itself.

The package under test has the library that is tried; these have ``longwire``, so that
they are the same in both runs.
"""

import asyncio
import contextlib
import json
import socket

import longwire

SECONDS = 30


def run(coroutine):
    """Run a test to its end, and fail it when it does not come."""

    async def in_time():
        return await asyncio.wait_for(coroutine, SECONDS)

    return asyncio.run(in_time())


@contextlib.asynccontextmanager
async def serving(handler, **options):
    """Serve a handler; gives the address as ``ws://127.0.0.1:PORT``."""
    async with longwire.serve(handler, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


async def messages(websocket):
    """Give the JSON of each message until the peer has left."""
    async for message in websocket:
        yield json.loads(message)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def until_open(port):
    """Wait until something listens at a port of this machine."""
    for _ in range(SECONDS * 20):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError(f"nothing listens at port {port}")


async def until(happened, what="it"):
    for _ in range(SECONDS * 50):
        if happened():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{what} did not happen")
