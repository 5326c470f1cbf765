"""Session: whatever the peer sends and the program does, in whatever order.

A program of deeds plays a front end: it feeds bytes, reads, sends, pings, closes, lets
time pass, stalls and loses the wire. What must hold:

* one report, never changed; an end that is decided comes, whatever the peer does;
* messages read are those the reference finds in the bytes fed, in order, none twice;
  the others of those that came before the end was certain are counted as dropped, and
  then the end is an error;
* what is written is a stream the reference accepts, with the messages sent in it;
  nothing follows the end of the stream, and only pongs follow a close frame;
* what is held, read or unread, is bounded by the limits, in bytes of memory;
* each waiter of a ping comes back once; ``tick`` leaves no deadline behind;
* what changed is in the flags; no exception but those documented.
"""

from __future__ import annotations

import hashlib
from typing import Any

from fuzz import reference
from fuzz.builds import Build
from fuzz.choices import Choices
from fuzz.targets.protocol import agreement, inflation
from longwire.errors import (
    ConcurrencyError,
    InvalidState,
    LimitExceeded,
    ProtocolError,
    UsageError,
)
from longwire.messages import Cause, State
from longwire.options import Keepalive, Limits, Timeouts

MESSAGE, OUTPUT, PONGS, STATE, READING, HANGUP, DEADLINE = 1, 2, 4, 8, 16, 32, 64
CONTINUE = 128
STAY, HALF_CLOSE, CLOSE, ABORT = 0, 1, 2, 3
NEVER = float("inf")
START = 100.0

LARGEST, FRAGMENTS = 600, 6
LIMITS = (
    Limits(
        message=LARGEST,
        fragments=FRAGMENTS,
        queued_messages=3,
        queued_bytes=400,
        output_bytes=300,
        unsent_bytes=2000,
        pings_per_second=5,
    ),
    Limits(
        message=LARGEST,
        fragment=100,
        fragments=FRAGMENTS,
        queued_messages=1,
        queued_bytes=1,
    ),
    Limits(message=LARGEST, queued_messages=None, queued_bytes=2000),
)
KEEPALIVES = (
    Keepalive(interval=None),
    Keepalive(interval=4, timeout=4),
    Keepalive(interval=4, timeout=None),
)
TIMES = Timeouts(close=3, write=5, fault_grace=1)
MOST_FED = 255
TEXTS = ("", "a", "hé", "€" * 30, "\ud800", "x" * 130)
CODES = (1000, 1001, 3000, 4999, None, 1005, 1006, 999, 5000, 1011)
REASONS = ("", "bye", "é" * 61, "é" * 62)
ERRORS = (RuntimeError("handler"), OSError("\udcff" + "é" * 99))


