"""How long a ping to a server takes, three times.

Start any server of these examples first.
"""

import asyncio
import os

from longwire import connect

PORT = int(os.environ.get("PORT", "8765"))


async def main() -> None:
    async with connect(f"ws://localhost:{PORT}/") as websocket:
        for _ in range(3):
            pong = await websocket.ping()
            latency = await asyncio.wait_for(pong, timeout=5)
            print(f"{latency * 1000:.2f} ms")


if __name__ == "__main__":
    asyncio.run(main())
