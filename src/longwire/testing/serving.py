"""A server on a free port for the length of a block, on a loop or in a thread."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Self

from ..asyncio.server import Server, serve
from ..asyncio.server_connection import ServerConnection
from ..errors import ConnectionClosed

__all__ = ["serving"]

HOST = "127.0.0.1"


class serving:
    """A server of ``handler`` on a free port of this machine.

    ::

        with serving(handler) as server:  # in a thread of its own
            with longwire.sync.connect(server.uri) as websocket:
                websocket.send("hello")

        async with serving(handler) as server:  # on the running event loop
            async with longwire.connect(server.uri) as websocket:
                await websocket.send("hello")

    ``keywords`` are those of :func:`longwire.serve`. Leaving the block closes the
    connections, waits for their handlers, and raises the first exception that one of
    them raised, unless the block itself raised one: what fails in a handler fails the
    test. ``errors`` has all of them; clear it where they were expected.
    """

    server: Server
    """The running server. With a plain ``with`` it belongs to another thread."""
    uri: str
    """Where it listens, with a slash at the end: ``ws://127.0.0.1:49321/``."""
    port: int
    """The port of it."""

    def __init__(
        self, handler: Callable[[ServerConnection], Awaitable[None]], **keywords: Any
    ) -> None:
        self.errors: list[BaseException] = []
        """What handlers raised, but for connections that were closed."""
        self._handler = handler
        self._keywords = keywords
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    # --- on the running loop -----------------------------------------------------

    async def __aenter__(self) -> Self:
        """Listen on the running event loop."""
        await self._start()
        return self

    async def __aexit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        await self._end()
        if exc is None:
            self._raise_first()

    async def _start(self) -> None:
        self.server = await serve(self._noting(), HOST, 0, **self._keywords)
        self.port = self.server.sockets[0].getsockname()[1]
        scheme = "ws" if self._keywords.get("ssl") is None else "wss"
        self.uri = f"{scheme}://{HOST}:{self.port}/"

    async def _end(self) -> None:
        self.server.close()
        await self.server.wait_closed()

    def _noting(self) -> Callable[[ServerConnection], Awaitable[None]]:
        """Return the handler, which keeps what it raises."""
        handler = self._handler

        @functools.wraps(handler)
        async def noting(websocket: ServerConnection) -> None:
            try:
                await handler(websocket)
            except Exception as exc:
                if not _only_says_ended(exc):
                    self.errors.append(exc)
                raise

        return noting

    def _raise_first(self) -> None:
        if self.errors:
            raise self.errors[0]

    # --- in a thread of its own --------------------------------------------------

    def __enter__(self) -> Self:
        """Listen in a thread; return when it does."""
        failed: list[BaseException] = []
        listening = threading.Event()

        async def run() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            try:
                await self._start()
            except BaseException as exc:
                failed.append(exc)
                return
            finally:
                listening.set()
            await self._stop.wait()
            await self._end()

        self._thread = threading.Thread(
            target=asyncio.run, args=(run(),), name="longwire-serving", daemon=True
        )
        self._thread.start()
        listening.wait()
        if failed:
            self._thread.join()
            raise failed[0]
        return self

    def __exit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        assert self._thread is not None
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if exc is None:
            self._raise_first()


def _only_says_ended(exc: BaseException) -> bool:
    """Return whether ``exc`` says no more than that a connection was closed."""
    if isinstance(exc, BaseExceptionGroup):  # of a block with a TaskGroup
        return exc.split(ConnectionClosed)[1] is None
    return isinstance(exc, ConnectionClosed)
