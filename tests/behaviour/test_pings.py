"""Pings and pongs, latency, and noticing a peer that went away without a word."""

from __future__ import annotations

import time
from typing import Any

import pytest

from longwire import Cause, ConcurrencyError, ConnectionClosedError
from tests.support.frontends import Links
from tests.support.rawpeer import CLOSE, PING, PONG, TEXT


def test_a_ping_is_answered_with_its_payload(link: Links) -> None:
    _, peer = link()

    peer.send(PING)
    peer.send(PING, b"x" * 125)

    assert peer.read() == (PONG, b"", True, 0)
    assert peer.read() == (PONG, b"x" * 125, True, 0)


def test_a_pong_gives_the_latency(link: Links) -> None:
    ours, peer = link()
    assert ours.raw.latency == 0
    pong = ours.ping()
    frame = peer.read()
    assert frame.opcode == PING
    assert not pong.done()

    time.sleep(0.05)
    peer.send(PONG, frame.payload)

    latency = pong.result()
    assert 0.05 <= latency < 10
    assert ours.raw.latency == latency


@pytest.mark.parametrize(
    "data", ["grüezi", "grüezi".encode(), bytearray(b"gr\xc3\xbcezi")]
)
def test_a_ping_has_the_data_it_was_given(link: Links, data: Any) -> None:
    ours, peer = link()

    pong = ours.ping(data)

    assert peer.read() == (PING, b"gr\xc3\xbcezi", True, 0)
    peer.send(PONG, b"gr\xc3\xbcezi")
    assert pong.result() > 0


def test_pings_without_data_differ(link: Links) -> None:
    ours, peer = link()
    pongs = [ours.ping() for _ in range(50)]

    payloads = [peer.read().payload for _ in range(50)]

    assert len(set(payloads)) == 50
    peer.send(PONG, payloads[-1])
    for pong in pongs:
        assert pong.result() > 0


def test_a_ping_with_data_under_way_is_refused_until_answered(link: Links) -> None:
    ours, peer = link()
    pong = ours.ping(b"same")

    with pytest.raises(ConcurrencyError):
        ours.ping(b"same")
    peer.send(PONG, b"same")
    pong.result()

    again = ours.ping(b"same")
    peer.send(PONG, b"same")
    again.result()


def test_a_pong_answers_all_pings_up_to_its_own(link: Links) -> None:
    ours, peer = link()
    first, second, third = (ours.ping(data) for data in (b"1", b"2", b"3"))

    peer.send(PONG, b"2")

    assert first.result() > 0
    assert second.result() > 0
    assert not third.done()
    peer.send(PONG, b"3")
    third.result()


def test_pongs_nobody_asked_for_are_ignored(link: Links) -> None:
    ours, peer = link()
    pong = ours.ping(b"asked")

    peer.send(PONG, b"other")
    peer.send(TEXT, b"next")

    assert ours.recv() == "next"
    assert not pong.done()
    peer.send(PONG, b"asked")
    pong.result()


def test_pongs_may_be_sent_unasked(link: Links) -> None:
    ours, peer = link()

    ours.pong()
    ours.pong("heart")

    assert peer.read() == (PONG, b"", True, 0)
    assert peer.read() == (PONG, b"heart", True, 0)


@pytest.mark.parametrize("verb", ["ping", "pong"])
@pytest.mark.parametrize(("data", "error"), [(b"x" * 126, ValueError), (1, TypeError)])
def test_data_no_control_frame_can_hold_is_refused(
    link: Links, verb: str, data: Any, error: type[Exception]
) -> None:
    ours, _ = link()

    with pytest.raises(error):
        getattr(ours, verb)(data)


def test_pings_that_will_not_be_answered_say_how_the_connection_ended(
    link: Links,
) -> None:
    ours, peer = link()
    pongs = [ours.ping() for _ in range(3)]

    peer.close()

    for pong in pongs:
        with pytest.raises(ConnectionClosedError):
            pong.result()


# --- keepalive ------------------------------------------------------------------


def test_keepalive_pings_and_measures_latency(link: Links) -> None:
    ours, peer = link(ping_interval=0.1, ping_timeout=10)
    payloads = set()

    for _ in range(3):
        frame = peer.read()
        assert frame.opcode == PING
        payloads.add(frame.payload)
        peer.send(PONG, frame.payload)

    assert len(payloads) == 3
    peer.send(TEXT, b"next")
    assert ours.recv() == "next"
    assert ours.raw.latency > 0


def test_a_silent_peer_is_given_up(link: Links) -> None:
    ours, peer = link(ping_interval=0.1, ping_timeout=0.3, close_timeout=0.3)
    job = ours.start("recv", None, None)

    assert peer.read().opcode == PING
    assert peer.read_close() == (1011, "keepalive ping timeout")
    with pytest.raises(ConnectionClosedError):
        job.result()
    report = ours.wait_report()

    assert report.cause is Cause.KEEPALIVE
    assert report.code == 1006
    assert report.sent is not None
    assert report.sent.code == 1011
    assert report.last_byte_age >= 0.3
    assert peer.read_all() == b""


def test_a_peer_that_says_anything_is_alive(link: Links) -> None:
    ours, peer = link(ping_interval=0.1, ping_timeout=0.5)

    for _ in range(30):
        peer.send(TEXT, b"not a pong")
        assert ours.recv() == "not a pong"
        time.sleep(0.05)

    assert ours.raw.close_report is None


def test_no_interval_means_no_pings(link: Links) -> None:
    ours, peer = link(ping_interval=None, ping_timeout=0.1)
    time.sleep(0.4)

    ours.send("first")

    assert peer.read() == (TEXT, b"first", True, 0)


def test_no_timeout_waits_for_ever(link: Links) -> None:
    ours, peer = link(ping_interval=0.1, ping_timeout=None)

    assert peer.read().opcode == PING
    time.sleep(0.6)

    ours.send("still here")
    assert peer.read() == (TEXT, b"still here", True, 0)


def test_a_stall_of_our_own_is_not_taken_for_a_dead_peer(link: Links) -> None:
    if "stall" not in link.front.can:
        pytest.skip(f"{link.front.name} has nothing that can stall")
    ours, peer = link(ping_interval=0.2, ping_timeout=0.4)
    for _ in range(2):
        ping = peer.read()
        link.front.stall(1.2)
        peer.send(PONG, ping.payload)  # it answers at once, and is not heard

    peer.send(TEXT, b"alive")

    assert ours.recv() == "alive"
    assert ours.raw.close_report is None


def test_a_peer_that_does_not_read_our_pings_is_alive_while_it_sends(
    link: Links,
) -> None:
    ours, peer = link(small=True, ping_interval=0.1, ping_timeout=0.4)
    stuck = ours.start("send", b"x" * (8 << 20), None)

    for _ in range(20):
        peer.send(TEXT, b"busy sending")
        assert ours.recv() == "busy sending"
        time.sleep(0.05)

    assert ours.raw.close_report is None
    assert not stuck.done()
    peer.close()
    stuck.cancel()


def test_a_fault_of_the_peer_is_found_before_its_missing_pong(link: Links) -> None:
    _, peer = link(ping_interval=0.1, ping_timeout=20)
    peer.read()

    peer.write(b"\xff\xff")

    found = peer.read()
    while found.opcode != CLOSE:
        found = peer.read()
    assert found.payload[:2] == b"\x03\xea"
