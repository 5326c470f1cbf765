"""Presence: who is on a topic, by lease. No I/O; time is an argument.

Each node renews the leases of its own members, and tells the broker of joins and leaves
once a second for each topic. A connection that is lost only shortens the lease: who
comes back in time, to whatever node, never left. It is a hint, never a lock: some
seconds late, and without a history.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .broker import Change, Join, Leave, Member, Presence, Renew

__all__ = ["GRACE", "LEASE", "MANY", "Announce", "Diff", "PresenceTable", "Tell"]

LEASE = 60.0
"""Seconds that a member is present without being renewed."""
RENEW_EVERY = 20.0
"""Seconds between renewals, ± 20 %."""
GRACE = 10.0
"""Seconds after a lost connection in which who comes back has not left."""
BATCH = 1.0
"""Seconds for which joins and leaves of a topic are collected."""
SWEEP_EVERY = 5.0
"""Seconds between looks at leases that ended, of topics that somebody here watches."""
MANY = 500
"""Members above which only their number is told, not who came and went."""

NEVER = math.inf


class Diff(NamedTuple):
    """Who came and who left a topic, and how many are there now."""

    joined: list[Member]
    left: list[Member]
    clients: int
    users: int


class Announce(NamedTuple):
    """Tell the broker of changes, and end leases that are over, of these topics."""

    topics: list[str]
    changes: list[Change]


class Tell(NamedTuple):
    """Tell those who watch a topic here."""

    topic: str
    diff: Diff


class _Mine:
    """A member whose lease this node renews."""

    __slots__ = ("links", "member", "renew_at")

    def __init__(self, member: Member, renew_at: float) -> None:
        self.member = member
        self.renew_at = renew_at
        self.links = 1
        """Its connections here: an old one may not have been noticed to be dead."""


class _Topic:
    """What a node knows of one topic's presence."""

    __slots__ = ("changes", "joined", "known", "left", "mine", "sweep_at", "watchers")

    def __init__(self) -> None:
        self.mine: dict[str, _Mine] = {}
        self.changes: dict[str, Change] = {}
        """By client: the last one counts."""
        self.watchers = 0
        self.sweep_at = NEVER
        # What is to be told to the watchers, and the newest counts.
        self.joined: dict[str, Member] = {}
        self.left: dict[str, Member] = {}
        self.known: tuple[int, int] | None = None

    @property
    def is_unused(self) -> bool:
        return not (self.mine or self.changes or self.watchers)


