"""A broker, a feed that does everything a feed can do wrong, a node, and clients.

All of it is in one hand: each step is one thing that happens, in any order, so that a
test can try every interleaving. Clients check at each message what the hub promises.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from longwire.hub.broker import Storage
from longwire.hub.core import Core
from longwire.hub.effects import Attach, Check, Detach, Hangup, Read, Resolved, Send
from longwire.hub.entries import Entry, Page, Position, Verdict, judge
from longwire.hub.fanout import Fanout
from longwire.hub.limits import HubLimits
from longwire.hub.subscriptions import BEHIND, GONE, LIVE, PARKED, Missing, Push

LIMITS = HubLimits(
    page=4,
    page_bytes=4000,
    catch_up_bytes=2000,
    tail_bytes=1600,
    tail_bytes_in_all=2400,
    held=5,
    held_bytes=2000,
    linger=5.0,
)


class History:
    """One topic of a broker: all it has, and what it may do to it."""

    def __init__(self, world: World, history: int) -> None:
        self.world = world
        self.storage = Storage(history, 1e9, 1e9, 300)
        self.entries: list[Entry] = []
        self.top = Position(world.new_epoch(), 0, 0)
        self.rewound: set[Position] = set()

    def publish(self, size: int = 8) -> Entry:
        top = self.top
        tag = self.world.new_tag()
        entry = Entry(
            top.epoch, top.offset + 1, top.offset, tag, top.tag, 0.0, bytes(size)
        )
        self.top = entry.position
        if self.storage.history:
            self.entries.append(entry)
            del self.entries[: -self.storage.history]
        return entry

    def lose_newest(self, count: int) -> None:
        """A failover: the newest were not replicated."""
        kept = self.entries[: max(0, len(self.entries) - count)]
        if len(kept) == len(self.entries):
            return
        lost = self.entries[len(kept)]
        self.entries = kept
        self.top = Position(lost.epoch, lost.prev, lost.prev_tag or 0)
        self.rewound.add(self.top)

    def restart(self) -> None:
        """All is gone, and begins anew."""
        self.entries = []
        self.top = Position(self.world.new_epoch(), 0, 0)

    def trim(self, count: int) -> None:
        """The oldest are gone."""
        del self.entries[:count]

    def judge(self, since: Position) -> Verdict:
        return judge(
            since,
            self.top,
            keeps=self.storage.history > 0,
            first_prev=self.entries[0].prev if self.entries else None,
            tag_at=next(
                (e.tag for e in self.entries if e.offset == since.offset), None
            ),
        )

    def read(self, since: Position | None, limit: int, size: int) -> Page:
        if since is None:
            newest = self.entries[::-1]
            taken = newest[:limit]
            return Page(Verdict.COMPLETE, taken, self.top, len(taken) < len(newest))
        verdict = self.judge(since)
        if verdict is not Verdict.COMPLETE:
            return Page(verdict, [], self.top, False)
        after = [e for e in self.entries if e.offset > since.offset]
        taken, total = [], 0
        for entry in after[:limit]:
            total += len(entry.data)
            if taken and total > size:
                break
            taken.append(entry)
        return Page(verdict, taken, self.top, len(taken) < len(after))


class Client:
    """A connection, and what came by it; checks that nothing is missing unsaid."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.subs: dict[str, Any] = {}
        self.behind: dict[Any, None] = {}
        self.has_room = True
        self.requests: dict[str, Any] = {}
        self.position: dict[str, Position] = {}
        self.log: list[Any] = []
        self.gaps = 0
        self.hung_up = False

    def answered(self, topic: str, request: Any) -> None:
        outcome = request.outcome
        if outcome.verdict is not None and outcome.verdict is not Verdict.COMPLETE:
            self.world.check_broken(topic, request.since, outcome.verdict)
        if outcome.verdict is Verdict.COMPLETE:
            self.position[topic] = request.since
        elif outcome.entries:
            first = outcome.entries[0]
            self.position[topic] = Position(
                first.epoch, first.prev, first.prev_tag or 0
            )
        else:
            self.position[topic] = outcome.position
        self.log.append((topic, "subscribed", outcome.verdict, outcome.position))
        for entry in outcome.entries:
            self.entry(topic, entry)
        assert self.position[topic] == outcome.position

    def entry(self, topic: str, entry: Entry) -> None:
        before = self.position[topic]
        assert entry.epoch == before.epoch, (self.name, before, entry)
        assert entry.prev == before.offset, (self.name, before, entry)
        assert entry.prev_tag == before.tag, (self.name, before, entry)
        self.position[topic] = entry.position
        self.log.append((topic, entry.offset, entry.tag))

    def take(self, topic: str, message: Push | Missing, latest: bool) -> None:
        if isinstance(message, Missing):
            assert message.before == self.position[topic]
            assert message.after != message.before
            self.world.check_broken(topic, message.before, message.reason)
            self.position[topic] = message.after
            self.gaps += 1
            self.log.append((topic, "gap", message.reason, message.missed))
            return
        assert message.before == self.position[topic], (self.name, message)
        if message.skipped != 0:
            assert latest
            first, last = message.entries[0], message.entries[-1]
            assert message.before.offset < first.offset <= last.offset
            if message.skipped is not None:
                span = last.offset - message.before.offset
                assert span == message.skipped + len(message.entries)
            self.position[topic] = last.position
            self.log.append((topic, "skipped", message.skipped))
        else:
            for entry in message.entries:
                self.entry(topic, entry)
        assert self.position[topic] == message.after


