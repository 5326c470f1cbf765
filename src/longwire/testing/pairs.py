"""Connections without sockets: both ends in one event loop, joined in memory.

The opening handshake, frames, limits and endings are those of real connections; only
the network is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from ..asyncio.client import ClientConnection, connect
from ..asyncio.driver import Stream
from ..asyncio.server import Server, serve
from ..asyncio.server_connection import ServerConnection
from ..asyncio.transport import Wire
from ..opening.steps import OpenSocks, OpenTcp, OpenUnix
from . import memory

__all__ = ["connected", "pair"]

URI = "ws://test/"


class _Stream(Stream):
    """A client's stream, whose network is one server."""

    server: Server

    async def _open(self, step: OpenTcp | OpenUnix | OpenSocks) -> None:
        assert self._make_wire is not None
        self.wire = wire = self._make_wire()
        memory.join(asyncio.get_running_loop(), wire, self.server.make_wire())


class _Connect(connect):
    """``connect()`` to a server that does not listen."""

    server: Server

    def _stream(self, connection: ClientConnection) -> Stream:
        stream = _Stream(make_wire=lambda: Wire(connection))
        stream.server = self.server
        return stream


@contextlib.asynccontextmanager
async def connected(
    handler: Callable[[ServerConnection], Awaitable[None]],
    uri: str = URI,
    *,
    server: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> AsyncIterator[ClientConnection]:
    """Give a client of ``handler``, connected without a socket.

    ::

        async with connected(handler) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"

    ``server`` has the keywords of :func:`longwire.serve`, ``keywords`` are those of
    :class:`longwire.connect`; TLS and proxies are none of them. What the opening
    handshake raises is raised here. Leaving the block closes the connection and waits
    for the handler.
    """
    listening = serve(handler, **(server or {}))
    connecting = _Connect(uri, **{"proxy": None, **keywords})
    connecting.server = listening
    try:
        async with connecting as websocket:
            yield websocket
    finally:
        listening.close()
        await listening.wait_closed()


@contextlib.asynccontextmanager
async def pair(
    uri: str = URI, *, server: Mapping[str, Any] | None = None, **keywords: Any
) -> AsyncIterator[tuple[ClientConnection, ServerConnection]]:
    """Give both ends of one connection, without a socket: the client's, the server's.

    ::

        async with pair() as (client, server):
            await server.send("hello")
            assert await client.recv() == "hello"

    The keywords are those of :func:`connected`. Leaving the block closes both.
    """
    opened: asyncio.Future[ServerConnection] = (
        asyncio.get_running_loop().create_future()
    )

    async def hold(websocket: ServerConnection) -> None:
        opened.set_result(websocket)
        await websocket.wait_closed()

    async with connected(hold, uri, server=server, **keywords) as client:
        yield client, await opened
