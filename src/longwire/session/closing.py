"""Closing: the state of an open connection and its end, by the closing table.

The part of :class:`.session.Session` that owns everything about the end: no other
module sets an attribute that is made here. The decisions are rows of
:mod:`.closing_table`; this module carries them out: it sends the close frame, makes
the report, sets deadlines, and asks the front end to end TCP. No I/O, and time is an
argument in seconds.
"""

from __future__ import annotations

from typing import Any

from ..core.protocol import Protocol
from ..errors import ConnectionClosed
from ..messages import Cause, CloseReport, State
from ..options import Limits, Timeouts
from . import closing_table as table
from .closing_table import ABORT, STAY
from .intake import Intake
from .keepalive import NEVER, Heartbeat
from .report import (
    CLOSED,
    cut_reason,
    describe_loss,
    exception_of,
    report_of,
    text_of,
    whose_fault,
)

__all__ = [
    "CONTINUE",
    "DEADLINE",
    "HANGUP",
    "MESSAGE",
    "OUTPUT",
    "PONGS",
    "READING",
    "STATE",
    "Closing",
]

# What a call changed, and what the front end does about it.
MESSAGE = 1  # wake recv(): the inbox grew, or the end has come
OUTPUT = 2  # write take_output()
PONGS = 4  # resolve the waiters of take_pongs()
STATE = 8  # wake senders: not open, writable again, or the turn is free
READING = 16  # wants_reading changed
HANGUP = 32  # carry out `ending`
DEADLINE = 64  # next_deadline() came nearer
CONTINUE = 128  # call go_on() in the next turn of the event loop

# The same where it is compiled: C numbers.
_NEVER = NEVER
_OPEN, _ANSWERING, _CLOSING = table.OPEN, table.ANSWERING, table.CLOSING
_ENDED, _UNREAD, _GONE = table.ENDED, table.UNREAD, table.GONE
_ABANDONED = table.ABANDONED


