"""Listening: a server's sockets, with the loop or the reactor at them.

asyncio binds them as its many options say; who accepts from them is decided here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from .native import Listener

__all__ = ["Listening"]


class Listening:
    """The listening sockets of ``server``.

    ``accepted`` gets (descriptor, peer's address) of each connection, by the reactor;
    with None asyncio itself accepts. ``exhausted`` is told when the process has no
    descriptors left for it.
    """

    def __init__(
        self,
        server: asyncio.Server,
        backlog: int = 100,
        accepted: Callable[[int, Any], None] | None = None,
        exhausted: Callable[[OSError], None] | None = None,
    ) -> None:
        self._server = server
        self._backlog = backlog
        self._accepted = accepted
        self._exhausted = exhausted
        self._listeners: list[Listener] = []

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop."""
        return self._server.get_loop()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The sockets; none after ``close()``."""
        return tuple(self._server.sockets)

    def is_serving(self) -> bool:
        """Return whether connections are accepted."""
        return bool(self._listeners) or self._server.is_serving()

    async def start_serving(self) -> None:
        """Begin to accept connections, if not begun."""
        if self._accepted is None:
            await self._server.start_serving()
        elif not self._listeners:
            for sock in self.sockets:
                self._listeners.append(
                    Listener(
                        self.get_loop(),
                        sock,
                        self._backlog,
                        self._accepted,
                        self._exhausted,
                    )
                )

    def close(self) -> None:
        """Accept no more, and close the sockets."""
        for listener in self._listeners:
            listener.stop()
        self._listeners.clear()
        self._server.close()
