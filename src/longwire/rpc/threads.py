"""Threads: the pool that routes with ``threads=True`` run in, shared fairly.

Whoever has routes that block for long must not take all threads from everybody else: no
owner, a connection, has more than half of them, and owners that wait take turns. May be
used from several event loops at once.
"""

from __future__ import annotations

import collections
import concurrent.futures
import threading
from collections.abc import Callable, Hashable
from typing import Any

__all__ = ["Threads", "Turns"]

Future = concurrent.futures.Future[Any]
Work = tuple[Future, Callable[[], Any]]

_SPARE = 3
"""How many threads more, for each, take the place of those that wait for a call."""


class Turns:
    """Whose work is next. No threads, no locks: those are the business of `Threads`.

    ``count`` may be at work at a time, half of it for one owner: its ``share``.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self.share = max(1, count // 2)
        self._waiting: dict[Hashable, collections.deque[Work]] = {}
        self._busy: collections.Counter[Hashable] = collections.Counter()

    def add(self, owner: Hashable, work: Work) -> None:
        """Let work of ``owner`` wait for its turn."""
        self._waiting.setdefault(owner, collections.deque()).append(work)

    def next(self) -> tuple[Hashable, Work] | None:
        """Return what may begin now, and whose it is; it takes one of the places."""
        if self._free <= 0:
            return None
        may = (owner for owner in self._waiting if self._busy[owner] < self.share)
        owner = next(may, None)
        if owner is None:
            return None
        works = self._waiting.pop(owner)
        work = works.popleft()
        if works:
            self._waiting[owner] = works  # behind all others
        self._take(owner, 1)
        return owner, work

    def done(self, owner: Hashable) -> None:
        """Work of ``owner`` has ended, or waits and lends its place."""
        self._take(owner, -1)

    def resume(self, owner: Hashable) -> None:
        """Work that lent its place goes on."""
        self._take(owner, 1)

    def _take(self, owner: Hashable, count: int) -> None:
        self._free -= count
        self._busy[owner] += count
        if not self._busy[owner]:
            del self._busy[owner]


class Threads:
    """Up to ``count`` threads, started when they are needed."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._turns = Turns(count)
        self.share = self._turns.share
        self._usual = _Pool(count)
        self._spare = _Pool(count * _SPARE)

    def submit(self, owner: Hashable, function: Callable[[], Any]) -> Future:
        """Return the future of ``function()``, to be called in a thread."""
        future: Future = concurrent.futures.Future()
        with self._lock:
            self._turns.add(owner, (future, function))
        self._begin()
        return future

    def lend(self, owner: Hashable) -> None:
        """Work of ``owner`` blocks in its thread until a call of its own is answered.

        Others may have its place meanwhile, for the answer may depend on them.
        """
        with self._lock:
            self._turns.done(owner)
        self._begin()

    def resume(self, owner: Hashable) -> None:
        """It goes on."""
        with self._lock:
            self._turns.resume(owner)

    def _begin(self) -> None:
        """Begin all that may."""
        while True:
            with self._lock:
                pool = self._usual if self._usual.free else self._spare
                turn = self._turns.next() if pool.free else None
                if turn is None:
                    return
                pool.free -= 1
            owner, (future, function) = turn
            if not future.set_running_or_notify_cancel():
                self._ended(owner, pool)
                continue
            try:
                pool.threads.submit(self._run, owner, pool, future, function)
            except BaseException as exc:  # the interpreter is going down
                self._ended(owner, pool)
                future.set_exception(exc)

    def _ended(self, owner: Hashable, pool: _Pool) -> None:
        with self._lock:
            pool.free += 1
            self._turns.done(owner)

    def _run(
        self,
        owner: Hashable,
        pool: _Pool,
        future: Future,
        function: Callable[[], Any],
    ) -> None:
        try:
            result = function()
        except BaseException as exc:
            self._ended(owner, pool)
            future.set_exception(exc)
        else:
            self._ended(owner, pool)
            future.set_result(result)
        self._begin()


class _Pool:
    """Threads, and how many of them have nothing to do."""

    def __init__(self, count: int) -> None:
        self.free = count
        self.threads = concurrent.futures.ThreadPoolExecutor(
            count, thread_name_prefix="longwire-rpc"
        )
