"""The helper: one thread that serves all connections that nobody is reading.

It answers pings, keeps deadlines, and writes what a slow peer takes late. The thread
that calls ``recv()`` reads by itself; so that a connection in steady use costs the
helper nothing, it takes one over only when nobody has read it for ``GRACE`` seconds.

It waits for nobody: a connection whose lock is held is tried again a moment later, and
what there is to log another thread logs.
"""

from __future__ import annotations

import atexit
import contextlib
import heapq
import itertools
import logging
import math
import os
import selectors
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from .reporting import report

__all__ = ["BUSY", "GRACE", "Busy", "Helper", "Served", "forget"]

T = TypeVar("T")

logger = logging.getLogger("longwire.sync")

GRACE = 0.05
"""Seconds that nobody has read a connection when the helper begins to."""


BUSY = 0.005
"""Seconds until a connection is tried again whose lock was held."""


class Busy(Exception):
    """The lock of a connection is held, as by a thread that compresses."""


class Served(Protocol):
    """What the helper calls of a connection; all but ``abandon()`` may raise Busy."""

    reads: int
    """How often somebody has read it."""
    events: int
    """What the helper has its selector watch; only the helper changes it."""
    recent: bool
    """It is among those that somebody has read a moment ago."""
    entry: list[Any] | None
    """Its place among the deadlines."""

    @property
    def is_read(self) -> bool:
        """Whether a thread waits for its input."""

    def fileno(self) -> int: ...

    def attend(self, helper: Helper) -> None: ...

    def serve(self, helper: Helper, events: int) -> None: ...

    def tick(self, now: float) -> float: ...

    def abandon(self) -> None: ...


