"""NatsBroker: topics in JetStream, fed to all nodes by RePublish.

A stream has the entries of the topics of one declaration and partition; the sequence of
the stream is the offset. What it stores the server publishes again, with the sequence
of the message before it on the same subject. NATS 2.11 or newer.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ...hints import checks_keywords
from ..broker import Change, Members, Presence, Sink, Storage, Stored
from ..entries import Page, Position
from ..errors import BrokerUnavailable, TooLarge
from . import history
from .addresses import parse_url
from .feed import Feed
from .history import MARK, TAG, Reading, position_of
from .login import Login
from .presence import Attendance
from .streams import ApiError, Layout, Settings, Stream, Streams, encoded, store
from .wire import Connection

__all__ = ["NatsBroker"]

logger = logging.getLogger("longwire.hub")

T = TypeVar("T")

TIMEOUT = 2.0
"""Seconds in which a server has to answer."""
HEADROOM = 2048
"""Bytes of the headers of a message, which the server's limit includes."""
PROBE_TTL = "60s"
"""How long a probe is stored."""


class NatsBroker:
    """Topics in NATS JetStream, for ``Hub(broker)``; ``Hub("nats://...")`` makes one.

    ``url`` is as in ``addresses.py``; ``namespace`` begins the names of all streams and
    subjects, so that several hubs can share a server; ``tls`` is the context for
    ``tls://``. ``credentials`` is the path of a file with the JWT and seed of a user,
    ``nkey_seed`` the seed of an NKey alone; both need ``cryptography``. Answers come by
    subjects that begin with ``inbox``, which the user must be allowed to subscribe to.
    The topics of each declaration are spread over ``partitions`` streams,
    which all nodes have to agree on. Each new stream has ``replicas`` and keeps its
    messages in ``storage``: ``"file"`` or ``"memory"``. With ``stream_bytes`` the
    server sets as much aside for each, and the oldest messages go when it is full;
    without, only the number of messages and their age are bounded.
    """

    name = "nats"
    consecutive = False
    lossless = False

    @checks_keywords()
    def __init__(
        self,
        url: str,
        *,
        namespace: str = "lw",
        tls: ssl.SSLContext | None = None,
        credentials: str | os.PathLike[str] | None = None,
        nkey_seed: str | None = None,
        inbox: str = "_INBOX",
        timeout: float = TIMEOUT,
        partitions: int = 4,
        replicas: int = 1,
        storage: str = "file",
        stream_bytes: int | None = None,
    ) -> None:
        if not (namespace.isascii() and namespace.replace("_", "a").isalnum()):
            raise ValueError(
                f"namespace is {namespace!r}; letters, digits and _ are allowed"
            )
        if not 1 <= partitions <= 64:
            raise ValueError(f"partitions is {partitions}; 1 to 64 are allowed")
        if replicas not in (1, 2, 3, 4, 5):
            raise ValueError(f"replicas is {replicas}; 1 to 5 are allowed")
        if storage not in ("file", "memory"):
            raise ValueError(f'storage is {storage!r}; "file" or "memory" is allowed')
        if stream_bytes is not None and stream_bytes < 1 << 20:
            raise ValueError(f"stream_bytes is {stream_bytes}; at least 1 MiB, or None")
        if not re.fullmatch(r"[\w-]+(\.[\w-]+)*", inbox, re.ASCII):
            raise ValueError(
                f"inbox is {inbox!r}; letters, digits, _ and - are allowed between dots"
            )
        self.place = parse_url(url, tls)._replace(
            inbox=inbox, login=_login(url, credentials, nkey_seed)
        )
        self.namespace = namespace
        self._timeout = timeout
        self._name = f"longwire-hub-{secrets.token_hex(4)}"
        self._settings = Settings(
            namespace, partitions, replicas, storage, stream_bytes
        )
        self._feed: Feed | None = None

    def __repr__(self) -> str:
        return f"<NatsBroker {self.place!r}>"

    # --- its life ----------------------------------------------------------------

    async def run(self, sink: Sink) -> None:
        """Feed ``sink`` until cancelled."""
        streams = Streams(self._settings)
        feed = Feed(
            self.place, streams, self._name, self._timeout, sink, self._send_probe
        )
        self._feed = feed
        try:
            await feed.run()
        finally:
            self._feed = None

    async def _running(self) -> tuple[Connection, Streams]:
        if self._feed is None:
            raise BrokerUnavailable("the broker is not running", stored=False)
        connection = self._feed.connection or await self._feed.connected()
        return connection, self._feed.streams

    async def _with_stream(
        self,
        topic: str,
        storage: Storage,
        do: Callable[[Connection, Streams, Stream], Awaitable[T]],
        *,
        remembering: bool = False,
    ) -> T:
        """Do something with the stream of a topic; again if that is gone."""
        connection, streams = await self._running()
        return await _twice(
            connection,
            streams,
            lambda: streams.need(connection, topic, storage, remembering=remembering),
            do,
        )

    # --- messages ----------------------------------------------------------------

    async def publish(
        self,
        topic: str,
        data: bytes,
        tag: int,
        storage: Storage,
        *,
        id: str | None = None,
        again: bool = False,
    ) -> Stored:
        """Store a message and feed it to all who are attached."""
        # "t" is for tags, "i" for ids; a stream remembers both for all its topics.
        known = f"t{tag:x}" if id is None else f"i{encoded(topic)}:{encoded(id)}"

        async def do(
            connection: Connection, streams: Streams, stream: Stream
        ) -> Stored:
            return await self._store(
                connection, streams, stream, topic, data, tag, storage, known
            )

        return await self._with_stream(topic, storage, do, remembering=id is not None)

    async def _store(
        self,
        connection: Connection,
        streams: Streams,
        stream: Stream,
        topic: str,
        data: bytes,
        tag: int,
        storage: Storage,
        known: str,
    ) -> Stored:
        most = int(connection.info.get("max_payload", 1 << 20))
        if len(data) + HEADROOM > most and len(data) + len(known) + 200 > most:
            # The server would end the connection.
            raise TooLarge(f"{len(data)} bytes; the NATS server takes {most}")
        subject = stream.subject(topic)
        while True:
            headers = {TAG: f"{tag:x}", "Nats-Msg-Id": known}
            answer = await store(connection, subject, data, headers)
            epoch, offset = stream.epoch, int(answer["seq"])
            replicas = None if storage.durability is None else stream.replicas // 2
            if not answer.get("duplicate"):
                return Stored(Position(epoch, offset, tag), replicas=replicas)
            if known.startswith("t"):
                return Stored(Position(epoch, offset, tag), True, replicas)
            found = await history.get(connection, stream, {"seq": offset})
            if found is None:
                # It is remembered, and stored no more: nobody recovers from there.
                return Stored(Position(epoch, offset, 0), True, replicas)
            await streams.look_at_clock(connection, stream, 0.0)
            if streams.now() - found.at < storage.idempotency:
                return Stored(position_of(stream, found), True, replicas)
            known = f"{known.partition('#')[0]}#{offset}"  # remembered for too long

    async def _send_probe(self, layout: Layout, name: str) -> None:
        """Publish to a stream, the way messages are published."""
        connection, streams = await self._running()
        stream = await streams.find(connection, layout)
        if stream is not None:
            headers = {MARK: "probe", "Nats-TTL": PROBE_TTL}
            try:
                subject = f"{layout.stored}{stream.epoch}.${name}"
                await store(connection, subject, b"", headers)
            except ApiError as exc:
                streams.forget(layout)
                raise _unavailable(exc) from None

    async def clear(self, topic: str, storage: Storage) -> Position:
        """Forget all entries; the epoch stays, which is the stream's."""

        async def do(
            connection: Connection, streams: Streams, stream: Stream
        ) -> Position:
            subject = stream.subject(topic)
            # The server forgets what was there in the step in which it stores this.
            headers = {MARK: "clear", "Nats-Rollup": "sub"}
            found = await history.mark(connection, subject, headers)
            return position_of(stream, found)

        return await self._with_stream(topic, storage, do)

    # --- feed and reads ----------------------------------------------------------

    async def attach(self, topics: Sequence[str]) -> None:
        """Feed these topics; returns when the server has confirmed it."""
        if self._feed is None:
            raise BrokerUnavailable("the broker is not running", stored=False)
        await self._feed.attach(topics)

    async def detach(self, topics: Sequence[str]) -> None:
        """Feed these topics no more."""
        if self._feed is None:
            raise BrokerUnavailable("the broker is not running", stored=False)
        self._feed.detach(topics)

    async def read(
        self,
        topic: str,
        since: Position | None,
        storage: Storage,
        limit: int,
        size: int,
        *,
        reverse: bool = False,
    ) -> Page:
        """Return stored entries and the verdict on ``since``."""

        async def do(connection: Connection, streams: Streams, stream: Stream) -> Page:
            await streams.look_at_clock(connection, stream)
            reading = Reading(connection, streams, stream, topic, storage)
            return await history.read(reading, since, limit, size, reverse=reverse)

        return await self._with_stream(topic, storage, do)

    async def tops(self, topics: Sequence[str]) -> list[Position | None]:
        """Return the newest position of each topic."""
        connection, streams = await self._running()
        by_layout: dict[Layout, list[str]] = {}
        for topic in topics:
            by_layout.setdefault(streams.layout_of(topic), []).append(topic)
        found: dict[str, Position] = {}
        for layout, group in by_layout.items():
            stream = await streams.find(connection, layout)
            if stream is None:
                continue
            subjects = {stream.subject(topic): topic for topic in group}
            try:
                tops = await history.tops(connection, stream, list(subjects))
            except ApiError as exc:
                streams.forget(layout)
                raise _unavailable(exc) from None
            found.update((subjects[name], top) for name, top in tops.items())
        return [found.get(topic) for topic in topics]

    # --- presence ----------------------------------------------------------------

    async def presence(
        self,
        topics: Sequence[str],
        changes: Sequence[Change],
        dead: Sequence[str] = (),
    ) -> list[Presence]:
        """Carry out changes, and end leases that are over."""
        connection, streams = await self._running()

        async def do(
            connection: Connection, streams: Streams, stream: Stream
        ) -> list[Presence]:
            await streams.look_at_clock(connection, stream)
            attendance = Attendance(connection, streams, stream)
            return await attendance.change(topics, changes, dead)

        return await _twice(
            connection, streams, lambda: streams.need_presence(connection), do
        )

    async def members(self, topic: str, limit: int) -> Members:
        """Return who is present."""
        connection, streams = await self._running()

        async def do(
            connection: Connection, streams: Streams, stream: Stream
        ) -> Members:
            await streams.look_at_clock(connection, stream)
            return await Attendance(connection, streams, stream).members(topic, limit)

        return await _twice(
            connection, streams, lambda: streams.need_presence(connection), do
        )


def _login(
    url: str, credentials: str | os.PathLike[str] | None, nkey_seed: str | None
) -> Login | None:
    """Return what proves who we are; ValueError for two answers to that."""
    if credentials is None and nkey_seed is None:
        return None
    if (credentials is not None and nkey_seed is not None) or "@" in url:
        raise ValueError("give one of credentials=, nkey_seed= and a user in the URL")
    return Login(nkey_seed, credentials)


async def _twice(
    connection: Connection,
    streams: Streams,
    need: Callable[[], Awaitable[Stream]],
    do: Callable[[Connection, Streams, Stream], Awaitable[T]],
) -> T:
    """Do something with a stream, and again with the one that it has become."""
    stream = await need()
    try:
        return await do(connection, streams, stream)
    except ApiError as exc:
        logger.info("%s: %s; looking for it anew", stream.name, exc)
    streams.forget(stream.layout)
    stream = await need()
    try:
        return await do(connection, streams, stream)
    except ApiError as exc:
        raise _unavailable(exc) from None


def _unavailable(exc: ApiError) -> BrokerUnavailable:
    text = f"JetStream answers: {ascii(str(exc))[1:-1][:200]}"
    return BrokerUnavailable(text, stored=False)
