"""Timers: one for each event loop, whatever the number of connections.

A wheel of buckets: a connection lies in the bucket of its next deadline, rounded up,
and one ``call_at`` waits for the first bucket. Deadlines that move away cost nothing:
the connection is asked again when its bucket comes up.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import weakref
from typing import Protocol

__all__ = ["RESOLUTION", "Timed", "Timers"]

RESOLUTION = 0.05
"""Seconds by which a deadline may be noticed late."""


class Timed(Protocol):
    """What the wheel asks a connection."""

    bucket: int
    """The bucket it lies in, 0 for none; the wheel's own note."""

    def next_deadline(self) -> float:
        """Return the time of the next deadline, infinity for none."""

    def tick(self, now: float) -> None:
        """Do what is due."""


class Timers:
    """The wheel of one loop; get it by :meth:`of`."""

    _wheels: weakref.WeakKeyDictionary[
        asyncio.AbstractEventLoop, weakref.ref[Timers]
    ] = weakref.WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop's own handle keeps the wheel, for as long as anybody is in it: with
        # the loop all of them can go.
        self._loop = weakref.ref(loop)
        self._buckets: dict[int, set[Timed]] = {}
        self._order: list[int] = []
        self._handle: weakref.ref[asyncio.TimerHandle] | None = None  # it has the loop
        self._waiting_for = 0

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Timers:
        """Return the wheel of ``loop``, made at the first call."""
        found = cls._wheels.get(loop)
        wheel = None if found is None else found()
        if wheel is None:
            wheel = cls(loop)
            cls._wheels[loop] = weakref.ref(wheel)
        return wheel

    def arm(self, timed: Timed) -> None:
        """See to it that ``timed`` is asked at its next deadline, or before."""
        deadline = timed.next_deadline()
        if deadline == math.inf:
            return
        bucket = math.ceil(deadline / RESOLUTION)
        if 0 < timed.bucket <= bucket:
            return
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
        if not self._order:
            self._cancel()

    def _schedule(self) -> None:
        if not self._order:
            return
        first = self._order[0]
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
        """Ask everybody whose bucket has come up."""
        self._handle = None
        loop = self._loop()
        if loop is None:
            return
        now = loop.time()
        due: list[Timed] = []
        while self._order and self._order[0] * RESOLUTION <= now:
            due.extend(self._buckets.pop(heapq.heappop(self._order)))
        for timed in due:
            timed.bucket = 0
        try:
            while due:
                self._ask(due.pop(), now, loop)
        finally:
            # Left over where an interrupt came between: asked in a moment.
            for timed in due:
                self.arm(timed)
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
