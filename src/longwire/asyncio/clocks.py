"""Clocks: which one tells the time of an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["clock_of", "has_own_time"]

_MONOTONIC = time.monotonic


def has_own_time(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether ``loop`` counts other seconds than ``time.monotonic``.

    Most do not. One that a test moves has its ``time`` replaced, or ``time.monotonic``
    itself, and may show the same time at first.
    """
    # Not by its __dict__: at the first look at that, CPython moves the attributes of an
    # object into a dict, and each look at one is slower from then on. A turn of the
    # loop looks at dozens.
    is_replaced = getattr(loop.time, "__self__", None) is not loop
    is_moved = is_replaced or time.monotonic is not _MONOTONIC
    return is_moved or abs(loop.time() - time.monotonic()) >= 1.0


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return the clock to read between two timers of ``loop``, in its own seconds.

    The clock of uvloop stands still within a turn, so that a pong seems to come as
    the ping leaves. It counts the same seconds as ``time.monotonic``.
    """
    return loop.time if has_own_time(loop) else time.monotonic
