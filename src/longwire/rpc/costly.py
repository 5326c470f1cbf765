"""Costly input: values that would take far longer to read than others of their size.

Two are known. ``msgspec`` reads most numbers of JSON in nanoseconds, but those near the
end of the range (1e290 and more), and some with many digits and a large exponent, by
arithmetic on long decimals: 10 us each, 2 us for a byte, so that 256 KiB would take
half a second. The standard library has another way, 0.1 us for a byte at most. And
integers as keys of a dict can be chosen so that all of them collide, which makes the
time square; texts and bytes cannot, for their hashes are seeded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import inspect

from .kinds import parts_of

__all__ = ["guarded_json", "guarded_msgpack", "has_extreme_number", "skip_value"]

Decode = Callable[[Any], Any]

# --- numbers of JSON -------------------------------------------------------------

# Digits and signs alike, so that one search finds what may be a large exponent.
_SHAPES = bytes.maketrans(b"123456789E+-", b"000000000e00")
# An exponent of three digits or more, where a number ends: not in a UUID.
_EXTREME = re.compile(rb"[0-9][eE][+-]?[0-9]{3,}(?:[\s,\]}]|\Z)")
_MAX_EXTREME = 1000
"""Extreme numbers among decimals, which have to be read from their digits."""

_QUOTE, _SMALL_E, _LARGE_E = b'"eE'
# Of msgspec.Raw, too; half as long as bytes().
_as_bytes = b"".join


def has_extreme_number(raw: Any) -> bool:
    """Whether JSON may have numbers that take ``msgspec`` long; mostly False."""
    data = _as_bytes((raw,))
    # An integer is looked for in a tenth of the time that bytes are.
    if not data or data[0] == _QUOTE or (_SMALL_E not in data and _LARGE_E not in data):
        return False
    if data.translate(_SHAPES).find(b"0e000") < 0:
        return False
    return _EXTREME.search(data) is not None


def guarded_json(kind: Any, decode: Decode, dec_hook: Any) -> Decode:
    """Return what reads JSON as ``decode`` does, extreme numbers another way."""
    parts = list(parts_of(kind))
    if any(map(_has_odd_keys, parts)):
        decode = _few_keys(decode)
    found = {type(part) for part in parts}
    if not found & {inspect.FloatType, inspect.AnyType, inspect.CustomType}:
        return decode  # it has no floats: the first one is a wrong type
    if inspect.DecimalType in found:
        return _few_extreme(decode)
    plain = msgspec.json.Decoder(float_hook=_finite).decode

    def read(raw: Any) -> Any:
        if not has_extreme_number(raw):
            return decode(raw)
        value = plain(raw)
        if kind is Any:
            return value
        return msgspec.convert(value, kind, str_keys=True, dec_hook=dec_hook)

    return read


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise msgspec.ValidationError("Number out of range")
    return value


def _few_extreme(decode: Decode) -> Decode:
    """Return ``decode`` for types with decimals, which no float has the digits of."""

    def read(raw: Any) -> Any:
        if has_extreme_number(raw):
            count = sum(1 for _ in _EXTREME.finditer(bytes(raw)))
            if count > _MAX_EXTREME:
                raise msgspec.ValidationError(
                    f"More than {_MAX_EXTREME} numbers with exponents of 3 digits"
                )
        return decode(raw)

    return read


# --- keys of MessagePack, and of typed dicts -------------------------------------

_MAX_KEYS = 4096
"""Keys that are not texts in one dict; as many take 20 ms in the worst case."""

_LARGE_MAP = re.compile(rb"\xde[\x10-\xff]|\xdf")
_SCALARS = re.compile(rb"[\x00-\x7f\xc0\xc2\xc3\xe0-\xff]+")


def _has_odd_keys(part: inspect.Type) -> bool:
    """Whether it is a dict whose keys, texts in JSON, become something else."""
    seeded = (inspect.StrType, inspect.BytesType, inspect.AnyType)
    return isinstance(part, inspect.DictType) and not isinstance(part.key_type, seeded)


def _few_keys(decode: Decode) -> Decode:
    """Return ``decode`` for types with such dicts."""

    def read(raw: Any) -> Any:
        if bytes(raw).count(b":") > _MAX_KEYS:
            raise msgspec.ValidationError(
                f"More than {_MAX_KEYS} keys that are not texts"
            )
        return decode(raw)

    return read


def guarded_msgpack(kind: Any, decode: Decode) -> Decode:
    """Return what reads MessagePack as ``decode`` does, but for large odd maps."""
    found = list(parts_of(kind))
    free = (inspect.AnyType, inspect.CustomType, inspect.DictType)
    if not any(isinstance(part, free) for part in found):
        return decode

    def read(raw: Any) -> Any:
        data = bytes(raw)
        if len(data) > _MAX_KEYS and _LARGE_MAP.search(data):
            _check_keys(data)
        return decode(raw)

    return read


# Bytes of a value that begins with each byte, its own included; those with a length or
# a count behind it are in the tables below.
_SIZES = [1] * 256
for _first in range(0xA0, 0xC0):  # short texts
    _SIZES[_first] = 1 + (_first & 0x1F)
for _first, _size in (
    *((0xCA, 5), (0xCB, 9), (0xCC, 2), (0xCD, 3), (0xCE, 5), (0xCF, 9)),
    *((0xD0, 2), (0xD1, 3), (0xD2, 5), (0xD3, 9)),
    *((0xD4, 3), (0xD5, 4), (0xD6, 6), (0xD7, 10), (0xD8, 18)),
):
    _SIZES[_first] = _size
# Bytes of the length, and bytes of a type after it.
_LENGTHS = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0)}
_LENGTHS |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_LENGTHS |= {0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
# Bytes of the count, and values for each of it.
_COUNTS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
_SEEDED = frozenset([*range(0xA0, 0xC0), 0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB])
"""First bytes of texts and bytes, whose hashes nobody can choose."""


def _check_keys(data: bytes) -> None:
    """Raise ValidationError for a large map with keys that are not texts.

    What is not MessagePack is left to the decoder.
    """
    outer: list[tuple[int, bool]] = []
    pos, left, has_keys = 0, 1, False  # has_keys: of a large map, every other value
    size = len(data)
    while pos < size:
        while not left:
            if not outer:
                return
            left, has_keys = outer.pop()
        if not has_keys:
            run = _SCALARS.match(data, pos, min(size, pos + left))
            if run is not None:
                left -= run.end() - pos
                pos = run.end()
                continue
        first = data[pos]
        if has_keys and left % 2 == 0 and first not in _SEEDED:
            raise msgspec.ValidationError(
                f"More than {_MAX_KEYS} keys that are not texts"
            )
        left -= 1
        pos, count, is_map = skip_value(data, pos)
        if count:
            outer.append((left, has_keys))
            left, has_keys = count, is_map and count > 2 * _MAX_KEYS


def skip_value(data: bytes, pos: int) -> tuple[int, int, bool]:
    """Return where the next value of MessagePack begins, how many are inside of this
    one, and whether it is a map. A map or an array ends where the first in it begins.
    """
    first = data[pos]
    if 0x80 <= first <= 0x9F:  # a short map, a short array
        is_map = first < 0x90
        return pos + 1, (first & 0x0F) * (1 + is_map), is_map
    if first in _COUNTS:
        width, each = _COUNTS[first]
        count = int.from_bytes(data[pos + 1 : pos + 1 + width], "big")
        return pos + 1 + width, count * each, each == 2
    if first in _LENGTHS:
        width, more = _LENGTHS[first]
        length = int.from_bytes(data[pos + 1 : pos + 1 + width], "big")
        return pos + 1 + width + more + length, 0, False
    return pos + _SIZES[first], 0, False
