"""Stream: the items that a route of the other side gives, one by one.

Backpressure is by grants: the other side never has more items on the way than we said
we take, and we grant more as they are taken.
"""

from __future__ import annotations

import abc
import asyncio
import collections
import contextlib
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from .calls import Ours
from .performing import lend_place

__all__ = ["Inbox", "PeerStream", "Stream"]

T = TypeVar("T")


class Inbox:
    """Items that came and were not taken, and how the stream ended if it has."""

    __slots__ = ("ended", "error", "items", "method", "wake")

    def __init__(self, method: str) -> None:
        self.method = method
        self.items: collections.deque[Any] = collections.deque()
        self.ended = False
        self.error: Exception | None = None
        self.wake: asyncio.Future[None] | None = None

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
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)


class Stream(abc.ABC, Generic[T]):
    """An asynchronous iterator over what a stream route of the other side gives.

    Close it when you leave it before its end: ``async with`` does, ``aclose()`` too; a
    stream that is dropped is cancelled as well. Raises at its end what the route
    raised, Disconnected when the connection is lost. May be read by one task at a time.
    """

    def __aiter__(self) -> Self:
        return self

    @abc.abstractmethod
    async def __anext__(self) -> T:
        """Return the next item."""

    @abc.abstractmethod
    def leave(self) -> None:
        """Leave the stream, without waiting."""

    async def aclose(self) -> None:
        """Leave the stream: the other side stops, what came is dropped."""
        self.leave()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.leave()


class PeerStream(Stream[T]):
    """A stream of one connection."""

    def __init__(
        self,
        inbox: Inbox,
        call: Ours,
        read: Callable[[Any], T],
        taken: Callable[[Ours], None],
        cancel: Callable[[Ours], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._inbox = inbox
        self._call = call
        self._read = read
        self._taken = taken
        self._cancel = cancel
        self._loop = loop

    async def __anext__(self) -> T:
        inbox = self._inbox
        while not inbox.items:
            if inbox.ended:
                error, inbox.error = inbox.error, None
                if error is not None:
                    raise error
                raise StopAsyncIteration
            if inbox.wake is not None:
                raise RuntimeError("another task is reading this stream")
            inbox.wake = asyncio.get_running_loop().create_future()
            resume = lend_place()
            try:
                await inbox.wake
            finally:
                inbox.wake = None
                if resume is not None:
                    resume()
        item = inbox.items.popleft()
        self._taken(self._call)
        return self._read(item)

    def leave(self) -> None:
        """Leave the stream, without waiting."""
        inbox = self._inbox
        if not inbox.ended:
            self._cancel(self._call)
        inbox.items.clear()
        inbox.error = None
        inbox.end()

    def __del__(self) -> None:
        # Garbage is collected anywhere, in other threads too: tell it from the loop,
        # unless there is none left.
        with contextlib.suppress(RuntimeError, AttributeError):
            if not self._inbox.ended:
                self._loop.call_soon_threadsafe(self._cancel, self._call)
