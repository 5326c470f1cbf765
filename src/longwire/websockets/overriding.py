"""What a program's subclass has of its own: which hooks to call, which to refuse."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Generic, Self, TypeVar, overload

__all__ = ["Known", "overridden", "refuse"]

T = TypeVar("T")

# Packages whose classes are no program's.
_NOT_THEIRS = frozenset({"longwire", "asyncio", "builtins"})


def overridden(
    cls: type, names: Iterable[str], root: type | None = None
) -> frozenset[str]:
    """Return those of ``names`` that ``cls`` has from a class of the program's.

    With ``root``: from any class that is not one of ``root`` or above it.
    """
    return frozenset(name for name in names if _is_theirs(cls, name, root))


def _is_theirs(cls: type, name: str, root: type | None) -> bool:
    home = next((base for base in cls.__mro__ if name in vars(base)), None)
    if home is None:
        return False
    if root is not None:
        return home not in root.__mro__
    return home.__module__.partition(".")[0] not in _NOT_THEIRS


def refuse(cls: type, names: Iterable[str], instead: str) -> None:
    """Raise TypeError if ``cls`` overrides one of ``names``, which nobody calls."""
    wrong = sorted(overridden(cls, names))
    if wrong:
        raise TypeError(
            f"{cls.__qualname__} overrides {', '.join(wrong)}, "
            f"which would not be called here; {instead}"
        )


class Known(Generic[T]):
    """An attribute that is read from where its value is known, until somebody sets it.

    What is assigned to an instance, by the ``__init__`` of a subclass say, wins: so a
    program may have attributes of these names.
    """

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read
        functools.update_wrapper(self, read)  # type: ignore[arg-type]

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> Self | T:
        return self if instance is None else self._read(instance)
