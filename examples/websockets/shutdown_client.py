"""A client that prints what it gets, and ends well at SIGTERM."""

import asyncio
import signal

from longwire import websockets


async def client() -> None:
    uri = "ws://localhost:8765"
    async with websockets.connect(uri) as websocket:
        # Close the connection when receiving SIGTERM. The coroutine is made now; it
        # begins when the signal comes.
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, loop.create_task, websocket.close())

        # Process messages received on the connection.
        async for message in websocket:
            print(message)


if __name__ == "__main__":
    asyncio.run(client())
