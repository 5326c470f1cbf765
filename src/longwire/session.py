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

from .core.deflate import Codec
from .core.frames import serialize_close
from .core.inbox import Inbox
from .core.protocol import Protocol
from .ending import CLOSED, describe_loss, exception_of, first_cause, report_of
from .errors import (
    ConnectionClosed,
    LimitExceeded,
    PayloadTooBig,
    ProtocolError,
    TooManyPings,
)
from .heartbeat import NEVER, Heartbeat, Verdict
from .messages import Cause, CloseReport, Deflate, State
from .options import Keepalive, Limits, Timeouts
from .outbox import DROPPED, GIVEN_UP, REFUSED, SENT, WAITS, Message, Outbox

# What a call changed, and what the front end does about it.
MESSAGE = 1  # wake recv(): the inbox grew, or the end has come
OUTPUT = 2  # write take_output()
PONGS = 4  # resolve the waiters of take_pongs()
STATE = 8  # wake senders: no longer open, writable again, or the turn is free
READING = 16  # wants_reading changed
HANGUP = 32  # carry out `ending`
DEADLINE = 64  # next_deadline() came nearer

# Values of Session.ending, which only ever grows: go on; send TCP's end and read on;
# close TCP when all is written; close it now.
STAY, HALF_CLOSE, CLOSE, ABORT = 0, 1, 2, 3

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
        self.protocol = Protocol(
            client,
            max_message=_or_unlimited(limits.message),
            max_fragment=_or_unlimited(limits.fragment),
            max_fragments=_or_unlimited(limits.fragments),
            codec=None if deflate is None else Codec(deflate, client),
            extensions=tuple(extensions),
            random_bytes=random_bytes,
        )
        high, low = limits.queued_messages, limits.queued_messages_low
        low = -1 if high is None else high // 4 if low is None else low
        self.inbox = Inbox(_or_unlimited(high), low, _or_unlimited(limits.queued_bytes))
        self.heartbeat = Heartbeat(keepalive, random_bytes, now)
        self.flags = 0
        self.ending = STAY
        self.ended: CloseReport | None = None
        self.ends_with_tcp = False  # no end is told of before TCP has ended
        self.raw_control = False  # control frames are pieces, for take_control()
        self.kinds = CLOSED
        self.tcp_lost = self.got_eof = False
        self.reader_waiting = False
        self.streaming = False  # the reader takes pieces, not whole messages
        self.holding = False  # the inbox is full: bytes may wait unparsed
        self.dropping = False  # we close, and the inbox was full
        self.wants_reading = self.writable = True
        self.fragmenting = False
        self.senders = 0  # those that wait for their turn
        self.outbox: Outbox | None = None  # None: nothing waits
        self.dropped = self.ping_count = 0
        self.taken: int | None = None  # bytes the peer had taken at the last look
        self.pending_pong: bytes | None = None
        self.pongs: list[tuple[Any, float]] = []
        self.ping_second = self.opened_at = self.last_receive = now
        self.grace_by = self.close_by = self.write_by = NEVER
        self.fault: Exception | None = None
        self.peer_close: tuple[int, str] | None = None
        self.closing_cause: Cause | None = None
        self.error: BaseException | None = None

    # --- questions ---------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the connection is, in the words of RFC 6455: OPEN while it can send."""
        if self.tcp_lost:
            return State.CLOSED
        return State.OPEN if self.is_open else State.CLOSING

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self.ended is None and self.protocol.close_sent is None

    def end_is_known(self) -> bool:
        """Return whether whoever sends or receives is to be told of the end."""
        return self.ended is not None and (self.tcp_lost or not self.ends_with_tcp)

    @property
    def has_message(self) -> bool:
        """Whether ``take()`` has a whole message."""
        return self.inbox.whole > 0

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
        self.last_receive = now
        if self.ended is not None or self.fault is not None:
            return  # section 7.1.7: nothing after a fault is looked at
        self.protocol.receive(data)
        if self.holding and self._must_hold():
            if self.wants_reading:
                self.wants_reading = False
                self.flags |= READING
            return
        self._pump(now)

    def receive_eof(self, now: float) -> None:
        """The peer will send nothing more."""
        self.got_eof = True
        self._pump(now)
        if self.grace_by == NEVER:
            self._finish_eof(now)

    def _finish_eof(self, now: float) -> None:
        if self.ended is None:
            self._settle(now)
        if self.ended is None:
            cause = self.closing_cause or Cause.NETWORK
            self._decide(cause, describe_loss(None), now)
        self._hang_up(CLOSE)

    def lost(self, error: BaseException | None, now: float) -> None:
        """TCP is gone; ``error`` says why, None for a plain end."""
        self.got_eof = True
        if self.ended is None:
            self._pump(now)
            self._settle(now)
        if self.ended is None:
            self.error = self.error or error
            cause = self.closing_cause or Cause.NETWORK
            self._decide(cause, describe_loss(error), now)
        self.tcp_lost = True
        self.protocol.lost()
        self.heartbeat.stop()
        self.grace_by = self.close_by = self.write_by = NEVER
        self.flags |= MESSAGE | STATE | PONGS

    def _pump(self, now: float) -> None:
        """Turn input into messages until it, or the room for them, runs out."""
        self.holding = False
        if self.ended is not None or self.fault is not None:
            return
        try:
            while True:
                if self._must_hold():
                    self.holding = True
                    break
                event = self.protocol.next_event()
                if event is None:
                    break
                self._handle(event, now)
        except (ProtocolError, LimitExceeded) as exc:
            self.fault = exc
            self._defer(now)
        except Exception as exc:
            # An extension failed, so nothing more can be read.
            self.fail(exc, now)
            raise
        if not self.holding and not self.wants_reading:
            self.wants_reading = True
            self.flags |= READING

    def _handle(self, event: tuple[int, Any, bool], now: float) -> None:
        kind = event[0]
        if kind <= 2:
            # Once something is dropped, all after it is, or messages would have holes.
            self.dropping = self.dropping or self._must_drop()
            if not self.dropping:
                self.inbox.add(event)
                if event[2] or self.streaming:
                    self.flags |= MESSAGE
        elif self.raw_control:
            payload = event[1]
            if kind == 8:
                code, reason = payload
                payload = serialize_close(None if code == 1005 else code, reason)
            self.inbox.add((kind, payload, True))
            self.flags |= MESSAGE
        else:
            self.take_control(kind, event[1], now)

    def take_control(self, kind: int, payload: Any, now: float) -> None:
        """Do what a control frame asks for: ping, pong, or close (code, reason)."""
        if kind == 9:
            self._got_ping(payload, now)
        elif kind == 10:
            pongs = self.heartbeat.answered(payload, now)
            if pongs:
                self.pongs.extend(pongs)
                self.flags |= PONGS
        else:
            self.peer_close = payload
            self._defer(now)

    def _must_hold(self) -> bool:
        """Whether input has to wait for the reader."""
        if not self.inbox.is_full():
            return False
        # Who closes must see the peer's close frame, whatever lies before it; and
        # what came before the end of the stream is not to be lost by that.
        if self.protocol.close_sent is not None or self.got_eof:
            return False
        # A reader waiting for the rest of a long message must get it, or neither
        # side would ever move; max_size bounds that message.
        return not (
            self.reader_waiting and self.inbox.whole == 0 and not self.streaming
        )

    def _must_drop(self) -> bool:
        """Whether there is no room for a message: bounded beats complete."""
        if self.protocol.close_sent is not None:
            return self.inbox.is_full()  # who closes may read no more
        # What waited unparsed was small; what it inflates to may not be.
        return self.got_eof and self.inbox.whole > 0 and self.inbox.is_heavy()

    def _got_ping(self, payload: bytes, now: float) -> None:
        allowed = self.limits.pings_per_second
        if now - self.ping_second >= 1.0:
            self.ping_second = now
            self.ping_count = 0
        self.ping_count += 1
        if allowed is not None and self.ping_count > allowed:
            raise TooManyPings(allowed)
        if self.protocol.close_sent is not None:
            return
        if self.writable:
            self.protocol.send_pong(payload)
            self.flags |= OUTPUT
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
        if self.holding and self.inbox.is_roomy():
            self._pump(self.last_receive)
        return message

    def take_piece(self) -> tuple[int, Any, bool] | None:
        """Return the oldest piece: (opcode, str or bytes, last one?), None if none."""
        if len(self.inbox) == 0:
            return None
        piece = self.inbox.take_piece()
        if self.holding and self.inbox.is_roomy():
            self._pump(self.last_receive)
        return piece

    def wait(self, now: float) -> None:
        """The reader has to wait: there is nothing for it in the inbox.

        It has then seen all that came before a fault or a close frame, so these
        take effect now, at the latest.
        """
        self.reader_waiting = True
        if self.holding:
            self._pump(now)
        if self.grace_by != NEVER and not self.has_message:
            self._settle(now)

    def stop_waiting(self) -> None:
        """The reader got something, or gave up."""
        self.reader_waiting = False

    # --- writing -----------------------------------------------------------------

    def send(self, opcode: int, payload: Any, fin: bool, compress: bool) -> None:
        """Put a message, or one fragment of it, in the output.

        ``opcode`` is TEXT, BINARY, or CONT for a later fragment; the front end sees
        to it that a fragmented message is not interrupted by another.
        """
        if self.outbox is not None and opcode:
            # What was sent to many before this goes before this.
            self.outbox.hand_over(self, None)
        self.protocol.send_message(opcode, payload, fin, compress)
        self.flags |= OUTPUT
        if not fin:
            self.fragmenting = True
        elif self.fragmenting:
            self.fragmenting = False
            self.flags |= STATE

    def send_encoded(self, frame: bytes, unsent: int, now: float) -> bool:
        """Put a whole message encoded elsewhere, in one frame, in the output.

        A connection whose unsent bytes have reached ``Limits.unsent_bytes`` is given
        up instead, which the result says: it would hold them for all the others.
        ``unsent`` bytes wait in the wire.
        """
        if self._gives_up(unsent, len(frame), now):
            return False
        self.protocol.send_encoded(frame)
        self.flags |= OUTPUT
        return True

    def _gives_up(self, unsent: int, more: int, now: float) -> bool:
        most = self.limits.unsent_bytes
        if most is None or unsent + more <= most:
            return False
        error = PayloadTooBig(
            f"slow consumer: {unsent} unsent bytes; {most} are allowed",
            most,
            limit="unsent_bytes",
        )
        error.code = 1008
        self.fail(error, now)
        self._hang_up(ABORT)
        return True

    def offer(
        self,
        message: Message,
        slow: str | None,
        key: Hashable,
        unsent: int,
        now: float,
    ) -> int:
        """Send a message for many, or let it wait until the peer takes more.

        ``slow`` is one of the policies of ``Limits.slow``, which None stands for, and
        ``unsent`` bytes wait in the wire. Returns SENT, WAITS, REFUSED (the message was
        dropped) or GIVEN_UP, and adds DROPPED for each older message that was dropped.
        """
        outbox = self.outbox
        if outbox is None:
            if self.writable and not self.fragmenting:
                return self._send_shared(message, unsent, now)
            outbox = Outbox(self.limits.unsent_messages)
        slow = slow or self.limits.slow
        if slow == "disconnect":
            if self._gives_up(unsent + outbox.size, len(message.payload), now):
                return GIVEN_UP
            outbox.add(message)
            self.outbox = outbox
            return WAITS
        most = self.limits.unsent_bytes
        room = None if most is None else most - unsent
        waits, dropped = outbox.add_droppable(message, slow, key, room)
        self.dropped += dropped
        self.outbox = outbox if len(outbox) else None
        return WAITS + dropped * DROPPED if waits else REFUSED + (dropped - 1) * DROPPED

    def _send_shared(self, message: Message, unsent: int, now: float) -> int:
        try:
            frame = message.frame_for(self)
            if frame is None:
                self.send(message.opcode, message.payload, True, True)
            elif not self.send_encoded(frame, unsent, now):
                return GIVEN_UP
        except Exception:
            if self.protocol.codec is not None:
                self.protocol.codec.forget()  # the peer does not get what it made
            raise
        return SENT

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

    def _refill(self) -> None:
        """Take as much of what waits as the wire is likely to have room for."""
        if self.writable and not (self.fragmenting or self.senders) and self.is_open:
            assert self.outbox is not None
            self.outbox.hand_over(self, self.limits.output_bytes)

    def _end_outbox(self) -> None:
        """Drop what waits: nothing may follow a close frame."""
        if self.outbox is not None:
            self.dropped += len(self.outbox)
            self.outbox = None

    def take_output(self) -> bytes:
        """Return what is to be written, in order, and forget it.

        Call it again once that was written, unless ``outbox`` is None: more may wait.
        """
        if self.outbox is not None:
            self._refill()
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
        self.taken = None
        if self.timeouts.write is not None:
            self.write_by = now + self.timeouts.write
            self.flags |= DEADLINE

    def write_resumed(self, now: float) -> None:
        """The wire takes bytes again."""
        if self.writable:
            return
        self.writable = True
        self.write_by = NEVER
        self.flags |= STATE if self.outbox is None else STATE | OUTPUT
        if self.pending_pong is not None:
            if self.protocol.close_sent is None:
                self.protocol.send_pong(self.pending_pong)
                self.flags |= OUTPUT
            self.pending_pong = None

    def ping(self, payload: bytes | None, waiter: Any, now: float) -> bytes:
        """Send a ping; return its payload, four random bytes if None is given.

        ``waiter`` comes back in ``take_pongs()`` with the latency in seconds once
        the pong is there, or from ``heartbeat.take_waiters()`` when none will come.
        """
        data = self.heartbeat.add(payload, waiter, now)
        self.protocol.send_ping(data)
        self.flags |= OUTPUT
        return data

    def pong(self, payload: bytes) -> None:
        """Send a pong that nobody asked for (RFC 6455 section 5.5.3)."""
        self.protocol.send_pong(payload)
        self.flags |= OUTPUT

    def take_pongs(self) -> list[tuple[Any, float]]:
        """Return (waiter, latency) for each ping answered since the last time."""
        pongs, self.pongs = self.pongs, []
        return pongs

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
        if self.grace_by != NEVER:
            self._settle(now)
        if not self.is_open:
            return
        serialize_close(code, reason)
        if self.outbox is not None and not self.fragmenting:
            self.outbox.hand_over(self, None)
        self._end_outbox()
        self.protocol.send_close(code, reason)
        self.closing_cause = cause
        self.error = error
        self.heartbeat.stop()
        self.flags |= OUTPUT | STATE
        self._set_close_deadline(now)
        # What lies between us and the peer's close frame is to be read now.
        self._pump(now)

    def fail(self, error: Exception, now: float) -> None:
        """End the connection at once: a fault of the peer's, a limit, or a mistake.

        RFC 6455 section 7.1.7: a close frame with the fault's code, and no further
        input is looked at.
        """
        if self.ended is not None:
            return
        code, cause = 1011, Cause.HANDLER
        if isinstance(error, LimitExceeded):
            code, cause = error.code, Cause.LIMIT
        elif isinstance(error, ProtocolError):
            code, cause = error.code, Cause.PEER_ERROR
        if self.protocol.close_sent is None:
            self.protocol.send_close(code, _cut_reason(str(error)))
            self.flags |= OUTPUT
        if self.closing_cause is not Cause.HANDLER:
            self.error = error
        self._decide(first_cause(self, cause), str(error), now)
        self._hang_up(HALF_CLOSE)

    def abort(self, cause: Cause, detail: str, now: float) -> None:
        """End the connection without waiting for anything."""
        if self.ended is None:
            self._decide(first_cause(self, cause), detail, now)
        self._hang_up(ABORT)

    def _defer(self, now: float) -> None:
        """Let messages that came before a fault or close frame be answered first.

        An empty inbox has nothing to wait for; else the reader ends it by coming
        back for more, or the grace does.
        """
        grace = self.timeouts.fault_grace
        if len(self.inbox) == 0 or self.protocol.close_sent is not None or not grace:
            self._settle(now)
        elif self.grace_by == NEVER:
            self.grace_by = now + grace
            self.flags |= DEADLINE | MESSAGE

    def _settle(self, now: float) -> None:
        """Act on a fault or close frame that was seen, if there is one."""
        self.grace_by = NEVER
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
        if self.timeouts.close is not None and not self.tcp_lost:
            self.close_by = now + self.timeouts.close
            self.flags |= DEADLINE

    # --- the end -----------------------------------------------------------------

    def _decide(self, cause: Cause, detail: str, now: float) -> None:
        """The end is certain: make the one report of it and wake everybody."""
        self._end_outbox()
        self.ended = report_of(self, cause, detail, now)
        self.flags |= MESSAGE | STATE | PONGS
        self._set_close_deadline(now)

    def exception(self) -> ConnectionClosed:
        """Return a new exception that says how the connection ended."""
        return exception_of(self)

    # --- time --------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when ``tick()`` has something to do, infinity if never."""
        beat = self.heartbeat
        return min(
            beat.ping_at, beat.pong_by, self.grace_by, self.close_by, self.write_by
        )

    def tick(self, now: float, unsent: int) -> None:
        """Do what is due at ``now``; ``unsent`` bytes wait in the wire."""
        if now >= self.grace_by:
            self._settle(now)
        if now >= self.close_by:
            self._give_up_closing(now)
        if now >= self.write_by:
            self._check_write(now, unsent)
        if now >= self.heartbeat.pong_by:
            self._check_pong(now, unsent)
        if now >= self.heartbeat.ping_at:
            payload = self.heartbeat.beat(now, self.protocol.bytes_sent, unsent)
            if payload is not None:
                self.protocol.send_ping(payload)
                self.flags |= OUTPUT

    def _give_up_closing(self, now: float) -> None:
        if self.ended is None:
            waited = f"the peer did not close within {self.timeouts.close} seconds"
            self._decide(first_cause(self, Cause.CLOSE_TIMEOUT), waited, now)
        self._hang_up(ABORT)
        self.close_by = NEVER

    def _check_write(self, now: float, unsent: int) -> None:
        timeout = self.timeouts.write
        taken = self.protocol.bytes_sent - unsent
        if timeout is None or self.taken is None or taken > self.taken:
            self.write_by = NEVER if timeout is None else now + timeout
            self.taken = taken
            return
        self.write_by = NEVER
        self.abort(
            Cause.WRITE_TIMEOUT,
            f"the peer took none of {unsent} unsent bytes within {timeout} seconds",
            now,
        )

    def _check_pong(self, now: float, unsent: int) -> None:
        verdict = self.heartbeat.judge(
            now,
            last_receive=self.last_receive,
            reading=self.wants_reading and not self.holding,
            taken=self.protocol.bytes_sent - unsent,
        )
        if verdict is not Verdict.DEAD:
            return
        age = now - self.last_receive
        timeout = self.heartbeat.timeout
        self.protocol.send_close(1011, "keepalive ping timeout")
        self.flags |= OUTPUT
        detail = f"no pong within {timeout} seconds; last byte {age:.1f} seconds ago"
        self._decide(Cause.KEEPALIVE, detail, now)
        self._hang_up(HALF_CLOSE)


def check_close(code: int | None, reason: str) -> None:
    """Raise InvalidClose if a close frame cannot say this (section 7.4)."""
    serialize_close(code, reason)


def _or_unlimited(limit: int | None) -> int:
    return -1 if limit is None else limit


def _cut_reason(text: str) -> str:
    """Return as much of ``text`` as fits in a close frame: 123 bytes of UTF-8."""
    return text.encode(errors="replace")[:123].decode(errors="ignore")
