"""A chat: rooms with history and presence, for whoever says a name."""

import asyncio
import os

from longwire import rpc
from longwire.hub import Hub, User


def identify(peer: rpc.Peer) -> User | None:
    """The user is who the path says; a real program asks a session or a token."""
    name = peer.request.path.strip("/")
    return User(name) if name else None


# In the memory of this process, or "redis://localhost" for several processes.
hub = Hub(os.environ.get("BROKER"), identify=identify)
hub.topic("chat:{room}", subscribe="anyone", publish="user", presence=True)

server = rpc.Server()
hub.install(server)


async def main() -> None:
    port = int(os.environ.get("PORT", "8765"))
    async with hub, server.serve("localhost", port) as listening:
        await listening.serve_forever()


asyncio.run(main())
