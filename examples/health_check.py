"""A server with a path for a load balancer: 200 while it serves, 503 while it drains.

Try it: curl -i http://localhost:8765/healthz
"""

import asyncio
import os

from longwire import ServerConnection, serve

PORT = int(os.environ.get("PORT", "8765"))


async def echo(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


async def main() -> None:
    async with serve(echo, "localhost", PORT, health="/healthz") as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
