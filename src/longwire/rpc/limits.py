"""RpcLimits: the bounds of what a peer can make us hold or do by calling."""

from __future__ import annotations

import dataclasses
import math

from ..hints import explained_class

__all__ = ["MOST_WINDOW", "RpcLimits", "check_seconds", "check_window"]

MOST_WINDOW = 1024
"""Items of a stream that may be granted with a call."""

_TIMES = ("deadline", "timeout", "stream_idle")


@explained_class("RpcLimits(calls=100, ...)")
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RpcLimits:
    """The bounds of calls, of one connection unless it says otherwise.

    The size of what comes is bounded by the connection: ``max_size`` of ``serve`` and
    ``connect``. Times are in seconds, None is for ever.
    """

    calls: int = 100
    """Calls of the peer's that run at the same time."""
    queued: int = 1000
    """Calls of the peer's that wait for their turn; more are refused: TooBusy."""
    calls_in_all: int = 10_000
    """Calls running or waiting, of all connections of a server. No connection has more
    of them than are free, and a tenth is kept for those that have none."""
    memory: int = 4 << 20
    """Bytes that the arguments of the peer's calls take while they wait, and again
    those of calls that run; beyond, nothing more is read until some have ended, and no
    call begins."""
    memory_in_all: int = 64 << 20
    """Bytes that arguments and answers take on all connections of a server. No
    connection has more of them than are free, and an eighth is kept for those that have
    none: calls beyond that are refused: TooBusy."""
    streams: int = 64
    """Streams that the peer reads at the same time; more are refused: TooBusy."""
    window: int = 16
    """Items of a stream that the peer may send ahead, unless ``window=`` says."""
    stream_idle: float | None = 600.0
    """Time that a stream waits for its reader to take items; then it is ended."""
    pending: int = 10_000
    """Calls of ours that wait for an answer; more raise TooBusy here."""
    batch: int = 100
    """Most calls in one batch of JSON-RPC."""
    deadline: float | None = None
    """Time a call of the peer's may take, waiting included, unless its route says. No
    limit by default: a peer that is gone is noticed by the connection's pings."""
    timeout: float | None = None
    """Time that our calls wait for an answer, unless ``timeout=`` says."""
    message: int = 1 << 20
    """Largest message that we send, in bytes, all answers of a batch included: a larger
    result is an InternalError."""
    unsent: int = 4 << 20
    """Bytes of answers kept for a peer that takes none; then none of its calls begins,
    and at twice as much we stop reading it. As much again is kept of batches of which
    some answers are still to come."""
    strange: int = 100
    """Messages without sense, and answers to nobody, within a minute, at which we close
    with 1008."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in _TIMES:
                check_seconds(field.name, value)
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                kind = type(value).__name__
                raise TypeError(f"{field.name} must be an int, not {kind}")
            least = 0 if field.name in ("queued", "streams") else 1
            if value < least:
                raise ValueError(
                    f"{field.name} is {value}; the least allowed is {least}"
                )
        check_window(self.window)


def check_window(window: int) -> int:
    """Return ``window``; raise ValueError unless it may be asked for."""
    if isinstance(window, bool) or not isinstance(window, int):
        raise TypeError(f"window must be an int, not {type(window).__name__}")
    if not 1 <= window <= MOST_WINDOW:
        raise ValueError(f"window is {window}; 1 to {MOST_WINDOW} are allowed")
    return window


def check_seconds(name: str, value: object) -> None:
    """Raise unless ``value`` is a number of seconds, or None for no limit."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = type(value).__name__
        raise TypeError(f"{name} must be a number of seconds or None, not {kind}")
    if not value > 0 or math.isinf(value):
        raise ValueError(f"{name} is {value}; a finite number > 0 is allowed")
