"""Receiving: whole messages, pieces of them, and all there are."""

from __future__ import annotations

import pytest

from longwire import ConcurrencyError, ConnectionClosedError, ConnectionClosedOK
from longwire.session.intake import FRAMES
from tests.support.frontends import Links, until
from tests.support.rawpeer import BINARY, CONT, PING, PONG, SECONDS, TEXT

EURO = "€".encode()  # three bytes


def test_text_is_received_as_str_and_binary_as_bytes(link: Links) -> None:
    ours, peer = link()

    peer.send(TEXT, b"gr\xc3\xbcezi")
    peer.send(BINARY, b"\x00\xff")
    peer.send(TEXT)
    peer.send(BINARY)

    assert [ours.recv() for _ in range(4)] == ["grüezi", b"\x00\xff", "", b""]


@pytest.mark.parametrize("fragmented", [False, True])
def test_decode_overrides_the_type(link: Links, fragmented: bool) -> None:
    ours, peer = link()

    for opcode in (TEXT, BINARY, TEXT, BINARY):
        if fragmented:
            peer.send(opcode, EURO[:2], fin=False)
            peer.send(CONT, EURO[2:])
        else:
            peer.send(opcode, EURO)

    assert ours.recv(decode=True) == "€"
    assert ours.recv(decode=True) == "€"
    assert ours.recv(decode=False) == EURO
    assert ours.recv(decode=False) == EURO


def test_fragments_are_joined_whatever_control_frames_lie_between(link: Links) -> None:
    ours, peer = link()

    peer.send(TEXT, b"one ", fin=False)
    peer.send(PING, b"p")
    peer.send(CONT, b"", fin=False)
    peer.send(PONG, b"nobody asked")
    peer.send(CONT, b"two")

    assert ours.recv() == "one two"
    assert peer.read() == (PONG, b"p", True, 0)


def test_a_large_message_that_arrives_in_many_reads_is_whole(link: Links) -> None:
    ours, peer = link(max_size=4 << 20)
    payload = bytes(range(256)) * (3 << 12)

    peer.send(BINARY, payload)

    assert ours.recv() == payload


def test_a_receive_that_runs_out_of_time_loses_nothing(link: Links) -> None:
    ours, peer = link()
    whole = peer.frame(TEXT, b"half and half")

    with pytest.raises(TimeoutError):
        ours.recv(timeout=0.01)
    peer.write(whole[:9])
    with pytest.raises(TimeoutError):
        ours.recv(timeout=0.01)
    peer.write(whole[9:])

    assert ours.recv() == "half and half"


def test_fragments_seen_by_a_receive_that_ran_out_of_time_are_kept(link: Links) -> None:
    ours, peer = link()

    peer.send(TEXT, b"a", fin=False)
    with pytest.raises(TimeoutError):
        ours.recv(timeout=0.01)
    peer.send(CONT, b"b", fin=False)
    with pytest.raises(TimeoutError):
        ours.recv(timeout=0.01)
    peer.send(CONT, b"c")

    assert ours.recv() == "abc"


@pytest.mark.usefixtures("cancelling")
def test_a_cancelled_receive_leaves_the_message_to_the_next(link: Links) -> None:
    ours, peer = link()

    for number in range(20):
        job = ours.start("recv", None, None)
        peer.send(TEXT, b"%d" % number)
        if job.cancel():
            assert ours.recv() == str(number)
        else:
            assert job.result(10) == str(number)


def test_a_second_receive_at_the_same_time_is_refused(link: Links) -> None:
    ours, peer = link()
    first = ours.start("recv", None, None)
    link.front.settle()

    with pytest.raises(ConcurrencyError):
        ours.recv()
    with pytest.raises(ConcurrencyError):
        list(ours.stream())

    peer.send(TEXT, b"for the first")
    assert first.result(10) == "for the first"


# --- streaming ------------------------------------------------------------------


def test_streaming_yields_fragments_as_they_come(link: Links) -> None:
    ours, peer = link()
    peer.send(BINARY, b"one", fin=False)
    pieces = ours.stream()

    assert next(pieces) == b"one"
    peer.send(CONT, b"two", fin=False)
    assert next(pieces) == b"two"
    peer.send(CONT, b"three")
    assert list(pieces) == [b"three"]

    peer.send(TEXT, b"whole")
    assert list(ours.stream()) == ["whole"]


