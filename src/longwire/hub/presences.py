"""Presences: carries out what ``presence.py`` decides, with the broker and the links.

Joins and leaves travel between nodes as messages of a topic of the hub's own, one for
each topic with presence, and only to nodes where somebody watches it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from .broker import Join, Member, Members, Presence, Renew, Storage
from .driver import Driver
from .entries import Entry
from .errors import BrokerUnavailable
from .internal import InternalLink
from .links import PeerLink
from .payloads import Payload, Unreadable, pack, unpack
from .presence import Announce, Diff, PresenceTable, Tell
from .publishing import Message, Publishing
from .topics import NODES, PRESENCE
from .wire import counts, member_out, members_out

__all__ = ["MAX_INFO", "Presences", "public_name"]

logger = logging.getLogger("longwire.hub")

MAX_INFO = 1024
"""Most bytes of what is shown of a member, as JSON."""

STORAGE = Storage(history=0, ttl=60.0, meta_ttl=3600.0, idempotency=60.0)

NODE_LEASE = 15.0
"""Seconds after which a node that said nothing is dead."""
NODE_RENEW = 5.0


class _MemberIn(msgspec.Struct, omit_defaults=True):
    client: str
    user: str | None = None
    info: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _DiffIn(msgspec.Struct, omit_defaults=True):
    """A diff as nodes tell each other of it."""

    clients: int
    users: int
    joined: list[_MemberIn] = []
    left: list[_MemberIn] = []


_read_diff = msgspec.json.Decoder(_DiffIn).decode


def public_name(user: str | None, client: str) -> str:
    """Return what others see of a page's name.

    Not the name itself: who knows that could leave in its place. And not the same for
    another user: nobody takes anybody's place by having the same name.
    """
    text = f"{'' if user is None else user}\0{user is None}\0{client}"
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=12)
    return digest.hexdigest()


class Presences:
    """The presence of one hub.

    ``on_dead(node)`` is told that a node has died, for it to tell all others.
    """

    def __init__(
        self,
        driver: Driver,
        publishing: Publishing,
        node: str,
        on_dead: Callable[[str], None],
    ) -> None:
        self._driver = driver
        self._publishing = publishing
        self._node = node
        self._on_dead = on_dead
        self._table = PresenceTable(node, random.random)
        self._watchers: dict[str, dict[PeerLink, None]] = {}
        self._feeds: dict[str, InternalLink] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = float("inf")
        self._resyncing: set[str] = set()

    def start(self) -> None:
        """Begin to say that this node lives."""
        self._driver.spawn(self._live())

    async def stop(self) -> None:
        """Let the leases of all members here end in time, and this node's at once."""
        if self._timer is not None:
            self._timer.cancel()
        changes = self._table.leave_all()
        try:
            async with asyncio.timeout(2.0):
                if changes:
                    await self._driver.broker.presence([], changes)
        except (BrokerUnavailable, TimeoutError) as exc:
            logger.info("leaving presence: %s; leases will end", exc)

    @property
    def members_here(self) -> int:
        """How many members this node renews."""
        return len(self._table)

    # --- members -----------------------------------------------------------------

    def join(self, link: PeerLink, topic: str, user: str | None, info: bytes) -> str:
        """Let a connection's client be present; return its public name."""
        assert link.client is not None
        name = public_name(user, link.client)
        if link.members is None:
            link.members = {}
        if topic not in link.members:
            link.members[topic] = name
            member = Member(name, user, info, self._node)
            self._table.join(topic, member, self._driver.now)
            self._schedule()
        return name

    def leave(self, link: PeerLink, topic: str, *, at_once: bool) -> None:
        """A connection has left a topic, or is lost."""
        name = None if link.members is None else link.members.pop(topic, None)
        if name is not None:
            self._table.leave(topic, name, self._driver.now, at_once=at_once)
            self._schedule()

    async def members(self, topic: str, limit: int) -> Members:
        """Return who is present."""
        return await self._driver.broker.members(topic, limit)

    # --- watchers ----------------------------------------------------------------

    async def watch(self, link: PeerLink, topic: str) -> None:
        """Tell a link who comes and goes from now on."""
        watchers = self._watchers.get(topic)
        if watchers is None:
            watchers = self._watchers[topic] = {}
            self._feeds[topic] = InternalLink(
                self._driver,
                f"{PRESENCE}{topic}",
                STORAGE,
                on_entry=lambda entry: self._hear(topic, entry),
                on_gap=lambda reason: self._resync(topic),
            )
        if link not in watchers:
            watchers[link] = None
            self._table.watch(topic, self._driver.now)
            self._schedule()
        try:
            async with asyncio.timeout(self._driver.limits.subscribe_timeout):
                await self._feeds[topic].ready()
        except TimeoutError:
            raise BrokerUnavailable(f"{topic}: presence is not available") from None

    def unwatch(self, link: PeerLink, topic: str) -> None:
        """Tell it no more."""
        watchers = self._watchers.get(topic)
        if watchers is None or link not in watchers:
            return
        del watchers[link]
        if link.stale is not None:
            link.stale.pop(topic, None)
        self._table.unwatch(topic)
        if not watchers:
            del self._watchers[topic]
            self._feeds.pop(topic).close()

    def _hear(self, topic: str, entry: Entry) -> None:
        try:
            found = _read_diff(unpack(entry.data).data)
        except (Unreadable, msgspec.MsgspecError, RecursionError, UnicodeError) as exc:
            logger.warning("a presence of %r cannot be read: %s", topic, exc)
            return
        joined, left = _members(found.joined), _members(found.left)
        diff = Diff(joined, left, found.clients, found.users)
        self._table.heard(topic, diff, self._driver.now)
        self._schedule()

    def _tell(self, tell: Tell) -> None:
        """Tell all who watch a topic here; who has no room gets all of it later."""
        cache: dict[Any, dict[str, Any]] = {}
        for link in list(self._watchers.get(tell.topic, ())):
            if not link.has_room:
                self._tell_later(link, tell.topic)
                continue
            codec = link.codec
            if codec not in cache:
                params = counts(tell.topic, tell.diff.clients, tell.diff.users)
                for name, members in (
                    ("joined", tell.diff.joined),
                    ("left", tell.diff.left),
                ):
                    if members:
                        params[name] = [member_out(each, codec) for each in members]
                cache[codec] = params
            link.post("presence", cache[codec])

    def _tell_later(self, link: PeerLink, topic: str) -> None:
        if link.stale is None:
            link.stale = {}
        link.stale[topic] = None
        link.wait_for_room(self._driver.room)

    def tell_stale(self, link: PeerLink) -> None:
        """A link has room: tell it the whole of what it was told nothing of."""
        stale, link.stale = link.stale, None
        for topic in stale or ():
            self._driver.spawn(self._tell_all(topic, [link]))

    def _resync(self, topic: str) -> None:
        """Some were not told of: tell the whole instead."""
        if topic not in self._resyncing and topic in self._watchers:
            self._resyncing.add(topic)
            self._driver.spawn(self._tell_all(topic, None))

    async def _tell_all(self, topic: str, links: Sequence[PeerLink] | None) -> None:
        try:
            members = await self.members(topic, self._driver.limits.members)
        except BrokerUnavailable as exc:
            logger.info("presence of %r: %s", topic, exc)
            return
        finally:
            if links is None:
                self._resyncing.discard(topic)
        watchers = self._watchers.get(topic, {})
        for link in list(watchers) if links is None else links:
            if link not in watchers:
                continue
            if not link.has_room:
                self._tell_later(link, topic)
                continue
            out = members_out(members, link.codec)
            params = counts(topic, out.clients, out.users)
            link.post("presence", {**params, "members": out.members})

    # --- time --------------------------------------------------------------------

    def _schedule(self) -> None:
        deadline = self._table.next_deadline()
        if deadline < self._wakes_at:
            if self._timer is not None:
                self._timer.cancel()
            self._wakes_at = deadline
            self._timer = self._driver.loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer, self._wakes_at = None, float("inf")
        for effect in self._table.tick(self._driver.now):
            if isinstance(effect, Tell):
                self._tell(effect)
            else:
                self._driver.spawn(self._announce(effect))
        self._schedule()

    async def _announce(self, announce: Announce) -> None:
        try:
            results = await self._driver.broker.presence(
                announce.topics, announce.changes
            )
        except BrokerUnavailable as exc:
            logger.info("presence: %s", exc)
            self._table.failed(announce, self._driver.now)
        else:
            for result in results:
                self._publish(result)
        self._schedule()

    def _publish(self, result: Presence) -> None:
        diff = self._table.changed(result, self._driver.now)
        if diff is None:
            return
        data = msgspec.json.encode(
            _DiffIn(
                diff.clients,
                diff.users,
                [_member_in(member) for member in diff.joined],
                [_member_in(member) for member in diff.left],
            )
        )
        name = f"{PRESENCE}{result.topic}"
        stored = pack(Payload("json", data))
        self._driver.spawn(self._publish_quietly(Message(name, STORAGE, stored)))

    async def _publish_quietly(self, message: Message) -> None:
        try:
            await self._publishing.publish(message)
        except BrokerUnavailable as exc:
            logger.info("presence: %s", exc)

    # --- nodes -------------------------------------------------------------------

    async def _live(self) -> None:
        """Renew this node's own lease, and see who has not renewed theirs."""
        me = Member(self._node, None, b"", self._node)
        while True:
            try:
                (result,) = await self._driver.broker.presence(
                    [NODES], [Renew(NODES, self._node, self._node, NODE_LEASE)]
                )
                if result.unknown:
                    (joined,) = await self._driver.broker.presence(
                        [NODES], [Join(NODES, me, NODE_LEASE)]
                    )
                    result = result._replace(left=result.left + joined.left)
                for member in result.left:
                    if member.client != self._node:
                        self._on_dead(member.client)
            except BrokerUnavailable as exc:
                logger.info("renewing the lease of this node: %s", exc)
            await asyncio.sleep(NODE_RENEW)

    def node_died(self, node: str) -> None:
        """End the leases of a dead node's members, of the topics known here."""
        topics = self._table.topics
        if topics:
            self._driver.spawn(self._end_leases(topics, node))

    async def _end_leases(self, topics: list[str], node: str) -> None:
        try:
            results = await self._driver.broker.presence(topics, [], [node])
        except BrokerUnavailable as exc:
            logger.info("ending the leases of node %s: %s", node, exc)
            return
        for result in results:
            self._publish(result)


def _member_in(member: Member) -> _MemberIn:
    found = _MemberIn(member.client, member.user)
    if member.info:
        found.info = msgspec.Raw(member.info)
    return found


def _members(found: list[_MemberIn]) -> list[Member]:
    return [
        Member(
            each.client,
            each.user,
            b"" if each.info is msgspec.UNSET else bytes(each.info),
            "",
        )
        for each in found
    ]
