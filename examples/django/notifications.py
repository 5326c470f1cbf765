"""A WebSocket server that tells Django's users what is changed in the admin.

Who connects says who it is with a token; then it gets every event that Django publishes
through Redis and that concerns objects the user may view or change.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import django
import redis.asyncio

from longwire import websockets
from longwire.websockets import WebSocketServerProtocol
from longwire.websockets.frames import CloseCode

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "experiments.settings")
django.setup()

# Django is set up before its models can be imported.
from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.contenttypes.models import ContentType  # noqa: E402
from experiments.tokens import get_user  # noqa: E402

PORT = int(os.environ.get("PORT", "8888"))
CONNECTIONS: dict[WebSocketServerProtocol, dict[str, Any]] = {}


def get_content_types(user: User) -> set[int]:
    """Return the ids of the content types that a user may view or change."""
    return {
        content_type.id
        for content_type in ContentType.objects.all()
        if user.has_perm(f"{content_type.app_label}.view_{content_type.model}")
        or user.has_perm(f"{content_type.app_label}.change_{content_type.model}")
    }


async def handler(websocket: WebSocketServerProtocol) -> None:
    """Authenticate the user and register the connection in CONNECTIONS."""
    token = await websocket.recv()
    user = await asyncio.to_thread(get_user, str(token))
    if user is None:
        await websocket.close(CloseCode.INTERNAL_ERROR, "authentication failed")
        return

    # After the greeting nothing is missed: the connection is registered before it.
    content_type_ids = await asyncio.to_thread(get_content_types, user)
    CONNECTIONS[websocket] = {"content_type_ids": content_type_ids}
    try:
        await websocket.send(f"Hello {user}!")
        await websocket.wait_closed()
    finally:
        del CONNECTIONS[websocket]


async def process_events() -> None:
    """Listen to events in Redis and broadcast them to who may know."""
    async with (
        redis.asyncio.Redis.from_url(settings.REDIS_URL) as client,
        client.pubsub() as pubsub,
    ):
        await pubsub.subscribe("events")
        async for message in pubsub.listen():
            if message["type"] != "message":
                continue
            payload = message["data"].decode()
            event = json.loads(payload)
            websockets.broadcast(recipients(event["content_type_id"]), payload)


def recipients(content_type_id: int) -> Iterator[WebSocketServerProtocol]:
    """Yield the connections whose user may know of objects of this type."""
    for websocket, connection in CONNECTIONS.items():
        if content_type_id in connection["content_type_ids"]:
            yield websocket


async def main() -> None:
    async with websockets.serve(handler, "localhost", PORT):
        await process_events()  # runs forever


if __name__ == "__main__":
    asyncio.run(main())
