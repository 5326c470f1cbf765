"""Peers that vanish: in every phase, in every way, on either side."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from longwire import Cause, ConnectionClosedError
from tests.hostile.conftest import Serve
from tests.support.frontends import Endpoint, Links
from tests.support.rawpeer import BINARY, CLOSE, CONT, PING, TEXT, RawPeer


def idle(ours: Endpoint, peer: RawPeer) -> None:
    pass


def in_a_header(ours: Endpoint, peer: RawPeer) -> None:
    peer.write(b"\x82")


def in_a_frame(ours: Endpoint, peer: RawPeer) -> None:
    peer.write(peer.frame(BINARY, b"x" * 1000)[:500])


def in_a_message(ours: Endpoint, peer: RawPeer) -> None:
    peer.send(TEXT, b"begins", fin=False)
    peer.send(CONT, b"goes on", fin=False)


def with_unread_messages(ours: Endpoint, peer: RawPeer) -> None:
    for _ in range(5):
        peer.send(TEXT, b"unread")


def with_unread_answers(ours: Endpoint, peer: RawPeer) -> None:
    peer.send(PING)
    ours.send("unread")


def while_we_send(ours: Endpoint, peer: RawPeer) -> None:
    ours.start("send", b"x" * (8 << 20), None)


def after_our_close(ours: Endpoint, peer: RawPeer) -> None:
    ours.start("close", 1001)
    peer.read_close()


def with_a_ping_under_way(ours: Endpoint, peer: RawPeer) -> None:
    ours.ping()
    peer.read()


PHASES: list[Callable[[Endpoint, RawPeer], None]] = [
    idle, in_a_header, in_a_frame, in_a_message, with_unread_messages,
    with_unread_answers, while_we_send, after_our_close,
    with_a_ping_under_way,
]  # fmt: skip


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("ending", ["reset", "close", "end"])
def test_a_lost_peer_is_noticed_in_every_phase(
    link: Links, phase: Callable[[Endpoint, RawPeer], None], ending: str
) -> None:
    # The last way says "I send no more" and keeps its side open.
    ours, peer = link(close_timeout=0.3)
    phase(ours, peer)

    getattr(peer, ending)()
    report = ours.wait_report()

    assert report.code == 1006
    if phase is after_our_close:
        assert report.cause is Cause.LOCAL
    else:
        assert report.cause is Cause.NETWORK
    with pytest.raises(ConnectionClosedError):
        for _ in range(6):
            assert ours.recv() == "unread"
    with pytest.raises(ConnectionClosedError):
        ours.send("too late")
    ours.close()


@pytest.mark.parametrize("ending", ["reset", "close", "end"])
def test_a_peer_lost_in_the_middle_of_our_message_is_told_to_its_sender(
    link: Links, ending: str
) -> None:
    ours, peer = link(close_timeout=0.3)
    job, feed = ours.begin_send()
    feed.put("one")
    peer.read()

    getattr(peer, ending)()
    report = ours.wait_report()
    feed.put("two")
    feed.put("three")

    assert report.cause is Cause.NETWORK
    with pytest.raises(ConnectionClosedError):
        job.result()


def test_a_peer_that_resets_after_its_close_frame_has_closed(link: Links) -> None:
    ours, peer = link(close_timeout=0.3)

    peer.send_close(1000)
    peer.read_close()
    peer.reset()

    report = ours.wait_report()
    assert (report.cause, report.code) == (Cause.PEER, 1000)


def test_a_server_survives_a_hail_of_resets(attack: Serve) -> None:
    with attack() as victim:
        for number in range(100):
            _, peer = victim.open()
            if number % 4 == 1:
                peer.write(peer.frame(BINARY, b"x" * 100_000))
            elif number % 4 == 2:
                peer.write(peer.frame(BINARY, b"x" * 1000)[: number * 7])
            elif number % 4 == 3:
                peer.send(CLOSE, b"\x03\xe8")
            peer.reset()


def test_half_open_connections_are_found_by_keepalive(attack: Serve) -> None:
    with attack(ping_interval=0.2, ping_timeout=0.3) as victim:
        ends = [victim.open() for _ in range(50)]

        for ours, peer in ends:
            report = ours.wait_report()
            assert report.cause is Cause.KEEPALIVE
            peer.close()


def test_peers_that_stop_in_the_middle_do_not_hold_others_up(attack: Serve) -> None:
    with attack(ping_interval=None) as victim:
        stuck = []
        for _ in range(50):
            _, peer = victim.open()
            peer.write(peer.frame(BINARY, b"x" * 5000)[:-1])
            stuck.append(peer)

        start = time.monotonic()
        for _ in range(20):
            victim.serves()
        assert time.monotonic() - start < 10

        for peer in stuck:
            peer.reset()
