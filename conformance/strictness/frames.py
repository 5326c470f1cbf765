"""Frames that are not quite as usual, in both directions."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from .case import Case

MASK = b"\x37\xfa\x21\x3d"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

COMPRESSED = "compressed: "
"""How the names of cases begin that need permessage-deflate."""


class Frame(NamedTuple):
    """A frame before it is known which way it goes."""

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    mask: bool | None = None
    """None: as the direction has it."""
    length: bytes | None = None
    """The length as it is written; None: as it is to be."""


def to_bytes(frames: list[Frame], to_server: bool) -> bytes:
    """Return frames as bytes of one direction."""
    return b"".join(_to_bytes(frame, to_server) for frame in frames)


def _to_bytes(frame: Frame, to_server: bool) -> bytes:
    masked = to_server if frame.mask is None else frame.mask
    payload, length = frame.payload, frame.length or _length(len(frame.payload))
    first = frame.fin << 7 | frame.rsv << 4 | frame.opcode
    head = bytes([first, length[0] | masked << 7]) + length[1:]
    if not masked:
        return head + payload
    stream = (MASK * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return head + MASK + mixed.to_bytes(len(payload), "big")


def _length(size: int) -> bytes:
    if size < 126:
        return bytes([size])
    if size < 65536:
        return b"\x7e" + struct.pack("!H", size)
    return b"\x7f" + struct.pack("!Q", size)


def text(*parts: bytes) -> list[Frame]:
    """Return a text in fragments."""
    last = len(parts) - 1
    return [
        Frame(TEXT if at == 0 else 0, part, at == last) for at, part in enumerate(parts)
    ]


def close(code: int, reason: bytes = b"") -> list[Frame]:
    return [Frame(CLOSE, struct.pack("!H", code) + reason)]


def deflated(data: bytes) -> bytes:
    """Return a message compressed on its own (RFC 7692 section 7.2.1)."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -9)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def final_block(data: bytes) -> bytes:
    """Return a message whose last block says that it is the last (BFINAL)."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -9)
    return deflate.compress(data) + deflate.flush() + b"\0"


FAIL = "MUST fail the connection"
RSV = f"RFC 6455 5.2: reserved bits; {FAIL}"
OPCODE = f"RFC 6455 5.2: an unknown opcode; {FAIL}"
CONTROL = "RFC 6455 5.5: control frames MUST have 125 bytes or less, in one fragment"
SHORTEST = (
    "RFC 6455 5.2: the minimal number of bytes MUST be used for the length, "
    "so that a message has one form on the wire"
)
FRAGMENTS = "RFC 6455 5.4: a message, then its continuations"
UTF8 = f"RFC 6455 8.1: not UTF-8; {FAIL}"
CODES = "RFC 6455 7.4: MUST NOT be set, or not used"
LIMIT = "RFC 6455 10.4: MUST protect against exceeding limits"

# Names, frames, clauses.
MESSAGES = [
    ("a text", text(b"Hello"), ""),
    ("a text of no bytes", text(b""), ""),
    ("a binary message", [Frame(BINARY, bytes(range(256)))], ""),
    ("a message of 65,536 bytes", [Frame(BINARY, bytes(65536))], ""),
    ("a text in three fragments", text(b"a", b"b", b"c"), ""),
    ("fragments of no bytes", text(b"", b"", b""), ""),
    ("a ping between fragments", [text(b"a", b"")[0], Frame(PING), Frame(0, b"b")], ""),
    ("a pong between fragments", [text(b"a", b"")[0], Frame(PONG), Frame(0, b"b")], ""),
    ("a character split between fragments", text(b"\xc3", b"\xbc"), ""),
    ("100 fragments", text(*[b"a"] * 100), ""),
    ("5,000 fragments", text(*[b"a"] * 5000), LIMIT),
    ("a message of 2 MiB", [Frame(BINARY, bytes(2 << 20))], LIMIT),
    ("NUL in a text", text(b"a\0b"), ""),
    ("a byte order mark in a text", text(b"\xef\xbb\xbfa"), ""),
    *(
        (f"text of {what}", text(data), UTF8)
        for what, data in [
            ("a byte that is not UTF-8", b"a\xff"),
            ("half a character", b"a\xc3"),
            ("an overlong slash", b"\xc0\xaf"),
            ("a surrogate", b"\xed\xa0\x80"),
            ("a code point beyond Unicode", b"\xf4\x90\x80\x80"),
        ]
    ),
    ("a first fragment that is not UTF-8", text(b"\xff", b"a"), UTF8),
    ("a continuation of nothing", [Frame(0, b"a")], FRAGMENTS),
    ("a text inside a text", [text(b"a", b"")[0], *text(b"b")], FRAGMENTS),
]
HEADERS = [
    ("RSV1 without compression", [Frame(TEXT, b"Hello", rsv=4)], RSV),
    ("RSV2", [Frame(TEXT, b"Hello", rsv=2)], RSV),
    ("RSV3", [Frame(TEXT, b"Hello", rsv=1)], RSV),
    ("RSV2 on a ping", [Frame(PING, b"p", rsv=2)], RSV),
    *((f"opcode {code}", [Frame(code, b"a")], OPCODE) for code in (3, 7, 11, 15)),
    (
        "a length of 16 bits that fits in 7",
        [Frame(TEXT, b"Hello", length=b"\x7e\x00\x05")],
        SHORTEST,
    ),
    (
        "a length of 64 bits that fits in 7",
        [Frame(TEXT, b"Hello", length=b"\x7f" + bytes(7) + b"\x05")],
        SHORTEST,
    ),
    (
        "a length of 64 bits that fits in 16",
        [Frame(BINARY, bytes(200), length=b"\x7f" + bytes(7) + b"\xc8")],
        SHORTEST,
    ),
    (
        "a length of 64 bits, the first set",
        [Frame(BINARY, bytes(8), length=b"\x7f\x80" + bytes(7))],
        "RFC 6455 5.2: the most significant bit MUST be 0",
    ),
    (
        "a length of 4 GiB",
        [Frame(BINARY, bytes(8), length=b"\x7f" + bytes(3) + b"\x01" + bytes(4))],
        LIMIT,
    ),
]
CONTROLS = [
    ("a ping", [Frame(PING, b"p")], ""),
    ("a ping of 125 bytes", [Frame(PING, b"p" * 125)], ""),
    ("a ping of 126 bytes", [Frame(PING, b"p" * 126)], CONTROL),
    ("a ping in fragments", [Frame(PING, b"p", fin=False), Frame(0, b"q")], CONTROL),
    ("a pong nobody asked for", [Frame(PONG, b"p")], ""),
    ("a pong of 126 bytes", [Frame(PONG, b"p" * 126)], CONTROL),
    *(
        (f"close code {code}", close(code), "")
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012)
    ),
    *(
        (f"close code {code}", close(code), "")
        for code in (1013, 1014, 3000, 3999, 4000, 4999)
    ),
    *(
        (f"close code {code}", close(code), CODES)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999)
    ),
    *((f"close code {code}", close(code), CODES) for code in (5000, 65535)),
    ("a close frame without a code", [Frame(CLOSE)], ""),
    (
        "a close frame of one byte",
        [Frame(CLOSE, b"\x03")],
        "RFC 6455 5.5.1: the first two bytes MUST be a code",
    ),
    ("a close reason that is not UTF-8", close(1000, b"\xff"), UTF8),
    ("a close reason of 123 bytes", close(1000, b"r" * 123), ""),
    ("a close reason of 124 bytes", close(1000, b"r" * 124), CONTROL),
    ("a message behind a close frame", [*close(1000), *text(b"a")], ""),
]
HELLO = deflated(b"Hello" * 9)
RSV1 = "RFC 7692 6: RSV1 on the first fragment of a message, and nowhere else"
BROKEN = "RFC 7692 7.2.2: cannot be decompressed"
DEFLATED = [
    ("a compressed text", [Frame(TEXT, HELLO, rsv=4)], ""),
    ("a text that is not", text(b"Hello"), ""),
    ("a text of no bytes", [Frame(TEXT, deflated(b""), rsv=4)], ""),
    ("a text of not one block", [Frame(TEXT, b"", rsv=4)], ""),
    (
        "a text in fragments",
        [Frame(TEXT, HELLO[:4], fin=False, rsv=4), Frame(0, HELLO[4:])],
        "",
    ),
    ("a text that ends its last block", [Frame(TEXT, final_block(b"a"), rsv=4)], ""),
    (
        "RSV1 on a continuation",
        [text(b"a", b"")[0], Frame(0, b"b", rsv=4)],
        RSV1,
    ),
    ("RSV1 on a ping", [Frame(PING, b"p", rsv=4)], RSV1),
    ("RSV1 and RSV2", [Frame(TEXT, HELLO, rsv=6)], RSV),
    ("what is no deflate", [Frame(TEXT, b"\xff" * 4, rsv=4)], BROKEN),
    ("a block that is cut", [Frame(TEXT, HELLO[:-3], rsv=4)], BROKEN),
    ("a text that is not UTF-8", [Frame(TEXT, deflated(b"\xff"), rsv=4)], UTF8),
    ("10 MiB in 10 KiB", [Frame(BINARY, deflated(bytes(10 << 20)), rsv=4)], LIMIT),
]
MASKS = {
    "to server": ("a frame that is not masked", False, "the server MUST close"),
    "to client": ("a frame that is masked", True, "the client MUST close"),
}


def cases(kind: str) -> list[Case]:
    """Return the cases of one direction."""
    to_server = kind == "to server"
    name, mask, must = MASKS[kind]
    unmasked = (name, [Frame(TEXT, b"Hello", mask=mask)], f"RFC 6455 5.1: {must}")
    plain = [*MESSAGES, *HEADERS, *CONTROLS, unmasked]
    compressed = [(COMPRESSED + name, *rest) for name, *rest in DEFLATED]
    return [
        Case(kind, name, to_bytes(frames, to_server), clause)
        for name, frames, clause in [*plain, *compressed]
    ]


FRAMES = cases("to server") + cases("to client")
