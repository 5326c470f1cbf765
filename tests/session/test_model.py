"""Two sessions joined by two pipes, at random: nothing lost, doubled or stuck.

The ends below do what a front end does with flags, over pipes of bytes instead of
TCP. Whatever happens: messages arrive whole, in order and once; each side makes one
report; memory is bounded; and when both sides read on, everything comes to rest.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longwire.messages import Cause, Deflate
from longwire.options import Keepalive, Limits, Timeouts
from longwire.session.session import (
    ABORT,
    CLOSE,
    HALF_CLOSE,
    HANGUP,
    OUTPUT,
    READING,
    STAY,
    Session,
)

LIMITS = Limits(
    queued_messages=3, queued_bytes=400, message=1500, fragments=40, pings_per_second=9
)
TIMES = Timeouts(close=3, write=5, fault_grace=1)
CHUNK = 700
HIGH, LOW = 300, 75
START = 100.0
BAD = b"\x83\x80\x00\x00\x00\x00"  # a reserved opcode; not masked from a server


class End:
    """A session and its front end; ``pipe`` is what it wrote and the other not read."""

    def __init__(self, client: bool, deflate: Deflate | None) -> None:
        self.now = START
        self.session = Session(
            client,
            limits=LIMITS,
            timeouts=TIMES,
            keepalive=Keepalive(interval=4, timeout=4),
            random_bytes=random.Random(1).randbytes,
            now=START,
            deflate=deflate,
        )
        self.other: End = self
        self.pipe = bytearray()
        self.pipe_ended = False
        self.pipe_end_seen = False
        self.reading = True
        self.gone = False
        self.torn = False  # what it wrote was lost
        self.flush_due = False
        self.sent: list[Any] = []
        self.got: list[Any] = []
        self.begun: list[Any] = []
        self.pieces: list[Any] = []
        self.report: Any = None

    # --- what a front end does ---

    def react(self) -> None:
        session = self.session
        while flags := session.take_flags():
            if flags & OUTPUT:
                self.write(session.take_due_output())
                self.flush_due = session.protocol.output_size > 0
            if flags & READING:
                self.reading = session.wants_reading
            if flags & HANGUP:
                self.flush()
                self.reading = True
                self.hang_up()
        self.check()

    def write(self, data: bytes) -> None:
        if self.gone or not data:
            return
        assert not self.pipe_ended, "bytes after the end of the stream"
        self.pipe += data
        if len(self.pipe) > HIGH:
            self.session.write_paused(self.now)

    def flush(self) -> None:
        self.flush_due = False
        self.write(self.session.take_output())

    def hang_up(self) -> None:
        ending = self.session.ending
        if ending in (HALF_CLOSE, CLOSE):
            self.pipe_ended = True
        if ending == ABORT or (ending == CLOSE and not self.pipe):
            self.lose(None)

    def lose(self, error: Exception | None) -> None:
        if self.gone:
            return
        self.gone = True
        self.session.lost(error, self.now)
        self.pipe_ended = True
        if error is not None:
            self.pipe.clear()
            self.torn = True
        self.react()

    def check(self) -> None:
        session = self.session
        if self.report is None:
            self.report = session.ended
        assert session.ended is self.report, "a second report"
        # One message under way while its reader waits, beyond what fits.
        assert session.inbox.size <= LIMITS.queued_bytes + 2 * LIMITS.message
        assert session.protocol.buffered <= 2 * CHUNK + LIMITS.message
        assert self.other.sent[: len(self.got)] == self.got

    # --- what happens ---

    def send(self, message: Any) -> None:
        session = self.session
        if session.can_send and not session.fragmenting and session.writable:
            opcode = 1 if isinstance(message, str) else 2
            session.send(opcode, message, True, True)
            self.sent.append(message)
            self.react()

    def send_fragment(self, piece: bytes, fin: bool) -> None:
        session = self.session
        if session.can_send and session.writable:
            session.send(0 if self.begun else 2, piece, fin, True)
            self.begun.append(piece)
            if fin:
                self.sent.append(b"".join(self.begun))
                self.begun = []
            self.react()

    def receive(self, size: int) -> None:
        """Take bytes from the other's pipe."""
        other = self.other
        if self.gone or not self.reading:
            return
        data = bytes(other.pipe[:size])
        del other.pipe[:size]
        if data:
            self.session.receive(data, self.now)
        elif other.pipe_ended and not other.pipe_end_seen:
            other.pipe_end_seen = True
            self.session.receive_eof(self.now)
        if len(other.pipe) <= LOW and not other.gone:
            other.session.write_resumed(other.now)
            if not other.pipe and other.session.ending == CLOSE:
                other.lose(None)
            other.react()
        self.react()

    def read(self, streaming: bool = False) -> None:
        """Do what a task does that receives; give up where it would wait."""
        session = self.session
        streaming = streaming or bool(self.pieces)
        if self.has_input(streaming):
            self.take(streaming)
            return
        session.streaming = streaming
        session.wait(self.now)
        self.react()
        if self.has_input(streaming):
            session.stop_waiting()
            self.take(streaming)

    def has_input(self, streaming: bool) -> bool:
        session = self.session
        return session.has_message or (streaming and len(session.inbox) > 0)

    def take(self, streaming: bool) -> None:
        if not streaming:
            self.got.append(self.session.take()[1])
        else:
            _, payload, fin = self.session.take_piece()
            self.pieces.append(payload)
            if fin:
                self.got.append(type(payload)().join(self.pieces))
                self.pieces = []
        self.react()

    def tick(self, seconds: float) -> None:
        self.now += seconds
        if not self.gone:
            self.session.tick(self.now, len(self.pipe))
            self.react()

    def act(self, verb: str, value: Any) -> None:
        session = self.session
        if verb == "send":
            self.send(value)
        elif verb == "fragment":
            self.send_fragment(*value)
        elif verb == "receive":
            self.receive(value)
        elif verb == "read":
            self.read(value)
        elif verb == "give up":
            session.stop_waiting()
        elif verb == "flush" and self.flush_due:
            self.flush()
        elif verb == "ping" and session.can_send:
            session.ping(None, object(), self.now)
            self.react()
        elif verb == "close":
            session.close(value, "", self.now)
            self.react()
        elif verb == "reset":
            self.lose(OSError("reset"))
        elif verb == "end" and not self.gone:
            session.abort(Cause.LOCAL, "gone", self.now)
            self.react()
        elif verb == "fault" and not self.pipe_ended:
            self.write(BAD if session.client else BAD[:1] + b"\x00")


