"""Random bytes of one size, asked of the system by the hundred.

Keepalive needs four for each ping of each connection, a publish some for its tag and
its epoch: a call of the system for each was 5 % of what a publish costs (bench/hub.py
--only publish).
"""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["ready_bytes"]

MANY = 128


def ready_bytes(size: int) -> Callable[[], bytes]:
    """Return a function that returns ``size`` bytes that nobody can predict."""
    # list.pop() and list.extend() are safe in threads.
    ready: list[bytes] = []

    def take() -> bytes:
        try:
            return ready.pop()
        except IndexError:
            data = os.urandom(size * MANY)
            ready.extend(data[at : at + size] for at in range(size, len(data), size))
            return data[:size]

    if hasattr(os, "register_at_fork"):
        # A child must not take the same ones: equal tags make two messages one.
        os.register_at_fork(after_in_child=ready.clear)
    return take
