"""Nodes, publishers and listeners around a broker that is being hurt.

A listener checks at each message that it follows the one before, by offset and by tag,
and notes the gaps it is told of. In the end what it got is compared with what
publishers were told is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

from longwire.hub import BrokerUnavailable, Hub, HubLimits
from longwire.hub.entries import Position
from tests.hub.listeners import Listener

LONG = os.environ.get("LONGWIRE_CHAOS") == "long"
"""`make chaos`: the same for minutes, not seconds."""


def scaled(seconds: float, long: float) -> float:
    """How long to hurt the broker."""
    return long if LONG else seconds


LIMITS = HubLimits(subscribe_timeout=20.0, publish_timeout=30.0)


class Publisher:
    """Publishes numbers to a topic, one after the other, and notes what was stored."""

    def __init__(self, hub: Hub, topic: str, name: str, pause: float = 0.0) -> None:
        self.hub = hub
        self.topic = topic
        self.name = name
        self.pause = pause
        self.stored: list[tuple[str, int, int]] = []
        self.sent: list[bytes] = []
        self.unknown = 0
        self.count = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self.one()
            await asyncio.sleep(self.pause)

    async def one(self) -> None:
        data = f"{self.name} {self.count}"
        self.count += 1
        try:
            found = await self.hub.publish(self.topic, data)
        except BrokerUnavailable:
            self.unknown += 1
        else:
            place = Position.parse(found.position)
            self.stored.append(tuple(place))
            self.sent.append(b'j"' + data.encode() + b'"')

    async def stop(self) -> None:
        """Stop between two messages."""
        task = self._task
        assert task is not None
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


def _redis(url: str) -> Any:
    from longwire.hub.redis import RedisBroker

    return RedisBroker(url)


class Field:
    """Some nodes on one broker, with listeners and publishers."""

    def __init__(
        self, url: str, nodes: int, make_broker: Any = None, **options: Any
    ) -> None:
        self.hubs = []
        for _ in range(nodes):
            hub = Hub((make_broker or _redis)(url), limits=LIMITS)
            declared = {"subscribe": "anyone", "history": 5000, "ttl": 3600.0}
            hub.topic("t:{x}", **{**declared, **options})
            self.hubs.append(hub)
        self.listeners: list[Listener] = []
        self.publishers: list[Publisher] = []

    async def listen(self, count: int, topics: int = 1) -> None:
        for number in range(count):
            listener = Listener(
                self.hubs[number % len(self.hubs)], f"t:{number % topics}"
            )
            await listener.subscribe()
            self.listeners.append(listener)

    def publish(self, count: int, topics: int = 1, pause: float = 0.002) -> None:
        for number in range(count):
            hub = self.hubs[number % len(self.hubs)]
            publisher = Publisher(hub, f"t:{number % topics}", f"p{number}", pause)
            publisher.start()
            self.publishers.append(publisher)

    async def stop_publishing(self) -> None:
        for publisher in self.publishers:
            await publisher.stop()

    async def settle(self, seconds: float = 40.0) -> None:
        """Wait until every listener is where its topic is."""
        tops = {}
        async with asyncio.timeout(seconds):
            for listener in self.listeners:
                while True:
                    with contextlib.suppress(BrokerUnavailable):
                        found = await listener.hub.position(listener.topic)
                        tops[listener.topic] = Position.parse(found)
                        if listener.position == tops[listener.topic]:
                            break
                    await asyncio.sleep(0.02)

    def check_complete(self) -> None:
        """Nothing was lost, so nobody was told of a gap, and all have everything."""
        for listener in self.listeners:
            assert listener.reasons == []
            stored = sorted(
                place
                for publisher in self.publishers
                if publisher.topic == listener.topic
                for place in publisher.stored
            )
            got = set(listener.offsets)
            missing = [place for place in stored if place not in got]
            assert missing == []
            assert len(got) == len(listener.offsets)

    def check_bounded(self) -> None:
        for hub in self.hubs:
            core = hub._running.driver.core
            for feed_of_topic in core.feeds.values():
                assert len(feed_of_topic.held) <= LIMITS.held
            assert core.node.tails.size <= 64 << 20


@contextlib.asynccontextmanager
async def field(url: str, nodes: int = 2, **options: Any) -> AsyncIterator[Field]:
    it = Field(url, nodes, **options)
    async with contextlib.AsyncExitStack() as stack:
        for hub in it.hubs:
            await stack.enter_async_context(hub)
        for hub in it.hubs:
            await hub.ready(20)
        yield it


class Proxy:
    """A connection to a server through us: it can be cut, or swallow one direction."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.swallow_down = self.swallow_up = False
        self.refuses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        while self._tasks:
            self.cut()
            await asyncio.wait(list(self._tasks), timeout=0.1)

    async def _serve(self, reader: Any, writer: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.refuses:
            writer.close()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection(
                "127.0.0.1", self.target
            )
        except OSError:
            writer.close()
            return
        self._writers |= {writer, up_writer}
        await asyncio.gather(
            self._pipe(reader, up_writer, lambda: self.swallow_up),
            self._pipe(up_reader, writer, lambda: self.swallow_down),
        )

    async def _pipe(
        self, reader: Any, writer: Any, swallows: Callable[[], bool]
    ) -> None:
        try:
            while data := await reader.read(65536):
                if not swallows():
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)

    def cut(self) -> None:
        """End all connections."""
        for writer in list(self._writers):
            writer.transport.abort()


def quick_probes(monkeypatch: Any) -> None:
    """Let a line be probed after a second, and wait a second for the probe."""
    from longwire.hub.redis import feed

    monkeypatch.setattr(feed, "QUIET", 1.0)
    monkeypatch.setattr(feed, "PROBE", 1.0)


def dice(seed: int = 0) -> random.Random:
    return random.Random(seed)
