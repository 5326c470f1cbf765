"""Leaving: how a connection is closed after the block of code that used it.

One rule for the handler of a server and for ``async with connect()``:

=========  ==========================================================  ====  ========
outcome    the block                                                   code  cause
=========  ==========================================================  ====  ========
RETURNED   returned                                                    1000  LOCAL
ENDED      let through that this very connection has ended             none  as it is
STOPPED    was stopped from outside: cancelled, interrupted            1001  LOCAL
FAILED     raised anything else, the end of *another* connection too   1011  HANDLER
=========  ==========================================================  ====  ========

Where the connection has ended already, nothing is sent and its report stays.
"""

from __future__ import annotations

import enum

from ..errors import ConnectionClosed
from .session import Session

__all__ = ["Outcome", "outcome_of"]


class Outcome(enum.Enum):
    """How a block that used a connection ended; the value is the close code."""

    RETURNED = 1000
    ENDED = None
    STOPPED = 1001
    FAILED = 1011


def outcome_of(
    exc: BaseException | None, session: Session, *, from_outside: bool
) -> Outcome:
    """Return how the block ended that used ``session`` and raised ``exc``.

    ``from_outside`` says that the front end knows ``exc`` to be thrown into the block:
    the cancellation of its task, the end of its coroutine.
    """
    if exc is None:
        return Outcome.RETURNED
    if from_outside or isinstance(exc, (KeyboardInterrupt, SystemExit)):
        return Outcome.STOPPED
    if not session.can_send and _only_says_ended(exc, session):
        return Outcome.ENDED
    return Outcome.FAILED


def _only_says_ended(exc: BaseException, session: Session) -> bool:
    """Return whether ``exc`` says no more than that ``session`` has ended."""
    if isinstance(exc, BaseExceptionGroup):
        # What a block with a TaskGroup raises.
        return all(_only_says_ended(each, session) for each in exc.exceptions)
    if not isinstance(exc, ConnectionClosed):
        return False
    # A program's own has no report.
    return exc.report is None or exc.report is session.ended
