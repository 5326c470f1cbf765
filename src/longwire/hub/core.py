"""The core of a node: which entries reach whom, and what is known to be missing.

Decides; carries out nothing. It is told what happened, with the time, and leaves what
is to be done in ``take_effects()``. Knows no sockets, no clock, no event loop: the same
core serves whatever drives it.

What it promises to each subscriber of a topic with history: every stored message after
its position, once and in order, or word of where that is not so. What it cannot prove
to be next is held and asked about; only a read that says so makes a gap.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from .answering import Answering
from .broker import Storage
from .effects import Attach, Check, Detach, Effect, Resolved
from .entries import Entry, Position
from .feeds import NEVER, Feed, Kind
from .lagging import Lagging
from .limits import HubLimits
from .node import Node
from .reading import PATIENCE, Reading
from .subscriptions import GONE, Lag, Link, Request, Subscription

__all__ = ["Core", "TooManyTopics"]

CHECK_AGAIN = 1.0
"""Seconds after attaching, up to twice as many, until a second look: interest spreads
through a cluster of brokers with a delay."""
CHECK_BATCH = 1000
"""Topics in one check."""


class TooManyTopics(Exception):
    """As many topics are attached as ``HubLimits.attached`` allows."""


class Core:
    """What one node decides; see the module's docstring.

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
        self.node = Node(
            limits, consecutive=consecutive, lossless=lossless, jitter=jitter
        )
        self.feeds = self.node.feeds
        self._lagging = Lagging(self.node)
        self._answering = Answering(self.node, self._lagging)
        self._reading = Reading(self.node, self._answering)
        self._lagging.ask = self._ask
        # Who is behind, and what a read brings, is told to the part that decides it.
        self.wants = self._lagging.wants
        self.sent = self._lagging.sent
        self.no_room = self._lagging.no_room
        self.room = self._lagging.room
        self.page = self._reading.page
        self.read_failed = self._reading.read_failed
        self.flush = self.node.flush_all

    def take_effects(self) -> list[Effect]:
        """Return what is to be done, in order, and forget it."""
        effects, self.node.effects = self.node.effects, []
        return effects

    @property
    def is_pending(self) -> bool:
        """Whether there is something that ``flush()`` would send."""
        return self.node.is_pending

    # --- subscribing -------------------------------------------------------------

    def subscribe(
        self,
        link: Link,
        name: str,
        storage: Storage,
        slow: str,
        since: Position | None,
        last: int,
        now: float,
    ) -> Request:
        """Ask for a place in a topic; its outcome is there at once or ``Resolved``.

        After ``since``, or with the newest ``last`` entries, or from now on. Ends an
        earlier subscription of the link to it. Raises TooManyTopics.
        """
        feed = self.feeds.get(name) or self._attach(name, storage, slow)
        old = link.subs.get(name)
        if old is not None:
            self.unsubscribe(old, now)
        sub = Subscription(link, feed)
        link.subs[feed.name] = sub  # the feed's own text, not one for each
        feed.members += 1
        if feed.linger_at != NEVER:
            feed.linger_at = NEVER
            self.node.idle.pop(feed, None)
        request = Request(sub, since, last, self.node.next_number())
        self._reading.begin(feed, request, now)
        return request

    def _attach(self, name: str, storage: Storage, slow: str) -> Feed:
        most, idle = self.node.limits.attached, self.node.idle
        if most is not None and len(self.feeds) >= most:
            if not idle:
                raise TooManyTopics(f"{most} topics are attached")
            self._detach(next(iter(idle)))
        feed = self.feeds[name] = Feed(name, storage, slow)
        self.node.effects.append(Attach(feed))
        return feed

    def activate(self, sub: Subscription, now: float) -> bool:
        """Begin to send to a subscriber that has its answer, or is about to.

        Returns whether it has all there is; if not, the rest follows. Nothing is sent
        before the effects of this are carried out.
        """
        assert sub.cursor is not None
        if sub.cursor == sub.feed.position:
            self.node.make_live(sub)
            return True
        self.node.fall_behind(sub, sub.cursor, Lag(now, -1, slow=False))
        self._lagging.feed(sub, now)
        return False

    def _ask(self, sub: Subscription, now: float) -> None:
        """Ask for what follows the cursor of one that is behind."""
        request = Request(sub, sub.cursor, 0, self.node.next_number())
        self._reading.begin(sub.feed, request, now)

    def unsubscribe(self, sub: Subscription, now: float) -> None:
        """End a subscription, whatever it waits for."""
        if sub.state == GONE:
            return
        feed = sub.feed
        self.node.leave_state(sub)
        sub.state = GONE
        if sub.link.subs.get(feed.name) is sub:
            del sub.link.subs[feed.name]
        request = feed.requests.pop(sub, None)
        if request is not None and not request.is_feeding:
            self.node.effects.append(Resolved(request))  # without an outcome
        feed.members -= 1
        if feed.members == 0 and self.node.is_attached(feed):
            feed.linger_at = now + self.node.limits.linger
            self.node.idle[feed] = None
            self.node.schedule(feed)

    def closed(self, link: Link, now: float) -> None:
        """A connection has ended, and all its subscriptions with it."""
        for sub in list(link.subs.values()):
            self.unsubscribe(sub, now)

    def _detach(self, feed: Feed) -> None:
        self.node.forget(feed)
        self.node.effects.append(Detach(feed.name))

    # --- the live feed -----------------------------------------------------------

    def attached(self, feed: Feed, now: float) -> None:
        """The broker has confirmed that it feeds a topic."""
        if not self.node.is_attached(feed):
            return
        feed.attached = feed.up = True
        if not self.node.lossless:
            feed.check_at = now + CHECK_AGAIN * (1 + self.node.jitter())
            self.node.schedule(feed)
        self._reading.go_on(feed, now)

    def entry(self, name: str, entry: Entry, now: float) -> None:
        """An entry came by the live feed."""
        feed = self.feeds.get(name)
        if feed is None:
            return
        if feed.position is None:
            self._reading.hold(feed, entry)
            return
        kind = feed.kind_of(entry)
        if kind is Kind.NEXT:
            self.node.advance(feed, entry, now)
            if feed.held:
                self._reading.drain(feed, now)
                self._reading.go_on(feed, now)
        elif kind is Kind.REPEAT:
            self.node.repeats += 1
        elif kind is Kind.JUMP and not feed.keeps:
            self.node.skip_to(feed, entry, now)
        else:
            self._reading.hold(feed, entry)
            self._reading.repair(feed, now)

    # --- doubt, and how it ends --------------------------------------------------

    def lost(self, names: Iterable[str] | None, now: float) -> None:
        """The live feed of these topics, all if None, may have lost entries."""
        for feed in self.node.named(names):
            feed.doubt = self.node.next_number()
            feed.up = False

    def ready(self, names: Iterable[str] | None, now: float) -> None:
        """The live feed of these topics, all if None, is whole again: look at them."""
        due = []
        for feed in self.node.named(names):
            feed.up = True
            if feed.doubt and feed.attached and feed.position is not None:
                due.append(feed)
        self._check(due, now)

    def _check(self, feeds: list[Feed], now: float) -> None:
        """Ask for the tops of topics."""
        for start in range(0, len(feeds), CHECK_BATCH):
            batch = feeds[start : start + CHECK_BATCH]
            positions = [feed.position for feed in batch]
            check = Check(batch, positions, self.node.next_number())
            self.node.effects.append(check)
            for feed in batch:
                self.node.check_later(feed, now)  # in case that nothing comes of it
                self.node.schedule(feed)

    def tops(self, check: Check, tops: list[Position | None], now: float) -> None:
        """The newest positions of topics, as asked for."""
        for feed, asked, top in zip(check.feeds, check.positions, tops, strict=True):
            if not self.node.is_attached(feed) or feed.position is None:
                continue
            self.node.check_later(feed, now)
            self.node.schedule(feed)
            if feed.repairing:
                continue  # the read will show it
            if top is None or not self._agrees(feed, asked, top, now):
                self._reading.repair(feed, now)
                continue
            self._reading.saw_top(feed, top, check.number)
            self._reading.go_on(feed, now)

    def check_failed(self, check: Check, now: float) -> None:
        """The tops could not be asked for: try again soon."""
        for feed in check.feeds:
            feed.check_at = now + PATIENCE
            self.node.schedule(feed)

    def _agrees(
        self, feed: Feed, asked: Position | None, top: Position, now: float
    ) -> bool:
        """Whether a top is the feed's position, or one it has come by since."""
        position = feed.position
        assert position is not None
        if top == position:
            return True
        if top.epoch != position.epoch or asked is None or asked.epoch != top.epoch:
            return False
        if top.offset < asked.offset or top.offset == position.offset:
            return False  # the broker went back, or forked
        if top.offset < position.offset:
            return feed.tail.tag_at(top.offset) in (None, top.tag)
        if feed.doubt:
            return False
        self._reading.suspect(feed, top, now)
        return True

    # --- time --------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when ``tick()`` has something to do, infinity if never."""
        timers = self.node.timers
        return min(timers[0][0] if timers else NEVER, self.node.look_at_behind)

    def tick(self, now: float) -> None:
        """Do what is due at ``now``."""
        checks: list[Feed] = []
        while self.node.timers and self.node.timers[0][0] <= now:
            when, _, feed = heapq.heappop(self.node.timers)
            if not self.node.is_due(when, feed):
                continue
            feed.due_at = NEVER
            self._do_what_is_due(feed, now, checks)
            if self.node.is_attached(feed):
                self.node.schedule(feed)
        self._check(checks, now)
        if now >= self.node.look_at_behind:
            self._lagging.end_the_late(now)

    def _do_what_is_due(self, feed: Feed, now: float, checks: list[Feed]) -> None:
        if now >= feed.linger_at:
            self._detach(feed)
            return
        if now >= feed.suspect_at:
            self._reading.end_suspicion(feed, now)
        if now >= feed.retry_at:
            feed.retry_at = NEVER
            self._reading.read_next(feed, now)
        if now >= feed.check_at:
            feed.check_at = NEVER
            if feed.position is not None and feed.up:
                checks.append(feed)
            else:
                feed.check_at = now + PATIENCE
