"""Connections whose clients had hung up before they were accepted: served last.

A client may end its own direction and still read the answer, so it gets one. But who
connects and hangs up as fast as he can fills the queue of the listening socket; if all
were served in turn, those who wait would wait for what nobody reads any more. A front
end serves one of these for each round of accepting.
"""

from __future__ import annotations

import collections
import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Any

from .admission import Admission

__all__ = ["Departed", "Last", "has_hung_up", "serve_now"]

Last = Callable[[Any, Callable[[], None], Callable[[], None]], None]
"""Called with a peer's address, what drops its connection, and what begins to serve."""

# The peer has sent its FIN: CLOSE-WAIT of RFC 9293 section 3.3.2, as Linux counts it;
# or the connection is gone. Elsewhere nobody is known to have hung up.
_ENDED = (8, 7)
_INFO = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None


def serve_now(
    peername: Any, drop: Callable[[], None], begin: Callable[[], None]
) -> None:
    """Serve one that has hung up as all others."""
    begin()


def has_hung_up(sock: Any) -> bool:
    """Return whether the peer of ``sock`` has sent the end of its stream."""
    if _INFO is None:
        return False
    try:
        # Unlike poll(), it lets no other thread run meanwhile.
        return sock.getsockopt(socket.IPPROTO_TCP, _INFO, 1)[0] in _ENDED
    except OSError:
        return False  # a Unix socket


class Departed:
    """Those connections of one server, as what begins to serve each, oldest first.

    They count against the limits of ``admission`` from the beginning, which ``lock``
    is held for.
    """

    MOST = 1024
    """At one time; more are closed without an answer."""

    def __init__(
        self,
        admission: Admission,
        lock: contextlib.AbstractContextManager[Any],
        tell: Callable[[str, int], None],
    ) -> None:
        self._admission = admission
        self._lock = lock
        self._tell = tell
        self._told = False
        self._is_over = False
        self._line: collections.deque[
            tuple[str, Callable[[], None], Callable[[], None]]
        ] = collections.deque()

    def __len__(self) -> int:
        return len(self._line)

    def add(
        self, address: str, drop: Callable[[], None], begin: Callable[[], None]
    ) -> bool:
        """Have ``begin()`` called in its turn, or call ``drop()``; return which."""
        with self._lock:
            has_room = len(self._line) < self.MOST and not self._is_over
            if has_room:
                self._admission.enter(address)
                self._line.append((address, drop, begin))
            news = not (has_room or self._told or self._is_over)
            self._told = self._told or news
        if not has_room:
            drop()
        if news:
            # Once for each time that it lasts.
            self._tell(
                "server closes connections without an answer: the clients of %d others "
                "hung up, too, before it came to them",
                self.MOST,
            )
        return has_room

    def begin_one(self) -> None:
        """Begin with the oldest, if there is one."""
        if (oldest := self._take()) is not None:
            oldest[1]()

    def drop_all(self) -> None:
        """Serve none of them, and none that is still to come.

        The thread that accepts may have one in its hands when another ends the server.
        """
        with self._lock:
            self._is_over = True
        while (oldest := self._take()) is not None:
            oldest[0]()

    def _take(self) -> tuple[Callable[[], None], Callable[[], None]] | None:
        """Remove the oldest; return what drops it and what begins with it."""
        with self._lock:
            if not self._line:
                return None
            address, drop, begin = self._line.popleft()
            self._admission.leave(address)
            self._told = self._told and bool(self._line)
            return drop, begin
