"""The client of hello_server.py as it was written before `async` and `await`.

`asyncio.coroutine` is gone from Python; `types.coroutine` does what it did.
"""

import asyncio
import types
from collections.abc import Generator
from typing import Any

from longwire import websockets


@types.coroutine
def hello() -> Generator[Any, Any, None]:
    websocket = yield from websockets.connect("ws://localhost:8765/")

    try:
        name = input("What's your name? ")

        yield from websocket.send(name)
        print(f"> {name}")

        greeting = yield from websocket.recv()
        print(f"< {greeting}")

    finally:
        yield from websocket.close()


if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(hello())
