"""Who is slow makes the other wait, both ways, and what we hold stays bounded."""

from __future__ import annotations

import time
from typing import Any

import pytest

from longwire import ConnectionClosed, Limits
from tests.support.frontends import Links, until
from tests.support.rawpeer import BINARY, CONT, PING, PONG, TEXT

MUCH = 64 << 20


def held(link: Links, ours: Any) -> int:
    """Return the bytes received that no one has read yet."""
    link.front.settle()
    session = ours.raw._session
    return int(session.inbox.size + session.protocol.buffered)


# --- a slow reader on our side --------------------------------------------------


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({}, 4 << 20),
        ({"max_queue": 4}, 1 << 20),
        ({"max_queue": (64, 8)}, 2 << 20),
        ({"limits": Limits(queued_messages=None, queued_bytes=65536)}, 1 << 20),
        ({"limits": Limits(queued_messages=None)}, 6 << 20),
    ],
)
def test_a_peer_is_stopped_while_nobody_reads(
    link: Links, options: Any, most: int
) -> None:
    ours, peer = link(small=True, **options)

    sent = peer.push(peer.frame(BINARY, b"x" * 10_000), MUCH)

    assert sent < MUCH
    assert held(link, ours) < most
    # Fixed buffers of the kernel lie between, twice what was asked for.
    assert sent < most + (1 << 20)


