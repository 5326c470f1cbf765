"""Feed: the live entries of topics, which the server publishes again once stored.

One connection for all. Each stream is probed where nothing came of it for some time: a
message stored in the ordinary way has to come back. That finds streams whose leader is
gone and settings that somebody has changed, though the connection looks well.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from .. import reconnecting
from ..addresses import parse_address, version_of
from ..broker import Sink
from ..entries import Entry
from ..errors import BrokerUnavailable
from ..reconnecting import Probing, Reconnecting
from ..tasks import Tasks
from .addresses import DEFAULT_PORT, Place
from .history import MARK, TAG
from .streams import Layout, Streams, ask, encoded, epoch_of, seconds_of
from .wire import Connection, Headers

__all__ = ["Feed"]

logger = logging.getLogger("longwire.hub")

LOOK = 0.25
"""Part of the time that probes have, between two looks for them."""
LEAST_VERSION = (2, 11)
"""Batches of direct reads, and messages with a time to live."""
MOST_ADDRESSES = 100
"""Servers remembered of those that servers name."""


class Line:
    """The topics of one stream, and whether their feed works."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.topics: set[str] = set()
        self.probing = Probing(0.0)
        self.sid = b""
        """The subscription to its probes; b"" where it has none at the moment."""
        self.is_lost = False


