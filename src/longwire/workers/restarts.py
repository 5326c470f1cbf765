"""Restarts: when a worker that died is started again, and when no more.

Reads no clock: the time is an argument.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Restarts"]

FIRST = 0.1
"""Seconds before the first restart, doubled at each further one."""
MAX_PAUSE = 10.0
"""Most seconds to the next attempt where the system has no room for a process."""
TOO_MANY, WITHIN = 5, 60.0
"""So many deaths within so many seconds, and the slot is given up."""


class Restarts:
    """The deaths of the workers of one slot."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=TOO_MANY)
        self._attempts = 0  # in a row for which there was no room

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

    def cannot_spawn(self) -> float:
        """Return in how many seconds to try again where there was no room.

        That says nothing of the application, so it is no death.
        """
        self._attempts += 1
        return min(FIRST * 2.0 ** min(self._attempts - 1, 10), MAX_PAUSE)

    def is_ready(self) -> None:
        """A worker was started, and is ready."""
        self._attempts = 0

    def forget(self) -> None:
        """Begin anew: the code was replaced."""
        self._deaths.clear()
        self._attempts = 0
