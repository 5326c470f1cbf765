"""Masking: the XOR of RFC 6455 section 5.3, and copying while masking.

The reference for the kernel of the same name in ``masking.pyx``, which is used
instead when it is built. Knows frames only as a first byte, a length and a payload.
"""

from __future__ import annotations


def apply_mask(data: bytes, mask: bytes, offset: int = 0) -> bytes:
    """Return a copy of the data, each byte XORed with a byte of the mask.

    ``offset`` is the position of the first byte in its frame's payload: a payload
    may be masked in pieces. Masking twice gives the original.
    """
    size = len(data)
    turn = offset & 3
    stream = ((mask[turn:] + mask[:turn]) * (size // 4 + 1))[:size]
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
    return mixed.to_bytes(size, "little")


def unmask(buf: bytes, start: int, size: int) -> bytes:
    """Return the payload at buf[start:start+size], unmasked.

    The masking key is the four bytes before ``start``. The result is a copy;
    ``buf`` is not changed.
    """
    return apply_mask(buf[start : start + size], buf[start - 4 : start])


def unmask_text(buf: bytes, start: int, size: int) -> str:
    """Return the UTF-8 payload at buf[start:start+size], unmasked and decoded.

    The masking key is the four bytes before ``start``. Raises UnicodeDecodeError.
    """
    return unmask(buf, start, size).decode()


def read_text(buf: bytes, start: int, size: int) -> str:
    """Return the UTF-8 payload at buf[start:start+size], decoded; it is not masked.

    Raises UnicodeDecodeError.
    """
    return buf[start : start + size].decode()


def read_ascii(buf: bytes, start: int, size: int, masked: bool) -> str | None:
    """Return the payload at buf[start:start+size] as text if it is ASCII.

    The masking key, if any, is the four bytes before ``start``. None stands for other
    payloads, and for those too short to be worth the look: fewer than two bytes.
    """
    if size < 2:
        return None
    payload = unmask(buf, start, size) if masked else buf[start : start + size]
    return payload.decode() if payload.isascii() else None


def build_frame(first: int, payload: str | bytes, keys: bytes, at: int) -> bytes:
    """Return a whole frame: first byte, shortest length, mask, payload.

    A str becomes UTF-8. The masking key is keys[at:at+4]; if ``at`` is -1 the frame is
    not masked.
    """
    if isinstance(payload, str):
        payload = payload.encode()
    head = build_header(first, len(payload), keys, at)
    return head + (payload if at < 0 else apply_mask(payload, keys[at : at + 4]))


def build_header(first: int, size: int, keys: bytes, at: int) -> bytes:
    """Return what comes before the payload in a frame, as ``build_frame`` makes it.

    ``size`` is that of the payload, below 2**63.
    """
    flag = 0 if at < 0 else 0x80
    if size < 126:
        head = bytes((first, flag | size))
    elif size < 65536:
        head = bytes((first, flag | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, flag | 127)) + size.to_bytes(8, "big")
    return head if at < 0 else head + keys[at : at + 4]
