"""Prometheus: the metrics as a collector of prometheus_client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .families import Family, Sample
from .histogram import Histogram

__all__ = ["register"]

_CLASSES: dict[str, Any] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "gaugehistogram": GaugeHistogramMetricFamily,
}


class _Collector(Collector):
    def __init__(self, metrics: Any) -> None:
        self._metrics = metrics

    def describe(self) -> list[Metric]:
        """Return nothing: names are not to be compared with others' at registering."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield each metric once, with the samples of both sides."""
        found: dict[str, Metric] = {}
        for family, samples in self._metrics.read():
            metric = found.get(family.name)
            if metric is None:
                metric = found[family.name] = _empty(family)
            for sample in samples:
                _add(metric, family, sample)
        yield from found.values()


def _empty(family: Family) -> Metric:
    kind = _CLASSES[family.kind]
    metric: Metric = kind(family.name, family.text, labels=list(family.labels))
    return metric


def _add(metric: Any, family: Family, sample: Sample) -> None:
    labels, value = sample
    if not isinstance(value, Histogram):
        metric.add_metric(labels, value)
    elif family.kind == "gaugehistogram":
        metric.add_metric(labels, value.buckets(), gsum_value=value.total)
    else:
        metric.add_metric(labels, value.buckets(), sum_value=value.total)


def register(metrics: Any, registry: Any) -> Callable[[], str]:
    """Add the metrics to ``registry``, or to a new one; return what writes its text."""
    if registry is None:
        registry = CollectorRegistry()
    registry.register(_Collector(metrics))

    def text() -> str:
        return generate_latest(registry).decode()

    return text
