"""Turns: connections that go on parsing when the event loop has had its turn.

A session does so much at a time and asks to go on (`longwire.session.intake`).
However many ask, they take no more than ``SHARE`` seconds of each turn together, one
after another, and inflate ``INFLATED`` bytes: what inflates in a moment may take their
readers long, who all have the next turn. A message of 1 MiB that is sent back takes
5 ms to compress.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque
from typing import Protocol

__all__ = ["INFLATED", "SHARE", "Parsing", "Turns"]

SHARE = 0.002
"""Seconds of a turn after which no further connection goes on in it."""

INFLATED = 1 << 20
"""Bytes that were inflated after which no further connection goes on in this turn."""


class Parsing(Protocol):
    """A connection that has more to parse."""

    def _go_on(self) -> int:
        """Parse on, and ask again if that was not all; return the bytes inflated."""


class Turns:
    """The queue of one event loop; get it by :meth:`of`."""

    _queues: weakref.WeakKeyDictionary[
        asyncio.AbstractEventLoop, weakref.ref[Turns]
    ] = weakref.WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop's own handle keeps the queue, for as long as anybody is in it.
        self._loop = weakref.ref(loop)
        self._waiting: deque[Parsing] = deque()
        self._due = False

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Turns:
        """Return the queue of ``loop``, made at the first call."""
        found = cls._queues.get(loop)
        queue = None if found is None else found()
        if queue is None:
            queue = cls(loop)
            cls._queues[loop] = weakref.ref(queue)
        return queue

    def add(self, parsing: Parsing) -> None:
        """Have ``parsing`` go on in a later turn; it asks once at a time."""
        self._waiting.append(parsing)
        self._ask()

    def _ask(self) -> None:
        loop = self._loop()
        if not self._due and loop is not None and not loop.is_closed():
            self._due = True
            loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._due = False
        end = time.monotonic() + SHARE
        left = INFLATED
        try:
            # Those that ask again have their next turn with all others.
            for _ in range(len(self._waiting)):
                left -= self._waiting.popleft()._go_on()
                if left <= 0 or time.monotonic() > end:
                    break
        finally:
            if self._waiting:
                self._ask()
