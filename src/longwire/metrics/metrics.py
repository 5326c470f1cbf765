"""Metrics: what is watched, and the ways to read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from ..hints import checks_keywords, give_own_hints
from .calls import Calls
from .counting import Connections, Lag, value_of_family
from .families import Reading
from .watching import check_calls, check_provider, needs_one_of, observe

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
    any thread. ModuleNotFoundError where neither library is installed.
    """

    @checks_keywords()
    def __init__(self, registry: Any = None) -> None:
        needs_one_of("Metrics()", "metrics", "prometheus_client", "opentelemetry")
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
        observe(target, self._sides.__getitem__)
        return target

    def watch_calls(self, server: T) -> T:
        """Count the calls that clients make of a :class:`longwire.rpc.Server`.

        Returns it. Methods that it has not are counted as ``unknown``.
        """
        check_calls(server)
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

    @checks_keywords()
    def respond(self, path: str = "/metrics") -> Any:
        """Return a ``process_request`` for ``serve`` that answers ``path``.

        Whoever can reach the server can read it there. Raises ValueError for what is no
        path, such as ``"metrics"``.
        """
        _check_path(path)
        self._register()

        def process_request(connection: Any, request: Any) -> Any:
            if request.path.partition("?")[0] != path:
                return None
            kind = "text/plain; version=0.0.4; charset=utf-8"
            return connection.respond(200, self.text(), content_type=kind)

        return process_request

    def _register(self) -> None:
        if self._text is None:
            needs_one_of("metrics as text", "metrics", "prometheus_client")
            made = "prometheus_client.CollectorRegistry()"
            check_provider("registry", self._registry, "register", made)
            from .prometheus import register

            self._text = register(self, self._registry)

    @checks_keywords()
    def export_to(self, meter_provider: Any = None) -> None:
        """Make all metrics instruments of OpenTelemetry, read when it collects.

        ``meter_provider`` is the process's own if None. Histograms become counters of
        their buckets, as Prometheus has them.
        """
        needs_one_of("export_to()", "tracing", "opentelemetry")
        check_provider(
            "meter_provider", meter_provider, "get_meter", "MeterProvider(...)"
        )
        from .opentelemetry import export

        export(self, meter_provider)


# Given as a callback itself, it is answered with how it is called.
Metrics.respond._is_called_first = "metrics.respond()"  # type: ignore[attr-defined]

give_own_hints(
    Metrics,
    {
        "serve start start_http_server start_server": "write "
        "serve(..., process_request=metrics.respond())",
        "generate_latest render expose": "write metrics.text()",
        "inc observe counter gauge histogram labels": "connections are counted by "
        "metrics.watch(serve(...)); for numbers of your own take prometheus_client",
    },
)


def _check_path(path: object) -> None:
    if not isinstance(path, str):
        kind = type(path).__name__
        raise TypeError(f"path must be a path such as '/metrics', not {kind}")
    if not path.startswith("/") or "?" in path or "#" in path:
        raise ValueError(f"path is {path!r}; a path such as '/metrics' is allowed")
