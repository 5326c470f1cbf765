"""A server to try the interactive client on.

Start it; then: python -m longwire.websockets ws://localhost:8765/
"""

import asyncio

from longwire import websockets
from longwire.websockets import WebSocketServerProtocol


async def echo(websocket: WebSocketServerProtocol) -> None:
    async for message in websocket:
        await websocket.send(message)


async def main() -> None:
    async with websockets.serve(echo, "localhost", 8765):
        await asyncio.Future()  # run forever


if __name__ == "__main__":
    asyncio.run(main())
