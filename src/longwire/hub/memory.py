"""The broker of one process: topics in its memory, and nothing on the way.

Ends with its process. The epoch is new with each start, so that a restart is honestly
another history. Its clock is the time of day when it was made, counted on by the
monotonic clock: a time of day that is set later ends no lease and drops no history.
"""

from __future__ import annotations

import asyncio
import binascii
import collections
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from ..hints import checks_keywords
from ..random_bytes import ready_bytes
from .broker import (
    Change,
    Join,
    Leave,
    Member,
    Members,
    Presence,
    Renew,
    Sink,
    Storage,
    Stored,
)
from .entries import Entry, Page, Position, Verdict, judge
from .members import by_topic, count_users

__all__ = ["MemoryBroker", "new_epoch"]

MiB = 1 << 20

TOPIC, ID = 500, 350
"""Bytes of what is kept of a topic, and of an id, beside their own text."""

FORGOTTEN = 600.0
"""Seconds after which leases that ended are forgotten, though nobody was told."""


def new_epoch() -> str:
    """Return an epoch that no history had before: 8 random characters."""
    # As secrets.token_urlsafe(6), in less time: each publish brings one.
    random = binascii.b2a_base64(_random_bytes(), newline=False)
    return random.translate(_URL_SAFE).decode()


_random_bytes = ready_bytes(6)
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


DEQUE = 760
"""Bytes of a deque, an empty one too: topics that keep nothing have none."""
_NOTHING: collections.deque[Entry] = collections.deque(maxlen=0)


class _Topic:
    """What is stored of one topic."""

    __slots__ = ("entries", "expires", "size", "storage", "top")

    def __init__(self, epoch: str, storage: Storage) -> None:
        self.top = Position(epoch, 0, 0)
        self.entries = _NOTHING
        self.size = 0
        self.storage = storage
        self.expires = 0.0
        """When all is forgotten."""


