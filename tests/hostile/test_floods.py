"""Too much of something: announced, inflated, repeated, or never read."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from longwire import Cause, Limits
from tests.hostile.conftest import Serve, memory_below, until
from tests.support.frontends import Links
from tests.support.rawpeer import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    RawPeer,
    in_pieces,
)

OFFER = (
    b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
    b"client_no_context_takeover"
)
MIB = 1 << 20


def announced(peer: RawPeer, size: int) -> bytes:
    """Return the header of a binary frame of ``size`` bytes."""
    bit = 0x80 if peer.client else 0
    mask = b"\0\0\0\0" if peer.client else b""
    return bytes([0x82, bit | 127]) + size.to_bytes(8, "big") + mask


def bomb(size: int) -> bytes:
    """Return what inflates to ``size`` zeros, a thousandth as long."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [squeeze.compress(bytes(MIB)) for _ in range(size // MIB)]
    parts.append(squeeze.flush(zlib.Z_SYNC_FLUSH))
    return b"".join(parts).removesuffix(b"\x00\x00\xff\xff")


def keep_sending(peer: RawPeer, data: bytes, most: int) -> int:
    """Send ``data`` until ``most`` bytes are sent or the end comes; return how many."""
    sent = 0
    try:
        while sent < most:
            peer.write(data)
            sent += len(data)
    except OSError:
        pass  # cut off
    return sent


def test_an_announced_gibibyte_is_refused_at_once(link: Links) -> None:
    ours, peer = link(close_timeout=0.3)

    with memory_below(MIB):
        peer.write(announced(peer, 1 << 30))

        assert peer.read_close()[0] == 1009
    peer.close()
    assert ours.wait_report().limit == "message"


def test_an_announced_gibibyte_that_is_allowed_takes_what_has_arrived(
    link: Links,
) -> None:
    ours, peer = link(max_size=None, close_timeout=0.3)
    ours.start("recv", None, None)
    piece = bytes(65536)

    # At most four times of what has arrived, and what one read takes.
    with memory_below(9 * MIB):
        peer.write(announced(peer, 1 << 30))
        for _ in range(32):
            peer.write(piece)
        until(lambda: ours.raw._session.protocol.bytes_received > 2 * MIB)

    peer.close()
    assert ours.wait_report().cause is Cause.NETWORK


def test_a_dribbled_frame_costs_what_has_arrived(link: Links) -> None:
    ours, peer = link(close_timeout=0.3)
    ours.start("recv", None, None)

    with memory_below(MIB):
        peer.write(announced(peer, MIB))
        for _ in range(5_000):
            peer.write(b"\0")
        until(lambda: ours.raw._session.protocol.bytes_received > 5_000)

    peer.reset()
    assert ours.wait_report().cause is Cause.NETWORK


