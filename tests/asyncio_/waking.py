"""Connections whose peer is plain bytes, for tests of who is woken and how."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.asyncio_.serving import UPGRADE, listen, raw
from tests.support.rawpeer import TEXT, frame

from longwire.asyncio.server import Server, ServerConnection

Peer = asyncio.StreamWriter


def say(peer: Peer, text: str) -> None:
    """Send a message from the client."""
    peer.write(frame(TEXT, text.encode()))


async def hear(reader: asyncio.StreamReader) -> str:
    """Return the next message to the client, a short one."""
    first, size = await reader.readexactly(2)
    assert first == 0x81, hex(first)
    assert size < 126
    return (await reader.readexactly(size)).decode()


@contextlib.asynccontextmanager
async def served(
    handler: Callable[[Any], Any], **options: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, Peer, Server]]:
    """Give the client's end of a connection that ``handler`` serves."""
    async with listen(handler, **options) as server, raw(server) as (reader, writer):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        yield reader, writer, server


@contextlib.asynccontextmanager
async def link(
    **options: Any,
) -> AsyncIterator[tuple[ServerConnection, asyncio.StreamReader, Peer]]:
    """Give a server's connection that its handler leaves alone, and its client."""
    arrived: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def handler(ws: ServerConnection) -> None:
        arrived.put_nowait(ws)
        await ws.wait_closed()

    options.setdefault("close_timeout", 0.2)
    async with served(handler, **options) as (reader, writer, _):
        yield await arrived.get(), reader, writer
