"""Closing: by either side, twice, by many, with unread messages, and without answer."""

from __future__ import annotations

import time
from typing import Any

import pytest

from longwire import (
    Cause,
    ConnectionClosedError,
    ConnectionClosedOK,
    ProtocolError,
    Side,
    State,
)
from tests.support.frontends import Links
from tests.support.rawpeer import BINARY, CLOSE, PING, TEXT


def ours_is(link: Links) -> Side:
    return Side.SERVER if link.side == "server" else Side.CLIENT


@pytest.mark.parametrize(
    ("arguments", "payload"),
    [
        ((), b"\x03\xe8"),
        ((1001,), b"\x03\xe9"),
        ((1000, "grüezi"), b"\x03\xe8gr\xc3\xbcezi"),
        ((4999, "x" * 123), b"\x13\x87" + b"x" * 123),
        ((None,), b""),
    ],
)
def test_closing_sends_a_close_frame_and_waits_for_the_answer(
    link: Links, wire: Any, arguments: Any, payload: bytes
) -> None:
    ours, peer = link(**wire)
    job = ours.start("close", *arguments)

    assert peer.read() == (CLOSE, payload, True, 0)
    assert not job.done()
    assert ours.raw.state is State.CLOSING
    peer.send(CLOSE, payload)
    peer.close()
    job.result()

    report = ours.raw.close_report
    assert ours.raw.state is State.CLOSED
    assert report.cause is Cause.LOCAL
    assert report.closed_by is ours_is(link)
    code = int.from_bytes(payload[:2], "big") or 1005
    assert ours.raw.close_code == report.code == code
    assert ours.raw.close_reason == report.reason == payload[2:].decode()


@pytest.mark.parametrize(
    ("code", "answer"),
    [(1000, b"\x03\xe8reason"), (4321, b"\x10\xe1reason"), (None, b"")],
)
def test_a_close_frame_is_answered_with_its_code_and_reason(
    link: Links, wire: Any, code: int | None, answer: bytes
) -> None:
    ours, peer = link(**wire)

    peer.send_close(code, "" if code is None else "reason")

    assert peer.read() == (CLOSE, answer, True, 0)
    # RFC 6455 section 7.1.1: the server ends TCP first.
    if link.side == "server":
        assert peer.is_closed()
    peer.close()
    report = ours.wait_report()
    assert report.cause is Cause.PEER
    assert report.closed_by is not None
    assert report.closed_by is not ours_is(link)
    assert (report.code, report.reason) == (
        code or 1005,
        "" if code is None else "reason",
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0, ""),
        (999, ""),
        (1004, ""),
        (1005, ""),
        (1006, ""),
        (1015, ""),
        (2999, ""),
        (5000, ""),
        (1 << 31, ""),
        (1 << 64, ""),
        (-1, ""),
        (1000, "x" * 124),
        (1000, "ü" * 62),
        (None, "a reason without a code"),
    ],
)
def test_what_may_not_be_sent_is_refused_and_changes_nothing(
    link: Links, code: Any, reason: str
) -> None:
    ours, peer = link()

    with pytest.raises(ProtocolError):
        ours.close(code, reason)
    ours.send("still open")

    assert peer.read() == (TEXT, b"still open", True, 0)


def test_closing_again_only_waits(link: Links) -> None:
    ours, peer = link()
    jobs = [ours.start("close", code) for code in (4000, 4001, 4002)]

    assert peer.read_close() == (4000, "")
    peer.send_close(4000)
    peer.end()

    for job in jobs:
        job.result()
    assert peer.read_all() == b""
    ours.close(4003)
    assert ours.raw.close_report.sent.code == 4000


def test_many_can_wait_for_the_end(link: Links) -> None:
    ours, peer = link()
    jobs = [ours.start("wait_closed") for _ in range(10)]
    link.front.settle()
    assert not any(job.done() for job in jobs)

    peer.close()

    for job in jobs:
        job.result()
    ours.wait_closed()


@pytest.mark.usefixtures("cancelling")
def test_who_gives_up_waiting_for_the_end_does_not_disturb_others(link: Links) -> None:
    ours, peer = link()
    one, two = ours.start("wait_closed"), ours.start("wait_closed")
    link.front.settle()

    assert one.cancel()

    assert not two.done()
    peer.close()
    two.result()


def test_attributes_are_none_until_the_end_is_certain(link: Links) -> None:
    ours, _ = link()

    assert ours.raw.state is State.OPEN
    assert ours.raw.close_code is None
    assert ours.raw.close_reason is None
    assert ours.raw.close_report is None


