"""The session where two things meet: a close and a full inbox, a stall and a pong.

Frames to a server are masked with the key 00 00 00 00, which leaves payloads
readable.
"""

from __future__ import annotations

import pytest

from longwire.core.deflate import Codec
from longwire.core.frames import encode
from longwire.messages import Cause, Close, Deflate, Frame, State
from longwire.options import Keepalive, Limits, Timeouts
from longwire.session import CONTINUE, HANGUP

ZERO = b"\x00\x00\x00\x00"
HELLO = b"\x81\x85" + ZERO + b"hello"
CLOSE_1000 = b"\x88\x82" + ZERO + b"\x03\xe8"


def pong(payload: bytes) -> bytes:
    return bytes((0x8A, 0x80 | len(payload))) + ZERO + payload


def test_message_whose_beginning_was_dropped_while_closing_is_dropped_whole(server):
    bench = server(limits=Limits(queued_messages=2))
    bench.session.close(1000, "", bench.now)
    bench.feed(HELLO * 2 + b"\x01\x82" + ZERO + b"he")

    bench.session.take()
    bench.session.take()
    bench.feed(b"\x80\x83" + ZERO + b"llo" + HELLO)

    assert not bench.session.has_message


def test_messages_dropped_while_closing_are_the_last_ones(server):
    bench = server(limits=Limits(queued_messages=1))
    bench.session.close(1000, "", bench.now)
    bench.feed(HELLO + b"\x81\x81" + ZERO + b"2")

    assert bench.session.take() == (1, "hello")
    bench.feed(b"\x81\x81" + ZERO + b"3")

    assert not bench.session.has_message


def test_closing_takes_two_timeouts_at_most_whatever_the_peer_does(server):
    bench = server(timeouts=Timeouts(close=10))
    bench.session.close(1000, "", bench.now)
    start = bench.now

    bench.after(9)
    bench.feed(CLOSE_1000)
    bench.after(9)
    bench.session.receive_eof(bench.now)

    assert bench.session.next_deadline() <= start + 20


def test_connection_that_has_ended_is_no_longer_open(server):
    bench = server()

    bench.session.receive_eof(bench.now)

    assert bench.session.ended is not None
    assert bench.session.state is State.CLOSING


def test_stall_long_ago_is_not_in_the_report(server):
    bench = server(keepalive=Keepalive(interval=10, timeout=5))
    bench.after(10)
    payload = bench.written()[2:]
    bench.after(20)
    assert bench.session.heartbeat.loop_stall > 0

    bench.feed(pong(payload))
    bench.after(10)
    bench.feed(pong(bench.written()[2:]))
    bench.feed(CLOSE_1000)

    assert bench.session.ended.loop_stall == 0


def test_peer_that_takes_less_than_a_broadcast_adds_is_slow_not_dead(server):
    bench = server(timeouts=Timeouts(write=60))
    session = bench.session

    def write(size: int, taken: int) -> None:
        nonlocal unsent
        session.send(2, bytes(size), True, False)
        unsent += len(bench.written()) - taken

    unsent = 0
    write(50_000, 0)
    session.write_paused(bench.now)
    bench.after(60, unsent)
    for _ in range(5):
        write(2000, 1000)
        bench.after(60, unsent)

    assert session.ended is None
    write(2000, 0)
    bench.after(60, unsent)
    assert session.ended.cause is Cause.WRITE_TIMEOUT


def test_peer_that_takes_what_lies_before_our_ping_is_alive_whatever_follows(server):
    bench = server(keepalive=Keepalive(interval=10, timeout=5))
    session = bench.session
    session.send(2, bytes(50_000), True, False)
    unsent = len(bench.written())

    bench.after(10, unsent)
    assert bench.written() != b""  # the ping
    session.send(2, bytes(30_000), True, False)
    unsent += len(bench.written()) - 20_000
    bench.after(5, unsent)

    assert session.ended is None


def test_peer_that_took_our_ping_and_not_what_follows_is_dead(server):
    bench = server(keepalive=Keepalive(interval=10, timeout=5))
    session = bench.session
    bench.after(10)
    bench.written()

    session.send(2, bytes(30_000), True, False)
    bench.written()
    bench.after(5, 20_000)

    assert session.ended.cause is Cause.KEEPALIVE


def test_end_of_the_stream_does_not_inflate_all_that_waits(server):
    agreed = Deflate(client_no_context_takeover=True)
    bomb = encode(2, Codec(agreed, True).compress(bytes(100_000), True), True, 4, ZERO)
    bench = server(
        deflate=agreed, limits=Limits(queued_messages=2, queued_bytes=300_000)
    )
    bench.feed(bomb * 100)

    bench.session.receive_eof(bench.now)

    while bench.session.take_flags() & CONTINUE:
        bench.session.go_on(bench.now)
    assert 300_000 <= bench.session.inbox.size <= 400_000


def test_end_of_the_stream_loses_nothing_of_an_ordinary_size(server):
    bench = server(limits=Limits(queued_messages=2))
    bench.feed(HELLO * 100 + CLOSE_1000)

    bench.session.receive_eof(bench.now)

    assert bench.session.inbox.whole == 100
    bench.after(1)
    assert bench.session.ended.cause is Cause.PEER


def test_long_message_that_fills_the_queue_is_whole_at_the_end_of_the_stream(server):
    bench = server(limits=Limits(queued_messages=2, queued_bytes=8))
    parts = [b"\x01\x85", *[b"\x00\x85"] * 3, b"\x80\x85"]
    bench.feed(b"".join(head + ZERO + b"hello" for head in parts))
    assert bench.session.holding

    bench.session.receive_eof(bench.now)

    assert bench.session.take() == (1, "hello" * 5)


class Broken:
    """An extension with a mistake in it."""

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        if frame.data == b"hello":
            return frame
        raise ZeroDivisionError("a mistake")

    def encode(self, frame: Frame) -> Frame:
        return frame


def test_extension_that_fails_ends_the_connection_and_says_so(server):
    bench = server(extensions=[Broken()])

    with pytest.raises(ZeroDivisionError):
        bench.feed(b"\x81\x81" + ZERO + b"x")

    report = bench.session.ended
    assert (report.cause, report.sent) == (Cause.HANDLER, Close(1011, "a mistake"))
    assert isinstance(report.error, ZeroDivisionError)


def test_extension_that_fails_at_a_message_that_waited_ends_the_connection(server):
    bench = server(extensions=[Broken()], limits=Limits(queued_messages=1))
    bench.feed(HELLO + b"\x81\x81" + ZERO + b"x")

    assert bench.session.take() == (1, "hello")

    assert bench.session.ended.cause is Cause.HANDLER
    assert bench.session.take_flags() & HANGUP
    with pytest.raises(ZeroDivisionError):
        bench.session.wait(bench.now)
    bench.session.wait(bench.now)  # it is told once


def test_error_whose_text_cannot_be_encoded_ends_the_connection(server):
    bench = server()

    bench.session.fail(OSError("\udcff"), bench.now)

    assert bench.written() == b"\x88\x03\x03\xf3?"
    assert bench.session.ended.error.args == ("\udcff",)