class Closing:
    """The state of one connection: what may still be done, and how it ended.

    ``phase`` is a state of the table, ``ended`` the report once the end is certain,
    ``ending`` what is to become of TCP; it only grows.
    """

    def __init__(
        self,
        client: bool,
        limits: Limits,
        timeouts: Timeouts,
        protocol: Protocol,
        heartbeat: Heartbeat,
    ) -> None:
        self.client = client
        self.limits = limits
        self.timeouts = timeouts
        self.protocol = protocol
        self.intake = Intake(protocol, limits)
        self.heartbeat = heartbeat
        self.flags = 0
        self.outbox: Any = None  # messages for many that wait; None: nothing waits
        self.dropped = 0
        self.phase = _OPEN
        self.can_send = True
        self.ending = STAY
        self.ended: CloseReport | None = None
        self.ends_with_tcp = False  # recv() raises only once TCP has ended
        self.kinds = CLOSED
        self.got_eof = False
        self.handing_over = False  # the reader gets a message, which it may answer
        self.undated = False  # a deadline counts from the next tick
        self.grace_by = self.close_by = NEVER
        self.fault: BaseException | None = None
        self.peer_close: tuple[int, str] | None = None
        self.closing_cause: Cause | None = None
        self.error: BaseException | None = None
        self.loss: BaseException | None = None  # why TCP was lost

    # --- questions ---------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the connection is, in the words of RFC 6455: OPEN while it can send."""
        if self.can_send:
            return State.OPEN
        return State.CLOSED if self.is_gone else State.CLOSING

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent any more.

        Where TCP ends before all that came was parsed, ``ended`` is set when the reader
        has taken that, or ``close()`` is called.
        """
        return self.phase >= _ENDED

    @property
    def tcp_lost(self) -> bool:
        """Whether TCP has ended."""
        return self.phase >= _UNREAD

    @property
    def is_gone(self) -> bool:
        """Whether TCP has ended, and nothing is to be waited for."""
        return self.phase >= _ABANDONED or (
            self.phase == _UNREAD and self.ends_with_tcp
        )

    def end_is_known(self) -> bool:
        """Return whether ``recv()`` raises the end, once it has no message.

        ``send()`` raises as soon as TCP has ended, though messages are still unread.
        """
        return self.phase == _GONE or (self.phase == _ENDED and not self.ends_with_tcp)

    def exception(self) -> ConnectionClosed:
        """Return a new exception that says how the connection ended."""
        return exception_of(self)

    # --- events ------------------------------------------------------------------

    def fail(self, error: BaseException, now: float) -> None:
        """End the connection at once: a fault of the peer's, a limit, or a mistake.

        RFC 6455 section 7.1.7: a close frame with the fault's code, and no further
        input is looked at.
        """
        self.fail_by(table.FAULT, error, now)

    def fail_by(self, event: int, error: BaseException, now: float) -> None:
        """End the connection for ``error``, which is what ``event`` is about."""
        if self.ended is not None:
            return
        code, cause = whose_fault(error)
        text = text_of(error)
        if self.closing_cause is not Cause.HANDLER:
            self.error = error
        self.end(event, now, cause, code, cut_reason(text), text)

    def abort(self, cause: Cause, why: str, now: float, ending: int = ABORT) -> None:
        """End without a closing handshake; HALF_CLOSE lets what was sent leave."""
        self.end(table.ABORTED, now, cause, detail=why, ending=ending)

    def end(
        self,
        event: int,
        now: float,
        cause: Cause | None = None,
        code: int | None = None,
        reason: str = "",
        detail: str = "",
        ending: int = STAY,
    ) -> None:
        """Carry out what the table says of ``event``: no step, or one to an end.

        ``code`` and ``reason`` are what the close frame says, if one is sent; ``cause``
        and ``detail`` are for the report, ``ending`` for where the caller chooses it.
        """
        step = table.STEPS.get((self.phase, event))
        if step is None:
            return
        if step.sends and self.protocol.close_sent is None:
            self.protocol.send_close(code, reason)
            self.flags |= OUTPUT
        if self.ended is None:
            self._report(table.cause_of(event, cause, self.closing_cause), detail, now)
            self._move(step.after)
            self.close_by = _NEVER
            if step.after == _ENDED:
                self._set_close_deadline(now)
        tcp = step.tcp
        if tcp == table.AS_ASKED:
            tcp = ending
        elif tcp == table.SERVER_FIRST:
            tcp = STAY if self.client else table.HALF_CLOSE
        self._hang_up(tcp)
        if self.got_eof and event != table.END_OF_INPUT:
            # It was read before, behind what nobody looks at any more.
            self.end(table.END_OF_INPUT, now)

    def begin_closing(
        self,
        code: int | None,
        reason: str,
        now: float,
        cause: Cause,
        error: BaseException | None,
    ) -> None:
        """Send our close frame: the closing handshake begins (section 7.1.2)."""
        step = table.STEPS.get((self.phase, table.CLOSE))
        if step is None:
            return
        self._end_outbox()
        self._set_close_deadline(now)
        self.protocol.send_close(code, reason)
        self._move(step.after)
        self.closing_cause, self.error = cause, error
        self.heartbeat.stop()
        self.flags |= OUTPUT | STATE

    def got_close(self, payload: tuple[int, str], now: float) -> None:
        """Note the code and reason of the peer's close frame, which was read."""
        self.peer_close = payload
        self._defer(now)

    def got_fault(self, error: BaseException, now: float) -> None:
        """Note that what was read breaks the protocol, or a limit."""
        self.fault = error
        self._defer(now)

    def break_off(self, error: BaseException, now: float) -> None:
        """An extension failed, or memory: what is read now would have a hole."""
        self.fault = error
        self.fail(error, now)

    def end_input(self) -> None:
        """Note that the peer sends nothing more."""
        self.got_eof = self.intake.ended = True

    def _defer(self, now: float) -> None:
        """Let messages that came before a fault or close frame be answered first.

        An empty inbox has nothing to wait for, unless its last message is being handed
        over; else the reader ends it by coming back for more, or the grace does.
        """
        grace = self.timeouts.fault_grace
        step = table.STEPS.get((self.phase, table.READ_BEHIND))
        waits = self.intake.inbox.count > 0 or self.handing_over
        if not (waits and self.can_send and grace):
            self.settle(now)
        elif step is not None:
            self._move(step.after)
            self.grace_by = now + grace
            self.flags |= DEADLINE | MESSAGE

    def settle(self, now: float) -> None:
        """Have a fault or close frame that was seen take effect, if there is one."""
        self.grace_by = _NEVER
        if self.ended is not None:
            return
        if self.fault is not None:
            self.fail(self.fault, now)
        elif self.peer_close is not None:
            # Section 5.5.1: the answer typically echoes what was received; browsers
            # show a page the reason of our answer, not its own.
            code, reason = self.peer_close
            echo = None if code == 1005 else code
            self.end(table.PEER_CLOSE, now, code=echo, reason=reason)

    def reach_end(self, now: float) -> None:
        """Everything that came was parsed, and nothing more will come."""
        if self.phase == _ANSWERING:
            return  # what came before the close frame may still be answered
        self.settle(now)
        if self.ended is None:
            self.error = self.error or self.loss
        self.end(table.END_OF_INPUT, now, detail=describe_loss(self.loss))
        if self.phase >= _UNREAD:
            self.protocol.lost()
            self.close_by = _NEVER

    def lose_tcp(self, error: BaseException | None) -> None:
        """TCP has ended; ``error`` says why."""
        step = table.STEPS.get((self.phase, table.LOST))
        if step is not None:
            self._move(step.after)
        self.note_loss(error)
        self.heartbeat.stop()
        self.grace_by = self.close_by = _NEVER
        self.flags |= MESSAGE | STATE | PONGS
        self._end_outbox()

    def note_loss(self, error: BaseException | None) -> None:
        """Note why TCP ends, if nothing was noted before."""
        self.loss = self.loss or error

    # --- time --------------------------------------------------------------------

    def give_up_closing(self, now: float) -> None:
        """The peer has not answered our close frame, or does not end TCP.

        Or TCP has ended and the reader has not taken what waits unparsed. It still may,
        but ``wait_closed()`` no longer waits for it.
        """
        self.close_by = _NEVER
        if self.phase == _UNREAD:
            self._move(table.STEPS[self.phase, table.CLOSE_TIMEOUT].after)
            self.flags |= STATE
            return
        waited = f"the peer did not close within {self.timeouts.close} seconds"
        self.end(table.CLOSE_TIMEOUT, now, detail=waited)

    def undate(self) -> None:
        """Have deadlines count from the next tick: the time is not known now."""
        self.undated = True

    def date(self, now: float) -> None:
        """Have deadlines count from ``now`` that were set without a clock."""
        self.undated = False
        if self.grace_by != _NEVER:
            self.grace_by = now + self.timeouts.fault_grace
        if self.close_by != _NEVER:
            self.close_by = now + self._patience()

    def wait_for_reader(self, now: float) -> None:
        """TCP has ended: wait for the reader, as long as each step of closing may take.

        Does nothing where all was read.
        """
        if self.ended is None:
            self._set_close_deadline(now)

    def _set_close_deadline(self, now: float) -> None:
        self.close_by = now + self._patience()
        self.flags |= DEADLINE

    def _patience(self) -> float:
        """Return the seconds that each step of closing may take, the reader's too."""
        seconds: float | None = self.timeouts.close
        if seconds is not None:
            return seconds
        # None is for peers that take their time. A handler may never read again.
        return self.timeouts.fault_grace if self.phase == _UNREAD else NEVER

    # --- what a step does --------------------------------------------------------

    def _move(self, phase: int) -> None:
        self.phase = phase
        self.can_send = phase <= _ANSWERING

    def _report(self, cause: Cause, detail: str, now: float) -> None:
        """The end is certain: make the one report of it and wake everybody.

        What waits unparsed will not be looked at any more.
        """
        self._end_outbox()
        self.intake.stop()
        self.ended = report_of(self, cause, detail, now)
        self.flags |= MESSAGE | STATE | PONGS

    def _hang_up(self, ending: int) -> None:
        if ending > self.ending:
            self.ending = ending
            self.flags |= HANGUP
        self.heartbeat.stop()
        self.grace_by = _NEVER

    def _end_outbox(self) -> None:
        """Drop what waits: nothing may follow a close frame."""
        if self.outbox is not None:
            self.dropped += len(self.outbox)
            self.outbox = None
