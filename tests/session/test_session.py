"""The session against a fake clock: wire bytes in, wire bytes and flags out.

Frames to a server are masked with the key 00 00 00 00, which leaves payloads
readable.
"""

from __future__ import annotations

import pytest

from longwire.errors import (
    ConcurrencyError,
    ConnectionClosedError,
    ConnectionClosedOK,
    PayloadTooBig,
    ProtocolError,
    TooManyPings,
)
from longwire.messages import Cause, Close, Side, State
from longwire.options import Keepalive, Limits, Timeouts
from longwire.session.session import (
    ABORT,
    CLOSE,
    DEADLINE,
    HALF_CLOSE,
    HANGUP,
    MESSAGE,
    OUTPUT,
    PONGS,
    READING,
    STATE,
    STAY,
)

ZERO = b"\x00\x00\x00\x00"
HELLO = b"\x81\x85" + ZERO + b"hello"
CLOSE_1000 = b"\x88\x82" + ZERO + b"\x03\xe8"
BAD_OPCODE = b"\x83\x80" + ZERO


def ping(payload: bytes = b"") -> bytes:
    return bytes((0x89, 0x80 | len(payload))) + ZERO + payload


def pong(payload: bytes) -> bytes:
    return bytes((0x8A, 0x80 | len(payload))) + ZERO + payload


# --- messages --------------------------------------------------------------------


def test_text_message_is_delivered_as_str(server):
    bench = server()

    flags = bench.feed(HELLO)

    assert flags & MESSAGE
    assert bench.session.take() == (1, "hello")
    assert not bench.session.has_message


def test_fragments_are_joined(server):
    bench = server()

    assert not bench.feed(b"\x01\x82" + ZERO + b"he") & MESSAGE
    assert not bench.session.has_message
    assert bench.feed(b"\x80\x83" + ZERO + b"llo") & MESSAGE
    assert bench.session.take() == (1, "hello")


def test_pieces_are_seen_while_streaming(server):
    bench = server()
    bench.session.streaming = True

    assert bench.feed(b"\x02\x82" + ZERO + b"ab") & MESSAGE
    assert bench.session.take_piece() == (2, b"ab", False)
    assert bench.session.take_piece() is None


def test_sent_text_is_one_frame(server):
    bench = server()

    bench.session.send(1, "hi", True, True)

    assert bench.session.take_flags() == OUTPUT
    assert bench.written() == b"\x81\x02hi"


