"""Driver: carries out on asyncio what the core decides, with a broker.

Every call into the core is followed by ``carry_out()``. What goes to subscribers leaves
at the end of the loop's turn, in slices, so that entries which came together leave as
one message and a large topic keeps nobody waiting.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .broker import Broker, Storage
from .core import Core
from .effects import Attach, Check, Detach, Hangup, Read, Resolved, Send
from .entries import Entry, Position
from .errors import BrokerUnavailable
from .fanout import Fanout
from .feeds import Feed
from .limits import HubLimits
from .links import HubLink
from .subscriptions import GONE, Missing, Push, Request, Subscription
from .tasks import Tasks

__all__ = ["Driver"]

logger = logging.getLogger("longwire.hub")

SLICE = 0.002
"""Seconds that a turn of the loop is taken for sending to many."""
SLICE_COUNT = 64
"""Subscribers sent to between two looks at the clock."""
READS_AT_ONCE = 64
"""Reads that a broker is asked at the same time."""
ATTACH_BATCH = 1000
"""Topics attached to, or left, in one request."""
RETRY = 1.0
"""Seconds before a broker that failed is asked again."""


class Driver:
    """One core and one broker on one event loop. It is the sink of the broker."""

    def __init__(self, broker: Broker, limits: HubLimits) -> None:
        self.broker = broker
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.core = Core(
            limits,
            consecutive=broker.consecutive,
            lossless=broker.lossless,
            jitter=random.random,
        )
        self.on_room: Callable[[Any], None] = lambda link: None
        """Called with a link that has room again, after what it is behind in."""
        self.is_up = asyncio.Event()
        """Whether the broker feeds."""
        self.down_since: float | None = None
        """Since when it does not."""
        # For metrics.
        self.received = self.losses = self.without_room = self.hangups = 0
        self._fanout = Fanout(self._send, _settle)
        self._stopped = False
        self._turn_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = float("inf")
        self._waiters: dict[Request, asyncio.Future[None]] = {}
        self._wishes: dict[str, Feed | None] = {}
        self._wished = asyncio.Event()
        # Topics that the broker was asked to feed, perhaps in vain.
        self._told: set[str] = set()
        self._reads: asyncio.Semaphore = asyncio.Semaphore(READS_AT_ONCE)
        self._tasks = Tasks("the hub")
        self.spawn = self._tasks.spawn

    # --- its life ----------------------------------------------------------------

    def start(self) -> None:
        """Begin to feed."""
        self.spawn(self._run_broker())
        self.spawn(self._attach_and_detach())

    async def stop(self) -> None:
        """End all that is under way."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for future in self._waiters.values():
            future.cancel()
        await self._tasks.stop()

    async def _run_broker(self) -> None:
        """Run the broker, and run it again if it fails."""
        while True:
            try:
                await self.broker.run(self)
                why = "its run() returned"
            except Exception as exc:
                logger.exception("the broker %s failed", self.broker.name)
                why = f"{type(exc).__name__}"
            self.lost(None, why)
            await asyncio.sleep(RETRY)

    @property
    def now(self) -> float:
        """The time by the loop's clock."""
        return self.loop.time()

    # --- from the broker ---------------------------------------------------------

    def entry(self, topic: str, entry: Entry) -> None:
        """A message came by the live feed."""
        self.received += 1
        self.core.entry(topic, entry, self.now)
        self._turn_soon()

    def lost(self, topics: Iterable[str] | None, why: str) -> None:
        """The live feed may have lost entries."""
        if topics is None:
            self.losses += self.is_up.is_set()
            self.is_up.clear()
            self.down_since = self.down_since or self.now
        logger.warning("the feed of %s is lost: %s", _count(topics), why)
        self.core.lost(topics, self.now)
        self.carry_out()

    def ready(self, topics: Iterable[str] | None) -> None:
        """The live feed is whole again."""
        if topics is None:
            self.is_up.set()
            self.down_since = None
        self.core.ready(topics, self.now)
        self.carry_out()

    # --- what the core asks for --------------------------------------------------

    def carry_out(self) -> None:
        """Do what the core wants done."""
        while effects := self.core.take_effects():
            if self._stopped:
                continue
            for effect in effects:
                _CARRIES_OUT[type(effect)](self, effect)
        deadline = float("inf") if self._stopped else self.core.next_deadline()
        if deadline < self._wakes_at:
            if self._timer is not None:
                self._timer.cancel()
            self._wakes_at = deadline
            self._timer = self.loop.call_at(deadline, self._tick)
        # What a read brought is sent at the end of the turn, as what the feed brings.
        if self._fanout or self.core.is_pending:
            self._turn_soon()

    def _tick(self) -> None:
        self._timer, self._wakes_at = None, float("inf")
        self.core.tick(self.now)
        self.carry_out()

    def _carry_send(self, effect: Send) -> None:
        self._fanout.add(effect.message)

    def _carry_attach(self, effect: Attach) -> None:
        # A wish replaces an older one of the same name; it goes to the end.
        self._wishes.pop(effect.feed.name, None)
        self._wishes[effect.feed.name] = effect.feed
        self._wished.set()

    def _carry_detach(self, effect: Detach) -> None:
        self._wishes.pop(effect.name, None)
        # A broker that does not answer must not leave a wish for each name there was.
        if effect.name in self._told:
            self._wishes[effect.name] = None
            self._wished.set()

    def _carry_read(self, effect: Read) -> None:
        self.spawn(self._read(effect))

    def _carry_check(self, effect: Check) -> None:
        self.spawn(self._check(effect))

    def _carry_resolved(self, effect: Resolved) -> None:
        future = self._waiters.get(effect.request)
        if future is not None and not future.done():
            future.set_result(None)

    def _carry_hangup(self, effect: Hangup) -> None:
        link: Any = effect.link
        self.hangups += 1
        logger.info("closing %r: %s", link, effect.reason)
        link.hang_up(effect.reason, "behind", self.limits.behind)

    # --- sending -----------------------------------------------------------------

    def _turn_soon(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Send what came in this turn, for no longer than a slice."""
        self._turn_due = False
        self.core.flush()
        self.carry_out()
        until = self.now + SLICE
        while self._fanout.run(SLICE_COUNT):
            if self.now >= until:
                break
        self.carry_out()

    def _send(self, sub: Subscription, message: Push | Missing) -> None:
        """Send to one subscriber, unless it has no room."""
        if not self.core.wants(sub, message):
            return
        link: Any = sub.link
        try:
            sent = link.deliver(message)
        except Exception:
            # One connection's failure must not keep the message from the others.
            logger.exception("sending to %r failed", link)
            link.hang_up("sending failed", "behind", None)
            return
        if not sent:
            self.without_room += 1
            self.core.no_room(sub, message, self.now)
            link.wait_for_room(self.room)
        elif message.to is not None:
            self.core.sent(sub, message)
            if link.has_room:
                self.core.room(link, self.now)
            elif link.behind:
                link.wait_for_room(self.room)

    def room(self, link: HubLink) -> None:
        """A connection has room again."""
        self.core.room(link, self.now)
        self.carry_out()
        self.on_room(link)

    # --- what takes time ---------------------------------------------------------

    async def _read(self, read: Read) -> None:
        feed = read.feed
        try:
            async with self._reads:
                page = await self.broker.read(
                    feed.name,
                    read.since,
                    feed.storage,
                    read.limit,
                    read.size,
                    reverse=read.since is None,
                )
        except BrokerUnavailable as exc:
            logger.info("reading %s: %s", feed.name, exc)
            self.core.read_failed(read, self.now)
        except Exception:
            logger.exception("reading %s failed", feed.name)
            self.core.read_failed(read, self.now)
        else:
            self.core.page(read, page, self.now)
        self.carry_out()

    async def _check(self, check: Check) -> None:
        try:
            tops: list[Position | None] = await self.broker.tops(
                [feed.name for feed in check.feeds]
            )
        except BrokerUnavailable as exc:
            logger.info(
                "cannot look for missed messages of %d topics: %s",
                len(check.feeds),
                exc,
            )
            self.core.check_failed(check, self.now)
        except Exception:
            logger.exception(
                "looking for missed messages of %d topics failed", len(check.feeds)
            )
            self.core.check_failed(check, self.now)
        else:
            self.core.tops(check, tops, self.now)
        self.carry_out()

    async def _attach_and_detach(self) -> None:
        """Carry out wishes in their order, many at a time, until each is fulfilled."""
        while True:
            await self._wished.wait()
            wishes = dict(list(self._wishes.items())[:ATTACH_BATCH])
            if not wishes:
                self._wished.clear()
                continue
            for name in wishes:
                del self._wishes[name]
            left = [name for name, feed in wishes.items() if feed is None]
            feeds = [feed for feed in wishes.values() if feed is not None]
            try:
                if left:
                    await self.broker.detach(left)
                    self._told.difference_update(left)
                    for name in left:
                        del wishes[name]
                if feeds:
                    self._told.update(feed.name for feed in feeds)
                    await self.broker.attach([feed.name for feed in feeds])
            except Exception as exc:
                self._wish_again(wishes)
                if not isinstance(exc, BrokerUnavailable):
                    logger.exception("attaching to topics failed")
                await asyncio.sleep(RETRY)
                continue
            for feed in feeds:
                self.core.attached(feed, self.now)
            self.carry_out()

    def _wish_again(self, wishes: dict[str, Feed | None]) -> None:
        """Put back what could not be done, where nothing newer was wished for."""
        self._wishes = {**wishes, **self._wishes}

    # --- subscribing -------------------------------------------------------------

    async def subscribe(
        self,
        link: HubLink,
        wanted: Sequence[tuple[str, Storage, str, Position | None, int]],
    ) -> list[Request | Exception]:
        """Return requests with their outcomes; their subscriptions are parked.

        Whoever gets them activates them in the turn in which the answers are sent.
        What could not be done in time is the exception that says so.
        """
        found: list[Request | Exception] = []
        for name, storage, slow, since, last in wanted:
            try:
                found.append(
                    self.core.subscribe(
                        link, name, storage, slow, since, last, self.now
                    )
                )
            except Exception as exc:
                found.append(exc)
        self.carry_out()
        try:
            await self._wait_for([each for each in found if isinstance(each, Request)])
        except BaseException:
            self.unsubscribe([e.sub for e in found if isinstance(e, Request)])
            raise
        return [
            self._give_up(each)
            if isinstance(each, Request) and each.outcome is None
            else each
            for each in found
        ]

    def _give_up(self, request: Request) -> Exception:
        """End a subscription without an outcome; return the exception that says why."""
        name = request.sub.feed.name
        if request.sub.state == GONE:
            # By an order, or since orders were missed: whether it may subscribe is
            # found out when it does so again.
            return BrokerUnavailable(f"{name}: all are to subscribe anew")
        self.unsubscribe([request.sub])
        return BrokerUnavailable(f"{name}: the broker does not answer")

    async def _wait_for(self, requests: list[Request]) -> None:
        """Wait until all have outcomes, or time is up."""
        waiting: list[asyncio.Future[None]] = []
        for request in requests:
            if request.outcome is None:
                future = self._waiters[request] = self.loop.create_future()
                waiting.append(future)
        if not waiting:
            return
        try:
            await asyncio.wait(waiting, timeout=self.limits.subscribe_timeout)
        finally:
            for request in requests:
                self._waiters.pop(request, None)

    def activate(self, sub: Subscription) -> bool:
        """Begin to send to a subscriber, from the next turn of the loop on."""
        caught_up = self.core.activate(sub, self.now)
        self._turn_soon()
        return caught_up

    def unsubscribe(self, subs: Iterable[Subscription]) -> None:
        """End subscriptions."""
        for sub in subs:
            self.core.unsubscribe(sub, self.now)
        self.carry_out()

    def closed(self, link: HubLink) -> None:
        """A connection has ended."""
        self.core.closed(link, self.now)
        self.carry_out()


_CARRIES_OUT: dict[type, Callable[[Driver, Any], None]] = {
    Send: Driver._carry_send,
    Attach: Driver._carry_attach,
    Detach: Driver._carry_detach,
    Read: Driver._carry_read,
    Check: Driver._carry_check,
    Resolved: Driver._carry_resolved,
    Hangup: Driver._carry_hangup,
}


def _settle(message: Push | Missing) -> None:
    """All that were to get it have been asked."""
    for form in message.forms.values():
        form.settle()


def _count(topics: Iterable[str] | None) -> str:
    return "all topics" if topics is None else f"{len(list(topics))} topics"
