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
from ..errors import LimitExceeded, ProtocolError
from ..messages import Cause, Deflate
from ..options import Keepalive, Limits, Timeouts
from . import deadlines as overdue
from .backlog import Message, is_too_much, slow_consumer
from .closing import (
    CONTINUE,
    DEADLINE,
    HANGUP,
    MESSAGE,
    OUTPUT,
    PONGS,
    READING,
    STATE,
    Closing,
)
from .closing_table import (
    ABORT,
    ANSWERING,
    CLOSE_TCP,
    ENDED,
    HALF_CLOSE,
    SLOW_CONSUMER,
    STAY,
    UNREAD,
)
from .intake import DRY, FULL, SPENT, or_unlimited, protocol_within
from .keepalive import NEVER, Heartbeat
from .progress import Progress

__all__ = [
    "ABORT",
    "CLOSE",
    "CONTINUE",
    "CORK",
    "DEADLINE",
    "HALF_CLOSE",
    "HANGUP",
    "MESSAGE",
    "NEVER",
    "OUTPUT",
    "PONGS",
    "READING",
    "STATE",
    "STAY",
    "Session",
    "check_close",
]

# Values of Session.ending, which only grows: STAY, go on; HALF_CLOSE, send TCP's end
# and read on; CLOSE, close TCP when all is written; ABORT, close it now.
CLOSE = CLOSE_TCP

# The same where it is compiled: C numbers.
_MESSAGE, _OUTPUT, _STATE = MESSAGE, OUTPUT, STATE
_READING, _CONTINUE = READING, CONTINUE
_DRY, _FULL, _SPENT = DRY, FULL, SPENT
_ANSWERING, _ENDED, _UNREAD = ANSWERING, ENDED, UNREAD
check_close = serialize_close
"""Raises InvalidClose if a close frame cannot say this (section 7.4)."""

# Bytes of output that are not kept back for the sake of fewer writes.
CORK = _CORK = 65536


class Session(Closing):
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
        codec = None if deflate is None else Codec(deflate, client)
        protocol = protocol_within(limits, client, codec, extensions, random_bytes)
        heartbeat = Heartbeat(keepalive, random_bytes, now)
        super().__init__(client, limits, timeouts, protocol, heartbeat)
        self.inbox = self.intake.inbox
        self.wants_reading = self.writable = True
        self.fragmenting = False
        self.senders = 0  # those that wait for their turn
        self.most_unsent = min(or_unlimited(limits.unsent_bytes), 1 << 62)
        self.progress = Progress(timeouts.write)
        self.pending_pong: bytes | None = None
        # ``told`` is the last time that we were told the time.
        self.opened_at = self.last_receive = self.told = now
        self.mistake: BaseException | None = None  # ours, to be told to the reader

    # --- questions ---------------------------------------------------------------

    @property
    def has_message(self) -> bool:
        """Whether ``take()`` has a whole message."""
        return self.inbox.whole > 0

    @property
    def has_room(self) -> bool:
        """Whether a message would leave now, after all that was sent before it."""
        return (
            self.can_send
            and self.writable
            and self.outbox is None
            and not self.fragmenting
            and self.senders == 0
        )

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
        intake = self.intake
        try:
            self.protocol.receive(data)
            if intake.waits != _DRY and (intake.waits == _SPENT or intake.must_wait()):
                if self.wants_reading:
                    self.wants_reading = False
                    self.flags |= _READING
                return
            intake.begin_turn(True)
            self._pump(now)
        except BaseException as exc:
            if self.fault is None:
                self.break_off(exc, now)
            raise

    def receive_eof(self, now: float) -> None:
        """The peer will send nothing more; its end lies behind what waits unparsed."""
        self.told = now
        self.end_input()
        self._pump(now)

    def lost(self, error: BaseException | None, now: float, more: bool = False) -> None:
        """TCP is gone; ``error`` says why, None for a plain end.

        With ``more``, the system still has some of what came, and then the end.
        """
        self.told = now
        if not more:
            self.end_input()
        self.lose_tcp(error)
        self.writable = False
        self.progress.stop()
        self._pump(now)
        self.wait_for_reader(now)

    def go_on(self, now: float) -> None:
        """Parse on in a new turn of the event loop: what CONTINUE asks for."""
        self.told = now
        if self.intake.waits == _SPENT:
            self.intake.begin_turn(False)
            self._pump(now)

    def hold(self) -> None:
        """Read nothing more until ``release()``: the server is short of memory."""
        if self.phase >= _ENDED or self.intake.leaving or self.intake.held:
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
                self.got_fault(exc, now)
            except BaseException as exc:
                self.break_off(exc, now)
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
                self.reach_end(now)

    def take_control(self, kind: int, payload: Any, now: float) -> None:
        """Do what a control frame asks for, one of ``Intake.raw_control`` as well."""
        if kind == 9:
            self._got_ping(payload, now)
        elif kind == 10:
            if self.heartbeat.answered(payload, now):
                self.flags |= PONGS
        else:
            self.got_close(payload, now)

    def _got_ping(self, payload: bytes, now: float) -> None:
        self.heartbeat.count(now, self.limits.pings_per_second)
        if self.phase >= _ENDED:
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
        if self.phase >= _UNREAD:
            self.undate()  # as long as it takes, it is waited for
        if not self.inbox.is_roomy():
            return
        grace_by, close_by = self.grace_by, self.close_by
        self.handing_over = True
        try:
            self._pump(self.told)
        except Exception as exc:
            self.mistake = exc  # the message that was taken comes first
        finally:
            self.handing_over = False
        if self.grace_by != grace_by or self.close_by != close_by:
            self.undate()

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
        if self.phase == _ANSWERING and self.inbox.whole == 0:
            self.settle(now)

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
        self.flags |= _OUTPUT
        if not fin:
            self.fragmenting = True
        elif self.fragmenting:
            self.fragmenting = False
            self.flags |= _STATE

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
        self.fail_by(SLOW_CONSUMER, slow_consumer(waiting, most), now)
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
        if self.senders == 0:
            self.flags |= STATE  # there may be room now: see has_room
        if self.outbox is not None:
            self.flags |= OUTPUT

    def take_output(self) -> bytes:
        """Return what is to be written, in order, and forget it.

        Call it again once that was written, unless ``outbox`` is None: more may wait.
        """
        if (
            self.outbox is not None
            and self.writable
            and not (self.fragmenting or self.senders)
            and self.can_send
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
            and protocol.output_size < _CORK
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
        if self.writable or self.phase >= _UNREAD:
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
        if self.phase == _ANSWERING:
            self.settle(now)
        if self.can_send:
            check_close(code, reason)
            if self.outbox is not None and not self.fragmenting:
                self.outbox.hand_over(self, None)  # which may fail
            self.begin_closing(code, reason, now, cause, error)
        if self.ended is None:
            # What lies between us and the peer's close frame, or the end, is to be read
            # now; what does not fit in the inbox is dropped, and counted.
            self.intake.leaving = True
            self.intake.held = False
            if self.phase >= _UNREAD:
                # What the system still has of it is let go.
                self.end_input()
            self._pump(now)

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
            self.date(now)
        if now >= self.grace_by:
            self.settle(now)
        if now >= self.close_by:
            self.give_up_closing(now)
        if now >= self.progress.by:
            overdue.check_write(self, now, unsent)
        if now >= self.heartbeat.pong_by:
            overdue.check_pong(self, now, unsent)
        payload = self.heartbeat.due(now)
        if payload is not None:
            self.protocol.send_ping(payload)
            self.flags |= _OUTPUT
            self.heartbeat.beat(payload, now, self.protocol.bytes_sent, unsent)
