"""Publishing: messages to the broker, once each, though an attempt may fail unseen.

An attempt whose answer is lost may have been stored. The tag travels with the message,
so a second attempt is recognised by the broker and not stored again.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Callable
from typing import NamedTuple

from ..random_bytes import ready_bytes
from .broker import Broker, Storage, Stored
from .entries import MAX_TAG
from .errors import BrokerUnavailable, Overloaded
from .limits import HubLimits
from .patience import Patience

__all__ = ["Message", "Publishing", "new_tag"]

logger = logging.getLogger("longwire.hub")

FIRST_DELAY = 0.05
MAX_DELAY = 1.0
"""Seconds between attempts: from the first to the most."""
TOPICS_AT_ONCE = 64
"""Topics of which messages of the queue are under way; of each topic one."""
OVERHEAD = 500
"""Bytes that a message in the queue takes beside its data."""


def new_tag() -> int:
    """Return a tag that nobody can guess: 48 random bits, not 0."""
    # As secrets.randbelow(), in less time; 64 bits make all about as likely.
    return 1 + int.from_bytes(_random_bytes()) % MAX_TAG


_random_bytes = ready_bytes(8)


class Message(NamedTuple):
    """One message for the broker."""

    topic: str
    storage: Storage
    data: bytes
    id: str | None = None

    @property
    def size(self) -> int:
        """Bytes that it takes in the queue."""
        return len(self.data) + len(self.topic) + OVERHEAD


class Publishing:
    """Sends messages to a broker, now or by a queue that keeps their order.

    ``spawn`` runs a coroutine in a task that ends with the hub.
    """

    def __init__(
        self,
        broker: Broker,
        limits: HubLimits,
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        self._broker = broker
        self._limits = limits
        self._spawn = spawn
        self._patience = Patience(limits.publish_timeout)
        # Of each topic those that wait; one task has each topic with any.
        self._queues: dict[str, collections.deque[Message]] = {}
        self._places = asyncio.Semaphore(TOPICS_AT_ONCE)
        self.queued = 0
        self.queued_bytes = 0
        self.failed = 0
        """Messages of the queue that were given up, and may or may not be stored."""
        self.results = {"stored": 0, "duplicate": 0, "failed": 0}
        """Messages, by what became of them; with one that failed nobody knows."""
        self.in_flight = 0
        """Messages that callers wait for."""

    async def publish(self, message: Message) -> Stored:
        """Return where a message was stored; BrokerUnavailable if nobody knows.

        It tries again until ``HubLimits.publish_timeout`` is over.
        """
        self.in_flight += 1
        result = "failed"
        try:
            stored = await self._publish(message, new_tag())
            result = "duplicate" if stored.duplicate else "stored"
            return stored
        finally:
            self.in_flight -= 1
            self.results[result] += 1

    async def _publish(self, message: Message, tag: int) -> Stored:
        attempts = 0
        delay = FIRST_DELAY
        stored: bool | None = False
        try:
            with self._patience.limit() as limit:
                while attempts == 0 or delay < limit.left:
                    if attempts:
                        await asyncio.sleep(delay)
                        delay = min(2 * delay, MAX_DELAY)
                    attempts += 1
                    try:
                        found = await self._broker.publish(
                            message.topic,
                            message.data,
                            tag,
                            message.storage,
                            id=message.id,
                            again=attempts > 1,
                        )
                        return _judged(found, tag)
                    except TimeoutError:
                        stored = None
                    except BrokerUnavailable as exc:
                        # One attempt that may have been stored makes it uncertain for
                        # good.
                        stored = None if exc.stored is None else stored
        except TimeoutError:
            stored = None
        raise BrokerUnavailable(
            f"{message.topic}: not published after {attempts} attempts", stored=stored
        )

    # --- the queue ---------------------------------------------------------------

    def put(self, message: Message) -> None:
        """Publish in turn, without waiting; raises Overloaded when too many wait."""
        limits = self._limits
        if limits.queued is not None and self.queued >= limits.queued:
            raise Overloaded(f"{self.queued} messages wait to be published")
        size = message.size
        if (
            limits.queued_bytes is not None
            and self.queued_bytes + size > limits.queued_bytes
        ):
            raise Overloaded(f"{self.queued_bytes} bytes wait to be published")
        self.queued += 1
        self.queued_bytes += size
        queue = self._queues.get(message.topic)
        if queue is None:
            queue = self._queues[message.topic] = collections.deque()
            queue.append(message)
            self._spawn(self._work_off(message.topic, queue))
        else:
            queue.append(message)

    async def _work_off(self, topic: str, queue: collections.deque[Message]) -> None:
        """Publish what waits of one topic, one by one: so they keep their order."""
        try:
            async with self._places:
                while queue:
                    message = queue[0]
                    try:
                        await self.publish(message)
                    except Exception as exc:
                        self._note_failure(topic, exc)
                    self._take_off(queue)
        finally:
            del self._queues[topic]
            while queue:  # cancelled: the hub ends
                self.failed += 1
                self._take_off(queue)

    def _take_off(self, queue: collections.deque[Message]) -> None:
        message = queue.popleft()
        self.queued -= 1
        self.queued_bytes -= message.size

    def _note_failure(self, topic: str, exc: Exception) -> None:
        self.failed += 1
        # The first of a series, then each time there are ten times as many.
        if str(self.failed).strip("0") == "1":
            logger.error(
                "publishing to %r failed (%d so far): %s", topic, self.failed, exc
            )

    async def drained(self) -> None:
        """Wait until nothing waits to be published."""
        while self._queues:
            await asyncio.sleep(0.01)


def _judged(stored: Stored, tag: int) -> Stored:
    """Return what a broker says of a message with ``tag``: is it a duplicate?"""
    # With our own tag it was an earlier attempt that stored it.
    is_duplicate = stored.position.tag != tag
    if stored.duplicate is is_duplicate:
        return stored
    return stored._replace(duplicate=is_duplicate)
