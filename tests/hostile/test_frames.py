"""Malformed frames of every class, against the server and against the client."""

from __future__ import annotations

import random
import zlib
from typing import Any, NamedTuple

import pytest

from longwire import Cause
from tests.support.frontends import Links
from tests.support.rawpeer import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame

OFFER = (
    b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
    b"client_no_context_takeover"
)


class F(NamedTuple):
    """One frame to be masked by whoever sends it."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    size: int | None = None
    wrong_mask: bool = False
    header: bytes = b""


def encoded(frames: Any, mask: bool) -> bytes:
    return b"".join(
        raw_header(f, mask)
        if f.header
        else frame(
            f.opcode, f.payload, fin=f.fin, rsv=f.rsv, size=f.size,
            mask=mask != f.wrong_mask,
        )
        for f in frames
    )  # fmt: skip


def raw_header(f: F, mask: bool) -> bytes:
    """Return ``header``, with the mask's bit and four bytes of it where they belong."""
    first, second = f.header[:2]
    data = bytes([first, second | (0x80 if mask else 0)]) + f.header[2:]
    return data + (b"\0\0\0\0" if mask else b"") + f.payload


FAULTS: dict[str, tuple[tuple[F, ...], int]] = {
    "masked by the wrong side": ((F(TEXT, b"x", wrong_mask=True),), 1002),
    "reserved bit 1": ((F(TEXT, b"x", rsv=4),), 1002),
    "reserved bit 2": ((F(TEXT, b"x", rsv=2),), 1002),
    "reserved bit 3": ((F(TEXT, b"x", rsv=1),), 1002),
    "reserved bit on a ping": ((F(PING, b"x", rsv=4),), 1002),
    **{f"opcode {n}": ((F(n, b"x"),), 1002) for n in (3, 4, 5, 6, 7)},
    **{f"opcode {n}": ((F(n, b"x"),), 1002) for n in (11, 12, 13, 14, 15)},
    "fragmented ping": ((F(PING, b"x", fin=False),), 1002),
    "fragmented pong": ((F(PONG, b"x", fin=False),), 1002),
    "fragmented close": ((F(CLOSE, b"", fin=False),), 1002),
    "ping of 126 bytes": ((F(PING, b"x" * 126),), 1002),
    "pong of 126 bytes": ((F(PONG, b"x" * 126),), 1002),
    "close of 126 bytes": ((F(CLOSE, b"\x03\xe8" + b"x" * 124),), 1002),
    "continuation of nothing": ((F(CONT, b"x"),), 1002),
    "text within text": ((F(TEXT, b"x", fin=False), F(TEXT, b"x")), 1002),
    "binary within text": ((F(TEXT, b"x", fin=False), F(BINARY, b"x")), 1002),
    "continuation after the end": (
        (F(TEXT, b"x", fin=False), F(CONT, b"x"), F(CONT, b"x")),
        1002,
    ),
    "16-bit length of 125": ((F(0, b"x" * 125, header=b"\x82\x7e\x00\x7d"),), 1002),
    "64-bit length of 65535": (
        (F(0, b"x", header=b"\x82\x7f" + (65535).to_bytes(8, "big")),),
        1002,
    ),
    "64-bit length of 0": ((F(0, b"", header=b"\x82\x7f" + b"\0" * 8),), 1002),
    "length with the top bit": ((F(0, b"", header=b"\x82\x7f" + b"\xff" * 8),), 1002),
    "close of 1 byte": ((F(CLOSE, b"\x03"),), 1002),
    **{
        f"close code {code}": ((F(CLOSE, code.to_bytes(2, "big")),), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    },
    "close reason that is not UTF-8": ((F(CLOSE, b"\x03\xe8\xff"),), 1007),
    "text that is not UTF-8": ((F(TEXT, b"abc\xff"),), 1007),
    "text that ends in a character": ((F(TEXT, b"abc\xc3"),), 1007),
    "surrogates": ((F(TEXT, b"\xed\xa0\x80"),), 1007),
    "overlong UTF-8": ((F(TEXT, b"\xc0\xaf"),), 1007),
    "above U+10FFFF": ((F(TEXT, b"\xf4\x90\x80\x80"),), 1007),
    "bad UTF-8 in a later fragment": (
        (F(TEXT, b"abc\xe2\x82", fin=False), F(CONT, b"x")),
        1007,
    ),
}

DEFLATE_FAULTS: dict[str, tuple[tuple[F, ...], int]] = {
    "compressed ping": ((F(PING, b"x", rsv=4),), 1002),
    "compressed continuation": (
        (F(TEXT, b"x", fin=False), F(CONT, b"x", rsv=4)),
        1002,
    ),
    "not deflate": ((F(BINARY, b"\xff" * 20, rsv=4),), 1007),
    "a stored block that lies": ((F(BINARY, b"\x00\x05\x00\x00\x00", rsv=4),), 1007),
    "a distance too far back": ((F(BINARY, b"\x03\x82\x00", rsv=4),), 1007),
    "inflates to bad UTF-8": (
        (F(TEXT, zlib.compress(b"\xff" * 50, wbits=-15), rsv=4),),
        1007,
    ),
}


@pytest.mark.parametrize("way", ["whole", "byte by byte", "with more behind it"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_malformed_frame_ends_its_connection(
    link: Links, name: str, way: str
) -> None:
    frames, code = FAULTS[name]

    check_fault(link, frames, code, way)


@pytest.mark.parametrize("way", ["whole", "with more behind it"])
@pytest.mark.parametrize("name", DEFLATE_FAULTS)
def test_a_malformed_compressed_frame_ends_its_connection(
    link: Links, name: str, way: str
) -> None:
    frames, code = DEFLATE_FAULTS[name]

    check_fault(link, frames, code, way, OFFER)


def check_fault(link: Links, frames: Any, code: int, way: str, *headers: bytes) -> None:
    ours, peer = link(*headers, close_timeout=0.3)
    ours.start("iterate")
    data = encoded(frames, mask=peer.client)
    if way == "byte by byte":
        for at in range(min(len(data), 24)):
            peer.write(data[at : at + 1])
        peer.push(data[24:], len(data) - 24) if len(data) > 24 else None
    else:
        peer.write(data + (b"\x88\x80\xff" * 500 if way != "whole" else b""))

    found, reason = peer.read_close()

    assert found == code
    assert reason
    peer.close()
    report = ours.wait_report()
    assert report.cause is Cause.PEER_ERROR
    assert report.detail


def test_noise_is_never_more_than_a_fault(link: Links) -> None:
    dice = random.Random(7692)
    for _ in range(40):
        ours, peer = link(OFFER, close_timeout=0.3)
        ours.start("iterate")

        peer.write(dice.randbytes(dice.choice([3, 50, 3000])))
        peer.end()
        peer.read_all()
        peer.close()

        assert ours.wait_report().cause in (
            Cause.PEER_ERROR,
            Cause.LIMIT,
            Cause.NETWORK,
            Cause.PEER,
        )


def test_good_frames_with_random_damage_are_never_more_than_a_fault(
    link: Links,
) -> None:
    dice = random.Random(1)
    for _ in range(40):
        ours, peer = link(OFFER, close_timeout=0.3)
        ours.start("iterate")
        good = bytearray(
            encoded(
                [
                    F(TEXT, b"hello"),
                    F(TEXT, zlib.compress(b"x" * 500, wbits=-15), rsv=4),
                    F(BINARY, b"a" * 300, fin=False),
                    F(PING, b"p"),
                    F(CONT, b"b" * 70_000),
                    F(CLOSE, b"\x03\xe8"),
                ],
                mask=peer.client,
            )
        )
        for _ in range(3):
            good[dice.randrange(len(good) if dice.random() < 0.3 else 400)] ^= (
                1 << dice.randrange(8)
            )

        peer.write(bytes(good))
        peer.end()
        peer.read_all()
        peer.close()

        assert ours.wait_report() is not None