class World:
    """Everything; its methods are the things that may happen."""

    def __init__(
        self,
        seed: int = 0,
        *,
        histories: tuple[tuple[str, int, str], ...] = (("a", 6, "catch_up"),),
        clients: int = 3,
        limits: HubLimits = LIMITS,
    ) -> None:
        self.random = random.Random(seed)
        self._tags = 0
        self._epochs = 0
        self.now = 100.0
        self.core = Core(
            limits, consecutive=True, lossless=False, jitter=self.random.random
        )
        self.limits = limits
        self.topics = {name: History(self, history) for name, history, _ in histories}
        self.slow = {name: slow for name, _, slow in histories}
        self.clients = [Client(self, f"client {n}") for n in range(clients)]
        self.fanout = Fanout(self.send, lambda message: None)
        self.attaching: deque[Any] = deque()
        self.fed: dict[str, bool] = {}
        self.network: deque[tuple[str, Entry]] = deque()
        self.asked: deque[Read | Check] = deque()  # on the way to the broker
        self.answers: deque[tuple[Any, Any]] = deque()  # on the way back
        self.resolved: deque[Any] = deque()
        self.up = True
        self.destroyed = 0
        self.dropped = 0

    def new_tag(self) -> int:
        self._tags += 1
        return self._tags * 1000 + self.random.randrange(1000)

    def new_epoch(self) -> str:
        self._epochs += 1
        return f"epoch{self._epochs}"

    # --- what must hold ----------------------------------------------------------

    def check_broken(self, topic: str, since: Position, reason: str) -> None:
        """A gap is told where there is one, and only there."""
        if reason in ("lost", "slow", Verdict.NO_HISTORY):
            assert self.slow[topic] in ("drop", "latest"), reason
            return
        # Once a position cannot be continued it never can again, but for one that was
        # trimmed and then became the top, since all after it was lost.
        if since not in self.topics[topic].rewound:
            verdict = self.topics[topic].judge(since)
            assert verdict is not Verdict.COMPLETE, (topic, reason)

    def check_bounds(self) -> None:
        """Nothing grows beyond its limit."""
        limits = self.limits
        for feed in self.core.feeds.values():
            assert len(feed.held) <= limits.held
            assert feed.held_size <= limits.held_bytes
            assert feed.held_size == sum(entry.size for _, entry in feed.held)
            assert feed.tail.size <= limits.tail_bytes
            assert feed.tail.size == sum(e.size for e in feed.tail.entries)
            assert feed.pending_size <= limits.catch_up_bytes
            assert len(feed.requests) <= 2 * len(self.clients)
        assert self.core.node.tails.size <= limits.tail_bytes_in_all
        assert len(self.core.node.timers) <= 20 + 8 * len(self.core.feeds)
        for client in self.clients:
            for topic, sub in client.subs.items():
                if sub.state == LIVE and not self.fanout and not sub.feed.pending:
                    assert client.position[topic] == sub.feed.position
                if sub.state == BEHIND:
                    assert sub in client.behind and sub in self.core.node.behind

    # --- the node's effects ------------------------------------------------------

    def carry_out(self) -> None:
        """Do what the core asks for, as far as it is the node's own."""
        while effects := self.core.take_effects():
            for effect in effects:
                if isinstance(effect, Send):
                    self.fanout.add(effect.message)
                elif isinstance(effect, Attach):
                    self.attaching.append(effect.feed)
                elif isinstance(effect, Detach):
                    self.attaching.append(effect.name)
                elif isinstance(effect, (Read, Check)):
                    self.asked.append(effect)
                elif isinstance(effect, Resolved):
                    if effect.request.outcome is not None:
                        self.resolved.append(effect.request)
                elif isinstance(effect, Hangup):
                    effect.link.hung_up = True
                    self.close(self.clients.index(effect.link))

    def send(self, sub: Any, message: Push | Missing) -> None:
        if not self.core.wants(sub, message):
            return
        client = sub.link
        if not client.has_room:
            self.core.no_room(sub, message, self.now)
            return
        topic = sub.feed.name
        client.take(topic, message, self.slow[topic] == "latest")
        if message.to is not None:
            self.core.sent(sub, message)
            self.core.room(client, self.now)

    # --- what may happen: clients ------------------------------------------------

    def subscribe(self, client: int, topic: str, how: int) -> None:
        """From where it was, with the newest, or from now on."""
        it = self.clients[client]
        since = it.position.get(topic) if how != 1 else None
        last = 3 if how == 1 else 0
        if how == 2 and since is not None:
            since = since._replace(tag=since.tag + (since.offset > 0))
        storage = self.topics[topic].storage
        it.requests[topic] = self.core.subscribe(
            it, topic, storage, self.slow[topic], since, last, self.now
        )
        self.carry_out()

    def answer(self) -> None:
        """A handler goes on that was told of its outcome."""
        if not self.resolved:
            return
        request = self.resolved.popleft()
        sub = request.sub
        if sub.state != PARKED:
            return
        client, topic = sub.link, sub.feed.name
        assert client.requests.pop(topic) is request
        self.core.activate(sub, self.now)
        client.answered(topic, request)
        self.carry_out()

    def unsubscribe(self, client: int, topic: str) -> None:
        sub = self.clients[client].subs.get(topic)
        if sub is not None:
            self.core.unsubscribe(sub, self.now)
            assert sub.state == GONE
        self.clients[client].requests.pop(topic, None)
        self.carry_out()

    def close(self, client: int) -> None:
        it = self.clients[client]
        self.core.closed(it, self.now)
        assert not it.subs and not it.behind
        it.requests.clear()
        self.carry_out()

    def set_room(self, client: int, has_room: bool) -> None:
        it = self.clients[client]
        it.has_room = has_room
        if has_room:
            self.core.room(it, self.now)
        self.carry_out()

    # --- what may happen: the node -----------------------------------------------

    def flush(self) -> None:
        """The turn of the node's loop ends."""
        self.core.flush()
        self.carry_out()

    def fan_out(self, count: int = 1) -> None:
        self.fanout.run(count)
        self.carry_out()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.core.tick(self.now)
        self.carry_out()

    # --- what may happen: the broker ---------------------------------------------

    def attach(self) -> None:
        """The broker carries out the oldest wish to attach or detach."""
        if not self.attaching:
            return
        wish = self.attaching.popleft()
        if isinstance(wish, str):
            self.fed.pop(wish, None)
            return
        self.fed[wish.name] = True
        self.core.attached(wish, self.now)
        self.carry_out()

    def publish(self, topic: str, size: int = 8) -> None:
        entry = self.topics[topic].publish(size)
        if self.fed.get(topic):
            if self.up:
                self.network.append((topic, entry))
            else:
                self.dropped += 1

    def lose_newest(self, topic: str, count: int) -> None:
        self.destroyed += 1
        self.topics[topic].lose_newest(count)

    def restart(self, topic: str) -> None:
        self.destroyed += 1
        self.topics[topic].restart()

    def trim(self, topic: str, count: int) -> None:
        self.destroyed += 1
        self.topics[topic].trim(count)

    def answer_read(self, fail: bool = False) -> None:
        """The broker carries out a read, or a check; its answer is on the way."""
        if not self.asked:
            return
        asked = self.asked.popleft()
        if fail:
            self.answers.append((asked, None))
        elif isinstance(asked, Read):
            topic = self.topics[asked.feed.name]
            page = topic.read(asked.since, asked.limit, asked.size)
            self.answers.append((asked, page))
        else:
            tops = [self.topics[feed.name].top for feed in asked.feeds]
            self.answers.append((asked, tops))

    def bring_answer(self) -> None:
        if not self.answers:
            return
        asked, answer = self.answers.popleft()
        if isinstance(asked, Read):
            if answer is None:
                self.core.read_failed(asked, self.now)
            else:
                self.core.page(asked, answer, self.now)
        elif answer is None:
            self.core.check_failed(asked, self.now)
        else:
            self.core.tops(asked, answer, self.now)
        self.carry_out()

    # --- what may happen: the feed -----------------------------------------------

    def deliver(self, index: int = 0) -> None:
        if self.network:
            index %= len(self.network)
            topic, entry = self.network[index]
            del self.network[index]
            self.core.entry(topic, entry, self.now)
            self.carry_out()

    def repeat(self) -> None:
        if self.network:
            self.network.append(self.network[0])

    def drop(self) -> None:
        """A message is lost on the way, and nobody is told."""
        if self.network:
            self.network.popleft()
            self.dropped += 1

    def lose_feed(self, *, quietly: bool = False) -> None:
        """The connection is gone, and what was on it."""
        self.up = False
        self.dropped += len(self.network)
        self.network.clear()
        self.core.lost(None, self.now)
        self.carry_out()

    def restore_feed(self) -> None:
        self.up = True
        self.core.ready(None, self.now)
        self.carry_out()

    # --- in the end --------------------------------------------------------------

    def settle(self) -> None:
        """Let all go well for long enough; then everybody has everything."""
        for index, client in enumerate(self.clients):
            client.hung_up = False
            self.set_room(index, True)
        if not self.up:
            self.restore_feed()
        for step in range(200):
            self.pass_time(0.05 if step < 100 else 1.0)
            for _ in range(40):
                self.attach()
                self.answer_read()
                self.bring_answer()
                self.deliver()
                self.flush()
                self.fan_out(100)
                self.answer()
            self.check_bounds()
        assert not (self.network or self.asked or self.answers or self.fanout)
        for client in self.clients:
            assert not client.requests, client.requests
            assert not client.hung_up, "it had room"
            for topic, sub in client.subs.items():
                assert sub.state == LIVE, (client.name, sub, sub.feed)
                assert client.position[topic] == self.topics[topic].top
        if not self.destroyed:
            for client in self.clients:
                kept = [
                    event
                    for event in client.log
                    if event[1] == "gap" and self.slow[event[0]] == "catch_up"
                ]
                trimmed = [event for event in kept if event[2] != "trimmed"]
                assert trimmed == [], trimmed
