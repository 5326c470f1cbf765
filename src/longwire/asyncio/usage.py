"""What one may do with a connection on asyncio, and what one is told instead."""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop

from ..errors import ConcurrencyError

__all__ = [
    "UNBROKEN",
    "busy",
    "check_loop",
    "check_thread",
    "elsewhere",
    "is_from_outside",
]

UNBROKEN = 256
"""Messages sent without waiting after which other tasks get a turn: a loop that only
sends would else keep everything to itself while the peer reads as fast."""


def elsewhere(what: str = "connection") -> ConcurrencyError:
    """Return the error of who uses a connection or server outside of its event loop."""
    ways = "send_threadsafe(), broadcast() or " if what == "connection" else ""
    return ConcurrencyError(
        f"the {what} belongs to another event loop; from a thread, use "
        f"{ways}loop.call_soon_threadsafe()"
    )


def check_loop(loop: asyncio.AbstractEventLoop, what: str = "connection") -> None:
    """Raise ConcurrencyError unless ``loop`` runs here: for what is awaited."""
    if _get_running_loop() is not loop:
        raise elsewhere(what)


def check_thread(loop: asyncio.AbstractEventLoop, what: str = "connection") -> None:
    """Raise ConcurrencyError where ``loop`` may run at the same time.

    For what waits for nothing: it may also be called between two runs of the loop.
    """
    running = _get_running_loop()
    if running is not loop and (running is not None or loop.is_running()):
        raise elsewhere(what)


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
