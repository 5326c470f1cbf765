"""Metrics: what is watched, and the ways to read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from ..observer import joined
from .calls import Calls
from .counting import Connections, Lag, value_of_family
from .families import Reading

__all__ = ["Metrics"]

T = TypeVar("T")


class Metrics:
    """Counts what servers, clients and RPC do, and tells Prometheus or OpenTelemetry.

    ::

        metrics = Metrics()

        async with metrics.watch(serve(handler, "localhost", 8765)) as server:
            ...
            print(metrics.text())

    ``registry`` is a :class:`prometheus_client.CollectorRegistry` to belong to, such
    as ``prometheus_client.REGISTRY``; one of its own if None. Reading is possible from
    any thread.
    """

    def __init__(self, registry: Any = None) -> None:
        self._lag = Lag()
        self._sides = {
            side: Connections(side, self._lag) for side in ("server", "client")
        }
        self._calls: Calls | None = None
        self._registry = registry
        self._text: Any = None
        if registry is not None:
            self._register()

    # --- what is watched ---------------------------------------------------------

    def watch(self, target: T) -> T:
        """Count the connections of ``serve(...)`` or ``connect(...)``; returns it.

        ``connect`` itself, or a subclass, has all clients counted that it is called to
        make from now on.
        """
        from .. import Server, connect

        if isinstance(target, Server):
            target.observer = joined(target.observer, self._sides["server"])
        elif isinstance(target, connect) or target is connect:
            target.observer = joined(target.observer, self._sides["client"])
        else:
            kind = type(target).__name__
            raise TypeError(
                f"watch() takes what serve() or connect() returns, or connect, not "
                f"{kind}; for an rpc.Server, there is watch_calls()"
            )
        return target

    def watch_calls(self, server: T) -> T:
        """Count the calls that clients make of a :class:`longwire.rpc.Server`.

        Returns it. Methods that it has not are counted as ``unknown``.
        """
        if not hasattr(server, "signals") or not hasattr(server, "routes"):
            kind = type(server).__name__
            raise TypeError(f"watch_calls() takes an rpc.Server, not {kind}")
        if self._calls is None:
            self._calls = Calls()
        self._calls.watch(server)
        return server

    # --- reading -----------------------------------------------------------------

    def read(self) -> Iterator[Reading]:
        """Yield each metric as ``(family, samples)``.

        A family has ``name``, ``kind``, ``labels`` and ``text``; a sample is the
        values of the labels, with a number or a histogram. One metric may come twice,
        for servers and for clients.
        """
        for side in self._sides.values():
            yield from side.read()
        lag = self._lag.histogram
        yield value_of_family("longwire_loop_lag_seconds", (), lag)
        if self._calls is not None:
            yield from self._calls.read()

    def text(self) -> str:
        """Return all metrics in the text format of Prometheus."""
        self._register()
        found: str = self._text()
        return found

    def respond(self, path: str = "/metrics") -> Any:
        """Return a ``process_request`` for ``serve`` that answers ``path``.

        Whoever can reach the server can read it there.
        """

        def process_request(connection: Any, request: Any) -> Any:
            if request.path.partition("?")[0] != path:
                return None
            kind = "text/plain; version=0.0.4; charset=utf-8"
            return connection.respond(200, self.text(), content_type=kind)

        return process_request

    def _register(self) -> None:
        if self._text is None:
            from .prometheus import register

            self._text = register(self, self._registry)

    def export_to(self, meter_provider: Any = None) -> None:
        """Make all metrics instruments of OpenTelemetry, read when it collects.

        ``meter_provider`` is the process's own if None. Histograms become counters of
        their buckets, as Prometheus has them.
        """
        from .opentelemetry import export

        export(self, meter_provider)
