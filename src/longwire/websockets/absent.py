"""Names of a front end that longwire does not have: for trio.

Libraries import them beside those of asyncio and use what their program asks for. So
the names can be imported, subclassed and compared to; calling one says what is missing.
"""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["AbsentClass", "FrontEndAbsent", "absent"]

_ROOT = __name__.rpartition(".")[0]
_FOR = {"trio": "trio"}


class FrontEndAbsent(RuntimeError):
    """Something was called that longwire has on asyncio and for threads only."""

    def __init__(self, module: str, name: str) -> None:
        path = module.removeprefix(f"{_ROOT}.")
        front_end = path.partition(".")[0]
        instead = path.replace(front_end, "asyncio", 1)
        super().__init__(
            f"{path}.{name}() is not there yet: longwire.websockets has no front end "
            f"for {_FOR[front_end]}; use longwire.websockets.{instead} in an event "
            f"loop, or the package websockets itself"
        )


def absent(module: str, name: str) -> Any:
    """Return a function called ``name`` that says it is absent."""

    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise FrontEndAbsent(module, name)

    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__doc__ = "Not there yet: raises RuntimeError."
    return function


class AbsentClass:
    """A class of which there can be no objects yet.

    ``methods`` are names that a subclass or a test double expects it to have.
    """

    def __init_subclass__(cls, methods: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in methods.split():
            setattr(cls, name, absent(cls.__module__, f"{cls.__name__}.{name}"))

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # The documented class, where the program calls its own subclass of it.
        known = next(c for c in cls.__mro__ if c.__module__.startswith(f"{_ROOT}."))
        raise FrontEndAbsent(known.__module__, known.__name__)
