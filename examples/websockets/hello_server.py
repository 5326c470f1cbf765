"""A server that greets by name, as editions up to 9.1 document it.

`serve()` is called while no loop runs yet; hello_client.py asks for the name.
"""

import asyncio

from longwire import websockets
from longwire.websockets import WebSocketServerProtocol


async def hello(websocket: WebSocketServerProtocol, path: str) -> None:
    name = await websocket.recv()
    print(f"< {name!s}")

    greeting = f"Hello {name!s}!"
    await websocket.send(greeting)
    print(f"> {greeting}")


if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    start_server = websockets.serve(hello, "localhost", 8765)
    loop.run_until_complete(start_server)
    loop.run_forever()
