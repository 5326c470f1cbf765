"""A server at its defaults, under attack by tests/hostile/test_memory.py.

Reads commands: ``broadcast COUNT SIZE`` to all who listen, ``report``, which is
answered with the process's memory in bytes, what the connections say they take, and
their number; the end of its input ends it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path

import longwire


def resident() -> int:
    """Return the bytes of memory that the process takes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def handle(ws: longwire.ServerConnection) -> None:
    path = ws.request.path if ws.request is not None else "/"
    if path == "/echo":
        async for message in ws:
            await ws.send(message)
    elif path == "/wait":
        await ws.recv()  # the rest of a message that never ends
    else:
        await ws.wait_closed()


async def main() -> None:
    loop = asyncio.get_running_loop()
    async with longwire.serve(handle, "127.0.0.1", 0, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            verb, *numbers = line.split()
            if verb == "broadcast":
                count, size = map(int, numbers)
                for _ in range(count):
                    longwire.broadcast(server.connections, os.urandom(size))
                    await asyncio.sleep(0)
            gc.collect()
            told = sum(ws._memory for ws in server.connections)
            print(resident(), told, len(server.connections), flush=True)


asyncio.run(main())