@pytest.mark.parametrize("fragments", [1, 100])
def test_a_decompression_bomb_is_refused(link: Links, fragments: int) -> None:
    ours, peer = link(OFFER, close_timeout=0.3)
    ours.start("recv", None, None)
    data = bomb(256 * MIB)

    with memory_below(8 * MIB):
        pieces = list(in_pieces(data, len(data) // fragments + 1))
        for at, piece in enumerate(pieces):
            last = at == len(pieces) - 1
            try:
                peer.send(CONT if at else BINARY, piece, fin=last, rsv=0 if at else 4)
            except OSError:
                break  # it has seen enough
        assert peer.read_close()[0] == 1009

    peer.close()
    report = ours.wait_report()
    assert (report.cause, report.limit) == (Cause.LIMIT, "message")


def test_bombs_within_the_limit_fill_the_queue_and_no_more(link: Links) -> None:
    ours, peer = link(OFFER, small=True, close_timeout=0.3)
    frame = peer.frame(BINARY, bomb(MIB), rsv=4)

    with memory_below(12 * MIB):
        # A gibibyte, if it were taken.
        sent = peer.push(frame, len(frame) * 1024, idle=1)

    assert sent < len(frame) * 1024
    assert len(ours.recv()) == MIB


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_endless_empty_fragments_are_cut_off(link: Links, opcode: int) -> None:
    ours, peer = link(close_timeout=0.3)
    ours.start("recv", None, None)

    with memory_below(8 * MIB):
        peer.send(opcode, b"", fin=False)
        keep_sending(peer, peer.frame(CONT, b"", fin=False) * 1000, 12 * MIB)
        ours.wait_closed()

    report = ours.wait_report()
    assert (report.limit, report.limit_value) == ("fragments", 4096)


def test_a_million_empty_messages_are_answered(attack: Serve) -> None:
    with attack() as victim:
        _, peer = victim.open()
        with memory_below(16 * MIB):
            frames = peer.frame(TEXT) * 2000
            # Where each answer is a system call of its own, it takes that much longer.
            for _ in range(100 if victim.front.name == "asyncio" else 5):
                peer.write(frames)
                got = 0
                while got < 4000:
                    got += len(peer.sock.recv(65536))
        peer.close()


def test_a_flood_of_pings_is_cut_off(attack: Serve) -> None:
    with attack() as victim:
        ours, peer = victim.open()

        with memory_below(8 * MIB):
            keep_sending(peer, peer.frame(PING, b"x" * 125) * 500, 32 * MIB)
            peer.close()
            report = ours.wait_report()

        assert (report.cause, report.limit) == (Cause.LIMIT, "pings_per_second")


def test_a_flood_of_pings_nobody_reads_the_pongs_of_is_bounded(link: Links) -> None:
    limits = Limits(pings_per_second=None)
    ours, peer = link(small=True, limits=limits, close_timeout=0.3, ping_interval=None)
    frames = peer.frame(PING, b"x" * 125) * 500

    with memory_below(8 * MIB):
        keep_sending(peer, frames, 16 * MIB)
        assert ours.unsent < MIB

    peer.close()
    ours.wait_closed()


def test_a_flood_of_pongs_is_harmless(attack: Serve) -> None:
    with attack() as victim:
        ours, peer = victim.open()

        with memory_below(8 * MIB):
            keep_sending(peer, peer.frame(PONG, b"x" * 125) * 500, 16 * MIB)
            peer.send(TEXT, b"still here")
            assert peer.read() == (TEXT, b"still here", True, 0)

        peer.close()
        ours.wait_closed()


def test_a_flood_of_close_frames_is_answered_once(attack: Serve) -> None:
    with attack() as victim:
        ours, peer = victim.open()

        keep_sending(peer, peer.frame(CLOSE, b"\x03\xe8") * 10_000, 8 * MIB)
        answer = peer.read_all()
        peer.close()

        assert answer in (b"\x88\x02\x03\xe8", b"")
        assert ours.wait_report().code == 1000


def test_a_flood_after_the_end_is_not_kept(attack: Serve) -> None:
    with attack() as victim:
        ours, peer = victim.open()
        peer.write(b"\xff\xff")

        with memory_below(4 * MIB):
            keep_sending(peer, b"\xff" * 65536, 64 * MIB)
            peer.close()
            ours.wait_closed()

        assert ours.raw.close_report.cause is Cause.PEER_ERROR


def test_who_asks_for_much_and_reads_nothing_is_bounded(attack: Serve) -> None:
    with attack(max_size=None, close_timeout=0.3) as victim:
        _, peer = victim.open()

        with memory_below(24 * MIB):
            sent = peer.push(peer.frame(BINARY, bytes(100_000)), 256 * MIB, idle=1)

        assert sent < 64 * MIB
        peer.reset()


@pytest.mark.parametrize("payload", [b"\0" * 1, b"\0" * 100])
def test_tiny_reads_of_many_frames_are_no_more_than_frames(
    attack: Serve, payload: Any
) -> None:
    with attack() as victim:
        _, peer = victim.open()
        with memory_below(4 * MIB):
            for _ in range(300):
                data = peer.frame(BINARY, payload)
                for piece in in_pieces(data, 3):
                    peer.write(piece)
            for _ in range(300):
                assert peer.read() == (BINARY, payload, True, 0)
        peer.close()
