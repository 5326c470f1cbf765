"""Heartbeat: pings sent and not answered yet, latency, and when a peer is dead.

Part of the session, with its rules: no I/O, and time is an argument in seconds.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from .errors import ConcurrencyError
from .options import Keepalive

__all__ = ["NEVER", "Heartbeat", "Verdict"]

# No deadline. Infinity compares as needed and needs no special case.
NEVER = float("inf")

# A timer this late means that the event loop stood still, not that the peer did.
STALL = 0.25


class Verdict(enum.Enum):
    """What the absence of a pong means."""

    ALIVE = enum.auto()
    STALLED = enum.auto()
    DEAD = enum.auto()


class Heartbeat:
    """The pings of one connection: ours by keepalive and those the user sends."""

    __slots__ = (
        "_ahead",
        "_beat",
        "_beat_at",
        "_extended",
        "_taken",
        "_waiting",
        "interval",
        "latency",
        "loop_stall",
        "ping_at",
        "pong_by",
        "random_bytes",
        "timeout",
    )

    def __init__(
        self, keepalive: Keepalive, random_bytes: Callable[[int], bytes], now: float
    ) -> None:
        self.interval = keepalive.interval
        self.timeout = keepalive.timeout
        self.random_bytes = random_bytes
        self.latency = 0.0
        self.ping_at = NEVER if self.interval is None else now + self.interval
        self.pong_by = NEVER
        self.loop_stall = 0.0
        # The oldest comes first: a pong answers all up to its own (section 5.5.3).
        # Where only ours waits, there is no dict: it would outweigh all the rest here.
        self._waiting: dict[bytes, tuple[Any, float]] | None = None
        self._beat: bytes | None = None
        self._beat_at = now
        self._ahead = 0  # bytes written before our ping
        self._taken = 0  # bytes the peer had taken at the last look
        self._extended = False

    def add(self, payload: bytes | None, waiter: Any, now: float) -> bytes:
        """Enter a ping to be sent; return its payload, random if None is given.

        Raises ConcurrencyError while a ping with the same payload waits.
        """
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = {}
            if self._beat is not None:
                waiting[self._beat] = (None, self._beat_at)
        if payload is None:
            payload = self.random_bytes(4)
            while payload in waiting:
                payload = self.random_bytes(4)
        elif payload in waiting:
            raise ConcurrencyError("already waiting for a pong with the same data")
        waiting[payload] = (waiter, now)
        return payload

    def answered(self, payload: bytes, now: float) -> list[tuple[Any, float]]:
        """Return (waiter, latency) of the pings that a pong with ``payload`` answers.

        An unsolicited pong answers none.
        """
        waiting = self._waiting
        if waiting is None:
            if payload == self._beat:
                self._beat_answered()
                self.latency = now - self._beat_at
            return []
        if payload not in waiting:
            return []
        found = []
        for data in list(waiting):
            waiter, sent_at = waiting.pop(data)
            if data == self._beat:
                self._beat_answered()
            if waiter is not None:
                found.append((waiter, now - sent_at))
            if data == payload:
                self.latency = now - sent_at
                break
        if not waiting:
            self._waiting = None
        return found

    def _beat_answered(self) -> None:
        self._beat = None
        self.pong_by = NEVER
        self.loop_stall = 0.0

    def take_waiters(self) -> list[Any]:
        """Return and forget the waiters of pings, of which none is to be answered.

        Keepalive's own ping has no waiter and stays: its pong says that a peer lives.
        """
        waiting = self._waiting or {}
        kept = {data: pair for data, pair in waiting.items() if pair[0] is None}
        self._waiting = kept or None
        return [waiter for waiter, _ in waiting.values() if waiter is not None]

    def stop(self) -> None:
        """Send no more pings of our own and judge nobody."""
        self.ping_at = self.pong_by = NEVER

    def beat(self, now: float, written: int, unsent: int) -> bytes | None:
        """Return the payload of the keepalive ping that is due, None if not yet.

        While the last one waits for its pong, there is no next. ``unsent`` of the
        ``written`` bytes before it wait in the wire.
        """
        if self.interval is None:
            return None
        self.ping_at = now + self.interval
        if self._beat is not None:
            return None
        if self._waiting is None:
            self._beat = self.random_bytes(4)
        else:
            self._beat = self.add(None, None, now)
        self._beat_at = now
        self._ahead, self._taken = written, written - unsent
        self._extended = False
        if self.timeout is not None:
            self.pong_by = now + self.timeout
        return self._beat

    def judge(
        self, now: float, *, last_receive: float, reading: bool, taken: int
    ) -> Verdict:
        """Decide what it means that ``pong_by`` has passed; move it if not DEAD."""
        timeout = self.timeout
        if timeout is None:
            self.pong_by = NEVER
            return Verdict.ALIVE
        late = now - self.pong_by
        if last_receive + timeout > now:
            self.pong_by = last_receive + timeout  # it speaks: it lives
        elif not reading:
            self.pong_by = now + timeout  # the pong may be in what we do not read
        elif self._taken < taken < self._ahead:
            self._taken = taken
            self.pong_by = now + timeout  # it takes what lies before our ping
        elif late > STALL and not self._extended:
            # Our loop stood still: what came meanwhile has to be read first.
            self._extended = True
            self.loop_stall = late
            self.pong_by = now + min(timeout, 1.0)
            return Verdict.STALLED
        else:
            return Verdict.DEAD
        return Verdict.ALIVE
