"""Deadlines: what becomes of a session when one has passed, or memory is short.

Part of the session, with its rules: no I/O, and time is an argument in seconds.
"""

from __future__ import annotations

from typing import Any

from ..errors import LimitExceeded
from ..messages import Cause
from .keepalive import NEVER, Verdict
from .report import first_cause, note_dropped

__all__ = [
    "STATE",
    "check_pong",
    "check_write",
    "date",
    "give_up_closing",
    "patience",
    "shed",
]

STATE = 8  # one of the session's flags: wake who waits for a change


def date(session: Any, now: float) -> None:
    """Have deadlines count from now that were set when the time was not known."""
    session.undated = False
    if session.grace_by != NEVER:
        session.grace_by = now + session.timeouts.fault_grace
    if session.close_by != NEVER:
        session.close_by = now + patience(session)


def patience(session: Any) -> float:
    """Return the seconds that each step of closing may take, the reader's one too."""
    seconds: float | None = session.timeouts.close
    if seconds is not None:
        return seconds
    # For ever is for peers. A reader who takes nothing may be none.
    return session.timeouts.fault_grace if session.tcp_lost else NEVER


def give_up_closing(session: Any, now: float) -> None:
    """The peer has not answered our close frame, or does not end TCP.

    Or TCP has ended and the reader does not come for what waits unparsed: it may still
    come, but who waits for the end of TCP waits no longer.
    """
    session.close_by = NEVER
    if session.tcp_lost:
        session.forsaken = True
        session.flags |= STATE
        return
    if session.ended is None:
        waited = f"the peer did not close within {session.timeouts.close} seconds"
        session._decide(first_cause(session, Cause.CLOSE_TIMEOUT), waited, now)
    session.abort(Cause.CLOSE_TIMEOUT, "", now)


def check_write(session: Any, now: float, unsent: int) -> None:
    """Cut a peer off that takes nothing of what it is sent."""
    if session.progress.is_stuck(now, session.protocol.bytes_sent - unsent):
        seconds = session.timeouts.write
        text = f"the peer took none of {unsent} unsent bytes within {seconds} seconds"
        session.abort(Cause.WRITE_TIMEOUT, text, now)


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
        session.give_up(Cause.KEEPALIVE, 1011, "keepalive ping timeout", detail, now)


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
