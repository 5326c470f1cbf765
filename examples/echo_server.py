"""A server that sends every message back.

Try it: longwire connect ws://localhost:8765/
"""

import asyncio
import os

from longwire import ServerConnection, serve

PORT = int(os.environ.get("PORT", "8765"))


async def echo(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


async def main() -> None:
    async with serve(echo, "localhost", PORT) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
