"""Service: one running hub: its parts, joined, on one event loop.

The parts know nothing of each other. What ends a subscription, for whatever reason,
goes through here, so that its place, its presence and its permission end together.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..rpc import InternalError, Peer
from ..rpc.errors import RemoteError
from .broker import Broker
from .control import Control
from .driver import Driver
from .entries import Page, Position, Verdict
from .errors import HubError, UnknownTopic
from .expiries import Ended, Expiries
from .limits import HubLimits
from .links import PeerLink
from .payloads import Payload, check_headers, encode_value, pack
from .permissions import ALL_BUT_PUB, Access, Permissions, User
from .presences import MAX_INFO, Presences
from .publishing import Message, Publishing
from .snapshots import Snapshots
from .subscriptions import GONE, PARKED, Request, Subscription
from .tokens import Tokens
from .topics import Declaration, Declarations

__all__ = ["Service"]

logger = logging.getLogger("longwire.hub")

Identify = Callable[[Any], Any]

NO_BROKER = 30.0
"""Seconds without a broker after which connections are closed with 1013."""
WATCH_EVERY = 1.0


class Service:
    """What a hub does while it runs. Made by ``Hub.start()``."""

    def __init__(
        self,
        broker: Broker,
        limits: HubLimits,
        declarations: Declarations,
        *,
        tokens: Tokens | None,
        identify: Identify | None,
        node: str,
    ) -> None:
        self.limits = limits
        self.node = node
        self.driver = Driver(broker, limits)
        self.driver.on_room = self._has_room
        self.publishing = Publishing(broker, limits, self.driver.spawn)
        self.permissions = Permissions(tokens, time.time)
        self.snapshots = Snapshots(self.driver.loop.time, limits.page_bytes)
        self.control = Control(self.driver, self.publishing, self)
        self.presences = Presences(
            self.driver, self.publishing, node, self.control.node_died
        )
        self.links: dict[Peer, PeerLink] = {}
        self.recoveries = {str(verdict): 0 for verdict in Verdict}
        """Subscribes with a position, by the verdict on it."""
        self._declarations = declarations
        self._identify = identify
        self._expiries = Expiries()
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._expires_at = float("inf")

    @property
    def now(self) -> float:
        """The time by the loop's clock."""
        return self.driver.now

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that it runs on."""
        return self.driver.loop

    # --- its life ----------------------------------------------------------------

    def start(self) -> None:
        """Begin; it serves at once, and waits for its broker where it has to."""
        self.driver.start()
        self.control.start()
        self.presences.start()
        self.driver.spawn(self._watch_broker())

    async def _watch_broker(self) -> None:
        """Close connections that have been without a broker for long: others have one.

        Whoever has no subscription is left alone: its calls are answered.
        """
        while True:
            await asyncio.sleep(WATCH_EVERY)
            since = self.driver.down_since
            if since is None or self.now - since < NO_BROKER:
                continue
            for link in list(self.links.values()):
                if link.subs:
                    closing = link.peer.close(1013, "no broker; try again later")
                    self.driver.spawn(closing)

    async def stop(self) -> None:
        """End: publish what waits, tell all subscribers, let leases end in time."""
        try:
            async with asyncio.timeout(self.limits.publish_timeout):
                await self.publishing.drained()
        except TimeoutError:
            waiting = self.publishing.queued
            logger.error("%d messages were not published before the end", waiting)
        for link in list(self.links.values()):
            self.end(
                link,
                list(link.subs.values()),
                code="closing",
                reason="the hub is closing",
                again=True,
                leaving=False,
            )
        await self.presences.stop()
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
        tasks: list[asyncio.Task[Any]] = list(self.snapshots.stop())
        tasks += [task for link in self.links.values() if (task := link.stop())]
        self.links.clear()
        await self.driver.stop()
        if tasks:
            await asyncio.wait(tasks)

    # --- links -------------------------------------------------------------------

    def link_of(self, peer: Peer, prefix: str) -> PeerLink:
        """Return the link of a peer, made at its first call."""
        link = self.links.get(peer)
        if link is None:
            link = self.links[peer] = PeerLink(peer, prefix, self._closed)
            peer.on_close(link.end)
            if not peer.is_open:
                link.end()
        return link

    def _closed(self, link: PeerLink) -> None:
        """A connection has ended: whoever comes back in time has not left."""
        if self.links.pop(link.peer, None) is None:
            return
        link.stop()
        for topic in list(link.subs):
            self.presences.unwatch(link, topic)
        for topic in list(link.members or ()):
            self.presences.leave(link, topic, at_once=False)
        self.driver.closed(link)

    def _has_room(self, link: Any) -> None:
        if isinstance(link, PeerLink) and link.stale:
            self.presences.tell_stale(link)

    async def identify(self, link: PeerLink) -> User | None:
        """Return whom a connection belongs to, which is asked once."""
        if self._identify is None:
            return None
        while not link.is_identified:
            if link.identifying is None:
                link.identifying = self.loop.create_future()
                try:
                    link.user = await self._ask_who(link.peer)
                    link.is_identified = True
                finally:
                    # Those who wait ask again if it has failed.
                    link.identifying.set_result(None)
                    link.identifying = None
            else:
                await asyncio.shield(link.identifying)
        return link.user  # type: ignore[no-any-return]

    async def _ask_who(self, peer: Peer) -> User | None:
        assert self._identify is not None
        user = self._identify(peer)
        if inspect.isawaitable(user):
            user = await user
        if user is not None and not (
            isinstance(user, User) and isinstance(user.id, str) and user.id
        ):
            raise TypeError(
                "identify must return User(id) with a text as id, or None, "
                f"not {type(user).__name__}"
            )
        return user

    def links_of(self, user: str) -> list[PeerLink]:
        """Return the connections of a user."""
        return [
            link
            for link in self.links.values()
            if (link.user is not None and link.user.id == user)
            or any(
                sub.grant is not None and sub.grant.user == user
                for sub in link.subs.values()
            )
        ]

    # --- topics ------------------------------------------------------------------

    def find(self, name: object) -> tuple[Declaration, dict[str, str]]:
        """Return a topic's declaration and the parameters in its name."""
        if not isinstance(name, str):
            raise UnknownTopic("a topic's name is a text")
        return self._declarations.find(name)

    def declaration_of(self, name: object) -> Declaration:
        """Return a topic's declaration, which is remembered for the next message."""
        if not isinstance(name, str):
            raise UnknownTopic("a topic's name is a text")
        return self._declarations.declaration_of(name)

    async def subscribe(
        self,
        link: PeerLink,
        wanted: Sequence[tuple[str, Declaration, Position | None, int]],
    ) -> list[Request | Exception]:
        """Return requests with their outcomes; what was there before ends."""
        for name, *_ in wanted:
            old = link.subs.get(name)
            if old is not None:
                self.presences.unwatch(link, name)
        return await self.driver.subscribe(
            link,
            [
                (name, declaration.storage, declaration.slow, since, last)
                for name, declaration, since, last in wanted
            ],
        )

    def admit(self, link: PeerLink, request: Request) -> None:
        """Begin to send to a client that did not ask for it, and tell it from where."""
        sub = request.sub
        if sub.state != PARKED:
            return
        sub.grant = Access(None, ALL_BUT_PUB)
        link.post(
            "message",
            {"topic": sub.feed.name, "entries": [], "position": str(sub.cursor)},
        )
        self.activate(sub)

    def activate(self, sub: Subscription) -> bool:
        """Begin to send to a subscriber; return whether it has all there is."""
        return self.driver.activate(sub)

    def end(
        self,
        link: PeerLink,
        subs: Iterable[Subscription],
        *,
        code: str = "",
        reason: str = "",
        again: bool = False,
        leaving: bool = True,
    ) -> None:
        """End subscriptions, with all that belongs to them; with ``code``, tell why.

        ``leaving``: those who are present leave at once.
        """
        for sub in subs:
            if sub.state == GONE:
                continue
            name = sub.feed.name
            self.driver.unsubscribe([sub])
            self.presences.unwatch(link, name)
            if leaving:
                self.presences.leave(link, name, at_once=True)
            if code:
                link.post(
                    "unsubscribed",
                    {"topic": name, "code": code, "reason": reason, "again": again},
                )

    async def read(
        self,
        topic: str,
        declaration: Declaration,
        since: Position | None,
        limit: int,
        *,
        reverse: bool,
    ) -> Page:
        """Return stored entries; without a position and forwards, from the oldest."""
        storage = declaration.storage
        size = self.limits.page_bytes
        read = self.driver.broker.read
        if since is not None or reverse:
            return await read(topic, since, storage, limit, size, reverse=reverse)
        # The oldest are the last ones in reverse.
        most = declaration.history
        page = await read(topic, None, storage, most, size, reverse=True)
        oldest = page.entries[::-1]
        return page._replace(entries=oldest[:limit], more=len(oldest) > limit)

    # --- publishing --------------------------------------------------------------

    def message(
        self,
        topic: str,
        declaration: Declaration,
        data: Any,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        sender: str | None = None,
        key: str | None = None,
    ) -> Message:
        """Return what a broker is to store; raises for what cannot be published."""
        if headers is not None:
            check_headers(headers, self.limits.headers)
        codec, encoded = encode_value(data, self.limits.data)
        payload = Payload(
            codec, encoded, sender, dict(headers) if headers else None, key
        )
        return Message(topic, declaration.storage, pack(payload), id)

    # --- answers -----------------------------------------------------------------

    def answer_bytes(self, link: PeerLink) -> int:
        """Return the bytes that the entries of one answer may take."""
        return min(self.limits.page_bytes, link.peer.settings.limits.message // 2)

    def info_of(self, access: Access) -> bytes:
        """Return what is shown of a member, as JSON."""
        if access.info is None:
            return b""
        codec, data = encode_value(access.info)
        if codec != "json" or len(data) > MAX_INFO:
            raise HubError(f"the info of a member is at most {MAX_INFO} bytes of JSON")
        return data

    def error_of(self, exc: Exception) -> dict[str, Any]:
        """Return an error as the answer for one topic of several has it."""
        if not isinstance(exc, RemoteError) or exc.arrived:
            id = secrets.token_hex(6)
            logger.error("subscribing failed [%s]", id, exc_info=exc, extra={"id": id})
            exc = InternalError("internal error", id=id)
        data: dict[str, Any] = {"type": type(exc).__name__}
        if exc.data is not None:
            data["data"] = exc.data
        if exc.id is not None:
            data["id"] = exc.id
        return {"code": exc.code, "message": exc.message, "data": data}

    # --- permissions that end ----------------------------------------------------

    def expire_later(self, sub: Subscription) -> None:
        """End a subscription when its permission does."""
        self._expiries.add(sub, self.now)
        self._schedule_expiry()

    def _schedule_expiry(self) -> None:
        deadline = self._expiries.next_deadline()
        if deadline < self._expires_at:
            if self._expiry_timer is not None:
                self._expiry_timer.cancel()
            self._expires_at = deadline
            self._expiry_timer = self.loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._expiry_timer, self._expires_at = None, float("inf")
        for each in self._expiries.due(self.now):
            link: Any = each.sub.link
            if isinstance(each, Ended):
                reason = "the permission has ended"
                self.end(link, [each.sub], code="expired", reason=reason, again=True)
            else:
                seconds = round(each.seconds, 3)
                link.post("expiring", {"topic": each.sub.feed.name, "in": seconds})
        self._schedule_expiry()
