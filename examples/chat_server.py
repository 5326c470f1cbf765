"""A chat: what one client sends, all clients get.

Try it in several terminals: longwire connect ws://localhost:8765/
"""

import asyncio
import itertools
import os

from longwire import ServerConnection, broadcast, serve

PORT = int(os.environ.get("PORT", "8765"))

guests: set[ServerConnection] = set()
numbers = itertools.count(1)


async def chat(websocket: ServerConnection) -> None:
    name = f"guest {next(numbers)}"
    guests.add(websocket)
    try:
        broadcast(guests, f"{name} came")
        async for message in websocket:
            if isinstance(message, str):
                broadcast(guests, f"{name}: {message}")
    finally:
        guests.remove(websocket)
        broadcast(guests, f"{name} left")


async def main() -> None:
    async with serve(chat, "localhost", PORT, max_size=4096) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
