"""What the contract of brokers is tested with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from longwire.hub.broker import Storage
from longwire.hub.publishing import new_tag

KEPT = Storage(history=20, ttl=300.0, meta_ttl=86400.0, idempotency=60.0)
SHORT = Storage(history=3, ttl=300.0, meta_ttl=86400.0, idempotency=60.0)
NONE = Storage(history=0, ttl=300.0, meta_ttl=86400.0, idempotency=60.0)


class Sink:
    """Keeps what a broker feeds."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Any]] = []
        self.losses: list[tuple[Any, str]] = []
        self.log: list[Any] = []
        self.is_ready = asyncio.Event()

    def entry(self, topic: str, entry: Any) -> None:
        self.entries.append((topic, entry))
        self.log.append(("entry", topic, entry.offset))

    def lost(self, topics: Any, why: str) -> None:
        topics = None if topics is None else list(topics)
        self.losses.append((topics, why))
        self.log.append(("lost", topics))

    def ready(self, topics: Any) -> None:
        self.log.append(("ready", None if topics is None else list(topics)))
        if topics is None:
            self.is_ready.set()

    @contextlib.asynccontextmanager
    async def fed_by(self, broker: Any) -> AsyncIterator[None]:
        running = asyncio.create_task(broker.run(self))
        try:
            async with asyncio.timeout(15):
                await self.is_ready.wait()
            yield
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def until(self, count: int, seconds: float = 10.0) -> list[Any]:
        """The entries fed, once there are as many."""
        async with asyncio.timeout(seconds):
            while len(self.entries) < count:
                await asyncio.sleep(0.005)
        return [entry for _, entry in self.entries]


async def publish(broker: Any, topic: str, count: int, storage: Storage = KEPT) -> Any:
    """Positions of ``count`` messages published: j1, j2, ..."""
    return [
        (await broker.publish(topic, b"j%d" % n, new_tag(), storage)).position
        for n in range(1, count + 1)
    ]


async def read(broker: Any, topic: str, since: Any, storage: Storage = KEPT) -> Any:
    return await broker.read(topic, since, storage, 500, 1 << 20)
