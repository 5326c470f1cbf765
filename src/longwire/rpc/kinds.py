"""Kinds: which annotations can be read and written, found when a route is made.

What no codec could ever read is a TypeError at registration: later it would look like a
fault of whoever calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from .foreign import hook_for

__all__ = ["NO_HOOKS", "Hooks", "check_readable", "check_writable", "parts_of"]

# What a decoder without a hook makes of JSON or MessagePack.
_BUILTIN = (dict, list, str, int, float, bool, type(None))


class Hooks(NamedTuple):
    """Whether an application reads and writes types of its own by hooks."""

    reads: bool
    writes: bool


NO_HOOKS = Hooks(False, False)


def check_readable(kind: Any, hooks: Hooks) -> None:
    """Raise TypeError, which says why, for a type that arguments cannot have."""
    if hook_for(kind) is not None:
        return
    msgspec.json.Decoder(kind)
    if hooks.reads:
        return
    unknown = _unknown(kind)
    if unknown is not None:
        raise TypeError(
            f"values of type {unknown.__qualname__} cannot be read: annotate it as "
            "what comes over the wire, or give a dec_hook that reads it"
        )


def check_writable(kind: Any, hooks: Hooks) -> None:
    """Raise TypeError, which says why, for a type that results cannot have."""
    if hook_for(kind) is not None:
        return
    msgspec.json.Decoder(kind)  # results are converted to it
    if hooks.writes:
        return
    unknown = _unknown(kind)
    if unknown is not None:
        raise TypeError(
            f"values of type {unknown.__qualname__} cannot be written: annotate it "
            "as what goes over the wire, or give an enc_hook that writes it"
        )


def _unknown(kind: Any) -> type | None:
    """Return a class in ``kind`` that msgspec knows nothing of."""
    for part in parts_of(kind):
        if isinstance(part, inspect.CustomType) and not _is_builtin(part.cls):
            return part.cls
    return None


def _is_builtin(cls: type) -> bool:
    """Whether ``cls`` is an abstract class of what a decoder makes, as object is."""
    try:
        return any(issubclass(builtin, cls) for builtin in _BUILTIN)
    except TypeError:  # a protocol that cannot be checked
        return False


def parts_of(kind: Any) -> Iterator[inspect.Type]:
    """Yield msgspec's description of a type and of all types in it, each once."""
    seen: set[int] = set()
    left: list[Any] = [inspect.type_info(kind)]
    while left:
        part = left.pop()
        if isinstance(part, tuple):
            left += part
        elif isinstance(part, (inspect.Type, inspect.Field)) and id(part) not in seen:
            seen.add(id(part))
            if isinstance(part, inspect.Type):
                yield part
            left += [getattr(part, name) for name in part.__struct_fields__]
