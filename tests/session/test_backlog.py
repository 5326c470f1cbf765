"""Messages for many that wait for a slow peer: what is dropped, and what comes when."""

from __future__ import annotations

import os
import tracemalloc
from typing import Any

import pytest
from tests.session.conftest import Bench

from longwire.messages import Cause, Deflate
from longwire.options import Limits
from longwire.session.backlog import DROPPED, GIVEN_UP, REFUSED, SENT, WAITS
from longwire.session.session import OUTPUT, STATE
from longwire.session.shared_frames import Forms

PING_1 = b"\x89\x80\x00\x00\x00\x00"  # from a client, masked with zeros
CLOSE_1000 = b"\x88\x82\x00\x00\x00\x00\x03\xe8"


def form(payload: bytes) -> Forms:
    return Forms(2, payload, os.urandom)


def frame(payload: bytes) -> bytes:
    return bytes([0x82, len(payload)]) + payload


def offer(
    bench: Bench, *payloads: bytes, slow: str | None = None, key: Any = None
) -> list[int]:
    """Broadcast the payloads to it; return what became of each."""
    session = bench.session
    return [session.offer(form(each), slow, key, 0, bench.now) for each in payloads]


def block(bench: Bench) -> None:
    """The peer takes nothing more."""
    bench.written()
    bench.session.write_paused(bench.now)
    bench.session.take_flags()


def resume(bench: Bench) -> bytes:
    """The peer takes all there is; return what that was."""
    bench.session.write_resumed(bench.now)
    assert bench.session.take_flags() & OUTPUT
    return everything(bench)


def everything(bench: Bench) -> bytes:
    """Write as a front end does whose peer takes all; return what was written."""
    written = b""
    while data := bench.written():
        written += data
        if bench.session.outbox is None:
            break
    return written


# --- room, and none ---


def test_where_nothing_waits_it_goes_out_at_once(server: Any) -> None:
    bench = server()

    assert offer(bench, b"a", b"b") == [SENT, SENT]

    assert bench.session.take_flags() == OUTPUT
    assert bench.session.outbox is None
    assert bench.written() == frame(b"a") + frame(b"b")


@pytest.mark.parametrize("slow", ["disconnect", "drop_oldest"])
def test_what_waits_goes_out_in_order_when_there_is_room(
    server: Any, slow: str
) -> None:
    bench = server()
    block(bench)

    assert offer(bench, b"a", b"b", b"c", slow=slow) == [WAITS] * 3
    assert bench.written() == b""

    assert resume(bench) == frame(b"a") + frame(b"b") + frame(b"c")
    assert bench.session.outbox is None
    assert bench.session.dropped == 0


def test_what_waits_goes_out_only_as_far_as_there_is_room(server: Any) -> None:
    bench = server(limits=Limits(output_bytes=10))
    block(bench)
    offer(bench, b"first...", b"second..", b"third...", slow="drop_oldest")
    bench.session.write_resumed(bench.now)

    assert bench.written() == frame(b"first...")
    bench.session.write_paused(bench.now)

    # The rest may still be dropped.
    offer(bench, *[b"%d" % n for n in range(64)], slow="drop_oldest")
    assert bench.session.dropped == 2
    assert resume(bench) == b"".join(frame(b"%d" % n) for n in range(64))


# --- policies ---


def test_the_oldest_are_dropped_to_make_room_for_the_new(server: Any) -> None:
    bench = server(limits=Limits(unsent_messages=2, slow="drop_oldest"))
    block(bench)

    waits = [WAITS, WAITS, WAITS + DROPPED, WAITS + DROPPED]
    assert offer(bench, b"a", b"b", b"c", b"d") == waits

    assert bench.session.dropped == 2
    assert resume(bench) == frame(b"c") + frame(b"d")


PLACE = 850  # what each message takes beside its payload


def test_bytes_count_as_well(server: Any) -> None:
    limits = Limits(unsent_bytes=2 * PLACE + 10, slow="drop_oldest")
    bench = server(limits=limits)
    block(bench)

    assert offer(bench, b"aaaa", b"bbbb", b"ccc") == [WAITS, WAITS, WAITS + DROPPED]
    assert bench.session.dropped == 1
    assert resume(bench) == frame(b"bbbb") + frame(b"ccc")


def test_what_is_large_by_itself_waits_alone(server: Any) -> None:
    limits = Limits(unsent_bytes=4 * PLACE, slow="drop_oldest")
    bench = server(limits=limits)
    block(bench)
    offer(bench, b"a", b"b", b"c")

    assert offer(bench, bytes(10 * PLACE)) == [WAITS + 2 * DROPPED]

    assert bench.session.outbox.size <= 13 * PLACE
    assert offer(bench, b"d") == [WAITS + 2 * DROPPED]
    assert resume(bench) == frame(b"d")


def test_unsent_bytes_of_the_wire_count_too(server: Any) -> None:
    limits = Limits(unsent_bytes=10 * PLACE, slow="drop_oldest")
    bench = server(limits=limits)
    block(bench)

    session = bench.session
    taken = 9 * PLACE
    assert session.offer(form(b"abc"), None, None, taken, bench.now) == REFUSED
    assert session.offer(form(b""), None, None, taken, bench.now) == WAITS


