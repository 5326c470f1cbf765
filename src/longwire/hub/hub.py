"""Hub: publish–subscribe whose subscribers survive reconnects.

What a program holds: it declares topics, publishes, and installs the calls of clients
in an RPC server. ``service.py`` is what runs behind it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn, Self

from ..errors import ConcurrencyError
from ..hints import checks_keywords, give_own_hints, use_async
from ..rpc import Peer, Server
from .broker import Broker, Members, Stored
from .calls import Calls
from .client_subscription import Message, message_of
from .entries import Position, Verdict
from .errors import BrokerUnavailable, Gap, OptionOff, Overloaded
from .inspecting import overview, topic_details
from .limits import HubLimits
from .memory import MemoryBroker
from .metrics import metrics_text
from .payloads import check_key
from .service import Service
from .subscriptions import Request
from .tokens import Tokens
from .topics import RULES, Declarations, Readers, Rule, Slow, Snapshot, declare

__all__ = ["Hub", "Published"]

logger = logging.getLogger("longwire.hub")

_RULES = ", ".join(repr(rule) for rule in RULES)
_SCHEMES = "redis://, rediss://, nats:// or tls://"


class Published(NamedTuple):
    """A message was stored."""

    position: str
    """Of the message: what a subscriber that has it may give as ``since``."""
    offset: int
    duplicate: bool = False
    """It had been published with this ``id`` before, and was not stored again."""
    replicas: int | None = None
    """How many replicas have it, on topics with ``durability="replica"``."""


class Hub:
    """Topics that clients subscribe to, and programs publish to.

    ::

        hub = Hub()
        hub.topic("chat:{room}", subscribe="anyone", publish="user", history=1000)

        server = rpc.Server()
        hub.install(server)

        async with hub, server.serve("localhost", 8765) as listening:
            await hub.publish("chat:42", {"text": "hello"})

    ``broker`` is where messages are stored and by which nodes reach each other: None
    for the memory of this process, a URL such as ``"redis://localhost"`` or
    ``"nats://localhost"``, or a :class:`Broker`.

    * ``identify(peer)`` says whose a connection is: a :class:`User`, or None for
      nobody. Asked once for each; may be a coroutine function.
    * ``tokens``: :class:`Tokens` that clients may show; without, none are taken.
    * ``limits``: :class:`HubLimits`, the bounds of everything.
    * ``node``: a name of this process that no other has; random by default.

    A hub belongs to the event loop that it was started on. It starts when it is
    entered, or at its first use.
    """

    @checks_keywords()
    def __init__(
        self,
        broker: str | Broker | None = None,
        *,
        identify: Callable[[Any], Any] | None = None,
        tokens: Tokens | None = None,
        limits: HubLimits | None = None,
        node: str | None = None,
    ) -> None:
        if identify is not None and not callable(identify):
            raise TypeError("identify must be a function of a peer, or None")
        if tokens is not None and not isinstance(tokens, Tokens):
            kind = type(tokens).__name__
            raise TypeError(f"tokens must be Tokens(secret), not {kind}")
        if limits is not None and not isinstance(limits, HubLimits):
            kind = type(limits).__name__
            raise TypeError(f"limits must be HubLimits, not {kind}")
        self.limits = limits or HubLimits()
        self.broker = _broker_of(broker)
        self.node = node or secrets.token_hex(8)
        self._identify = identify
        self._tokens = tokens
        self._declarations = Declarations(self.limits.history)
        self._running: Service | None = None
        self._closed = False

    # --- topics ------------------------------------------------------------------

    @checks_keywords(subscribe=f"one of {_RULES}, or a function of the context")
    def topic(
        self,
        pattern: str,
        *,
        subscribe: Rule,
        publish: Rule = "nobody",
        history: int | None = None,
        ttl: float = 300.0,
        latest: bool = False,
        slow: Slow | None = None,
        presence: bool = False,
        snapshot: Snapshot | None = None,
        read_history: Readers = "subscribers",
        read_presence: Readers = "subscribers",
        idempotency: float = 300.0,
        durability: str | None = None,
    ) -> None:
        """Declare the topics of a pattern, such as ``"chat:{room}"``.

        * ``subscribe`` and ``publish`` say which clients may: ``"nobody"``,
          ``"anyone"``, ``"user"`` (whoever was identified), ``"own"`` (the user that
          the parameter ``{user}`` names), ``"token"``, or a function of a
          :class:`Context` that returns True or a :class:`Grant`; anything else that it
          returns refuses. The program itself may always publish.
        * ``history``: messages stored, 0 for none; 100 by default. ``ttl``: seconds
          that they are stored.
        * ``latest``: only the newest message counts, or that of each ``key``; who is
          slow skips the others. ``history`` is then 1 by default.
        * ``slow``: what happens to a subscriber without room: ``"catch_up"`` feeds it
          from history, ``"drop"`` tells it how many it missed, ``"disconnect"`` queues
          up to ``Limits.unsent_bytes`` and ends it there.
        * ``presence``: whether subscribers can see each other.
        * ``snapshot(topic, params)``, a coroutine function: what to give to those who
          cannot be given what they missed. Messages that come after it may be in it
          already.
        * ``read_history``, ``read_presence``: ``"subscribers"`` or ``"nobody"``.
        * ``idempotency``: seconds that the ``id`` of a message is remembered.
        * ``durability="replica"`` waits until a replica of the broker has a message.
        """
        self._declarations.add(
            declare(
                pattern,
                subscribe=subscribe,
                publish=publish,
                history=history,
                ttl=ttl,
                latest=latest,
                slow=slow,
                presence=presence,
                snapshot=snapshot,
                read_history=read_history,
                read_presence=read_presence,
                idempotency=idempotency,
                durability=durability,
            )
        )

    @checks_keywords()
    def install(self, server: Server, prefix: str = "hub") -> None:
        """Let the clients of an RPC server call the hub: ``hub.subscribe`` and so on.

        ``prefix`` stands in the place of ``hub``.
        """
        if not isinstance(server, Server):
            kind = type(server).__name__
            raise TypeError(f"install() takes an rpc.Server, not {kind}")
        calls = Calls(self._service, f"{prefix}.")
        server.routes.add(prefix, calls.routes())

    # --- its life ----------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __enter__(self) -> NoReturn:
        """Raise TypeError: a hub is entered with ``async with``."""
        raise use_async("Hub()", "with hub")

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    async def start(self) -> None:
        """Begin to serve, on this event loop; does not wait for the broker."""
        self._start()

    async def ready(self, timeout: float | None = 10.0) -> None:
        """Wait until the broker feeds this hub; TimeoutError if it does not in time."""
        service = await self._service()
        async with asyncio.timeout(timeout):
            await service.driver.is_up.wait()

    @property
    def is_ready(self) -> bool:
        """Whether the broker feeds this hub: false sends new clients elsewhere."""
        return self._running is not None and self._running.driver.is_up.is_set()

    def metrics(self) -> str:
        """Return what there is and was, as text for Prometheus."""
        if self._running is None:
            raise RuntimeError("the hub is not running: start it on its event loop")
        return metrics_text(self._running)

    async def inspect(
        self, topic: str | None = None, *, limit: int = 100
    ) -> dict[str, Any]:
        """Return what there is now, of this process, as what JSON can say.

        The broker's state and the ``limit`` topics with most subscribers; or one topic:
        its position, who subscribes and is behind, the newest entries at the broker
        and their sizes. No data of messages; users and paths of connections are in it.
        Raises UnknownTopic.
        """
        service = self._start()
        if not 1 <= limit <= 1000:
            raise ValueError(f"limit is {limit}; 1 to 1000 is allowed")
        if topic is None:
            return overview(service, limit)
        return await topic_details(service, topic, limit)

    async def close(self) -> None:
        """Publish what waits, end all subscriptions, leave the broker."""
        self._closed = True
        if self._running is not None:
            service, self._running = self._running, None
            await service.stop()

    def _start(self, publishing: str = "") -> Service:
        """Return what runs; ``publishing`` is the verb that a program publishes by."""
        if self._closed:
            raise RuntimeError("the hub is closed; make another")
        service = self._running
        if service is None:
            if publishing:
                logger.warning(
                    "%s has started the hub: write 'async with hub', which publishes "
                    "at its end what waits, and leaves the broker",
                    publishing,
                )
            service = self._running = Service(
                self.broker,
                self.limits,
                self._declarations,
                tokens=self._tokens,
                identify=self._identify,
                node=self.node,
            )
            service.start()
        elif service.loop is not asyncio.get_running_loop():
            raise ConcurrencyError(
                "the hub runs on another event loop: use publish_threadsafe() there, "
                "or make a hub for each loop"
            )
        return service

    async def _service(self) -> Service:
        return self._start()

    # --- publishing --------------------------------------------------------------

    async def publish(
        self,
        topic: str,
        data: Any,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Published:
        """Publish a message; return when the broker has stored it.

        ``data`` is whatever JSON or MessagePack can say. A message whose ``id`` was
        published before is not stored again. ``key`` is for topics with ``latest``.

        Raises UnknownTopic, TooLarge, TypeError or ValueError for what cannot be
        published, BrokerUnavailable when nobody knows whether it was stored.
        """
        service = self._start("publish()")
        message = self._message(service, topic, data, id, headers, key)
        return _published(await service.publishing.publish(message))

    async def publish_many(
        self,
        topics: Iterable[str],
        data: Any,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Published | BrokerUnavailable]:
        """Publish one message to several topics; return what became of each.

        Raises what ``publish`` does for what cannot be published, before anything is.
        """
        service = self._start("publish_many()")
        messages = {
            topic: self._message(service, topic, data, id, headers, None)
            for topic in topics
        }
        found = await asyncio.gather(
            *(service.publishing.publish(message) for message in messages.values()),
            return_exceptions=True,
        )
        results: dict[str, Published | BrokerUnavailable] = {}
        for topic, each in zip(messages, found, strict=True):
            if isinstance(each, BrokerUnavailable):
                results[topic] = each
            elif isinstance(each, BaseException):
                raise each
            else:
                results[topic] = _published(each)
        return results

    def publish_nowait(
        self,
        topic: str,
        data: Any,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> None:
        """Publish a message in turn, and wait for nothing.

        Messages of one topic keep the order of the calls. Raises what ``publish`` does
        for what cannot be published, Overloaded when too many wait; a message that the
        broker did not take is counted and logged.
        """
        service = self._start("publish_nowait()")
        service.publishing.put(self._message(service, topic, data, id, headers, key))

    def publish_threadsafe(
        self,
        topic: str,
        data: Any,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> concurrent.futures.Future[Published]:
        """Publish from another thread; the future has what ``publish`` would return.

        The hub has to have been started. The order of calls from one thread is kept
        only by waiting for each.
        """
        service = self._running
        if service is None:
            raise RuntimeError("the hub is not running: start it on its event loop")
        message = self._message(service, topic, data, id, headers, key)

        async def publish() -> Published:
            if service.publishing.in_flight >= (self.limits.queued or float("inf")):
                raise Overloaded("too many messages wait to be published")
            return _published(await service.publishing.publish(message))

        return asyncio.run_coroutine_threadsafe(publish(), service.loop)

    def _message(
        self,
        service: Service,
        topic: str,
        data: Any,
        id: str | None,
        headers: Mapping[str, str] | None,
        key: str | None,
    ) -> Any:
        declaration = service.declaration_of(topic)
        if id is not None and not (isinstance(id, str) and 1 <= len(id) <= 256):
            raise ValueError("id must be a text of 1 to 256 characters")
        if key is not None:
            check_key(key, declaration.latest)
        return service.message(
            topic,
            declaration,
            data,
            id=None if id is None else f"s:{id}",
            headers=headers,
            key=key,
        )

    # --- what there is -----------------------------------------------------------

    async def position(self, topic: str) -> str:
        """Return the newest position of a topic."""
        service = self._start()
        declaration, _ = service.find(topic)
        page = await service.driver.broker.read(topic, None, declaration.storage, 0, 0)
        return str(page.top)

    async def history(
        self,
        topic: str,
        *,
        since: str | None = None,
        limit: int = 100,
        reverse: bool = False,
    ) -> list[Message]:
        """Return stored messages after a position, or before it, the newest first.

        Without a position from the oldest, or from the newest. Raises Gap where the
        messages after ``since`` are not all there, ValueError for what is no position.
        """
        service = self._start()
        declaration, _ = service.find(topic)
        place = None if since is None else Position.parse(since)
        page = await service.read(topic, declaration, place, limit, reverse=reverse)
        if page.verdict is not Verdict.COMPLETE:
            raise Gap(topic, str(page.verdict), None, str(page.top))
        return [message_of(entry) for entry in page.entries]

    async def clear(self, topic: str) -> str:
        """Forget all messages of a topic; return its first position.

        Subscribers are told of a gap, for the reason ``"epoch"``; on NATS, where the
        epoch is that of a stream with other topics, ``"trimmed"``.
        """
        service = self._start()
        declaration, _ = service.find(topic)
        found: Position = await service.driver.broker.clear(topic, declaration.storage)
        return str(found)

    async def presence(self, topic: str, limit: int | None = None) -> Members:
        """Return who is present on a topic: a list, and how many there are.

        Raises OptionOff for a topic without presence.
        """
        service = self._start()
        declaration, _ = service.find(topic)
        if not declaration.presence:
            raise OptionOff("the topic has no presence", option="presence")
        most = self.limits.members if limit is None else limit
        return await service.presences.members(topic, most)

    # --- subscribers -------------------------------------------------------------

    async def subscribe_peer(
        self, peer: Peer, topics: str | Iterable[str], *, prefix: str = "hub"
    ) -> None:
        """Subscribe a client to topics, from now on, whatever it may do by itself.

        It learns the position by a ``hub.message`` without entries. Subscriptions that
        it has already stay as they are.
        """
        service = self._start()
        link = service.link_of(peer, f"{prefix}.")
        names = [topics] if isinstance(topics, str) else list(topics)
        wanted = [
            (name, service.find(name)[0], None, 0)
            for name in names
            if name not in link.subs
        ]
        found = await service.subscribe(link, wanted)
        errors = [each for each in found if not isinstance(each, Request)]
        if errors:
            service.end(link, [e.sub for e in found if isinstance(e, Request)])
            raise errors[0]
        for request in found:
            if isinstance(request, Request):
                service.admit(link, request)

    async def unsubscribe(self, user: str, topic: str | None = None) -> None:
        """End the subscriptions of a user to a topic, or to all, on all nodes.

        The client is told not to subscribe again. Whether it may is for rules and
        tokens to say.
        """
        service = self._start()
        await service.control.unsubscribe(_user(user), topic)

    async def disconnect(self, user: str) -> None:
        """Close all connections of a user, on all nodes."""
        service = self._start()
        await service.control.disconnect(_user(user))

    def __repr__(self) -> str:
        state = "closed" if self._closed else "running" if self._running else "new"
        return f"<Hub {self.node} on {self.broker.name}, {state}>"


give_own_hints(
    Hub,
    {
        "send emit broadcast": "write await hub.publish(topic, data)",
        "subscribe on join": "clients subscribe, by HubClient(client).subscribe(topic)",
        "serve run listen": "write hub.install(server), which is an rpc.Server, and "
        "server.serve('localhost', 8765)",
        "asgi": "write longwire.hub.asgi(hub)",
        "topics channel channels room add_topic": "write hub.topic(name, "
        "subscribe=...)",
    },
)


def _broker_of(broker: str | Broker | None) -> Broker:
    if broker is None:
        return MemoryBroker()
    if isinstance(broker, str):
        if broker.startswith(("redis://", "rediss://", "redis+", "rediss+")):
            from .redis import RedisBroker

            return RedisBroker(broker)
        if broker.startswith(("nats://", "tls://")):
            from .nats import NatsBroker

            return NatsBroker(broker)
        raise ValueError(
            f"no broker for {_without_password(broker)!r}: a URL begins with "
            f"{_SCHEMES}{_with_scheme(broker)}; None is the memory of this process"
        )
    for name in ("run", "publish", "attach", "read"):
        if not callable(getattr(broker, name, None)):
            kind = type(broker).__name__
            raise TypeError(f"broker must be a URL, a Broker or None, not {kind}")
    return broker


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else url


def _with_scheme(url: str) -> str:
    """Return what to write for a host and the port of a broker, "" otherwise."""
    if "://" in url or "@" in url or not url.isprintable():
        return ""
    schemes = {":6379": "redis", ":4222": "nats"}
    found = next((s for port, s in schemes.items() if url.endswith(port)), "redis")
    return f", such as {found}://{url}"


def _published(stored: Stored) -> Published:
    position = stored.position
    return Published(str(position), position.offset, stored.duplicate, stored.replicas)


def _user(user: object) -> str:
    if not isinstance(user, str) or not user:
        raise TypeError("user must be the id of a user, a text")
    return user
