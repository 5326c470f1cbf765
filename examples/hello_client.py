"""A client that says hello and prints the answer.

Start echo_server.py first.
"""

import asyncio
import os

from longwire import connect

PORT = int(os.environ.get("PORT", "8765"))


async def main() -> None:
    async with connect(f"ws://localhost:{PORT}/") as websocket:
        await websocket.send("hello")
        print(await websocket.recv())


if __name__ == "__main__":
    asyncio.run(main())
