"""Metrics: what is counted, and that both libraries and the dashboard know it."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from pathlib import Path

import pytest

prometheus_client = pytest.importorskip("prometheus_client")
pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.parser import text_string_to_metric_families

from longwire import (
    ConnectionClosed,
    InvalidStatus,
    Limits,
    broadcast,
    connect,
    serve,
)
from longwire.metrics import Metrics
from longwire.metrics.families import FAMILIES
from longwire.metrics.histogram import Histogram
from longwire.workers.admin import merged

ROOT = Path(__file__).resolve().parents[2]
# The front end for threads has no hooks yet; these are of asyncio's own loop.
pytestmark = pytest.mark.stock_loop


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def port_of(server):
    return server.sockets[0].getsockname()[1]


def uri_of(server):
    return f"ws://127.0.0.1:{port_of(server)}/"


def values_of(text):
    """Every sample of a text of Prometheus, as ``{(name, labels): value}``."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics, name, **labels):
    return values_of(metrics.text()).get((name, *sorted(labels.items())))


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def client(server, **options):
    return connect(uri_of(server), proxy=None, compression=None, **options)


async def test_messages_and_bytes_are_counted_on_both_sides_while_open_and_after():
    metrics = Metrics()
    serving = serve(echo, "127.0.0.1", 0, compression=None)
    async with metrics.watch(serving) as server:
        async with metrics.watch(client(server)) as ws:
            for _ in range(3):
                await ws.send("x" * 10)
                await ws.recv()
            for side, received, sent in (("server", 48, 36), ("client", 36, 48)):
                for name, expected in (
                    ("longwire_connections", 1),
                    ("longwire_messages_received_total", 3),
                    ("longwire_messages_sent_total", 3),
                    ("longwire_bytes_received_total", received),
                    ("longwire_bytes_sent_total", sent),
                ):
                    assert value(metrics, name, side=side) == expected
        await until(lambda: value(metrics, "longwire_connections", side="server") == 0)
        # And the close frames: 8 bytes masked, 4 bytes not.
        received = "longwire_bytes_received_total"
        assert value(metrics, received, side="server") == 48 + 8
        assert value(metrics, received, side="client") == 36 + 4
        assert value(metrics, "longwire_messages_sent_total", side="client") == 3


async def test_ends_are_counted_by_cause_code_and_limit():
    metrics = Metrics()

    async def handler(ws):
        if await ws.recv() == "raise":
            raise RuntimeError("of a test")
        await ws.recv()

    serving = serve(handler, "127.0.0.1", 0, limits=Limits(message=100))
    async with metrics.watch(serving) as server:
        async with client(server) as ws:
            await ws.send("x")
            await ws.close(4321)
        for message in ("raise", "x" * 101):
            async with client(server) as ws:
                await ws.send(message)
                with pytest.raises(ConnectionClosed):
                    await ws.recv()
        await until(lambda: value(metrics, "longwire_connections", side="server") == 0)

    closed = {
        (dict(key[1:])["cause"], dict(key[1:])["code"]): count
        for key, count in values_of(metrics.text()).items()
        if key[0] == "longwire_closed_total"
    }
    assert closed == {
        ("peer", "4xxx"): 1,
        ("handler error", "1011"): 1,
        ("limit", "1009"): 1,
    }
    name = "longwire_limits_exceeded_total"
    assert value(metrics, name, side="server", limit="message") == 1


def refuse(ws, request):
    return ws.respond(403, "no\n")


