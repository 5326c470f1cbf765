"""A client that logs every message of fan_out_server.py."""

import asyncio
import logging

from longwire import websockets
from longwire.websockets import ClientConnection

logging.basicConfig(level=logging.INFO)


async def consumer_handler(websocket: ClientConnection) -> None:
    async for message in websocket:
        log_message(message)


async def consume(hostname: str, port: int) -> None:
    websocket_resource_url = f"ws://{hostname}:{port}"
    async with websockets.connect(websocket_resource_url) as websocket:
        await consumer_handler(websocket)


def log_message(message: str | bytes) -> None:
    logging.info(f"Message: {message!s}")


if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(consume(hostname="localhost", port=4000))
    loop.run_forever()
