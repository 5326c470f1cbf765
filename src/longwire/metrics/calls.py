"""Calls: those that clients make of an rpc.Server, by the signals it has."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .counting import value_of_family
from .families import FAMILIES, Reading
from .histogram import Histogram

__all__ = ["Calls", "name_of"]

MAX_METHODS = 500
"""Methods that are counted by name; further ones, all together, as ``other``."""


class Calls:
    """The calls of all servers that are watched together."""

    def __init__(self) -> None:
        self._servers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._results: Counter[tuple[str, str]] = Counter()
        self._seconds: dict[str, Histogram] = {}
        self._under_way = 0

    def watch(self, server: Any) -> None:
        """Count the calls of ``server`` from now on; once, however often asked."""
        if server in self._servers:
            return
        self._servers.add(server)
        routes, signals = server.routes, server.signals

        def started(call: Any) -> None:
            self._under_way += 1

        def ended(call: Any, seconds: float) -> None:
            self._count(routes, call, seconds, "ok")

        def failed(call: Any, seconds: float, error: BaseException) -> None:
            self._count(routes, call, seconds, type(error).__name__)

        signals.call_started.connect(started)
        signals.call_ended.connect(ended)
        signals.call_failed.connect(failed)

    def _count(self, routes: Any, call: Any, seconds: float, result: str) -> None:
        self._under_way -= 1
        method = name_of(routes, call.method)
        if method not in self._seconds:
            if len(self._seconds) >= MAX_METHODS:
                method = "other"
            self._seconds.setdefault(method, Histogram())
        self._results[method, result] += 1
        self._seconds[method].add(seconds)

    def read(self) -> Iterator[Reading]:
        """Yield all metrics of calls."""
        results = list(self._results.items())
        yield FAMILIES["longwire_rpc_calls"], results
        seconds = [((name,), each) for name, each in list(self._seconds.items())]
        yield FAMILIES["longwire_rpc_call_seconds"], seconds
        yield value_of_family("longwire_rpc_calls_under_way", (), self._under_way)
        peers = sum(len(server.peers) for server in list(self._servers))
        yield value_of_family("longwire_rpc_peers", (), peers)


def name_of(routes: Any, method: str) -> str:
    """Return the name to count a call by: what is no route is ``unknown``.

    Clients choose what they call: their texts are no labels.
    """
    return method if method in routes else "unknown"
