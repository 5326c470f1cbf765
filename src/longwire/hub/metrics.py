"""Metrics: what a hub has and has done, in the text format of Prometheus.

Counted are events, never deliveries one by one: that would cost each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .service import Service

__all__ = ["metrics_text"]

Value = int | Mapping[str, int]


def metrics_text(service: Service) -> str:
    """Return all metrics of a running hub."""
    lines: list[str] = []
    for name, kind, label, value, text in _metrics(service):
        full = f"longwire_hub_{name}"
        lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}"]
        if isinstance(value, int):
            lines.append(f"{full} {value}")
        else:
            lines += [f'{full}{{{label}="{key}"}} {n}' for key, n in value.items()]
    return "\n".join(lines) + "\n"


def _metrics(service: Service) -> Iterable[tuple[str, str, str, Value, str]]:
    """Yield name, kind, label, value and meaning of each."""
    driver, publishing = service.driver, service.publishing
    node = driver.core.node
    links = service.links.values()
    is_up = int(driver.is_up.is_set())
    for name, value, text in (
        ("feed_up", is_up, "Whether the broker feeds this process."),
        ("connections", len(links), "Connections that have called the hub."),
        ("subscriptions", sum(len(link.subs) for link in links), "Subscriptions."),
        ("topics_attached", len(node.feeds), "Topics that this process is fed."),
        ("behind", len(node.behind), "Subscriptions that wait for room."),
        ("tail_bytes", node.tails.size, "Bytes of the newest entries kept here."),
        ("publish_queue", publishing.queued, "Messages that wait to be published."),
        ("publish_queue_bytes", publishing.queued_bytes, "Bytes of those messages."),
    ):
        yield name, "gauge", "", value, text
    yield (
        "published_total",
        "counter",
        "result",
        publishing.results,
        "Messages by what became of them at the broker.",
    )
    yield (
        "recoveries_total",
        "counter",
        "result",
        service.recoveries,
        "Subscribes with a position, by the verdict on it.",
    )
    gaps = {"repaired": node.repaired, "signalled": node.signalled}
    yield "gaps_total", "counter", "outcome", gaps, "Losses of the feed, by outcome."
    for name, value, text in (
        ("entries_received_total", driver.received, "Entries that the broker fed."),
        ("repeats_total", node.repeats, "Entries that came again and were dropped."),
        ("feed_lost_total", driver.losses, "Times that the whole feed was lost."),
        ("without_room_total", driver.without_room, "Messages that found no room."),
        ("closed_behind_total", driver.hangups, "Connections closed for being behind."),
    ):
        yield name, "counter", "", value, text
