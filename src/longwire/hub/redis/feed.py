"""Feed: the live entries of topics, by Pub/Sub, and the doubts about them.

One connection to each primary. It is taken for dead when it says nothing for some time
and a message published in the ordinary way does not come back by it: a node that
listens to a server which is no primary any more would otherwise wait for ever, and
every connection of it would look well.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from .. import reconnecting
from ..addresses import Address
from ..broker import Sink
from ..entries import Entry
from ..errors import BrokerUnavailable
from ..reconnecting import Attempts, Probing, Reconnecting
from ..tasks import Tasks, fail_all
from .addresses import Place
from .keys import Keys, tags
from .resp import Connection
from .topology import Topology

__all__ = ["Feed", "Line", "parse_message"]

logger = logging.getLogger("longwire.hub")

BATCH = 1000
"""Channels in one command."""


class Feed:
    """All lines of a broker.

    ``probe(line)`` publishes to the channel of a line, the way messages are published.
    """

    def __init__(
        self,
        place: Place,
        topology: Topology,
        namespace: str,
        name: str,
        timeout: float,
        sink: Sink,
        probe: Callable[[Line], Awaitable[None]],
    ) -> None:
        self.place = place
        self.topology = topology
        self.namespace = namespace
        self.name = name
        self.timeout = timeout
        self.sink = sink
        self.probe = probe
        self.topics: dict[str, Keys] = {}
        """What is attached, or about to be."""
        self._lines: dict[Address, Line] = {}
        self._tasks = Tasks("the feed")
        self.spawn = self._tasks.spawn
        self._ready = False

    # --- its life ----------------------------------------------------------------

    async def run(self) -> None:
        """Find the servers, and listen to them until cancelled."""
        attempts = Attempts("Redis")
        try:
            while True:
                try:
                    await self.topology.refresh()
                    break
                except BrokerUnavailable as exc:
                    attempts.failed(exc.message)
                await attempts.wait()
            self.arrange()
            await asyncio.get_running_loop().create_future()
        finally:
            await self._tasks.stop()
            self._lines.clear()

    # --- lines -------------------------------------------------------------------

    def arrange(self) -> None:
        """Have a line to each primary, and each topic on the line of its server."""
        primaries = self.topology.primaries()
        for address in primaries:
            if address not in self._lines:
                line = self._lines[address] = Line(self, address)
                self.spawn(line.run())
        for address, line in list(self._lines.items()):
            if address not in primaries:
                self._retire(line)
        for topic, keys in self.topics.items():
            own = self._line_of(keys)
            if own is not None and topic not in own.topics:
                self._move(topic, keys, own)

    def _retire(self, line: Line) -> None:
        """Leave a server that is no primary any more."""
        del self._lines[line.address]
        line.stop(f"{line.address} is no primary any more")
        self.went_down(line, "no primary any more")
        line.topics.clear()

    def _move(self, topic: str, keys: Keys, line: Line) -> None:
        """Attach a topic that was another server's."""
        for other in self._lines.values():
            if other is not line and other.topics.pop(topic, None) is not None:
                other.leave([keys])
        self.sink.lost([topic], f"now at {line.address}")
        line.topics[topic] = keys
        if line.is_up:
            self.spawn(self._attach_moved(line, topic, keys))

    async def _attach_moved(self, line: Line, topic: str, keys: Keys) -> None:
        try:
            await line.subscribe([keys])
        except BrokerUnavailable:
            return  # the line is lost, and attaches all again
        if self.topics.get(topic) is keys:
            self.sink.ready([topic])

    def _line_of(self, keys: Keys) -> Line | None:
        try:
            return self._lines.get(self.topology.address_of(keys.tag))
        except BrokerUnavailable:
            return None

    def keys_of(self, channel: bytes) -> Keys | None:
        """Return the topic that a channel is of, if it is attached."""
        topic = channel.decode(errors="replace").partition("}:c:")[2]
        return self.topics.get(topic)

    def came_up(self, line: Line) -> None:
        """A line listens to all of its topics."""
        if not self._ready and all(each.is_up for each in self._lines.values()):
            self._ready = True
            self.sink.ready(None)
        elif not self.topology.sharded:
            self.sink.ready(None)
        else:
            self.sink.ready(list(line.topics))

    def went_down(self, line: Line, why: str) -> None:
        """A line has lost its connection."""
        why = f"{line.address}: {why}"
        topics = None if not self.topology.sharded else list(line.topics)
        self.sink.lost(topics, why)

    async def refresh(self) -> None:
        """Ask for the topology, and arrange by what is answered."""
        try:
            await self.topology.refresh()
        except BrokerUnavailable as exc:
            logger.info("topology: %s", exc.message)
        else:
            self.arrange()

    # --- topics ------------------------------------------------------------------

    async def attach(self, topics: Sequence[str]) -> None:
        """Listen to topics; returns when their servers have confirmed it."""
        by_line: dict[Line, list[Keys]] = {}
        for topic in topics:
            keys = self.topics.get(topic) or Keys(self.namespace, topic)
            line = self._line_of(keys)
            if line is None:
                raise BrokerUnavailable(f"{topic}: no server has it yet", stored=False)
            by_line.setdefault(line, []).append(keys)
        for line, found in by_line.items():
            for keys in found:
                self.topics[keys.topic] = line.topics[keys.topic] = keys
        for line, found in by_line.items():
            await line.attach(found)

    def detach(self, topics: Iterable[str]) -> None:
        """Listen to topics no more."""
        for topic in topics:
            keys = self.topics.pop(topic, None)
            if keys is None:
                continue
            for line in self._lines.values():
                if line.topics.pop(topic, None) is not None:
                    line.leave([keys])


