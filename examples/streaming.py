"""One message of 64 MB that neither side ever holds whole.

The sender sends each item of an iterable as a fragment; the receiver takes fragments
as they come. Both run here, in one process.
"""

import asyncio
from collections.abc import Iterator

from longwire import ServerConnection, connect, serve

PIECE = bytes(65536)
PIECES = 1024


async def measure(websocket: ServerConnection) -> None:
    size = 0
    async for piece in websocket.recv_streaming():
        size += len(piece)
    await websocket.send(f"{size} bytes")
    await websocket.close()


def pieces() -> Iterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


async def main() -> None:
    sizes = (None, len(PIECE))  # any message, of fragments of this size
    async with serve(measure, "localhost", 0, max_size=sizes) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://localhost:{port}/", compression=None) as websocket:
            await websocket.send(pieces())
            print(await websocket.recv())


if __name__ == "__main__":
    asyncio.run(main())
