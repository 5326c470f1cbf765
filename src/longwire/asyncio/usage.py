"""What one may do with a connection on asyncio, and what one is told instead."""

from __future__ import annotations

import asyncio

from ..errors import ConcurrencyError

__all__ = ["UNBROKEN", "busy", "elsewhere", "is_from_outside"]

UNBROKEN = 256
"""Messages sent without waiting after which other tasks get a turn: a loop that only
sends would else keep everything to itself while the peer reads as fast."""


def elsewhere() -> ConcurrencyError:
    """Return the error of who uses a connection outside of its event loop."""
    return ConcurrencyError(
        "the connection belongs to another event loop; from a thread, use "
        "send_threadsafe(), broadcast() or loop.call_soon_threadsafe()"
    )


def busy(name: str) -> ConcurrencyError:
    """Return the error of who receives while another does."""
    return ConcurrencyError(
        f"cannot call {name} while another coroutine is already running recv or "
        f"recv_streaming"
    )


def is_from_outside(exc: BaseException | None) -> bool:
    """Return whether ``exc`` was thrown into the running task, not raised by its code.

    A CancelledError is, if it is the task's own cancellation and not that of something
    that the task awaited; a GeneratorExit ends the coroutine itself.
    """
    if isinstance(exc, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(exc, GeneratorExit)
