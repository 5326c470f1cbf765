"""A client that asks for a name and prints how hello_server.py greets it."""

import asyncio

from longwire import websockets


async def hello() -> None:
    uri = "ws://localhost:8765"
    async with websockets.connect(uri) as websocket:
        name = input("What's your name? ")  # noqa: ASYNC250 (nothing else runs)

        await websocket.send(name)
        print(f"> {name}")

        greeting = await websocket.recv()
        print(f"< {greeting!s}")


if __name__ == "__main__":
    asyncio.run(hello())
