"""Subscriptions of the hub itself, to its own topics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from .broker import Storage
from .driver import Driver
from .entries import Entry
from .errors import BrokerUnavailable
from .subscriptions import Missing, Push, Request, Subscription

__all__ = ["InternalLink"]

logger = logging.getLogger("longwire.hub")

RETRY = 1.0


class InternalLink:
    """A subscriber within the process, which always has room.

    ``on_entry(entry)`` is called with each message, ``on_gap(reason)`` where some are
    missing, and once more than that if a subscription had to be made anew.
    """

    has_room = True

    def __init__(
        self,
        driver: Driver,
        name: str,
        storage: Storage,
        *,
        on_entry: Callable[[Entry], None],
        on_gap: Callable[[str], None],
    ) -> None:
        self.subs: dict[str, Subscription] = {}
        self.behind: dict[Subscription, None] = {}
        self.name = name
        self._driver = driver
        self._storage = storage
        self._on_entry = on_entry
        self._on_gap = on_gap
        self._task = driver.spawn(self._subscribe())

    async def _subscribe(self) -> None:
        slow = "catch_up" if self._storage.history else "drop"
        failures = 0
        while True:
            wanted = [(self.name, self._storage, slow, None, 0)]
            (found,) = await self._driver.subscribe(self, wanted)
            if isinstance(found, Request):
                self._driver.activate(found.sub)
                if failures:
                    self._on_gap("unavailable")
                return
            if not isinstance(found, BrokerUnavailable):
                logger.error("subscribing to %s failed: %s", self.name, found)
            failures += 1
            await asyncio.sleep(RETRY)

    @property
    def is_ready(self) -> bool:
        """Whether it is subscribed."""
        return self._task.done()

    async def ready(self) -> None:
        """Wait until it is subscribed."""
        await asyncio.shield(self._task)

    def deliver(self, message: Push | Missing) -> bool:
        """Take what came."""
        if isinstance(message, Missing):
            self._on_gap(message.reason)
            return True
        for entry in message.entries:
            self._on_entry(entry)
        return True

    def wait_for_room(self, then: Callable[[Any], None]) -> None:
        """There always is."""

    def hang_up(self, reason: str, limit: str, value: float | None) -> None:
        """Nothing to hang up on: it is never behind for want of room."""
        logger.error("%s: %s", self.name, reason)

    def close(self) -> None:
        """End the subscription."""
        self._task.cancel()
        self._driver.closed(self)

    def __repr__(self) -> str:
        return f"<InternalLink to {self.name!r}>"