def test_the_exact_limit_of_unsent_bytes_disconnects(server: Any) -> None:
    bench = server(limits=Limits(unsent_bytes=2 * PLACE + 10))
    block(bench)

    assert offer(bench, b"a" * 10) == [WAITS]
    assert offer(bench, b"") == [WAITS]
    assert offer(bench, b"b") == [GIVEN_UP]

    report = bench.session.ended
    assert (report.cause, report.limit) == (Cause.LIMIT, "unsent_bytes")
    assert report.sent.code == 1008
    assert report.messages_dropped == bench.session.dropped == 2


def test_output_that_is_not_written_yet_counts_too(server: Any) -> None:
    bench = server(limits=Limits(unsent_bytes=1000))
    bench.session.send(2, bytes(900), True, False)

    assert offer(bench, bytes(100)) == [GIVEN_UP]


def test_a_message_larger_than_the_limit_goes_to_who_has_little_unsent(
    server: Any,
) -> None:
    bench = server(limits=Limits(unsent_bytes=1 << 20))
    large = form(bytes(3 << 20))

    assert bench.session.offer(large, None, None, 32768, bench.now) == SENT

    assert len(bench.written()) > 3 << 20


def test_a_message_larger_than_the_limit_may_wait_where_little_does(
    server: Any,
) -> None:
    bench = server(limits=Limits(unsent_bytes=1 << 20))
    block(bench)
    large = form(bytes(3 << 20))

    assert bench.session.offer(large, None, None, 40_000, bench.now) == WAITS

    assert bench.session.offer(form(b""), None, None, 40_000, bench.now) == GIVEN_UP


@pytest.mark.parametrize("payload", [0, 100, 5000])
@pytest.mark.parametrize("slow", ["disconnect", "drop_oldest", "latest_only"])
@pytest.mark.parametrize("deflate", [None, Deflate()])
def test_size_is_the_memory_that_waiting_messages_take(
    server: Any, payload: int, slow: str, deflate: Deflate | None
) -> None:
    limits = Limits(unsent_bytes=None, unsent_messages=None)
    bench = server(limits=limits, deflate=deflate)
    fast = server(limits=limits, deflate=deflate)
    block(bench)

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(500):
            message = form(os.urandom(payload))
            for each in (fast, bench):
                each.session.offer(message, slow, n, 0, bench.now)
            message.settle()
            fast.written()
        del message
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    # Frames that were made for the others are there once for all.
    frames = (2 if deflate else 1) * 500 * payload
    assert taken <= bench.session.outbox.size + frames + 100_000
    assert bench.session.memory >= bench.session.outbox.size >= 500 * payload


def test_only_the_latest_of_each_key_waits_in_the_place_of_its_first(
    server: Any,
) -> None:
    bench = server(limits=Limits(slow="latest_only"))
    block(bench)
    offer(bench, b"eur 1", key="eur")
    offer(bench, b"usd 1", key="usd")
    offer(bench, b"eur 2", key="eur")
    offer(bench, b"usd 2", b"usd 3", key="usd")
    offer(bench, b"no key", b"none still", key=None)

    assert bench.session.dropped == 4
    assert resume(bench) == b"".join(map(frame, (b"eur 2", b"usd 3", b"none still")))


def test_keys_are_bounded(server: Any) -> None:
    bench = server(limits=Limits(slow="latest_only", unsent_messages=3))
    block(bench)

    for n in range(10):
        offer(bench, b"%d" % n, key=n)
        offer(bench, b"%d" % n, key=n)

    assert bench.session.dropped == 10 + 7
    assert resume(bench) == frame(b"7") + frame(b"8") + frame(b"9")


def test_a_latest_message_that_is_too_large_leaves_the_others(server: Any) -> None:
    bench = server(limits=Limits(slow="latest_only", unsent_bytes=4 * PLACE + 9))
    block(bench)
    offer(bench, bytes(2 * PLACE), slow="disconnect")
    offer(bench, b"a", key=1)

    assert offer(bench, bytes(PLACE), key=1) == [REFUSED + DROPPED]

    assert bench.session.dropped == 2
    assert len(bench.session.outbox) == 1


def test_what_must_not_be_dropped_is_not(server: Any) -> None:
    bench = server(limits=Limits(unsent_messages=2, unsent_bytes=3 * PLACE + 20))
    block(bench)
    offer(bench, b"must", slow="disconnect")
    offer(bench, b"may 1", b"may 2", b"may 3", slow="drop_oldest")

    assert resume(bench) == frame(b"must") + frame(b"may 2") + frame(b"may 3")


# --- order ---


def test_pings_are_answered_before_what_waits(server: Any) -> None:
    bench = server()
    block(bench)
    offer(bench, b"a", slow="drop_oldest")

    bench.feed(PING_1)

    assert resume(bench) == b"\x8a\x00" + frame(b"a")