def test_streamed_text_is_never_cut_inside_a_character(link: Links) -> None:
    ours, peer = link()
    for at in range(3):
        peer.send(CONT if at else TEXT, EURO[at : at + 1], fin=False)
    peer.send(CONT, b"!")

    pieces = list(ours.stream())

    assert "".join(pieces) == "€!"
    assert all(isinstance(piece, str) for piece in pieces)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_streaming_decodes_as_told(link: Links, opcode: int) -> None:
    ours, peer = link()
    for _ in range(2):
        peer.send(opcode, EURO[:1], fin=False)
        peer.send(CONT, EURO[1:])

    assert "".join(ours.stream(decode=True)) == "€"
    assert b"".join(ours.stream(decode=False)) == EURO


def test_an_unfinished_stream_must_be_read_to_its_end(link: Links) -> None:
    ours, peer = link()
    peer.send(TEXT, b"one", fin=False)
    pieces = ours.stream()
    next(pieces)

    with pytest.raises(ConcurrencyError):
        ours.recv()

    peer.send(CONT, b"two")
    assert list(pieces) == ["two"]
    peer.send(TEXT, b"three")
    assert ours.recv() == "three"


def test_a_stream_whose_connection_is_lost_raises(link: Links) -> None:
    ours, peer = link()
    peer.send(TEXT, b"one", fin=False)
    pieces = ours.stream()
    assert next(pieces) == "one"

    peer.close()

    with pytest.raises(ConnectionClosedError):
        next(pieces)
    with pytest.raises(ConnectionClosedError):
        ours.recv()


def test_a_stream_may_be_larger_than_the_queue(link: Links) -> None:
    ours, peer = link(max_queue=4)
    for at in range(64):
        peer.send(CONT if at else TEXT, b"%02d" % at, fin=False)
    peer.send(CONT)

    assert "".join(ours.stream()) == "".join(f"{at:02d}" for at in range(64))


# --- iterating ------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, None])
def test_iterating_ends_with_the_connection(link: Links, code: int | None) -> None:
    ours, peer = link()

    peer.send(TEXT, b"one")
    peer.send(BINARY, b"two")
    peer.send_close(code)

    assert ours.iterate() == ["one", b"two"]


@pytest.mark.parametrize("code", [1002, 1011, 3000, 4999])
def test_iterating_raises_at_any_other_end(link: Links, code: int) -> None:
    ours, peer = link()
    peer.send(TEXT, b"one")
    peer.send_close(code, "why")

    with pytest.raises(ConnectionClosedError) as caught:
        ours.iterate()

    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, "why")


def test_iterating_raises_when_the_peer_vanishes(link: Links) -> None:
    ours, peer = link()
    peer.close()

    with pytest.raises(ConnectionClosedError):
        ours.iterate()


def test_a_waiting_receive_learns_of_the_end(link: Links) -> None:
    ours, peer = link()
    job = ours.start("recv", None, None)
    link.front.settle()

    peer.send_close(1000, "bye")

    with pytest.raises(ConnectionClosedOK):
        job.result(10)


def test_what_arrived_before_the_end_is_received_after_it(link: Links) -> None:
    ours, peer = link()
    peer.write(
        peer.frame(TEXT, b"one") + peer.frame(TEXT, b"two") + peer.frame(8, b"\x03\xe8")
    )
    assert peer.read_close() == (1000, "")

    assert ours.recv() == "one"
    assert ours.recv() == "two"
    with pytest.raises(ConnectionClosedOK):
        ours.recv()
    with pytest.raises(ConnectionClosedOK):
        ours.recv()


def test_a_message_of_more_fragments_than_a_turn_reads_is_received(
    link: Links,
) -> None:
    ours, peer = link(max_queue=4, max_size=None)
    count = 3 * FRAMES
    middle = peer.frame(CONT, b"x", fin=False) * (count - 2)

    peer.write(peer.frame(TEXT, b"x", fin=False) + middle + peer.frame(CONT, b"x"))
    # What is read first is for nobody yet, and waits for recv().
    until(lambda: ours.raw._session.holding)

    assert ours.start("recv", None, None).result(SECONDS) == "x" * count