class Helper:
    """The process's one helper; ``get()`` returns it, running."""

    _one: Helper | None = None
    _making = threading.Lock()

    @classmethod
    def get(cls) -> Helper:
        """Return the helper of this process, started if it was not."""
        helper = cls._one
        if helper is None:
            with cls._making:
                helper = cls._one
                if helper is None:
                    helper = cls()
                    try:
                        helper.thread.start()
                    finally:
                        # Also where it runs, and waiting for that was interrupted.
                        if helper.thread.ident is not None:
                            cls._one = helper
        return helper

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self.selector.register(self._ours, selectors.EVENT_READ)
        # All asks come through queues: only the helper's thread changes the rest.
        self.wanted: deque[Served] = deque()
        self._left: deque[Served] = deque()
        self._dated: deque[tuple[Served, float]] = deque()
        self._recent: dict[Served, int] = {}
        self._look_at = math.inf
        self._deadlines: list[list[Any]] = []
        self._order = itertools.count()
        self._wakes_at = 0.0  # until when it sleeps
        self.is_stopped = False
        # Those that were busy, and when they are tried again.
        self._busy: list[Served] = []
        self._again_at = math.inf
        # Those of the process that are open, for a child of it to let go.
        self.members: weakref.WeakSet[Served] = weakref.WeakSet()
        self.thread = threading.Thread(
            target=self._run, name="longwire helper", daemon=True
        )

    # --- from any thread ---------------------------------------------------------

    def attend(self, member: Served) -> None:
        """Look now at what has to be watched of ``member``."""
        self.wanted.append(member)
        self._wake(0.0)

    def look_after(self, member: Served) -> None:
        """Somebody has stopped reading ``member``, and may go on soon."""
        member.recent = True
        self._left.append(member)
        self._wake(time.monotonic() + GRACE)

    def call_at(self, member: Served, when: float) -> None:
        """Call ``member.tick()`` at ``when``."""
        self._dated.append((member, when))
        self._wake(when)

    def _wake(self, when: float) -> None:
        """Wake the thread if it sleeps longer than until ``when``."""
        if when < self._wakes_at:
            self._wakes_at = 0.0
            try:
                self._theirs.send(b"x")
            except OSError:
                pass  # full: it is about to wake; or the process ends

    def stop(self) -> None:
        """End the thread."""
        self.is_stopped = True
        self._wakes_at = math.inf
        self._wake(0.0)
        self.thread.join(1)

    # --- the thread --------------------------------------------------------------

    def _run(self) -> None:
        while not self.is_stopped:
            self._take_asks()
            now = time.monotonic()
            if now >= self._look_at:
                self._look_at_recent(now)
            if now >= self._again_at:
                self._try_again()
            self._tick(now)
            for key, events in self._select():
                if key.data is None:
                    self._drain()
                else:
                    self._serve(key.data, events)
        self._close()

    def _close(self) -> None:
        self.selector.close()
        self._ours.close()
        self._theirs.close()

    def _guard(self, call: Callable[..., T], *args: Any) -> T | None:
        """Return what ``call`` returns: one connection's fault is not the others'."""
        try:
            return call(*args)
        except Busy:
            raise
        except Exception as exc:
            report(_log_failure, exc)
            return None

    def _attend(self, member: Served) -> None:
        try:
            self._guard(member.attend, self)
        except Busy:
            self.put_off(member)

    def _serve(self, member: Served, events: int) -> None:
        try:
            self._guard(member.serve, self, events)
        except Busy:
            # What can be read is so until somebody reads it: look away meanwhile.
            self.selector.unregister(member)
            member.events = 0
            self.put_off(member)

    def put_off(self, member: Served) -> None:
        """Attend to ``member`` a moment later."""
        self._busy.append(member)
        self._again_at = min(self._again_at, time.monotonic() + BUSY)

    def _try_again(self) -> None:
        busy, self._busy = self._busy, []
        self._again_at = math.inf
        for member in dict.fromkeys(busy):
            self._attend(member)

    def _select(self) -> list[tuple[selectors.SelectorKey, int]]:
        until = min(self._look_at, self._again_at)
        if self._deadlines:
            until = min(until, self._deadlines[0][0])
        # Said before the queues are looked at for the last time: no ask is missed.
        self._wakes_at = until
        if self.wanted or self._left or self._dated or self.is_stopped:
            self._wakes_at = 0.0
            seconds: float | None = 0.0
        elif until == math.inf:
            seconds = None
        else:
            seconds = max(0.0, until - time.monotonic())
        found = self.selector.select(seconds)
        self._wakes_at = 0.0
        return found

    def _drain(self) -> None:
        try:
            while self._ours.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _take_asks(self) -> None:
        # No more than there are now: who asks for more gets it after the others.
        for _ in range(len(self.wanted)):
            self._attend(self.wanted.popleft())
        while self._left:
            member = self._left.popleft()
            self._recent[member] = member.reads
            self._look_at = min(self._look_at, time.monotonic() + GRACE)
        while self._dated:
            member, when = self._dated.popleft()
            self._date(member, when)

    def _look_at_recent(self, now: float) -> None:
        for member, reads in list(self._recent.items()):
            if member.reads != reads:
                self._recent[member] = member.reads
                continue
            # Nobody has come back for a whole while, or somebody waits all the time.
            del self._recent[member]
            member.recent = False
            self._attend(member)
        self._look_at = now + GRACE if self._recent else math.inf

    # --- deadlines ---------------------------------------------------------------

    def _date(self, member: Served, when: float) -> None:
        entry = member.entry
        if entry is not None:
            if entry[0] <= when:
                return  # the tick before will see to it
            entry[2] = None
        if when < math.inf:
            member.entry = entry = [when, next(self._order), member]
            heapq.heappush(self._deadlines, entry)

    def _tick(self, now: float) -> None:
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            _, _, member = heapq.heappop(deadlines)
            if member is not None:
                member.entry = None
                try:
                    again = self._guard(member.tick, now)
                except Busy:
                    again = now + BUSY
                if again is not None:
                    self._date(member, again)


def _log_failure(exc: BaseException) -> None:
    logger.error("serving a connection failed", exc_info=exc)


def forget(member: Served) -> None:
    """Hold nothing of ``member`` any more: its TCP has ended."""
    if member.entry is not None:
        member.entry[2] = None


def _begin_anew() -> None:
    """In a child process: let the parent's connections go, without a word to peers."""
    helper = Helper._one
    Helper._one = None
    Helper._making = threading.Lock()
    if helper is not None:
        helper._close()
        for member in list(helper.members):
            # What one of them was doing in the parent may have been half done.
            with contextlib.suppress(Exception):
                member.abandon()


def _stop() -> None:
    if Helper._one is not None:
        Helper._one.stop()


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