class MemoryBroker:
    """Topics in the memory of this process.

    Beyond what declarations allow, the oldest entries of a topic go when it takes more
    than ``topic_bytes``, and those of the topic that was longest without a message when
    all take more than ``all_bytes``. Of ``topics`` and ``ids``, the longest unused are
    forgotten when there are more, or when beside their entries they take more than
    ``topics_bytes`` and ``ids_bytes``; a topic that was forgotten begins a new epoch.
    """

    name = "memory"
    consecutive = True
    lossless = True

    @checks_keywords()
    def __init__(
        self,
        *,
        topic_bytes: int = 1 * MiB,
        all_bytes: int = 64 * MiB,
        topics: int = 200_000,
        topics_bytes: int = 64 * MiB,
        ids: int = 100_000,
        ids_bytes: int = 16 * MiB,
    ) -> None:
        self._topic_bytes = topic_bytes
        self._all_bytes = all_bytes
        self._most_topics = topics
        self._topics_bytes = topics_bytes
        self._most_ids = ids
        self._ids_bytes = ids_bytes
        self._clock = _steady_clock()
        self._topics: dict[str, _Topic] = {}  # the longest unused first
        self._stored: dict[_Topic, None] = {}  # those with entries, the idlest first
        self._size = 0
        self._topics_size = 0
        self._ids_size = 0
        self._ids: dict[tuple[str, str], tuple[float, Position]] = {}
        self._attached: set[str] = set()
        self._members: dict[str, dict[str, tuple[float, Member]]] = {}
        self._sink: Sink | None = None

    @property
    def size(self) -> int:
        """Bytes that all entries take."""
        return self._size

    async def run(self, sink: Sink) -> None:
        """Feed ``sink`` until cancelled."""
        self._sink = sink
        sink.ready(None)
        try:
            while True:
                await asyncio.sleep(10.0)
                self._sweep(self._clock())
        finally:
            self._sink = None

    # --- messages ----------------------------------------------------------------

    async def publish(
        self,
        topic: str,
        data: bytes,
        tag: int,
        storage: Storage,
        *,
        id: str | None = None,
        again: bool = False,
    ) -> Stored:
        """Store a message and feed it."""
        return self.store(topic, data, tag, storage, id=id)

    def store(
        self, topic: str, data: bytes, tag: int, storage: Storage, *, id: str | None
    ) -> Stored:
        """Do what ``publish`` does, which here waits for nothing."""
        now = self._clock()
        if id is not None:
            found = self._ids.get((topic, id))
            if found is not None and found[0] > now:
                return Stored(found[1], duplicate=True)
        stored = self._topic(topic, storage, now)
        top = stored.top
        entry = Entry(top.epoch, top.offset + 1, top.offset, tag, top.tag, now, data)
        stored.top = entry.position
        if storage.history:
            self._keep(stored, entry)
        if id is not None:
            self._remember(topic, id, now + storage.idempotency, stored.top)
        if self._sink is not None and topic in self._attached:
            self._sink.entry(topic, entry)
        return Stored(stored.top)

    def _topic(self, name: str, storage: Storage, now: float) -> _Topic:
        """Return what is stored of a topic, made if there is nothing, and used now."""
        topic = self._topics.pop(name, None)
        if topic is None:
            self._topics_size += _topic_size(name)
        if topic is None or topic.expires <= now:
            if topic is not None:
                self._forget_entries(topic)
            topic = _Topic(new_epoch(), storage)
        self._topics[name] = topic
        topic.storage = storage
        topic.expires = now + storage.meta_ttl
        self._drop_old(topic, now)
        while len(self._topics) > self._most_topics or (
            self._topics_size > self._topics_bytes and len(self._topics) > 1
        ):
            self._forget(next(iter(self._topics)))
        return topic

    def _forget(self, name: str) -> None:
        self._forget_entries(self._topics.pop(name))
        self._topics_size -= _topic_size(name)

    def _drop_old(self, topic: _Topic, now: float) -> None:
        oldest = now - topic.storage.ttl
        while topic.entries and topic.entries[0].at <= oldest:
            self._drop_oldest(topic)

    def _keep(self, topic: _Topic, entry: Entry) -> None:
        if topic.entries is _NOTHING:
            topic.entries = collections.deque()
            topic.size = DEQUE
            self._size += DEQUE
        topic.entries.append(entry)
        topic.size += entry.size
        self._size += entry.size
        self._stored.pop(topic, None)
        self._stored[topic] = None
        while topic.entries and (
            len(topic.entries) > topic.storage.history or topic.size > self._topic_bytes
        ):
            self._drop_oldest(topic)
        while self._size > self._all_bytes and self._stored:
            self._drop_oldest(next(iter(self._stored)))

    def _drop_oldest(self, topic: _Topic) -> None:
        size = topic.entries.popleft().size
        topic.size -= size
        self._size -= size
        if not topic.entries:
            self._forget_entries(topic)

    def _forget_entries(self, topic: _Topic) -> None:
        self._size -= topic.size
        topic.size = 0
        topic.entries = _NOTHING
        self._stored.pop(topic, None)

    def _remember(self, topic: str, id: str, until: float, position: Position) -> None:
        if self._ids.pop((topic, id), None) is None:
            self._ids_size += _id_size(id)
        self._ids[topic, id] = (until, position)
        while len(self._ids) > self._most_ids or self._ids_size > self._ids_bytes:
            self._forget_id(next(iter(self._ids)))

    def _forget_id(self, key: tuple[str, str]) -> None:
        del self._ids[key]
        self._ids_size -= _id_size(key[1])

    async def clear(self, topic: str, storage: Storage) -> Position:
        """Forget all entries and begin a new epoch."""
        stored = self._topic(topic, storage, self._clock())
        self._forget_entries(stored)
        stored.top = Position(new_epoch(), 0, 0)
        if self._sink is not None:
            self._sink.lost([topic], "cleared")
            self._sink.ready([topic])
        return stored.top

    # --- feed and reads ----------------------------------------------------------

    async def attach(self, topics: Sequence[str]) -> None:
        """Feed these topics."""
        self._attached.update(topics)

    async def detach(self, topics: Sequence[str]) -> None:
        """Feed these topics no more."""
        self._attached.difference_update(topics)

    async def read(
        self,
        topic: str,
        since: Position | None,
        storage: Storage,
        limit: int,
        size: int,
        *,
        reverse: bool = False,
    ) -> Page:
        """Return stored entries and the verdict on ``since``."""
        now = self._clock()
        stored = self._topic(topic, storage, now)
        entries, top = list(stored.entries), stored.top
        if reverse:
            entries.reverse()
            if since is not None:
                same = since.epoch == top.epoch
                entries = [e for e in entries if same and e.offset < since.offset]
            page = _page(Verdict.COMPLETE, entries, top, limit, size)
            return page._replace(now=now)
        since = since or top
        verdict = judge(
            since,
            top,
            keeps=storage.history > 0,
            first_prev=entries[0].prev if entries else None,
            tag_at=next((e.tag for e in entries if e.offset == since.offset), None),
        )
        after = [e for e in entries if e.offset > since.offset]
        after = after if verdict is Verdict.COMPLETE else []
        return _page(verdict, after, top, limit, size)._replace(now=now)

    async def tops(self, topics: Sequence[str]) -> list[Position | None]:
        """Return the newest position of each topic."""
        now = self._clock()
        found = (self._topics.get(name) for name in topics)
        return [
            None if topic is None or topic.expires <= now else topic.top
            for topic in found
        ]

    # --- presence ----------------------------------------------------------------

    async def presence(
        self,
        topics: Sequence[str],
        changes: Sequence[Change],
        dead: Sequence[str] = (),
    ) -> list[Presence]:
        """Carry out changes, and end leases that are over."""
        now = self._clock()
        gone = frozenset(dead)
        return [
            self._change(name, wanted, gone, now)
            for name, wanted in by_topic(topics, changes).items()
        ]

    def _change(
        self, name: str, changes: Iterable[Change], dead: frozenset[str], now: float
    ) -> Presence:
        members = self._members.setdefault(name, {})
        joined: list[Member] = []
        left: list[Member] = []
        unknown: list[str] = []
        for client, (until, member) in list(members.items()):
            if until <= now or member.node in dead:
                del members[client]
                left.append(member)
        for change in changes:
            if isinstance(change, Join):
                if change.member.client not in members:
                    joined.append(change.member)
                members[change.member.client] = (now + change.lease, change.member)
                continue
            found = members.get(change.client)
            if found is None:
                if isinstance(change, Renew):
                    unknown.append(change.client)
            elif found[1].node != change.node:
                pass  # it is another node's now
            elif isinstance(change, Leave) and change.after <= 0:
                del members[change.client]
                left.append(found[1])
            else:
                lease = change.after if isinstance(change, Leave) else change.lease
                members[change.client] = (now + lease, found[1])
        counts = len(members), count_users(member for _, member in members.values())
        if not members:
            del self._members[name]
        return Presence(name, joined, left, *counts, unknown)

    async def members(self, topic: str, limit: int) -> Members:
        """Return who is present."""
        now = self._clock()
        members = self._members.get(topic, {})
        present = [member for until, member in members.values() if until > now]
        return Members(present[:limit], len(present), count_users(present))

    # --- time --------------------------------------------------------------------

    def _sweep(self, now: float) -> None:
        """Forget what is over, though nobody asked for it."""
        for name, topic in list(self._topics.items()):
            if topic.expires <= now:
                self._forget(name)
                continue
            self._drop_old(topic, now)
        for name, members in list(self._members.items()):
            # Those that ended just now are for a caller of presence() to be told of.
            if all(until <= now - FORGOTTEN for until, _ in members.values()):
                del self._members[name]
        for key, (until, _) in list(self._ids.items()):
            if until <= now:
                self._forget_id(key)


def _steady_clock() -> Callable[[], float]:
    """Return a clock of seconds since 1970 that nobody can set."""
    ahead = time.time() - time.monotonic()
    return lambda: time.monotonic() + ahead


def _topic_size(name: str) -> int:
    return TOPIC + sys.getsizeof(name)


def _id_size(id: str) -> int:
    return ID + sys.getsizeof(id)


def _page(
    verdict: Verdict, entries: list[Entry], top: Position, limit: int, size: int
) -> Page:
    """Return the first of ``entries``: as many as the limits allow, but one."""
    taken: list[Entry] = []
    total = 0
    for entry in entries[:limit]:
        total += len(entry.data)
        if taken and total > size:
            break
        taken.append(entry)
    return Page(verdict, taken, top, len(taken) < len(entries))
