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

from ..broker import Sink
from ..entries import Entry
from ..errors import BrokerUnavailable
from .addresses import Address, Place, parse_address
from .history import MARK, TAG
from .streams import Layout, Streams, ask, encoded, epoch_of, seconds_of
from .wire import Connection, Headers

__all__ = ["Feed"]

logger = logging.getLogger("longwire.hub")

QUIET = 10.0
"""Seconds without a message of a stream after which it is probed."""
PROBE = 5.0
"""Seconds in which a probe has to come back."""
FIRST_DELAY = 0.05
MAX_DELAY = 2.0
"""Seconds between attempts to connect, from the first to the most."""
CONFIRM = 5.0
"""Seconds in which a connection has to be there for a topic to be attached."""
LEAST_VERSION = (2, 11)
"""Batches of direct reads, and messages with a time to live."""
MOST_ADDRESSES = 100
"""Servers remembered of those that servers name."""


class Line:
    """The topics of one stream, and whether their feed works."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.topics: set[str] = set()
        self.heard = 0.0
        """When something came, by the loop's clock."""
        self.probed: float | None = None
        """When it was probed; None after the probe came back."""
        self.is_lost = False


class Feed:
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
        self.streams = streams
        self._place = place
        self._name = name
        self._timeout = timeout
        self._sink = sink
        self._probe = probe
        self._connection: Connection | None = None
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._why = ""
        self._addresses = list(place.addresses)
        random.shuffle(self._addresses)
        # Of each topic its subscription; b"" where it has none at the moment.
        self._topics: dict[str, bytes] = {}
        self._lines: dict[Layout, Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused: set[str] = set()

    # --- its life ----------------------------------------------------------------

    @property
    def connection(self) -> Connection:
        """The connection; raises BrokerUnavailable where there is none."""
        if self._connection is None or not self._up.is_set():
            raise BrokerUnavailable(self._why or "not connected yet", stored=False)
        return self._connection

    async def connected(self) -> Connection:
        """Return the connection, as soon as it is there."""
        if not self._up.is_set():
            try:
                async with asyncio.timeout(self._timeout):
                    await self._up.wait()
            except TimeoutError:
                pass
        return self.connection

    async def run(self) -> None:
        """Be connected, and again whenever that is lost, until cancelled."""
        delay = FIRST_DELAY
        try:
            while True:
                try:
                    await self._connect()
                except BrokerUnavailable as exc:
                    self._tell_refused(exc.message)
                    self._drop(exc.message)
                else:
                    delay = FIRST_DELAY
                    self._refused.clear()
                    await self._watch()
                    self._drop(self._why)
                    self._sink.lost(None, self._why)
                await asyncio.sleep(delay * (0.75 + random.random() / 2))
                delay = min(2 * delay, MAX_DELAY)
        finally:
            self._drop("the hub is closed")
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def _tell_refused(self, why: str) -> None:
        # Once while it is down: the attempts go on for as long as it takes.
        level = logging.INFO if why in self._refused else logging.WARNING
        logger.log(level, "NATS cannot be reached: %s", why)
        if len(self._refused) < MOST_ADDRESSES:
            self._refused.add(why)

    def _drop(self, why: str) -> None:
        self._up.clear()
        self._why = why
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(why)
        for topic in self._topics:
            self._topics[topic] = b""

    async def _connect(self) -> None:
        """Connect to one of the servers, and subscribe to everything."""
        # Another one each time: whoever failed is the last to be asked again.
        address = self._addresses.pop(0)
        self._addresses.append(address)
        self._lost.clear()
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
        now = asyncio.get_running_loop().time()
        for line in self._lines.values():
            line.heard, line.probed, line.is_lost = now, None, False
            self._listen_to_probes(connection, line)
        listened = False
        while not listened or any(not sid for sid in self._topics.values()):
            # Others may come while these are being confirmed.
            self._listen([topic for topic, sid in self._topics.items() if not sid])
            await connection.flush()
            listened = True
        self._up.set()
        self._sink.ready(None)

    def _note_lost(self, why: str) -> None:
        if not self._lost.is_set():
            self._why = why
            self._lost.set()

    def _take_info(self, info: dict[str, Any]) -> None:
        """Remember the servers that a server names; leave one that is about to end."""
        for each in info.get("connect_urls") or ():
            try:
                address: Address = parse_address(each)
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
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(min(QUIET, PROBE) / 4):
                    await self._lost.wait()
            except TimeoutError:
                await self._look(loop.time())

    async def _look(self, now: float) -> None:
        """Probe what has been quiet; doubt what does not answer."""
        connection = self._connection
        assert connection is not None
        lines = [line for line in self._lines.values() if line.topics]
        for line in lines:
            if line.probed is not None and now - line.probed >= PROBE:
                self._doubt(line)
            if line.probed is None and now - line.heard >= QUIET:
                line.probed = now
                self._spawn(self._send_probe(line))
        if lines and all(line.is_lost for line in lines):
            # It is this server that is cut off from the others, or all is.
            self._note_lost("no probe comes back")
        elif now - connection.last_read >= QUIET + PROBE:
            self._note_lost(f"silent for {QUIET + PROBE:.0f} seconds")
        elif now - connection.last_read >= QUIET:
            self._spawn(self._ping(connection))

    def _doubt(self, line: Line) -> None:
        line.probed = None
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
        line.heard = asyncio.get_running_loop().time()
        line.probed = None
        if line.is_lost:
            line.is_lost = False
            self._sink.ready(line.topics)

    def _spawn(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a task of the feed failed", exc_info=task.exception())

    # --- topics ------------------------------------------------------------------

    async def attach(self, topics: Sequence[str]) -> None:
        """Listen to topics; returns when the server has confirmed it."""
        wanted = [topic for topic in topics if not self._topics.get(topic)]
        for topic in wanted:
            self._topics.setdefault(topic, b"")
            self._line_of(topic).topics.add(topic)
        if not self._up.is_set():
            try:
                async with asyncio.timeout(CONFIRM):
                    await self._up.wait()
            except TimeoutError:
                pass
        connection = self.connection
        self._listen([topic for topic in wanted if self._topics.get(topic) == b""])
        await connection.flush()

    def _line_of(self, topic: str) -> Line:
        layout = self.streams.layout_of(topic)
        line = self._lines.get(layout)
        if line is None:
            line = self._lines[layout] = Line(layout)
            line.heard = asyncio.get_running_loop().time()
            if self._up.is_set():
                self._listen_to_probes(self.connection, line)
        return line

    def _listen_to_probes(self, connection: Connection, line: Line) -> None:
        connection.subscribe(
            f"{line.layout.live}*.${self._name}",
            lambda subject, headers, data: self._probe_came(line),
        )

    def _listen(self, topics: Iterable[str]) -> None:
        connection = self._connection
        assert connection is not None
        for topic in topics:
            line = self._line_of(topic)
            take = self._taker(topic, line)
            subject = f"{line.layout.live}*.{encoded(topic)}"
            self._topics[topic] = connection.subscribe(subject, take)

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
    numbers = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    if tuple(numbers) < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        text = f"{connection.address}: NATS {version!a} is too old"
        raise BrokerUnavailable(f"{text}; {least} or newer is needed", stored=False)