class PresenceTable:
    """The members of one node, and the watchers. ``jitter()`` is from 0 to 1."""

    def __init__(self, node: str, jitter: Callable[[], float]) -> None:
        self.node = node
        self._jitter = jitter
        self._topics: dict[str, _Topic] = {}
        self._batch_at = NEVER
        self._renew_at = NEVER

    def __len__(self) -> int:
        return sum(len(topic.mine) for topic in self._topics.values())

    @property
    def topics(self) -> list[str]:
        """The topics with members or watchers here."""
        return list(self._topics)

    # --- members -----------------------------------------------------------------

    def join(self, name: str, member: Member, now: float) -> None:
        """A connection of a client is there."""
        topic = self._topic(name)
        mine = topic.mine.get(member.client)
        renew_at = now + self._renewal()
        if mine is None:
            topic.mine[member.client] = _Mine(member, renew_at)
        else:
            mine.links += 1
            mine.member = member
        self._renew_at = min(self._renew_at, renew_at)
        self._change(topic, member.client, Join(name, member, LEASE), now)

    def leave(self, name: str, client: str, now: float, *, at_once: bool) -> None:
        """A connection of a client has gone: with its subscription, or by a loss."""
        topic = self._topics.get(name)
        mine = None if topic is None else topic.mine.get(client)
        if topic is None or mine is None:
            return
        mine.links -= 1
        if mine.links:
            return
        del topic.mine[client]
        after = 0.0 if at_once else GRACE
        self._change(topic, client, Leave(name, client, self.node, after), now)
        if after:
            # Who sees it end tells the others; we are sure to look.
            self._sweep_at(topic, now + BATCH + after + BATCH)

    def _topic(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = _Topic()
        return topic

    def _change(self, topic: _Topic, client: str, change: Change, now: float) -> None:
        topic.changes.pop(client, None)
        topic.changes[client] = change
        self._batch_at = min(self._batch_at, now + BATCH)

    def _renewal(self) -> float:
        return RENEW_EVERY * (0.8 + 0.4 * self._jitter())

    def leave_all(self) -> list[Change]:
        """Return what is left to say when the node ends: leases that end in time.

        Those who come back to another node meanwhile never left.
        """
        changes: list[Change] = []
        for name, topic in self._topics.items():
            changes += [c for c in topic.changes.values() if isinstance(c, Leave)]
            changes += [Leave(name, client, self.node, GRACE) for client in topic.mine]
        self._topics.clear()
        return changes

    # --- watchers ----------------------------------------------------------------

    def watch(self, name: str, now: float) -> None:
        """Somebody here wants to know who comes and goes."""
        topic = self._topic(name)
        topic.watchers += 1
        self._sweep_later(topic, now)

    def unwatch(self, name: str) -> None:
        """Somebody here wants to know it no more."""
        topic = self._topics.get(name)
        if topic is None:
            return
        topic.watchers -= 1
        if topic.is_unused:
            del self._topics[name]

    def is_watched(self, name: str) -> bool:
        """Whether anybody here wants to know."""
        topic = self._topics.get(name)
        return topic is not None and topic.watchers > 0

    def _sweep_later(self, topic: _Topic, now: float) -> None:
        if topic.watchers:
            self._sweep_at(topic, now + SWEEP_EVERY * (0.8 + 0.4 * self._jitter()))

    def _sweep_at(self, topic: _Topic, when: float) -> None:
        topic.sweep_at = min(topic.sweep_at, when)
        self._renew_at = min(self._renew_at, when)

    # --- what the broker said ----------------------------------------------------

    def changed(self, result: Presence, now: float) -> Diff | None:
        """Take the result of an `Announce`; return what to tell all nodes, if any.

        Of members that the broker had forgotten the join is told again.
        """
        topic = self._topics.get(result.topic)
        if topic is not None:
            for client in result.unknown:
                mine = topic.mine.get(client)
                if mine is not None and client not in topic.changes:
                    join = Join(result.topic, mine.member, LEASE)
                    self._change(topic, client, join, now)
        if not (result.joined or result.left):
            return None
        if max(result.clients, len(result.joined) + len(result.left)) > MANY:
            return Diff([], [], result.clients, result.users)
        return Diff(result.joined, result.left, result.clients, result.users)

    def failed(self, announce: Announce, now: float) -> None:
        """The broker could not be told: say it again, unless it was overtaken."""
        for name in announce.topics:
            self._sweep_at(self._topic(name), now + SWEEP_EVERY)
        for change in announce.changes:
            client = _client_of(change)
            topic = self._topic(change.topic)
            if client in topic.changes:
                continue
            if isinstance(change, Renew):
                if client in topic.mine:
                    topic.mine[client].renew_at = now + BATCH
                    self._renew_at = min(self._renew_at, now + BATCH)
            else:
                self._change(topic, client, change, now)

    def heard(self, name: str, diff: Diff, now: float) -> None:
        """A node told who came and went; it may have been this one."""
        topic = self._topics.get(name)
        if topic is None or not topic.watchers:
            return
        for member in diff.joined:
            topic.joined[member.client] = member
            topic.left.pop(member.client, None)
        for member in diff.left:
            if topic.joined.pop(member.client, None) is None:
                topic.left[member.client] = member
        topic.known = (diff.clients, diff.users)
        self._batch_at = min(self._batch_at, now + BATCH)

    # --- time --------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when ``tick()`` has something to do."""
        return min(self._batch_at, self._renew_at)

    def tick(self, now: float) -> list[Announce | Tell]:
        """Return what is due at ``now``."""
        changes: list[Change] = []
        topics: list[str] = []
        effects: list[Announce | Tell] = []
        if now >= self._batch_at:
            self._batch_at = NEVER
            for name, topic in list(self._topics.items()):
                changes += self._take_changes(topic)
                if topic.known is not None:
                    effects.append(Tell(name, _take_diff(topic)))
        if now >= self._renew_at:
            changes += self._renewals(now)
            topics = self._sweeps(now)
        for name, topic in list(self._topics.items()):
            if topic.is_unused and topic.sweep_at == NEVER:
                del self._topics[name]
        if changes or topics:
            effects.append(Announce(topics, changes))
        return effects

    def _take_changes(self, topic: _Topic) -> Iterable[Change]:
        changes, topic.changes = topic.changes, {}
        return changes.values()

    def _renewals(self, now: float) -> list[Change]:
        changes: list[Change] = []
        self._renew_at = NEVER
        for name, topic in self._topics.items():
            for client, mine in topic.mine.items():
                if now >= mine.renew_at:
                    mine.renew_at = now + self._renewal()
                    changes.append(Renew(name, client, self.node, LEASE))
                self._renew_at = min(self._renew_at, mine.renew_at)
        return changes

    def _sweeps(self, now: float) -> list[str]:
        due = []
        for name, topic in self._topics.items():
            if now >= topic.sweep_at:
                topic.sweep_at = NEVER
                due.append(name)
                self._sweep_later(topic, now)
            self._renew_at = min(self._renew_at, topic.sweep_at)
        return due


def _take_diff(topic: _Topic) -> Diff:
    assert topic.known is not None
    joined, left = list(topic.joined.values()), list(topic.left.values())
    topic.joined, topic.left = {}, {}
    clients, users = topic.known
    topic.known = None
    return Diff(joined, left, clients, users)


def _client_of(change: Change) -> str:
    return change.member.client if isinstance(change, Join) else change.client