BYTES = st.integers(0, 500).map(lambda size: random.Random(size).randbytes(size))
DEEDS = st.one_of(
    st.tuples(st.just("send"), BYTES | st.text(max_size=60)),
    st.tuples(st.just("fragment"), st.tuples(BYTES, st.booleans())),
    st.tuples(st.just("receive"), st.integers(1, CHUNK)),
    st.tuples(st.just("read"), st.booleans()),
    st.tuples(st.sampled_from(["give up", "flush", "ping"]), st.none()),
)
ENDS = st.one_of(
    st.tuples(st.just("close"), st.sampled_from([1000, 1001, 4000, None])),
    st.tuples(st.sampled_from(["reset", "end", "fault"]), st.none()),
)
SIDES = st.booleans()
DEFLATES = st.sampled_from([None, Deflate(), Deflate(server_no_context_takeover=True)])


def pair(deflate: Deflate | None) -> dict[bool, End]:
    ends = {client: End(client, deflate) for client in (False, True)}
    for client, end in ends.items():
        end.other = ends[not client]
    return ends


def drain(ends: dict[bool, End], idle: End | None = None) -> None:
    """Let both sides go on until nothing changes; no time passes.

    The handler of ``idle`` does not receive.
    """
    while True:
        before = [state(end) for end in ends.values()]
        for end in ends.values():
            end.receive(CHUNK)
            if end is not idle:
                end.read()
            end.act("flush", None)
        if [state(end) for end in ends.values()] == before:
            return


