"""A client on trio: asks, and waits for the answer no longer than it wants to.

Try it with echo_server.py: python examples/trio_client.py hello
"""

import os
import sys

import trio

from longwire.trio import connect

URI = os.environ.get("URI", "ws://localhost:8765/")


async def main() -> None:
    async with connect(URI) as websocket:
        await websocket.send(" ".join(sys.argv[1:]) or "hello")
        with trio.move_on_after(5) as patience:
            print(await websocket.recv())
        if patience.cancelled_caught:
            print("no answer within five seconds")


if __name__ == "__main__":
    trio.run(main)
