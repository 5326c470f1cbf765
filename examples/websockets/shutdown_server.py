"""A server that closes its connections with 1001 at SIGTERM and exits with 0."""

import asyncio
import signal

from longwire import websockets
from longwire.websockets import WebSocketServerProtocol


async def echo(websocket: WebSocketServerProtocol) -> None:
    async for message in websocket:
        await websocket.send(message)


async def server() -> None:
    # Set the stop condition when receiving SIGTERM.
    loop = asyncio.get_running_loop()
    stop = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, stop.set_result, None)

    async with websockets.serve(echo, "localhost", 8765):
        await stop


if __name__ == "__main__":
    asyncio.run(server())
