"""Mounting: an RPC server as an ASGI application, beside a web framework's own.

Runs under any ASGI server that runs on asyncio: uvicorn, hypercorn, daphne.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from ..errors import InvalidHandshake
from ..escaping import one_line
from ..http.handshake import check_origin
from ..http.headers import Headers
from ..http.heads import Request
from ..options import check_timeout
from .mounted import Mounted, Receive, Send
from .peer import Peer
from .routes import Routes
from .server import MAX_SIZE, Server
from .texts import escaped

__all__ = ["Application", "asgi"]

logger = logging.getLogger("longwire.rpc")

CONNECTIONS = 10_000
_AT_ONCE = 0.02
"""Seconds between two looks whether all connections have ended."""


class Application:
    """An ASGI application that serves calls on each WebSocket that it is given.

    ``server`` is the :class:`Server`: its ``peers``, ``notify()`` and ``broadcast()``
    are for the rest of the program. Made by :func:`asgi`.
    """

    def __init__(
        self, server: Server, *, max_size: int, connections: int | None
    ) -> None:
        self.server = server
        self.on_startup: Callable[[], Awaitable[None]] = _nothing
        """Called when the ASGI server begins, where this is the whole application."""
        self.on_shutdown: Callable[[], Awaitable[None]] = _nothing
        """Called when it ends."""
        self._max_size = max_size
        self._connections = connections
        self._draining = False
        self._count = 0

    # What the rest of a program needs most.

    @property
    def peers(self) -> set[Peer]:
        """The clients that are connected."""
        return self.server.peers

    def notify(self, method: str, /, *args: Any, **kwargs: Any) -> None:
        """Notify all clients; see :meth:`Server.notify`."""
        self.server.notify(method, *args, **kwargs)

    async def drain(self, timeout: float | None = 30.0) -> None:
        """Take no new clients; close each when its calls have ended, with 1001.

        After ``timeout`` seconds those that are left are closed all the same. To be
        called before the ASGI server ends, which closes what is open.
        """
        check_timeout(timeout)
        self._draining = True
        for peer in list(self.peers):
            peer.drain()
        try:
            async with asyncio.timeout(timeout):
                while self.peers:
                    await asyncio.sleep(_AT_ONCE)
        except TimeoutError:
            logger.warning("draining cut off %d clients", len(self.peers))
            await asyncio.gather(
                *(peer.close(1001) for peer in list(self.peers)), return_exceptions=True
            )

    async def __call__(
        self, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """Serve one connection, as ASGI has it."""
        kind = scope["type"]
        if kind == "websocket":
            await self._open(scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        elif kind == "http":
            await _answer(send, 426, "This address is for WebSocket clients.\n")
        else:
            raise RuntimeError(f"no ASGI scope of type {kind!r} is served here")

    async def _live(self, receive: Receive, send: Send) -> None:
        """Answer what an ASGI server says of its own start and end."""
        while True:
            event = (await receive())["type"]
            is_last = event == "lifespan.shutdown"
            await (self.on_shutdown() if is_last else self.on_startup())
            await send({"type": f"{event}.complete"})
            if is_last:
                return

    async def _open(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        server, request = self.server, request_of(scope)
        subprotocol = server.select_subprotocol(None, scope.get("subprotocols", ()))
        connection = Mounted(
            request,
            subprotocol,
            receive,
            send,
            max_size=self._max_size,
            origins=server.origins,
        )
        status, why = await self._refusal(connection, request)
        if status:
            logger.info("connection refused with %d: %s", status, escaped(why.strip()))
            await _refuse(scope, send, status, why)
            return
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        self._count += 1
        server._let_in.add(connection)
        try:
            await server(connection)
        finally:
            self._count -= 1
            connection.leave()

    async def _refusal(self, connection: Mounted, request: Request) -> tuple[int, str]:
        """Return status and reason of a refusal; 0 for a client that is let in."""
        if self._draining:
            return 503, "Server is shutting down.\n"
        if self._connections is not None and self._count >= self._connections:
            return 503, "Too many connections.\n"
        try:
            check_origin(request, self.server.origins)
        except InvalidHandshake as exc:
            return exc.status, f"{one_line(exc)}\n"
        why = await self.server._refusal(connection, request)
        return (0, "") if why is None else (403, why)


def asgi(
    routes: Server | Routes | Mapping[str, Any] | None = None,
    *,
    max_size: int = MAX_SIZE,
    connections: int | None = CONNECTIONS,
    **options: Any,
) -> Application:
    """Return an ASGI application whose clients call ``routes``.

    ::

        calls = rpc.asgi({"add": add})
        app = FastAPI()
        app.mount("/rpc", calls)

        @app.post("/orders")
        async def order(item: Item):
            calls.notify("ordered", item.name)

    ``routes`` may be a :class:`Server`; else ``options`` are those of one. ``max_size``
    is the largest message in bytes, ``connections`` the most clients at a time, None
    for no limit. Compression, keepalive and the largest frame are the ASGI server's.
    """
    if isinstance(routes, Server):
        if options:
            names = ", ".join(sorted(options))
            raise TypeError(f"asgi(Server, ...) takes no {names}: give Server that")
        server = routes
    else:
        server = Server(routes, **options)
    for name, value in (("max_size", max_size), ("connections", connections)):
        if value is None and name == "connections":
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be an int, not {type(value).__name__}")
        if value < 1:
            raise ValueError(f"{name} is {value}; the least allowed is 1")
    return Application(server, max_size=max_size, connections=connections)


def request_of(scope: Mapping[str, Any]) -> Request:
    """Return the request of the opening handshake, from ASGI's words for it."""
    raw = scope.get("raw_path")
    path = raw.decode("latin-1") if raw else quote(scope["path"])
    query = scope.get("query_string", b"").decode("latin-1")
    headers = Headers()
    for name, value in scope.get("headers", ()):
        text = value.decode(errors="surrogateescape")
        headers.set_insecure(name.decode("latin-1"), text)
    return Request(f"{path}?{query}" if query else path, headers)


async def _refuse(scope: Mapping[str, Any], send: Send, status: int, why: str) -> None:
    """Refuse with a response where the server can, with 403 where it cannot."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    await _answer(send, status, why, "websocket.http.response")


async def _answer(
    send: Send, status: int, text: str, kind: str = "http.response"
) -> None:
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body, "more_body": False})


async def _nothing() -> None:
    """Do nothing at the start or end of the ASGI server."""
