"""The demo's server: one port for a page and the WebSocket behind it.

All open tabs share a counter and a chat, see how many they are, and each sees the
latency of its connection. Messages are JSON objects. A tab sends::

    {"action": "plus"}  {"action": "minus"}  {"action": "chat", "name": …, "text": …}

and gets ``state``, ``users``, ``history``, ``chat``, ``latency`` and ``error``, told
apart by ``type``. What it sends wrong is answered with ``error`` and changes nothing.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import functools
import json
import logging
from collections.abc import Awaitable, Sequence
from typing import Any

from ... import (
    CloseCode,
    ConnectionClosed,
    Headers,
    Request,
    Response,
    Server,
    ServerConnection,
    State,
    broadcast,
    serve,
)
from .page import FILES, SECURITY_HEADERS

__all__ = ["Demo"]

logger = logging.getLogger("longwire.demo")

MAX_SIZE = 16384
"""Largest message from a tab, in bytes: the longest chat message, all of it escaped."""
MAX_TEXT = 500
"""Characters of a chat message."""
MAX_NAME = 32
"""Characters of a name in the chat."""
HISTORY = 50
"""Chat messages kept for those who come later."""
PING_INTERVAL = 2.0
"""Seconds between two latency figures."""


class BadMessage(Exception):
    """What a tab sent means nothing; says why, to be shown to its user."""


class Demo:
    """The state that all tabs share, and the server that shares it."""

    def __init__(self) -> None:
        self.value = 0
        self.users: set[ServerConnection] = set()
        self.history: collections.deque[dict[str, str]] = collections.deque(
            maxlen=HISTORY
        )
        self._pings: dict[ServerConnection, Awaitable[float]] = {}
        self._pinging: asyncio.Task[None] | None = None

    def make_server(self, addresses: Sequence[str], port: int) -> Server:
        """Return the server, not started yet."""
        return serve(
            self.handle,
            addresses,
            port,
            origins="same",
            process_request=serve_page,
            health="/healthz",
            max_size=MAX_SIZE,
        )

    async def handle(self, ws: ServerConnection) -> None:
        """Keep one tab up to date and do what it asks for."""
        self.users.add(ws)
        logger.info("a tab came: %d open", len(self.users))
        if self._pinging is None:
            self._pinging = asyncio.create_task(self._ping_all())
        try:
            await ws.send(_event("state", value=self.value))
            await ws.send(_event("history", messages=list(self.history)))
            self._tell_users()
            await self._ping(ws)
            async for message in ws:
                await self._take(ws, message)
        finally:
            self.users.discard(ws)
            self._pings.pop(ws, None)
            logger.info("a tab left: %d open", len(self.users))
            self._tell_users()
            if not self.users:
                self._pinging.cancel()
                self._pinging = None

    # --- what a tab sends --------------------------------------------------------

    async def _take(self, ws: ServerConnection, message: str | bytes) -> None:
        """Do what one message asks for, or say why not."""
        if isinstance(message, bytes):
            logger.warning("closing a connection that sent binary data")
            await ws.close(CloseCode.UNSUPPORTED_DATA, "messages are JSON text")
            return
        try:
            self._act(message)
        except BadMessage as exc:
            logger.warning("ignored a message: %s: %.200r", exc, message)
            await ws.send(_event("error", message=str(exc)))

    def _act(self, message: str) -> None:
        try:
            command = json.loads(message)
        except (ValueError, RecursionError):
            raise BadMessage("not valid JSON") from None
        action = command.get("action") if isinstance(command, dict) else None
        if action == "plus":
            self._add(1)
        elif action == "minus":
            self._add(-1)
        elif action == "chat":
            self._chat(command)
        else:
            raise BadMessage("unknown action")

    def _add(self, number: int) -> None:
        self.value += number
        broadcast(self.users, _event("state", value=self.value))

    def _chat(self, command: dict[str, Any]) -> None:
        said = {
            "name": _line(command, "name", MAX_NAME) or "guest",
            "text": _line(command, "text", MAX_TEXT),
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        if not said["text"]:
            raise BadMessage("text is empty")
        self.history.append(said)
        broadcast(self.users, _event("chat", **said))

    # --- what all tabs are told --------------------------------------------------

    def _tell_users(self) -> None:
        broadcast(self.users, _event("users", count=len(self.users)))

    async def _ping_all(self) -> None:
        """Ping every tab now and then; one task for all of them."""
        while True:
            await asyncio.sleep(PING_INTERVAL)
            for ws in list(self.users):
                await self._ping(ws)

    async def _ping(self, ws: ServerConnection) -> None:
        """Send a ping unless one is under way; its answer becomes a figure."""
        # A connection that is closing would keep us, and all others, waiting.
        if ws in self._pings or ws.state is not State.OPEN:
            return
        try:
            pong = asyncio.ensure_future(await ws.ping())
        except ConnectionClosed:
            return
        self._pings[ws] = pong
        pong.add_done_callback(functools.partial(self._tell_latency, ws))

    def _tell_latency(self, ws: ServerConnection, pong: asyncio.Future[float]) -> None:
        if self._pings.pop(ws, None) is None or pong.cancelled() or pong.exception():
            return  # the tab has left
        figure = round(pong.result() * 1000, 3)
        broadcast([ws], _event("latency", ms=figure))


def serve_page(connection: ServerConnection, request: Request) -> Response | None:
    """Answer a request for the page; None for one that wants a WebSocket."""
    path = request.path.partition("?")[0]
    if path == "/ws" or (path == "/" and _wants_websocket(request)):
        return None
    if path not in FILES:
        return connection.respond(404, "There is nothing here; try /\n")
    if request.method not in ("GET", "HEAD"):
        refusal = connection.respond(405, "Only GET and HEAD work here.\n")
        refusal.headers["Allow"] = "GET, HEAD"
        return refusal
    kind, body = FILES[path]
    headers = Headers(SECURITY_HEADERS)
    headers["Content-Type"] = kind
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(200, "OK", headers, body)


def _wants_websocket(request: Request) -> bool:
    """Return whether the request offers to upgrade to a WebSocket (or to others)."""
    return "websocket" in ",".join(request.headers.get_all("Upgrade")).lower()


def _line(command: dict[str, Any], key: str, limit: int) -> str:
    """Return a text of one line, checked; an absent one is empty."""
    value = command.get(key, "")
    if not isinstance(value, str):
        raise BadMessage(f"{key} must be text")
    line = " ".join(value.split())
    if len(line) > limit:
        raise BadMessage(
            f"{key} of {len(line)} characters exceeds the limit of {limit} characters"
        )
    return line


def _event(kind: str, **content: Any) -> str:
    return json.dumps({"type": kind, **content})
