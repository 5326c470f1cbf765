"""A client that prints what a server sends, and connects anew when that ends.

Start it and chat_server.py in any order, and stop the server now and then.
"""

import asyncio
import os

from longwire import ConnectionClosed, connect

PORT = int(os.environ.get("PORT", "8765"))


async def main() -> None:
    async for websocket in connect(f"ws://localhost:{PORT}/"):
        print("connected", flush=True)
        try:
            async for message in websocket:
                print(message, flush=True)
        except ConnectionClosed:
            pass  # the report below says why
        print(f"ended: {websocket.close_report}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
