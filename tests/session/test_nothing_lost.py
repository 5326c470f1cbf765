"""Nothing that was received is lost, whatever is slow and however it ends.

One session is fed what a peer wrote, as far as it wants to read, in any pieces; its
reader takes when it likes. At the end each whole message that was fed was received, in
order, or the report counts it as dropped and the end is an error.
"""

from __future__ import annotations

import random
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.session.conftest import Bench

from longwire.errors import ConnectionClosedError, ConnectionClosedOK
from longwire.messages import Cause, Deflate
from longwire.options import Limits, Timeouts
from longwire.session.session import (
    ABORT,
    CLOSE,
    CONTINUE,
    DEADLINE,
    HANGUP,
    OUTPUT,
    READING,
)

ZERO = b"\x00\x00\x00\x00"
BAD = b"\x83\x80" + ZERO  # a reserved opcode
LARGEST = 3000
LIMITS = Limits(
    queued_messages=3, queued_bytes=4000, message=LARGEST, pings_per_second=None
)
READ = 1500  # bytes of one read


def frame(first: int, payload: bytes) -> bytes:
    """A frame as a client sends it, masked with zeros."""
    size = len(payload)
    head = bytes((first, 0x80 | min(size, 126)))
    if size > 125:
        head += size.to_bytes(2, "big")
    return head + ZERO + payload


