"""A client that sends one message to fan_out_server.py.

What comes back is the receipt: the server sends to everybody, the sender too.
"""

import asyncio
import sys

from longwire import websockets


async def produce(message: str, host: str, port: int) -> None:
    async with websockets.connect(f"ws://{host}:{port}") as ws:
        await ws.send(message)
        await ws.recv()


if __name__ == "__main__":
    text = sys.argv[1] if len(sys.argv) > 1 else "hi"
    asyncio.run(produce(message=text, host="localhost", port=4000))