def test_reading_on_lets_the_peer_go_on_and_loses_nothing(
    link: Links, wire: Any
) -> None:
    ours, peer = link(small=True, **wire)
    frame = peer.frame(BINARY, b"x" * 10_000)
    sent = peer.push(frame, MUCH)
    count = -(-sent // len(frame))

    messages = [ours.recv() for _ in range(count - 5)]
    peer.finish_push()
    messages += [ours.recv() for _ in range(5)]

    assert messages == [b"x" * 10_000] * count
    peer.send(TEXT, b"goes on")
    assert ours.recv() == "goes on"


def test_small_messages_count_too(link: Links, wire: Any) -> None:
    ours, peer = link(small=True, **wire, max_queue=16)

    sent = peer.push(peer.frame(TEXT, b"x") * 100, MUCH)

    assert sent < 2 << 20
    assert held(link, ours) < 1 << 20


def test_a_fragmented_message_nobody_waits_for_stops_the_peer_too(link: Links) -> None:
    ours, peer = link(small=True, max_queue=8, max_size=None)
    peer.send(BINARY, b"begins", fin=False)

    sent = peer.push(peer.frame(CONT, b"x" * 1000, fin=False), MUCH)

    assert sent < 4 << 20
    assert held(link, ours) < 4 << 20


def test_a_message_of_more_fragments_than_the_queue_holds_is_received(
    link: Links,
) -> None:
    ours, peer = link(max_queue=2)

    peer.send(BINARY, b"x" * 1000, fin=False)
    for _ in range(100):
        peer.send(CONT, b"x" * 1000, fin=False)
    peer.send(CONT)

    assert ours.recv() == b"x" * 101_000


def test_no_limit_on_the_queue_takes_all(link: Links) -> None:
    ours, peer = link(small=True, max_queue=None)

    sent = peer.push(peer.frame(BINARY, b"x" * 10_000), 12 << 20, idle=5)

    assert sent >= 12 << 20
    assert len(ours.recv()) == 10_000


def test_keepalive_goes_on_while_the_peer_is_stopped(link: Links, wire: Any) -> None:
    ours, peer = link(small=True, **wire, ping_interval=0.1, ping_timeout=0.3)
    sent = peer.push(peer.frame(BINARY, b"x" * 10_000), MUCH)

    time.sleep(1)  # pongs lie behind what is not read

    assert ours.raw.close_report is None
    for _ in range(sent // 20_000):
        ours.recv()
    assert ours.raw.close_report is None


# --- a slow peer ----------------------------------------------------------------


def test_sending_waits_for_a_peer_that_does_not_read(link: Links, wire: Any) -> None:
    ours, peer = link(small=True, **wire, write_limit=32768, ping_interval=None)
    sent = 0
    for sent in range(1, 10_000):  # noqa: B007
        job = ours.start("send", b"x" * 10_000, None)
        try:
            job.result(0.5)
        except AssertionError:
            break

    assert sent < 200
    # The message that was waiting was sent, though its sender gave up.
    for _ in range(sent):
        assert len(peer.read().payload) == 10_000
    ours.send("goes on")
    assert peer.read() == (TEXT, b"goes on", True, 0)


def test_all_waiting_senders_go_on_when_the_peer_reads(link: Links, wire: Any) -> None:
    ours, peer = link(small=True, **wire, ping_interval=None)
    jobs = [ours.start("send", bytes([n]) * 100_000, None) for n in range(30)]
    link.front.settle()
    assert not all(job.done() for job in jobs)

    received = [peer.read().payload for _ in range(30)]

    order = [payload[0] for payload in received]
    # Nobody says which of several threads gets a lock, or which task trio runs, first.
    assert (order if "order" in link.front.can else sorted(order)) == list(range(30))
    assert all(len(set(payload)) == 1 for payload in received)
    for job in jobs:
        job.result()


def test_what_waits_to_be_written_is_bounded(link: Links) -> None:
    ours, _ = link(small=True, write_limit=32768, ping_interval=None)
    feeding, feed = ours.begin_send()
    for _ in range(100):
        feed.put(b"x" * 10_000)
    link.front.settle()

    assert not feeding.done()
    assert ours.unsent < 100_000
    feeding.cancel()


def test_a_waiting_sender_learns_that_the_peer_is_gone(link: Links) -> None:
    ours, peer = link(small=True, ping_interval=None)
    job = ours.start("send", b"x" * (4 << 20), None)
    link.front.settle()

    peer.reset()

    with pytest.raises(ConnectionClosed):
        job.result()


def test_receiving_goes_on_while_a_sender_waits(link: Links) -> None:
    ours, peer = link(small=True, ping_interval=None)
    job = ours.start("send", b"x" * (4 << 20), None)

    for number in range(100):
        peer.send(TEXT, b"%d" % number)
        assert ours.recv() == str(number)

    assert not job.done()
    assert peer.read_message() == b"x" * (4 << 20)
    job.result()


def test_two_that_both_send_much_do_not_stop_each_other(link: Links) -> None:
    ours, peer = link(small=True, max_size=None, ping_interval=None)
    job = ours.start("send", b"x" * (8 << 20), None)

    peer.send(BINARY, b"y" * (8 << 20))

    assert ours.recv() == b"y" * (8 << 20)
    assert peer.read_message() == b"x" * (8 << 20)
    job.result()


def test_pongs_for_a_peer_that_does_not_read_are_not_piled_up(link: Links) -> None:
    limits = Limits(pings_per_second=None)
    ours, peer = link(small=True, limits=limits, ping_interval=None)
    job = ours.start("send", b"x" * (4 << 20), None)
    link.front.settle()

    for number in range(10_000):
        peer.send(PING, b"%0100d" % number)
    peer.send(TEXT, b"after the pings")
    assert ours.recv() == "after the pings"

    assert ours.unsent < 5 << 20
    assert peer.read_message() == b"x" * (4 << 20)
    job.result()
    # RFC 6455 section 5.5.3: the last ping may be answered instead of each.
    assert peer.read() == (PONG, b"%0100d" % 9999, True, 0)


@pytest.mark.usefixtures("cancelling")
def test_senders_that_give_up_leave_nothing_to_send(link: Links) -> None:
    ours, peer = link(small=True, write_limit=32768, ping_interval=None)
    first = ours.start("send", b"x" * (1 << 20), None)
    link.front.settle()
    assert not first.done()

    for _ in range(200):
        job = ours.start("send", b"y" * 65536, None)
        link.front.settle()
        assert job.cancel()

    assert ours.unsent < 2 << 20
    assert peer.read_message() == b"x" * (1 << 20)
    ours.send("next")
    assert peer.read() == (TEXT, b"next", True, 0)


def test_many_senders_at_once_hold_no_more_than_one(link: Links) -> None:
    ours, peer = link(small=True, write_limit=32768, ping_interval=None)
    jobs = [ours.start("send", b"%05d" % n * 20_000, None) for n in range(200)]
    link.front.settle()

    assert ours.unsent < 1 << 20
    assert sorted(peer.read().payload[:5] for _ in jobs) == [
        b"%05d" % n for n in range(200)
    ]
    for job in jobs:
        job.result()


# --- asking whether there is room -------------------------------------------------


def test_there_is_room_while_a_message_would_leave_at_once(link: Links) -> None:
    ours, peer = link(small=True)
    assert ours.raw.has_room

    sending = []
    while ours.raw.has_room:
        sending.append(ours.start("send", b"x" * 100_000, None))
        link.front.settle()
    for _ in sending:
        assert len(peer.read()[1]) == 100_000
    for job in sending:
        job.result()
    assert until(lambda: ours.raw.has_room)

    peer.send_close(1000)
    peer.end()
    ours.wait_closed()
    assert not ours.raw.has_room


def test_there_is_no_room_before_a_connection_is_open(link: Links) -> None:
    ours, _ = link()
    assert not type(ours.raw).__new__(type(ours.raw)).has_room
