"""The plans of the verbs, driven by hand: no sockets, and a clock that is set."""

from __future__ import annotations

import pytest

from longwire import (
    ConcurrencyError,
    ConnectionClosedError,
    ConnectionClosedOK,
    Keepalive,
    Limits,
    ProtocolError,
    State,
    Timeouts,
)
from longwire.session.leaving import Outcome
from longwire.session.session import HALF_CLOSE, Session
from longwire.verbs import (
    ACT,
    END,
    INPUT,
    NO_MORE,
    ROOM,
    TURN,
    Next,
    Verbs,
    fragments_of,
)
from tests.support.rawpeer import BINARY, CLOSE, CONT, TEXT, close_payload, frame


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Side:
    """A server's session, its verbs and its clock."""

    def __init__(self, **limits):
        self.clock = Clock()
        self.session = Session(
            False,
            limits=Limits(**limits),
            timeouts=Timeouts(close=5),
            keepalive=Keepalive(),
            random_bytes=lambda size: bytes(size),
            now=self.clock.now,
        )
        self.verbs = Verbs(self.session, self.clock, "thread")

    def gets(self, *frames):
        self.session.receive(b"".join(frames), self.clock.now)

    def wrote(self):
        return self.session.take_output()


def result_of(plan, *answers):
    """What ``plan`` returns when its waits are answered one by one."""
    return run(plan, *answers)[1]


def run(plan, *answers):
    """(what it waited for, its result): each answer is sent where it waits."""
    waits = []
    answers = list(answers)
    try:
        waits.append(plan.send(None))
        while True:
            answer = answers.pop(0) if answers else None
            answer = answer() if callable(answer) else answer
            waits.append(plan.send(answer))
            assert len(waits) < 50, "waits for ever"
    except StopIteration as stop:
        return waits, stop.value


# --- receiving -------------------------------------------------------------------


def test_a_message_that_is_there_is_returned_without_waiting():
    side = Side()
    side.gets(frame(TEXT, b"one"))

    assert run(side.verbs.recv()) == ([], "one")


def test_receiving_waits_for_input_until_a_message_is_whole():
    side = Side()
    waits, message = run(
        side.verbs.recv(),
        lambda: side.gets(frame(TEXT, b"a", fin=False)),
        None,
        lambda: side.gets(frame(CONT, b"b")),
    )

    assert (waits, message) == ([INPUT] * 3, "ab")
    assert not side.verbs.receiving


def test_who_gives_up_receiving_loses_nothing():
    side = Side()
    plan = side.verbs.recv()
    assert plan.send(None) == INPUT

    with pytest.raises(TimeoutError):
        plan.throw(TimeoutError())

    side.gets(frame(BINARY, b"later"))
    assert result_of(side.verbs.recv()) == b"later"


def test_one_receives_at_a_time():
    side = Side()
    plan = side.verbs.recv()
    plan.send(None)

    with pytest.raises(ConcurrencyError, match="another thread"):
        side.verbs.recv().send(None)
    with pytest.raises(ConcurrencyError, match="recv_streaming"):
        side.verbs.stream(None)


def test_receiving_raises_at_the_end_after_what_came_before():
    side = Side()
    side.gets(frame(TEXT, b"last"), frame(CLOSE, close_payload(1000)))

    assert result_of(side.verbs.recv()) == "last"
    plan = side.verbs.recv()
    with pytest.raises(ConnectionClosedOK):
        plan.send(None)


def give(side, message):
    """Do what a front end does with a piece that was taken."""
    payload = message.payload()
    message.given, side.verbs.receiving = message.taken, message.goes_on
    return payload


def test_pieces_come_as_they_are_there():
    side = Side()
    message = side.verbs.stream(None)

    waits, _ = run(
        message.next_piece(), lambda: side.gets(frame(TEXT, b"a", fin=False))
    )
    assert (waits, give(side, message), message.done) == ([INPUT], "a", False)
    side.gets(frame(CONT, b"b"))
    result_of(message.next_piece())
    assert give(side, message) == "b"
    assert message.done
    assert not side.verbs.receiving
    message.stop()
    assert not side.verbs.receiving


def test_half_a_message_keeps_others_from_receiving():
    side = Side()
    message = side.verbs.stream(None)
    side.gets(frame(TEXT, b"a", fin=False))
    result_of(message.next_piece())
    give(side, message)

    message.stop()

    with pytest.raises(ConcurrencyError):
        side.verbs.recv().send(None)


def test_a_last_piece_that_was_taken_and_not_given_keeps_others_from_receiving():
    side = Side()
    message = side.verbs.stream(None)
    side.gets(frame(TEXT, b"a", fin=False), frame(CONT, b"b"), frame(TEXT, b"next"))
    result_of(message.next_piece())
    give(side, message)
    result_of(message.next_piece())

    message.stop()

    with pytest.raises(ConcurrencyError):
        side.verbs.recv().send(None)


@pytest.mark.parametrize("fin", [True, False])
def test_a_first_piece_that_was_taken_and_not_given_is_put_back(fin):
    side = Side()
    message = side.verbs.stream(None)
    side.gets(frame(TEXT, b"a", fin=fin))
    result_of(message.next_piece())
    with pytest.raises(ConcurrencyError):
        side.verbs.recv().send(None)

    message.stop()

    side.gets(b"" if fin else frame(CONT, b""))
    assert result_of(side.verbs.recv()) == "a"


# --- sending ---------------------------------------------------------------------


def test_a_message_is_put_in_the_output_and_the_front_end_writes_it():
    side = Side()

    assert run(side.verbs.send("hello")) == ([ACT], None)
    assert side.wrote() == frame(TEXT, b"hello", mask=False)