def test_send_takes_what_waits_along(server: Any) -> None:
    bench = server(limits=Limits(output_bytes=1))
    block(bench)
    offer(bench, b"a", b"b", slow="drop_oldest")

    bench.session.send(2, b"c", True, True)

    assert bench.written() == frame(b"a") + frame(b"b") + frame(b"c")
    assert bench.session.outbox is None


def test_nothing_comes_between_fragments(server: Any) -> None:
    bench = server()
    bench.session.send(2, b"1", False, True)

    assert offer(bench, b"a", b"b") == [WAITS] * 2
    bench.session.send(0, b"2", False, True)
    assert bench.written() == b"\x02\x011" + b"\x00\x012"

    bench.session.send(0, b"3", True, True)
    assert bench.session.take_flags() & OUTPUT
    # The end of the message first, then what waited for it.
    assert everything(bench) == b"\x80\x013" + frame(b"a") + frame(b"b")


def test_who_waits_to_send_comes_before_later_messages_for_many(server: Any) -> None:
    bench = server()
    block(bench)
    offer(bench, b"before", slow="drop_oldest")
    bench.session.wait_to_send()

    bench.session.write_resumed(bench.now)
    assert bench.written() == b""  # its turn is kept

    bench.session.stop_waiting_to_send()
    bench.session.send(2, b"sent", True, True)
    assert everything(bench) == frame(b"before") + frame(b"sent")


def test_who_gives_up_waiting_lets_the_others_go(server: Any) -> None:
    bench = server()
    block(bench)
    offer(bench, b"a", slow="drop_oldest")
    bench.session.wait_to_send()
    bench.session.write_resumed(bench.now)
    bench.session.take_flags()

    bench.session.stop_waiting_to_send()

    assert bench.session.take_flags() == OUTPUT | STATE
    assert everything(bench) == frame(b"a")


# --- the end ---


def test_close_takes_what_waits_along(server: Any) -> None:
    bench = server()
    block(bench)
    offer(bench, b"a", b"b", slow="drop_oldest")

    bench.session.close(1000, "", bench.now)

    assert bench.written() == frame(b"a") + frame(b"b") + b"\x88\x02\x03\xe8"
    assert bench.session.dropped == 0


def test_a_bad_close_code_leaves_what_waits(server: Any) -> None:
    bench = server()
    block(bench)
    offer(bench, b"a", slow="drop_oldest")

    with pytest.raises(Exception, match="1005"):
        bench.session.close(1005, "", bench.now)

    assert resume(bench) == frame(b"a")


def test_close_amid_fragments_drops_what_waits(server: Any) -> None:
    bench = server()
    bench.session.send(2, b"1", False, True)
    offer(bench, b"a", b"b")

    bench.session.close(1011, "", bench.now)

    assert bench.session.dropped == 2
    assert bench.written() == b"\x02\x011" + b"\x88\x02\x03\xf3"


def test_the_peers_close_drops_what_waits(server: Any) -> None:
    bench = server()
    block(bench)
    offer(bench, b"a", b"b", slow="drop_oldest")

    bench.feed(CLOSE_1000)

    assert bench.session.ended.messages_dropped == 2
    assert bench.written() == b"\x88\x02\x03\xe8"


def test_the_loss_of_the_connection_drops_what_waits(server: Any) -> None:
    bench = server()
    block(bench)
    offer(bench, b"a", slow="drop_oldest")

    bench.session.lost(OSError("reset"), bench.now)

    assert bench.session.ended.messages_dropped == 1


# --- compression ---


def test_dropping_does_not_break_a_kept_context(server: Any, client: Any) -> None:
    """What is dropped was not compressed yet, so no context has it."""
    deflate = Deflate()
    peers = [server(deflate=deflate, limits=Limits(slow="drop_oldest")) for _ in "ab"]
    receivers = [client(deflate=deflate) for _ in "ab"]
    slow, fast = peers
    block(slow)
    text = b'{"number": %d, "text": "the same again and again"}'
    for n in range(100):
        message = form(text % n)
        for bench in peers:
            bench.session.offer(message, None, None, 0, bench.now)
        message.settle()
        receivers[1].feed(everything(fast))
        assert receivers[1].session.take() == (2, text % n)

    receivers[0].feed(resume(slow))

    got = receivers[0].session
    assert slow.session.dropped == 36
    expected = [text % n for n in range(36, 100)]
    assert [got.take()[1] for _ in range(got.inbox.whole)] == expected[:16]


class Failing:
    """An extension that cannot encode what is marked."""

    def encode(self, frame: Any) -> Any:
        if frame.data == b"bad":
            raise RuntimeError("cannot encode this")
        return frame

    def decode(self, frame: Any, *, max_size: int | None = None) -> Any:
        return frame


def test_what_an_extension_cannot_encode_is_dropped_later_on(server: Any) -> None:
    bench = server(extensions=(Failing(),))
    block(bench)
    offer(bench, b"good", b"bad", b"good", slow="drop_oldest")

    assert resume(bench) == frame(b"good") * 2
    assert bench.session.dropped == 1
