"""A WebSocket server that greets Django's users by name.

The first message of a client is the token that the site gave its page.
"""

import asyncio
import os

import django

from longwire import websockets
from longwire.websockets import WebSocketServerProtocol
from longwire.websockets.frames import CloseCode

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "experiments.settings")
django.setup()

from experiments.tokens import get_user  # noqa: E402  (Django is set up before)

PORT = int(os.environ.get("PORT", "8888"))


async def handler(websocket: WebSocketServerProtocol) -> None:
    token = await websocket.recv()
    user = await asyncio.to_thread(get_user, str(token))
    if user is None:
        await websocket.close(CloseCode.INTERNAL_ERROR, "authentication failed")
        return

    await websocket.send(f"Hello {user}!")


async def main() -> None:
    async with websockets.serve(handler, "localhost", PORT):
        await asyncio.Future()  # run forever


if __name__ == "__main__":
    asyncio.run(main())
