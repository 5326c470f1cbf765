"""RedisBroker: topics in Redis, fed to all nodes by Pub/Sub.

A stream has the entries of a topic, a text its epoch, top offset and top tag. One
script appends and publishes, another reads and judges; each is one step for Redis.
Redis 6.2 or newer, 7.0 or newer for a cluster.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ...hints import checks_keywords
from ..addresses import Address, version_of
from ..broker import (
    Change,
    Join,
    Leave,
    Member,
    Members,
    Presence,
    Sink,
    Storage,
    Stored,
)
from ..entries import Entry, Page, Position, judge
from ..errors import BrokerUnavailable
from ..members import by_topic, pack_member, unpack_member
from ..memory import new_epoch
from .addresses import parse_url
from .appending import Appends, append_arguments, milliseconds
from .feed import Feed, Line
from .keys import Keys
from .pool import Pool
from .resp import Argument, ServerError
from .scripts import APPEND, CLEAR, MEMBERS, PRESENCE, READ, Script
from .topology import topology_of

__all__ = ["RedisBroker"]

logger = logging.getLogger("longwire.hub")

TIMEOUT = 2.0
"""Seconds in which a server has to answer a command."""
ATTEMPTS = 5
"""How often a command is sent after one server has named another."""
REFRESH_META = 3600.0
"""Seconds after which the top of a topic that is only listened to counts as used."""
REPLICA_WAIT = 200
"""Milliseconds that a publish waits for a replica."""
WAITING = "wait"
MAX_SKEW = 5.0
"""Seconds that clocks may differ without a word in the log."""

_ELSEWHERE = frozenset({"NOSCRIPT", "MOVED", "ASK", "READONLY", "UNBLOCKED"})
"""Errors of a server that did nothing, where another command or server will do."""
_PROBED = Storage(0, 60.0, 60.0, 0.0)
"""How the topics of probes are stored: not at all."""


class RedisBroker:
    """Topics in Redis, for ``Hub(broker)``; ``Hub("redis://...")`` makes one.

    ``url`` is as in ``addresses.py``; ``namespace`` begins the names of all keys, so
    that several hubs can share a server; ``tls`` is the context for ``rediss``.
    """

    name = "redis"
    consecutive = True
    lossless = False

    @checks_keywords()
    def __init__(
        self,
        url: str,
        *,
        namespace: str = "lw",
        tls: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        if not namespace or not namespace.isprintable() or set(namespace) & set("{}: "):
            raise ValueError(
                f"namespace is {namespace!r}; a text without braces, colons and "
                "spaces is allowed"
            )
        self.place = parse_url(url, tls)
        self.namespace = namespace
        self._timeout = timeout
        self._name = f"longwire-hub-{secrets.token_hex(4)}"
        self._feed: Feed | None = None
        self._pool: Pool | None = None
        self._appends: Appends | None = None
        self._checked: set[Address] = set()
        # Of topics that are attached: when their tops were last kept, and for how long.
        self._used: dict[str, tuple[float, int]] = {}

    def __repr__(self) -> str:
        return f"<RedisBroker {self.place!r}>"

    # --- its life ----------------------------------------------------------------

    async def run(self, sink: Sink) -> None:
        """Feed ``sink`` until cancelled."""
        pool = Pool(self.place, self._timeout, self._name)
        topology = topology_of(self.place, pool, self._timeout, self._name)
        feed = Feed(
            self.place,
            topology,
            self.namespace,
            self._name,
            self._timeout,
            sink,
            self._probe,
        )
        self._feed, self._pool = feed, pool
        self._appends = Appends(self.namespace, self._publish_command)
        try:
            await feed.run()
        finally:
            self._feed = self._pool = self._appends = None
            await topology.stop()
            await pool.close()

    def _running(self) -> tuple[Feed, Pool]:
        if self._feed is None or self._pool is None:
            raise BrokerUnavailable("the broker is not running", stored=False)
        return self._feed, self._pool

    # --- commands ----------------------------------------------------------------

    async def _run(
        self,
        script: Script,
        tag: str,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        purpose: str = "",
    ) -> Any:
        """Run a script where ``tag`` is, and return its answer."""
        count = (len(keys), *keys, *arguments)
        try:
            return await self._command(tag, "EVALSHA", script.sha, *count, to=purpose)
        except ServerError as exc:
            if exc.kind != "NOSCRIPT":
                raise self._unavailable(exc) from None
        try:
            return await self._command(tag, "EVAL", script.text, *count, to=purpose)
        except ServerError as exc:
            raise self._unavailable(exc) from None

    async def _command(self, tag: str, *command: Argument, to: str = "") -> Any:
        """Send a command to the server that has ``tag``, wherever that is now."""
        feed, pool = self._running()
        asking: Address | None = None
        for _ in range(ATTEMPTS):
            address = asking or await self._address_of(feed, tag)
            try:
                if address not in self._checked:
                    await self._check(pool, address)
                connection = pool.ready(address, to)
                if connection is not None and asking is None:
                    return await connection.send(*command)
                if asking is not None:
                    connection = await pool.get(address, to)
                    await connection.until_writable()
                    connection.send("ASKING")
                    asking = None
                    return await connection.send(*command)
                return await pool.call(address, *command, purpose=to)
            except ServerError as exc:
                asking = await self._redirected(feed, pool, address, exc)
            except BrokerUnavailable:
                # Whether it still is the one is for the servers to say.
                feed.spawn(feed.refresh())
                raise
        raise BrokerUnavailable(f"moved {ATTEMPTS} times", stored=False)

    async def _address_of(self, feed: Feed, tag: str) -> Address:
        try:
            return feed.topology.address_of(tag)
        except BrokerUnavailable:
            await feed.topology.refresh()
            feed.arrange()
            return feed.topology.address_of(tag)

    async def _redirected(
        self, feed: Feed, pool: Pool, address: Address, exc: ServerError
    ) -> Address | None:
        """Do what an error asks for, so that the command can be sent again.

        Returns the server to be asked this once. Raises what cannot be helped.
        """
        if exc.kind in ("MOVED", "ASK"):
            _, slot, where = str(exc).split(" ", 2)
            host, _, port = where.rpartition(":")
            target = Address(host.strip("[]") or address.host, int(port))
            if exc.kind == "ASK":
                return target
            feed.topology.moved(int(slot), target)
            feed.spawn(feed.refresh())
            return None
        if exc.kind in ("READONLY", "UNBLOCKED"):
            # It was the primary once.
            pool.drop(address, "it is a replica now")
            await feed.refresh()
            return None
        raise exc

    def _unavailable(self, exc: ServerError) -> BrokerUnavailable:
        """Return what an error of Redis is to the hub: it did not do it, now."""
        text = str(exc)
        if exc.kind not in ("LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "BUSY"):
            logger.error("Redis answers: %s", ascii(text[:300]))
        return BrokerUnavailable(f"Redis answers: {text[:200]}", stored=False)

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
        if id is None and not again and storage.durability is None:
            reply = await self._append_at_once(topic, data, tag, storage)
            if reply is not None:
                return Stored(_position(reply[0]), bool(reply[1]))
        keys = Keys(self.namespace, topic)
        names, arguments = append_arguments(
            keys, data, tag, storage, self._publish_command, id=id, again=again
        )
        if storage.durability is None:
            place, duplicate = await self._run(APPEND, keys.tag, names, arguments)
            return Stored(_position(place), bool(duplicate))
        return await self._publish_durably(keys, names, arguments)

    async def _append_at_once(
        self, topic: str, data: bytes, tag: int, storage: Storage
    ) -> Any:
        """Publish where the topic was last known to be; None if it has to be found."""
        feed, pool, appends = self._feed, self._pool, self._appends
        if feed is None or pool is None or appends is None:
            return None
        append = appends.of(topic, storage)
        try:
            address = feed.topology.address_of(append.tag)
        except BrokerUnavailable:
            return None
        connection = pool.ready(address)
        if connection is None or address not in self._checked:
            return None
        try:
            return await connection.send_packed(append.command(data, tag))
        except ServerError as exc:
            if exc.kind in _ELSEWHERE:
                return None
            raise self._unavailable(exc) from None
        except BrokerUnavailable:
            feed.spawn(feed.refresh())
            raise

    async def _publish_durably(
        self, keys: Keys, names: list[str], arguments: list[Argument]
    ) -> Stored:
        """Publish, and wait until a replica has it.

        By a connection of its own: WAIT keeps whatever comes behind it.
        """
        feed, pool = self._running()
        place, duplicate = await self._run(APPEND, keys.tag, names, arguments, WAITING)
        replicas = 0
        try:
            address = feed.topology.address_of(keys.tag)
            replicas = await pool.call(
                address, "WAIT", 1, REPLICA_WAIT, purpose=WAITING
            )
        except (ServerError, BrokerUnavailable) as exc:
            logger.info("waiting for a replica: %s", exc)
        return Stored(_position(place), bool(duplicate), int(replicas))

    @property
    def _publish_command(self) -> str:
        feed, _ = self._running()
        return "SPUBLISH" if feed.topology.sharded else "PUBLISH"

    async def _probe(self, line: Line) -> None:
        """Publish to a line's own channel, the way messages are published."""
        keys = line.probe_keys
        if keys is None:
            return
        names, arguments = append_arguments(
            keys, b"j0", 1, _PROBED, self._publish_command
        )
        await self._run(APPEND, keys.tag, names, arguments)

    async def clear(self, topic: str, storage: Storage) -> Position:
        """Forget all entries and begin a new epoch."""
        keys = Keys(self.namespace, topic)
        place = await self._run(
            CLEAR,
            keys.tag,
            [keys.meta, keys.stream],
            [
                new_epoch(),
                milliseconds(storage.meta_ttl),
                keys.channel,
                self._publish_command,
            ],
        )
        return _position(place)

    # --- feed and reads ----------------------------------------------------------

    async def attach(self, topics: Sequence[str]) -> None:
        """Feed these topics; returns when their servers have confirmed it."""
        feed, _ = self._running()
        await feed.attach(topics)

    async def detach(self, topics: Sequence[str]) -> None:
        """Feed these topics no more."""
        feed, _ = self._running()
        feed.detach(topics)
        for topic in topics:
            self._used.pop(topic, None)

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
        feed, _ = self._running()
        keys = Keys(self.namespace, topic)
        if topic in feed.topics:
            now_here = asyncio.get_running_loop().time()
            self._used[topic] = (now_here, milliseconds(storage.meta_ttl))
        place: list[Argument] = ["", "", ""]
        if since is not None:
            place = [since.epoch, since.offset, since.tag]
        reply = await self._run(
            READ,
            keys.tag,
            [keys.meta, keys.stream],
            [
                *place,
                limit if storage.history else 0,
                size,
                milliseconds(storage.ttl),
                milliseconds(storage.meta_ttl),
                new_epoch(),
                int(reverse or since is None),
            ],
        )
        meta, now, tag_at, first, more, *rest = reply
        top, clock = _position(meta), int(now) / 1000
        entries = _entries(top.epoch, rest)
        if reverse or since is None:
            verdict = judge(top, top, keeps=True)
            return Page(verdict, entries, top, bool(more), clock)
        verdict = judge(
            since,
            top,
            keeps=storage.history > 0,
            first_prev=int(first) - 1 if first else None,
            tag_at=int(tag_at) if tag_at else None,
        )
        _chain(since, entries)
        return Page(verdict, entries, top, bool(more), clock)

    async def tops(self, topics: Sequence[str]) -> list[Position | None]:
        """Return the newest position of each topic."""
        feed, _ = self._running()
        groups: dict[str, list[str]] = {}
        for topic in topics:
            tag = Keys(self.namespace, topic).tag if feed.topology.sharded else ""
            groups.setdefault(tag, []).append(topic)
        answers = await asyncio.gather(
            *(self._tops_of(tag, group) for tag, group in groups.items())
        )
        found = {topic: top for answer in answers for topic, top in answer}
        return [found[topic] for topic in topics]

    async def _tops_of(
        self, tag: str, topics: list[str]
    ) -> list[tuple[str, Position | None]]:
        """Return the tops of topics that one command can name."""
        names = [Keys(self.namespace, topic).meta for topic in topics]
        try:
            found = await self._command(tag, "MGET", *names)
        except ServerError as exc:
            raise self._unavailable(exc) from None
        tops = [None if meta is None else _position_or_none(meta) for meta in found]
        await self._keep_alive(tag, topics)
        return list(zip(topics, tops, strict=True))

    async def _keep_alive(self, tag: str, topics: list[str]) -> None:
        """Let the tops of topics live that nobody publishes to, but somebody hears."""
        now = asyncio.get_running_loop().time()
        for topic in topics:
            since, ttl = self._used.get(topic, (now, 0))
            if now - since < REFRESH_META:
                continue
            self._used[topic] = (now, ttl)
            try:
                meta = Keys(self.namespace, topic).meta
                await self._command(tag, "PEXPIRE", meta, ttl)
            except (ServerError, BrokerUnavailable) as exc:
                logger.info("keeping the top of %r: %s", topic, exc)

    # --- presence ----------------------------------------------------------------

    async def presence(
        self,
        topics: Sequence[str],
        changes: Sequence[Change],
        dead: Sequence[str] = (),
    ) -> list[Presence]:
        """Carry out changes, and end leases that are over."""
        return list(
            await asyncio.gather(
                *(
                    self._presence_of(name, wanted, dead)
                    for name, wanted in by_topic(topics, changes).items()
                )
            )
        )

    async def _presence_of(
        self, topic: str, changes: list[Change], dead: Sequence[str]
    ) -> Presence:
        keys = Keys(self.namespace, topic)
        arguments: list[Argument] = [len(dead), *dead]
        for change in changes:
            arguments += _change(change)
        reply = await self._run(PRESENCE, keys.tag, keys.presence, arguments)
        clients, users, joined, left, unknown = reply
        return Presence(
            topic,
            _members(joined),
            _members(left),
            clients,
            users,
            [each.decode() for each in unknown],
        )

    async def members(self, topic: str, limit: int) -> Members:
        """Return who is present."""
        keys = Keys(self.namespace, topic)
        reply = await self._run(MEMBERS, keys.tag, keys.presence, [limit])
        clients, users, *rest = reply
        return Members(_members(rest), clients, users)

    # --- what may be wrong with a server -----------------------------------------

    async def _check(self, pool: Pool, address: Address) -> None:
        """Look at a server the first time it is used, and warn of what is unsafe."""
        if address in self._checked:
            return
        self._checked.add(address)
        try:
            info = _info(await pool.call(address, "INFO"))
            clock = await pool.call(address, "TIME")
        except (ServerError, BrokerUnavailable) as exc:
            self._checked.discard(address)
            if isinstance(exc, BrokerUnavailable):
                raise
            logger.warning("%s cannot be looked at: %s", address, exc)
            return
        for problem in _problems(info, self.place.kind == "cluster"):
            logger.error("%s: %s", address, problem)
        skew = time.time() - (int(clock[0]) + int(clock[1]) / 1e6)
        if abs(skew) > MAX_SKEW:
            logger.warning(
                "the clock of %s is %.1f s %s ours; tokens expire by ours, "
                "messages by that one",
                address,
                abs(skew),
                "behind" if skew > 0 else "ahead of",
            )


