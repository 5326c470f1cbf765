"""Progress: whether a slow peer still takes what it is sent.

Part of the session, with its rules: no I/O, and time is an argument in seconds.
"""

from __future__ import annotations

from .keepalive import NEVER

__all__ = ["Progress"]


class Progress:
    """Watches the bytes that a peer takes while more waits for it than should."""

    __slots__ = ("_taken", "by", "timeout")

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self.by = NEVER  # when to look
        self._taken: int | None = None  # bytes the peer had taken at the last look

    def begin(self, now: float) -> None:
        """Too much waits from now on."""
        self._taken = None
        self.by = NEVER if self.timeout is None else now + self.timeout

    def stop(self) -> None:
        """It does not any more, or nobody cares."""
        self.by = NEVER

    def is_stuck(self, now: float, taken: int) -> bool:
        """Return whether the peer took nothing since the last look, at ``by``."""
        if self._taken is None or taken > self._taken:
            self.by = NEVER if self.timeout is None else now + self.timeout
            self._taken = taken
            return False
        self.by = NEVER
        return True
