"""Presence: members as messages of a stream, one subject each, changed by comparison.

A change names the message that it replaces, and the server refuses it if there is
another by now: so each join and each leave is told to exactly one caller. A lease
begins when its message was stored, by the server's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from ..broker import Change, Join, Leave, Member, Members, Presence, Renew
from ..errors import BrokerUnavailable
from ..members import by_topic, count_users, pack_member, unpack_member
from .history import TAG, Stored, batch, top_of
from .streams import Stream, Streams, Superseded, encoded, store
from .wire import Connection

__all__ = ["Attendance"]

PAGE = 500
"""Members asked for at once."""
AT_ONCE = 64
"""Changes under way at the same time."""
ATTEMPTS = 8
"""How often a change is tried when others change the same member."""


class _Lease(NamedTuple):
    """What is stored of a client; without a member it has left."""

    offset: int
    until: float
    member: Member | None

    def is_over(self, now: float, dead: frozenset[str]) -> bool:
        """Whether the member has to be told to have left."""
        member = self.member
        return member is not None and (self.until <= now or member.node in dead)


_NONE = _Lease(0, 0.0, None)


class Attendance:
    """The members of topics, in one stream."""

    def __init__(
        self, connection: Connection, streams: Streams, stream: Stream
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._stream = stream
        self._places = asyncio.Semaphore(AT_ONCE)

    async def change(
        self, topics: Sequence[str], changes: Sequence[Change], dead: Sequence[str]
    ) -> list[Presence]:
        """Carry out changes, and end leases that are over."""
        gone = frozenset(dead)
        return list(
            await asyncio.gather(
                *(
                    _Topic(self, name, gone).carry_out(wanted)
                    for name, wanted in by_topic(topics, changes).items()
                )
            )
        )

    async def members(self, topic: str, limit: int) -> Members:
        """Return who is present."""
        leases = await self.leases(topic)
        now = self._streams.now()
        present = [
            lease.member
            for lease in leases.values()
            if lease.member is not None and lease.until > now
        ]
        return Members(present[:limit], len(present), count_users(present))

    def now(self) -> float:
        """The time by the server's clock."""
        return self._streams.now()

    def subject(self, topic: str, client: str) -> str:
        """Return where a member is stored."""
        return f"{self._stream.subject(topic)}.{encoded(client)}"

    async def leases(self, topic: str) -> dict[str, _Lease]:
        """Return what is stored of all clients of a topic."""
        found: dict[str, _Lease] = {}
        start = 1
        while True:
            question = {
                "seq": start,
                "next_by_subj": self.subject(topic, "") + "*",
                "batch": PAGE,
            }
            async with self._places:
                part = await batch(self._connection, self._stream, question)
            for each in part:
                found[unquote(each.subject.rpartition(".")[2])] = _lease(each)
            if not part or part[-1].left == 0:
                return found
            start = part[-1].offset + 1

    async def lease(self, topic: str, client: str) -> _Lease:
        """Return what is stored of one client, by the leader."""
        subject = self.subject(topic, client)
        async with self._places:
            found = await top_of(self._connection, self._stream, subject)
        return _NONE if found is None else _lease(found)

    async def put(
        self, topic: str, client: str, member: Member | None, lease: float, over: int
    ) -> int | None:
        """Store a lease in the place of message ``over``; None if there is another."""
        data = b"-" if member is None else _value(member, lease)
        subject = self.subject(topic, client)
        try:
            async with self._places:
                answer = await store(
                    self._connection, subject, data, {TAG: "1"}, over=over
                )
        except Superseded:
            return None
        return int(answer["seq"])


class _Topic:
    """Changes of one topic."""

    def __init__(self, attendance: Attendance, name: str, dead: frozenset[str]) -> None:
        self._all = attendance
        self._name = name
        self._dead = dead
        self._leases: dict[str, _Lease] = {}
        self._joined: list[Member] = []
        self._left: list[Member] = []
        self._unknown: list[str] = []

    async def carry_out(self, changes: Iterable[Change]) -> Presence:
        """Carry out changes, and end leases that are over."""
        self._leases = await self._all.leases(self._name)
        now = self._all.now()
        over = [c for c, each in self._leases.items() if each.is_over(now, self._dead)]
        await asyncio.gather(*(self._end(client) for client in over))
        by_client: dict[str, list[Change]] = {}
        for change in changes:
            by_client.setdefault(_client(change), []).append(change)
        await asyncio.gather(
            *(self._change_all(client, each) for client, each in by_client.items())
        )
        present = [m.member for m in self._leases.values() if m.member is not None]
        return Presence(
            self._name,
            self._joined,
            self._left,
            len(present),
            count_users(present),
            self._unknown,
        )

    async def _end(self, client: str) -> None:
        """End a lease that is over, unless somebody else has done so."""
        lease = self._leases[client]
        if not await self._put(client, None, 0.0):
            lease = self._leases[client] = await self._all.lease(self._name, client)
            if lease.is_over(self._all.now(), self._dead):
                await self._end(client)
            return
        assert lease.member is not None
        self._left.append(lease.member)

    async def _change_all(self, client: str, changes: list[Change]) -> None:
        for change in changes:
            for _ in range(ATTEMPTS):
                if await self._change(client, change):
                    break
                found = await self._all.lease(self._name, client)
                self._leases[client] = found
                if found.is_over(self._all.now(), self._dead):
                    await self._end(client)
            else:
                raise BrokerUnavailable(f"{client} changes all the time")

    async def _change(self, client: str, change: Change) -> bool:
        """Carry out a change; return False if what it was meant for has changed."""
        member = self._leases.get(client, _NONE).member
        if isinstance(change, Join):
            if not await self._put(client, change.member, change.lease):
                return False
            if member is None:
                self._joined.append(change.member)
            return True
        if member is None:
            if isinstance(change, Renew):
                self._unknown.append(client)
            return True
        if member.node != change.node:
            return True  # it is another node's now
        if isinstance(change, Leave) and change.after <= 0:
            if not await self._put(client, None, 0.0):
                return False
            self._left.append(member)
            return True
        lease = change.after if isinstance(change, Leave) else change.lease
        return await self._put(client, member, lease)

    async def _put(self, client: str, member: Member | None, lease: float) -> bool:
        over = self._leases.get(client, _NONE).offset
        offset = await self._all.put(self._name, client, member, lease, over)
        if offset is None:
            return False
        self._leases[client] = _Lease(offset, self._all.now() + lease, member)
        return True


def _client(change: Change) -> str:
    return change.member.client if isinstance(change, Join) else change.client


def _value(member: Member, lease: float) -> bytes:
    return b"%d\n%b" % (int(lease * 1000), pack_member(member))


def _lease(stored: Stored) -> _Lease:
    lease, newline, data = stored.data.partition(b"\n")
    if not newline:
        return _Lease(stored.offset, 0.0, None)
    client = unquote(stored.subject.rpartition(".")[2])
    until = stored.at + int(lease) / 1000
    return _Lease(stored.offset, until, unpack_member(client, data))
