"""Servers and raw peers for the tests of the asyncio server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from longwire.asyncio.server import Server, ServerConnection, serve

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def wait(ws: ServerConnection) -> None:
    await ws.wait_closed()


def port_of(server: Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def uri_of(server: Server) -> str:
    return f"ws://127.0.0.1:{port_of(server)}/"


def listen(handler: Any = echo, **kwargs: Any) -> Server:
    return serve(handler, "127.0.0.1", 0, **kwargs)


def connected(server: Server, **kwargs: Any) -> connect:
    return connect(uri_of(server), proxy=None, **kwargs)


async def ask(server: Server, data: bytes) -> bytes:
    """Return all that the server answers to ``data``."""
    async with raw(server) as (reader, writer):
        writer.write(data)
        return await reader.read()


@contextlib.asynccontextmanager
async def raw(
    server: Server, **kwargs: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port_of(server), **kwargs
    )
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until(condition: Any) -> None:
    """Wait until ``condition()`` holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def closed(client: ClientConnection) -> tuple[int | None, str | None]:
    await client.wait_closed()
    return client.close_code, client.close_reason


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= level]


def traces(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.exc_info]