# --- reading answers -------------------------------------------------------------


def _position(text: Any) -> Position:
    found = _position_or_none(text)
    if found is None:
        raise BrokerUnavailable(f"Redis has {ascii(text)[:100]} as the top of a topic")
    return found


def _position_or_none(text: Any) -> Position | None:
    epoch, _, rest = bytes(text).partition(b".")
    offset, _, tag = rest.partition(b".")
    if not (offset.isdigit() and tag.isdigit()):
        return None
    return Position(epoch.decode(errors="replace"), int(offset), int(tag))


def _entries(epoch: str, flat: list[Any]) -> list[Entry]:
    """Return entries from ids, times and data in a row."""
    found = []
    for index in range(0, len(flat), 3):
        id, at, data = flat[index : index + 3]
        offset, _, tag = id.partition(b"-")
        place = int(offset)
        found.append(
            Entry(epoch, place, place - 1, int(tag), None, int(at) / 1000, data)
        )
    return found


def _chain(since: Position, entries: list[Entry]) -> None:
    """Fill in the tags before entries that follow a position."""
    before = since.tag
    for index, entry in enumerate(entries):
        entries[index] = entry._replace(prev_tag=before)
        before = entry.tag


def _change(change: Change) -> list[Argument]:
    if isinstance(change, Join):
        member = change.member
        return ["j", member.client, pack_member(member), milliseconds(change.lease)]
    if isinstance(change, Leave):
        after = milliseconds(change.after) if change.after > 0 else 0
        return ["l", change.client, change.node, after]
    return ["r", change.client, change.node, milliseconds(change.lease)]


def _members(flat: Iterable[Any]) -> list[Member]:
    found = []
    values = list(flat)
    for index in range(0, len(values), 2):
        client = values[index].decode(errors="replace")
        found.append(unpack_member(client, values[index + 1]))
    return found


def _info(text: Any) -> dict[str, str]:
    lines = bytes(text).decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _problems(info: dict[str, str], is_cluster: bool) -> list[str]:
    """Return what is wrong with a server, in sentences."""
    problems = []
    version = info.get("redis_version", "0")
    least = (7, 0) if is_cluster else (6, 2)
    if version_of(version) < least:
        wanted = ".".join(map(str, least))
        problems.append(f"Redis {version} is too old; {wanted} or newer is needed")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy.startswith("allkeys"):
        problems.append(
            f"maxmemory-policy is {policy}: it evicts the tops of topics, and each "
            "such topic begins anew; use noeviction or volatile-ttl"
        )
    return problems
