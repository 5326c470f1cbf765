"""Reconnecting: a connection to a broker that is watched, and replaced when lost.

A broker's feed is such a connection for each server or for all of them. What has been
quiet for some time is probed: a connection may look well though nothing comes by it
any more.
"""

from __future__ import annotations

import abc
import asyncio
import logging
import random

from .errors import BrokerUnavailable

__all__ = ["Attempts", "Probing", "Reconnecting"]

logger = logging.getLogger("longwire.hub")

FIRST_DELAY = 0.05
MAX_DELAY = 2.0
"""Seconds between attempts to connect: doubled from the first to the largest."""
QUIET = 10.0
"""Seconds of silence after which a probe is sent."""
PROBE = 5.0
"""Seconds in which a probe has to come back."""
CONFIRM = 5.0
"""Seconds in which a server has to confirm that it feeds a topic."""
MAX_REASONS = 100
"""Reasons remembered, so that each is a warning once."""


class Attempts:
    """Attempts to reach ``broker``: when the next one is due, and what is logged."""

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._delay = FIRST_DELAY
        self._warned: set[str] = set()

    def failed(self, why: str) -> None:
        """Log why an attempt failed: as a warning for the first time."""
        level = logging.INFO if why in self._warned else logging.WARNING
        logger.log(level, "%s cannot be reached: %s", self._broker, why)
        if len(self._warned) < MAX_REASONS:
            self._warned.add(why)

    def succeeded(self) -> None:
        """Begin anew with the shortest delay."""
        self._delay = FIRST_DELAY
        self._warned.clear()

    async def wait(self) -> None:
        """Sleep until the next attempt is due, a quarter more or less."""
        await asyncio.sleep(self._delay * (0.75 + random.random() / 2))
        self._delay = min(2 * self._delay, MAX_DELAY)


class Probing:
    """When to send a probe, and when its absence means a loss; times are the loop's."""

    def __init__(self, now: float) -> None:
        self._heard = now
        self._probed: float | None = None

    @property
    def due(self) -> float:
        """When ``look()`` has something to say, if nothing is heard until then."""
        if self._probed is None:
            return self._heard + QUIET
        return self._probed + PROBE

    def hear(self, at: float) -> None:
        """Something came at ``at``: the answer to a probe sent before that."""
        self._heard = max(self._heard, at)
        if self._probed is not None and at >= self._probed:
            self._probed = None

    def look(self, now: float) -> tuple[bool, bool]:
        """Return whether a probe did not come back, and whether to send one now."""
        is_lost = self._probed is not None and now - self._probed >= PROBE
        if is_lost:
            self._probed = None
        is_due = self._probed is None and now - self._heard >= QUIET
        if is_due:
            self._probed = now
        return is_lost, is_due


class Reconnecting(abc.ABC):
    """Keeps a connection to ``broker`` until it is stopped."""

    def __init__(self, broker: str) -> None:
        self._attempts = Attempts(broker)
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._why = ""
        self._stopped = False

    @property
    def is_up(self) -> bool:
        """Whether there is a connection, which has everything that it should have."""
        return self._up.is_set() and not self._stopped

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost, until stopped."""
        try:
            while not self._stopped:
                self._lost.clear()
                try:
                    await self._connect()
                except BrokerUnavailable as exc:
                    self._why = exc.message
                    self._attempts.failed(exc.message)
                    self._drop(exc.message)
                else:
                    self._attempts.succeeded()
                    self._up.set()
                    self._came_up()
                    await self._watch()
                    if self._stopped:
                        return
                    self._up.clear()
                    self._drop(self._why)
                    self._went_down(self._why)
                await self._before_next_attempt()
                if not self._stopped:
                    await self._attempts.wait()
        finally:
            self.stop("the hub is closed")
            self._drop(self._why)

    def stop(self, why: str) -> None:
        """Connect no more."""
        self._stopped = True
        self._note_lost(why)
        self._up.set()  # whoever waits sees that it has stopped

    def _note_lost(self, why: str) -> None:
        """The connection is lost, or has to be given up."""
        if not self._lost.is_set():
            self._why = why
            self._lost.set()

    async def until_up(self, seconds: float) -> None:
        """Wait for the connection; raises BrokerUnavailable if it takes longer."""
        if not self.is_up:
            await _wait_for(self._up, seconds)
        if not self.is_up:
            raise BrokerUnavailable(self._why or "not connected yet", stored=False)

    async def _until_lost(self, seconds: float) -> bool:
        """Wait until the connection is lost, at most so long; return whether it is."""
        return await _wait_for(self._lost, seconds)

    # --- what a broker does by it ------------------------------------------------

    @abc.abstractmethod
    async def _connect(self) -> None:
        """Open a connection that has everything; raises BrokerUnavailable."""

    @abc.abstractmethod
    async def _watch(self) -> None:
        """Return when the connection is lost."""

    @abc.abstractmethod
    def _drop(self, why: str) -> None:
        """Close the connection, if there is one."""

    @abc.abstractmethod
    def _came_up(self) -> None:
        """There is a connection."""

    @abc.abstractmethod
    def _went_down(self, why: str) -> None:
        """There was one, and it is lost."""

    async def _before_next_attempt(self) -> None:  # noqa: B027 - optional
        """Find out whether to connect again, and where."""


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    return event.is_set()
