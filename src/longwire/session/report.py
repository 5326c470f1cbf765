"""Ending: the one report of how a connection ended, and the exception that has it.

Reads a session and changes nothing of it; what is decided, is decided there.
"""

from __future__ import annotations

from typing import Any

from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    LimitExceeded,
    ProtocolError,
)
from ..messages import Cause, Close, CloseReport, Side

__all__ = [
    "CLOSED",
    "cut_reason",
    "describe_loss",
    "exception_of",
    "note_dropped",
    "report_of",
    "text_of",
    "whose_fault",
]

# Close codes of an ordinary end. 1005 is a close frame without a code, as browsers
# send it for `socket.close()`.
OK_CODES = (1000, 1001, 1005)

# What `exception_of()` makes: of a proper end, and of any other. A front end with a
# wider tree of exceptions puts subclasses of these in `Session.kinds`.
CLOSED: tuple[type[ConnectionClosed], type[ConnectionClosed]] = (
    ConnectionClosedOK,
    ConnectionClosedError,
)


def report_of(session: Any, cause: Cause, detail: str, now: float) -> CloseReport:
    """Return the report of a session that ends at ``now``."""
    protocol = session.protocol
    rcvd = None if session.peer_close is None else Close(*session.peer_close)
    sent = None if protocol.close_sent is None else Close(*protocol.close_sent)
    error = session.error
    limit = isinstance(error, LimitExceeded)
    unread = session.intake.dropped
    if unread:
        detail = _with_dropped(detail, unread)
    return CloseReport(
        cause=cause,
        closed_by=_first_to_close(session),
        code=1006 if rcvd is None else rcvd.code,
        reason="" if rcvd is None else rcvd.reason,
        rcvd=rcvd,
        sent=sent,
        detail=detail,
        error=error,
        limit=getattr(error, "limit", None) if limit else None,
        limit_value=getattr(error, "limit_value", None) if limit else None,
        last_byte_age=now - session.last_receive,
        loop_stall=session.heartbeat.loop_stall,
        bytes_received=protocol.bytes_received,
        bytes_sent=protocol.bytes_sent + protocol.output_size,
        messages_received=protocol.messages_received,
        messages_sent=protocol.messages_sent,
        messages_dropped=session.dropped + session.intake.dropped,
        received_dropped=session.intake.dropped,
        duration=now - session.opened_at,
    )


def _with_dropped(detail: str, unread: int) -> str:
    told = f"{unread} received message{'s' * (unread > 1)} dropped unread"
    return f"{detail}; {told}" if detail else told


def note_dropped(report: CloseReport, unread: int, error: LimitExceeded) -> None:
    """Have the report of a connection that has ended say what was dropped since.

    In place: there is one report, and whoever has it already is to know.
    """
    changes = {
        "detail": _with_dropped(report.detail, unread),
        "error": report.error or error,
        "limit": report.limit or error.limit,
        "limit_value": report.limit_value if report.limit else error.limit_value,
        "messages_dropped": report.messages_dropped + unread,
        "received_dropped": report.received_dropped + unread,
    }
    for name, value in changes.items():
        object.__setattr__(report, name, value)  # it is frozen for everybody else


def _first_to_close(session: Any) -> Side | None:
    """Return the side whose close frame came first."""
    sides = (Side.CLIENT, Side.SERVER)
    ours, theirs = sides if session.client else sides[::-1]
    if session.peer_close is not None and session.closing_cause is None:
        return theirs
    return None if session.protocol.close_sent is None else ours


def exception_of(session: Any) -> ConnectionClosed:
    """Return a new exception that says how the connection ended."""
    report = session.ended
    if report is None or report.rcvd is None or report.sent is None:
        rcvd = None if report is None else report.rcvd
        sent = None if report is None else report.sent
        exc: ConnectionClosed = session.kinds[1](rcvd, sent, None, report)
    else:
        rcvd, sent = report.rcvd, report.sent
        fine = rcvd.code in OK_CODES and sent.code in OK_CODES
        fine = fine and not report.received_dropped
        kind = session.kinds[0 if fine else 1]
        exc = kind(rcvd, sent, session.closing_cause is None, report)
    exc.__cause__ = session.loss if report is None else report.error
    return exc


def whose_fault(error: BaseException) -> tuple[int, Cause]:
    """Return the close code that ``error`` calls for, and what it makes of the end."""
    if isinstance(error, LimitExceeded):
        return error.code, Cause.LIMIT
    if isinstance(error, ProtocolError):
        return error.code, Cause.PEER_ERROR
    return 1011, Cause.HANDLER


def describe_loss(error: BaseException | None) -> str:
    """Return one sentence about the end of TCP."""
    if error is None or isinstance(error, EOFError):
        return "TCP was closed without a closing handshake"
    return f"TCP was lost: {error}"


def text_of(error: BaseException) -> str:
    """Return what an exception says; its class where it cannot even do that."""
    try:
        return str(error)
    except Exception:
        return type(error).__name__


def cut_reason(text: str) -> str:
    """Return as much of ``text`` as fits in a close frame: 123 bytes of UTF-8."""
    return text.encode(errors="replace")[:123].decode(errors="ignore")
