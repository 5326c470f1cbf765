"""Tasks: those that a driver, a feed or a client runs, and ends with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from .errors import BrokerUnavailable

__all__ = ["Tasks", "fail_all"]

logger = logging.getLogger("longwire.hub")

T = TypeVar("T")


class Tasks:
    """The tasks of one owner, whose name is in the log line of one that fails."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run ``coroutine`` in a task that ``stop()`` cancels."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task of %s failed", self._owner, exc_info=error)

    async def stop(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def fail_all(futures: Iterable[asyncio.Future[Any]], why: str) -> None:
    """End those that wait for a broker with BrokerUnavailable; ``stored`` is None."""
    for future in futures:
        if not future.done():
            future.set_exception(BrokerUnavailable(why))
            future.exception()  # asyncio logs nothing where nobody awaits it
