"""The calls of clients: ``hub.subscribe`` and its five sisters, as routes of an RPC
server.

Each call is checked before anything is done: how often it may be made, the topic, the
permission. What is answered was true when the answer was sent, for a subscription
begins in the same turn of the loop.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ..rpc import InvalidParams, InvalidRequest, NotAuthorised, Peer, TooBusy, current
from ..rpc.codecs import Codec
from .budgets import Budget
from .core import TooManyTopics
from .entries import Entry, Position, Verdict
from .errors import NotSubscribed, OptionOff, TooManySubscriptions
from .links import PeerLink
from .payloads import Payload, check_key
from .permissions import Access, Context
from .subscriptions import PARKED, Request, Subscription
from .topics import Declaration
from .wire import EntryOut, PresenceOut, entries_out, members_out

if TYPE_CHECKING:
    from .service import Service

__all__ = ["Calls"]

MAX_CLIENT = 64
"""Most characters of the name of a page."""


class PresenceWanted(msgspec.Struct, forbid_unknown_fields=True):
    """How a subscriber takes part: as ``client``, or as one who only watches."""

    client: str | None = None
    watch: bool = False


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """One topic of a call of ``hub.subscribe``."""

    topic: str
    since: str | None = None
    last: int = 0
    token: str | None = None
    presence: bool | PresenceWanted = False


class Subscribed(msgspec.Struct, omit_defaults=True):
    """The answer for one topic; ``recovered`` is None where no position was given."""

    position: str
    entries: list[EntryOut]
    recovered: bool | UnsetType | None = UNSET
    topic: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    missed: int | UnsetType = UNSET
    more: bool = False
    snapshot: Raw | UnsetType = UNSET
    presence: PresenceOut | UnsetType = UNSET


class Refused(msgspec.Struct, omit_defaults=True):
    """The answer for one topic of several that was refused."""

    topic: str
    error: dict[str, Any]


class PublishedOut(msgspec.Struct, omit_defaults=True):
    """The answer of ``hub.publish``."""

    offset: int
    position: str
    duplicate: bool = False


class HistoryOut(msgspec.Struct, omit_defaults=True):
    """The answer of ``hub.history``; ``reason``: why ``since`` cannot be continued."""

    entries: list[EntryOut]
    position: str
    more: bool
    reason: str | UnsetType = UNSET


class _Entrance:
    """One topic on its way to a subscription."""

    __slots__ = (
        *("access", "declaration", "error", "members", "name", "params", "request"),
        *("since", "snapshot", "wanted", "watching"),
    )

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.name = wanted.topic
        self.declaration: Any = None
        self.params: Mapping[str, str] = {}
        self.since: Position | None = None
        self.access: Any = None
        self.request: Request | None = None
        self.snapshot: Any = None
        self.members: Any = None
        self.watching = False
        self.error: Exception | None = None


class Calls:
    """What clients may call, for the routes of a server."""

    def __init__(self, service: Callable[[], Awaitable[Service]], prefix: str) -> None:
        self._service = service
        self._prefix = prefix

    def routes(self) -> dict[str, Callable[..., Any]]:
        """Return the routes, by their names after the prefix."""
        return {
            "subscribe": self.subscribe,
            "unsubscribe": self.unsubscribe,
            "publish": self.publish,
            "history": self.history,
            "presence": self.presence,
            "refresh": self.refresh,
        }

    async def _enter(self, peer: Peer) -> tuple[Service, PeerLink]:
        """Return what serves a peer, if it may call once more."""
        service = await self._service()
        link = service.link_of(peer, self._prefix)
        limits = service.limits
        wait = link.calls.take(
            limits.calls_per_second, limits.calls_at_once, service.now
        )
        _spend(wait, "calls")
        return service, link

    # --- hub.subscribe -----------------------------------------------------------

    async def subscribe(
        self,
        peer: Peer,
        topic: str | None = None,
        since: str | None = None,
        last: int = 0,
        token: str | None = None,
        presence: bool | PresenceWanted = False,
        topics: list[str | Wanted] | None = None,
    ) -> Any:
        """Subscribe to a topic, or to several in one call.

        After the position ``since``, or with the newest ``last`` entries, or from now
        on. What is given beside ``topics`` holds for those that are only names.
        """
        _check_call(peer)
        service, link = await self._enter(peer)
        several = topics is not None
        if several is (topic is not None):
            raise InvalidParams("give either topic or topics")
        names = topics if topics is not None else [str(topic)]
        most = service.limits.topics_per_call
        if most is not None and len(names) > most:
            raise InvalidParams(f"{len(names)} topics in one call; {most} are allowed")
        wanted = [
            Wanted(each, since, last, token, presence)
            if isinstance(each, str)
            else each
            for each in names
        ]
        entrances = [_Entrance(each) for each in wanted]
        if len({each.name for each in entrances}) != len(entrances):
            raise InvalidParams("a topic is named twice")
        try:
            await self._let_in(service, link, entrances)
            return self._begin(service, link, entrances, several)
        except BaseException:
            subs = [e.request.sub for e in entrances if e.request is not None]
            service.end(link, [sub for sub in subs if sub.state == PARKED])
            raise

    async def _let_in(
        self, service: Service, link: PeerLink, entrances: list[_Entrance]
    ) -> None:
        """Bring each to its outcome, or to the error that says why not."""
        user = await service.identify(link)
        if not entrances:
            return
        await asyncio.gather(
            *(self._check(service, link, user, each) for each in entrances)
        )
        self._check_count(service, link, entrances)
        good = [each for each in entrances if each.error is None]
        requests = await service.subscribe(
            link, [(e.name, e.declaration, e.since, e.wanted.last) for e in good]
        )
        for each, found in zip(good, requests, strict=True):
            if isinstance(found, Request):
                each.request = found
                found.sub.grant = each.access
                service.expire_later(found.sub)
            elif isinstance(found, TooManyTopics):
                each.error = TooManySubscriptions(f"{found}; try another server")
            else:
                each.error = found
        await asyncio.gather(
            *(self._complete(service, link, e) for e in good if e.error is None)
        )

    async def _check(
        self, service: Service, link: PeerLink, user: Any, entrance: _Entrance
    ) -> None:
        """Find the declaration of a topic, and whether the peer may subscribe."""
        wanted = entrance.wanted
        try:
            entrance.declaration, entrance.params = service.find(entrance.name)
            entrance.since = _position(wanted.since)
            _check_range("last", wanted.last, 0, service.limits.page)
            context = Context(link.peer, user, entrance.name, entrance.params)
            access = await service.permissions.may_subscribe(
                entrance.declaration, context, wanted.token, service.now
            )
            entrance.access = link.access = access.or_same(link.access)
            self._check_presence(link, entrance)
        except Exception as exc:
            entrance.error = exc

    def _check_presence(self, link: PeerLink, entrance: _Entrance) -> None:
        wanted = entrance.wanted.presence
        if not wanted:
            return
        declaration, access = entrance.declaration, entrance.access
        _check_presence(declaration, access)
        client = None if wanted is True else wanted.client
        if client is not None and not 1 <= len(client) <= MAX_CLIENT:
            raise InvalidParams(f"client: 1 to {MAX_CLIENT} characters are allowed")
        if link.client is None:
            link.client = client or secrets.token_hex(16)
        elif client not in (None, link.client):
            raise InvalidParams("client: this connection has another one already")

    def _check_count(
        self, service: Service, link: PeerLink, entrances: list[_Entrance]
    ) -> None:
        most = service.limits.subscriptions
        if most is None:
            return
        left = most - len(link.subs)
        for each in entrances:
            if each.error is None and each.name not in link.subs:
                left -= 1
                if left < 0:
                    each.error = TooManySubscriptions(
                        f"{most} subscriptions are allowed on one connection"
                    )

    async def _complete(
        self, service: Service, link: PeerLink, entrance: _Entrance
    ) -> None:
        """Get what else belongs to the answer: a snapshot, who is present."""
        declaration: Declaration = entrance.declaration
        request = entrance.request
        assert request is not None and request.outcome is not None
        outcome = request.outcome
        try:
            if (
                declaration.snapshot is not None
                and outcome.verdict is not Verdict.COMPLETE
                and not entrance.wanted.last
            ):
                entrance.snapshot = await service.snapshots.take(
                    declaration, entrance.name, entrance.params, outcome.position
                )
            if entrance.wanted.presence:
                await self._take_part(service, link, entrance)
            else:
                service.presences.leave(link, entrance.name, at_once=True)
        except Exception as exc:
            entrance.error = exc
            service.end(link, [request.sub])

    async def _take_part(
        self, service: Service, link: PeerLink, entrance: _Entrance
    ) -> None:
        name, wanted = entrance.name, entrance.wanted.presence
        await service.presences.watch(link, name)
        entrance.watching = True
        you = None
        if wanted is True or not wanted.watch:  # type: ignore[union-attr]
            access: Access = entrance.access
            info = service.info_of(access)
            you = service.presences.join(link, name, access.user, info)
        members = await service.presences.members(name, service.limits.members)
        entrance.members = members_out(members, link.codec, you)

    def _begin(
        self,
        service: Service,
        link: PeerLink,
        entrances: list[_Entrance],
        several: bool,
    ) -> Any:
        """Activate what was let in, and return the answer, in one step."""
        room = service.answer_bytes(link)
        answers: list[Any] = []
        for each in entrances:
            request = each.request
            if each.error is None and request is not None:
                if request.sub.state == PARKED:
                    answer, size = self._answer(service, link, each, room)
                    room -= size
                    if several:
                        answer.topic = each.name
                    answers.append(answer)
                    continue
                each.error = NotSubscribed("the subscription was ended meanwhile")
            assert each.error is not None
            if not several:
                raise each.error
            answers.append(Refused(each.name, service.error_of(each.error)))
        return answers if several else answers[0]

    def _answer(
        self, service: Service, link: PeerLink, entrance: _Entrance, room: int
    ) -> tuple[Subscribed, int]:
        """Activate a subscription; return the answer and the bytes of its entries."""
        request = entrance.request
        assert request is not None and request.outcome is not None
        outcome, sub, codec = request.outcome, request.sub, link.codec
        if entrance.snapshot is not None:
            sub.cursor = entrance.snapshot.position
        entries, size = _fitting(entrance, codec, room)
        if len(entries) < len(outcome.entries):
            sub.cursor = _cursor_after(entrance, len(entries))
        assert sub.cursor is not None
        answer = Subscribed(str(sub.cursor), entries)
        answer.recovered = None
        if entrance.since is not None:
            answer.recovered = outcome.verdict is Verdict.COMPLETE
            service.recoveries[str(outcome.verdict)] += 1
        if outcome.verdict not in (None, Verdict.COMPLETE):
            answer.reason = str(outcome.verdict)
            if outcome.missed is not None:
                answer.missed = outcome.missed
        if entrance.snapshot is not None:
            snapshot = Payload(entrance.snapshot.codec, entrance.snapshot.data)
            answer.snapshot = Raw(snapshot.data_in(codec))
        if entrance.members is not None:
            answer.presence = entrance.members
        caught_up = service.activate(sub)
        answer.more = answer.recovered is True and not caught_up
        return answer, size

    # --- the other calls ---------------------------------------------------------

    async def unsubscribe(self, peer: Peer, topic: str) -> None:
        """End a subscription; no error if there is none."""
        service, link = await self._enter(peer)
        sub = link.subs.get(topic)
        if sub is not None:
            service.end(link, [sub])

    async def publish(
        self,
        peer: Peer,
        topic: str,
        data: Any,
        id: str | None = None,
        key: str | None = None,
    ) -> PublishedOut:
        """Publish a message; with ``id``, one that was published is not stored again.

        ``key`` is for topics that keep the latest of each.
        """
        service, link = await self._enter(peer)
        if link.publishes is None:
            link.publishes = Budget()
        rate = service.limits.publishes_per_second
        _spend(link.publishes.take(rate, None, service.now), "messages")
        declaration, params = service.find(topic)
        user = await service.identify(link)
        sub = link.subs.get(topic)
        access: Access | None = None if sub is None else sub.grant
        context = Context(peer, user, topic, params)
        await service.permissions.may_publish(declaration, context, access)
        if id is not None:
            _check_range("id: its length", len(id), 1, 128)
        sender = access.user if access is not None else user.id if user else None
        try:
            if key is not None:
                check_key(key, declaration.latest)
            message = service.message(
                topic,
                declaration,
                data,
                # Never those of the server's own, nor another user's.
                id=None if id is None else f"c:{sender or ''}:{id}",
                sender=sender,
                key=key,
            )
        except (TypeError, ValueError) as exc:
            raise InvalidParams(str(exc)) from None
        stored = await service.publishing.publish(message)
        position = stored.position
        return PublishedOut(position.offset, str(position), stored.duplicate)

    async def history(
        self,
        peer: Peer,
        topic: str,
        since: str | None = None,
        limit: int = 100,
        reverse: bool = False,
    ) -> HistoryOut:
        """Return stored entries after a position, or before it, the newest first."""
        service, link = await self._enter(peer)
        declaration, _ = service.find(topic)
        _subscribed(link, topic)
        if not declaration.history:
            raise OptionOff("the topic stores nothing", option="history")
        if declaration.read_history == "nobody":
            raise OptionOff("reading its history is not allowed", option="read_history")
        _check_range("limit", limit, 1, service.limits.page)
        place = _position(since)
        page = await service.read(topic, declaration, place, limit, reverse=reverse)
        entries = page.entries
        last = entries[-1].position if entries else place or page.top
        answer = HistoryOut(entries_out(entries, link.codec), str(last), page.more)
        if page.verdict is not Verdict.COMPLETE:
            answer.reason = str(page.verdict)
        return answer

    async def presence(
        self, peer: Peer, topic: str, limit: int | None = None
    ) -> PresenceOut:
        """Return who is present."""
        service, link = await self._enter(peer)
        declaration, _ = service.find(topic)
        sub = _subscribed(link, topic)
        _check_presence(declaration, sub.grant)
        most = service.limits.members
        if limit is not None:
            _check_range("limit", limit, 0, most)
        members = await service.presences.members(
            topic, most if limit is None else limit
        )
        you = None if link.members is None else link.members.get(topic)
        return members_out(members, link.codec, you)

    async def refresh(
        self, peer: Peer, topic: str, token: str | None = None
    ) -> dict[str, Any]:
        """Renew the permission of a subscription before it ends."""
        service, link = await self._enter(peer)
        declaration, params = service.find(topic)
        sub = _subscribed(link, topic)
        user = await service.identify(link)
        context = Context(peer, user, topic, params)
        access = await service.permissions.may_subscribe(
            declaration, context, token, service.now
        )
        if link.subs.get(topic) is not sub:
            raise NotSubscribed(f"not subscribed to {topic!r} any more")
        sub.grant = access
        service.expire_later(sub)
        left = access.expires - service.now
        return {"expires": None if left == float("inf") else round(left, 3)}


# --- checks ----------------------------------------------------------------------


def _check_call(peer: Peer) -> None:
    """Raise InvalidRequest for a subscribe whose answer could not come first."""
    call = current()
    if not peer.wire.extended:
        raise InvalidRequest(
            f"the wire {peer.wire.name} has no notifications: subscribe on "
            "longwire.jsonrpc or longwire.msgpack"
        )
    if call.id is None:
        raise InvalidRequest("subscribing needs an id: its answer has the position")
    if call.batch is not None:
        raise InvalidRequest(
            "subscribing cannot be part of a batch: give several topics in one call"
        )


def _spend(wait: float, what: str) -> None:
    if wait:
        raise TooBusy(f"too many {what}", {"retry": int(wait * 1000) + 1})


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    try:
        return Position.parse(text)
    except ValueError as exc:
        raise InvalidParams(f"since: {exc}") from None


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidParams(f"{name} is {value}; {least} to {most} are allowed")


def _subscribed(link: PeerLink, topic: str) -> Subscription:
    sub = link.subs.get(topic)
    if sub is None or sub.grant is None:
        raise NotSubscribed(f"not subscribed to {topic!r}")
    return sub


def _check_presence(declaration: Declaration, access: Access) -> None:
    if not declaration.presence:
        raise OptionOff("the topic has no presence", option="presence")
    if declaration.read_presence == "nobody":
        raise OptionOff("reading its presence is not allowed", option="read_presence")
    if "presence" not in access.may:
        raise NotAuthorised("the token has no right to presence")


# --- answers ---------------------------------------------------------------------


def _fitting(
    entrance: _Entrance, codec: Codec, room: int
) -> tuple[list[EntryOut], int]:
    """Return as many entries as there is room for, and what they take."""
    request = entrance.request
    assert request is not None and request.outcome is not None
    outcome = request.outcome
    if entrance.snapshot is not None:
        return [], 0
    found = entries_out(outcome.entries, codec)
    total = 0
    for index, entry in enumerate(found):
        size = _size_of(entry)
        if total + size > room:
            if outcome.verdict is Verdict.COMPLETE:
                return found[:index], total
            # The newest were asked for: of them the newer.
            return _newest_fitting(found, room)
        total += size
    return found, total


def _newest_fitting(found: list[EntryOut], room: int) -> tuple[list[EntryOut], int]:
    total = 0
    for index in range(len(found) - 1, -1, -1):
        size = _size_of(found[index])
        if total + size > room:
            return found[index + 1 :], total
        total += size
    return found, total


def _size_of(entry: EntryOut) -> int:
    return 128 + (0 if entry.data is UNSET else len(memoryview(entry.data)))


def _cursor_after(entrance: _Entrance, count: int) -> Position:
    """Return where a recovery stands of which only ``count`` entries were sent."""
    request = entrance.request
    assert request is not None and request.outcome is not None
    outcome = request.outcome
    if outcome.verdict is not Verdict.COMPLETE or request.since is None:
        return outcome.position
    entries: list[Entry] = outcome.entries
    return entries[count - 1].position if count else request.since
