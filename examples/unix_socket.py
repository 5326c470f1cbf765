"""Server and client on a Unix socket: no port, and file permissions say who may."""

import asyncio
import tempfile
from pathlib import Path

from longwire import ServerConnection, unix_connect, unix_serve


async def echo(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:  # only we may enter it
        path = Path(folder, "echo.sock")
        async with unix_serve(echo, path), unix_connect(path) as websocket:
            await websocket.send("hello")
            print(await websocket.recv())


if __name__ == "__main__":
    asyncio.run(main())
