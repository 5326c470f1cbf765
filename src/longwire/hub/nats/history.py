"""History: what is stored of a topic, read and judged.

The newest message comes from the leader of its stream. All others come in batches
that any replica may answer: one that is behind does not reach the newest, and is asked
again.

A topic about which nothing is stored gets a *mark*, a message without data, so that
whoever subscribes to it has a position all the same. Marks are never given to anybody.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import contextlib
import json
from typing import Any, NamedTuple

from ..broker import Storage
from ..entries import Entry, Page, Position, Verdict, judge
from ..errors import BrokerUnavailable
from ..publishing import new_tag
from .streams import (
    NO_STREAM,
    ApiError,
    Stream,
    Streams,
    Superseded,
    ask,
    seconds_of,
    store,
)
from .wire import Connection, Headers, Reply, parse_headers

__all__ = [
    "MARK",
    "TAG",
    "Reading",
    "Stored",
    "position_of",
    "read",
    "stored_of",
    "top_of",
    "tops",
]

TAG, MARK = "Lw-Tag", "Lw-Mark"
"""Headers: the tag of a message in hexadecimal; what a message without data is for."""
BATCH = 256
"""Messages asked for at once."""
DELAYS = (0.05, 0.2, 0.8)
"""Seconds before a replica that was behind is asked again."""
NO_MESSAGE = 10037
"""Error code: no such message."""
SPARE = 32
"""Messages that a guess at where to begin may bring beside those wanted."""


class Stored(NamedTuple):
    """One message of a stream."""

    subject: str
    offset: int
    tag: int
    at: float
    data: bytes
    left: int
    """How many messages of the subject follow it."""

    @property
    def is_mark(self) -> bool:
        """Whether it only holds a place."""
        return not self.data


def stored_of(headers: Headers, data: bytes) -> Stored | None:
    """Return the message that headers and data are; None for what is none.

    One that somebody else put there is a mark: it has its place, and says nothing.
    """
    try:
        return Stored(
            headers["Nats-Subject"],
            int(headers["Nats-Sequence"]),
            int(headers.get(TAG, "1"), 16),
            seconds_of(headers["Nats-Time-Stamp"]),
            data if TAG in headers else b"",
            int(headers.get("Nats-Num-Pending", 0)),
        )
    except (KeyError, ValueError):
        return None


def position_of(stream: Stream, stored: Stored) -> Position:
    """Return the position after a message."""
    return Position(stream.epoch, stored.offset, stored.tag)


# --- single messages -----------------------------------------------------------------


async def get(
    connection: Connection, stream: Stream, question: dict[str, Any]
) -> Stored | None:
    """Return one message, from the leader; raises ApiError where there is no stream."""
    if stream.replicas == 1:
        reply = await _direct(connection, stream, question, lambda reply: True)
        return stored_of(reply[0].headers, reply[0].data) if reply else None
    try:
        answer = await ask(connection, f"STREAM.MSG.GET.{stream.name}", question)
    except ApiError as exc:
        if exc.code == NO_MESSAGE:
            return None
        raise
    message = answer["message"]
    headers = parse_headers(base64.b64decode(message.get("hdrs", b"")))
    headers["Nats-Subject"] = message["subject"]
    headers["Nats-Sequence"] = message["seq"]
    headers["Nats-Time-Stamp"] = message["time"]
    return stored_of(headers, base64.b64decode(message.get("data", b"")))


async def top_of(connection: Connection, stream: Stream, subject: str) -> Stored | None:
    """Return the newest message of a subject."""
    return await get(connection, stream, {"last_by_subj": subject})


async def _direct(
    connection: Connection, stream: Stream, question: dict[str, Any], is_last: Any
) -> list[Reply]:
    """Return the messages that any replica has; raises ApiError if it has no stream."""
    replies = await connection.request_many(
        f"$JS.API.DIRECT.GET.{stream.name}",
        json.dumps(question).encode(),
        None,
        is_last,
    )
    status = replies[-1].status
    if status == 503:
        raise ApiError(status, NO_STREAM)
    if status not in (0, 204, 404):
        raise ApiError(status, replies[-1].headers.get("Description", "bad request"))
    return [reply for reply in replies if reply.status == 0]


async def batch(
    connection: Connection, stream: Stream, question: dict[str, Any]
) -> list[Stored]:
    """Return the messages of a batch that any replica has."""
    replies = await _direct(
        connection, stream, question, lambda reply: reply.status == 204
    )
    found = (stored_of(reply.headers, reply.data) for reply in replies)
    return [each for each in found if each is not None]


async def tops(
    connection: Connection, stream: Stream, subjects: list[str]
) -> dict[str, Position]:
    """Return the newest positions of subjects; those of which nothing is stored lack.

    As any replica has it: one that is behind tells of older ones.
    """
    found: dict[str, Position] = {}
    for start in range(0, len(subjects), BATCH):
        part = subjects[start : start + BATCH]
        for each in await batch(connection, stream, {"multi_last": part}):
            found[each.subject] = position_of(stream, each)
    return found


async def mark(
    connection: Connection, subject: str, headers: Headers, over: int | None = None
) -> Stored:
    """Store a mark; raises what ``store()`` does."""
    tag = new_tag()
    headers = {TAG: f"{tag:x}", **headers}
    answer = await store(connection, subject, b"", headers, over=over)
    return Stored(subject, int(answer["seq"]), tag, 0.0, b"", 0)


# --- pages ---------------------------------------------------------------------------


class Reading:
    """One read of one topic."""

    def __init__(
        self,
        connection: Connection,
        streams: Streams,
        stream: Stream,
        topic: str,
        storage: Storage,
    ) -> None:
        self.connection = connection
        self.streams = streams
        self.stream = stream
        self.subject = stream.subject(topic)
        self.storage = storage

    async def top(self) -> Stored:
        """Return the newest message, a mark where there was none."""
        for _ in range(5):
            top = await top_of(self.connection, self.stream, self.subject)
            if top is not None:
                return top
            with contextlib.suppress(Superseded):  # somebody else was faster
                return await mark(self.connection, self.subject, {MARK: "begin"}, 0)
        raise BrokerUnavailable("the leader of a stream changes all the time")

    async def after(self, since: Position, limit: int, size: int) -> Page:
        """Return what follows a position, with the verdict on it."""
        for delay in (*DELAYS, None):
            top = await self.top()
            page = await self._after(since, top, limit, size)
            if page is not None:
                return page
            if delay is not None:
                await asyncio.sleep(delay)
        raise BrokerUnavailable("the replicas of a stream are behind")

    async def _after(
        self, since: Position, top: Stored, limit: int, size: int
    ) -> Page | None:
        """Return what follows; None if a replica did not have all."""
        newest, keeps = position_of(self.stream, top), self.storage.history > 0
        verdict = judge(since, newest, keeps=keeps, tag_at=since.tag)
        if verdict is not Verdict.COMPLETE or since == newest:
            return Page(verdict, [], newest, False, self._now(top))
        taken: list[Stored] = []
        following, total = since.offset, 0
        while True:
            found = await self._batch(following, min(limit, BATCH) + 1, size)
            if following == since.offset:
                own = found[0] if found else None
                verdict = self._verdict(since, own, newest)
                if verdict is not Verdict.COMPLETE:
                    return Page(verdict, [], newest, False, self._now(top))
            for each in found:
                if each.offset <= since.offset or each.is_mark:
                    continue
                total += len(each.data)
                if len(taken) >= limit or (taken and total > size):
                    return self._page(since, taken, top, more=True)
                taken.append(each)
            if not found:
                return None
            following = found[-1].offset + 1
            if following > top.offset:
                return self._page(since, taken, top, more=False)

    def _verdict(
        self, since: Position, own: Stored | None, newest: Position
    ) -> Verdict:
        """Return what the message at a position says of it."""
        tag_at = None
        if own is not None and own.offset == since.offset:
            # The stream keeps one more than the history, for the sake of marks.
            is_kept = own.left < self.storage.history and self._is_fresh(own)
            if own.is_mark or is_kept:
                tag_at = own.tag
        return judge(since, newest, keeps=True, tag_at=tag_at)

    def _page(
        self, since: Position, taken: list[Stored], top: Stored, *, more: bool
    ) -> Page:
        newest = taken[-1] if taken and taken[-1].offset > top.offset else top
        if taken and not self._is_fresh(taken[0]):
            # After a mark: the first ones are too old.
            place = position_of(self.stream, newest)
            return Page(Verdict.TRIMMED, [], place, False, self._now(newest))
        entries, before = [], (since.offset, since.tag)
        for each in taken:
            entries.append(self._entry(each, *before))
            before = each.offset, each.tag
        return Page(
            Verdict.COMPLETE,
            entries,
            position_of(self.stream, newest),
            more,
            self._now(newest),
        )

    async def newest(self, before: Position | None, limit: int, size: int) -> Page:
        """Return those before a position, the newest of all for None, in reverse."""
        top = await self.top()
        place = position_of(self.stream, top)
        limit = min(limit, self.storage.history)
        empty = Page(Verdict.COMPLETE, [], place, False, self._now(top))
        if limit <= 0 or (before is not None and before.epoch != place.epoch):
            return empty
        end = top.offset + 1 if before is None else min(before.offset, top.offset + 1)
        start = await self._start(end, limit + 1)
        if start is None:
            return empty
        # In the order of the stream: of those that are wanted, the last ones stay.
        found: collections.deque[Stored] = collections.deque(maxlen=limit + 1)
        while start < end:
            part = await self._batch(start, BATCH, size)
            found += [each for each in part if each.offset < end]
            if not part or part[-1].offset + 1 >= end:
                break
            start = part[-1].offset + 1
        return self._reversed(list(found), place, limit, size)

    def _reversed(
        self, found: list[Stored], place: Position, limit: int, size: int
    ) -> Page:
        entries: list[Entry] = []
        total = 0
        more = False
        for index in range(len(found) - 1, -1, -1):
            each = found[index]
            if each.is_mark or not self._is_fresh(each):
                break
            if each.left >= self.storage.history:
                break  # one more than the history is stored
            total += len(each.data)
            if len(entries) >= limit or (entries and total > size):
                more = True
                break
            prev = found[index - 1] if index else None
            before = (each.offset - 1, None) if prev is None else prev[1:3]
            entries.append(self._entry(each, *before))
        now = max([self.streams.now(), *(entry.at for entry in entries)])
        return Page(Verdict.COMPLETE, entries, place, more, now)

    async def _start(self, end: int, count: int) -> int | None:
        """Return a place from which there are at least ``count`` messages to ``end``.

        And not many more, or all there are. The server finds what follows a place, and
        says how many: the place is guessed by how dense the topic's messages are.
        """
        first = await self._look(1)
        if first is None or first.offset >= end:
            return None
        beyond = await self._look(end)
        after = 0 if beyond is None else beyond.left + 1
        low, low_count = first.offset, first.left + 1 - after
        high, high_count = end, 0
        for _ in range(40):
            if low_count <= 2 * count + SPARE or high - low <= 1:
                break
            # Half as many again as wanted, by the density between what is known.
            share = (1.5 * count - high_count) / max(low_count - high_count, 1)
            guess = high - int((high - low) * min(max(share, 0.05), 0.95))
            guess = min(max(guess, low + 1), high - 1)
            found = await self._look(guess)
            here = 0 if found is None else found.left + 1 - after
            if here >= count:
                low, low_count = guess, here
            else:
                high, high_count = guess, here
        return low

    async def _look(self, offset: int) -> Stored | None:
        """Return the first message from a place on."""
        found = await self._batch(offset, 1, 1)
        return found[0] if found else None

    async def _batch(self, start: int, count: int, size: int) -> list[Stored]:
        """Return some messages from a place on: one at least, if there is any."""
        most = int(self.connection.info.get("max_payload", 1 << 20))
        question = {
            "seq": start,
            "next_by_subj": self.subject,
            "batch": count,
            "max_bytes": min(size, most) + most,
        }
        return await batch(self.connection, self.stream, question)

    def _entry(self, each: Stored, prev: int, prev_tag: int | None) -> Entry:
        epoch = self.stream.epoch
        return Entry(epoch, each.offset, prev, each.tag, prev_tag, each.at, each.data)

    def _is_fresh(self, each: Stored) -> bool:
        return each.at > self.streams.now() - self.storage.ttl

    def _now(self, newest: Stored) -> float:
        return max(self.streams.now(), newest.at)


async def read(
    reading: Reading, since: Position | None, limit: int, size: int, *, reverse: bool
) -> Page:
    """Return a page, as ``Broker.read`` says."""
    if reverse or since is None:
        return await reading.newest(since, limit, size)
    return await reading.after(since, limit, size)