class Feed(Reconnecting):
    """The connection of a broker. ``probe(layout, name)`` publishes to a stream."""

    def __init__(
        self,
        place: Place,
        streams: Streams,
        name: str,
        timeout: float,
        sink: Sink,
        probe: Callable[[Layout, str], Awaitable[None]],
    ) -> None:
        super().__init__("NATS")
        self.streams = streams
        self._place = place
        self._name = name
        self._timeout = timeout
        self._sink = sink
        self._probe = probe
        self._connection: Connection | None = None
        self._addresses = list(place.addresses)
        random.shuffle(self._addresses)
        # Of each topic its subscription; b"" where it has none at the moment.
        self._topics: dict[str, bytes] = {}
        self._lines: dict[Layout, Line] = {}
        self._tasks = Tasks("the feed")

    # --- its life ----------------------------------------------------------------

    @property
    def connection(self) -> Connection | None:
        """The connection, None while there is none that can be used."""
        return self._connection if self.is_up else None

    async def connected(self, seconds: float | None = None) -> Connection:
        """Return the connection; raises BrokerUnavailable if there is none in time."""
        await self.until_up(self._timeout if seconds is None else seconds)
        assert self._connection is not None
        return self._connection

    async def run(self) -> None:
        """Be connected, and again whenever that is lost, until cancelled."""
        try:
            await super().run()
        finally:
            await self._tasks.stop()

    def _drop(self, why: str) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(why)
        for topic in self._topics:
            self._topics[topic] = b""
        for line in self._lines.values():
            line.sid = b""

    def _came_up(self) -> None:
        self._sink.ready(None)

    def _went_down(self, why: str) -> None:
        self._sink.lost(None, why)

    async def _connect(self) -> None:
        """Connect to one of the servers, and subscribe to everything."""
        # Another one each time: whoever failed is the last to be asked again.
        address = self._addresses.pop(0)
        self._addresses.append(address)
        connection = await Connection.open(
            address,
            self._place,
            self._timeout,
            self._name,
            on_lost=self._note_lost,
            on_info=self._take_info,
            on_error=lambda text: logger.error("%s: %s", address, ascii(text)[:200]),
        )
        self._connection = connection
        self._take_info(connection.info)
        _check_version(connection)
        try:
            await ask(connection, "INFO")
        except Exception as exc:
            raise BrokerUnavailable(f"{address}: {exc}", stored=False) from None
        # Streams may be others now: those of memory are gone with their server.
        self.streams.forget()
        for line in self._lines.values():
            line.is_lost = False
        while missing := [topic for topic, sid in self._topics.items() if not sid]:
            # Others may come while these are being confirmed.
            self._listen(missing)
            await connection.flush()

    def _take_info(self, info: dict[str, Any]) -> None:
        """Remember the servers that a server names; leave one that is about to end."""
        for each in info.get("connect_urls") or ():
            try:
                address = parse_address(each, DEFAULT_PORT)
            except (ValueError, TypeError, AttributeError):
                continue
            if address not in self._addresses and len(self._addresses) < MOST_ADDRESSES:
                self._addresses.append(address)
        if info.get("ldm"):
            self._note_lost("the server is about to end")

    # --- probes ------------------------------------------------------------------

    async def _watch(self) -> None:
        """Return when the connection is lost: closed, or no probe comes back."""
        loop = asyncio.get_running_loop()
        connection = self._connection
        assert connection is not None
        silence = Probing(loop.time())
        while not await self._until_lost(LOOK * reconnecting.PROBE):
            silence.hear(connection.last_read)
            self._look(connection, silence, loop.time())

    def _look(self, connection: Connection, silence: Probing, now: float) -> None:
        """Probe what has been quiet; doubt what does not answer."""
        lines = [line for line in self._lines.values() if line.topics]
        for line in lines:
            is_lost, is_due = line.probing.look(now)
            if is_lost:
                self._doubt(line)
            if is_due:
                self._tasks.spawn(self._send_probe(line))
        is_lost, is_due = silence.look(now)
        if lines and all(line.is_lost for line in lines):
            # It is this server that is cut off from the others, or all is.
            self._note_lost("no probe comes back")
        elif is_lost:
            self._note_lost("silent, and a ping is not answered")
        elif is_due:
            self._tasks.spawn(self._ping(connection))

    def _doubt(self, line: Line) -> None:
        # What is wrong may be the stream's settings: it is looked at anew.
        self.streams.forget(line.layout)
        if not line.is_lost:
            line.is_lost = True
            self._sink.lost(line.topics, f"no probe comes back by {line.layout.live}>")

    async def _ping(self, connection: Connection) -> None:
        try:
            await connection.flush()
        except BrokerUnavailable as exc:
            logger.info("feed: %s", exc.message)

    async def _send_probe(self, line: Line) -> None:
        try:
            await self._probe(line.layout, self._name)
        except BrokerUnavailable as exc:
            logger.info("probing %s: %s", line.layout.name, exc.message)

    def _probe_came(self, line: Line) -> None:
        """Something came of a stream: it is fed."""
        line.probing.hear(asyncio.get_running_loop().time())
        if line.is_lost:
            line.is_lost = False
            self._sink.ready(line.topics)

    # --- topics ------------------------------------------------------------------

    async def attach(self, topics: Sequence[str]) -> None:
        """Listen to topics; returns when the server has confirmed it."""
        wanted = [topic for topic in topics if not self._topics.get(topic)]
        for topic in wanted:
            self._topics.setdefault(topic, b"")
            self._line_of(topic).topics.add(topic)
        connection = await self.connected(reconnecting.CONFIRM)
        self._listen([topic for topic in wanted if self._topics.get(topic) == b""])
        await connection.flush()

    def _line_of(self, topic: str) -> Line:
        layout = self.streams.layout_of(topic)
        line = self._lines.get(layout)
        if line is None:
            line = self._lines[layout] = Line(layout)
        return line

    def _listen(self, topics: Iterable[str]) -> None:
        connection = self._connection
        assert connection is not None
        for topic in topics:
            line = self._line_of(topic)
            if not line.sid:
                self._listen_to_probes(connection, line)
            take = self._taker(topic, line)
            subject = f"{line.layout.live}*.{encoded(topic)}"
            self._topics[topic] = connection.subscribe(subject, take)

    def _listen_to_probes(self, connection: Connection, line: Line) -> None:
        line.probing = Probing(asyncio.get_running_loop().time())
        line.sid = connection.subscribe(
            f"{line.layout.live}*.${self._name}",
            lambda subject, headers, data: self._probe_came(line),
        )

    def _taker(self, topic: str, line: Line) -> Callable[[str, Headers, bytes], None]:
        def take(subject: str, headers: Headers, data: bytes) -> None:
            self._probe_came(line)
            self._take(topic, subject, headers, data)

        return take

    def detach(self, topics: Iterable[str]) -> None:
        """Listen to topics no more."""
        for topic in topics:
            sid = self._topics.pop(topic, None)
            line = self._line_of(topic)
            line.topics.discard(topic)
            if sid and self._connection is not None and not self._lost.is_set():
                self._connection.unsubscribe(sid)

    # --- what comes --------------------------------------------------------------

    def _take(self, topic: str, subject: str, headers: Headers, data: bytes) -> None:
        """Take a message that was stored, and is published again."""
        if topic not in self._topics:
            return  # was just left
        if not data or TAG not in headers:
            if headers.get(MARK) == "clear":
                self._sink.lost([topic], "cleared")
                self._sink.ready([topic])
            return  # of other marks nothing is to be known
        try:
            at = seconds_of(headers["Nats-Time-Stamp"])
            entry = Entry(
                epoch_of(subject),
                int(headers["Nats-Sequence"]),
                int(headers["Nats-Last-Sequence"]),
                int(headers[TAG], 16),
                None,
                at,
                data,
            )
        except (KeyError, ValueError) as exc:
            logger.error("what came of %r is no message of ours: %r", topic, exc)
            self._sink.lost([topic], "a message that cannot be read")
            self._sink.ready([topic])
            return
        self.streams.see_clock(at)
        self._sink.entry(topic, entry)


def _check_version(connection: Connection) -> None:
    version = str(connection.info.get("version", "0"))
    if version_of(version) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        text = f"{connection.address}: NATS {version!a} is too old"
        raise BrokerUnavailable(f"{text}; {least} or newer is needed", stored=False)
