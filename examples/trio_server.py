"""An echo server on trio that tells all clients every second how many there are.

Try it: longwire connect ws://localhost:8765/
"""

import os

import trio

from longwire.trio import Server, ServerConnection, broadcast, serve

PORT = int(os.environ.get("PORT", "8765"))


async def echo(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


async def count(server: Server) -> None:
    while True:
        await trio.sleep(1)
        await broadcast(server.connections, f"{len(server.connections)} here")


async def main() -> None:
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, echo, PORT)
        nursery.start_soon(count, server)


if __name__ == "__main__":
    try:
        trio.run(main)
    except* KeyboardInterrupt:
        pass  # cancelled: all connections were closed with 1001
