"""Memory: how many bytes a value takes in this process, nearly.

A JSON text of two bytes, ``[]``, is a list of 72 here: what is counted of arguments is
what they became. Stops counting at a limit, so that it takes no longer than that.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from sys import getsizeof
from typing import Any

__all__ = ["CALL", "SMALL", "size_of", "size_of_frame"]

CALL = 2048
"""Bytes of a call under way: its task, its frames, what the tables have of it."""
SMALL = 128
"""Arguments that came in so few bytes are not looked at: `CALL` has room for them."""

_COLLECTED = 16  # bytes of the garbage collector before each container
_SHARED = frozenset({bool, type(None)})
_FLAT = frozenset({bool, type(None), int, float, str, bytes})
_ABOVE, _BELOW = (256).__lt__, (-5).__gt__  # smaller integers exist once


def size_of_frame(frame: bytes) -> int:
    """Return the bytes that a frame takes while it waits to be sent.

    ``msgspec`` writes into a buffer that grows by half, and does not cut it.
    """
    return len(frame) * 3 // 2 + 128


def size_of(value: Any, limit: int) -> int:
    """Return the bytes that ``value`` and all it has take; over ``limit`` is enough."""
    total = 0
    seen: set[int] = set()
    left: list[Any] = [value]
    while left and total <= limit:
        item = left.pop()
        kind = type(item)
        if kind in _FLAT:
            total += 0 if kind in _SHARED else getsizeof(item)
            continue
        if id(item) in seen:
            continue
        seen.add(id(item))
        total += getsizeof(item) + _COLLECTED
        for inner in _inner(item, kind):
            kinds = set(map(type, inner))
            if kinds <= _FLAT:
                total += _flat(inner, kinds)
            else:
                left += inner
    return total


def _inner(item: Any, kind: type) -> Iterable[Any]:
    """Yield the collections of values that ``item`` has."""
    if kind in (list, tuple, set, frozenset):
        yield item
    elif kind is dict:
        yield item.keys()
        yield item.values()
    else:
        names = _field_names(kind)
        yield [getattr(item, name, None) for name in names]
        if not names:
            # Asking for it makes one where there was none: not for thousands of them.
            found = getattr(item, "__dict__", None)
            if type(found) is dict:
                yield [found]


@functools.cache
def _field_names(kind: type) -> tuple[str, ...]:
    """Return the names of what the instances of a class have, if it tells."""
    names: Any = getattr(kind, "__dataclass_fields__", None)
    if names is None:
        names = getattr(kind, "__struct_fields__", None)
    if names is None and hasattr(kind, "__attrs_attrs__"):
        names = [field.name for field in kind.__attrs_attrs__]
    if names is None:
        names = [name for base in kind.__mro__ for name in _slots_of(base)]
    return tuple(names)


def _slots_of(kind: type) -> list[str]:
    slots = kind.__dict__.get("__slots__", ())
    if isinstance(slots, str):
        return [slots]
    # A class may have an attribute of this name that says nothing of its slots.
    found = slots if isinstance(slots, Iterable) else ()
    return [name for name in found if isinstance(name, str)]


def _flat(items: Any, kinds: set[type]) -> int:
    """Return what values take that have no others inside of them."""
    if kinds <= _SHARED:
        return 0
    if kinds == {int}:
        count = sum(map(_ABOVE, items)) + sum(map(_BELOW, items))
        return 32 * count
    return sum(map(getsizeof, items))
