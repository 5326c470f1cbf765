"""Streams: where topics are stored, one for each declaration and partition.

All subjects of a stream have its epoch in them, which its maker chose at random. A
stream that was lost and made anew takes nothing under the old one's subjects and gives
nothing for them, so no answer is ever taken for one of another history. Its name is
fixed: of two makers the server lets one win.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import hashlib
import json
import logging
import math
import zlib
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from ..broker import Storage
from ..errors import BrokerUnavailable
from ..memory import new_epoch
from .wire import Connection, Headers, Reply

__all__ = [
    "NO_STREAM",
    "ApiError",
    "Layout",
    "Settings",
    "Stream",
    "Streams",
    "Superseded",
    "ask",
    "encoded",
    "epoch_of",
    "seconds_of",
    "store",
]

logger = logging.getLogger("longwire.hub")

WINDOW = 30.0
"""Seconds that the server remembers the tags of messages, for our own retries."""
PRESENCE_AGE = 1800.0
"""Seconds after which members are dropped whose leases ended unseen."""
NANO = 1_000_000_000
CLOCK_AGE = 5.0
"""Seconds after which the server's clock is looked at again before a time is judged."""
LEAST_AGE = 0.1
"""Seconds: a server refuses to keep messages for less."""
LONGEST_NAME = 100
"""Characters of a name in a subject or stream beyond which its hash stands for it: a
file system has 255 for the whole."""
OVERLAP, NOT_FOUND, NAME_TAKEN, WRONG_LAST = 10065, 10059, 10058, 10071
"""Error codes: subjects of another stream; no such stream; a stream of that name; the
subject's newest message is another."""
NO_STREAM = "the stream is gone, or has no leader"


class ApiError(Exception):
    """JetStream refused; ``code`` is its ``err_code``."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Superseded(ApiError):
    """The newest message of a subject is not the one that was to be replaced."""


class Settings(NamedTuple):
    """What all streams of a hub have in common."""

    namespace: str
    partitions: int
    replicas: int
    storage: str
    """``"file"`` or ``"memory"``."""
    stream_bytes: int | None
    """Most bytes of one stream; the oldest messages go first."""


class Layout(NamedTuple):
    """A declaration's partition: what topics of it have in common."""

    name: str
    """Of its stream."""
    stored: str
    """What the subjects begin with under which messages are stored: an epoch follows,
    then the topic."""
    live: str
    """The same of those under which the server publishes them again."""


class Stream(NamedTuple):
    """A stream that exists, or did when it was looked at."""

    layout: Layout
    epoch: str
    """The epoch of all topics in it."""
    replicas: int
    window: float
    """Seconds that the ids of messages are remembered."""

    @property
    def name(self) -> str:
        """What the server knows it by."""
        return self.layout.name

    def subject(self, topic: str) -> str:
        """Return where the messages of a topic are stored."""
        return f"{self.layout.stored}{self.epoch}.{encoded(topic)}"


def epoch_of(subject: str) -> str:
    """Return the epoch that the subject of a topic's message says."""
    return subject.split(".")[-2]


@functools.lru_cache(maxsize=4096)
def encoded(text: str) -> str:
    """Return a text as one token of a subject."""
    # quote() leaves these, of which "." separates tokens; "*" and ">" it encodes.
    return quote(text, safe="").replace(".", "%2E").replace("~", "%7E")


def seconds_of(text: str) -> float:
    """Return the seconds since 1970 that a time in RFC 3339 says."""
    return datetime.datetime.fromisoformat(text).timestamp()


async def ask(connection: Connection, what: str, question: Any = None) -> Any:
    """Ask JetStream's API; raises ApiError, or BrokerUnavailable."""
    data = b"" if question is None else json.dumps(question).encode()
    reply = await connection.request(f"$JS.API.{what}", data)
    if reply.status:
        raise BrokerUnavailable(
            f"{connection.address}: JetStream is off, or has no leader", stored=False
        )
    return _answer(reply, f"{connection.address}: not JetStream's API")


async def store(
    connection: Connection,
    subject: str,
    data: bytes,
    headers: Headers,
    *,
    over: int | None = None,
) -> dict[str, Any]:
    """Store a message; return its acknowledgement.

    ``over`` is the offset of the subject's newest message, which it replaces, 0 where
    there must be none: raises Superseded where there is another. Raises ApiError, or
    BrokerUnavailable.
    """
    if over is not None:
        headers = {**headers, "Nats-Expected-Last-Subject-Sequence": str(over)}
    reply = (await connection.request_many(subject, data, headers))[0]
    if reply.status:
        raise ApiError(reply.status, NO_STREAM)
    return _answer(reply, f"{subject}: not acknowledged by a stream")


