"""The loggers of this API: ``websockets.server`` and ``websockets.client``.

longwire's own are called ``longwire.server`` and ``longwire.client``; programs written
for the documented API configure these two, or ``websockets`` above them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["CLIENT", "SERVER", "logging_to"]

SERVER = "websockets.server"
CLIENT = "websockets.client"

P = ParamSpec("P")
T = TypeVar("T")


def logging_to(name: str, function: Callable[P, T]) -> Callable[P, T]:
    """Return ``function`` with another default for its keyword ``logger``."""

    @functools.wraps(function)
    def with_logger(*args: P.args, **kwargs: P.kwargs) -> T:
        if kwargs.get("logger") is None:
            kwargs["logger"] = name
        return function(*args, **kwargs)

    return with_logger