class Player:
    """A session and the front end that plays with it."""

    def __init__(self, choices: Choices, build: Build) -> None:
        kind = choices.byte()
        self.client = bool(kind & 1)
        self.deflate = agreement(choices)
        self.limits = choices.pick(LIMITS)
        self.now = START
        self.session = build.session.Session(
            self.client,
            limits=self.limits,
            timeouts=TIMES,
            keepalive=choices.pick(KEEPALIVES),
            random_bytes=_source_of_bytes(),
            now=START,
            deflate=self.deflate,
        )
        if kind & 2:
            self.session.intake.frames, self.session.intake.inflated = 3, 200
            self.session.intake.begin_turn(False)
        self.choices = choices
        self.trace: list[Any] = []
        self.fed = bytearray()
        self.reading = True
        self.gone = False
        self.turn_due = False
        self.eof = False
        self.stream_ended = False
        self.unsent = 0
        self.written = bytearray()
        self.sent: list[Any] = []
        self.fragments: list[Any] = []
        self.got: list[Any] = []
        self.pieces: list[Any] = []
        self.waiters: set[int] = set()
        self.ponged: set[bytes] = set()
        self.report: Any = None
        self.fed_at_end = 0
        self.seen = self.changing()

    def changing(self) -> tuple[Any, ...]:
        """Return what must not change without a flag."""
        session = self.session
        return (
            session.protocol.output_size,
            session.ending,
            session.wants_reading,
            session.next_deadline(),
            session.has_message,
            session.ended is not None,
            session.can_send,
            session.is_gone,
        )

    def check_flags(self, flags: int) -> None:
        """Fail if something changed that the flags do not tell of."""
        output, ending, reading, deadline, message, ended, is_open, gone = self.seen
        now = self.changing()
        assert now[0] <= output or flags & OUTPUT, "output without OUTPUT"
        assert now[1] == ending or flags & HANGUP, "an ending without HANGUP"
        assert now[2] == reading or flags & READING, "wants_reading without READING"
        assert now[3] >= deadline or flags & DEADLINE, "a deadline without DEADLINE"
        assert now[4] <= message or flags & MESSAGE, "a message without MESSAGE"
        told = flags & MESSAGE and flags & STATE and flags & PONGS
        assert now[5] == ended or told, "the end without its flags"
        assert now[6] == is_open or flags & STATE, "closing without STATE"
        assert now[7] == gone or flags & STATE, "the end of TCP without STATE"

    # --- what a front end does ---

    def react(self) -> None:
        """Do what the flags ask for, as the front ends do."""
        session = self.session
        rounds = 0
        while True:
            flags = session.take_flags()
            self.check_flags(flags)
            self.seen = self.changing()
            if not flags:
                break
            self.trace.append(flags)
            rounds += 1
            assert rounds < 50, "flags without end"
            if flags & OUTPUT:
                self.write(session.take_due_output())
                self.seen = (session.protocol.output_size, *self.seen[1:])
            if flags & PONGS:
                for waiter, latency in session.take_pongs():
                    assert latency >= 0
                    self.waiters.remove(waiter)
                if session.ended is not None:
                    for waiter in session.heartbeat.take_waiters():
                        self.waiters.remove(waiter)
            if flags & READING:
                self.reading = session.wants_reading
            if flags & CONTINUE:
                self.turn_due = True
            if flags & HANGUP:
                self.write(session.take_output())
                self.reading = True
                self.hang_up()

    def write(self, data: bytes) -> None:
        if self.gone or not data:
            return
        assert not self.stream_ended, "bytes after the end of the stream"
        self.written += data
        self.unsent += len(data)
        if self.unsent > self.limits.output_bytes:
            self.session.write_paused(self.now)

    def hang_up(self) -> None:
        ending = self.session.ending
        self.stream_ended = self.stream_ended or ending in (HALF_CLOSE, CLOSE)
        if ending == ABORT or (ending == CLOSE and not self.unsent):
            self.lose(None)

    def lose(self, error: Exception | None) -> None:
        if not self.gone:
            self.gone = self.eof = True
            self.session.lost(error, self.now)

    # --- what happens to it ---

    def feed(self, data: bytes) -> None:
        if self.reading and not self.eof and data:
            self.fed += data
            before = self.session.protocol.output_size
            self.session.receive(data, self.now)
            # A pong for each ping, and the last close frame: no more is made of it.
            grown = self.session.protocol.output_size - before
            assert grown <= 2 * len(data) + 139, "a few bytes make us hold many"

    def feed_frame(self, first: int, payload: bytes) -> None:
        """Feed what is a frame at least in its length and mask."""
        size = len(payload)
        flag = 0 if self.client else 0x80
        head = bytes((first, flag | min(size, 126)))
        if size > 125:
            head += size.to_bytes(2, "big")
        self.feed(head + (b"" if self.client else bytes(4)) + payload)

    def send(self, opcode: int, payload: Any, fin: bool, compress: bool) -> None:
        session = self.session
        if not session.can_send:
            return  # it is for the front end to ask
        turn = (opcode == 0) == bool(self.fragments)
        try:
            session.send(opcode, payload, fin, compress)
        except InvalidState:
            assert not turn
            return
        except UnicodeEncodeError:
            assert "\ud800" in payload
            return
        assert turn, "sent out of turn"
        self.fragments.append(payload)
        if fin:
            self.sent.append(b"".join(map(_encoded, self.fragments)))
            self.fragments = []

    def read(self, streaming: bool) -> None:
        """Receive a message, or a piece of one; give up where that would wait."""
        session = self.session
        streaming = streaming or bool(self.pieces)
        if not self._has_input(streaming):
            session.streaming = streaming
            session.wait(self.now)
            if not self._has_input(streaming):
                return
            session.stop_waiting()
        if streaming:
            kind, payload, fin = session.take_piece()
            self.pieces.append(payload)
            if fin:
                self.got.append((kind, type(payload)().join(self.pieces)))
                self.pieces = []
        else:
            self.got.append(session.take())

    def _has_input(self, streaming: bool) -> bool:
        if streaming:
            return len(self.session.inbox) > 0
        return bool(self.session.has_message)

    def ping(self, payload: bytes | None) -> None:
        waiter = len(self.trace)
        if not self.session.can_send:
            return
        try:
            self.session.ping(payload, waiter, self.now)
        except ConcurrencyError:
            assert payload is not None
        else:
            self.waiters.add(waiter)

    def pong(self, payload: bytes) -> None:
        if self.session.can_send:
            self.session.pong(payload)
            self.ponged.add(payload)

    def close(self, code: int | None, reason: str) -> None:
        try:
            self.session.close(code, reason, self.now)
        except (ProtocolError, UsageError) as exc:
            self.trace.append((type(exc).__name__, str(exc)))
            allowed = code in (1000, 1001, 1011, 3000, 4999)
            assert not allowed or len(reason.encode()) > 123, exc

    def broadcast(self, payload: bytes) -> None:
        """Send a frame that was encoded for many."""
        session = self.session
        if not session.can_send or self.fragments or self.client:
            return
        frame = bytes((0x82, len(payload))) + payload
        session.send_encoded(frame, self.unsent, self.now)
        if session.ending != ABORT:
            self.sent.append(payload)

    def drain(self) -> None:
        """The peer takes everything."""
        if self.gone:
            return
        self.unsent = 0
        self.session.write_resumed(self.now)
        if self.session.ending == CLOSE:
            self.lose(None)

    def turn(self) -> None:
        """Let the event loop have another turn."""
        if self.turn_due:
            self.turn_due = False
            self.session.go_on(self.now)

    def tick(self, seconds: float) -> None:
        self.now += seconds
        if self.gone and self.session.next_deadline() == NEVER:
            return
        self.session.tick(self.now, self.unsent)
        assert self.session.next_deadline() > self.now, "a deadline is left behind"

    def end_input(self) -> None:
        if not self.eof:
            self.eof = True
            self.session.receive_eof(self.now)

    def act(self) -> None:
        """Do the next deed of the program."""
        choices = self.choices
        deed = DEEDS[choices.byte() % len(DEEDS)]
        self.trace.append(deed.__name__)
        deed(self, choices)
        self.react()
        self.check()

    # --- what must hold ---

    def check(self) -> None:
        session = self.session
        if self.report is None and session.ended is not None:
            self.report = session.ended
            self.fed_at_end = len(self.fed)
        assert session.ended is self.report, "a second report"
        self._check_bounds()
        self.trace.append(
            (session.state, session.ending, session.next_deadline(), len(self.written))
        )

    def _check_bounds(self) -> None:
        session, limits = self.session, self.limits
        # One message more, as text four bytes a character, and what each piece takes.
        message = 4 * LARGEST + FRAGMENTS * 160
        if limits.queued_bytes is not None:
            most = limits.queued_bytes + message
            assert session.inbox.size <= most, "the inbox is too full"
        if limits.queued_messages is not None and not session.got_eof:
            # And the fragments of one that a reader waits for.
            most = limits.queued_messages + FRAGMENTS
            assert len(session.inbox) <= most, "too many pieces in the inbox"
        # Two reads, with what was read of the first, and a message under way.
        held = session.protocol.memory() - session.protocol.output_size
        assert held <= 3 * MOST_FED + 4 * message + 8192, "too much unparsed input"
        outbox = 0 if session.outbox is None else session.outbox.size
        assert session.memory == (
            session.inbox.size + held + session.protocol.output_size + outbox
        )

    def finish(self) -> None:
        """Leave the session alone with a silent peer, then without one."""
        for _ in range(40):
            deadline = self.session.next_deadline()
            if self.gone or deadline == NEVER:
                break
            self.tick(max(0.0, deadline - self.now))
            self.react()
            self.check()
        if self.report is not None or self.session.protocol.close_sent is not None:
            assert self.gone or self.session.tcp_lost, f"it never ended: {self.report}"
        self.lose(OSError("reset"))
        self.react()
        self.check()
        self._read_to_the_end()
        session = self.session
        assert self.report is not None and session.state == State.CLOSED
        assert session.next_deadline() == NEVER
        assert not self.waiters, "pings are waited for after the end"
        exc = session.exception()
        assert exc.report is self.report
        self.trace.append((type(exc).__name__, str(exc), str(self.report)))
        self._check_report()
        self._check_read()
        self._check_written()

    def _read_to_the_end(self) -> None:
        """Take what is left after the end of TCP, as a slow handler does."""
        session = self.session
        for _ in range(1000):
            self.turn()
            self.react()
            self.check()
            if self.turn_due:
                continue
            had = self._has_input(bool(self.pieces))
            self.read(False)
            self.react()
            self.check()
            if not had and self.report is not None and not self.turn_due:
                break
        assert not session.has_message or self.pieces

    def _check_report(self) -> None:
        report = self.report
        dropped = self.session.intake.dropped
        assert report.received_dropped == dropped <= report.messages_dropped
        if dropped:
            assert "Error" in type(self.session.exception()).__name__
        if report.cause in (Cause.PEER, Cause.PEER_ERROR, Cause.LIMIT):
            assert self.fed or report.limit == "unsent_bytes"
        assert (report.limit is not None) == isinstance(report.error, LimitExceeded)
        assert report.bytes_received <= len(self.fed)
        assert report.last_byte_age >= 0 and report.duration >= 0

    def _check_read(self) -> None:
        while self.session.has_message and not self.pieces:
            self.got.append(self.session.take())
        expected = self._reference(self.client, bytes(self.fed))
        messages = _messages(expected)
        if expected.unknown:
            return
        got = [payload for _, payload in self.got]
        assert got == messages[: len(got)], f"{got} was read of {messages}"
        self._check_nothing_lost(len(got))

    def _check_nothing_lost(self, got: int) -> None:
        """Count the messages that came before the end was certain."""
        report = self.report
        there = self._reference(self.client, bytes(self.fed[: self.fed_at_end]))
        if there.unknown or report.cause in (Cause.PEER_ERROR, Cause.LIMIT):
            return  # where the fault is, or the ping too many, is not known here
        assert there.fault is None or report.cause is not Cause.PEER
        counted = got + report.received_dropped
        found = len(_messages(there))
        if there.fault is None:
            assert counted == found, f"{counted} of {found} messages"
        else:
            # What was dropped was not looked at closely.
            assert counted >= found

    def _check_written(self) -> None:
        """Look at our output as the peer does; the close frame ends its messages."""
        written = bytes(self.written)
        found = reference.read_frames(
            written, not self.client, 4 if self.deflate else 0
        )
        assert not found.fault and found.consumed == len(written), "no frames"
        opcodes = [frame.opcode for frame in found.whole]
        if reference.CLOSE in opcodes:
            after = opcodes[opcodes.index(reference.CLOSE) + 1 :]
            assert set(after) <= {reference.PONG}, f"after a close frame: {after}"
        peer = self._reference(not self.client, written)
        assert peer.fault is None and not peer.unknown, "the peer would refuse"
        messages = list(map(_encoded, _messages(peer)))
        # What was sent and never written: the wire had gone, or ended.
        assert messages == self.sent[: len(messages)], f"{messages} of {self.sent}"
        pings = {
            frame.payload
            for frame in reference.read_frames(bytes(self.fed), self.client, 4).whole
            if frame.opcode == reference.PING
        }
        pongs = {f.payload for f in found.whole if f.opcode == reference.PONG}
        assert pongs <= pings | self.ponged, "a pong for no ping"

    def _reference(self, client: bool, wire: bytes) -> reference.Reader:
        ours = client == self.client
        reader = reference.Reader(
            client,
            max_message=self.limits.message if ours else None,
            max_fragment=self.limits.fragment if ours else None,
            max_fragments=self.limits.fragments if ours else None,
            inflation=inflation(self.deflate, client),
        )
        reader.read(wire)
        return reader


