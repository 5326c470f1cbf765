"""A counter that all open pages share: open http://localhost:8765/ in several tabs."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from longwire import ServerConnection, broadcast, pages, serve

PORT = int(os.environ.get("PORT", "8765"))
PAGE = Path(__file__).with_name("counter.html")
state: dict[str, Any] = {"type": "state", "value": 0}


async def count(websocket: ServerConnection) -> None:
    await websocket.send(json.dumps(state))
    async for message in websocket:
        state["value"] += {"plus": 1, "minus": -1}[json.loads(message)["action"]]
        broadcast(websocket.server.connections, json.dumps(state))


async def main() -> None:
    page = pages({"/": PAGE})
    async with serve(count, "localhost", PORT, process_request=page) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
