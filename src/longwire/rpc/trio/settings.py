"""Settings for trio."""

from __future__ import annotations

from typing import Any

import trio

from .. import settings as shared

__all__ = ["Settings"]


class Settings(shared.Settings):
    """What all connections share, with what limits the threads of routes.

    Receivers of signals are plain functions: there is no nursery that others could run
    in without being waited for.
    """

    def __init__(self, routes: Any = None, **options: Any) -> None:
        super().__init__(routes, **options)
        self.signals.only_plain()
        self.limiter = trio.CapacityLimiter(self._thread_count)
        # No connection has more than half of them.
        self.share = max(1, self._thread_count // 2)
