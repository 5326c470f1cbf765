"""Heartbeat: pings sent and not answered yet, latency, and when a peer is dead.

Part of the session, with its rules: no I/O, and time is an argument in seconds.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ..errors import ConcurrencyError, TooManyPings
from ..options import Keepalive

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
        "_answered",
        "_beat",
        "_beat_at",
        "_counted",
        "_extended",
        "_second",
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
        self._waiting: OrderedDict[bytes, tuple[Any, float]] | None = None
        self._beat: bytes | None = None
        self._beat_at = now
        self._ahead = 0  # bytes written before our ping
        self._taken = 0  # bytes the peer had taken at the last look
        self._extended = False
        self._answered: list[tuple[Any, float]] | None = None
        self._second = now
        self._counted = 0  # the peer's pings in this second

    def count(self, now: float, allowed: int | None) -> None:
        """Count a ping of the peer's; TooManyPings if it is one too many."""
        if now - self._second >= 1.0:
            self._second = now
            self._counted = 0
        self._counted += 1
        if allowed is not None and self._counted > allowed:
            raise TooManyPings(allowed)

    def choose(self, payload: bytes | None) -> bytes:
        """Return the payload of a ping to be sent; a random one if None is given.

        Raises ConcurrencyError while a ping with the same payload waits.
        """
        waiting = self._waiting
        if payload is None:
            payload = self.random_bytes(4)
            while payload == self._beat or (waiting and payload in waiting):
                payload = self.random_bytes(4)
        elif payload == self._beat or (waiting and payload in waiting):
            raise ConcurrencyError("already waiting for a pong with the same data")
        return payload

    def add(self, payload: bytes, waiter: Any, now: float) -> None:
        """Enter a ping that was sent; ``choose()`` has given its payload."""
        if self._waiting is None:
            self._waiting = OrderedDict()
            if self._beat is not None:
                self._waiting[self._beat] = (None, self._beat_at)
        self._waiting[payload] = (waiter, now)

    def answered(self, payload: bytes, now: float) -> bool:
        """Enter a pong; return whether it answers pings that somebody waits for.

        It answers all pings up to the one with its payload (section 5.5.3); one that
        nobody asked for answers none.
        """
        waiting = self._waiting
        if waiting is None:
            if payload == self._beat:
                self._beat_answered()
                self.latency = now - self._beat_at
            return False
        if payload not in waiting:
            return False
        if self._answered is None:
            self._answered = []
        data = None
        while data != payload:
            data, (waiter, sent_at) = next(iter(waiting.items()))
            if waiter is not None:
                self._answered.append((waiter, now - sent_at))
            del waiting[data]
            self.latency = now - sent_at
            if data == self._beat:
                self._beat_answered()
        if not waiting:
            self._waiting = None
        return len(self._answered) > 0

    def take_answered(self) -> list[tuple[Any, float]]:
        """Return (waiter, latency) for each ping answered since the last time."""
        answered, self._answered = self._answered, None
        return answered or []

    def _beat_answered(self) -> None:
        self._beat = None
        self.pong_by = NEVER
        self.loop_stall = 0.0

    def take_waiters(self) -> list[Any]:
        """Return and forget the waiters of pings, of which none is to be answered.

        Keepalive's own ping has no waiter and stays: its pong says that a peer lives.
        """
        waiters: list[Any] = []
        if self._waiting is not None:
            kept: OrderedDict[bytes, tuple[Any, float]] = OrderedDict()
            for data, pair in self._waiting.items():
                if pair[0] is None:
                    kept[data] = pair
                else:
                    waiters.append(pair[0])
            self._waiting = kept or None
        return waiters

    def stop(self) -> None:
        """Send no more pings of our own and judge nobody."""
        self.ping_at = self.pong_by = NEVER

    def due(self, now: float) -> bytes | None:
        """Return the payload of the keepalive ping that is due, None for none.

        While the last one waits for its pong, there is no next.
        """
        if now < self.ping_at or self.interval is None:
            return None
        self.ping_at = now + self.interval
        return self.choose(None) if self._beat is None else None

    def beat(self, payload: bytes, now: float, written: int, unsent: int) -> None:
        """Enter the keepalive ping that was sent.

        ``unsent`` of the ``written`` bytes before it wait in the wire.
        """
        if self._waiting is not None:
            self._waiting[payload] = (None, now)
        self._beat = payload
        self._beat_at = now
        self._ahead, self._taken = written, written - unsent
        self._extended = False
        if self.timeout is not None:
            self.pong_by = now + self.timeout

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
