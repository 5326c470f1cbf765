"""Footprint: how much memory a str or bytes takes.

The reference for the kernel of the same name in ``footprint.pyx``, which is used
instead when it is built. CPython stores a text with 1, 2 or 4 bytes for each character,
as its widest one needs: one emoji makes 1 MiB of ASCII 4 MiB.
"""

from __future__ import annotations

from sys import getsizeof

# What CPython 3.11 adds to the characters or bytes of an object, at most.
_OVERHEAD = 76


def memory_of(payload: str | bytes) -> int:
    """Return the bytes of memory that ``payload`` takes, the object's own included."""
    try:
        return getsizeof(payload)
    except TypeError:
        # PyPy does not tell: a text there is UTF-8, at most 4 bytes a character.
        width = 4 if isinstance(payload, str) and not payload.isascii() else 1
        return width * len(payload) + _OVERHEAD
