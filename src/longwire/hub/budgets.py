"""Budgets: how often one connection may call, by a bucket that fills with time."""

from __future__ import annotations

__all__ = ["Budget"]


class Budget:
    """So many at once, and so many a second in the long run; None is no limit."""

    __slots__ = ("_filled_at", "_left")

    def __init__(self) -> None:
        self._left = -1.0  # not looked at yet: full
        self._filled_at = 0.0

    def take(self, rate: float | None, most: float | None, now: float) -> float:
        """Take one of ``most`` that come back at ``rate``.

        Returns 0, or the seconds after which there is one again.
        """
        if rate is None:
            return 0.0
        most = rate if most is None else most
        if self._left < 0.0:
            self._left = most
        else:
            self._left = min(most, self._left + (now - self._filled_at) * rate)
        self._filled_at = now
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / rate
