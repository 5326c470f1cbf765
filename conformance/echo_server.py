"""The server under test: longwire answering every message with itself.

Prints its build and its port on the first line, then serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

import longwire
from longwire.build import BUILD

# Autobahn sends messages of 16 MiB, and 4 MiB in fragments of 64 bytes.
LIMITS = longwire.Limits(message=16 << 20, fragments=1 << 17)


async def echo(connection: longwire.ServerConnection) -> None:
    with contextlib.suppress(longwire.ConnectionClosed):
        async for message in connection:
            await connection.send(message)


async def main() -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    # Pings of ours would be counted by some cases, and a busy suite answers late.
    async with longwire.serve(
        echo, "127.0.0.1", 0, limits=LIMITS, ping_interval=None
    ) as server:
        port = server.sockets[0].getsockname()[1]
        print(BUILD, port, flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
