"""Histogram: counts of seconds in buckets, without a library."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["LAG", "SECONDS", "Histogram"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of handshakes, calls and latencies."""
LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Upper bounds of the lag of event loops."""


class Histogram:
    """How many values there were up to each of ``bounds``, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return each upper bound, as text, with the count of all values up to it."""
        found, sum_so_far = [], 0
        for bound, count in zip((*self.bounds, None), self.counts, strict=True):
            sum_so_far += count
            found.append(("+Inf" if bound is None else f"{bound:g}", float(sum_so_far)))
        return found
