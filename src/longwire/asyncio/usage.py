"""What one may do with a connection on asyncio, and what one is told instead."""

from __future__ import annotations

from ..errors import ConcurrencyError

__all__ = ["UNBROKEN", "busy", "elsewhere"]

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
