"""Tracing: a span for each opening handshake and for each RPC call of a client's."""

from __future__ import annotations

import time
import weakref
from typing import Any, TypeVar

from ..hints import checks_keywords
from ..observer import Observer
from .calls import name_of
from .watching import check_calls, check_provider, needs_one_of, observe

__all__ = ["Tracing"]

T = TypeVar("T")


class Tracing:
    """Makes spans of OpenTelemetry for handshakes and calls.

    ::

        tracing = Tracing()
        listening = tracing.watch(serve(handler, "localhost", 8765))
        tracing.watch_calls(rpc_server)

    Spans of a handshake continue the trace that the request's headers name
    (``traceparent``), and those of calls are their children where the connection is
    watched, too. ``tracer_provider`` is the process's own if None. Raises
    ModuleNotFoundError without ``opentelemetry-api``.
    """

    @checks_keywords()
    def __init__(self, tracer_provider: Any = None) -> None:
        needs_one_of("Tracing()", "tracing", "opentelemetry")
        check_provider(
            "tracer_provider", tracer_provider, "get_tracer", "TracerProvider(...)"
        )
        from opentelemetry import propagate, trace

        from .. import __version__

        self._trace, self._propagate = trace, propagate
        self._tracer = trace.get_tracer(
            "longwire", __version__, tracer_provider=tracer_provider
        )
        # The context of each connection's handshake, for its calls.
        self._contexts: weakref.WeakKeyDictionary[Any, Any] = (
            weakref.WeakKeyDictionary()
        )
        self._spans: dict[int, Any] = {}

    def watch(self, target: T) -> T:
        """Make a span of each opening handshake of ``serve(...)``, ``connect(...)``.

        Returns it. ``connect`` itself: of all clients from now on.
        """
        kinds = self._trace.SpanKind
        of_side = {"server": kinds.SERVER, "client": kinds.CLIENT}
        observe(target, lambda side: _Handshakes(self, of_side[side]))
        return target

    def watch_calls(self, server: T) -> T:
        """Make a span of each call that clients make of a rpc.Server; returns it."""
        check_calls(server)
        watched: Any = server
        routes, signals = watched.routes, watched.signals

        def started(call: Any) -> None:
            name = name_of(routes, call.method)
            parent = self._contexts.get(call.peer.connection)
            attributes = {"rpc.system": "longwire", "rpc.method": name}
            self._spans[id(call)] = self._tracer.start_span(
                f"rpc {name}",
                context=parent,
                kind=self._trace.SpanKind.SERVER,
                attributes=attributes,
            )

        def ended(call: Any, seconds: float) -> None:
            self._spans.pop(id(call)).end()

        def failed(call: Any, seconds: float, error: BaseException) -> None:
            span = self._spans.pop(id(call))
            # The text may have what a client sent: only its kind is told.
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))
            span.end()

        signals.call_started.connect(started)
        signals.call_ended.connect(ended)
        signals.call_failed.connect(failed)
        return server

    def context(self, call: Any = None) -> Any:
        """Return the context of the call's span: the parent of spans made in a route.

        ``call`` is the one that runs here if None; outside of one, the current context.
        """
        if call is None:
            from ..rpc.performing import current_call

            call = current_call()
        span = None if call is None else self._spans.get(id(call))
        if span is None:
            from opentelemetry import context

            return context.get_current()
        return self._trace.set_span_in_context(span)

    def _handshake(
        self, connection: Any, seconds: float, kind: Any, how: str, status: int
    ) -> None:
        end = time.time_ns()
        request = connection.request
        headers: dict[str, str] = {}
        if request is not None and kind is self._trace.SpanKind.SERVER:
            pairs = request.headers.raw_items()
            headers = {name.lower(): value for name, value in pairs}
        parent = self._propagate.extract(headers) if headers else None
        attributes: dict[str, Any] = {"longwire.handshake.result": how}
        if request is not None:
            # Without the query: it may have a token.
            attributes["url.path"] = request.path.partition("?")[0]
        if status:
            attributes["http.response.status_code"] = status
        span = self._tracer.start_span(
            "websocket handshake",
            context=parent,
            kind=kind,
            attributes=attributes,
            start_time=end - int(seconds * 1e9),
        )
        if how != "opened":
            span.set_attribute("error.type", how)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))
        else:
            context = self._trace.set_span_in_context(span, parent)
            self._contexts[connection] = context
        span.end(end)


class _Handshakes(Observer):
    """Makes the spans of one side."""

    def __init__(self, tracing: Tracing, kind: Any) -> None:
        self._tracing = tracing
        self._kind = kind

    def opened(self, connection: Any, seconds: float) -> None:
        self._tracing._handshake(connection, seconds, self._kind, "opened", 101)

    def refused(self, connection: Any, seconds: float, how: str, status: int) -> None:
        self._tracing._handshake(connection, seconds, self._kind, how, status)