def deflated(payload: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(b"\x00\x00\xff\xff")


def message(number: int, kind: str, size: int, cuts: list[int]) -> tuple[bytes, Any]:
    """Return the wire bytes of a message and what is to be received."""
    payload: Any = b"%d " % number
    if kind == "noise":
        payload += random.Random(number).randbytes(size)
    elif kind == "bomb":
        payload += bytes(size)
    else:
        payload = f"{number} " + "a" * (size // 4) + "🙂"
    data = payload.encode() if isinstance(payload, str) else payload
    first = 1 if isinstance(payload, str) else 2
    if kind != "noise":
        data = deflated(data)
        first |= 0x40
    wire = b""
    for cut in cuts:
        wire += frame(first, data[:cut])
        data, first = data[cut:], 0
    return wire + frame(first | 0x80, data), payload


class Reader(Bench):
    """A session, its front end, and a reader that takes when it is told to."""

    def __init__(self, wire: bytes, ends: list[int]) -> None:
        super().__init__(
            False,
            limits=LIMITS,
            timeouts=Timeouts(close=10, write=None, fault_grace=1),
            deflate=Deflate(),
        )
        self.session.intake.frames = 4
        self.session.intake.inflated = 2500
        self.wire = wire
        self.fed = 0
        self.ends = ends  # where in the wire each message ends
        self.got: list[Any] = []
        self.pieces: list[Any] = []
        self.reading = True
        self.over = False  # the stream
        self.due = False  # another turn
        self.turns = 0
        self.report: Any = None
        self.received_at_end = 0

    @property
    def received(self) -> int:
        """How many whole messages were fed."""
        return sum(end <= self.fed for end in self.ends)

    def react(self) -> None:
        session = self.session
        while flags := session.take_flags():
            if flags & OUTPUT:
                session.take_output()
            if flags & READING:
                self.reading = session.wants_reading
            if flags & CONTINUE:
                self.due = True
            if flags & HANGUP:
                self.reading = True
            if flags & DEADLINE:
                assert session.next_deadline() != float("inf")
        self.check()

    def check(self) -> None:
        session = self.session
        if self.report is None and session.ended is not None:
            self.report = session.ended
            self.received_at_end = self.received
        assert session.ended is self.report, "a second report"
        # The queue, and one message beyond it: as text four bytes a character, for a
        # moment in parts and whole.
        assert session.inbox.size <= LIMITS.queued_bytes + 4 * LARGEST + 500
        # Two reads, and what a message under way takes.
        assert session.memory - session.inbox.size <= 3 * READ + 8 * LARGEST + 5000
        if self.report is not None and self.report.cause is Cause.PEER:
            left = self.received - session.intake.dropped
            assert len(self.got) + session.inbox.whole == left, (
                "the end was told before it was reached"
            )

    # --- deeds ---

    def feed(self, size: int) -> None:
        if self.reading and not self.over and self.fed < len(self.wire):
            data = self.wire[self.fed : self.fed + size]
            self.fed += len(data)
            self.session.receive(data, self.now)
            self.react()

    def turn(self) -> None:
        if self.due:
            self.due = False
            self.turns += 1
            self.session.go_on(self.now)
            self.react()

    def read(self, streaming: bool = False) -> bool:
        session = self.session
        streaming = streaming or bool(self.pieces)
        if not self.has_input(streaming):
            session.streaming = streaming
            session.wait(self.now)
            self.react()
            if not self.has_input(streaming):
                return False
            session.stop_waiting()
        if not streaming:
            self.got.append(session.take()[1])
        else:
            _, payload, fin = session.take_piece()
            self.pieces.append(payload)
            if fin:
                self.got.append(type(payload)().join(self.pieces))
                self.pieces = []
        self.react()
        return True

    def has_input(self, streaming: bool) -> bool:
        if streaming:
            return len(self.session.inbox) > 0
        return bool(self.session.has_message)

    def tick(self, seconds: float) -> None:
        self.now += seconds
        if not self.session.tcp_lost:
            self.session.tick(self.now, 0)
            self.react()

    def eof(self) -> None:
        if not self.over:
            self.over = True
            self.session.receive_eof(self.now)
            self.react()

    def lose(self, error: Exception | None) -> None:
        if not self.session.tcp_lost:
            self.over = True
            self.session.lost(error, self.now)
            self.react()

    def act(self, verb: str, value: Any) -> None:
        session = self.session
        if verb == "feed":
            self.feed(value)
        elif verb == "read":
            self.read(value)
        elif verb == "turn":
            self.turn()
        elif verb == "tick":
            self.tick(value)
        elif verb == "hold":
            session.hold()
        elif verb == "release":
            session.release(self.now)
        elif verb == "eof":
            self.eof()
        elif verb == "lost":
            self.lose(value)
        elif verb == "close":
            session.close(1000, "", self.now)
        elif verb == "abort" and not session.tcp_lost:
            session.abort(Cause.LOCAL, "gone", self.now)
        self.react()

    def finish(self) -> None:
        """Read to the end, as a handler does that iterates."""
        for _ in range(10_000):
            if self.session.intake.held:
                self.act("release", None)
            self.turn()
            self.feed(READ)
            if self.fed == len(self.wire):
                self.lose(None)
            moved = self.read(False)
            if not moved and self.session.ended is not None and not self.due:
                return
        raise AssertionError("the end never came")


SIZES = st.sampled_from([0, 1, 100, 900, 2900])
MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["noise", "bomb", "text"]),
        SIZES,
        st.lists(st.integers(0, 40), max_size=4),
    ),
    min_size=1,
    max_size=30,
)
DEEDS = st.one_of(
    st.tuples(st.just("feed"), st.integers(1, READ)),
    st.tuples(st.just("feed"), st.integers(1, READ)),
    st.tuples(st.just("read"), st.booleans()),
    st.tuples(st.just("turn"), st.none()),
    st.tuples(st.just("tick"), st.sampled_from([0.0, 0.5, 1.0, 9.0])),
    st.tuples(st.sampled_from(["hold", "release"]), st.none()),
)
ENDS = st.one_of(
    st.tuples(st.sampled_from(["eof", "close", "abort"]), st.none()),
    st.tuples(st.just("lost"), st.sampled_from([None, ConnectionResetError("reset")])),
)
LAST = st.sampled_from(
    [b"", frame(0x88, b"\x03\xe8"), frame(0x88, b""), frame(0x88, b"\x0f\xa0"), BAD]
)
SHORT_OF = st.integers(0, 40)  # bytes that never come


