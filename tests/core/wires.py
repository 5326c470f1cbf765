"""Bytes and protocols for the tests of the core, made without the core's encoder."""

from __future__ import annotations

from typing import Any

from longwire.core.deflate import Codec
from longwire.core.protocol import Protocol
from longwire.messages import Deflate

NO_MASK = b"\x00\x00\x00\x00"  # a key that leaves the payload readable in a test
RFC_KEY = b"\x37\xfa\x21\x3d"


def zeros(size: int) -> bytes:
    """Random bytes that are not: masks with them do nothing."""
    return bytes(size)


def server(deflate: Deflate | None = None, **options: Any) -> Protocol:
    codec = Codec(deflate, False) if deflate else None
    return Protocol(False, codec=codec, random_bytes=zeros, **options)


def client(deflate: Deflate | None = None, **options: Any) -> Protocol:
    codec = Codec(deflate, True) if deflate else None
    options.setdefault("random_bytes", zeros)
    return Protocol(True, codec=codec, **options)


def frame(first: int, payload: bytes = b"", key: bytes | None = None) -> bytes:
    """A frame with the shortest length; from a client if there is a key."""
    size = len(payload)
    flag = 0 if key is None else 0x80
    if size < 126:
        head = bytes([first, flag | size])
    elif size < 65536:
        head = bytes([first, flag | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, flag | 127]) + size.to_bytes(8, "big")
    if key is None:
        return head + payload
    return head + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))
