"""Snapshots: what a topic is like now, for who cannot be given what led to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from .entries import Position
from .errors import HubError
from .payloads import encode_value
from .topics import Declaration

__all__ = ["Snapshot", "Snapshots"]

logger = logging.getLogger("longwire.hub")

MAX_AGE = 1.0
"""Seconds that a snapshot serves others, too."""


class Snapshot(NamedTuple):
    """A value, and a position that it was taken after."""

    codec: str
    data: bytes
    position: Position
    taken: float


class Snapshots:
    """The snapshots of a node: of each topic at most one a second."""

    def __init__(self, clock: Callable[[], float], max_size: int) -> None:
        self._clock = clock
        self._max_size = max_size
        self._kept: dict[str, Snapshot] = {}
        self._taking: dict[str, asyncio.Task[Snapshot]] = {}

    async def take(
        self,
        declaration: Declaration,
        topic: str,
        params: Mapping[str, str],
        position: Position,
    ) -> Snapshot:
        """Return a snapshot of a topic, whose feed is attached and at ``position``.

        One that is younger than a second may be of an earlier position: what came
        since then is sent after it. Raises what the function raised, as a HubError.
        """
        kept = self._kept.get(topic)
        now = self._clock()
        if kept is not None:
            if now - kept.taken < MAX_AGE and kept.position.epoch == position.epoch:
                return kept
            del self._kept[topic]
        taking = self._taking.get(topic)
        if taking is None:
            coroutine = self._take(declaration, topic, params, position)
            taking = asyncio.get_running_loop().create_task(coroutine)
            self._taking[topic] = taking
            taking.add_done_callback(lambda _: self._taking.pop(topic, None))
        try:
            snapshot = await asyncio.shield(taking)
            if snapshot.position.epoch != position.epoch:
                snapshot = await self._take(declaration, topic, params, position)
            return snapshot
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("the snapshot of %r failed", topic)
            raise HubError("the snapshot of the topic failed") from None

    async def _take(
        self,
        declaration: Declaration,
        topic: str,
        params: Mapping[str, str],
        position: Position,
    ) -> Snapshot:
        taken = self._clock()
        function = declaration.snapshot
        assert function is not None
        codec, data = encode_value(await function(topic, params), self._max_size)
        snapshot = Snapshot(codec, data, position, taken)
        self._kept[topic] = snapshot
        # No more of them than are of use for a second.
        for other in [
            name
            for name, each in self._kept.items()
            if taken - each.taken >= MAX_AGE and name != topic
        ]:
            del self._kept[other]
        return snapshot

    def stop(self) -> list[asyncio.Task[Snapshot]]:
        """Cancel what is under way; return the tasks that have to end for that."""
        tasks = list(self._taking.values())
        for task in tasks:
            task.cancel()
        return tasks
