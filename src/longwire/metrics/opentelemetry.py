"""OpenTelemetry: the metrics as observable instruments of a meter.

One reading serves all instruments of one collection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from opentelemetry.metrics import CallbackOptions, Observation, get_meter_provider

from .families import FAMILIES, Family, Sample
from .histogram import Histogram

__all__ = ["export"]

_FRESH = 0.05
"""Seconds for which a reading is good for further instruments."""

Values = dict[str, list[Sample]]


class _Reader:
    """Reads all metrics, once for each collection."""

    def __init__(self, metrics: Any) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._values: Values = {}

    def read(self) -> Values:
        """Return the samples of each metric by its name."""
        with self._lock:
            now = time.monotonic()
            if now - self._at > _FRESH:
                values: Values = {}
                for family, samples in self._metrics.read():
                    values.setdefault(family.name, []).extend(samples)
                self._values, self._at = values, now
            return self._values


def export(metrics: Any, meter_provider: Any = None) -> None:
    """Make instruments of all metrics."""
    from .. import __version__

    provider = meter_provider or get_meter_provider()
    meter = provider.get_meter("longwire", __version__)
    reader = _Reader(metrics)
    for family in FAMILIES.values():
        if family.kind == "gauge":
            make = meter.create_observable_gauge
        elif family.kind == "counter":
            make = meter.create_observable_counter
        else:
            _export_histogram(meter, reader, family)
            continue
        name = _dotted(family.name)
        text = family.text
        make(name, [_plain(reader, family)], unit=family.unit, description=text)


def _dotted(name: str) -> str:
    """Return the name as OpenTelemetry writes it: ``longwire.messages_sent``."""
    return name.replace("_", ".", 1)


def _plain(
    reader: _Reader, family: Family
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(options: CallbackOptions) -> Iterator[Observation]:
        for labels, value in reader.read().get(family.name, ()):
            assert not isinstance(value, Histogram)
            yield Observation(value, dict(zip(family.labels, labels, strict=True)))

    return observe


def _export_histogram(meter: Any, reader: _Reader, family: Family) -> None:
    """Make ``…bucket``, by ``le``, and ``…sum`` of what cannot be observed itself."""
    is_now = family.kind == "gaugehistogram"
    make = meter.create_observable_gauge if is_now else meter.create_observable_counter

    def buckets(options: CallbackOptions) -> Iterator[Observation]:
        for labels, value in reader.read().get(family.name, ()):
            assert isinstance(value, Histogram)
            names = dict(zip(family.labels, labels, strict=True))
            for bound, count in value.buckets():
                yield Observation(count, {**names, "le": bound})

    def total(options: CallbackOptions) -> Iterator[Observation]:
        for labels, value in reader.read().get(family.name, ()):
            assert isinstance(value, Histogram)
            names = dict(zip(family.labels, labels, strict=True))
            yield Observation(value.total, names)

    name, text = _dotted(family.name), family.text
    make(f"{name}.bucket", [buckets], description=text)
    make(f"{name}.sum", [total], unit=family.unit, description=text)
