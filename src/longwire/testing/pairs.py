"""Connections without sockets: both ends in one event loop, joined in memory.

The opening handshake, frames, limits and endings are those of real connections; only
the network is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar

from ..asyncio.client import ClientConnection, connect
from ..asyncio.driver import Stream
from ..asyncio.server import Server, serve
from ..asyncio.server_connection import ServerConnection
from ..asyncio.transport import Wire
from ..hints import explained, use_async
from ..opening.arguments import check_handler
from ..opening.steps import OpenSocks, OpenTcp, OpenUnix
from . import memory
from .serving import give_cause, noting

__all__ = ["connected", "pair"]

URI = "ws://test/"

P = ParamSpec("P")
T = TypeVar("T")


class _Block(contextlib.AbstractAsyncContextManager[T], Generic[T]):
    """What ``async with`` enters; says so to who forgets ``async``."""

    def __init__(
        self, name: str, inner: contextlib.AbstractAsyncContextManager[T]
    ) -> None:
        self._name = name
        self._inner = inner

    async def __aenter__(self) -> T:
        return await self._inner.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._inner.__aexit__(exc_type, exc, traceback)

    def __enter__(self) -> NoReturn:
        """Raise TypeError: connecting takes turns of the event loop."""
        raise use_async(f"{self._name}()", f"with {self._name}(...)")

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    def __await__(self) -> NoReturn:
        """Raise TypeError: who would close it?"""
        name = self._name
        raise TypeError(f"{name}() is not awaited: write 'async with {name}(...)'")


def _block(
    function: Callable[P, AsyncIterator[T]],
) -> Callable[P, contextlib.AbstractAsyncContextManager[T]]:
    """Return ``function``, which yields once, as what makes blocks."""
    checked = explained(f"'async with {function.__name__}(...)'")(function)
    make = contextlib.asynccontextmanager(checked)

    @functools.wraps(function)
    def block(
        *args: P.args, **kwargs: P.kwargs
    ) -> contextlib.AbstractAsyncContextManager[T]:
        return _Block(function.__name__, make(*args, **kwargs))

    return block


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


@_block
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
    for the handler; what this raised is the cause of a ConnectionClosed that leaves the
    block.
    """
    errors: list[BaseException] = []
    check_handler(handler, call="connected(handler)")
    if server is not None and not isinstance(server, Mapping):
        kind = type(server).__name__
        raise TypeError(f"server must be a mapping of keywords of serve(), not {kind}")
    listening = serve(noting(handler, errors), **(server or {}))
    try:
        connecting = _Connect(uri, **{"proxy": None, **keywords})
    except BaseException:
        listening.close()  # it was made for nothing
        raise
    connecting.server = listening
    try:
        async with connecting as websocket:
            yield websocket
    except BaseException as exc:
        if errors:
            give_cause(exc, errors[0])
        raise
    finally:
        listening.close()
        await listening.wait_closed()


@_block
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
    if callable(uri):
        raise TypeError(
            "pair() is both ends and has no handler: write 'async with "
            "connected(handler)'"
        )
    opened: asyncio.Future[ServerConnection] = (
        asyncio.get_running_loop().create_future()
    )

    async def hold(websocket: ServerConnection) -> None:
        opened.set_result(websocket)
        await websocket.wait_closed()

    async with connected(hold, uri, server=server, **keywords) as client:
        yield client, await opened
