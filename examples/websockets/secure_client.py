"""The client of secure_server.py, which trusts localhost.pem beside this file."""

import asyncio
import pathlib
import ssl

from longwire import websockets


async def hello() -> None:
    ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ssl_context.load_verify_locations(pathlib.Path(__file__).with_name("localhost.pem"))

    uri = "wss://localhost:8765"
    async with websockets.connect(uri, ssl=ssl_context) as websocket:
        name = input("What's your name? ")  # noqa: ASYNC250 (nothing else runs)

        await websocket.send(name)
        print(f"> {name}")

        greeting = await websocket.recv()
        print(f"< {greeting!s}")


if __name__ == "__main__":
    asyncio.run(hello())
