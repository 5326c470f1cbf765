"""Sending: what goes on the wire for each kind of message."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from longwire import Cause, ConnectionClosed, ConnectionClosedError
from tests.support.frontends import Links
from tests.support.rawpeer import BINARY, CONT, PING, PONG, TEXT

OFFER = b"Sec-WebSocket-Extensions: permessage-deflate"


@pytest.mark.parametrize(
    ("message", "text", "expected"),
    [
        ("grüezi", None, (TEXT, b"gr\xc3\xbcezi")),
        ("", None, (TEXT, b"")),
        (b"\x00\xff", None, (BINARY, b"\x00\xff")),
        (bytearray(b"ab"), None, (BINARY, b"ab")),
        (memoryview(b"abcd")[1:3], None, (BINARY, b"bc")),
        (memoryview(b"abcd")[::2], None, (BINARY, b"ac")),
        ("grüezi", False, (BINARY, b"gr\xc3\xbcezi")),
        (b"abc", True, (TEXT, b"abc")),
        (b"x" * 125, None, (BINARY, b"x" * 125)),
        (b"x" * 126, None, (BINARY, b"x" * 126)),
        (b"x" * 65536, None, (BINARY, b"x" * 65536)),
    ],
)
def test_a_message_is_one_frame_of_its_kind(
    link: Links, message: Any, text: bool | None, expected: tuple[int, bytes]
) -> None:
    ours, peer = link()

    ours.send(message, text)

    assert peer.read() == (*expected, True, 0)


def test_what_was_sent_may_be_changed_afterwards(link: Links) -> None:
    ours, peer = link()
    message = bytearray(b"before")

    ours.send(message)
    message[:] = b"after!"
    ours.send(message)

    assert [peer.read().payload, peer.read().payload] == [b"before", b"after!"]


@pytest.mark.parametrize(
    ("message", "text", "opcode"),
    [
        (["a", "", "b"], None, TEXT),
        ([b"a", b"", bytearray(b"b")], None, BINARY),
        ((b"a", b"", b"b"), True, TEXT),
        (["a", "", "b"], False, BINARY),
    ],
)
def test_an_iterable_is_one_message_in_fragments(
    link: Links, message: Any, text: bool | None, opcode: int
) -> None:
    ours, peer = link()

    # In a thread, a generator may wait: what it gives leaves as it comes.
    threads = "threads" in link.front.can
    ours.send(message if threads else (item for item in message), text)
    ours.send("next")

    frames = [peer.read() for _ in range(3)]
    assert frames[0].opcode == opcode
    assert [frame.opcode for frame in frames[1:]] == [CONT, CONT]
    assert [frame.fin for frame in frames] == [False, False, True]
    assert b"".join(frame.payload for frame in frames) == b"ab"
    assert peer.read() == (TEXT, b"next", True, 0)


def test_an_empty_iterable_sends_nothing(link: Links) -> None:
    ours, peer = link()

    ours.send([])
    ours.send("next")

    assert peer.read() == (TEXT, b"next", True, 0)


@pytest.mark.parametrize(
    "message",
    [None, 1, object(), {"a": 1}, [1], [["nested"]], ["a", b"b"], [b"a", "b"]],
)
def test_other_types_are_refused(link: Links, message: Any) -> None:
    ours, _ = link()

    with pytest.raises(TypeError):
        ours.send(message)


@pytest.mark.parametrize("message", [None, 1, {"a": 1}, [1]])
def test_a_refused_message_leaves_the_connection_open(
    link: Links, message: Any
) -> None:
    ours, peer = link()

    with pytest.raises(TypeError):
        ours.send(message)
    ours.send("still here")

    assert peer.read() == (TEXT, b"still here", True, 0)


class Broken(Exception):
    pass


def test_fragments_leave_as_they_come(link: Links) -> None:
    ours, peer = link()
    job, feed = ours.begin_send()

    feed.put("one")
    assert peer.read() == (TEXT, b"one", False, 0)
    feed.put("two")
    assert peer.read() == (CONT, b"two", False, 0)
    assert not job.done()
    feed.end()

    assert peer.read() == (CONT, b"", True, 0)
    job.result()


def test_an_error_in_the_middle_of_a_message_closes_with_1011(link: Links) -> None:
    ours, peer = link()
    job, feed = ours.begin_send()
    feed.put("one")

    feed.put(Broken())

    assert peer.read()[:2] == (TEXT, b"one")
    assert peer.read_close() == (1011, "error in fragmented message")
    with pytest.raises(Broken):
        job.result()
    peer.send_close(1011)
    peer.close()
    report = ours.wait_report()
    assert report.cause is Cause.HANDLER
    assert isinstance(report.error, Broken)


@pytest.mark.usefixtures("cancelling")
def test_a_message_cancelled_in_the_middle_closes_with_1011(link: Links) -> None:
    ours, peer = link()
    job, feed = ours.begin_send()
    feed.put(b"one")
    peer.read()

    assert job.cancel()

    assert peer.read_close() == (1011, "error in fragmented message")


def test_a_wrong_type_in_the_middle_of_a_message_closes_with_1011(link: Links) -> None:
    ours, peer = link()
    job, feed = ours.begin_send()
    feed.put(b"one")
    feed.put("two")

    assert peer.read_close() == (1011, "error in fragmented message")
    with pytest.raises(TypeError):
        job.result()


def test_an_error_before_the_first_fragment_hurts_nobody(link: Links) -> None:
    ours, peer = link()

    def breaks_at_once() -> Iterator[str]:
        raise Broken
        yield ""

    with pytest.raises(Broken):
        ours.send(breaks_at_once())
    ours.send("still here")

    assert peer.read() == (TEXT, b"still here", True, 0)


def test_pings_and_pongs_go_between_fragments(link: Links) -> None:
    ours, peer = link()
    job, feed = ours.begin_send()
    feed.put("one")
    peer.read()

    ours.ping(b"p")
    ours.pong(b"q")
    peer.send(PING, b"r")

    assert [peer.read() for _ in range(3)] == [
        (PING, b"p", True, 0),
        (PONG, b"q", True, 0),
        (PONG, b"r", True, 0),
    ]
    feed.end()
    assert peer.read().fin
    job.result()


# --- compression ----------------------------------------------------------------


def inflated(payload: bytes) -> bytes:
    return zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")


def compressing(link: Links, **options: Any) -> Any:
    """Return both ends with permessage-deflate agreed on, without contexts kept."""
    words = b"; server_no_context_takeover; client_no_context_takeover"
    return link(OFFER + words, **options)


def test_messages_are_compressed_when_that_was_agreed_on(link: Links) -> None:
    ours, peer = compressing(link)

    ours.send("x" * 1000)

    frame = peer.read()
    assert (frame.opcode, frame.rsv) == (TEXT, 4)
    assert len(frame.payload) < 50
    assert inflated(frame.payload) == b"x" * 1000


def test_a_message_can_be_sent_uncompressed(link: Links) -> None:
    ours, peer = compressing(link)

    ours.send("x" * 1000, compress=False)
    ours.send(["x" * 100, "x" * 100], compress=False)

    assert peer.read() == (TEXT, b"x" * 1000, True, 0)
    assert peer.read() == (TEXT, b"x" * 100, False, 0)
    assert peer.read() == (CONT, b"x" * 100, True, 0)


def test_compressed_fragments_are_one_deflate_stream(link: Links) -> None:
    ours, peer = compressing(link)

    ours.send(["x" * 500, "y" * 500, "z" * 500])

    frames = [peer.read() for _ in range(3)]
    assert [frame.rsv for frame in frames] == [4, 0, 0]
    whole = b"".join(frame.payload for frame in frames)
    assert inflated(whole) == b"x" * 500 + b"y" * 500 + b"z" * 500


def test_compressed_and_plain_messages_are_received(link: Links) -> None:
    ours, peer = compressing(link)
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
    small = squeeze.compress(b"x" * 1000) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    small = small.removesuffix(b"\x00\x00\xff\xff")

    peer.send(TEXT, small, rsv=4)
    peer.send(TEXT, b"plain")
    peer.send(TEXT, small[:3], fin=False, rsv=4)
    peer.send(CONT, small[3:])

    assert [ours.recv() for _ in range(3)] == ["x" * 1000, "plain", "x" * 1000]


def test_nothing_is_compressed_that_we_do_not_want(link: Links) -> None:
    # A client that offers nothing is granted nothing, so only a server is asked.
    ours, peer = link(*[OFFER] * (link.side == "server"), compression=None)

    ours.send("x" * 1000)

    assert b"permessage-deflate" not in peer.head
    assert peer.read() == (TEXT, b"x" * 1000, True, 0)


def test_nothing_is_compressed_that_the_peer_does_not_want(link: Links) -> None:
    ours, peer = link(compression="deflate")

    ours.send("x" * 1000)

    assert peer.read() == (TEXT, b"x" * 1000, True, 0)


# --- after the end --------------------------------------------------------------


@pytest.mark.parametrize("message", ["text", [b"a", b"b"]])
def test_sending_after_the_end_says_how_it_ended(link: Links, message: Any) -> None:
    ours, peer = link()
    peer.send_close(4000, "enough")
    peer.read_close()
    peer.close()
    ours.wait_closed()

    with pytest.raises(ConnectionClosedError) as caught:
        ours.send(message)

    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4000
    assert caught.value.report is ours.raw.close_report


@pytest.mark.parametrize("verb", ["ping", "pong"])
def test_control_frames_after_the_end_raise_too(link: Links, verb: str) -> None:
    ours, peer = link()
    peer.close()
    ours.wait_closed()

    with pytest.raises(ConnectionClosed):
        getattr(ours, verb)(b"x")


# --- turns ----------------------------------------------------------------------


def test_a_fragmented_message_is_not_interrupted_by_another(link: Links) -> None:
    ours, peer = link()
    first, feed = ours.begin_send()
    feed.put(b"a")
    assert peer.read() == (BINARY, b"a", False, 0)

    others = [ours.start("send", f"message {n}", None) for n in range(3)]
    others.append(ours.start("send", ["in", "three", "parts"], None))
    link.front.settle()
    assert not any(job.done() for job in others)
    feed.put(b"b")
    feed.end()

    while not peer.read().fin:
        pass
    found = [peer.read_message() for _ in range(4)]
    assert set(found) == {b"message 0", b"message 1", b"message 2", b"inthreeparts"}
    for job in [first, *others]:
        job.result()


def test_who_waits_for_a_turn_learns_of_the_end(link: Links) -> None:
    ours, peer = link()
    first, feed = ours.begin_send()
    feed.put(b"a")
    peer.read()
    second = ours.start("send", "waits", None)

    peer.close()

    with pytest.raises(ConnectionClosed):
        second.result()
    feed.put(b"b")
    feed.put(b"c")
    with pytest.raises(ConnectionClosed):
        first.result()
