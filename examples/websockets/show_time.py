"""A server that sends the time now and then; open show_time.html to see it."""

import asyncio
import datetime
import random

from longwire import websockets
from longwire.websockets import WebSocketServerProtocol


async def time(websocket: WebSocketServerProtocol, path: str) -> None:
    while True:
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        await websocket.send(now.isoformat() + "Z")
        await asyncio.sleep(random.random() * 3)


if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    start_server = websockets.serve(time, "127.0.0.1", 5678)
    loop.run_until_complete(start_server)
    loop.run_forever()
