"""Nodes, publishers and listeners around a broker that is being hurt.

A listener checks at each message that it follows the one before, by offset and by tag,
and notes the gaps it is told of. In the end what it got is compared with what
publishers were told is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import random
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from longwire.hub import BrokerUnavailable, Hub, HubLimits, reconnecting
from longwire.hub.entries import Position, Verdict
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


class Row(NamedTuple):
    """What one test did to messages, for the table that a run of chaos prints.

    Of what listeners were to get, numbers are sums over all of them. Lost is what was
    stored after a listener's first entry, never came, and no gap was told of.
    """

    test: str
    stored: int
    delivered: int
    lost: int
    doubled: int
    signalled: int
    unknown: int


TABLE: list[Row] = []


class Field:
    """Some nodes on one broker, with listeners and publishers.

    ``broker`` makes brokers of the URL, where the hub is not to do it.
    """

    def __init__(
        self,
        url: str,
        nodes: int,
        broker: Callable[[str], Any] | None = None,
        **options: Any,
    ) -> None:
        self.hubs = []
        for _ in range(nodes):
            hub = Hub(url if broker is None else broker(url), limits=LIMITS)
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

    def check_once(self) -> None:
        """Nothing was stored twice."""
        for listener in self.listeners:
            assert len(set(listener.data)) == len(listener.data)

    async def check_new_epoch(self, restart_empty: Callable[[], None]) -> None:
        """A server that has lost everything is a new history for everybody."""
        await self.listen(4)
        for number in range(20):
            await self.hubs[0].publish("t:0", number)
        await self.settle()
        before = self.listeners[0].position

        await asyncio.to_thread(restart_empty)
        for hub in self.hubs:
            await hub.publish("t:0", "after")
        await self.settle()

        for listener in self.listeners:
            assert listener.reasons == ["epoch"]
            assert listener.position.epoch != before.epoch
        late = Listener(self.hubs[0], "t:0")
        outcome = await late.subscribe(before)
        assert outcome.verdict is Verdict.EPOCH

    def row(self) -> Row:
        """Return what became of the messages."""
        lost = doubled = 0
        for listener in self.listeners:
            got = set(listener.offsets)
            doubled += len(listener.offsets) - len(got)
            if not listener.gaps:
                lost += sum(
                    place not in got
                    for publisher in self.publishers
                    if publisher.topic == listener.topic
                    for place in publisher.stored
                )
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("::")[2]
        return Row(
            test.partition(" ")[0],
            sum(len(each.stored) for each in self.publishers),
            sum(len(each.offsets) for each in self.listeners),
            lost,
            doubled,
            sum(len(each.gaps) for each in self.listeners),
            sum(each.unknown for each in self.publishers),
        )

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
        if LONG:
            TABLE.append(it.row())


_TIME = re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d")


class Proxy:
    """A connection to a server through us: it can be cut, or swallow one direction."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.swallow_down = self.swallow_up = False
        self.clock = 0
        """Hours by which the times are moved that a NATS server sends."""
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
            self._pipe(up_reader, writer, lambda: self.swallow_down, self._move),
        )

    async def _pipe(
        self,
        reader: Any,
        writer: Any,
        swallows: Callable[[], bool],
        change: Callable[[bytes], tuple[bytes, bytes]] = lambda data: (data, b""),
    ) -> None:
        kept = b""
        try:
            while data := await reader.read(65536):
                data, kept = change(kept + data)
                if not swallows():
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
            self._writers.discard(writer)

    def _move(self, data: bytes) -> tuple[bytes, bytes]:
        """Return bytes with their times moved, and what may be half of a time."""
        if not self.clock:
            return data, b""
        # All that a server sends ends with CRLF: a time is in one line.
        end = data.rfind(b"\n") + 1
        return _TIME.sub(self._moved, data[:end]), data[end:]

    def _moved(self, found: re.Match[bytes]) -> bytes:
        time = datetime.datetime.fromisoformat(found[0].decode())
        return (time + datetime.timedelta(hours=self.clock)).isoformat().encode()

    def cut(self) -> None:
        """End all connections."""
        for writer in list(self._writers):
            writer.transport.abort()


def quick_probes(monkeypatch: Any) -> None:
    """Let feeds be probed after a second, and wait a second for the probe."""
    monkeypatch.setattr(reconnecting, "QUIET", 1.0)
    monkeypatch.setattr(reconnecting, "PROBE", 1.0)


def dice(seed: int = 0) -> random.Random:
    return random.Random(seed)
