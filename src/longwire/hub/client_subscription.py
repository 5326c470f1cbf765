"""Subscription: one topic as a client reads it, message by message.

What its reader is too slow for is not kept without end: the subscription is left, and
taken up again from its position when the reader has caught up.
"""

from __future__ import annotations

import asyncio
import collections
import inspect
import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self

import msgspec

from ..hints import use_async
from .entries import Entry
from .errors import Gap
from .following import Broken, Follower, Item, SubscribedIn
from .payloads import JSON, MSGPACK, UNREADABLE, Unreadable, unpack

if TYPE_CHECKING:
    from .client import HubClient

__all__ = ["Message", "Subscription", "Token", "message_of"]

logger = logging.getLogger("longwire.hub")

MAX_DELAY = 30.0
"""Most seconds between attempts to subscribe."""

Token = str | Callable[[], Any] | None


_ENTERING = "with hub.subscribe(...) as messages"


def _not_entered(what: str) -> TypeError:
    """Return the error of who forgot to enter a subscription."""
    return TypeError(f"{what} does not subscribe: write 'async {_ENTERING}'")


class Message(NamedTuple):
    """A message of a topic."""

    data: Any
    offset: int
    position: str
    """What to give as ``since`` to have all that comes after this message."""
    at: float | None = None
    """When it was stored, in seconds since 1970."""
    sender: str | None = None
    """The user who published it; None for the server itself."""
    headers: dict[str, str] | None = None
    key: str | None = None
    skipped: int | None = 0
    """How many before it were skipped, None if not known; on topics with ``latest``."""


