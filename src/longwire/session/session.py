"""Session: one open connection, from the opening handshake to the end of TCP.

Decides everything that front ends share: backpressure, turns of sending, pings, the
closing handshake, every deadline, the report at the end. Knows no sockets and no
clock: ``now`` is an argument, in seconds of any monotonic clock, and nothing here
waits. What a call changed is left in ``flags``; the front end looks at them after
each call and clears them with ``take_flags()``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from ..core.deflate import Codec
from ..core.frames import serialize_close
from ..errors import ConnectionClosed, LimitExceeded, ProtocolError
from ..messages import Cause, CloseReport, Deflate, State
from ..options import Keepalive, Limits, Timeouts
from . import deadlines as overdue
from .backlog import Message, Outbox, is_too_much, slow_consumer
from .intake import DRY, FULL, SPENT, Intake, or_unlimited, protocol_within
from .keepalive import NEVER, Heartbeat
from .progress import Progress
from .report import (
    CLOSED,
    cut_reason,
    describe_loss,
    exception_of,
    first_cause,
    report_of,
    text_of,
    whose_fault,
)

# What a call changed, and what the front end does about it.
MESSAGE = 1  # wake recv(): the inbox grew, or the end has come
OUTPUT = 2  # write take_output()
PONGS = 4  # resolve the waiters of take_pongs()
STATE = overdue.STATE  # wake senders: not open, writable again, or the turn is free
READING = 16  # wants_reading changed
HANGUP = 32  # carry out `ending`
DEADLINE = 64  # next_deadline() came nearer
CONTINUE = 128  # call go_on() in the next turn of the event loop

# Values of Session.ending, which only grows: go on; send TCP's end and read on; close
# TCP when all is written; close it now.
STAY, HALF_CLOSE, CLOSE, ABORT = 0, 1, 2, 3

# The same where it is compiled: C numbers.
_MESSAGE, _OUTPUT, _STATE = MESSAGE, OUTPUT, STATE
_READING, _CONTINUE = READING, CONTINUE
_DRY, _FULL, _SPENT = DRY, FULL, SPENT
_NEVER = NEVER
check_close = serialize_close
"""Raises InvalidClose if a close frame cannot say this (section 7.4)."""

# Bytes of output that are not kept back for the sake of fewer writes.
CORK = 65536


class Session:
    """What one open connection is doing; see the module's docstring.

    ``client`` says which side we are; ``deflate`` is what was agreed for
    permessage-deflate, ``extensions`` are other agreed ones, ``random_bytes`` is a
    source of unpredictable bytes (RFC 6455 section 5.3).
    """

    def __init__(
        self,
        client: bool,
        *,
        limits: Limits,
        timeouts: Timeouts,
        keepalive: Keepalive,
        random_bytes: Callable[[int], bytes],
        now: float,
        deflate: Deflate | None = None,
        extensions: Sequence[Any] = (),
    ) -> None:
        self.client = client
        self.limits = limits
        self.timeouts = timeouts
        codec = None if deflate is None else Codec(deflate, client)
        self.protocol = protocol_within(limits, client, codec, extensions, random_bytes)
        self.intake = Intake(self.protocol, limits)
        self.inbox = self.intake.inbox
        self.heartbeat = Heartbeat(keepalive, random_bytes, now)
        self.flags = 0
        self.ending = STAY
        self.ended: CloseReport | None = None
        self.ends_with_tcp = False  # no end is told of before TCP has ended
        self.kinds = CLOSED
        self.got_eof = self.tcp_lost = self.forsaken = False
        self.wants_reading = self.writable = True
        self.fragmenting = False
        self.senders = 0  # those that wait for their turn
        self.outbox: Outbox | None = None  # None: nothing waits
        self.most_unsent = min(or_unlimited(limits.unsent_bytes), 1 << 62)
        self.dropped = 0
        self.progress = Progress(timeouts.write)
        self.pending_pong: bytes | None = None
        # ``told`` is the last time that we were told the time.
        self.opened_at = self.last_receive = self.told = now
        self.undated = False  # a deadline counts from the next tick
        self.grace_by = self.close_by = NEVER
        self.fault: BaseException | None = None
        self.peer_close: tuple[int, str] | None = None
        self.closing_cause: Cause | None = None
        self.error: BaseException | None = None
        self.loss: BaseException | None = None  # why TCP was lost
        self.mistake: BaseException | None = None  # ours, to be told to the reader

    # --- questions ---------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the connection is, in the words of RFC 6455: OPEN while it can send."""
        if self.is_gone:
            return State.CLOSED
        return State.OPEN if self.is_open else State.CLOSING

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return not self.is_over and self.protocol.close_sent is None

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent any more.

        Where TCP ends before all that came was parsed, ``ended`` is set when the reader
        has taken that, or ``close()`` is called.
        """
        return self.ended is not None or self.tcp_lost

    @property
    def is_gone(self) -> bool:
        """Whether TCP has ended, and nothing is to be waited for."""
        sure = self.ended is not None or self.forsaken or self.ends_with_tcp
        return self.tcp_lost and sure

    def end_is_known(self) -> bool:
        """Return whether whoever receives is to be told of the end.

        Whoever sends is told of lost TCP, too, though messages are still unread.
        """
        return self.ended is not None and (self.tcp_lost or not self.ends_with_tcp)

    @property
    def has_message(self) -> bool:
        """Whether ``take()`` has a whole message."""
        return self.inbox.whole > 0

    @property
    def holding(self) -> bool:
        """Whether input waits unparsed."""
        return self.intake.waits != _DRY

    @property
    def dropping(self) -> bool:
        """Whether messages are dropped: we close, and the inbox was full."""
        return self.intake.dropping

    @property
    def streaming(self) -> bool:
        """Whether the reader takes pieces, not whole messages."""
        return self.intake.streaming

    @streaming.setter
    def streaming(self, streaming: bool) -> None:
        self.intake.streaming = streaming

    @property
    def memory(self) -> int:
        """Bytes of memory that messages of this connection take, either way.

        Unparsed and unread ones, output, and messages for many that wait. What is there
        at rest, and contexts of compression, are not in it.
        """
        size = self.intake.memory()
        return size if self.outbox is None else size + self.outbox.size

    def take_flags(self) -> int:
        """Return what changed since the last time, and forget it."""
        flags = self.flags
        self.flags = 0
        return flags

    # --- from the wire -----------------------------------------------------------

    def receive(self, data: bytes, now: float) -> None:
        """Take what arrived at ``now``.

        While the inbox is full, bytes wait unparsed and reading is to pause; that
        is asked for at the second such read, since most readers catch up before.
        """
        self.last_receive = self.told = now
        if self.ended is not None or self.fault is not None:
            return  # section 7.1.7: nothing after a fault is looked at
        try:
            self.protocol.receive(data)
        except BaseException as exc:
            self._break(exc, now)
            raise
        intake = self.intake
        if intake.waits != _DRY and (intake.waits == _SPENT or intake.must_wait()):
            if self.wants_reading:
                self.wants_reading = False
                self.flags |= _READING
            return
        intake.begin_turn(True)
        self._pump(now)

    def receive_eof(self, now: float) -> None:
        """The peer will send nothing more; its end lies behind what waits unparsed."""
        self.told = now
        self.got_eof = self.intake.ended = True
        self._pump(now)

    def lost(self, error: BaseException | None, now: float, more: bool = False) -> None:
        """TCP is gone; ``error`` says why, None for a plain end.

        With ``more``, the system still has some of what came, and then the end.
        """
        self.told = now
        if not more:
            self.got_eof = self.intake.ended = True
        self.tcp_lost = True
        self.writable = False
        self.loss = self.loss or error
        self.heartbeat.stop()
        self.progress.stop()
        self.close_by = _NEVER
        self.flags |= _MESSAGE | _STATE | PONGS
        self._end_outbox()
        self._pump(now)
        self.grace_by = _NEVER
        if self.ended is None:
            self._set_close_deadline(now)

    def go_on(self, now: float) -> None:
        """Parse on in a new turn of the event loop: what CONTINUE asks for."""
        self.told = now
        if self.intake.waits == _SPENT:
            self.intake.begin_turn(False)
            self._pump(now)

    def hold(self) -> None:
        """Read nothing more until ``release()``: the server is short of memory."""
        if self.is_over or self.intake.leaving or self.intake.held:
            return
        self.intake.held = True
        if self.wants_reading:
            self.wants_reading = False
            self.flags |= _READING

    def release(self, now: float) -> None:
        """Read again, as far as there is room."""
        if self.intake.held:
            self.told = now
            self.intake.held = False
            self._pump(now)

    def _pump(self, now: float) -> None:
        """Turn input into messages until it, or the room for them, runs out."""
        intake = self.intake
        if self.ended is None and self.fault is None:
            try:
                while (event := intake.advance()) is not None:
                    self.take_control(event[0], event[1], now)
                    if self.peer_close is not None:
                        break
            except (ProtocolError, LimitExceeded) as exc:
                self.fault = exc
                self._defer(now)
            except BaseException as exc:
                self._break(exc, now)
                raise
            finally:
                if intake.grew:
                    intake.grew = False
                    self.flags |= _MESSAGE
        if intake.waits == _SPENT:
            self.flags |= _CONTINUE
        elif intake.waits == _DRY:
            if not (self.wants_reading or intake.held):
                self.wants_reading = True
                self.flags |= _READING
            if self.got_eof:
                self._reach_end(now)

    def _break(self, error: BaseException, now: float) -> None:
        """An extension failed, or memory: what is read now would have a hole."""
        self.fault = error
        self.fail(error, now)

    def take_control(self, kind: int, payload: Any, now: float) -> None:
        """Do what a control frame asks for, one of ``Intake.raw_control`` as well."""
        if kind == 9:
            self._got_ping(payload, now)
        elif kind == 10:
            if self.heartbeat.answered(payload, now):
                self.flags |= PONGS
        else:
            self.peer_close = payload
            self._defer(now)

    def _reach_end(self, now: float) -> None:
        """Everything that came was parsed, and nothing more will come."""
        if self.grace_by != _NEVER and not self.tcp_lost:
            return  # what came before the close frame may still be answered
        self._settle(now)
        if self.ended is None:
            self.error = self.error or self.loss
            cause = self.closing_cause or Cause.NETWORK
            self._decide(cause, describe_loss(self.loss), now)
        if self.tcp_lost:
            self.protocol.lost()
            self.close_by = _NEVER
        self._hang_up(CLOSE)

    def _got_ping(self, payload: bytes, now: float) -> None:
        self.heartbeat.count(now, self.limits.pings_per_second)
        if self.is_over:
            return
        # After our own close frame, too: section 5.5.2 asks for it until the peer's.
        if self.writable:
            self.protocol.send_pong(payload)
            self.flags |= _OUTPUT
        else:
            # Who does not read our answers gets one, to its last ping, as RFC 6455
            # section 5.5.3 allows: what a peer can make us hold stays bounded.
            self.pending_pong = payload

    # --- reading -----------------------------------------------------------------

    def take(self) -> tuple[int, Any]:
        """Return the oldest whole message: (opcode, str or bytes).

        Only when ``has_message``.
        """
        message = self.inbox.take()
        if self.intake.waits == _FULL:
            self._read_on()
        return message

    def take_piece(self) -> tuple[int, Any, bool] | None:
        """Return the oldest piece: (opcode, str or bytes, last one?), None if none."""
        if self.inbox.count == 0:
            return None
        piece = self.inbox.take_piece()
        if self.intake.waits == _FULL:
            self._read_on()
        return piece

    def _read_on(self) -> None:
        """Parse what waited for the reader, who takes and does not tell the time."""
        if self.tcp_lost:
            self.undated = True  # as long as it takes, it is waited for
        if not self.inbox.is_roomy():
            return
        grace_by, close_by = self.grace_by, self.close_by
        try:
            self._pump(self.told)
        except Exception as exc:
            self.mistake = exc  # the message that was taken comes first
        if self.grace_by != grace_by or self.close_by != close_by:
            self.undated = True

    def wait(self, now: float) -> None:
        """The reader has to wait: there is nothing for it in the inbox.

        It has seen all that came before a fault or a close frame, so these take effect
        now, at the latest. Raises what an extension of ours raised.
        """
        self.told = now
        self.intake.reader_waiting = True
        if self.mistake is not None:
            exc, self.mistake = self.mistake, None
            raise exc
        if self.intake.waits == _FULL:
            self._pump(now)
        if self.grace_by != _NEVER and not self.has_message:
            self._settle(now)

    def stop_waiting(self) -> None:
        """The reader got something, or gave up."""
        self.intake.reader_waiting = False

    # --- writing -----------------------------------------------------------------

    def send(self, opcode: int, payload: Any, fin: bool, compress: bool) -> None:
        """Put a message, or one fragment of it, in the output.

        ``opcode`` is TEXT, BINARY, or CONT for a later fragment; the front end sees
        to it that a fragmented message is not interrupted by another.
        """
        if self.outbox is not None and opcode:
            # What was sent to many before this goes before this.
            self.outbox.hand_over(self, None)
            if self.ended is not None:
                raise self.exception()
        self.protocol.send_message(opcode, payload, fin, compress)
        self.flags |= OUTPUT
        if not fin:
            self.fragmenting = True
        elif self.fragmenting:
            self.fragmenting = False
            self.flags |= STATE

    def send_encoded(self, frame: bytes, unsent: int, now: float) -> bool:
        """Put a whole message encoded elsewhere, in one frame, in the output.

        Returns False where the connection was given up instead: with the ``unsent``
        bytes of the wire that was more than ``Limits.unsent_bytes``.
        """
        waiting = unsent + self.protocol.output_size
        too_much = 0 <= self.most_unsent < waiting + len(frame)
        if too_much and self.gives_up(waiting, len(frame), now):
            return False
        self.protocol.send_encoded(frame)
        self.flags |= _OUTPUT
        return True

    def gives_up(self, waiting: int, more: int, now: float) -> bool:
        """Give the connection up if that is too much for it to wait for."""
        most = self.limits.unsent_bytes
        if not is_too_much(waiting, more, most):
            return False
        self.fail(slow_consumer(waiting, most), now)
        self._hang_up(ABORT)
        return True

    def offer(
        self, message: Message, slow: str | None, key: Hashable, unsent: int, now: float
    ) -> int:
        """Send a message for many, or let it wait until the peer takes more.

        ``slow`` is one of the policies of ``Limits.slow``, which None stands for, and
        ``unsent`` bytes wait in the wire. Returns SENT, WAITS, REFUSED (the message was
        dropped) or GIVEN_UP, and adds DROPPED for each older message that was dropped.
        """
        return message.offer_to(self, slow or self.limits.slow, key, unsent, now)

    def wait_to_send(self) -> None:
        """Someone waits with a message until the peer takes more.

        Messages for many that come later then wait for it in turn.
        """
        self.senders += 1

    def stop_waiting_to_send(self) -> None:
        """One of those sends now, or gave up."""
        self.senders -= 1
        if self.outbox is not None:
            self.flags |= OUTPUT

    def _end_outbox(self) -> None:
        """Drop what waits: nothing may follow a close frame."""
        if self.outbox is not None:
            self.dropped += len(self.outbox)
            self.outbox = None

    def take_output(self) -> bytes:
        """Return what is to be written, in order, and forget it.

        Call it again once that was written, unless ``outbox`` is None: more may wait.
        """
        if (
            self.outbox is not None
            and self.writable
            and not (self.fragmenting or self.senders)
            and self.is_open
        ):
            # As much of it as the wire is likely to have room for.
            self.outbox.hand_over(self, self.limits.output_bytes)
        return self.protocol.take_output()

    def take_due_output(self) -> bytes:
        """Return what is to be written at once: nothing while more is about to come.

        As long as the inbox has messages, their reader is at work, and its answers
        leave together; but no more than ``CORK`` bytes wait for that.
        """
        protocol = self.protocol
        if (
            self.inbox.whole > 0
            and protocol.output_size < CORK
            and protocol.close_sent is None
            and self.outbox is None
        ):
            return b""
        return self.take_output()

    def write_paused(self, now: float) -> None:
        """The wire holds more unsent bytes than it should: ``send()`` has to wait."""
        if not self.writable:
            return
        self.writable = False
        self.progress.begin(now)
        self.flags |= DEADLINE

    def write_resumed(self, now: float) -> None:
        """The wire takes bytes again."""
        if self.writable or self.tcp_lost:
            return
        self.writable = True
        self.progress.stop()
        self.flags |= STATE if self.outbox is None else STATE | OUTPUT
        if self.pending_pong is not None:
            if self.ended is None:
                self.protocol.send_pong(self.pending_pong)
                self.flags |= OUTPUT
            self.pending_pong = None

    def ping(self, payload: bytes | None, waiter: Any, now: float) -> bytes:
        """Send a ping; return its payload, four random bytes if None is given.

        ``waiter`` comes back in ``take_pongs()`` with the latency in seconds once
        the pong is there, or from ``heartbeat.take_waiters()`` when none will come.
        """
        data = self.heartbeat.choose(payload)
        self.protocol.send_ping(data)
        self.flags |= _OUTPUT
        self.heartbeat.add(data, waiter, now)
        return data

    def pong(self, payload: bytes) -> None:
        """Send a pong that nobody asked for (RFC 6455 section 5.5.3)."""
        self.protocol.send_pong(payload)
        self.flags |= OUTPUT

    def take_pongs(self) -> list[tuple[Any, float]]:
        """Return (waiter, latency) for each ping answered since the last time."""
        return self.heartbeat.take_answered()

    # --- closing -----------------------------------------------------------------

    def close(
        self,
        code: int | None,
        reason: str,
        now: float,
        cause: Cause = Cause.LOCAL,
        error: BaseException | None = None,
    ) -> None:
        """Begin the closing handshake (RFC 6455 section 7.1.2), once.

        ``code`` None sends a close frame without one. Bad codes raise ProtocolError.
        """
        self.told = now
        if self.grace_by != _NEVER:
            self._settle(now)
        if self.is_open:
            self._begin_closing(code, reason, now)
            self.closing_cause, self.error = cause, error
        if self.ended is None:
            # What lies between us and the peer's close frame, or the end, is to be read
            # now; what does not fit in the inbox is dropped, and counted.
            self.intake.leaving = True
            self.intake.held = False
            if self.tcp_lost:
                # What the system still has of it is let go.
                self.got_eof = self.intake.ended = True
            self._pump(now)

    def _begin_closing(self, code: int | None, reason: str, now: float) -> None:
        serialize_close(code, reason)
        if self.outbox is not None and not self.fragmenting:
            self.outbox.hand_over(self, None)
            if self.ended is not None:
                return
        self._end_outbox()
        self._set_close_deadline(now)
        self.protocol.send_close(code, reason)
        self.heartbeat.stop()
        self.flags |= _OUTPUT | _STATE

    def fail(self, error: BaseException, now: float) -> None:
        """End the connection at once: a fault of the peer's, a limit, or a mistake.

        RFC 6455 section 7.1.7: a close frame with the fault's code, and no further
        input is looked at.
        """
        if self.ended is not None:
            return
        code, cause = whose_fault(error)
        text = text_of(error)
        if self.closing_cause is not Cause.HANDLER:
            self.error = error
        self.give_up(first_cause(self, cause), code, cut_reason(text), text, now)

    def give_up(
        self, cause: Cause, code: int, reason: str, detail: str, now: float
    ) -> None:
        """Send a close frame, if none was sent, and hang up without an answer."""
        if self.protocol.close_sent is None:
            self.protocol.send_close(code, reason)
            self.flags |= _OUTPUT
        self._decide(cause, detail, now)
        self._hang_up(HALF_CLOSE)

    def abort(self, cause: Cause, why: str, now: float, ending: int = ABORT) -> None:
        """End without a closing handshake; HALF_CLOSE lets what was sent leave."""
        if self.ended is None:
            self._decide(first_cause(self, cause), why, now)
        self._hang_up(ending)

    def _defer(self, now: float) -> None:
        """Let messages that came before a fault or close frame be answered first.

        An empty inbox has nothing to wait for; else the reader ends it by coming
        back for more, or the grace does.
        """
        grace = self.timeouts.fault_grace
        if len(self.inbox) == 0 or not self.is_open or not grace:
            self._settle(now)
        elif self.grace_by == NEVER:
            self.grace_by = now + grace
            self.flags |= DEADLINE | MESSAGE

    def _settle(self, now: float) -> None:
        """Act on a fault or close frame that was seen, if there is one."""
        self.grace_by = _NEVER
        if self.ended is not None:
            return
        if self.fault is not None:
            self.fail(self.fault, now)
        elif self.peer_close is not None:
            code, reason = self.peer_close
            if self.protocol.close_sent is None:
                # Section 5.5.1: the answer typically echoes what was received;
                # browsers show a page the reason of our answer, not its own.
                self.protocol.send_close(None if code == 1005 else code, reason)
                self.flags |= OUTPUT
            self._decide(self.closing_cause or Cause.PEER, "", now)
            # Section 7.1.1: the server closes TCP first; the client waits for it.
            self._hang_up(STAY if self.client else HALF_CLOSE)
        if self.got_eof and self.ended is not None:
            self._hang_up(CLOSE)

    def _hang_up(self, ending: int) -> None:
        if ending > self.ending:
            self.ending = ending
            self.flags |= HANGUP
        self.heartbeat.stop()
        self.grace_by = NEVER

    def _set_close_deadline(self, now: float) -> None:
        self.close_by = now + overdue.patience(self)
        self.flags |= DEADLINE

    def _decide(self, cause: Cause, detail: str, now: float) -> None:
        """The end is certain: make the one report of it and wake everybody.

        What waits unparsed will not be looked at any more.
        """
        self._end_outbox()
        self.intake.stop()
        self.ended = report_of(self, cause, detail, now)
        self.flags |= MESSAGE | STATE | PONGS
        self.close_by = _NEVER
        if not self.tcp_lost:
            self._set_close_deadline(now)

    def exception(self) -> ConnectionClosed:
        """Return a new exception that says how the connection ended."""
        return exception_of(self)

    # --- time --------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when ``tick()`` has something to do, infinity if never."""
        beat = self.heartbeat
        return min(
            beat.ping_at, beat.pong_by, self.grace_by, self.close_by, self.progress.by
        )

    def tick(self, now: float, unsent: int) -> None:
        """Do what is due at ``now``; ``unsent`` bytes wait in the wire."""
        self.told = now
        if self.undated:
            overdue.date(self, now)
        if now >= self.grace_by:
            self._settle(now)
        if now >= self.close_by:
            overdue.give_up_closing(self, now)
        if now >= self.progress.by:
            overdue.check_write(self, now, unsent)
        if now >= self.heartbeat.pong_by:
            overdue.check_pong(self, now, unsent)
        payload = self.heartbeat.due(now)
        if payload is not None:
            self.protocol.send_ping(payload)
            self.flags |= _OUTPUT
            self.heartbeat.beat(payload, now, self.protocol.bytes_sent, unsent)