def modelled(examples: int) -> Any:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def reader_of(messages: list[Any], last: bytes, short_of: int) -> tuple[Reader, Any]:
    wire = b""
    wanted, ends = [], []
    for number, (kind, size, cuts) in enumerate(messages):
        data, payload = message(number, kind, size, cuts)
        wire += data + frame(0x89, b"ping") * (number % 3 == 0)
        wanted.append(payload)
        ends.append(len(wire) - 10 * (number % 3 == 0))
    wire += last
    return Reader(wire[: max(len(wire) - short_of, 0)], ends), wanted


@modelled(300)
@given(MESSAGES, LAST, SHORT_OF, st.lists(DEEDS, max_size=60))
def test_all_is_received_however_slow_the_reader(messages, last, short_of, deeds):
    reader, wanted = reader_of(messages, last, short_of)

    for deed in deeds:
        reader.act(*deed)
    reader.finish()

    assert reader.got == wanted[: reader.received]
    report = reader.report
    assert (report.received_dropped, report.messages_dropped) == (0, 0)
    assert report.messages_received == reader.received
    whole = not short_of
    if last == BAD and short_of <= 4:  # two bytes show it
        assert report.cause is Cause.PEER_ERROR
    elif last and whole:
        assert report.cause is Cause.PEER
    else:
        assert report.cause is Cause.NETWORK
    fine = whole and last in (frame(0x88, b"\x03\xe8"), frame(0x88, b""))
    kind = ConnectionClosedOK if fine else ConnectionClosedError
    assert type(reader.session.exception()) is kind


@modelled(600)
@given(
    MESSAGES,
    LAST,
    SHORT_OF,
    st.lists(DEEDS, max_size=60),
    ENDS,
    st.lists(DEEDS | ENDS, max_size=20),
)
def test_what_is_not_received_is_counted_and_the_end_is_an_error(
    messages, last, short_of, deeds, end, after
):
    reader, wanted = reader_of(messages, last, short_of)

    for deed in [*deeds, end, *after]:
        reader.act(*deed)
    reader.finish()

    assert reader.got == wanted[: len(reader.got)], "a hole, or out of order"
    report = reader.report
    lost = report.received_dropped
    assert lost == reader.session.intake.dropped <= report.messages_dropped
    # What comes when the end is certain is not looked at: we have hung up.
    assert len(reader.got) + lost == reader.received_at_end
    if lost or report.cause is Cause.NETWORK:
        assert type(reader.session.exception()) is ConnectionClosedError
        assert f"{lost} received message" in report.detail or not lost


@pytest.mark.parametrize("left", [0, 1, 5])
def test_half_a_message_is_none(left: int) -> None:
    reader, _ = reader_of([("noise", 100, [40]), ("noise", 100, [40])], b"", left)

    reader.finish()

    assert len(reader.got) == (2 if left == 0 else 1)
    assert reader.report.received_dropped == 0


@modelled(200)
@given(MESSAGES, st.lists(DEEDS, max_size=40), st.booleans())
def test_who_closes_finds_the_close_frame_behind_whatever_lies_there(
    messages, deeds, reads
):
    reader, wanted = reader_of(messages, frame(0x88, b"\x03\xe8"), 0)
    for deed in deeds:
        reader.act(*deed)

    reader.act("close", None)
    for _ in range(10_000):
        if reads:
            reader.read()
        reader.turn()
        reader.feed(READ)
        if reader.report is not None:
            break

    report = reader.report
    assert report.rcvd.code == 1000
    while reader.read(False):
        pass
    assert reader.got == wanted[: len(reader.got)]
    lost = len(wanted) - len(reader.got)
    assert report.received_dropped == lost
    exc = reader.session.exception()
    assert type(exc) is (ConnectionClosedError if lost else ConnectionClosedOK)


# --- TCP has ended, the reader not yet ---


def heavy(server: Any, **times: Any) -> Bench:
    """A server's session whose peer has left more behind than fits in the queue."""
    bench: Bench = server(
        limits=Limits(queued_bytes=1500), timeouts=Timeouts(**times), deflate=Deflate()
    )
    wire = b"".join(message(n, "bomb", 900, [])[0] for n in range(10))
    bench.feed(wire + frame(0x88, b"\x03\xe8"))
    bench.session.lost(OSError("reset"), bench.now)
    bench.session.take_flags()
    return bench


