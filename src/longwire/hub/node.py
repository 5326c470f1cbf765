"""What the parts of the core share: topics, effects, the moves several of them make.

A feed moves to its next entry, or to another place. A subscriber is live or falls
behind. Whatever makes one of these moves, it is made here.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable

from .effects import Effect, Send
from .entries import Entry, Position, Verdict
from .feeds import Feed
from .limits import HubLimits
from .subscriptions import BEHIND, LIVE, Lag, Missing, Push, Subscription
from .tails import Tails

__all__ = ["NEVER", "Node"]

NEVER = math.inf

CHECK_EVERY = 20.0
"""Seconds without an entry after which a topic's top is looked at, ± 25 %."""
SPARE_TIMERS = 1000
"""Timers of topics that were left, beside as many as there are in use."""


class Node:
    """What one node knows of its topics, and of who listens to them.

    ``jitter()`` gives a number from 0 to 1. ``consecutive`` and ``lossless`` are those
    of the broker.
    """

    def __init__(
        self,
        limits: HubLimits,
        *,
        consecutive: bool,
        lossless: bool,
        jitter: Callable[[], float],
    ) -> None:
        self.limits = limits
        self.consecutive = consecutive
        self.lossless = lossless
        self.jitter = jitter
        self.effects: list[Effect] = []
        self.feeds: dict[str, Feed] = {}
        self.idle: dict[Feed, None] = {}
        """Topics without subscribers, the longest idle first."""
        self.behind: dict[Subscription, None] = {}
        self.look_at_behind = NEVER
        """When to see who has been behind for too long."""
        self.tails = Tails(limits.tail_bytes, limits.tail_bytes_in_all)
        self.repaired = self.signalled = self.repeats = 0
        self._ahead = -NEVER
        self.timers: list[tuple[float, int, Feed]] = []
        self._most_timers = SPARE_TIMERS
        self._unflushed: dict[Feed, None] = {}
        self._events = 0
        self._order = itertools.count()

    def named(self, names: Iterable[str] | None) -> list[Feed]:
        """Return the feeds of these names, all if None."""
        if names is None:
            return list(self.feeds.values())
        return [self.feeds[name] for name in names if name in self.feeds]

    def is_attached(self, feed: Feed) -> bool:
        """Whether it is still one of ours: what was asked for may come later."""
        return self.feeds.get(feed.name) is feed

    # --- numbers and times -------------------------------------------------------

    def next_number(self) -> int:
        """Return the number of the next event: larger than of all before."""
        self._events += 1
        return self._events

    def schedule(self, feed: Feed) -> None:
        """See to it that a feed is looked at when something is due."""
        due = feed.next_due()
        if due < feed.due_at:
            feed.due_at = due
            if len(self.timers) >= self._most_timers:
                self._drop_old_timers()
            heapq.heappush(self.timers, (due, next(self._order), feed))

    def is_due(self, when: float, feed: Feed) -> bool:
        """Whether a timer is a feed's own: not one that left, or has another now."""
        return self.is_attached(feed) and when == feed.due_at

    def _drop_old_timers(self) -> None:
        self.timers = [each for each in self.timers if self.is_due(each[0], each[2])]
        heapq.heapify(self.timers)
        self._most_timers = max(SPARE_TIMERS, 2 * len(self.timers))

    def check_later(self, feed: Feed, now: float) -> None:
        """A feed is known to be right now: look at its top some time later."""
        if not self.lossless:
            feed.check_at = now + CHECK_EVERY * (0.75 + self.jitter() / 2)

    def see_clock(self, at: float, now: float) -> None:
        """The broker's clock showed ``at`` just now, or a little before."""
        self._ahead = max(self._ahead, at - now)

    def set_clock(self, at: float, now: float) -> None:
        """The broker's clock showed ``at``: another broker's may be behind the last."""
        self._ahead = at - now

    def broker_time(self, now: float) -> float:
        """Return about what the broker's clock shows; no clock of ours decides."""
        return now + self._ahead

    # --- the moves of a feed -----------------------------------------------------

    def advance(self, feed: Feed, entry: Entry, now: float) -> None:
        """Move over the entry that is next; it goes out at the next flush."""
        if feed.live:
            if not feed.pending:
                feed.pending_before = feed.position
                self._unflushed[feed] = None
            feed.pending.append(entry)
            feed.pending_size += entry.size
        feed.advance(entry)
        self.see_clock(entry.at, now)
        if feed.slow == "latest":
            self.tails.keep_newest(feed, entry)
        self.tails.grown(feed)
        self.check_later(feed, now)
        if feed.pending_size > self.limits.catch_up_bytes:
            self.flush(feed)

    def skip_to(self, feed: Feed, entry: Entry, now: float) -> None:
        """Go on at an entry of a topic without history: nobody has those before it."""
        tag = UNKNOWN_TAG if entry.prev_tag is None else entry.prev_tag
        self.reset(feed, Position(entry.epoch, entry.prev, tag), "lost")
        self.advance(feed, entry, now)

    @property
    def is_pending(self) -> bool:
        """Whether entries wait for the end of the turn."""
        return bool(self._unflushed)

    def flush_all(self) -> None:
        """Send what came in this turn, in one push for each topic."""
        for feed in list(self._unflushed):
            self.flush(feed)

    def flush(self, feed: Feed) -> None:
        """Send what is pending to those who are live."""
        self._unflushed.pop(feed, None)
        entries, feed.pending = feed.pending, []
        feed.pending_size = 0
        if entries and feed.live:
            assert feed.pending_before is not None
            before, after = feed.pending_before, entries[-1].position
            self._send_to_live(Push(feed, entries, before, after))

    def reset(self, feed: Feed, position: Position, reason: str) -> None:
        """Go on elsewhere, and tell those who had all there was before."""
        before = feed.position
        assert before is not None
        self.flush(feed)
        if feed.live:
            missed = self.missed(before, position, reason)
            self.signalled += 1
            self._send_to_live(Missing(feed, before, position, reason, missed))
        self.tails.forget(feed)
        feed.reset(position)

    def _send_to_live(self, message: Push | Missing) -> None:
        feed = message.feed
        if feed.recipients is None:
            feed.recipients = list(feed.live)  # never changed, only replaced
        message.recipients = feed.recipients
        message.number = feed.pushes
        feed.pushes += 1
        self.effects.append(Send(message))

    def missed(self, before: Position, after: Position, reason: str) -> int | None:
        """Return how many entries are between two positions, if that can be known."""
        if not self.consecutive or before.epoch != after.epoch:
            return None
        if reason in (Verdict.AHEAD, Verdict.FORK) or after.offset < before.offset:
            return None
        return after.offset - before.offset

    def forget(self, feed: Feed) -> None:
        """Drop a feed, and all that is known of it."""
        self.idle.pop(feed, None)
        self._unflushed.pop(feed, None)
        self.tails.forget(feed)
        del self.feeds[feed.name]

    # --- the moves of a subscriber -----------------------------------------------

    def leave_state(self, sub: Subscription) -> None:
        """Take a subscriber out of the tables of its state."""
        if sub.state == LIVE:
            sub.feed.live.pop(sub, None)
            sub.feed.recipients = None
        elif sub.state == BEHIND:
            self.behind.pop(sub, None)
            sub.link.behind.pop(sub, None)

    def make_live(self, sub: Subscription) -> None:
        """Let a subscriber that is at the feed's position have all that comes next."""
        feed = sub.feed
        self.flush(feed)  # what is pending comes before its position
        self.leave_state(sub)
        sub.state = LIVE
        sub.cursor = sub.lag = None
        sub.number = feed.pushes
        feed.live[sub] = None
        feed.recipients = None

    def fall_behind(self, sub: Subscription, cursor: Position, lag: Lag) -> None:
        """Send nothing to a subscriber until it has room; then from ``cursor``."""
        self.leave_state(sub)
        sub.state = BEHIND
        sub.cursor = cursor
        sub.lag = lag
        sub.link.behind[sub] = None
        self.behind[sub] = None
        self.look_at_behind = min(self.look_at_behind, lag.since + 1.0)


UNKNOWN_TAG = 1
"""Stands for a tag that a broker did not tell: nothing recovers from there."""