def test_sending_waits_for_room_after_its_message():
    side = Side()

    waits, _ = run(
        side.verbs.send("x"),
        lambda: side.session.write_paused(100.0),
        None,
        lambda: side.session.write_resumed(101.0),
    )

    assert waits == [ACT, ROOM, ROOM]


def test_nothing_is_put_in_the_output_while_there_is_no_room():
    side = Side()
    side.session.write_paused(100.0)
    plan = side.verbs.send("x")

    assert plan.send(None) == ROOM
    assert side.wrote() == b""
    plan.close()
    assert side.session.senders == 0


def test_who_waits_for_room_is_told_that_the_connection_is_lost():
    side = Side()
    side.session.write_paused(100.0)
    plan = side.verbs.send("x")
    plan.send(None)

    side.session.lost(OSError("reset"), 101.0)

    with pytest.raises(ConnectionClosedError):
        plan.send(None)


def test_a_message_waits_for_its_turn_behind_fragments():
    side = Side()
    items = iter(["a", "b"])
    fragments = side.verbs.send_fragments((items, True))
    assert fragments.send(None) == Next(items)
    assert fragments.send("a") == ACT  # the first fragment has left

    other = side.verbs.send("other")
    assert other.send(None) == TURN
    assert fragments.send(None) == Next(items)
    assert fragments.send("b") == Next(items)
    assert run_rest(fragments, NO_MORE) is None
    assert run_rest(other, None) is None

    assert side.wrote() == b"".join(
        [
            frame(TEXT, b"a", fin=False, mask=False),
            frame(CONT, b"b", mask=False),
            frame(TEXT, b"other", mask=False),
        ]
    )


def run_rest(plan, answer):
    """The result of a plan that has begun."""
    try:
        while True:
            assert plan.send(answer) == ACT
            answer = None
    except StopIteration as stop:
        return stop.value


@pytest.mark.parametrize(
    ("message", "blocking", "last"),
    [
        (["a", "b"], True, b"b"),
        ((item for item in "ab"), False, b"b"),
        ((item for item in "ab"), True, b""),
    ],
)
def test_what_may_wait_for_its_next_item_leaves_as_it_comes(message, blocking, last):
    side = Side()
    fragments = fragments_of(message, blocking=blocking)
    plan = side.verbs.send_fragments(fragments)

    what = plan.send(None)
    try:
        while True:
            is_next = isinstance(what, Next)
            what = plan.send(next(what.items, NO_MORE) if is_next else None)
    except StopIteration:
        pass

    assert side.wrote().endswith(frame(CONT, last, mask=False))


def test_an_error_between_fragments_closes_with_1011():
    side = Side()
    items = iter("ab")
    plan = side.verbs.send_fragments((items, True))
    plan.send(None)
    plan.send("a")
    side.wrote()

    with pytest.raises(ValueError, match="broken"):
        plan.throw(ValueError("broken"))

    payload = close_payload(1011, "error in fragmented message")
    assert side.wrote() == frame(CLOSE, payload, mask=False)


@pytest.mark.parametrize("message", [{"a": 1}, 3, None])
def test_what_cannot_be_sent_is_refused(message):
    with pytest.raises(TypeError):
        fragments_of(message, blocking=True)


def test_sending_after_the_end_raises_once_the_end_is_known():
    side = Side()
    side.verbs.start_close(1000, "")
    plan = side.verbs.send("late")
    assert plan.send(None) == END

    side.gets(frame(CLOSE, close_payload(1000)))

    with pytest.raises(ConnectionClosedOK):
        plan.send(None)


# --- pings and closing -----------------------------------------------------------


def test_a_pings_waiter_comes_back_with_its_latency():
    side = Side()
    waiter = object()
    assert run(side.verbs.ping(b"p", waiter)) == ([], None)

    side.clock.now += 0.5
    side.gets(frame(10, b"p"))

    assert side.session.take_pongs() == [(waiter, 0.5)]


def test_closing_waits_until_tcp_has_ended():
    side = Side()
    plan = side.verbs.close(4000, "enough")
    assert plan.send(None) == END
    assert side.wrote() == frame(CLOSE, close_payload(4000, "enough"), mask=False)

    side.gets(frame(CLOSE, close_payload(4000)))
    assert plan.send(None) == END
    assert side.session.ending == HALF_CLOSE
    side.session.lost(None, 100.0)

    with pytest.raises(StopIteration):
        plan.send(None)
    assert side.session.state is State.CLOSED


def test_closing_ends_with_its_timeout():
    side = Side()
    plan = side.verbs.close()
    plan.send(None)

    side.session.tick(side.clock.now + 5.1, 0)
    side.session.lost(None, side.clock.now + 5.1)

    with pytest.raises(StopIteration):
        plan.send(None)
    assert side.session.ended.cause.name == "CLOSE_TIMEOUT"


def test_a_code_that_may_not_be_sent_is_refused():
    side = Side()

    with pytest.raises(ProtocolError):
        side.verbs.close(1006).send(None)
    assert side.session.can_send


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.RETURNED, 1000),
        (Outcome.ENDED, 1000),
        (Outcome.STOPPED, 1001),
        (Outcome.FAILED, 1011),
    ],
)
def test_a_block_is_left_with_the_code_for_its_end(outcome, code):
    side = Side()
    plan = side.verbs.leave(outcome, ValueError() if code == 1011 else None)

    assert plan.send(None) == END
    assert side.wrote() == frame(CLOSE, close_payload(code), mask=False)
