"""Decisions read from bytes, so that whatever mutates bytes mutates what targets do.

A few bytes of decisions come first, the bytes for the wire last: a seed is then
readable and a change in the one leaves the other alone. Where the bytes end, all is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

_MULTIPLIER, _INCREMENT = 6364136223846793005, 1442695040888963407


class Choices:
    """Reads decisions from ``data``, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0

    def __bool__(self) -> bool:
        return self._pos < len(self._data)

    def byte(self) -> int:
        """Return the next byte, 0 at the end."""
        if self._pos == len(self._data):
            return 0
        self._pos += 1
        return self._data[self._pos - 1]

    def pick(self, options: Sequence[T]) -> T:
        """Return one of ``options``, the first of them for 0."""
        return options[self.byte() % len(options)]

    def take(self, size: int) -> bytes:
        """Return up to ``size`` bytes."""
        taken = self._data[self._pos : self._pos + size]
        self._pos += len(taken)
        return taken

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self._data))


def split(data: bytes, how: int) -> Iterator[bytes]:
    """Cut ``data``: 0 leaves it whole, 1 is byte by byte, others are at random."""
    if how == 0:
        yield data
        return
    state, pos = how, 0
    while pos < len(data):
        state = (state * _MULTIPLIER + _INCREMENT) & (1 << 64) - 1
        size = 1 if how == 1 else 1 + (state >> 33) % (2 << (state >> 60))
        yield data[pos : pos + size]
        pos += size
