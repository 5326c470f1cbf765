"""The WebSocket server: run as many as there is need for."""

import asyncio
import os

from topics import make_hub

from longwire import rpc


async def main() -> None:
    hub, server = make_hub(), rpc.Server()
    hub.install(server)
    port = int(os.environ.get("PORT", "8765"))
    async with hub, server.serve("localhost", port) as listening:
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
