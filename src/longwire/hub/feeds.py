"""Feed: what a node knows of one attached topic.

One position, and the rule by which it moves: an entry is next if the entry before it
is the one at the position. Everything else is a repeat, or a gap, or another history,
which only the broker can tell apart; so it is held until that was asked.
"""

from __future__ import annotations

import enum
import math
from typing import Any

from .broker import Storage
from .entries import Entry, Position, Run
from .subscriptions import Request, Subscription

__all__ = ["Feed", "Kind"]

NEVER = math.inf

MIN_TAIL = 16
"""Entries of the tail of a topic that stores fewer: so what comes twice is known."""


class Kind(enum.Enum):
    """What an entry of the live feed is to a position."""

    NEXT = enum.auto()
    REPEAT = enum.auto()
    JUMP = enum.auto()
    """Entries before it are missing; the history is the same, as far as it says."""
    ODD = enum.auto()
    """Of another history, or too old to be told from one."""


class Feed:
    """One topic that this node is attached to, or about to be."""

    __slots__ = (
        *("attached", "attempts", "check_at", "doubt", "due_at"),
        *("failures", "fresh", "held", "held_size", "linger_at", "live", "members"),
        *(
            "name",
            "newest",
            "newest_size",
            "overflowed",
            "pending",
            "pending_before",
            "pending_size",
        ),
        *("position", "pushes", "reading", "recipients", "repairing", "requests"),
        *(
            "resets",
            "retry_at",
            "slow",
            "storage",
            "suspect",
            "suspect_at",
            "tail",
            "up",
        ),
    )

    def __init__(self, name: str, storage: Storage, slow: str) -> None:
        self.name = name
        self.storage = storage
        self.slow = slow

        # Where it is.
        self.position: Position | None = None
        self.tail = Run(None)
        self.newest: dict[str | None, Entry] = {}  # of topics that keep the latest
        self.newest_size = 0
        self.resets = 0  # how often it went on elsewhere
        # What is known of that.
        self.attached = False
        self.up = False
        self.doubt = 0  # the number of the event that cast it; 0 for none
        self.repairing = False
        self.fresh = 0  # the number of the last read that showed the top
        self.suspect: Position | None = None  # a top that the feed has yet to reach
        # Entries that do not follow, with the number of the event that brought them.
        self.held: list[tuple[int, Entry]] = []
        self.held_size = 0
        self.overflowed = False
        self.attempts = 0
        # Reads.
        self.reading: Any = None
        self.failures = 0
        self.requests: dict[Subscription, Request] = {}
        # Subscribers, those of them that are live, and what these are about to get.
        self.members = 0
        self.live: dict[Subscription, None] = {}
        self.recipients: list[Subscription] | None = None
        self.pushes = 0
        self.pending: list[Entry] = []
        self.pending_before: Position | None = None
        self.pending_size = 0
        # When something has to be done about it.
        self.check_at = self.retry_at = self.suspect_at = self.linger_at = NEVER
        self.due_at = NEVER

    @property
    def keeps(self) -> bool:
        """Whether the topic has a history."""
        return self.storage.history > 0

    @property
    def is_settled(self) -> bool:
        """Whether the position is known to be the topic's, and nothing missing."""
        return (
            self.position is not None
            and not (self.doubt or self.repairing or self.held)
            and self.attached
        )

    def next_due(self) -> float:
        """Return when something has to be done."""
        return min(self.check_at, self.retry_at, self.suspect_at, self.linger_at)

    def kind_of(self, entry: Entry) -> Kind:
        """Return what ``entry`` is to the position."""
        position = self.position
        assert position is not None
        if entry.epoch != position.epoch:
            return Kind.ODD
        if entry.offset > position.offset:
            if entry.prev == position.offset and entry.prev_tag in (None, position.tag):
                return Kind.NEXT
            # A predecessor at the position with another tag is another history.
            return Kind.JUMP if entry.prev > position.offset else Kind.ODD
        at = entry.offset
        known = position.tag if at == position.offset else self.tail.tag_at(at)
        return Kind.REPEAT if known == entry.tag else Kind.ODD

    def advance(self, entry: Entry) -> None:
        """Move the position over ``entry``, which is next."""
        self.position = entry.position
        self.tail.append(entry)

    def reset(self, position: Position) -> None:
        """Go on from a position with nothing before it."""
        self.resets += 1
        self.position = position
        self.tail = Run(position)
        self.forget_newest()

    def keep_newest(self, key: str | None, entry: Entry, most: int | None) -> None:
        """Keep the newest entry of a key; of too many keys, the newest.

        As many as the topic has history, and ``most`` bytes.
        """
        newest = self.newest
        old = newest.pop(key, None)
        newest[key] = entry
        self.newest_size += entry.size - (0 if old is None else old.size)
        while len(newest) > 1 and (
            len(newest) > self.storage.history
            or (most is not None and self.newest_size > most)
        ):
            self.newest_size -= newest.pop(next(iter(newest))).size

    def forget_newest(self) -> None:
        """Keep no newest entries."""
        self.newest.clear()
        self.newest_size = 0

    def hold(self, entry: Entry, number: int, most: int, most_bytes: int) -> None:
        """Keep an entry that does not follow; beyond the limits drop all and read."""
        self.held.append((number, entry))
        self.held_size += entry.size
        if len(self.held) > most or self.held_size > most_bytes:
            self.release()
            self.overflowed = True

    def release(self) -> None:
        """Hold nothing any more."""
        self.held = []
        self.held_size = 0

    def trim_tail(self, most: int | None) -> None:
        """Drop the oldest entries of the tail while it takes more than ``most``.

        Or while it has many more than the topic stores.
        """
        tail = self.tail
        stored = max(self.storage.history, MIN_TAIL)
        # Some more than needed: dropping from a list costs by its length.
        if len(tail.entries) > stored + stored // 4:
            tail.drop(len(tail.entries) - stored)
        if most is None or tail.size <= most:
            return
        excess = tail.size - most * 3 // 4
        count = 0
        while excess > 0 and count < len(tail.entries):
            excess -= tail.entries[count].size
            count += 1
        tail.drop(count)

    def place_in_tail(self, since: Position, now: float) -> int | None:
        """Return the index of what follows ``since``, where the topic stores that.

        The tail may have what a broker would not give any more: more entries than the
        topic stores, or older ones; ``now`` is the time by the broker's clock.
        """
        index = self.tail.find(since)
        if index is None or len(self.tail.entries) - index > self.storage.history:
            return None
        return index if self.is_fresh(index, now) else None

    def is_fresh(self, index: int, now: float) -> bool:
        """Whether no entry of the tail from ``index`` on is older than the topic's."""
        entries = self.tail.entries[index : index + 1]
        return not entries or entries[0].at > now - self.storage.ttl

    def __repr__(self) -> str:
        state = "settled" if self.is_settled else "in doubt"
        return f"<Feed {self.name!r} {state} at {self.position}>"
