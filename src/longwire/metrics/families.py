"""Families: the metrics there are, each with its name, kind, labels and meaning.

One table: what is exported, what the documents and the dashboard may name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from .histogram import Histogram

__all__ = ["FAMILIES", "Family", "Reading", "Sample"]

Kind = Literal["counter", "gauge", "histogram", "gaugehistogram"]


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One metric; ``name`` is without the ending that its kind adds."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    @property
    def full_name(self) -> str:
        """The name as Prometheus has it, without the endings of histograms."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


_SIDE = ("side",)

_TABLE = (
    Family("longwire_connections", "gauge", "Open connections.", _SIDE),
    Family(
        "longwire_handshakes",
        "counter",
        "Opening handshakes, by result: opened, rejected, unavailable, invalid, "
        "timeout, network, error, status.",
        (*_SIDE, "result"),
    ),
    Family(
        "longwire_handshake_seconds",
        "histogram",
        "Seconds that successful opening handshakes took.",
        _SIDE,
        "s",
    ),
    Family(
        "longwire_refused",
        "counter",
        "Connections refused for a limit on connections, by the limit.",
        ("limit",),
    ),
    Family("longwire_messages_received", "counter", "Messages received, whole.", _SIDE),
    Family("longwire_messages_sent", "counter", "Messages sent.", _SIDE),
    Family("longwire_bytes_received", "counter", "Bytes of frames received.", _SIDE),
    Family("longwire_bytes_sent", "counter", "Bytes of frames sent.", _SIDE),
    Family(
        "longwire_messages_dropped",
        "counter",
        "Messages dropped: of broadcasts to the slow, or received and never read.",
        _SIDE,
    ),
    Family(
        "longwire_closed",
        "counter",
        "Connections that have ended, by cause and the code of the first close frame.",
        (*_SIDE, "cause", "code"),
    ),
    Family(
        "longwire_limits_exceeded",
        "counter",
        "Connections that ended because of a limit, by the limit.",
        (*_SIDE, "limit"),
    ),
    Family(
        "longwire_latency_seconds",
        "gaugehistogram",
        "Open connections by the seconds that their last ping took.",
        _SIDE,
        "s",
    ),
    Family(
        "longwire_queued_messages",
        "gauge",
        "Messages received that wait for recv().",
        _SIDE,
    ),
    Family(
        "longwire_memory_bytes",
        "gauge",
        "Bytes that messages of all connections take, received and not yet sent.",
        _SIDE,
        "By",
    ),
    Family(
        "longwire_reading_paused",
        "gauge",
        "Connections that are not read from: their queue is full, or memory short.",
        _SIDE,
    ),
    Family(
        "longwire_writing_paused",
        "gauge",
        "Connections whose peers do not take what is sent as fast as it comes.",
        _SIDE,
    ),
    Family(
        "longwire_loop_lag_seconds",
        "histogram",
        "Seconds by which a timer of the event loop was late, twice a second.",
        (),
        "s",
    ),
    Family(
        "longwire_rpc_calls",
        "counter",
        "Calls of clients, by method and result: ok, or the name of the error.",
        ("method", "result"),
    ),
    Family(
        "longwire_rpc_call_seconds",
        "histogram",
        "Seconds that calls took here.",
        ("method",),
        "s",
    ),
    Family("longwire_rpc_calls_under_way", "gauge", "Calls being carried out."),
    Family("longwire_rpc_peers", "gauge", "Clients that are connected to call."),
)

FAMILIES: dict[str, Family] = {family.name: family for family in _TABLE}
"""Every metric, by name."""

Sample = tuple[tuple[str, ...], float | Histogram]
"""Values of the labels, and the value."""
Reading = tuple[Family, Sequence[Sample]]
"""A metric with its samples."""
