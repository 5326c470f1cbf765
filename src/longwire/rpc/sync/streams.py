"""Stream for threads: the items that a route of the other side gives, one by one."""

from __future__ import annotations

import abc
import collections
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ..calls import Ours
from ..performing import lend_place
from .waiting import Waiter

if TYPE_CHECKING:
    from .peer import Peer

__all__ = ["Inbox", "PeerStream", "Stream"]

T = TypeVar("T")


class Inbox:
    """Items that came and were not taken, and how the stream ended if it has."""

    __slots__ = ("ended", "error", "items", "waiting")

    def __init__(self) -> None:
        self.items: collections.deque[Any] = collections.deque()
        self.ended = False
        self.error: Exception | None = None
        self.waiting: collections.deque[Waiter] = collections.deque()

    def put(self, item: Any) -> None:
        """One more item came."""
        self.items.append(item)
        self.wake_one()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more comes."""
        if not self.ended:
            self.ended = True
            self.error = error
            while self.waiting:
                self.waiting.popleft().set_result(None)

    def wake_one(self) -> None:
        """Let one thread look again."""
        if self.waiting:
            self.waiting.popleft().set_result(None)

    def forget(self, waiter: Waiter) -> None:
        """A thread waits no more: if it was woken, another has to be."""
        if waiter.done():
            self.wake_one()
        else:
            self.waiting.remove(waiter)


class Stream(abc.ABC, Generic[T]):
    """An iterator over what a stream route of the other side gives.

    Close it when you leave it before its end: ``with`` does, ``close()`` too. Raises at
    its end what the route raised, Disconnected when the connection is lost. Any thread
    may take items; each item is one thread's.
    """

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        return self.get()

    @abc.abstractmethod
    def get(self, timeout: float | None = None) -> T:
        """Return the next item.

        Raises TimeoutError after ``timeout`` seconds, which loses nothing;
        StopIteration at the end of the stream.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Leave the stream: the other side stops, what came is dropped."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class PeerStream(Stream[T]):
    """A stream of one connection."""

    def __init__(
        self, peer: Peer, inbox: Inbox, call: Ours, read: Callable[[Any], T]
    ) -> None:
        self._peer = peer
        self._inbox = inbox
        self._call = call
        self._read = read

    def get(self, timeout: float | None = None) -> T:
        """Return the next item."""
        ends_at = None if timeout is None else time.monotonic() + timeout
        inbox = self._inbox
        while True:
            with self._peer.guard:
                if inbox.items:
                    item = inbox.items.popleft()
                    self._peer.item_taken(self._call)
                    break
                if inbox.ended:
                    error, inbox.error = inbox.error, None
                    raise StopIteration if error is None else error
                waiter = Waiter()
                inbox.waiting.append(waiter)
            self._wait(waiter, ends_at)
        return self._read(item)

    def _wait(self, waiter: Waiter, ends_at: float | None) -> None:
        resume = lend_place()
        try:
            seconds = None if ends_at is None else ends_at - time.monotonic()
            if not waiter.wait(seconds):
                raise TimeoutError("no item of the stream came in time")
        except BaseException:
            with self._peer.guard:
                self._inbox.forget(waiter)
            raise
        finally:
            if resume is not None:
                resume()

    def close(self) -> None:
        """Leave the stream: the other side stops, what came is dropped."""
        inbox = self._inbox
        with self._peer.guard:
            if not inbox.ended:
                self._peer.leave_stream(self._call)
            inbox.items.clear()
            inbox.error = None
            inbox.end()

    def __del__(self) -> None:
        # Garbage is collected anywhere, also while this thread holds the lock.
        if not self._inbox.ended:
            self._peer.dropped.append(self._call)
