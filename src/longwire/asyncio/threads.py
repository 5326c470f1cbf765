"""Threads: what another thread asks of an event loop's connections, in order, bounded.

A mailbox takes calls to be made on its loop; a thread sender keeps the messages of
other threads to one connection in their order.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import ConcurrencyError, ConnectionClosedError
from ..once import MAKING

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["PENDING", "Mailbox", "ThreadSender"]

PENDING = 1024
"""Calls that wait for one loop, and messages that wait for one connection, before the
threads that make more of them have to wait."""


class _Slots:
    """A bound on what threads may leave behind."""

    def __init__(self) -> None:
        self._free = threading.Semaphore(PENDING)

    def take(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take one of ``loop``; wait for it, unless the thread runs a loop itself."""
        if self._free.acquire(blocking=False):
            return
        if asyncio._get_running_loop() is not None:
            raise ConcurrencyError(
                f"{PENDING} messages wait for another event loop, which is too slow"
            )
        while not self._free.acquire(timeout=0.1):
            if loop.is_closed():
                raise RuntimeError("the event loop is closed")

    def give_back(self) -> None:
        """Let another have it."""
        self._free.release()


class Mailbox:
    """Calls that other threads want made on one event loop."""

    _boxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = (
        weakref.WeakKeyDictionary()
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._slots = _Slots()

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Mailbox:
        """Return the loop's own."""
        box = cls._boxes.get(loop)
        if box is None:
            with MAKING:
                box = cls._boxes.get(loop)
                if box is None:
                    box = cls._boxes[loop] = cls(loop)
        return box

    def put(self, call: Callable[..., object], *args: Any) -> None:
        """Have ``call`` made on the loop, after those that this thread put before.

        Raises RuntimeError if the loop is closed, ConcurrencyError if too many wait
        and this thread runs a loop itself.
        """
        loop = self._loop()
        if loop is None or loop.is_closed():
            raise RuntimeError("the event loop is closed")
        self._slots.take(loop)
        try:
            loop.call_soon_threadsafe(self._open, call, args)
        except RuntimeError:
            self._slots.give_back()
            raise

    def _open(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._slots.give_back()
        call(*args)


class ThreadSender:
    """Messages from other threads to one connection, in the order they came."""

    def __init__(self, connection: Connection) -> None:
        self._connection = weakref.ref(connection)
        self._loop = connection._loop
        self._slots = _Slots()
        self._lock = threading.Lock()
        self._waiting: deque[tuple[concurrent.futures.Future[None], Any]] = deque()
        self._sending: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, connection: Connection) -> ThreadSender:
        """Return the connection's own."""
        sender = connection._thread_sender
        if sender is None:
            with MAKING:
                sender = connection._thread_sender
                if sender is None:
                    sender = connection._thread_sender = cls(connection)
        return sender

    def put(self, *args: Any) -> concurrent.futures.Future[None]:
        """Have ``connection.send(*args)`` done; return the future of that."""
        self._slots.take(self._loop)
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        # One lock for both: the order of the deque is that of the calls.
        with self._lock:
            self._waiting.append((future, args))
        try:
            self._loop.call_soon_threadsafe(self._begin)
        except RuntimeError as exc:
            self._fail_all(exc)  # the loop is closed: nobody else will
        return future

    def _begin(self) -> None:
        connection = self._connection()
        if self._sending is not None or not self._waiting:
            return
        if connection is None:
            self._fail_all(ConnectionClosedError(None, None))
        elif connection._live.ended is not None:
            # No task for it: the loop may be about to end.
            self._fail_all(connection._live.exception())
        else:
            self._sending = self._loop.create_task(self._send_all(connection))

    async def _send_all(self, connection: Connection) -> None:
        try:
            while self._waiting:
                future, (message, text, compress) = self._waiting.popleft()
                self._slots.give_back()
                if not future.set_running_or_notify_cancel():
                    continue
                try:
                    await connection.send(message, text, compress=compress)
                except Exception as exc:
                    future.set_exception(exc)
                except BaseException:
                    future.set_exception(
                        ConcurrencyError("the event loop ended before it was sent")
                    )
                    raise
                else:
                    future.set_result(None)
        except asyncio.CancelledError:
            # The loop is being shut down.
            self._fail_all(ConcurrencyError("the event loop ended before it was sent"))
            raise
        finally:
            self._sending = None

    def _fail_all(self, exc: Exception) -> None:
        with self._lock:
            while self._waiting:
                future, _ = self._waiting.popleft()
                self._slots.give_back()
                if future.set_running_or_notify_cancel():
                    future.set_exception(exc)
