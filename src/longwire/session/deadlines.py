"""Deadlines: whether a slow or silent peer is given up; what shortage of memory costs.

Part of the session, with its rules: no I/O, and time is an argument in seconds.
"""

from __future__ import annotations

from typing import Any

from ..errors import LimitExceeded
from .closing_table import NO_PONG, WRITE_TIMEOUT
from .keepalive import Verdict
from .report import note_dropped

__all__ = ["check_pong", "check_write", "shed"]


def check_write(session: Any, now: float, unsent: int) -> None:
    """Cut a peer off that takes nothing of what it is sent."""
    if session.progress.is_stuck(now, session.protocol.bytes_sent - unsent):
        seconds = session.timeouts.write
        text = f"the peer took none of {unsent} unsent bytes within {seconds} seconds"
        session.end(WRITE_TIMEOUT, now, detail=text)


def check_pong(session: Any, now: float, unsent: int) -> None:
    """Close the connection if the pong that is missing says that the peer is dead."""
    verdict = session.heartbeat.judge(
        now,
        last_receive=session.last_receive,
        reading=session.wants_reading and not session.holding,
        taken=session.protocol.bytes_sent - unsent,
    )
    if verdict is Verdict.DEAD:
        age, timeout = now - session.last_receive, session.heartbeat.timeout
        detail = f"no pong within {timeout} seconds; last byte {age:.1f} seconds ago"
        session.end(NO_PONG, now, None, 1011, "keepalive ping timeout", detail)


def shed(session: Any, error: LimitExceeded, now: float) -> int:
    """Drop what the reader has not taken, and end the connection.

    Returns how many messages were dropped that the report, which was there, had not
    counted.
    """
    before: int = session.intake.dropped
    session.intake.forget()
    if session.ended is None:
        session.fail(error, now)
        return 0
    unread: int = session.intake.dropped - before
    if unread:
        note_dropped(session.ended, unread, error)
    return unread
