"""Subscriptions: where each subscriber is, and what is sent to it.

A subscriber that has all its node has is *live* and needs no place of its own. One
without room is *behind*: nothing is queued for it, its cursor says where it is, and the
topic's history is its queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from .entries import Entry, Position, Verdict

if TYPE_CHECKING:
    from .feeds import Feed

__all__ = [
    "BEHIND",
    "GONE",
    "LIVE",
    "PARKED",
    "Lag",
    "Link",
    "Missing",
    "Outcome",
    "Push",
    "Request",
    "Subscription",
]

# States of a subscription: it waits for its answer; has all there is; has not; is over.
PARKED, LIVE, BEHIND, GONE = 0, 1, 2, 3


class Link(Protocol):
    """One connection, as the core knows it: what it has, and what it lags behind in."""

    subs: dict[str, Subscription]
    behind: dict[Subscription, None]


class Lag:
    """What is known of a subscription while it is behind.

    ``since`` is when it fell behind. ``slow``: it had no room; else it only began
    before the newest entry. ``resets`` is the feed's number when it was last live:
    another number is another history.
    """

    __slots__ = ("feeding", "resets", "since", "slow")

    def __init__(self, since: float, resets: int, *, slow: bool) -> None:
        self.since = since
        self.resets = resets
        self.slow = slow
        self.feeding = False
        """Whether something for it is being read, or on its way."""


class Subscription:
    """One connection's place in one topic."""

    __slots__ = ("cursor", "feed", "grant", "lag", "link", "number", "state", "trimmed")

    def __init__(self, link: Link, feed: Feed) -> None:
        self.link = link
        self.feed = feed
        self.state = PARKED
        self.number = 0
        """The first of the feed's messages that it gets, while it is live."""
        self.cursor: Position | None = None
        """Where it is, while it is not live."""
        self.lag: Lag | None = None
        """Only while it is behind."""
        self.trimmed = 0
        """How often in a row history was trimmed under it."""
        self.grant: Any = None
        """What it may do and until when; the core does not look at it."""

    @property
    def position(self) -> Position | None:
        """Where it is, whatever its state."""
        return self.feed.position if self.state == LIVE else self.cursor

    def __repr__(self) -> str:
        state = ("parked", "live", "behind", "gone")[self.state]
        return f"<Subscription {state} to {self.feed.name!r}>"


class _Message:
    """What is on its way to subscribers, from ``before`` to ``after``.

    ``number`` counts what goes to all that are live. What is for one alone has it as
    ``to``, with its ``lag``. ``forms`` is the driver's: what it made of it.
    """

    __slots__ = (
        *("after", "before", "feed", "forms", "lag", "number", "recipients", "resets"),
        "to",
    )

    def __init__(self, feed: Feed, before: Position, after: Position) -> None:
        self.feed = feed
        self.before = before
        self.after = after
        self.number = 0
        self.resets = feed.resets
        self.recipients: list[Subscription] = []
        self.to: Subscription | None = None
        self.lag: Lag | None = None
        self.forms: dict[Any, Any] = {}


class Push(_Message):
    """Entries that follow each other: ``hub.message``.

    ``skipped`` is the number of entries left out before or among them, None if that is
    not known: 0 but for topics that keep the latest.
    """

    __slots__ = ("entries", "skipped")

    def __init__(
        self,
        feed: Feed,
        entries: list[Entry],
        before: Position,
        after: Position,
        *,
        skipped: int | None = 0,
    ) -> None:
        super().__init__(feed, before, after)
        self.entries = entries
        self.skipped = skipped


class Missing(_Message):
    """Word that entries are missing between two positions: ``hub.gap``."""

    __slots__ = ("missed", "reason")

    def __init__(
        self,
        feed: Feed,
        before: Position,
        after: Position,
        reason: str,
        missed: int | None,
    ) -> None:
        super().__init__(feed, before, after)
        self.reason = reason
        self.missed = missed


class Outcome:
    """What a request to subscribe came to.

    ``verdict`` is None where no position was given. The subscription is parked at
    ``position`` until it is activated.
    """

    __slots__ = ("entries", "missed", "position", "verdict")

    def __init__(
        self,
        verdict: Verdict | None,
        entries: Iterable[Entry],
        position: Position,
        missed: int | None = None,
    ) -> None:
        self.verdict = verdict
        self.entries = list(entries)
        self.position = position
        self.missed = missed


class Request:
    """A subscription that waits to know where it begins, or for the next entries.

    ``number`` is that of the event that it is: what is read later is newer.
    """

    __slots__ = ("last", "number", "outcome", "since", "sub", "verdict")

    def __init__(
        self, sub: Subscription, since: Position | None, last: int, number: int
    ) -> None:
        self.sub = sub
        self.since = since
        self.last = last
        self.number = number
        self.verdict: Verdict | None = None
        """Why ``since`` cannot be continued, where the newest are given instead."""
        self.outcome: Outcome | None = None

    @property
    def is_feeding(self) -> bool:
        """Whether it is for a subscriber that is behind, which has its answer."""
        return self.sub.lag is not None

    @property
    def wants_newest(self) -> bool:
        """Whether its answer is the newest entries, if any."""
        return self.since is None or self.verdict is not None
