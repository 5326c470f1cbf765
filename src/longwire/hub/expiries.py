"""Expiries: permissions that end, and the word to their clients some time before."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import NamedTuple

from .permissions import Access
from .subscriptions import GONE, Subscription

__all__ = ["WARNING", "Ended", "Ending", "Expiries"]

WARNING = 30.0
"""Seconds before the end of a permission at which its client is told."""


SPARE = 1000
"""Places for permissions that ended early, beside as many as there are in force: they
may have years to go."""


class Ending(NamedTuple):
    """A permission ends in ``seconds``."""

    sub: Subscription
    seconds: float


class Ended(NamedTuple):
    """A permission has ended."""

    sub: Subscription


class Expiries:
    """When the permissions of subscriptions end. Time is an argument."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Subscription]] = []
        self._order = itertools.count()
        self._most = SPARE

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, sub: Subscription, now: float) -> None:
        """Watch a subscription, or one whose permission was renewed."""
        access: Access = sub.grant
        if access.expires == math.inf:
            return
        due = access.expires if access.told else max(access.expires - WARNING, now)
        if len(self._heap) >= self._most:
            self._drop_the_old()
        heapq.heappush(self._heap, (due, next(self._order), sub))

    def _drop_the_old(self) -> None:
        """Forget subscriptions that ended, and what was meant before a renewal."""
        newest: dict[Subscription, tuple[float, int, Subscription]] = {}
        for due, order, sub in sorted(self._heap, key=lambda each: each[1]):
            if sub.state != GONE:
                newest[sub] = (due, order, sub)
        self._heap = list(newest.values())
        heapq.heapify(self._heap)
        self._most = max(SPARE, 2 * len(self._heap))

    def next_deadline(self) -> float:
        """Return when ``due()`` has something to say."""
        return self._heap[0][0] if self._heap else math.inf

    def due(self, now: float) -> list[Ending | Ended]:
        """Return what is due at ``now``."""
        found: list[Ending | Ended] = []
        while self._heap and self._heap[0][0] <= now:
            _, _, sub = heapq.heappop(self._heap)
            if sub.state == GONE:
                continue
            access: Access = sub.grant
            if now >= access.expires:
                found.append(Ended(sub))
            elif not access.told and now >= access.expires - WARNING:
                access.told = True
                found.append(Ending(sub, access.expires - now))
                self.add(sub, now)
            # Else it was renewed meanwhile, and added anew.
        return found