class Subscription:
    """A topic, read message by message. Made by :meth:`HubClient.subscribe`.

    Entering it waits for the first answer of the server. Iterating gives a
    :class:`Message` after the other, through all connections, and raises :class:`Gap`
    where some are missing.
    """

    def __init__(
        self,
        hub: HubClient,
        topic: str,
        since: str | None,
        last: int,
        token: Token,
        presence: bool | str,
        functions: tuple[Any, Any, Any],
        max_queue: int,
    ) -> None:
        self.topic = topic
        self.token = token
        self.follower = Follower(since)
        self.on_gap, self.on_subscribed, self.on_presence = functions
        self.retrying: asyncio.Task[Any] | None = None
        self.refreshing: asyncio.Task[Any] | None = None
        self.snapshot: Any = None
        """What the server gave in the place of what was missed, the last time."""
        self._hub = hub
        self._last = last
        self._presence = presence
        self._max_queue = max_queue
        self._position = since
        self._taken: str | None = None
        self._queue: collections.deque[Item] = collections.deque()
        self._paused = False
        self._failures = 0
        self._error: Exception | None = None
        self._entered = False
        self._first: asyncio.Future[None] | None = None
        self._wake: asyncio.Event = asyncio.Event()

    @property
    def position(self) -> str | None:
        """Up to where messages were taken from the loop, and dealt with: keep this.

        It moves on when the next message is asked for.
        """
        return self._position

    @property
    def is_wanted(self) -> bool:
        """Whether the server should send."""
        return self._entered and self._error is None and not self._paused

    # --- life --------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a subscription can be entered once; make another")
        self._entered = True
        self._first = asyncio.get_running_loop().create_future()
        try:
            self._hub._add(self)
            await self._first
        except BaseException:
            self._entered = False
            await self._hub._remove(self)
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.unsubscribe()

    def __enter__(self) -> NoReturn:
        """Raise TypeError: a subscription is entered with ``async with``."""
        raise use_async("a subscription", _ENTERING)

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    def __await__(self) -> NoReturn:
        """Raise TypeError: a subscription is entered with ``async with``."""
        raise _not_entered("awaiting it")

    def __iter__(self) -> NoReturn:
        """Raise TypeError: a subscription is iterated over with ``async for``."""
        raise use_async("a subscription", "for message in messages")

    async def unsubscribe(self) -> None:
        """End the subscription; who iterates gets to the end."""
        self._entered = False
        await self._hub._remove(self)
        self._wake.set()

    def fail(self, error: Exception) -> None:
        """Nothing more will come: who waits is told why."""
        self._error = self._error or error
        if self._first is not None and not self._first.done():
            self._first.set_exception(error)
        self._wake.set()

    # --- subscribing -------------------------------------------------------------

    async def get_token(self) -> str | None:
        """Return the token to show now."""
        token = self.token
        if callable(token):
            token = token()
            if inspect.isawaitable(token):
                token = await token
        if token is not None and not isinstance(token, str):
            raise TypeError(f"a token must be str, not {type(token).__name__}")
        return token

    async def wanted(self) -> dict[str, Any]:
        """Return what to ask the server for."""
        found: dict[str, Any] = {"topic": self.topic}
        token = await self.get_token()
        if token is not None:
            found["token"] = token
        if self.follower.position is not None:
            found["since"] = self.follower.position
        elif self._last:
            found["last"] = self._last
        if self._presence:
            watch = self._presence == "watch"
            found["presence"] = {"client": self._hub.name, "watch": watch}
        return found

    def next_delay(self, least: float) -> float:
        """Return how long to wait before the next attempt."""
        self._failures += 1
        delay = min(least * 2.0 ** min(self._failures - 1, 10), MAX_DELAY)
        return delay * (0.75 + random.random() / 2)

    def answered(self, answer: dict[str, Any]) -> None:
        """The server's answer to a subscribe."""
        self._failures = 0
        found = msgspec.convert(answer, SubscribedIn)
        if found.snapshot is not msgspec.UNSET:
            self.snapshot = found.snapshot
        self.take(lambda: self.follower.answered(found))
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
        if self.on_subscribed is not None:
            self.on_subscribed({k: v for k, v in answer.items() if k != "entries"})

    def take(self, read: Callable[[], list[Item]]) -> None:
        """Take what came, or subscribe anew if it does not follow."""
        if not self.is_wanted:
            return
        try:
            items = read()
        except Broken as exc:
            logger.warning("%r is subscribed to anew: %s", self.topic, exc)
            self.follower.asked()
            self._hub._subscribe_soon(self)
            return
        self._queue.extend(items)
        if len(self._queue) > self._max_queue:
            # What is not read is left where it is, and asked for later.
            self._paused = True
            self.follower.asked()
            self._hub._tasks.spawn(self._hub._leave(self.topic))
        if items:
            self._wake.set()

    # --- reading -----------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        if self._taken is not None:
            self._position, self._taken = self._taken, None
        while True:
            while not self._queue:
                if self._paused:
                    self._resume()
                if self._error is not None:
                    raise self._error
                if not self._entered:
                    if self._first is None:
                        raise _not_entered("iterating over it")
                    raise StopAsyncIteration
                self._wake.clear()
                await self._wake.wait()
            item = self._queue.popleft()
            if self._paused and len(self._queue) <= self._max_queue // 2:
                self._resume()
            if item.gap is None:
                self._taken = item.position
                return _message(item)
            self._position = item.position
            self._tell_gap(item)

    def _resume(self) -> None:
        self._paused = False
        if self.is_wanted and self._hub._is_connected:
            self._hub._subscribe_soon(self)

    def _tell_gap(self, item: Item) -> None:
        assert item.gap is not None
        reason, missed = item.gap
        gap = Gap(self.topic, reason, missed, item.position)
        if self.on_gap is None:
            raise gap
        self.on_gap(gap)

    # --- calls -------------------------------------------------------------------

    async def publish(
        self, data: Any, *, id: str | None = None, key: str | None = None
    ) -> dict[str, Any]:
        """Publish a message on this topic."""
        return await self._hub.publish(self.topic, data, id=id, key=key)

    async def history(
        self, *, since: str | None = None, limit: int = 100, reverse: bool = False
    ) -> list[Message]:
        """Return stored messages after a position, or before it, the newest first."""
        found = await self._hub.call(
            "history", topic=self.topic, since=since, limit=limit, reverse=reverse
        )
        if "reason" in found:
            raise Gap(self.topic, found["reason"], None, found["position"])
        answer = msgspec.convert(found, SubscribedIn)
        return [
            _message(Item(each.position or answer.position, each))
            for each in answer.entries
        ]

    async def presence(self, limit: int | None = None) -> dict[str, Any]:
        """Return who is present: ``members``, ``clients``, ``users``, ``you``.

        ``you`` is the ``client`` of our own entry, which is in ``members`` within about
        a second of the subscription.
        """
        return dict(await self._hub.call("presence", topic=self.topic, limit=limit))

    def __repr__(self) -> str:
        return f"<Subscription to {self.topic!r} at {self._position}>"


def message_of(stored: Entry) -> Message:
    """Return a stored entry as a message; None as data where it cannot be read."""
    place = str(stored.position)
    try:
        payload = unpack(stored.data)
        codec = JSON if payload.codec == "json" else MSGPACK
        data = codec.decode(payload.data)
    except (Unreadable, *UNREADABLE):
        return Message(None, stored.offset, place, stored.at)
    return Message(
        data,
        stored.offset,
        place,
        stored.at,
        payload.sender,
        payload.headers,
        payload.key,
    )


def _message(item: Item) -> Message:
    entry = item.entry
    assert entry is not None
    return Message(
        entry.data,
        entry.offset,
        item.position,
        entry.at,
        entry.sender,
        entry.headers,
        entry.key,
        item.skipped,
    )
