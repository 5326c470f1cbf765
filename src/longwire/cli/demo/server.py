"""The demo's server: one port for a page and the RPC behind it.

All open tabs share a counter and a chat, see how many they are, and each plots the
latency of its connection. A tab calls ``join()``, ``counter.add(by)`` and
``chat.say(text, name)``, and reads the stream ``latency()``; it is notified of
``counter(value)``, ``users(count)`` and ``said(name, text, time)``. What it calls
wrongly is answered with an error and changes nothing.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from ... import (
    ConnectionClosed,
    Headers,
    Request,
    Response,
    Server,
    ServerConnection,
    rpc,
)
from ...opening.pages import wants_websocket
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
PING_INTERVAL = 0.25
"""Seconds between two latency figures."""
LIMITS = rpc.RpcLimits(calls=20, queued=50, streams=2, strange=20)
"""What one tab may have going on."""


class BadMessage(rpc.ApplicationError):
    """What a tab sent means nothing; says why, to be shown to its user."""


class Demo:
    """The state that all tabs share, and the server that shares it."""

    def __init__(self) -> None:
        self.value = 0
        self.users: set[rpc.Peer] = set()
        self.history: collections.deque[dict[str, str]] = collections.deque(
            maxlen=HISTORY
        )
        self.rpc = rpc.Server(
            {
                "join": self.join,
                "counter": {"add": self.add},
                "chat": {"say": self.say},
                "latency": self.latency,
            },
            limits=LIMITS,
        )
        self.rpc.signals.opened.connect(self._came)
        self.rpc.signals.closed.connect(self._left)

    def make_server(self, addresses: Sequence[str], port: int) -> Server:
        """Return the server, not started yet."""
        return self.rpc.serve(
            addresses,
            port,
            origins="same",
            process_request=serve_page,
            health="/healthz",
            max_size=MAX_SIZE,
        )

    # --- what a tab calls --------------------------------------------------------

    def join(self) -> dict[str, Any]:
        """All there is to show; what changes from now on is notified."""
        return {
            "value": self.value,
            "users": len(self.users),
            "messages": list(self.history),
        }

    def add(self, by: Literal[1, -1]) -> int:
        """Count up or down; return the new value, which all tabs are told."""
        self.value += by
        self.rpc.notify("counter", value=self.value)
        return self.value

    def say(self, text: str, name: str = "") -> None:
        """Say something in the chat."""
        said: dict[str, Any] = {
            "name": _line("name", name, MAX_NAME) or "guest",
            "text": _line("text", text, MAX_TEXT),
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        if not said["text"]:
            raise BadMessage("text is empty")
        self.history.append(said)
        self.rpc.notify("said", **said)

    async def latency(self, peer: rpc.Peer) -> AsyncIterator[float]:
        """Milliseconds from a ping of the tab's connection to its pong, now and then.

        A tab that does not take the figures is not pinged.
        """
        try:
            while True:
                pong = await peer.connection.ping()
                yield round(await pong * 1000, 3)
                await asyncio.sleep(PING_INTERVAL)
        except ConnectionClosed:
            pass  # nobody is left to be told

    # --- what all tabs are told --------------------------------------------------

    def _came(self, peer: rpc.Peer) -> None:
        self.users.add(peer)
        logger.info("a tab came: %d open", len(self.users))
        self.rpc.notify("users", count=len(self.users))

    def _left(self, peer: rpc.Peer, report: object) -> None:
        self.users.discard(peer)
        logger.info("a tab left: %d open", len(self.users))
        self.rpc.notify("users", count=len(self.users))


def serve_page(connection: ServerConnection, request: Request) -> Response | None:
    """Answer a request for the page; None for one that wants a WebSocket."""
    path = request.path.partition("?")[0]
    if path == "/ws" or (path == "/" and wants_websocket(request)):
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


def _line(name: str, value: str, limit: int) -> str:
    """Return a text of one line, checked."""
    line = " ".join(value.split())
    if len(line) > limit:
        raise BadMessage(
            f"{name} of {len(line)} characters exceeds the limit of {limit} characters"
        )
    return line
