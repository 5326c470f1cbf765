"""A server that takes leave of its clients at SIGTERM or Ctrl-C, and exits with 0.

Each client gets a close frame with 1001 before the process ends.
"""

import asyncio
import os
import signal

from longwire import ServerConnection, serve

PORT = int(os.environ.get("PORT", "8765"))


async def echo(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


async def main() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    async with serve(echo, "localhost", PORT) as server:
        await stop.wait()
        print(f"closing {len(server.connections)} connections")
        await server.drain(timeout=10, reason="back in a moment")


if __name__ == "__main__":
    asyncio.run(main())