def _answer(reply: Reply, otherwise: str) -> dict[str, Any]:
    """Return what JetStream answers; raises ApiError for an error.

    BrokerUnavailable says ``otherwise`` where the answer is somebody else's.
    """
    try:
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
        error = answer.get("error")
    except (msgspec.MsgspecError, RecursionError, UnicodeError, AttributeError):
        raise BrokerUnavailable(otherwise) from None
    if error:
        code = int(error.get("err_code", 0))
        kind = Superseded if code == WRONG_LAST else ApiError
        raise kind(code, str(error.get("description")))
    return answer


REMEMBERED = 4096
"""Topics whose stream is not made out anew for each message."""


class Streams:
    """The streams of a hub, as far as one connection has seen them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._layouts: dict[str, Layout] = {}
        self._found: dict[Layout, Stream] = {}
        self._checked: set[tuple[Stream, Storage]] = set()
        self._making: dict[Layout, asyncio.Lock] = {}
        self._ahead = 0.0
        """By how much the server's clock is ahead of the loop's."""
        self._looked_at = -math.inf
        """When it was last known exactly, by the loop's clock."""

    # --- names -------------------------------------------------------------------

    def layout_of(self, topic: str) -> Layout:
        """Return where a topic is: its declaration has its first segment and count."""
        layout = self._layouts.get(topic)
        if layout is None:
            first, *others = topic.split(":")
            kind = _short(encoded(first))
            partition = zlib.crc32(topic.encode(errors="surrogatepass"))
            place = f"{kind}.{1 + len(others)}.{partition % self.settings.partitions}"
            if len(self._layouts) >= REMEMBERED:
                self._layouts.clear()
            layout = self._layouts[topic] = self._layout(place)
        return layout

    def _layout(self, place: str) -> Layout:
        namespace = self.settings.namespace
        name = f"{namespace}-{place.replace('.', '-')}"
        return Layout(name, f"{namespace}.s.{place}.", f"{namespace}.l.{place}.")

    def presence_layout(self) -> Layout:
        """Return where members are stored."""
        return self._layout("$presence.0.0")

    # --- the server's clock ------------------------------------------------------

    def now(self) -> float:
        """Return about what the server's clock shows; ours only counts seconds."""
        return asyncio.get_running_loop().time() + self._ahead

    def see_clock(self, at: float, *, exactly: bool = False) -> None:
        """The server's clock showed ``at`` just now, or a little before."""
        now = asyncio.get_running_loop().time()
        if exactly:
            self._ahead, self._looked_at = at - now, now
        else:
            self._ahead = max(self._ahead, at - now)

    async def look_at_clock(
        self, connection: Connection, stream: Stream, age: float = CLOCK_AGE
    ) -> None:
        """Ask for the server's time where it was not known for ``age`` seconds.

        A clock that was set back, or that of another leader, shows in no message: one
        with an earlier time may only have been long on its way.
        """
        if asyncio.get_running_loop().time() - self._looked_at >= age:
            info = await ask(connection, f"STREAM.INFO.{stream.name}")
            if "ts" in info:
                self.see_clock(seconds_of(info["ts"]), exactly=True)

    # --- finding and making ------------------------------------------------------

    def forget(self, layout: Layout | None = None) -> None:
        """Look at streams anew when they are needed next; at all of them if None."""
        if layout is None:
            self._found.clear()
            self._checked.clear()
        else:
            stream = self._found.pop(layout, None)
            if stream is not None:
                self._checked = {c for c in self._checked if c[0] != stream}

    async def find(self, connection: Connection, layout: Layout) -> Stream | None:
        """Return the stream of a layout, None if there is none."""
        found = self._found.get(layout)
        if found is not None:
            return found
        try:
            info = await ask(connection, f"STREAM.INFO.{layout.name}")
            return self._keep(layout, info)
        except ApiError as exc:
            if exc.code == NOT_FOUND:
                return None
            raise _refused(connection, exc) from None

    async def need(
        self,
        connection: Connection,
        topic: str,
        storage: Storage,
        *,
        remembering: bool = False,
    ) -> Stream:
        """Return the stream of a topic, made or changed to be as ``storage`` says.

        ``remembering`` is for messages with an id, which are remembered for longer.
        """
        layout = self.layout_of(topic)
        window = max(WINDOW, storage.idempotency) if remembering else WINDOW
        stream = self._found.get(layout)
        if (
            stream is not None
            and (stream, storage) in self._checked
            and stream.window >= min(window, _age(storage.meta_ttl))
        ):
            return stream
        config = self._config(
            storage.history + 1, storage.meta_ttl, self.settings.storage
        )
        stream = await self._made(connection, layout, config, window)
        if len(self._checked) > 10_000:
            self._checked.clear()  # a program that changes its declarations for ever
        self._checked.add((stream, storage))
        return stream

    async def need_presence(self, connection: Connection) -> Stream:
        """Return the stream of members."""
        layout = self.presence_layout()
        stream = self._found.get(layout)
        if stream is None:
            config = self._config(1, PRESENCE_AGE, "memory")
            stream = await self._made(connection, layout, config, WINDOW)
        return stream

    async def _made(
        self,
        connection: Connection,
        layout: Layout,
        config: dict[str, Any],
        window: float,
    ) -> Stream:
        """Return a stream with this configuration."""
        # One at a time: many topics of one declaration are used at the start.
        async with self._making.setdefault(layout, asyncio.Lock()):
            try:
                for _ in range(3):
                    stream = await self.find(connection, layout)
                    if stream is not None:
                        return await self._changed(connection, stream, config, window)
                    wanted = {
                        **config,
                        **_window(config, window),
                        **_subjects(layout, new_epoch()),
                        "name": layout.name,
                    }
                    if layout == self.presence_layout():
                        del wanted["republish"]
                    try:
                        create = f"STREAM.CREATE.{layout.name}"
                        return self._keep(layout, await ask(connection, create, wanted))
                    except ApiError as exc:
                        if exc.code != NAME_TAKEN:
                            raise
                        # Another node was faster: its stream is found now.
            except ApiError as exc:
                if exc.code == OVERLAP:
                    exc = ApiError(
                        0, f"{layout.stored}> are subjects of another stream"
                    )
                raise _refused(connection, exc) from None
        raise BrokerUnavailable(f"{layout.name}: made and deleted again and again")

    async def _changed(
        self,
        connection: Connection,
        stream: Stream,
        config: dict[str, Any],
        window: float,
    ) -> Stream:
        """Change a stream to what is wanted, where it is not so already."""
        info = await ask(connection, f"STREAM.INFO.{stream.name}")
        # Perhaps it is another one by now.
        stream = self._keep(stream.layout, info)
        present = info["config"]
        window = max(window, stream.window)
        wanted = {**config, **_window(config, window)}
        if stream.layout != self.presence_layout():
            wanted |= _subjects(stream.layout, stream.epoch)
        fixed = ("storage", "num_replicas")
        for name in fixed:
            if present.get(name) != wanted[name]:
                logger.info("%s keeps its %s", stream.name, name)
        wanted = {
            name: value
            for name, value in wanted.items()
            if name not in fixed and present.get(name) != value
        }
        if wanted:
            config = {**present, **wanted}
            info = await ask(connection, f"STREAM.UPDATE.{stream.name}", config)
            logger.info("changed of %s: %s", stream.name, ", ".join(wanted))
        return self._keep(stream.layout, info)

    def _keep(self, layout: Layout, info: dict[str, Any]) -> Stream:
        config = info["config"]
        if config.get("mirror") or config.get("sources"):
            raise ApiError(0, f"{layout.name} is a copy of another stream")
        head, _, tail = (config.get("subjects") or [""])[0].rpartition(".")
        start, dot, epoch = head.rpartition(".")
        if tail != ">" or start + dot != layout.stored:
            raise ApiError(0, f"{layout.name} is a stream that is not ours")
        stream = Stream(
            layout,
            epoch,
            int(config.get("num_replicas", 1)),
            config.get("duplicate_window", 0) / NANO,
        )
        self._found[layout] = stream
        if "ts" in info:
            self.see_clock(seconds_of(info["ts"]), exactly=True)
        return stream

    def _config(self, messages: int, age: float, storage: str) -> dict[str, Any]:
        settings = self.settings
        return {
            "retention": "limits",
            "discard": "old",
            "storage": storage,
            "num_replicas": settings.replicas,
            "max_msgs_per_subject": messages,
            "max_age": int(_age(age) * NANO),
            "max_bytes": settings.stream_bytes or -1,
            "allow_direct": True,
            "allow_rollup_hdrs": True,
            "allow_msg_ttl": True,
        }


def _subjects(layout: Layout, epoch: str) -> dict[str, Any]:
    stored = f"{layout.stored}{epoch}.>"
    return {
        "subjects": [stored],
        "republish": {"src": stored, "dest": f"{layout.live}{epoch}.>"},
    }


def _age(seconds: float) -> float:
    return max(seconds, LEAST_AGE)


def _window(config: dict[str, Any], seconds: float) -> dict[str, int]:
    # A server refuses to remember ids for longer than messages.
    return {"duplicate_window": min(math.ceil(seconds * NANO), config["max_age"])}


def _short(text: str) -> str:
    if len(text) <= LONGEST_NAME:
        return text
    return "%" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _refused(connection: Connection, exc: ApiError) -> BrokerUnavailable:
    """Return what a refusal of JetStream is to the hub: it did not do it, now."""
    text = ascii(str(exc))[1:-1][:200]
    logger.error("%s: JetStream answers: %s", connection.address, text)
    return BrokerUnavailable(f"JetStream answers: {text}", stored=False)
