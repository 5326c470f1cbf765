"""A Starlette application that runs uvicorn with settings of longwire's."""

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

import longwire
import longwire.asgi


async def echo(websocket: WebSocket):
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(message)


app = Starlette(routes=[WebSocketRoute("/", echo)])

Protocol = longwire.asgi.protocol(
    limits=longwire.Limits(message=65536, connections=5000),
    compression="fast",
    origins="same",
)

if __name__ == "__main__":
    uvicorn.run(app, port=8765, ws=Protocol)
