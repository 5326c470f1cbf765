"""HubClient: subscriptions that outlive their connections, on a client of RPC.

``following.py`` decides what follows what; here it is joined to connections, which come
and go. All subscriptions are taken up again in one call.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable
from typing import Any, Self

import msgspec

from ..hints import checks_keywords
from ..rpc import Client, Disconnected, InvalidResult, Peer, RemoteError, TooBusy
from .client_subscription import Message, Subscription, Token
from .errors import (
    BrokerUnavailable,
    Gap,
    HubError,
    NotSubscribed,
    TokenExpired,
    revived,
)
from .following import GapIn, MessageIn
from .tasks import Tasks

__all__ = ["HubClient", "Message", "Subscription"]

logger = logging.getLogger("longwire.hub")

TOPICS_PER_CALL = 512
TEXT_PER_CALL = 100_000
"""Characters of a subscribe, tokens and all: servers of RPC take 256 KiB at once."""


class HubClient:
    """The hub of a server, as a client of it sees it.

    ::

        async with rpc.Client("ws://localhost:8765/") as client:
            hub = HubClient(client)
            async with hub.subscribe("chat:42", since=saved) as chat:
                async for message in chat:
                    print(message.data)
                    saved = message.position

    ``client`` is an :class:`longwire.rpc.Client`, whose connections come and go, or a
    Peer. ``prefix`` is the one that the server's hub was installed with.
    """

    @checks_keywords()
    def __init__(self, client: Client | Peer, *, prefix: str = "hub") -> None:
        if not isinstance(client, (Client, Peer)):
            kind = type(client).__name__
            raise TypeError(f"HubClient takes an rpc.Client or a Peer, not {kind}")
        self.client = client
        self.prefix = prefix
        self.name = secrets.token_hex(16)
        """Who this is where it is present: the same through all connections."""
        self._subs: dict[str, Subscription] = {}
        self._waiting: dict[Subscription, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._tasks = Tasks("the hub's client")
        self._is_watching = False
        if f"{prefix}.message" in client.settings.routes:
            raise ValueError(
                f"there is a route '{prefix}.message' already: this client has a "
                f"HubClient, and one is enough for all topics; call its subscribe()"
            )
        client.settings.routes.add(
            prefix,
            {
                "message": self._take_message,
                "gap": self._take_gap,
                "presence": self._take_presence,
                "unsubscribed": self._take_unsubscribed,
                "expiring": self._take_expiring,
            },
        )
        client.settings.signals.opened.connect(self._opened)
        client.settings.signals.closed.connect(self._lost)

    # --- calls -------------------------------------------------------------------

    async def call(
        self, method: str, always: dict[str, Any] | None = None, /, **params: Any
    ) -> Any:
        """Call one of the hub's methods; raises its errors as those of this package.

        ``params`` that are None are left out, ``always`` is not.
        """
        given = {name: value for name, value in params.items() if value is not None}
        given.update(always or {})
        try:
            return await self.client.call_with(f"{self.prefix}.{method}", given)
        except RemoteError as exc:
            raise revived(exc) from None

    async def publish(
        self,
        topic: str,
        data: Any,
        *,
        id: str | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Publish a message; return its ``offset`` and ``position``.

        With ``id`` it may be tried again after an error: it is stored once.
        """
        return dict(
            await self.call("publish", {"data": data}, topic=topic, id=id, key=key)
        )

    @checks_keywords()
    def subscribe(
        self,
        topic: str,
        *,
        since: str | None = None,
        last: int = 0,
        token: Token = None,
        presence: bool | str = False,
        on_gap: Callable[[Gap], object] | None = None,
        on_subscribed: Callable[[dict[str, Any]], object] | None = None,
        on_presence: Callable[[dict[str, Any]], object] | None = None,
        max_queue: int = 1000,
    ) -> Subscription:
        """Return a subscription, to be entered with ``async with``.

        * ``since``: a position to go on from. ``last``: how many of the newest to begin
          with otherwise.
        * ``token``: a token, or a function that returns one, which may be a coroutine
          function: it is asked before each subscribe.
        * ``presence``: True to be present and be told of the others, ``"watch"`` only
          to be told.
        * ``on_gap(gap)`` is called where messages are missing; without it the loop
          raises :class:`Gap` there, and goes on when it is entered again.
        * ``on_subscribed(answer)`` is called after each subscribe,
          ``on_presence(diff)`` when others come and go.
        * ``max_queue``: messages that wait for the loop; then no more are asked for
          until half of them were taken.
        """
        if topic in self._subs:
            raise ValueError(f"{topic!r} is subscribed to already: use that one")
        if presence not in (False, True, "watch"):
            raise ValueError(f"presence is {presence!r}; True or 'watch' is allowed")
        if isinstance(max_queue, bool) or not isinstance(max_queue, int):
            kind = type(max_queue).__name__
            raise TypeError(f"max_queue must be an int, not {kind}")
        if max_queue < 1:
            raise ValueError(f"max_queue is {max_queue}; the least allowed is 1")
        return Subscription(
            self,
            topic,
            since,
            last,
            token,
            presence,
            (on_gap, on_subscribed, on_presence),
            max_queue,
        )

    # --- connections -------------------------------------------------------------

    def _opened(self, peer: Peer) -> None:
        """There is a connection: subscribe to everything by it, in few calls."""
        for sub in self._subs.values():
            sub.follower.asked()
            self._subscribe_soon(sub)

    def _lost(self, peer: Peer, report: Any) -> None:
        for sub in self._subs.values():
            sub.follower.asked()
        if self._subs:
            self._watch_soon()

    def _watch_soon(self) -> None:
        """See whether there will be a connection, and end where there will be none."""
        if not self._is_watching:
            self._is_watching = True
            self._tasks.spawn(self._watch())

    async def _watch(self) -> None:
        try:
            if isinstance(self.client, Client):
                await self.client.connected()
            elif not self.client.is_open:
                raise Disconnected(self.client.close_report)
        except Exception as exc:
            for sub in list(self._subs.values()):
                sub.fail(exc)
        finally:
            self._is_watching = False

    @property
    def _is_connected(self) -> bool:
        client = self.client
        return client.is_connected if isinstance(client, Client) else client.is_open

    def _subscribe_soon(self, sub: Subscription) -> None:
        self._waiting[sub] = None
        if self._task is None:
            self._task = self._tasks.spawn(self._subscribe_all())

    async def _subscribe_all(self) -> None:
        """Subscribe to what waits, all that do in one call."""
        try:
            while self._waiting and self._is_connected:
                subs = list(self._waiting)[:TOPICS_PER_CALL]
                for sub in subs:
                    del self._waiting[sub]
                await self._subscribe_to([s for s in subs if s.is_wanted])
        finally:
            self._task = None

    async def _subscribe_to(self, subs: list[Subscription]) -> None:
        wanted: list[dict[str, Any]] = []
        ready: list[Subscription] = []
        size = 0
        for sub in subs:
            if size > TEXT_PER_CALL:
                self._waiting[sub] = None
                continue
            try:
                found = await sub.wanted()
            except Exception as exc:
                logger.warning("no token for %r: %s", sub.topic, exc)
                sub.fail(exc)
                continue
            wanted.append(found)
            ready.append(sub)
            size += 100 + sum(len(str(value)) for value in found.values())
        if not ready:
            return
        for sub in ready:
            sub.follower.asked()
        try:
            answers = await self.call("subscribe", topics=wanted)
        except Disconnected:
            return  # the next connection subscribes to everything
        except Exception as exc:
            for sub in ready:
                self._refused(sub, exc)
            return
        try:
            several = msgspec.convert(answers, list[dict[str, Any]])
            for sub, answer in zip(ready, several, strict=True):
                if answer.get("error") is not None:
                    self._refused(sub, _error_of(answer["error"]))
                elif sub.is_wanted:
                    sub.answered(answer)
        except (msgspec.ValidationError, ValueError) as exc:
            error = InvalidResult(f"the answer to {self.prefix}.subscribe: {exc}")
            for sub in ready:
                sub.fail(error)

    def _refused(self, sub: Subscription, error: Exception) -> None:
        """A subscribe failed: try again where that may help, or end."""
        retry = 0.0
        if isinstance(error, BrokerUnavailable):
            retry = error.retry / 1000
        elif isinstance(error, (TooBusy, TimeoutError)) or (
            isinstance(error, TokenExpired) and callable(sub.token)
        ):
            retry = 1.0
        if not retry:
            sub.fail(error)
            return
        delay = sub.next_delay(retry)
        logger.info("subscribing to %r again in %.1f s: %s", sub.topic, delay, error)
        self._later(delay, sub)

    def _later(self, delay: float, sub: Subscription) -> None:
        async def subscribe() -> None:
            await asyncio.sleep(delay)
            if sub.is_wanted and self._is_connected:
                self._subscribe_soon(sub)

        # A server that says so a thousand times makes one task of it.
        if sub.retrying is not None:
            sub.retrying.cancel()
        sub.retrying = self._tasks.spawn(subscribe())

    # --- what the server tells ---------------------------------------------------

    def _take_message(
        self,
        topic: str,
        position: str,
        entries: list[Any] = [],  # noqa: B006
        skipped: int | None = 0,
        behind: bool = False,
    ) -> None:
        """A notification of the hub: entries of a topic."""
        sub = self._subs.get(topic)
        if sub is not None:
            found = {"topic": topic, "position": position, "entries": entries}
            message = msgspec.convert({**found, "skipped": skipped}, MessageIn)
            sub.take(lambda: sub.follower.message(message))

    def _take_gap(
        self,
        topic: str,
        position: str,
        reason: str = "unknown",
        missed: int | None = None,
        **rest: Any,
    ) -> None:
        """A notification of the hub: entries of a topic are missing."""
        sub = self._subs.get(topic)
        if sub is not None:
            gap = GapIn(topic, position, reason, missed)
            sub.take(lambda: sub.follower.gap(gap))

    def _take_presence(self, topic: str, **rest: Any) -> None:
        """A notification of the hub: who came and went."""
        sub = self._subs.get(topic)
        if sub is not None and sub.on_presence is not None:
            sub.on_presence({"topic": topic, **rest})

    def _take_unsubscribed(
        self, topic: str, code: str = "", reason: str = "", again: bool = False
    ) -> None:
        """A notification of the hub: a subscription was ended by the server."""
        sub = self._subs.get(topic)
        if sub is None:
            return
        sub.follower.asked()
        if again:
            self._later(random.random(), sub)
        else:
            sub.fail(NotSubscribed(f"{topic!r}: {reason or code}"))

    def _take_expiring(self, topic: str, **rest: Any) -> None:
        """A notification of the hub: a permission is about to end."""
        sub = self._subs.get(topic)
        if sub is None or not callable(sub.token):
            return
        if sub.refreshing is None or sub.refreshing.done():
            sub.refreshing = self._tasks.spawn(self._refresh(sub))

    async def _refresh(self, sub: Subscription) -> None:
        try:
            token = await sub.get_token()
            await self.call("refresh", topic=sub.topic, token=token)
        except Exception as exc:
            # The end comes as hub.unsubscribed, and then it is subscribed to anew.
            logger.info("the permission for %r was not renewed: %s", sub.topic, exc)

    # --- its subscriptions -------------------------------------------------------

    def _add(self, sub: Subscription) -> None:
        if sub.topic in self._subs:
            raise ValueError(f"{sub.topic!r} is subscribed to already: use that one")
        self._subs[sub.topic] = sub
        if self._is_connected:
            self._subscribe_soon(sub)
        else:
            self._watch_soon()

    async def _remove(self, sub: Subscription) -> None:
        if self._subs.get(sub.topic) is not sub:
            return
        del self._subs[sub.topic]
        self._waiting.pop(sub, None)
        await self._leave(sub.topic)

    async def _leave(self, topic: str) -> None:
        if not self._is_connected:
            return
        try:
            await self.call("unsubscribe", topic=topic)
        except (Disconnected, RemoteError, TimeoutError) as exc:
            logger.info("leaving %r: %s", topic, exc)

    async def close(self) -> None:
        """End what is under way; the client and its connection remain."""
        for sub in list(self._subs.values()):
            await self._remove(sub)
            sub.fail(NotSubscribed("the client was closed"))
        await self._tasks.stop()
        self.client.settings.signals.opened.disconnect(self._opened)
        self.client.settings.signals.closed.disconnect(self._lost)
        self.client.settings.routes.remove(self.prefix)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


def _error_of(error: Any) -> Exception:
    """Return the exception that the error of one topic of several stands for."""
    data = error.get("data") if isinstance(error, dict) else None
    if not isinstance(data, dict):
        return HubError("the server refused, and did not say why")
    remote = RemoteError(
        str(error.get("message", "")),
        data.get("data"),
        type=str(data.get("type", "RemoteError")),
        code=error.get("code") if isinstance(error.get("code"), int) else None,
    )
    return revived(remote)
