"""Routes and settings for threads: plain functions and generators are called."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from .. import routes as base
from .. import settings as shared

__all__ = ["Routes", "Settings"]


class Routes(base.Routes):
    """Names and the functions and classes they call, each in a thread.

    As :class:`longwire.rpc.Routes`, but a stream is a plain generator, or a function
    that returns an iterator, and what would have to be awaited is a TypeError.
    """

    _blocking = True

    @classmethod
    def of(
        cls,
        routes: Any,
        *,
        enc_hook: Callable[[Any], Any] | None = None,
        dec_hook: Callable[[Any, Any], Any] | None = None,
    ) -> base.Routes:
        """Return ``routes`` as Routes; a copy of those of asyncio."""
        if isinstance(routes, base.Routes) and not isinstance(routes, Routes):
            own = cls(enc_hook=enc_hook, dec_hook=dec_hook)
            own.include(routes)
            return own
        return super().of(routes, enc_hook=enc_hook, dec_hook=dec_hook)

    def _enter(self, groups: dict[str, list[base.Route]]) -> None:
        for group in groups.values():
            for route in group:
                function = inspect.unwrap(route.function)
                if route.is_async or inspect.isasyncgenfunction(function):
                    raise TypeError(
                        f"{route.name}: a route that runs in a thread cannot be "
                        "asynchronous"
                    )
        super()._enter(groups)


class Settings(shared.Settings):
    """What all connections share, whatever threads they are in.

    ``lock`` guards the calls of all of them, for they have one budget. Nothing of the
    application's is called, and nothing is sent, while it is held.
    """

    routes_class: ClassVar[type[base.Routes]] = Routes

    may_await = False

    def __init__(self, routes: Any = None, **options: Any) -> None:
        super().__init__(routes, **options)
        self.signals.only_plain()
        self.lock = threading.RLock()
