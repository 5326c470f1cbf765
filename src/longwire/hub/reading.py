"""Reading: what a node asks its broker for, and what the answers say of its position.

At most one read of a topic is under way. It serves the feed, whose position may be in
question, and all requests that wait: the lowest place is read, since what it brings is
what all others wait for.
"""

from __future__ import annotations

from .answering import Answering
from .effects import Read
from .entries import Entry, Page, Position, Run, Verdict
from .feeds import NEVER, Feed, Kind
from .node import Node
from .subscriptions import Request

__all__ = ["Reading"]

PATIENCE = 1.0
"""Seconds that the feed gets to bring what the top says was published: it may be on
its way, and of a topic without history nobody can read it."""
READ_DELAYS = (0.05, 0.2, 0.8)
"""Seconds before a chain that did not close is read again."""
MAX_RETRY = 5.0
"""Most seconds between reads that fail."""
FIRST_TAIL = 16
"""Entries read when attaching, so that what the feed repeats of them is recognised."""


class Reading:
    """The reads of all topics."""

    def __init__(self, node: Node, answering: Answering) -> None:
        self._node = node
        self._answering = answering

    # --- asking ------------------------------------------------------------------

    def repair(self, feed: Feed, now: float) -> None:
        """Ask the broker what follows the position, and go on by its answer."""
        feed.repairing = True
        self.read_next(feed, now)

    def begin(self, feed: Feed, request: Request, now: float) -> None:
        """Answer a request, or let it wait for what has to be read.

        Without a look at those that wait already: nothing has changed for them.
        """
        if feed.is_settled and self._answering.answer(feed, request, now):
            return
        feed.requests[request.sub] = request
        self.read_next(feed, now)

    def go_on(self, feed: Feed, now: float) -> None:
        """Answer what can be answered, and ask for what is needed for the rest."""
        self._answering.answer_all(feed, now)
        if feed.requests or feed.repairing or feed.position is None:
            self.read_next(feed, now)

    def read_next(self, feed: Feed, now: float) -> None:
        """Ask for the one read that is needed most, if none is under way."""
        if feed.reading is not None or not feed.attached:
            return
        if feed.suspect is not None and not feed.keeps:
            return  # only waiting helps
        wanted = self._wanted(feed)
        if wanted is None:
            return
        if now < feed.retry_at < NEVER:
            self._node.schedule(feed)
            return
        feed.retry_at = NEVER
        since, limit, size = wanted
        number = self._node.next_number()
        read = Read(feed, since, limit, size, number, feed.position)
        feed.reading = read
        self._node.effects.append(read)

    def _wanted(self, feed: Feed) -> tuple[Position | None, int, int] | None:
        """Return what to read: since, or the newest; entries; bytes."""
        limits, position = self._node.limits, feed.position
        if position is None:
            return self._first(feed)
        if feed.repairing:
            return position, limits.page, limits.page_bytes
        requests = feed.requests.values()
        stored = [each for each in requests if _needs_read(feed, each)]
        if stored:
            since = min((each.since for each in stored if each.since), key=_offset)
            feeding = all(each.is_feeding for each in stored)
            size = limits.catch_up_bytes if feeding else limits.page_bytes
            return since, limits.page, size
        if any(not each.wants_newest for each in requests):
            # What the top is decides about it.
            return position, limits.page, limits.page_bytes
        last = max((each.last for each in requests), default=0)
        return (None, *self._newest(last)) if last else None

    def _first(self, feed: Feed) -> tuple[Position | None, int, int]:
        requests = feed.requests.values()
        places = [each.since for each in requests if each.since is not None]
        if places and feed.keeps:
            limits = self._node.limits
            return min(places, key=_offset), limits.page, limits.page_bytes
        last = max((each.last for each in requests), default=0)
        return None, *self._newest(last)

    def _newest(self, last: int) -> tuple[int, int]:
        limits = self._node.limits
        return min(max(last, FIRST_TAIL), limits.page), limits.page_bytes

    # --- answers -----------------------------------------------------------------

    def page(self, read: Read, page: Page, now: float) -> None:
        """Take a broker's answer to a read."""
        feed = read.feed
        if feed.reading is not read or not self._node.is_attached(feed):
            return
        feed.reading = None
        feed.failures = 0
        self._node.set_clock(page.now, now)
        run = _run_of(read, page)
        if feed.position is None:
            self._begin(feed, run, page)
        else:
            self._compare(feed, run, read, page, now)
        if not feed.repairing:
            self.saw_top(feed, page.top, read.number)
        self._drain(feed, now, read.number)
        self._answering.serve(feed, run, read, page, now)
        if feed.doubt and feed.up:
            feed.check_at = now  # this read was asked for before the doubt
            self._node.schedule(feed)
        self.go_on(feed, now)

    def read_failed(self, read: Read, now: float) -> None:
        """The broker could not answer: read again a little later."""
        feed = read.feed
        if feed.reading is not read or not self._node.is_attached(feed):
            return
        feed.reading = None
        feed.failures += 1
        delay = min(READ_DELAYS[0] * 2 ** min(feed.failures, 10), MAX_RETRY)
        feed.retry_at = now + delay * (0.75 + self._node.jitter() / 2)
        self._node.schedule(feed)

    def _begin(self, feed: Feed, run: Run | None, page: Page) -> None:
        """Take the position of a topic just attached from the first read of it."""
        feed.reset(page.top)
        feed.repairing, feed.overflowed = feed.overflowed, False
        if run is not None and feed.slow == "latest":
            for entry in run.entries:
                self._node.tails.keep_newest(feed, entry)
        self._widen_tail(feed, run)

    def _compare(
        self, feed: Feed, run: Run | None, read: Read, page: Page, now: float
    ) -> None:
        """See what a read says of the feed's position, and go on by it."""
        position, top = feed.position, page.top
        assert position is not None
        index = None if run is None else run.find(position)
        if run is not None and index is not None:
            if feed.repairing and index < len(run.entries):
                self._node.repaired += 1
            for entry in run.entries[index:]:
                self._node.advance(feed, entry, now)
            # Whether there is more to read, or some that came meanwhile was dropped.
            feed.repairing = feed.overflowed or (page.more and read.since is not None)
            feed.overflowed = False
            self._widen_tail(feed, run)
        elif read.since == position and page.verdict is not Verdict.COMPLETE:
            # The broker's exact word on our own position.
            feed.repairing = False
            if page.verdict is Verdict.NO_HISTORY:
                self.suspect(feed, top, now)
            else:
                self._node.reset(feed, top, page.verdict.value)
        elif top == position:
            feed.repairing = feed.overflowed
            feed.overflowed = False
        elif _came_by(read.position, top, position):
            pass  # it was so then
        elif top.epoch == position.epoch and top.offset > position.offset:
            self.suspect(feed, top, now)
        else:
            feed.repairing = True

    def _widen_tail(self, feed: Feed, run: Run | None) -> None:
        """Keep what was read as the tail, if it is more than that and ends there too.

        What others are about to ask for is in it: in a storm of reconnects few reads
        are made.
        """
        if run is None or run.end != feed.position:
            return
        if len(run.entries) > len(feed.tail.entries):
            feed.tail = Run(run.base, run.entries)
            self._node.tails.grown(feed)

    def saw_top(self, feed: Feed, top: Position, number: int) -> None:
        """The top was seen by what was asked at ``number``, and is not disputed."""
        position = feed.position
        assert position is not None
        if top.epoch == position.epoch and top.offset <= position.offset:
            feed.fresh = number
        if feed.doubt and feed.up and number > feed.doubt:
            feed.doubt = 0

    # --- a top that the feed has not reached -------------------------------------

    def suspect(self, feed: Feed, top: Position, now: float) -> None:
        """Give the feed a moment to bring what was published."""
        if feed.suspect is None:
            feed.suspect = top
            feed.suspect_at = now + PATIENCE
            self._node.schedule(feed)

    def end_suspicion(self, feed: Feed, now: float) -> None:
        """The moment is over."""
        top, position = feed.suspect, feed.position
        feed.suspect, feed.suspect_at = None, NEVER
        if top is None or position is None:
            return
        if position.epoch == top.epoch and position.offset < top.offset:
            if feed.keeps:
                self.repair(feed, now)
            else:
                self._node.reset(feed, top, "lost")
                self.drain(feed, now)
        self.go_on(feed, now)

    # --- entries that are held ---------------------------------------------------

    def hold(self, feed: Feed, entry: Entry) -> None:
        """Keep an entry that does not follow until it is known what it is."""
        limits = self._node.limits
        feed.hold(entry, self._node.next_number(), limits.held, limits.held_bytes)

    def drain(self, feed: Feed, now: float) -> None:
        """Take what follows from among the entries held."""
        self._drain(feed, now, 0)

    def _drain(self, feed: Feed, now: float, read: int) -> None:
        """Take what follows; ``read`` is the number of the read that shows up the rest.

        What was held before that was asked for, and does not follow from what it
        brought, is of a history that has ended, or came late; or the read was behind
        the feed.
        """
        while feed.held:
            held = sorted(feed.held, key=lambda each: each[1].offset)
            feed.release()
            for number, entry in held:
                kind = feed.kind_of(entry)
                if kind is Kind.NEXT:
                    self._node.advance(feed, entry, now)
                elif kind is Kind.REPEAT:
                    self._node.repeats += 1
                elif kind is Kind.JUMP and not feed.keeps:
                    self._node.skip_to(feed, entry, now)
                elif not _is_over(feed, entry, number, read):
                    feed.held.append((number, entry))
                    feed.held_size += entry.size
            if len(feed.held) == len(held):
                break
        if not feed.held:
            feed.attempts = 0
        elif read:
            self._read_again(feed, now)

    def _read_again(self, feed: Feed, now: float) -> None:
        """Read once more: what the feed brought is not in what was read."""
        feed.repairing = True
        if feed.attempts < len(READ_DELAYS):
            feed.retry_at = now + READ_DELAYS[feed.attempts]
            feed.attempts += 1
        else:
            # The broker does not have it. If it was behind, the next check shows it.
            feed.release()
            feed.attempts = 0
            feed.repairing = False
            feed.check_at = now + PATIENCE
        self._node.schedule(feed)


