"""Timers: one for each event loop, whatever the number of connections.

A wheel of buckets: a connection lies in the bucket of its next deadline, rounded up,
and one ``call_at`` waits for the first bucket. Deadlines that move away cost nothing:
the connection is asked again when its bucket comes up.
"""

from __future__ import annotations

import asyncio
import collections
import heapq
import math
import weakref
from typing import Protocol

__all__ = ["RESOLUTION", "Timed", "Timers"]

_NEVER = math.inf
RESOLUTION = 0.05
"""Seconds by which a deadline may be noticed late."""
AT_ONCE = 16
"""Connections asked in one turn of the loop: what is due may begin a task for each, and
thousands that connected together have the same deadline."""


class Timed(Protocol):
    """What the wheel asks a connection."""

    bucket: int
    """The bucket it lies in, 0 for none; the wheel's own note."""

    def next_deadline(self) -> float:
        """Return the time of the next deadline, infinity for none."""

    def tick(self, now: float) -> None:
        """Do what is due."""


class Timers:
    """The wheel of one loop; get it by :meth:`of`.

    The loop's timer stays when the last connection goes: where they come and go one by
    one, each would leave a cancelled timer in the heap of the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop's own handle keeps the wheel, at least as long as anybody is in it:
        # with the loop all of them can go.
        self._loop = weakref.ref(loop)
        self._buckets: dict[int, set[Timed]] = {}
        self._order: list[int] = []
        # Those whose bucket has come up, until they are asked.
        self._due: collections.deque[Timed] = collections.deque()
        self._handle: weakref.ref[asyncio.TimerHandle] | None = None  # it has the loop
        self._waiting_for = 0

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Timers:
        """Return the wheel of ``loop``, made at the first call."""
        found = _WHEELS.get(loop)
        wheel = None if found is None else found()
        if wheel is None:
            wheel = cls(loop)
            _WHEELS[loop] = weakref.ref(wheel)
        return wheel

    def arm(self, timed: Timed) -> None:
        """See to it that ``timed`` is asked at its next deadline, or before."""
        deadline = timed.next_deadline()
        if deadline == _NEVER:
            return
        bucket = math.ceil(deadline / RESOLUTION)
        before = timed.bucket
        if 0 < before <= bucket:
            return
        if before:
            self.disarm(timed)
        members = self._buckets.get(bucket)
        if members is None:
            members = self._buckets[bucket] = set()
            heapq.heappush(self._order, bucket)
        members.add(timed)
        timed.bucket = bucket
        self._schedule()

    def disarm(self, timed: Timed) -> None:
        """Forget ``timed``."""
        members = self._buckets.get(timed.bucket)
        timed.bucket = 0
        if members is not None:
            members.discard(timed)
            self._drop_empty()

    def _drop_empty(self) -> None:
        while self._order and not self._buckets[self._order[0]]:
            del self._buckets[heapq.heappop(self._order)]

    def _schedule(self) -> None:
        if self._due:
            first = 0  # at once
        elif self._order:
            first = self._order[0]
        else:
            return
        if self._handle is not None:
            if self._waiting_for <= first:
                return
            self._cancel()
        loop = self._loop()
        if loop is None:
            return
        self._waiting_for = first
        self._handle = weakref.ref(loop.call_at(first * RESOLUTION, self._turn))

    def _cancel(self) -> None:
        handle = None if self._handle is None else self._handle()
        if handle is not None:
            handle.cancel()
        self._handle = None

    def _turn(self) -> None:
        """Ask those whose bucket has come up, some of them in the next turns."""
        self._handle = None
        loop = self._loop()
        if loop is None:
            return
        now = loop.time()
        while self._order and self._order[0] * RESOLUTION <= now:
            members = self._buckets.pop(heapq.heappop(self._order))
            for timed in members:
                timed.bucket = 0
            self._due.extend(members)
        now_asked = [self._due.popleft() for _ in range(min(AT_ONCE, len(self._due)))]
        try:
            while now_asked:
                self._ask(now_asked.pop(), now, loop)
        finally:
            # Left over where an interrupt came between: asked in a moment.
            self._due.extend(now_asked)
            self._schedule()

    def _ask(self, timed: Timed, now: float, loop: asyncio.AbstractEventLoop) -> None:
        try:
            if timed.next_deadline() <= now:
                timed.tick(now)
        except Exception as exc:
            # The others must not wait for ever because of one.
            what = {"message": f"{timed!r} failed at its time", "exception": exc}
            loop.call_exception_handler(what)
        else:
            if timed.bucket == 0:
                self.arm(timed)


_WHEELS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Timers]] = (
    weakref.WeakKeyDictionary()
)
