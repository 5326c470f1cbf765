"""Deflate: what is inflated is what zlib inflates, and never more than the limit.

Two halves. Any bytes as compressed messages: output equal to zlib's as long as it fits,
PayloadTooBig as soon as it does not, exactly at the limit; ProtocolError with 1007
where the bytes are no deflate stream. And any messages in any fragments, compressed by
one side: the other side gets them back. Either in one go or in as many as an allowance
makes of it, none of which has more than that.
"""

from __future__ import annotations

import zlib
from typing import Any

from fuzz.builds import Build
from fuzz.choices import Choices, split
from fuzz.targets.protocol import agreement
from longwire.errors import PayloadTooBig, ProtocolError
from longwire.messages import Deflate

TAIL = b"\x00\x00\xff\xff"
LIMITS = (-1, 0, 1, 2, 64, 1000, 4096, 65536)
# What a few bytes may inflate to without a limit, in a target that is to be fast.
MOST = 1 << 20


def check(data: bytes, build: Build) -> list[Any]:
    """Decisions: which half, side, compression; the rest is theirs."""
    choices = Choices(data)
    kind = choices.byte()
    deflate = agreement(choices) or Deflate()
    codec = build.deflate.Codec(deflate, bool(kind & 1))
    portion = (-1, 1, 50, 5000)[kind >> 2 & 3]
    if kind & 2:
        peer = build.deflate.Codec(deflate, not kind & 1)
        return _both_ways(codec, peer, portion, choices)
    return _inflate_anything(codec, portion, choices)


def _inflate(codec: Any, payload: bytes, fin: bool, limit: int, portion: int) -> bytes:
    """Return what it inflates to, in as many turns as the portions need."""
    codec.allowance = portion
    out: bytes = codec.decompress(payload, fin, limit)
    assert portion < 0 or len(out) <= portion, "more than a portion"
    parts, left = [out], limit - len(out)
    while codec.pending:
        assert codec.allowance == 0, "waits with something left"
        codec.allowance = portion
        out = codec.go_on(left if limit >= 0 else -1)
        assert len(out) <= portion, "more than a portion"
        parts.append(out)
        left -= len(out)
        if len(parts) > 2000:
            portion = MOST
    return b"".join(parts)


def _inflate_anything(codec: Any, portion: int, choices: Choices) -> list[Any]:
    """Messages as bytes: a limit, a number of fragments, their sizes and contents."""
    trace: list[Any] = []
    reference: Any = zlib.decompressobj(-codec.peer_bits)
    while choices:
        limit = choices.pick(LIMITS)
        pieces = 1 + choices.byte() % 3
        left = limit
        for number in range(pieces):
            fin = number == pieces - 1
            payload = choices.take(choices.byte() * (1 + 3 * (limit > 99)))
            expected = None
            if reference is not None:
                expected, reference = _expect(reference, payload, fin, left)
            found = _outcome(codec, payload, fin, left, portion)
            trace.append(found)
            if expected is not None:
                assert found == expected, f"{found!r} instead of {expected!r}"
            if not isinstance(found, bytes):
                return trace  # the connection has ended
            assert left < 0 or len(found) <= left, "more than the limit"
            if left >= 0:
                left -= len(found)
            if len(found) > MOST:
                return trace
        if reference is not None and not codec.keeps_theirs:
            reference = zlib.decompressobj(-codec.peer_bits)
    return trace


def _expect(
    reference: Any, payload: bytes, fin: bool, limit: int
) -> tuple[object, Any]:
    """Return what must come out, and zlib's object; None from where it is not sure."""
    data = payload + TAIL if fin else payload
    most = MOST if limit < 0 else limit + 1
    try:
        out = reference.decompress(data, most)
    except zlib.error:
        # Before the fault there may be more than the limit allows: either is right.
        return None, None
    if limit >= 0 and len(out) > limit:
        return PayloadTooBig, None
    # After an early end our codec goes on, zlib does not.
    return (None, None) if reference.eof else (out, reference)


def _outcome(codec: Any, payload: bytes, fin: bool, limit: int, portion: int) -> object:
    try:
        out = _inflate(codec, payload, fin, limit, portion)
    except PayloadTooBig:
        assert limit >= 0
        return PayloadTooBig
    except ProtocolError as exc:
        assert exc.code == 1007
        return ProtocolError
    assert type(out) is bytes
    return out


def _both_ways(codec: Any, peer: Any, portion: int, choices: Choices) -> list[Any]:
    """Messages as text; each comes back, given in the same or in other pieces."""
    trace: list[Any] = []
    while choices:
        pieces = 1 + choices.byte() % 3
        repeat = choices.pick((1, 1, 7, 300))
        back, how = b"", choices.byte()
        whole = b""
        for number in range(pieces):
            fin = number == pieces - 1
            payload = choices.take(choices.byte()) * repeat
            whole += payload
            sent = codec.compress(payload, fin)
            assert type(sent) is bytes and not (fin and sent.endswith(TAIL))
            trace.append(sent)
            # A frame may be read in parts; only its last one ends the message.
            parts = list(split(sent, how)) or [b""]
            for part in parts[:-1]:
                left = len(whole) - len(back)
                back += _inflate(peer, part, False, left, portion)
            left = len(whole) - len(back)
            back += _inflate(peer, parts[-1], fin, left, portion)
        assert back == whole, "what came back is not what was sent"
    return trace
