"""Streams on trio: the items that a route of the other side gives, one by one."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from ..calls import Ours
from ..performing import lend_place
from ..streams import Stream
from .waiting import Waiter

if TYPE_CHECKING:
    from .peer import Peer

__all__ = ["Inbox", "PeerStream"]

T = TypeVar("T")


class Inbox:
    """Items that came and were not taken, and how the stream ended if it has."""

    __slots__ = ("ended", "error", "items", "waiter")

    def __init__(self) -> None:
        self.items: collections.deque[Any] = collections.deque()
        self.ended = False
        self.error: Exception | None = None
        self.waiter: Waiter | None = None

    def put(self, item: Any) -> None:
        """One more item came."""
        self.items.append(item)
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more comes."""
        if not self.ended:
            self.ended = True
            self.error = error
            self._wake()

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class PeerStream(Stream[T]):
    """A stream of one connection."""

    def __init__(
        self, peer: Peer, inbox: Inbox, call: Ours, read: Callable[[Any], T]
    ) -> None:
        self._peer = peer
        self._inbox = inbox
        self._call = call
        self._read = read
        self._token = trio.lowlevel.current_trio_token()

    async def __anext__(self) -> T:
        inbox = self._inbox
        await trio.lowlevel.checkpoint()
        while not inbox.items:
            if inbox.ended:
                error, inbox.error = inbox.error, None
                raise StopAsyncIteration if error is None else error
            if inbox.waiter is not None:
                raise RuntimeError("another task is reading this stream")
            inbox.waiter = Waiter()
            resume = lend_place()
            try:
                await inbox.waiter.wait()
            finally:
                inbox.waiter = None
                if resume is not None:
                    resume()
        item = inbox.items.popleft()
        self._peer.item_taken(self._call)
        return self._read(item)

    def leave(self) -> None:
        """Leave the stream, without waiting."""
        inbox = self._inbox
        if not inbox.ended:
            self._peer.leave_stream(self._call)
        inbox.items.clear()
        inbox.error = None
        inbox.end()

    def __del__(self) -> None:
        # Garbage is collected anywhere, in other threads too.
        with contextlib.suppress(RuntimeError):
            if not self._inbox.ended:
                self._token.run_sync_soon(self._peer.leave_stream, self._call)