def state(end: End) -> tuple[Any, ...]:
    session = end.session
    return (
        *(len(end.pipe), end.pipe_ended, end.pipe_end_seen, len(end.got), end.gone),
        *(session.ended, session.protocol.bytes_received, len(session.inbox)),
        *(session.protocol.output_size, session.ending, len(end.pieces), end.reading),
    )


def modelled(examples: int) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


@modelled(250)
@given(DEFLATES, st.lists(st.tuples(SIDES, DEEDS), min_size=5, max_size=60))
def test_every_message_arrives_once_and_in_order(deflate, deeds):
    ends = pair(deflate)

    for side, deed in deeds:
        ends[side].act(*deed)
    for end in ends.values():
        drain(ends)
        if end.begun:
            end.send_fragment(b"", True)
    drain(ends)

    for end in ends.values():
        assert end.session.ended is None
        assert end.got == end.other.sent
        assert not end.pipe and not end.session.protocol.output_size


@modelled(400)
@given(
    DEFLATES,
    st.lists(st.tuples(SIDES, DEEDS), max_size=40),
    st.tuples(SIDES, ENDS),
    st.lists(
        st.tuples(SIDES, DEEDS | ENDS | st.tuples(st.just("tick"), st.floats(0, 3))),
        max_size=15,
    ),
)
def test_every_ending_comes_to_an_end_with_one_report_on_each_side(
    deflate, deeds, ending, after
):
    ends = pair(deflate)

    for side, deed in [*deeds, ending, *after]:
        if deed[0] == "tick":
            for end in ends.values():
                end.tick(deed[1])
        else:
            ends[side].act(*deed)
    for _ in range(12):
        drain(ends)
        for end in ends.values():
            end.tick(1.0)

    for end in ends.values():
        report = end.session.ended
        if end.session.ending == STAY and report is None:
            # A fault that was never sent, for want of an open stream, ends nothing.
            assert ending[1][0] in ("fault", "close")
            continue
        assert end.gone, report
        assert end.session.next_deadline() == float("inf")
        torn = end.torn or end.other.torn
        whole = report.cause is Cause.NETWORK and not torn
        if (report.cause is Cause.PEER or whole) and not end.session.dropping:
            assert end.got == end.other.sent


@pytest.mark.parametrize("client", [False, True])
@modelled(150)
@given(DEFLATES, st.lists(st.tuples(SIDES, DEEDS), max_size=40), st.booleans())
def test_closing_is_proper_however_full_everything_is(client, deflate, deeds, idle):
    ends = pair(deflate)
    for side, deed in deeds:
        ends[side].act(*deed)
    closer, other = ends[client], ends[not client]

    closer.session.stop_waiting()
    closer.act("close", 1000)
    drain(ends, closer if idle else None)

    assert closer.session.ended.cause is Cause.LOCAL
    assert other.session.ended.cause is Cause.PEER
    for end in ends.values():
        assert end.gone
        assert end.session.ended.closed_by == client
        assert (end.session.ended.rcvd.code, end.session.ended.sent.code) == (1000,) * 2
    assert other.got == closer.sent


@modelled(50)
@given(DEFLATES, SIDES, st.lists(BYTES, min_size=1, max_size=9), st.booleans())
def test_who_sends_to_a_side_that_does_not_read_is_stopped(
    deflate, side, messages, ended
):
    ends = pair(deflate)
    sender, idle = ends[side], ends[not side]

    for message in messages * 20:
        sender.send(message)
        idle.receive(CHUNK)
        idle.receive(CHUNK)

    if sender.session.protocol.bytes_sent > 5000:
        assert not idle.reading
        assert not sender.session.writable
    if ended:
        sender.act("end", None)
    drain(ends)
    assert idle.got == sender.sent or idle.session.dropping
