"""Budgets: how often one connection may call, by a bucket that fills with time."""

from __future__ import annotations

__all__ = ["Budget", "Budgets"]


class Budget:
    """So many at once, and so many a second in the long run; None is no limit."""

    __slots__ = ("_filled_at", "_left", "_most", "_rate")

    def __init__(self, rate: float | None, most: float | None, now: float) -> None:
        self._rate = rate
        self._most = rate if most is None else most
        self._left = 0.0 if self._most is None else self._most
        self._filled_at = now

    def take(self, now: float) -> float:
        """Take one; return 0, or the seconds after which there is one again."""
        if self._rate is None or self._most is None:
            return 0.0
        gained = (now - self._filled_at) * self._rate
        self._left = min(self._most, self._left + gained)
        self._filled_at = now
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self._rate


class Budgets:
    """Those of one connection."""

    __slots__ = ("calls", "publishes")

    def __init__(self, calls: Budget, publishes: Budget) -> None:
        self.calls = calls
        self.publishes = publishes