def _offset(position: Position) -> int:
    return position.offset


def _needs_read(feed: Feed, request: Request) -> bool:
    """Whether only a read from its own place can tell about a request."""
    since, position = request.since, feed.position
    if since is None or position is None or request.wants_newest:
        return False
    if since.epoch != position.epoch or since.offset >= position.offset:
        return False
    return feed.keeps or feed.fresh <= request.number


def _came_by(asked: Position | None, top: Position, position: Position) -> bool:
    """Whether a feed that was at ``asked`` came by ``top`` on its way to ``position``.

    As far as offsets tell: the next check tells the rest.
    """
    if asked is None or not asked.epoch == top.epoch == position.epoch:
        return False
    if top.offset == asked.offset and top.tag != asked.tag:
        return False
    return asked.offset <= top.offset < position.offset


def _is_over(feed: Feed, entry: Entry, number: int, read: int) -> bool:
    """Whether an entry is of no history that there is, as a later read showed."""
    position = feed.position
    assert position is not None
    if feed.repairing or number > read:
        return False
    return entry.epoch != position.epoch or entry.offset <= position.offset


def _run_of(read: Read, page: Page) -> Run | None:
    """Return what was read, oldest first; None if it is not connected to anything."""
    if read.since is None:
        return Run(None, reversed(page.entries))
    if page.verdict is not Verdict.COMPLETE:
        return None
    return Run(read.since, page.entries)
