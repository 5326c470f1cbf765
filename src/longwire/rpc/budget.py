"""Budget: what all connections of a server may have under way together.

Calls and bytes. No connection has more of either than what is left for all others, and
the last part is kept for connections that have nothing yet: ten of them cannot keep
everybody else out, however much each of them asks for. No I/O.
"""

from __future__ import annotations

__all__ = ["Budget", "Holding"]

_NO_LIMIT = 1 << 62


class Budget:
    """Calls and bytes that may be under way on all connections together.

    ``left`` and ``memory_left`` are what is free, ``reserve`` and ``memory_reserve``
    what of it is kept for connections that have nothing under way. Bytes may be
    overdrawn: what has come, and the answer to it, are held whatever they take.
    """

    __slots__ = ("left", "memory_left", "memory_reserve", "reserve")

    def __init__(self, calls: int, memory: int = _NO_LIMIT) -> None:
        self.left = calls
        self.memory_left = memory
        self.reserve = calls // 10
        self.memory_reserve = memory // 8


class Holding:
    """What one connection has of a `Budget`: every change of it is made here."""

    __slots__ = ("_budget", "calls", "memory")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.calls = 0
        self.memory = 0

    def take(self) -> bool:
        """Take the place of one call; return whether there was one."""
        budget = self._budget
        if self.calls >= budget.left - (budget.reserve if self.calls else 0):
            return False
        self.calls += 1
        budget.left -= 1
        return True

    def give_back(self) -> None:
        """Give back the place of one call."""
        self.calls -= 1
        self._budget.left += 1

    def hold(self, size: int) -> None:
        """Hold ``size`` more bytes, fewer if it is negative."""
        self.memory += size
        self._budget.memory_left -= size

    @property
    def may_hold_more(self) -> bool:
        """Whether this connection's part of all memory is not used up."""
        budget = self._budget
        reserve = budget.memory_reserve if self.memory else 0
        return self.memory < budget.memory_left - reserve
