"""A live page: calls, a push, a stream, an error. Open http://localhost:8765/."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

from longwire import Request, Response, ServerConnection, rpc

FILES = {
    "/": ("text/html", Path(__file__).with_suffix(".html")),
    "/longwire.min.js": ("text/javascript", rpc.STATIC / "longwire.min.js"),
}
stock = {"tea": 2}


class SoldOut(rpc.ApplicationError):
    """The page sees its name and its message."""


def buy(what: str) -> int:
    if not stock[what]:
        raise SoldOut(f"no more {what}")
    stock[what] -= 1
    server.notify("left", stock[what])  # all pages
    return stock[what]


async def prices(of: str) -> AsyncIterator[float]:
    while True:
        yield round(random.uniform(3, 4), 2)
        await asyncio.sleep(0.5)


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
    await listening.serve_forever()


server = rpc.Server({"buy": buy, "prices": prices})

if __name__ == "__main__":
    asyncio.run(main())
