"""Two versions of a protocol, told apart by the subprotocol that was agreed on.

The client names what it speaks, the server takes the first of its own that is there.
"""

import asyncio

from longwire import ServerConnection, connect, serve


async def handle(websocket: ServerConnection) -> None:
    if websocket.subprotocol is None:
        await websocket.close(1002, "name a subprotocol")
    elif websocket.subprotocol == "greeting.v2":
        await websocket.send('{"text": "hello"}')
    else:
        await websocket.send("hello")


async def main() -> None:
    known = ["greeting.v2", "greeting.v1"]
    async with serve(handle, "localhost", 0, subprotocols=known) as server:
        uri = f"ws://localhost:{server.sockets[0].getsockname()[1]}/"
        for offered in (["greeting.v1"], ["greeting.v1", "greeting.v2"]):
            async with connect(uri, subprotocols=offered) as websocket:
                print(websocket.subprotocol, await websocket.recv())


if __name__ == "__main__":
    asyncio.run(main())
