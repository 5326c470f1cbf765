"""Places: where threads wait for a change of what one lock guards.

As ``threading.Condition``, but for interrupts: that one takes the lock back at the end
of a wait, and a signal's handler that raises meanwhile leaves it taken, or not, with
nobody knowing. Here a thread waits without the lock, and takes it anew by ``with``.
"""

from __future__ import annotations

import contextlib
import threading

__all__ = ["Places", "wait_at"]


class Places(list[threading.Lock]):
    """The places of those that wait now; the lock is held for each call."""

    __slots__ = ()

    def take(self) -> threading.Lock:
        """Return a place that the next change wakes; for :func:`wait_at`.

        One that nobody waits at does no harm: it is forgotten at the next change.
        """
        place = threading.Lock()
        place.acquire()
        self.append(place)
        return place

    def leave(self, place: threading.Lock) -> None:
        """Forget a place where nobody waits any more."""
        # A pong's places have no lock: another thread may have removed it.
        with contextlib.suppress(ValueError):
            self.remove(place)

    def wake(self) -> None:
        """Wake all that wait."""
        for place in list(self):
            # Unlocked already where this was interrupted before.
            if place.locked():
                place.release()
            self.leave(place)


def wait_at(place: threading.Lock, seconds: float | None) -> bool:
    """Wait at ``place``, without the lock; return whether something has changed."""
    return place.acquire(timeout=-1 if seconds is None else seconds)
