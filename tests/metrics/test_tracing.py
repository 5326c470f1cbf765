"""Tracing: spans of handshakes and of calls, and whose children they are."""

from __future__ import annotations

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from longwire import InvalidStatus, connect, serve
from longwire.metrics import Metrics, Tracing

pytestmark = pytest.mark.stock_loop

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


async def handler(ws):
    await ws.wait_closed()


def uri_of(server, path=""):
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/{path}"


async def test_a_handshake_is_a_span_that_continues_the_clients_trace(
    exporter, provider
):
    tracing = Tracing(provider)
    async with tracing.watch(serve(handler, "127.0.0.1", 0)) as server:
        async with connect(
            uri_of(server, "chat?token=secret"),
            proxy=None,
            additional_headers={"traceparent": PARENT},
        ):
            pass

    (span,) = exporter.get_finished_spans()
    assert span.name == "websocket handshake"
    assert span.kind.name == "SERVER"
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.attributes["url.path"] == "/chat"
    assert span.attributes["http.response.status_code"] == 101
    assert span.end_time > span.start_time
    assert "secret" not in span.to_json()


async def test_a_refusal_is_a_span_of_status_error_on_both_sides(exporter, provider):
    tracing = Tracing(provider)
    serving = serve(
        handler, "127.0.0.1", 0, process_request=lambda ws, _: ws.respond(403, "no")
    )
    async with tracing.watch(serving) as server:
        with pytest.raises(InvalidStatus):
            await tracing.watch(connect(uri_of(server), proxy=None))

    spans = {span.kind.name: span for span in exporter.get_finished_spans()}
    assert spans["SERVER"].attributes["longwire.handshake.result"] == "rejected"
    assert spans["CLIENT"].attributes["longwire.handshake.result"] == "status"
    for span in spans.values():
        assert span.attributes["http.response.status_code"] == 403
        assert span.status.status_code is StatusCode.ERROR


async def test_calls_are_children_of_their_handshake(exporter, provider):
    pytest.importorskip("msgspec")
    from longwire import rpc

    tracing = Tracing(provider)
    tracer = provider.get_tracer("application")

    async def work():
        tracer.start_span("inner", context=tracing.context()).end()

    def fail():
        raise ValueError("secret")

    server = rpc.Server({"work": work, "fail": fail})
    tracing.watch_calls(server)
    async with tracing.watch(server.serve("127.0.0.1", 0)) as listening:
        async with rpc.Client(uri_of(listening), proxy=None) as client:
            await client.call("work")
            with pytest.raises(rpc.RpcError):
                await client.call("fail")

    spans = {span.name: span for span in exporter.get_finished_spans()}
    handshake = spans["websocket handshake"]
    for name in ("rpc work", "rpc fail"):
        assert spans[name].parent.span_id == handshake.context.span_id
    assert spans["inner"].parent.span_id == spans["rpc work"].context.span_id
    assert spans["rpc fail"].attributes["error.type"] == "ValueError"
    assert spans["rpc fail"].status.status_code is StatusCode.ERROR
    assert "secret" not in spans["rpc fail"].to_json()
    assert not tracing._spans


@pytest.mark.parametrize("first", ["metrics", "tracing"])
async def test_metrics_and_tracing_watch_the_same_server(first, exporter, provider):
    pytest.importorskip("prometheus_client")
    metrics, tracing = Metrics(), Tracing(provider)
    serving = serve(handler, "127.0.0.1", 0)
    for watcher in (metrics, tracing) if first == "metrics" else (tracing, metrics):
        watcher.watch(serving)
    metrics.watch(serving)  # once more counts nothing twice
    async with serving as server:
        async with connect(uri_of(server), proxy=None):
            pass

    assert len(exporter.get_finished_spans()) == 1
    line = 'longwire_handshakes_total{result="opened",side="server"} 1.0'
    assert line in metrics.text().splitlines()


def test_what_cannot_be_watched_is_refused(provider):
    with pytest.raises(TypeError, match="takes what serve"):
        Tracing(provider).watch(handler)
    with pytest.raises(TypeError, match=r"takes an rpc\.Server"):
        Tracing(provider).watch_calls(handler)