def _encoded(payload: Any) -> Any:
    return payload.encode() if type(payload) is str else payload


def _messages(reader: reference.Reader) -> list[Any]:
    """Return the whole messages among the events."""
    messages: list[Any] = []
    pieces: list[Any] = []
    payload: Any
    for kind, payload, fin in reader.events:
        if kind <= 2:
            pieces.append(payload)
            if fin:
                messages.append(type(payload)().join(pieces))
                pieces = []
    return messages


def _source_of_bytes() -> Any:
    """Return a function that gives other bytes each time, the same in each run."""
    count = 0

    def random_bytes(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_128(count.to_bytes(4, "big")).digest(size)

    return random_bytes


def _size(choices: Choices) -> bytes:
    """Return a payload of up to 255 bytes of little meaning."""
    size = choices.byte()
    return (b"0123456789abcdef" * 16)[:size]


def feed(player: Player, choices: Choices) -> None:
    player.feed(choices.take(choices.byte()))


def feed_frame(player: Player, choices: Choices) -> None:
    player.feed_frame(choices.byte(), choices.take(choices.byte()))


def feed_message(player: Player, choices: Choices) -> None:
    player.feed_frame(
        choices.pick((0x81, 0x82, 0x01, 0x02, 0x80, 0x00)), _size(choices)
    )


def send_text(player: Player, choices: Choices) -> None:
    player.send(1, choices.pick(TEXTS), True, bool(choices.byte() & 1))


def send_bytes(player: Player, choices: Choices) -> None:
    player.send(2, _size(choices), True, bool(choices.byte() & 1))


def send_fragment(player: Player, choices: Choices) -> None:
    fin = choices.byte() & 3 == 3
    player.send(0 if player.fragments else 2, _size(choices), fin, True)


def send_out_of_turn(player: Player, choices: Choices) -> None:
    player.send(2 if player.fragments else 0, b"", True, True)


def read(player: Player, choices: Choices) -> None:
    player.read(False)


def stream(player: Player, choices: Choices) -> None:
    player.read(True)


def give_up(player: Player, choices: Choices) -> None:
    player.session.stop_waiting()


def ping(player: Player, choices: Choices) -> None:
    player.ping(choices.pick((None, b"", b"a", b"abcd")))


def pong(player: Player, choices: Choices) -> None:
    player.pong(choices.pick((b"", b"unasked")))


def close(player: Player, choices: Choices) -> None:
    player.close(choices.pick(CODES), choices.pick(REASONS))


def broadcast(player: Player, choices: Choices) -> None:
    player.broadcast(_size(choices)[:125])


def flush(player: Player, choices: Choices) -> None:
    player.write(player.session.take_output())


def turn(player: Player, choices: Choices) -> None:
    player.turn()


def hold(player: Player, choices: Choices) -> None:
    if choices.byte() & 1:
        player.session.hold()
    else:
        player.session.release(player.now)


def drain(player: Player, choices: Choices) -> None:
    player.drain()


def tick(player: Player, choices: Choices) -> None:
    player.tick(choices.pick((0.0, 0.3, 1.0, 4.0, 60.0)))


def end_input(player: Player, choices: Choices) -> None:
    player.end_input()


def reset(player: Player, choices: Choices) -> None:
    player.lose(choices.pick((None, OSError("reset"))))


def abort(player: Player, choices: Choices) -> None:
    if not player.gone:
        player.session.abort(Cause.LOCAL, "gone", player.now)


def fail(player: Player, choices: Choices) -> None:
    if not player.gone:
        player.session.fail(choices.pick(ERRORS), player.now)


DEEDS = (
    *(feed, feed_frame, feed_message, send_text, send_bytes, send_fragment),
    *(send_out_of_turn, read, stream, give_up, ping, pong, close, broadcast, flush),
    *(drain, tick, end_input, reset, abort, fail, turn, hold),
)


def check(data: bytes, build: Build) -> list[Any]:
    """Decisions: side, compression, limits, keepalive; then deeds to the end."""
    choices = Choices(data)
    player = Player(choices, build)
    while choices:
        player.act()
    player.finish()
    return player.trace
