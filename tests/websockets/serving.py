"""Servers of old and raw requests, for the tests of the adapted API."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from websockets.asyncio.client import connect as peer_connect

UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"%b\r\n"
)


async def echo(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


async def wait(websocket: Any) -> None:
    await websocket.wait_closed()


def port_of(server: Any) -> int:
    return int(server.sockets[0].getsockname()[1])


def uri_of(server: Any, path: str = "/") -> str:
    return f"ws://127.0.0.1:{port_of(server)}{path}"


def peer(server: Any, path: str = "/", **kwargs: Any) -> peer_connect:
    """A client of another library."""
    return peer_connect(uri_of(server, path), proxy=None, **kwargs)


async def ask(server: Any, path: bytes = b"/", fields: bytes = b"") -> bytes:
    """Return all that the server answers to a request for a WebSocket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    try:
        writer.write(UPGRADE % (path, fields))
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
