"""A server that lets in only who has a password: user "ada", password in PASSWORD.

Try it: longwire connect ws://ada:secret@localhost:8765/
"""

import asyncio
import os

from longwire import ServerConnection, basic_auth, serve

PORT = int(os.environ.get("PORT", "8765"))
PASSWORD = os.environ.get("PASSWORD", "secret")


async def greet(websocket: ServerConnection) -> None:
    await websocket.send(f"hello {websocket.username}")
    await websocket.wait_closed()


async def main() -> None:
    check = basic_auth("examples", ("ada", PASSWORD))
    async with serve(greet, "localhost", PORT, process_request=check) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
