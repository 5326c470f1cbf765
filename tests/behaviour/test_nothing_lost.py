"""What came is received, however slow the reader and however the peer goes.

Or it is counted as dropped, and the end is an error. Over real sockets, with longwire
on either side, over both engines, plain and with TLS.
"""

from __future__ import annotations

import fcntl
import os
import random
import struct
import termios
import zlib
from typing import Any

import pytest

from longwire import (
    Cause,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
)
from tests.support.frontends import Endpoint, Links, until
from tests.support.rawpeer import BINARY, CLOSE, TEXT, RawPeer

OFFER = (
    b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
    b"client_no_context_takeover"
)


@pytest.fixture(params=["native", "transport"], autouse=True)
def engine(
    request: pytest.FixtureRequest, front: Any, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Run the test over each engine of asyncio."""
    if front.name != "asyncio" and request.param != "native":
        pytest.skip(f"{front.name} has no engines")
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)
    return str(request.param)


def noise(number: int) -> bytes:
    return b"%d " % number + random.Random(number).randbytes(700)


def deflated(payload: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -12)
    data = squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(b"\x00\x00\xff\xff")


class Talk:
    """What a peer says: payloads, and the frames that bring them."""

    def __init__(self, peer: RawPeer, kind: str, count: int) -> None:
        if kind == "plain":
            self.payloads = [noise(n) for n in range(count)]
            self.frames = [peer.frame(BINARY, each) for each in self.payloads]
        else:
            # More than the queue holds, in less than one read.
            self.payloads = [b"%d " % n + bytes(200_000) for n in range(count)]
            self.frames = [
                peer.frame(BINARY, deflated(each), rsv=4) for each in self.payloads
            ]


def received(ours: Endpoint) -> tuple[list[Any], ConnectionClosed]:
    """Return all that can be received, and how it ends."""
    got = []
    while True:
        try:
            got.append(ours.recv())
        except ConnectionClosed as exc:
            return got, exc


def has_read_the_end(ours: Endpoint) -> bool:
    """Whether the end of TCP was read, or reading has stopped before it."""
    session = ours.raw._session
    return session.got_eof or not session.wants_reading


def say(ours: Endpoint, peer: RawPeer, wires: list[bytes]) -> None:
    """Send each when what was sent before was read, or when reading has stopped."""
    protocol = ours.raw._session.protocol
    for wire in wires:
        sent = protocol.bytes_received + len(wire)
        peer.write(wire)
        until(lambda sent=sent: protocol.bytes_received >= sent, 0.2)


def taken_by_tcp(peer: RawPeer) -> bool:
    """Whether the other end's system has acknowledged all that was sent."""
    unsent = struct.unpack("i", fcntl.ioctl(peer.sock, termios.TIOCOUTQ, b"\0\0\0\0"))[
        0
    ]
    return bool(unsent == 0)


def is_tls_of_uvloop(wire: dict[str, Any], engine: str) -> bool:
    """Whether uvloop does TLS itself, and drops what nobody reads as TCP ends."""
    loop = os.environ.get("LONGWIRE_TEST_LOOP")
    return bool(wire) and engine == "transport" and loop == "uvloop"


def assert_cut_with_an_error(
    ours: Endpoint, got: list[Any], sent: list[Any], exc: BaseException | None
) -> None:
    assert got == sent[: len(got)]
    assert type(exc) is ConnectionClosedError
    assert ours.wait_report().cause is Cause.NETWORK


# --- a peer that goes in peace ---


@pytest.mark.parametrize("kind", ["plain", "compressed"])
@pytest.mark.parametrize("end", ["close frame", "half-close", "close"])
def test_a_close_frame_behind_a_full_queue_loses_nothing(
    link: Links, wire: dict[str, Any], engine: str, kind: str, end: str
) -> None:
    ours, peer = link(OFFER, close_timeout=5, **wire)
    talk = Talk(peer, kind, 60)
    goodbye = peer.frame(CLOSE, b"\x03\xe8")

    say(ours, peer, [b"".join(talk.frames[:50]), b"".join(talk.frames[50:]) + goodbye])
    if end == "half-close" and not wire:
        peer.end()
    elif end != "close frame":
        peer.close()
    got, exc = received(ours)

    if got != talk.payloads and is_tls_of_uvloop(wire, engine):
        assert_cut_with_an_error(ours, got, talk.payloads, exc)
        return
    assert got == talk.payloads
    assert type(exc) is ConnectionClosedOK
    peer.close()
    report = ours.wait_report()
    assert (report.cause, report.code) == (Cause.PEER, 1000)
    assert (report.messages_received, report.received_dropped) == (60, 0)


@pytest.mark.parametrize("kind", ["plain", "compressed"])
def test_the_end_of_tcp_without_a_close_frame_comes_behind_all_messages(
    link: Links, wire: dict[str, Any], engine: str, kind: str
) -> None:
    ours, peer = link(OFFER, **wire)
    talk = Talk(peer, kind, 60)

    say(ours, peer, [b"".join(talk.frames)])
    peer.close()
    until(lambda: ours.raw._session.got_eof, 1)
    got, exc = received(ours)

    if got != talk.payloads and is_tls_of_uvloop(wire, engine):
        assert_cut_with_an_error(ours, got, talk.payloads, exc)
        return
    assert got == talk.payloads
    assert type(exc) is ConnectionClosedError
    assert ours.wait_report().cause is Cause.NETWORK


@pytest.mark.parametrize("kind", ["plain", "compressed"])
def test_a_fault_behind_a_full_queue_loses_nothing_before_it(
    link: Links, kind: str
) -> None:
    ours, peer = link(OFFER)
    talk = Talk(peer, kind, 60)

    say(ours, peer, [b"".join(talk.frames), peer.frame(3) + talk.frames[0]])
    peer.end()
    got, exc = received(ours)

    assert got == talk.payloads
    assert type(exc) is ConnectionClosedError
    peer.close()
    report = ours.wait_report()
    assert (report.cause, report.received_dropped) == (Cause.PEER_ERROR, 0)


def test_the_end_is_not_told_before_it_is_reached(link: Links) -> None:
    ours, peer = link(OFFER)
    talk = Talk(peer, "compressed", 60)
    say(ours, peer, [b"".join(talk.frames) + peer.frame(CLOSE, b"\x03\xe8")])
    peer.close()
    until(lambda: has_read_the_end(ours))

    for payload in talk.payloads[:20]:
        assert ours.raw.close_report is None
        assert ours.recv() == payload

    got, exc = received(ours)
    assert got == talk.payloads[20:]
    assert type(exc) is ConnectionClosedOK


# --- a peer that goes without a word ---


@pytest.mark.parametrize("writing", [False, True])
def test_a_reset_loses_nothing_that_tcp_has_acknowledged(
    link: Links, writing: bool
) -> None:
    ours, peer = link(ping_interval=None)
    talk = Talk(peer, "plain", 60)
    say(ours, peer, [b"".join(talk.frames[n : n + 20]) for n in (0, 20, 40)])
    assert until(lambda: taken_by_tcp(peer))

    peer.reset()
    if writing:  # which tells us of the reset, while we do not read
        with pytest.raises(ConnectionClosed):
            for _ in range(1000):
                ours.send("are you there?")
    got, exc = received(ours)

    assert got == talk.payloads
    assert type(exc) is ConnectionClosedError
    report = ours.wait_report()
    assert (report.cause, report.messages_received) == (Cause.NETWORK, 60)


def test_a_reset_over_tls_is_an_error_behind_what_was_read(
    link: Links, certificates: Any
) -> None:
    ours, peer = link(tls=certificates, ping_interval=None)
    talk = Talk(peer, "plain", 60)
    say(ours, peer, [b"".join(talk.frames[n : n + 20]) for n in (0, 20, 40)])

    peer.reset()
    got, exc = received(ours)

    assert got == talk.payloads[: len(got)]
    assert len(got) >= 16
    assert type(exc) is ConnectionClosedError


# --- we go ---


@pytest.mark.parametrize("kind", ["plain", "compressed"])
def test_who_closes_without_reading_finds_the_close_frame_and_counts_the_rest(
    link: Links, wire: dict[str, Any], kind: str
) -> None:
    ours, peer = link(OFFER, close_timeout=10, **wire)
    talk = Talk(peer, kind, 60)
    say(ours, peer, [b"".join(talk.frames[:30])])

    closing = ours.start("close")
    peer.write(b"".join(talk.frames[30:]))
    assert peer.read_close() == (1000, "")
    peer.send_close(1000)
    peer.close()
    closing.result()

    with pytest.raises(ConnectionClosedError, match="1000"):
        ours.iterate()
    report = ours.wait_report()
    assert (report.rcvd.code, report.sent.code) == (1000, 1000)
    assert report.messages_received == 60
    assert 0 < report.received_dropped == report.messages_dropped < 60
    assert "dropped unread" in report.detail and "dropped unread" in str(report)


def test_what_fits_in_the_queue_is_received_after_closing(link: Links) -> None:
    ours, peer = link()
    peer.write(b"".join(peer.frame(TEXT, b"%d" % n) for n in range(10)))
    until(lambda: ours.raw._session.inbox.whole == 10)

    closing = ours.start("close")
    peer.read_close()
    peer.send_close(1000)
    peer.close()
    closing.result()

    assert ours.iterate() == [str(n) for n in range(10)]
    assert ours.wait_report().received_dropped == 0


def test_who_is_cut_off_is_told_how_much_it_missed(link: Links) -> None:
    ours, peer = link(OFFER, close_timeout=0.2)
    talk = Talk(peer, "compressed", 60)
    say(ours, peer, [b"".join(talk.frames)])

    ours.cut_off("given up")
    got, exc = received(ours)

    assert got == talk.payloads[: len(got)]
    report = ours.wait_report()
    assert len(got) + report.received_dropped == 60
    assert type(exc) is ConnectionClosedError


def test_waiting_for_the_end_does_not_wait_for_a_reader_who_never_comes(
    link: Links,
) -> None:
    ours, peer = link(OFFER, close_timeout=0.3)
    talk = Talk(peer, "compressed", 60)
    say(ours, peer, [b"".join(talk.frames) + peer.frame(CLOSE, b"\x03\xe8")])

    peer.reset()
    until(lambda: has_read_the_end(ours))
    # Who writes learns of it at once, who waits for the end soon.
    with pytest.raises(ConnectionClosed):
        for _ in range(1000):
            ours.send("are you there?")
    ours.wait_closed()
    ours.close()

    report = ours.raw.close_report
    assert report.received_dropped > 0
    got, exc = received(ours)
    assert len(got) + report.received_dropped == 60
    assert type(exc) is ConnectionClosedError
