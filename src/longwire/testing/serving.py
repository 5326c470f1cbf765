"""A server on a free port for the length of a block, on a loop or in a thread."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self

from ..asyncio.server import Server, serve
from ..asyncio.server_connection import ServerConnection
from ..errors import ConnectionClosed
from ..hints import explained
from ..opening.arguments import check_handler

__all__ = ["give_cause", "noting", "serving"]

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
    them raised: what fails in a handler fails the test. Where the block itself raises,
    because its connection was closed by that, the handler's exception is the cause of
    it. ``errors`` has all of them; clear it where they were expected.
    """

    server: Server
    """The running server. With a plain ``with`` it belongs to another thread."""
    uri: str
    """Where it listens, with a slash at the end: ``ws://127.0.0.1:49321/``."""
    port: int
    """The port of it."""

    @explained("serving(handler, name=value, ...)")
    def __init__(
        self, handler: Callable[[ServerConnection], Awaitable[None]], **keywords: Any
    ) -> None:
        check_handler(handler, call="serving(handler)")
        for name in ("host", "port"):
            if name in keywords:
                raise TypeError(
                    f"serving() chooses the {name} itself: leave {name}= out, and look "
                    "at .port and .uri"
                )
        self.errors: list[BaseException] = []
        """What handlers raised, but for connections that were closed."""
        self._handler = handler
        self._keywords = keywords
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name in ("server", "uri", "port"):
                text += "; it has not begun: write 'with serving(handler) as server'"
            elif name in ("url", "address", "host", "sockets"):
                text += "; write .uri or .port"
            elif name in ("close", "stop", "shutdown"):
                text += "; leaving its block ends it, .server is the server itself"
            raise AttributeError(text)

    # --- on the running loop -----------------------------------------------------

    async def __aenter__(self) -> Self:
        """Listen on the running event loop."""
        await self._start()
        return self

    async def __aexit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        await self._end()
        self._raise_first(exc)

    async def _start(self) -> None:
        handler = noting(self._handler, self.errors)
        self.server = await serve(handler, HOST, 0, **self._keywords)
        self.port = self.server.sockets[0].getsockname()[1]
        scheme = "ws" if self._keywords.get("ssl") is None else "wss"
        self.uri = f"{scheme}://{HOST}:{self.port}/"

    async def _end(self) -> None:
        self.server.close()
        await self.server.wait_closed()

    def _raise_first(self, exc: BaseException | None) -> None:
        """Raise what a handler raised first, or make it the cause of ``exc``."""
        if self.errors and exc is None:
            raise self.errors[0]
        if self.errors and exc is not None:
            give_cause(exc, self.errors[0])

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
        self._raise_first(exc)


def noting(
    handler: Callable[[ServerConnection], Awaitable[None]], errors: list[BaseException]
) -> Callable[[ServerConnection], Awaitable[None]]:
    """Return ``handler``, which adds what it raises to ``errors``.

    Raises TypeError for what is no handler.
    """
    check_handler(handler)

    @functools.wraps(handler)
    async def noting_handler(websocket: ServerConnection) -> None:
        try:
            await handler(websocket)
        except Exception as exc:
            if not _only_says_ended(exc):
                errors.append(exc)
            raise

    return noting_handler


def give_cause(exc: BaseException, error: BaseException) -> None:
    """Have ``exc`` show the handler's ``error``, if it says that a connection ended."""
    if not _only_says_ended(exc):
        return
    seen = []
    while exc.__cause__ is not None and exc.__cause__ not in seen:
        seen.append(exc)
        exc = exc.__cause__
    if error not in (*seen, exc):
        exc.__cause__ = error


def _only_says_ended(exc: BaseException) -> bool:
    """Return whether ``exc`` says no more than that a connection was closed."""
    if isinstance(exc, BaseExceptionGroup):  # of a block with a TaskGroup
        return exc.split(ConnectionClosed)[1] is None
    return isinstance(exc, ConnectionClosed)
