"""Topology: which server has a topic, now.

One server; the primary among several; whom the sentinels name; or a cluster, where each
slot has its own. What was found may be wrong a moment later: whoever is told so by a
server, or hears nothing from one, asks anew.
"""

from __future__ import annotations

import abc
import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from ..addresses import Address
from ..errors import BrokerUnavailable
from .addresses import Place
from .keys import SLOTS, key_slot
from .pool import Pool
from .resp import Connection, ServerError

__all__ = ["Topology", "topology_of"]

logger = logging.getLogger("longwire.hub")


class Topology(abc.ABC):
    """Where each hash tag is."""

    sharded = False
    """Whether there are several primaries."""

    def __init__(self, place: Place, pool: Pool, timeout: float, name: str) -> None:
        self._place = place
        self._pool = pool
        self._timeout = timeout
        self._name = name
        self._refreshing: asyncio.Task[None] | None = None

    @abc.abstractmethod
    def address_of(self, tag: str) -> Address:
        """Return the server that has ``tag``; raises BrokerUnavailable if unknown."""

    @abc.abstractmethod
    def primaries(self) -> list[Address]:
        """Return all servers that have anything."""

    @abc.abstractmethod
    async def _refresh(self) -> None:
        """Find out; raises BrokerUnavailable."""

    async def refresh(self) -> None:
        """Find out anew; several who ask at the same time ask once."""
        task = self._refreshing
        if task is None:
            task = asyncio.get_running_loop().create_task(self._refresh_in_time())
            self._refreshing = task
            task.add_done_callback(self._refreshed)
        await asyncio.shield(task)

    async def _refresh_in_time(self) -> None:
        try:
            async with asyncio.timeout(3 * self._timeout):
                await self._refresh()
        except TimeoutError:
            raise BrokerUnavailable("no server answers", stored=False) from None

    def _refreshed(self, task: asyncio.Task[None]) -> None:
        self._refreshing = None
        if not task.cancelled():
            task.exception()  # whoever asked still gets it

    def moved(self, slot: int, address: Address) -> None:
        """A server said that a slot is another's; only those of a cluster do."""
        raise BrokerUnavailable(
            "the server is part of a cluster: its URL begins with redis+cluster://",
            stored=False,
        )

    async def stop(self) -> None:
        """End what is under way."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])

    async def _role(self, address: Address) -> str:
        """Return what a server says it is: "master", "slave"."""
        try:
            reply = await self._pool.call(address, "ROLE")
        except ServerError as exc:
            raise BrokerUnavailable(f"{address}: {exc}", stored=False) from None
        return _text(reply[0])


class OneOf(Topology):
    """The primary among some servers, or the only one."""

    _primary: Address | None = None

    def address_of(self, tag: str) -> Address:
        if self._primary is None:
            raise BrokerUnavailable("no primary was found yet", stored=False)
        return self._primary

    def primaries(self) -> list[Address]:
        return [] if self._primary is None else [self._primary]

    async def _refresh(self) -> None:
        # The one in use first: a former primary that comes back does not take over.
        known = [self._primary] if self._primary is not None else []
        problems = []
        for address in dict.fromkeys([*known, *self._place.addresses]):
            try:
                role = await self._role(address)
            except BrokerUnavailable as exc:
                problems.append(exc.message)
                continue
            if role == "master":
                if address != self._primary:
                    logger.info("%s is the primary", address)
                self._primary = address
                return
            problems.append(f"{address} is a replica")
        raise BrokerUnavailable("; ".join(problems), stored=False)


class BySentinel(Topology):
    """Whom the sentinels name."""

    _primary: Address | None = None

    def address_of(self, tag: str) -> Address:
        if self._primary is None:
            raise BrokerUnavailable("no primary was found yet", stored=False)
        return self._primary

    def primaries(self) -> list[Address]:
        return [] if self._primary is None else [self._primary]

    async def _refresh(self) -> None:
        problems = []
        for sentinel in self._place.addresses:
            try:
                address = await self._ask(sentinel)
                # The one that it names may not know yet, or not any more.
                role = await self._role(address)
            except BrokerUnavailable as exc:
                problems.append(exc.message)
                continue
            if role == "master":
                if address != self._primary:
                    logger.info("%s is the primary, says %s", address, sentinel)
                self._primary = address
                return
            problems.append(f"{address} is a replica")
        raise BrokerUnavailable("; ".join(problems), stored=False)

    async def _ask(self, sentinel: Address) -> Address:
        # Sentinels have no databases, and mostly no passwords of the servers.
        place = self._place._replace(username=None, password=None, database=0)
        connection = await Connection.open(sentinel, place, self._timeout, self._name)
        try:
            reply = await connection.call(
                "SENTINEL", "get-master-addr-by-name", self._place.service
            )
        except ServerError as exc:
            raise BrokerUnavailable(f"{sentinel}: {exc}", stored=False) from None
        finally:
            connection.close("asked")
        if not isinstance(reply, list) or len(reply) != 2:
            name = self._place.service
            raise BrokerUnavailable(f"{sentinel} knows no {name!r}", stored=False)
        return Address(_text(reply[0]), int(reply[1]))


class Cluster(Topology):
    """A cluster of servers, each with some slots."""

    sharded = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._slots: dict[int, Address] = {}
        self._known: list[Address] = list(self._place.addresses)
        self._tag_slots: dict[str, int] = {}

    def address_of(self, tag: str) -> Address:
        slot = self._tag_slots.get(tag)
        if slot is None:
            slot = self._tag_slots[tag] = key_slot(tag.encode())
        address = self._slots.get(slot)
        if address is None:
            raise BrokerUnavailable(f"no server has slot {slot}", stored=False)
        return address

    def primaries(self) -> list[Address]:
        return list(dict.fromkeys(self._slots.values()))

    def moved(self, slot: int, address: Address) -> None:
        self._slots[slot] = address

    async def _refresh(self) -> None:
        problems = []
        for address in dict.fromkeys([*self._known, *self._place.addresses]):
            try:
                reply = await self._pool.call(address, "CLUSTER", "SLOTS")
            except BrokerUnavailable as exc:
                problems.append(exc.message)
                continue
            except ServerError as exc:
                problems.append(f"{address}: {exc}")
                continue
            slots = _slots_of(reply, address)
            if len(slots) < SLOTS:
                problems.append(f"{address} knows {len(slots)} of {SLOTS} slots")
                if not slots or self._slots:
                    continue
            self._slots = slots
            # All that are known: those that answered may be the next to go.
            self._known = list(_nodes_of(reply, address))
            return
        raise BrokerUnavailable("; ".join(problems), stored=False)


def topology_of(place: Place, pool: Pool, timeout: float, name: str) -> Topology:
    """Return the topology that a URL asks for."""
    kinds: dict[str, type[Topology]] = {
        "redis": OneOf,
        "sentinel": BySentinel,
        "cluster": Cluster,
    }
    return kinds[place.kind](place, pool, timeout, name)


def _slots_of(reply: Any, asked: Address) -> dict[int, Address]:
    slots = {}
    for first, last, primary, *_ in reply:
        address = _node(primary, asked)
        for slot in range(int(first), int(last) + 1):
            slots[slot] = address
    return slots


def _nodes_of(reply: Any, asked: Address) -> Iterable[Address]:
    return dict.fromkeys(_node(node, asked) for _, _, *nodes in reply for node in nodes)


def _node(node: Any, asked: Address) -> Address:
    # A server that does not know its own name says nothing: it is the one asked.
    host = _text(node[0]) if node[0] else ""
    return Address(host if host not in ("", "?") else asked.host, int(node[1]))


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
