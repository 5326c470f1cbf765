"""Watch: how much memory the messages of a server's connections take together.

`longwire.budget` decides; here is when it is asked, and what it has done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Set as AbstractSet
from typing import Protocol

from ..budget import LATEST, Budget
from ..errors import LimitExceeded

__all__ = ["Watch", "Watched"]

_SHARE = 50
"""A look that took so and so long is followed by a pause of so many times as much: a
server with 65,536 connections is looked at in 30 ms, and for 2 % of its time."""


class Watched(Protocol):
    """A connection."""

    @property
    def _memory(self) -> int: ...

    def _hold(self) -> None: ...

    def _release(self) -> None: ...

    def _shed(self, error: LimitExceeded) -> None: ...


class Watch:
    """Looks at the ``connections`` of one server, as long as there are any."""

    def __init__(
        self,
        connections: AbstractSet[Watched],
        limit: int | None,
        logger: logging.Logger | logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._connections = connections
        self._logger = logger
        self._timer: asyncio.TimerHandle | None = None
        self._begun = False  # whether some are held, and that was said
        self._budget: Budget[Watched] | None = None
        if limit is not None:
            self._budget = Budget(limit, _hold, _release, self._give_up)

    def begin(self) -> None:
        """There is a connection to look at."""
        if self._timer is None and self._budget is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LATEST, self._look, self._budget)

    def end(self) -> None:
        """Nobody is there any more: forget those that were held, and their messages."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._budget is not None and self._begun:
            self._look_at(self._budget, {}, 0.0)

    def _look(self, budget: Budget[Watched]) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        pause = LATEST
        try:
            sizes = {ws: ws._memory for ws in self._connections}
            pause = self._look_at(budget, sizes, now)
        finally:
            pause = max(pause, (loop.time() - now) * _SHARE)
            self._timer = loop.call_later(pause, self._look, budget)

    def _look_at(
        self, budget: Budget[Watched], sizes: dict[Watched, int], now: float
    ) -> float:
        """Have the budget act on the sizes; return in how long to look again."""
        pause = budget.look(sizes, now)
        if bool(budget.held) is not self._begun:
            self._begun = not self._begun
            self._tell(budget)
        return pause

    def _tell(self, budget: Budget[Watched]) -> None:
        text = (
            "server reads no more from the %d largest connections: messages take %d of "
            "%d bytes (server_memory)"
            if self._begun
            else "server reads from all connections again: %d held, %d of %d bytes"
        )
        level = logging.WARNING if self._begun else logging.INFO
        self._logger.log(level, text, budget.held, budget.total, budget.limit)

    def _give_up(self, ws: Watched) -> None:
        assert self._budget is not None
        error = LimitExceeded("the server is short of memory for messages")
        error.code = 1013  # try again later
        error.limit, error.limit_value = "server_memory", self._budget.limit
        ws._shed(error)


def _hold(ws: Watched) -> None:
    ws._hold()


def _release(ws: Watched) -> None:
    ws._release()
