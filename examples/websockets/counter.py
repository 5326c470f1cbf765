"""A counter that all pages share: open counter.html in several tabs."""

import asyncio
import json
import logging

from longwire import websockets
from longwire.websockets import WebSocketServerProtocol

STATE = {"value": 0}
USERS: set[WebSocketServerProtocol] = set()


def state_event() -> str:
    return json.dumps({"type": "state", **STATE})


def users_event() -> str:
    return json.dumps({"type": "users", "count": len(USERS)})


async def counter(websocket: WebSocketServerProtocol, path: str) -> None:
    USERS.add(websocket)
    websockets.broadcast(USERS, users_event())
    try:
        await websocket.send(state_event())
        async for message in websocket:
            data = json.loads(message)
            if data["action"] == "minus":
                STATE["value"] -= 1
                websockets.broadcast(USERS, state_event())
            elif data["action"] == "plus":
                STATE["value"] += 1
                websockets.broadcast(USERS, state_event())
            else:
                logging.error("unsupported event: %s", data)
    finally:
        USERS.remove(websocket)
        websockets.broadcast(USERS, users_event())


if __name__ == "__main__":
    logging.basicConfig()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    start_server = websockets.serve(counter, "localhost", 6789)
    loop.run_until_complete(start_server)
    loop.run_forever()
