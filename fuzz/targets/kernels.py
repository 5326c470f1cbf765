"""Kernels: what is written in C does what a line of Python says, and stays in bounds.

A payload held in pieces, masked or not, comes out as the joined pieces; as text it is
refused with the first piece that no further byte could make UTF-8. Masking and building
of frames likewise, at every alignment. Arguments that point outside of a buffer are
refused, never followed (the interpreted twins, which slice, do not look).
"""

from __future__ import annotations

import operator
from typing import Any

from fuzz import reference
from fuzz.builds import Build
from fuzz.choices import Choices

# So that a short input crosses the blocks that the kernels work in.
REPEATS = (1, 1, 2, 7, 128, 1000, 1024)
ANNOUNCED = (0, -1, 1, 100, 5000, 1 << 40, (1 << 63) - 1)
TAILS = (b"", b"\xe2", b"\xf0\x90", b"\xf0\x90\x8d")
MOST = 1 << 16  # bytes held in one run


def check(data: bytes, build: Build) -> list[Any]:
    """Decisions: the kernel, then its arguments."""
    choices = Choices(data)
    return choices.pick((hold, mask, build_frame))(choices, build)


def _xor(data: bytes, key: bytes, offset: int = 0) -> bytes:
    turn = offset % 4
    stream = (key * 2)[turn : turn + 4] * (len(data) // 4 + 1)
    return bytes(map(operator.xor, data, stream))


def hold(choices: Choices, build: Build) -> list[Any]:
    """Text or not, a tail, a key; then pieces: padding before, bytes, announcement."""
    text = bool(choices.byte() & 1)
    tail = choices.pick(TAILS) if text else b""
    key = choices.take(4) if choices.byte() & 1 else b""
    key = key.ljust(4, b"k") if key else b""
    held = build.held.Held(text, tail)
    expected, offset = tail, 0
    while choices and len(expected) < MOST:
        before = choices.byte() & 15
        piece = choices.take(choices.byte()) * choices.pick(REPEATS)
        more = choices.pick(ANNOUNCED)
        wire = bytes(before) + (_xor(piece, key, offset) if key else piece) + b"xy"
        expected += piece
        good = not text or reference.is_utf8_so_far(expected)
        try:
            held.add(wire, before, len(piece), key, offset, more)
        except UnicodeDecodeError:
            assert not good, "text is refused too early"
            return ["refused", len(expected)]
        assert good, "text is not refused in time"
        assert held.size == len(expected)
        offset += len(piece)
    left = bytes(held.tail) if text else b""
    assert expected.endswith(left) and len(left) < 4
    whole = expected[: len(expected) - len(left)]
    taken = held.take()
    assert taken == (whole.decode() if text else whole), "not what was put in"
    assert hash(taken) == hash(type(taken)().join([taken[:1], taken[1:]]))
    return [taken, left]


def mask(choices: Choices, build: Build) -> list[Any]:
    """A key, an offset, where in the buffer a payload is; then the buffer."""
    masking = build.masking
    key = choices.take(4).ljust(4, b"k")
    offset = choices.byte() | choices.byte() << 55
    start, cut = choices.byte(), choices.byte() & 15
    buffer = choices.rest()
    assert masking.apply_mask(buffer, key, offset) == _xor(buffer, key, offset)

    size = len(buffer) - start - cut
    if start < 4 or size < 0:
        if build.name == "compiled":
            _refuses(masking.unmask, buffer, start - (start & 128) * 2, size)
            _refuses(masking.unmask_text, buffer, start - (start & 128) * 2, size)
        return []
    plain = _xor(buffer[start : start + size], buffer[start - 4 : start])
    assert masking.unmask(buffer, start, size) == plain
    texts = [
        _decoded(masking.unmask_text, buffer, start, size),
        _decoded(masking.read_text, buffer, start, size),
    ]
    assert texts[0] == _decoded(plain.decode)
    assert texts[1] == _decoded(buffer[start : start + size].decode)
    return texts


def _refuses(call: Any, *args: Any) -> None:
    try:
        call(*args)
    except IndexError:
        return
    raise AssertionError(f"{call} read outside of its buffer: {args[1:]}")


def _decoded(call: Any, *args: Any) -> str | None:
    try:
        return call(*args)  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        return None


def build_frame(choices: Choices, build: Build) -> list[Any]:
    """First byte, where the key is, repetition, keys; then the payload."""
    masking = build.masking
    first, at = choices.byte(), choices.byte() % 12 - 1
    repeat = choices.pick(REPEATS)
    keys = choices.take(8)
    payload = choices.rest() * repeat
    if at >= 0 and at > len(keys) - 4:
        if build.name == "compiled":
            _refuses(masking.build_frame, first, payload, keys, at)
            _refuses(masking.build_header, first, len(payload), keys, at)
        return []
    made = masking.build_frame(first, payload, keys, at)
    key = b"" if at < 0 else keys[at : at + 4]
    body = _xor(payload, key) if key else payload
    head = made[: len(made) - len(body)]
    assert made[len(head) :] == body and head.endswith(key)
    assert head == masking.build_header(first, len(payload), keys, at)
    assert len(head) - len(key) == (
        2 if len(payload) < 126 else 4 if len(payload) < 65536 else 10
    )
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return [made[:64]]
    assert masking.build_frame(first, text, keys, at) == made
    return [made[:64]]
