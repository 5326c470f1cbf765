"""HubLimits: bounds of what clients, publishers and brokers make a node hold."""

from __future__ import annotations

import dataclasses
import math

from ..hints import checks_init

__all__ = ["HubLimits"]

KiB, MiB = 1 << 10, 1 << 20


@checks_init
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HubLimits:
    """The bounds of one hub in one process. Sizes in bytes, times in seconds.

    None is no limit, and has to be written. The size of the messages of clients is
    bounded by their connections: ``max_size`` of ``serve``.
    """

    data: int | None = 64 * KiB
    """What is published in one message."""
    headers: int | None = 1 * KiB
    """The names and values of the headers of one message."""
    subscriptions: int | None = 1000
    """Subscriptions of one connection."""
    topics_per_call: int | None = 512
    """Topics in one call of ``hub.subscribe``."""
    calls_per_second: float | None = 100
    """Calls of the hub that one connection may make, in the long run."""
    calls_at_once: int | None = 200
    """Calls of the hub that one connection may make in a burst."""
    publishes_per_second: float | None = 50
    """Messages that one connection may publish; as many again in a burst."""
    page: int = 500
    """Entries in one answer: of a recovery, of ``last=``, of ``hub.history``."""
    page_bytes: int = 512 * KiB
    """Bytes of entries in one answer, of all its topics: clients take messages of 1 MiB
    by default, and bytes in JSON become larger by a third. The rest is pushed."""
    catch_up_bytes: int = 64 * KiB
    """Bytes of entries that are fed at a time to a subscriber that is behind."""
    history: int | None = 10_000
    """Entries that a declaration may ask to be stored."""
    members: int = 1000
    """Members of a topic that are listed."""
    attached: int | None = 100_000
    """Topics with subscribers in this process."""
    tail_bytes: int | None = 64 * KiB
    """Newest entries kept in this process, of one topic."""
    tail_bytes_in_all: int | None = 64 * MiB
    """Newest entries kept in this process, of all topics."""
    held: int = 1000
    """Entries of one topic that wait while a gap before them is being repaired."""
    held_bytes: int = 1 * MiB
    """Bytes of those entries."""
    queued: int | None = 10_000
    """Messages of ``publish_nowait()`` that wait for the broker."""
    queued_bytes: int | None = 16 * MiB
    """Bytes of those messages."""
    behind: float | None = 60.0
    """Time that a subscriber may be behind; then its connection is closed with 1008."""
    subscribe_timeout: float = 10.0
    """Time that a subscribe may take; then BrokerUnavailable."""
    publish_timeout: float = 10.0
    """Time that a publish may take, retries included; then BrokerUnavailable."""
    linger: float = 10.0
    """Time that a topic stays attached when its last subscriber has gone."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kind = str(field.type)
            if value is None and "None" in kind:
                continue
            _check(
                field.name, value, whole="float" not in kind, optional="None" in kind
            )


def _check(name: str, value: object, *, whole: bool, optional: bool) -> None:
    wanted = "an int" if whole else "a number"
    wanted += " or None" if optional else ""
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"{name} must be {wanted}, not {type(value).__name__}")
    if not value > 0 or math.isinf(value):
        raise ValueError(f"{name} is {value}; {wanted} above 0 is allowed")
