"""Patience: a limit of time for many waits that are equally long, by one timer.

``asyncio.timeout()`` makes and cancels a timer for each; that was 10 to 20 % of what a
publish costs (bench/hub.py --only publish). Here the waits of one length are in a
queue, in the order of their ends, and one timer is for the first.
"""

from __future__ import annotations

import asyncio
import collections
from types import TracebackType

__all__ = ["Patience"]


class Patience:
    """Limits of ``seconds`` each, for the tasks of one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waits: collections.deque[_Limit] = collections.deque()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._waits)

    def limit(self) -> _Limit:
        """Return a context manager that raises TimeoutError when the time is over."""
        return _Limit(self)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the tasks; to ask for it costs a system call each time."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def begin(self, limit: _Limit, loop: asyncio.AbstractEventLoop) -> None:
        """Let the time of a limit run, on the loop of its task."""
        limit.until = loop.time() + self._seconds
        self._waits.append(limit)
        if self._timer is None:
            self._timer = loop.call_at(limit.until, self._end_waits)

    def forget_ended(self) -> None:
        """Forget those that have ended; one that has not keeps those behind it."""
        waits = self._waits
        while waits and waits[0].task is None:
            waits.popleft()

    def _end_waits(self) -> None:
        self._timer = None
        self.forget_ended()
        loop = self.loop
        now = loop.time()
        while self._waits and self._waits[0].until <= now:
            self._waits.popleft().end_task()
            self.forget_ended()
        if self._waits:
            self._timer = loop.call_at(self._waits[0].until, self._end_waits)


class _Limit:
    """One wait. Tells its own end from a cancellation as ``asyncio.timeout()`` does."""

    __slots__ = ("_cancelling", "_patience", "is_over", "task", "until")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._cancelling = 0
        self.task: asyncio.Task[object] | None = None
        self.until = 0.0
        """When the time is over, by the loop's clock."""
        self.is_over = False

    def __enter__(self) -> _Limit:
        loop = self._patience.loop
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("only a task can be given a limit of time")
        self.task = task
        self._cancelling = task.cancelling()
        self._patience.begin(self, loop)
        return self

    @property
    def left(self) -> float:
        """Seconds until the time is over."""
        return self.until - self._patience.loop.time()

    def end_task(self) -> None:
        """The time is over."""
        if self.task is not None:
            self.is_over = True
            self.task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self.task = self.task, None
        self._patience.forget_ended()
        if self.is_over:
            assert task is not None
            # Cancelled by somebody else as well: that is what it ends with.
            alone = task.uncancel() <= self._cancelling
            if alone and kind is not None and issubclass(kind, asyncio.CancelledError):
                raise TimeoutError from exc
