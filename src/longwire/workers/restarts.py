"""Restarts: when a worker that died is started again, and when no more.

Reads no clock: the time is an argument.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Restarts"]

FIRST = 0.1
"""Seconds before the first restart, doubled at each further one."""
TOO_MANY, WITHIN = 5, 60.0
"""So many deaths within so many seconds, and the slot is given up."""


class Restarts:
    """The deaths of the workers of one slot."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=TOO_MANY)

    def died(self, now: float) -> float | None:
        """Count a death; return in how many seconds to start again, None for never.

        Deaths that are longer ago than a minute count no more.
        """
        while self._deaths and now - self._deaths[0] > WITHIN:
            self._deaths.popleft()
        self._deaths.append(now)
        count = len(self._deaths)
        if count >= TOO_MANY:
            return None
        return float(FIRST * 2.0 ** (count - 1))

    def forget(self) -> None:
        """Begin anew: the code was replaced."""
        self._deaths.clear()