def test_waiting_verbs_learn_that_we_close(link: Links) -> None:
    ours, peer = link()
    receiving = ours.start("recv", None, None)
    pong = ours.ping()
    link.front.settle()
    job = ours.start("close")

    peer.read_close()
    peer.send_close(1000)
    peer.close()

    with pytest.raises(ConnectionClosedOK):
        receiving.result()
    with pytest.raises(ConnectionClosedOK):
        pong.result()
    job.result()


def test_messages_that_come_while_we_close_are_received(link: Links) -> None:
    ours, peer = link()
    job = ours.start("close")
    peer.read_close()

    peer.send(TEXT, b"was under way")
    peer.send_close(1000)
    peer.close()

    job.result()
    assert ours.recv() == "was under way"
    with pytest.raises(ConnectionClosedOK):
        ours.recv()


def test_sending_while_we_close_is_refused(link: Links) -> None:
    ours, peer = link()
    job = ours.start("close")
    peer.read_close()
    sending = ours.start("send", "too late", None)

    peer.send_close(1000)
    peer.end()

    with pytest.raises(ConnectionClosedOK):
        sending.result()
    job.result()
    assert peer.read_all() == b""


def test_closing_does_not_wait_for_messages_to_be_read(link: Links) -> None:
    ours, peer = link(max_queue=2)
    for number in range(100):
        peer.send(TEXT, b"%d" % number)
    peer.send(PING, b"here")
    job = ours.start("close")

    peer.read_close()
    peer.send_close(1000)
    peer.close()

    job.result(10)
    assert ours.raw.close_report.cause is Cause.LOCAL
    assert ours.raw.close_code == 1000


# --- peers that do not play along -----------------------------------------------

KEEPALIVES = [{"ping_interval": None}, {"ping_interval": 0.05, "ping_timeout": 5}]


@pytest.mark.parametrize("keepalive", KEEPALIVES)
def test_a_peer_that_never_answers_is_cut_off(
    link: Links, wire: Any, keepalive: Any
) -> None:
    ours, peer = link(close_timeout=0.3, **keepalive, **wire)
    start = time.monotonic()

    ours.close()

    assert 0.2 < time.monotonic() - start < 5
    report = ours.raw.close_report
    assert report.cause is Cause.CLOSE_TIMEOUT
    assert report.code == 1006
    assert report.rcvd is None
    assert report.sent.code == 1000
    with pytest.raises(ConnectionClosedError):
        ours.recv()
    assert peer.is_closed()


@pytest.mark.parametrize("keepalive", KEEPALIVES)
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_a_peer_that_never_ends_tcp_is_cut_off(
    link: Links, wire: Any, keepalive: Any, first: str
) -> None:
    ours, peer = link(close_timeout=0.3, **keepalive, **wire)

    if first == "ours":
        job = ours.start("close", 4000)
        assert peer.read_close()[0] == 4000
        peer.send_close(4000)
    else:
        peer.send_close(4000)
        assert peer.read_close()[0] == 4000
        job = ours.start("close")

    job.result(10)
    assert ours.raw.state is State.CLOSED
    assert ours.raw.close_code == 4000
    assert peer.is_closed()


@pytest.mark.parametrize("keepalive", KEEPALIVES)
def test_a_peer_that_keeps_sending_instead_of_closing_is_cut_off(
    link: Links, keepalive: Any
) -> None:
    ours, peer = link(close_timeout=0.3, **keepalive)
    job = ours.start("close")
    frame = peer.frame(BINARY, b"x" * 10_000)

    end = time.monotonic() + 10
    with pytest.raises(ConnectionError):
        while time.monotonic() < end:
            peer.write(frame)

    job.result()
    assert ours.raw.close_code == 1006


def test_a_peer_that_reads_nothing_does_not_hold_up_the_end(link: Links) -> None:
    ours, _ = link(small=True, close_timeout=0.3, ping_interval=None)
    sending = ours.start("send", b"x" * (4 << 20), None)
    link.front.settle()
    assert not sending.done()

    ours.close()

    with pytest.raises(ConnectionClosedError):
        sending.result()
    assert ours.raw.close_code == 1006


def test_no_close_timeout_waits_for_the_peer(link: Links) -> None:
    ours, peer = link(close_timeout=None)
    job = ours.start("close")
    peer.read_close()
    time.sleep(0.3)
    assert not job.done()

    peer.send_close(1000)
    peer.close()

    job.result()
    assert ours.raw.close_code == 1000
