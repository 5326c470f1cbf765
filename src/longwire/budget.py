"""Budget: the memory that all connections of a server may take together.

Each connection has limits of its own; thousands of them at their limits are more than
the machine has. Above the budget, the largest are not read from any more, until the sum
has fallen. One that does not get smaller by that, since nobody takes its messages, or
what it holds is half a message, or its peer takes no output, is closed: nothing waits
for ever, and small ones go on all the time.

Reads no clock: a front end tells the sizes now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from .errors import LimitExceeded

__all__ = ["LATEST", "PATIENCE", "Budget", "Watch", "Watched"]

M = TypeVar("M")

PATIENCE = 10.0
"""Seconds that a connection may be held without getting smaller."""

# Parts of the budget. Some lie between holding and releasing, so that a connection is
# not held and released all the time.
_ROOMY = 0.75
_SMALLER = 0.9

# Bytes that may come in a second, from all peers together: more than any machine's
# network gives to one thread that also reads them.
_FASTEST = float(1 << 30)
SOONEST, LATEST = 0.05, 0.5
"""Seconds between two looks, at least and at most."""


class Budget(Generic[M]):
    """``limit`` bytes for all; ``hold``, ``release`` and ``give_up`` act on one."""

    def __init__(
        self,
        limit: int,
        hold: Callable[[M], None],
        release: Callable[[M], None],
        give_up: Callable[[M], None],
    ) -> None:
        self.limit = limit
        self.total = 0
        self._hold = hold
        self._release = release
        self._give_up = give_up
        # Since when each is held at that size, or a little less.
        self._held: dict[M, tuple[float, int]] = {}

    @property
    def held(self) -> int:
        """How many are held."""
        return len(self._held)

    def look(self, sizes: Mapping[M, int], now: float) -> float:
        """Act on the ``sizes`` of all members; return when to look again, in seconds.

        Who is not among them any more has gone.
        """
        self.total = sum(sizes.values())
        self._held = {m: since for m, since in self._held.items() if m in sizes}
        if self.total <= self.limit * _ROOMY:
            for member in list(self._held):
                self._let_go(member)
        else:
            level = self._level(sizes)
            self._release_small(sizes, level)
            if self.total > self.limit:
                self._hold_large(sizes, level, now)
            self._lose_patience(sizes, now)
        if self._held:
            return SOONEST
        return min(LATEST, max(SOONEST, (self.limit - self.total) / _FASTEST))

    def _level(self, sizes: Mapping[M, int]) -> int:
        """Return the size to which the largest would have to be cut to make room."""
        excess = self.total - self.limit * _ROOMY
        ordered = sorted(sizes.values(), reverse=True)
        above = 0
        for count, size in enumerate(ordered, 1):
            above += size
            below = ordered[count] if count < len(ordered) else 0
            # Cut to the size of the next one, the first ones give this much.
            if above - count * below >= excess:
                return max(0, int((above - excess) / count))
        return 0

    def _release_small(self, sizes: Mapping[M, int], level: int) -> None:
        for member in list(self._held):
            if sizes[member] * 2 <= level:
                self._let_go(member)

    def _hold_large(self, sizes: Mapping[M, int], level: int, now: float) -> None:
        for member, size in sizes.items():
            if size > level and member not in self._held:
                self._held[member] = (now, size)
                self._hold(member)

    def _lose_patience(self, sizes: Mapping[M, int], now: float) -> None:
        """Close those that were held long enough for nothing, the largest first."""
        overdue = []
        for member, (since, size) in self._held.items():
            if sizes[member] < size * _SMALLER:
                self._held[member] = (now, sizes[member])
            elif now - since >= PATIENCE:
                overdue.append(member)
        overdue.sort(key=sizes.__getitem__, reverse=True)
        for member in overdue:
            if self.total <= self.limit * _ROOMY:
                return
            self.total -= sizes[member]
            del self._held[member]
            self._give_up(member)

    def _let_go(self, member: M) -> None:
        del self._held[member]
        self._release(member)


class Watched(Protocol):
    """A connection, as far as its memory is concerned."""

    def _hold(self) -> None: ...

    def _release(self) -> None: ...

    def _shed(self, error: LimitExceeded) -> None: ...


def _log_now(log: Callable[..., object], *args: object) -> None:
    log(*args)


class Watch:
    """The budget of one server's connections: carries out and logs what it decides.

    ``begun`` says whether some of them are held, and that was logged. ``log`` is called
    with a method of ``logger`` and its arguments.
    """

    def __init__(
        self, limit: int, logger: Any, log: Callable[..., None] = _log_now
    ) -> None:
        self.limit = limit
        self._logger = logger
        self._log_by = log
        self._budget: Budget[Watched] = Budget(limit, _hold, _release, self._give_up)
        self.begun = False

    def look(self, sizes: Mapping[Any, int], now: float) -> float:
        """Act on the memory of each connection; return when to look again, in seconds.

        ``sizes`` are in bytes.
        """
        pause = self._budget.look(sizes, now)
        if bool(self._budget.held) is not self.begun:
            self.begun = not self.begun
            self._log()
        return pause

    def forget(self) -> None:
        """No connection is left: drop those that were held, and their messages."""
        if self.begun:
            self.look({}, 0.0)

    def _log(self) -> None:
        budget = self._budget
        if self.begun:
            self._log_by(
                self._logger.warning,
                "server reads no more from the %d largest connections: messages take "
                "%d of %d bytes (server_memory)",
                *(budget.held, budget.total, budget.limit),
            )
        else:
            self._log_by(
                self._logger.info,
                "server reads from all connections again: %d held, %d of %d bytes",
                *(budget.held, budget.total, budget.limit),
            )

    def _give_up(self, ws: Watched) -> None:
        error = LimitExceeded("the server is short of memory for messages")
        error.code = 1013  # try again later
        error.limit, error.limit_value = "server_memory", self._budget.limit
        ws._shed(error)


def _hold(ws: Watched) -> None:
    ws._hold()


def _release(ws: Watched) -> None:
    ws._release()