class Line(Reconnecting):
    """The connection that listens to one server."""

    def __init__(self, feed: Feed, address: Address) -> None:
        super().__init__("Redis")
        self.address = address
        self.topics: dict[str, Keys] = {}
        self.probe_keys: Keys | None = None
        """Of the channel that this line is probed by, at a place of its server."""
        self._feed = feed
        self._connection: Connection | None = None
        # Of each channel those who wait, for as many confirmations.
        self._confirming: dict[bytes, collections.deque[asyncio.Future[None]]] = {}
        # Of each channel how often we unsubscribed, and were not told that it is done.
        self._leaving: collections.Counter[bytes] = collections.Counter()
        sharded = feed.topology.sharded
        self._subscribe = "SSUBSCRIBE" if sharded else "SUBSCRIBE"
        self._unsubscribe = "SUNSUBSCRIBE" if sharded else "UNSUBSCRIBE"

    # --- its life ----------------------------------------------------------------

    async def _connect(self) -> None:
        """Open the connection and subscribe to everything by it."""
        self._leaving.clear()
        feed = self._feed
        self._connection = await Connection.open(
            self.address,
            feed.place,
            feed.timeout,
            f"{feed.name}-feed",
            on_push=self._take,
            on_lost=self._note_lost,
        )
        self.probe_keys = self._own_place()
        await self.subscribe([self.probe_keys])
        listened: dict[str, Keys] = {}
        while True:
            # Others may come while these are being confirmed.
            left = [
                keys
                for topic, keys in self.topics.items()
                if listened.get(topic) is not keys
            ]
            if not left:
                break
            await self.subscribe(left)
            listened.update((keys.topic, keys) for keys in left)

    def _came_up(self) -> None:
        self._feed.came_up(self)

    def _went_down(self, why: str) -> None:
        self._feed.went_down(self, why)

    async def _before_next_attempt(self) -> None:
        # Whoever is not the primary any more is not asked again.
        await self._feed.refresh()

    def _own_place(self) -> Keys:
        """Return the keys of a probe that this server has."""
        feed = self._feed
        name = f"$probe:{feed.name}"
        for tag in tags():
            try:
                if feed.topology.address_of(tag) == self.address:
                    return Keys(feed.namespace, name, tag)
            except BrokerUnavailable:
                continue
        raise BrokerUnavailable(f"{self.address} has nothing", stored=False)

    async def _watch(self) -> None:
        """Return when the line is lost: closed, or silent though probed."""
        loop = asyncio.get_running_loop()
        connection = self._connection
        assert connection is not None
        silence = Probing(loop.time())
        while not await self._until_lost(silence.due - loop.time()):
            silence.hear(connection.last_read)
            is_lost, is_due = silence.look(loop.time())
            if is_lost:
                self._note_lost("silent, and a probe does not come back")
            elif is_due:
                self._feed.spawn(self._send_probe())

    async def _send_probe(self) -> None:
        try:
            await self._feed.probe(self)
        except BrokerUnavailable as exc:
            logger.info("probing %s: %s", self.address, exc.message)

    def _note_lost(self, why: str) -> None:
        super()._note_lost(why)
        # What was not confirmed will not be.
        self._fail_confirming(why)

    def _fail_confirming(self, why: str) -> None:
        confirming, self._confirming = self._confirming, {}
        fail_all(itertools.chain(*confirming.values()), f"{self.address}: {why}")

    def _drop(self, why: str) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(why)
        self._fail_confirming(why)

    # --- subscribing -------------------------------------------------------------

    async def attach(self, keys: list[Keys]) -> None:
        """Subscribe to topics, now or as soon as the line is up.

        Raises BrokerUnavailable if that does not happen in time.
        """
        if self.is_up:
            await self.subscribe(keys)
        else:
            # It subscribes to all of its topics before it is up.
            await self.until_up(reconnecting.CONFIRM)

    async def subscribe(self, keys: Iterable[Keys]) -> None:
        """Subscribe to channels and wait until all are confirmed."""
        connection = self._connection
        if connection is None:
            raise BrokerUnavailable(f"{self.address}: not connected", stored=False)
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Future[None]] = []
        groups: dict[str, list[str]] = {}
        for each in keys:
            channel = each.channel
            future: asyncio.Future[None] = loop.create_future()
            waits = self._confirming.setdefault(channel.encode(), collections.deque())
            waits.append(future)
            waiting.append(future)
            # One command names channels of one slot only.
            tag = each.tag if self._feed.topology.sharded else ""
            groups.setdefault(tag, []).append(channel)
        for channels in groups.values():
            for start in range(0, len(channels), BATCH):
                connection.tell(self._subscribe, *channels[start : start + BATCH])
        if not waiting:
            return
        done, late = await asyncio.wait(waiting, timeout=reconnecting.CONFIRM)
        if late:
            self._note_lost("a subscription was not confirmed")
        for future in done:
            future.result()
        if late:
            raise BrokerUnavailable(f"{self.address}: not confirmed", stored=False)

    def leave(self, keys: Iterable[Keys]) -> None:
        """Unsubscribe; what still comes is of no topic that is attached."""
        if self._connection is not None:
            for each in keys:
                self._leaving[each.channel.encode()] += 1
                self._connection.tell(self._unsubscribe, each.channel)

    # --- what comes --------------------------------------------------------------

    def _take(self, reply: list[Any]) -> bool:
        """Take what comes; False for the answer to a command."""
        kind = reply[0]
        if kind == b"message" or kind == b"smessage":
            self._take_message(reply[1], reply[2])
        elif kind == b"subscribe" or kind == b"ssubscribe":
            self._confirmed(reply[1])
        elif kind == b"sunsubscribe" or kind == b"unsubscribe":
            self._take_unsubscribed(reply[1])
        else:
            return False
        return True

    def _confirmed(self, channel: bytes) -> None:
        waits = self._confirming.get(channel)
        if waits:
            future = waits.popleft()
            if not future.done():
                future.set_result(None)
            if not waits:
                del self._confirming[channel]

    def _take_message(self, channel: bytes, payload: bytes) -> None:
        keys = self._feed.keys_of(channel)
        if keys is None or keys.topic not in self.topics:
            return  # a probe, or a topic that was just left
        sink = self._feed.sink
        try:
            entry = parse_message(payload)
        except ValueError as exc:
            logger.error("what came on %r is no message of ours: %s", keys.topic, exc)
            sink.lost([keys.topic], "a message that cannot be read")
            sink.ready([keys.topic])
            return
        if entry is None:
            sink.lost([keys.topic], "cleared")
            sink.ready([keys.topic])
        else:
            sink.entry(keys.topic, entry)

    def _take_unsubscribed(self, channel: bytes) -> None:
        """The server has ended a subscription, or we have."""
        if channel in self._leaving:
            self._leaving[channel] -= 1
            if not self._leaving[channel]:
                del self._leaving[channel]
            return
        keys = self._feed.keys_of(channel)
        if keys is not None and keys.topic in self.topics:
            # Nobody here asked for it: its slot has moved.
            del self.topics[keys.topic]
            self._feed.sink.lost([keys.topic], "its slot has moved")
            self._feed.spawn(self._feed.refresh())


def parse_message(payload: bytes) -> Entry | None:
    """Return the entry in a message of the feed; None where the topic was cleared.

    Raises ValueError for what is neither.
    """
    head, newline, data = payload.partition(b"\n")
    parts = head.split(b".")
    if len(parts) != 5 or not newline:
        raise ValueError("it has no head")
    offset, tag = int(parts[1]), int(parts[2])
    if offset == 0:
        return None
    if not data:
        raise ValueError("it is empty")
    return Entry(
        parts[0].decode("ascii"),
        offset,
        offset - 1,
        tag,
        int(parts[3]),
        int(parts[4]) / 1000,
        data,
    )