HANDSHAKES = [
    # how the server is made, what the raw client sends, the result there
    ({"process_request": refuse}, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "rejected"),
    ({}, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "invalid"),
    ({}, b"nonsense\r\n\r\n", "invalid"),
    (
        {"process_request": lambda connection, request: 1 / 0},
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "error",
    ),
    ({"open_timeout": 0.05}, b"GET /", "timeout"),
    ({"open_timeout": 0.05}, b"", "timeout"),
    ({"health": "/healthz"}, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", None),
]


@pytest.mark.parametrize(("options", "request_", "result"), HANDSHAKES)
async def test_handshakes_that_fail_are_counted_by_how(options, request_, result):
    metrics = Metrics()
    async with metrics.watch(serve(echo, "127.0.0.1", 0, **options)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(request_)
        await reader.read()
        writer.close()

    counted = [
        dict(key[1:])["result"]
        for key in values_of(metrics.text())
        if key[0] == "longwire_handshakes_total"
    ]
    assert counted == ([] if result is None else [result])


async def test_a_client_counts_what_the_server_answered_and_who_was_not_there():
    metrics = Metrics()
    name = "longwire_handshakes_total"
    async with serve(echo, "127.0.0.1", 0, process_request=refuse) as server:
        uri = uri_of(server)
        with pytest.raises(InvalidStatus):
            await metrics.watch(client(server))
    with pytest.raises(OSError):
        await metrics.watch(connect(uri, proxy=None))

    assert value(metrics, name, side="client", result="status") == 1
    assert value(metrics, name, side="client", result="network") == 1


async def test_connections_over_a_limit_are_counted_by_the_limit():
    metrics = Metrics()
    limits = Limits(connections=1, connections_per_address=None)
    async with metrics.watch(serve(echo, "127.0.0.1", 0, limits=limits)) as server:
        async with client(server):
            with pytest.raises(InvalidStatus):
                await client(server)

    assert value(metrics, "longwire_refused_total", limit="connections") == 1
    name = "longwire_handshakes_total"
    assert value(metrics, name, side="server", result="unavailable") == 1


async def test_queues_and_pauses_are_read_when_asked_for():
    metrics = Metrics()
    go_on = asyncio.Event()

    async def handler(ws):
        await go_on.wait()

    serving = serve(handler, "127.0.0.1", 0, max_queue=2)
    async with metrics.watch(serving) as server:
        async with client(server) as ws:
            for _ in range(20):
                await ws.send("x" * 1000)
                await asyncio.sleep(0)  # one read for each
            paused = "longwire_reading_paused"
            await until(lambda: value(metrics, paused, side="server") == 1)
            assert value(metrics, "longwire_queued_messages", side="server") >= 2
            assert value(metrics, "longwire_memory_bytes", side="server") >= 2000
            go_on.set()


async def test_messages_of_broadcast_are_counted_as_any():
    metrics = Metrics()
    async with metrics.watch(serve(echo, "127.0.0.1", 0)) as server:
        async with client(server) as ws:
            await until(lambda: len(server.connections) == 1)
            broadcast(server.connections, "x")
            await ws.recv()
            name = "longwire_messages_sent_total"
            assert value(metrics, name, side="server") == 1


async def test_latency_is_that_of_open_connections():
    metrics = Metrics()
    async with metrics.watch(serve(echo, "127.0.0.1", 0, ping_interval=None)) as server:
        async with metrics.watch(client(server, ping_interval=None)) as ws:
            await (await ws.ping())
            name, top = "longwire_latency_seconds_bucket", {"le": "+Inf"}
            assert value(metrics, name, side="client", **top) == 1
            assert value(metrics, name, side="server", **top) == 0
        assert value(metrics, name, side="client", **top) == 0


async def test_a_loop_that_stands_still_lags(monkeypatch):
    metrics = Metrics()
    monkeypatch.setattr(type(metrics._lag), "INTERVAL", 0.02)
    async with metrics.watch(serve(echo, "127.0.0.1", 0)) as server:
        async with client(server):
            count = "longwire_loop_lag_seconds_count"
            await until(lambda: value(metrics, count) >= 1)
            import time

            time.sleep(0.3)
            bucket = "longwire_loop_lag_seconds_bucket"
            await until(
                lambda: (
                    value(metrics, bucket, le="+Inf") > value(metrics, bucket, le="0.1")
                )
            )


async def test_all_clients_are_counted_when_connect_itself_is_watched():
    metrics = Metrics()

    class connect_here(connect):
        pass

    async with serve(echo, "127.0.0.1", 0) as server:
        connect_here.observer = None
        metrics.watch(connect)
        try:
            async with connect_here(uri_of(server), proxy=None):
                pass  # has one of its own: None
            async with client(server):
                assert value(metrics, "longwire_connections", side="client") == 1
        finally:
            connect.observer = None


async def test_a_subclass_of_connect_is_watched_alone():
    metrics = Metrics()

    class connect_here(connect):
        pass

    metrics.watch(connect_here)
    async with serve(echo, "127.0.0.1", 0) as server:
        async with client(server), connect_here(uri_of(server), proxy=None):
            assert value(metrics, "longwire_connections", side="client") == 1


async def test_connections_that_go_with_their_loop_are_not_kept():
    metrics = Metrics()

    class Gone:
        close_report = None
        _session = None

    connection = Gone()
    side = metrics._sides["client"]
    side.opened(connection, 0.1)
    assert len(side._open) == 1
    del connection
    gc.collect()
    assert side._open == {}


@pytest.mark.parametrize("target", [7, echo, Metrics, None])
def test_what_cannot_be_watched_is_refused(target):
    with pytest.raises(TypeError, match="takes what serve"):
        Metrics().watch(target)
    with pytest.raises(TypeError, match=r"takes an rpc\.Server"):
        Metrics().watch_calls(target)


async def test_calls_are_counted_by_method_and_result():
    pytest.importorskip("msgspec")
    from longwire import rpc

    metrics = Metrics()
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def slow():
        waiting.set()
        await go_on.wait()

    def fail():
        raise ValueError("of a test")

    server = rpc.Server({"double": lambda x: 2 * x, "fail": fail, "slow": slow})
    metrics.watch_calls(server)
    metrics.watch_calls(server)  # once more counts nothing twice
    async with server.serve("127.0.0.1", 0) as listening:
        async with rpc.Client(uri_of(listening), proxy=None) as caller:
            assert await caller.call("double", 1) == 2
            for name in ("fail", "not.there\n{}"):
                with pytest.raises(rpc.RpcError):
                    await caller.call(name)
            call = asyncio.create_task(caller.call("slow"))
            await waiting.wait()
            assert value(metrics, "longwire_rpc_calls_under_way") == 1
            assert value(metrics, "longwire_rpc_peers") == 1
            go_on.set()
            await call

    calls = "longwire_rpc_calls_total"
    assert value(metrics, calls, method="double", result="ok") == 1
    assert value(metrics, calls, method="fail", result="ValueError") == 1
    assert value(metrics, "longwire_rpc_call_seconds_count", method="slow") == 1
    assert value(metrics, "longwire_rpc_calls_under_way") == 0
    assert "not.there" not in metrics.text()


def test_methods_without_number_are_counted_together():
    from longwire.metrics.calls import MAX_METHODS, Calls

    calls = Calls()
    routes = {str(n) for n in range(MAX_METHODS + 9)}
    for n in range(MAX_METHODS + 9):
        call = type("Call", (), {"method": str(n)})
        calls._count(routes, call, 0.1, "ok")

    assert len(calls._seconds) <= MAX_METHODS + 1
    assert calls._results["other", "ok"] == 9


async def test_the_metrics_are_served_beside_the_websocket():
    metrics = Metrics()
    serving = serve(echo, "127.0.0.1", 0, process_request=metrics.respond("/numbers"))
    async with metrics.watch(serving) as server:
        async with client(server):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            writer.write(b"GET /numbers?x HTTP/1.1\r\nHost: a\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()

    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
    name = ("longwire_connections", ("side", "server"))
    assert values_of(body.decode())[name] == 1


async def test_opentelemetry_has_the_same_numbers():
    metrics, reader = Metrics(), InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    metrics.export_to(provider)
    async with metrics.watch(serve(echo, "127.0.0.1", 0)) as server:
        async with client(server) as ws:
            await ws.send("x")
            await ws.recv()
            points = {
                (metric.name, *sorted(point.attributes.items())): point.value
                for resource in reader.get_metrics_data().resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
                for point in metric.data.data_points
            }
    provider.shutdown()

    side = ("side", "server")
    assert points["longwire.messages_sent", side] == 1
    assert points["longwire.connections", side] == 1
    assert points["longwire.handshakes", ("result", "opened"), side] == 1
    assert points["longwire.handshake_seconds.bucket", ("le", "+Inf"), side] == 1


def test_a_histogram_counts_a_value_in_the_first_bucket_that_has_room():
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.2, 5.0):
        histogram.add(seconds)

    assert histogram.buckets() == [("0.1", 2.0), ("1", 3.0), ("+Inf", 4.0)]
    assert histogram.total == pytest.approx(5.35)


async def test_texts_of_several_workers_are_one_valid_text():
    metrics = Metrics()
    async with metrics.watch(serve(echo, "127.0.0.1", 0)) as server:
        async with client(server):
            text = metrics.text()

    values = values_of(merged({0: text, 1: text}))

    key = ("longwire_connections", ("side", "server"))
    assert [values[(*key, ("worker", str(n)))] for n in (0, 1)] == [1, 1]
    assert len(values) == 2 * len(values_of(text))


# --- names -----------------------------------------------------------------------

WORKERS = {"longwire_worker_up", "longwire_worker_restarts_total"}


def exported_names():
    names = set(WORKERS)
    for family in FAMILIES.values():
        names.add(family.full_name)
        if "histogram" in family.kind:
            names |= {f"{family.name}_{end}" for end in ("bucket", "sum", "count")}
    return names


def dashboard():
    return json.loads((ROOT / "docs" / "howto" / "grafana.json").read_text())


@pytest.mark.once
def test_the_dashboard_names_only_what_is_exported_and_all_of_it():
    expressions = [
        target["expr"]
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    ]
    named = {name for text in expressions for name in re.findall(r"longwire_\w+", text)}

    assert named - exported_names() == set()
    shown = {name.removesuffix("_bucket") for name in named}
    assert {f.full_name for f in FAMILIES.values()} | WORKERS == shown


@pytest.mark.once
def test_counters_of_the_dashboard_are_rates_and_gauges_are_not():
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            for name in re.findall(r"longwire_\w+", target["expr"]):
                family = FAMILIES.get(name.removesuffix("_total"))
                counts = name.endswith("_total") or (
                    name.endswith("_bucket") and "latency" not in name
                )
                assert bool(re.search(r"rate\(|increase\(", target["expr"])) == counts
                assert family is None or family.full_name == name


@pytest.mark.once
def test_the_panels_of_the_dashboard_have_ids_and_places_of_their_own():
    panels = dashboard()["panels"]
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@pytest.mark.once
def test_every_metric_is_on_the_page():
    page = (ROOT / "docs" / "howto" / "metrics.md").read_text()

    for family in FAMILIES.values():
        assert f"`{family.full_name.removeprefix('longwire_')}`" in page
        for label in family.labels:
            assert f"`{label}`" in page
    assert all(f"`{name}`" in page for name in WORKERS)


@pytest.mark.once
@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("longwire.sync", ("connect", "reconnect")),
        ("longwire.trio", ("connect", "Server")),
    ],
)
def test_what_is_of_another_front_end_is_told_that_it_is_not_counted(package, names):
    front_end = pytest.importorskip(package)
    for name in names:
        with pytest.raises(
            TypeError, match=f"connections of {package} are not counted"
        ):
            Metrics().watch(getattr(front_end, name))