def test_the_end_of_tcp_is_told_when_the_reader_has_reached_it(server: Any) -> None:
    bench = heavy(server, close=10)
    session = bench.session
    assert (session.ended, session.state.name) == (None, "CLOSING")
    assert session.is_over and not session.can_send and not session.is_gone

    got = []
    for _ in range(10):
        if not session.has_message:
            session.wait(bench.now)
        bench.after(9)  # each takes long, and that is fine
        got.append(session.take())

    assert len(got) == 10
    session.wait(bench.now)
    assert session.ended.cause is Cause.PEER
    assert session.state.name == "CLOSED"
    assert session.next_deadline() == float("inf")


@pytest.mark.parametrize(("close", "seconds"), [(10, 10), (None, 2)])
def test_a_reader_who_does_not_come_is_not_waited_for_and_finds_all_later(
    server: Any, close: Any, seconds: float
) -> None:
    bench = heavy(server, close=close, fault_grace=2)
    session = bench.session

    bench.after(seconds - 0.1)
    assert not session.is_gone
    bench.after(0.1)

    assert session.is_gone and session.state.name == "CLOSED"
    assert session.next_deadline() == float("inf")
    got = 0
    while session.has_message or session.ended is None:
        if session.has_message:
            session.take()
            got += 1
        else:
            session.wait(bench.now)
    assert (got, session.ended.cause) == (10, Cause.PEER)


def test_sending_ends_with_tcp(server: Any) -> None:
    bench = heavy(server)
    session = bench.session

    assert not session.can_send and not session.writable
    session.write_resumed(bench.now)
    assert not session.writable
    exc = session.exception()
    assert type(exc) is ConnectionClosedError
    assert str(exc.__cause__) == "reset"


def test_closing_then_tells_the_end_at_once(server: Any) -> None:
    bench = heavy(server)
    session = bench.session
    waiting = session.inbox.whole

    session.close(1000, "", bench.now)

    report = session.ended
    assert report.cause is Cause.PEER
    assert report.received_dropped == 10 - session.inbox.whole > 0
    assert session.inbox.whole == waiting
    assert session.memory == session.inbox.size


def test_what_the_system_still_has_follows(server: Any) -> None:
    bench = server()
    session = bench.session
    bench.feed(frame(0x82, b"1"))

    session.lost(OSError("broken pipe"), bench.now, True)
    assert session.ended is None and not session.can_send
    bench.feed(frame(0x82, b"2"))
    bench.feed(frame(0x82, b"3") + frame(0x88, b"\x03\xe8"))
    session.receive_eof(bench.now)

    assert [session.take()[1] for _ in range(3)] == [b"1", b"2", b"3"]
    assert session.ended.cause is Cause.PEER


# --- the time at which the reader takes ---


def test_grace_begins_when_what_was_in_front_has_been_taken(server: Any) -> None:
    bench = server(limits=Limits(queued_messages=2), timeouts=Timeouts(fault_grace=1))
    session = bench.session
    bench.feed(frame(0x82, b"1") * 3 + frame(0x88, b"\x03\xe8"))
    bench.now += 100  # it took that long to answer the first

    session.take()  # nobody tells the session what time it is
    session.take()
    assert session.peer_close is not None
    bench.after(0.1)
    assert session.ended is None
    session.send(2, b"answer", True, True)
    bench.after(0.8)
    assert session.ended is None
    bench.after(0.3)

    assert session.ended.cause is Cause.PEER


def test_closing_has_its_time_when_the_end_is_reached_by_taking(server: Any) -> None:
    bench = server(limits=Limits(queued_messages=1), timeouts=Timeouts(close=10))
    session = bench.session
    bench.feed(frame(0x82, b"1") + frame(0x82, b"2") + frame(0x82, b"3"))
    session.intake.held = True
    session.receive_eof(bench.now)
    session.intake.held = False
    bench.now += 100

    session.take()
    assert session.ended.cause is Cause.NETWORK
    bench.after(0.1)

    assert session.ending == CLOSE
    bench.after(10)
    assert session.ending == ABORT
