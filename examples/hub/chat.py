"""A chat that loses nothing: open http://localhost:8765/ in two tabs, pull the plug."""

import asyncio
import os
from pathlib import Path
from urllib.parse import unquote

from longwire import Request, Response, ServerConnection, rpc
from longwire.hub import Hub, User

FILES = {
    "/": ("text/html", Path(__file__).with_suffix(".html")),
    "/longwire.min.js": ("text/javascript", rpc.STATIC / "longwire.min.js"),
}


def identify(peer: rpc.Peer) -> User | None:
    """Who says a name is it; a real site asks its session."""
    name = unquote(peer.request.path.partition("?")[2])[:30]
    return User(name) if name else None


# In memory, or "redis://localhost" for several processes.
hub = Hub(os.environ.get("BROKER"), identify=identify)
hub.topic("chat:{room}", subscribe="user", publish="user", presence=True, history=200)
server = rpc.Server()
hub.install(server)


def files(connection: ServerConnection, request: Request) -> Response | None:
    if request.path not in FILES:
        return None  # the WebSocket
    kind, file = FILES[request.path]
    response = connection.respond(200, file.read_text("utf-8"))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = f"{kind}; charset=utf-8"
    return response


async def main() -> None:
    port = int(os.environ.get("PORT", "8765"))
    listening = server.serve("localhost", port, process_request=files)
    async with hub:
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