def test_client_masks_what_it_sends(client):
    bench = client(random_bytes=lambda size: b"\x01\x02\x03\x04" * (size // 4 + 1))

    bench.session.send(2, b"\x00\x00\x00\x00", True, True)

    assert bench.written() == b"\x82\x84\x01\x02\x03\x04\x01\x02\x03\x04"


def test_fragmented_send_holds_the_turn_until_its_last_fragment(server):
    bench = server()

    bench.session.send(1, "he", False, True)
    assert bench.session.fragmenting
    bench.session.take_flags()
    bench.session.send(0, "llo", True, True)

    assert not bench.session.fragmenting
    assert bench.session.take_flags() & STATE
    assert bench.written() == b"\x01\x02he\x80\x03llo"


# --- backpressure ----------------------------------------------------------------


def test_full_inbox_leaves_the_rest_unparsed(server):
    bench = server(limits=Limits(queued_messages=2))

    bench.feed(HELLO * 5)

    assert len(bench.session.inbox) == 2
    assert bench.session.holding


def test_reading_pauses_at_the_second_read_while_full(server):
    bench = server(limits=Limits(queued_messages=2))

    assert not bench.feed(HELLO * 5) & READING
    assert bench.feed(HELLO) & READING
    assert not bench.session.wants_reading


def test_taking_messages_resumes_reading_and_loses_nothing(server):
    bench = server(limits=Limits(queued_messages=4))
    bench.feed(HELLO * 6)
    bench.feed(HELLO)

    taken = [bench.session.take() for _ in range(7)]

    assert taken == [(1, "hello")] * 7
    assert bench.session.wants_reading
    assert bench.session.take_flags() & READING


def test_inbox_is_full_by_bytes_too(server):
    bench = server(limits=Limits(queued_bytes=150, queued_messages=None))

    bench.feed(HELLO * 5)

    # Each takes 54 bytes and 80 more for its place.
    assert len(bench.session.inbox) == 2


def test_waiting_reader_gets_a_message_of_more_fragments_than_the_queue_holds(server):
    bench = server(limits=Limits(queued_messages=2))
    fragments = b"\x02\x81" + ZERO + b"a" + (b"\x00\x81" + ZERO + b"b") * 6
    bench.session.wait(bench.now)

    bench.feed(fragments + b"\x80\x80" + ZERO)

    assert bench.session.take() == (2, b"abbbbbb")


def test_fragments_nobody_waits_for_fill_the_inbox(server):
    bench = server(limits=Limits(queued_messages=2))

    bench.feed(b"\x02\x81" + ZERO + b"a" + (b"\x00\x81" + ZERO + b"b") * 6)
    assert len(bench.session.inbox) == 2
    bench.session.wait(bench.now)

    assert len(bench.session.inbox) == 7


# --- pings and pongs -------------------------------------------------------------


def test_ping_is_answered_with_its_payload(server):
    bench = server()

    assert bench.feed(ping(b"abc")) & OUTPUT
    assert bench.written() == b"\x8a\x03abc"


def test_pings_are_answered_until_the_close_frame_of_the_peer(server):
    bench = server()
    bench.session.close(1000, "", bench.now)
    bench.written()

    bench.feed(ping(b"1"))
    assert bench.written() == b"\x8a\x011"
    bench.feed(b"\x88\x82" + ZERO + b"\x03\xe8" + ping(b"2"))

    assert bench.written() == b""


def test_only_the_last_ping_is_answered_to_a_peer_that_does_not_read(server):
    bench = server()
    bench.session.write_paused(bench.now)
    bench.feed(ping(b"1") + ping(b"2") + ping(b"3"))
    assert bench.written() == b""

    bench.session.write_resumed(bench.now)

    assert bench.written() == b"\x8a\x013"


def test_too_many_pings_in_a_second_end_the_connection(server):
    bench = server(limits=Limits(pings_per_second=3))

    bench.feed(ping() * 4)

    assert isinstance(bench.session.ended.error, TooManyPings)
    assert bench.session.ended.limit == "pings_per_second"
    assert bench.session.ended.limit_value == 3
    assert bench.written().startswith(b"\x8a\x00" * 3 + b"\x88")


def test_pings_of_different_seconds_are_counted_apart(server):
    bench = server(limits=Limits(pings_per_second=3))

    for _ in range(5):
        bench.feed(ping() * 3)
        bench.now += 1.0

    assert bench.session.ended is None


def test_pong_resolves_its_ping_and_all_before(server):
    bench = server()
    bench.session.ping(b"1", "first", bench.now)
    bench.now += 1
    bench.session.ping(b"2", "second", bench.now)
    bench.session.ping(b"3", "third", bench.now)
    bench.now += 2

    flags = bench.feed(pong(b"2"))

    assert flags & PONGS
    assert bench.session.take_pongs() == [("first", 3.0), ("second", 2.0)]
    assert bench.session.heartbeat.latency == 2.0
    assert bench.session.heartbeat.take_waiters() == ["third"]


def test_unsolicited_pong_is_ignored(server):
    bench = server()

    assert bench.feed(pong(b"x")) == 0


def test_ping_with_the_payload_of_one_under_way_is_refused(server):
    bench = server()
    bench.session.ping(b"1", None, bench.now)

    with pytest.raises(ConcurrencyError, match="same data"):
        bench.session.ping(b"1", None, bench.now)


# --- keepalive -------------------------------------------------------------------


def test_keepalive_pings_each_interval(server):
    bench = server(keepalive=Keepalive(interval=20, timeout=20))

    assert bench.session.next_deadline() == 120
    assert bench.after(20) & OUTPUT
    assert bench.written() == b"\x89\x04" + ZERO
    assert bench.session.next_deadline() == 140


def test_silent_peer_is_dead_after_the_ping_timeout(server):
    bench = server(keepalive=Keepalive(interval=20, timeout=5))
    bench.after(20)
    bench.written()

    bench.after(5)

    report = bench.session.ended
    assert report.cause is Cause.KEEPALIVE
    assert report.sent == Close(1011, "keepalive ping timeout")
    assert report.last_byte_age == 25
    assert bench.written() == b"\x88\x18\x03\xf3keepalive ping timeout"
    assert bench.session.ending == HALF_CLOSE


def test_any_byte_from_the_peer_shows_that_it_lives(server):
    bench = server(keepalive=Keepalive(interval=20, timeout=5))
    bench.after(20)
    bench.now += 4
    bench.feed(HELLO)

    bench.after(1)
    assert bench.session.ended is None
    assert bench.session.next_deadline() == 129

    bench.after(4)
    assert bench.session.ended.cause is Cause.KEEPALIVE


def test_late_timer_is_a_stall_of_ours_not_a_dead_peer(server):
    bench = server(keepalive=Keepalive(interval=20, timeout=5))
    bench.after(20)

    bench.after(12)

    assert bench.session.ended is None
    bench.feed(pong(ZERO))
    assert bench.session.heartbeat.pong_by == float("inf")


def test_stall_is_forgiven_once_and_reported(server):
    bench = server(keepalive=Keepalive(interval=20, timeout=5))
    bench.after(20)
    bench.after(12)

    bench.after(1)

    assert bench.session.ended.cause is Cause.KEEPALIVE
    assert bench.session.ended.loop_stall == 7
    told = "our event loop was 7.0 s late: something in it blocks"
    assert str(bench.session.ended).endswith(told)


@pytest.mark.parametrize(
    ("reason", "asked"), [(b"keepalive ping timeout", True), (b"no disk left", False)]
)
def test_who_is_told_that_a_pong_was_missed_is_asked_what_blocks(server, reason, asked):
    bench = server()

    # Masked with zeros: close frame, 1011.
    length = bytes([0x80 + 2 + len(reason)])
    bench.feed(b"\x88" + length + ZERO + b"\x03\xf3" + reason)

    report = bench.session.ended
    assert report.rcvd == Close(1011, reason.decode())
    assert str(report).endswith("does something here block?") is asked


def test_pong_behind_unread_messages_is_not_missed(server):
    bench = server(
        keepalive=Keepalive(interval=20, timeout=5), limits=Limits(queued_messages=1)
    )
    bench.feed(HELLO * 2)
    bench.after(20)

    bench.after(5)
    bench.after(5)

    assert bench.session.ended is None


def test_peer_that_takes_our_bytes_is_alive(server):
    bench = server(
        keepalive=Keepalive(interval=20, timeout=5), timeouts=Timeouts(write=None)
    )
    bench.session.write_paused(bench.now)
    bench.after(20, unsent=100_000)

    bench.after(5, unsent=60_000)
    assert bench.session.ended is None
    bench.after(5, unsent=60_000)
    assert bench.session.ended.cause is Cause.KEEPALIVE


def test_no_interval_sends_no_pings(server):
    bench = server(keepalive=Keepalive(interval=None))

    assert bench.session.next_deadline() == float("inf")


# --- slow peers ------------------------------------------------------------------


def test_peer_that_takes_nothing_is_given_up(server):
    bench = server(timeouts=Timeouts(write=60))
    bench.session.write_paused(bench.now)
    bench.after(60, unsent=5000)
    assert bench.session.ended is None

    bench.after(60, unsent=5000)

    assert bench.session.ended.cause is Cause.WRITE_TIMEOUT
    assert "none of 5000 unsent bytes within 60 seconds" in bench.session.ended.detail
    assert bench.session.ending == ABORT


def test_peer_that_takes_a_little_is_not(server):
    bench = server(timeouts=Timeouts(write=60))
    bench.session.write_paused(bench.now)

    for unsent in range(5000, 0, -1000):
        bench.after(60, unsent=unsent)

    assert bench.session.ended is None


def test_writing_again_ends_the_wait(server):
    bench = server(timeouts=Timeouts(write=60))
    bench.session.write_paused(bench.now)

    bench.session.write_resumed(bench.now)

    assert bench.session.take_flags() & STATE
    assert bench.session.next_deadline() == float("inf")


def test_broadcast_gives_a_connection_up_whose_backlog_is_full(server):
    bench = server(limits=Limits(unsent_bytes=100))
    bench.session.send_encoded(b"\x81\x0ahelloworld", 90, bench.now)

    assert bench.session.ended.limit == "unsent_bytes"
    assert bench.session.ending == ABORT


# --- closing ---------------------------------------------------------------------


def test_server_answers_a_close_frame_and_ends_tcp(server):
    bench = server()

    flags = bench.feed(CLOSE_1000)

    assert bench.written() == b"\x88\x02\x03\xe8"
    assert flags & HANGUP
    assert bench.session.ending == HALF_CLOSE
    report = bench.session.ended
    assert (report.cause, report.closed_by) == (Cause.PEER, Side.CLIENT)
    assert (report.code, report.rcvd, report.sent) == (1000, Close(1000), Close(1000))


def test_client_answers_a_close_frame_and_waits_for_tcp_to_end(client):
    bench = client(timeouts=Timeouts(close=10))

    bench.feed(b"\x88\x02\x03\xe8")

    assert bench.session.ending == STAY
    assert bench.session.state is State.CLOSING
    assert bench.after(10) & HANGUP
    assert bench.session.ending == ABORT


def test_close_without_code_is_answered_without_code(server):
    bench = server()

    bench.feed(b"\x88\x80" + ZERO)

    assert bench.written() == b"\x88\x00"
    assert isinstance(bench.session.exception(), ConnectionClosedOK)
    assert bench.session.ended.code == 1005


def test_closing_handshake_begun_by_us(server):
    bench = server()

    bench.session.close(1001, "bye", bench.now)
    assert bench.written() == b"\x88\x05\x03\xe9bye"
    assert bench.session.ended is None
    assert not bench.session.can_send
    bench.feed(b"\x88\x82" + ZERO + b"\x03\xe9")

    exc = bench.session.exception()
    assert isinstance(exc, ConnectionClosedOK)
    assert exc.rcvd_then_sent is False
    assert exc.report.closed_by is Side.SERVER


def test_peer_that_never_answers_our_close_is_cut_off(server):
    bench = server(timeouts=Timeouts(close=10))
    bench.session.close(1000, "", bench.now)
    bench.session.take_flags()

    assert bench.after(9.9) == 0
    assert bench.after(0.1) & HANGUP

    assert bench.session.ending == ABORT
    assert bench.session.ended.cause is Cause.CLOSE_TIMEOUT
    assert isinstance(bench.session.exception(), ConnectionClosedError)


def test_peer_that_never_ends_tcp_is_cut_off(server):
    bench = server(timeouts=Timeouts(close=10))
    bench.feed(CLOSE_1000)

    bench.after(10)

    assert bench.session.ending == ABORT
    assert bench.session.ended.cause is Cause.PEER


def test_close_frame_is_seen_behind_a_full_inbox(server):
    bench = server(limits=Limits(queued_messages=2))
    bench.feed(HELLO * 4)
    bench.feed(HELLO * 4 + CLOSE_1000)
    assert bench.session.ended is None

    bench.session.close(1000, "", bench.now)

    assert bench.session.ended is not None
    assert bench.session.ended.rcvd == Close(1000)
    assert len(bench.session.inbox) == 2


def test_messages_before_a_close_frame_can_be_answered(server):
    bench = server()
    bench.feed(HELLO + CLOSE_1000)
    assert bench.session.ended is None

    bench.session.take()
    bench.session.send(1, "yes", True, True)
    bench.session.wait(bench.now)

    assert bench.written() == b"\x81\x03yes\x88\x02\x03\xe8"
    assert bench.session.ended.rcvd == Close(1000)


def test_messages_before_a_fault_can_be_answered(server):
    bench = server()
    bench.feed(HELLO + BAD_OPCODE)
    assert bench.session.ended is None

    bench.session.take()
    bench.session.send(1, "yes", True, True)
    bench.session.wait(bench.now)

    written = bench.written()
    assert written.startswith(b"\x81\x03yes\x88")
    assert written[7:9] == b"\x03\xea"
    assert isinstance(bench.session.ended.error, ProtocolError)


def test_grace_for_unread_messages_has_an_end(server):
    bench = server(timeouts=Timeouts(fault_grace=1.0))

    assert bench.feed(HELLO + BAD_OPCODE) & DEADLINE
    bench.after(0.9)
    assert bench.session.ended is None
    bench.after(0.1)

    assert bench.session.ended.cause is Cause.PEER_ERROR
    assert bench.session.take() == (1, "hello")


def test_fault_with_an_empty_inbox_takes_effect_at_once(server):
    bench = server()

    flags = bench.feed(BAD_OPCODE)

    assert flags & STATE and flags & MESSAGE and flags & HANGUP
    assert bench.session.ending == HALF_CLOSE
    assert bench.written()[2:4] == b"\x03\xea"


def test_nothing_after_a_fault_is_looked_at(server):
    bench = server()
    bench.feed(BAD_OPCODE)
    bench.written()

    assert bench.feed(HELLO + ping(b"x")) == 0
    assert bench.written() == b""


def test_message_over_the_limit_says_which_limit(server):
    bench = server(limits=Limits(message=4))

    bench.feed(HELLO)

    report = bench.session.ended
    assert report.cause is Cause.LIMIT
    assert isinstance(report.error, PayloadTooBig)
    assert (report.limit, report.limit_value) == ("message", 4)
    assert report.sent.code == 1009


def test_close_twice_sends_one_frame(server):
    bench = server()

    bench.session.close(1000, "", bench.now)
    bench.session.close(1001, "", bench.now)

    assert bench.written() == b"\x88\x02\x03\xe8"


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_may_not_be_sent_are_refused(server, code):
    bench = server()

    with pytest.raises(ProtocolError):
        bench.session.close(code, "", bench.now)

    assert bench.session.can_send


# --- the end of TCP --------------------------------------------------------------


def test_end_of_stream_without_close_frame_is_abnormal(server):
    bench = server()

    bench.session.receive_eof(bench.now)

    assert bench.session.ending == CLOSE
    report = bench.session.ended
    assert (report.cause, report.code, report.closed_by) == (Cause.NETWORK, 1006, None)
    assert str(bench.session.exception()) == "no close frame received or sent"


def test_lost_connection_keeps_its_cause(server):
    bench = server()

    bench.session.lost(ConnectionResetError("reset by peer"), bench.now)

    exc = bench.session.exception()
    assert isinstance(exc.__cause__, ConnectionResetError)
    assert exc.report.error is exc.__cause__
    assert bench.session.state is State.CLOSED


def test_messages_that_came_before_the_end_are_not_lost(server):
    bench = server(limits=Limits(queued_messages=1))
    bench.feed(HELLO * 3)

    bench.session.receive_eof(bench.now)
    bench.session.lost(None, bench.now)

    assert [bench.session.take()[1] for _ in range(3)] == ["hello"] * 3


def test_half_closed_peer_still_gets_its_answers(server):
    bench = server()
    bench.feed(HELLO + CLOSE_1000)
    bench.session.receive_eof(bench.now)
    assert bench.session.ended is None

    bench.session.take()
    bench.session.send(1, "yes", True, True)
    bench.session.wait(bench.now)

    assert bench.written() == b"\x81\x03yes\x88\x02\x03\xe8"
    assert bench.session.ending == CLOSE


def test_report_counts_both_ways(server):
    bench = server()
    bench.feed(HELLO * 2)
    bench.session.send(1, "yes", True, True)
    bench.now += 3
    bench.session.take(), bench.session.take()
    bench.feed(CLOSE_1000)

    report = bench.session.ended
    assert (report.messages_received, report.messages_sent) == (2, 1)
    assert (report.bytes_received, report.bytes_sent) == (30, 9)
    assert report.duration == 3
