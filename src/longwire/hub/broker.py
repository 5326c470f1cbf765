"""The contract of brokers: the hub decides, a broker stores and carries.

Everything is bytes to it, times are seconds. What every broker promises:

* entries of one topic reach the sink in order, or ``lost`` is called for that topic;
* when ``attach`` has returned, what is published later is fed, or ``lost`` is called;
* the verdicts of ``read`` are exact;
* ``lost`` may be called too often, never too seldom, and ``ready`` follows it;
* an epoch that has ended never comes back.

What cannot be done now raises BrokerUnavailable, and nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from .entries import Entry, Page, Position

__all__ = [
    "Broker",
    "Change",
    "Join",
    "Leave",
    "Member",
    "Members",
    "Presence",
    "Renew",
    "Sink",
    "Storage",
    "Stored",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
    """How a topic is stored, as its declaration says."""

    history: int
    """Entries kept; 0 for none."""
    ttl: float
    """Seconds that an entry is kept."""
    meta_ttl: float
    """Seconds that epoch and top are kept after the topic's last use."""
    idempotency: float
    """Seconds that the ``id`` of a message is remembered."""
    durability: str | None = None
    """``"replica"``: a publish waits until a replica has it, or says that none has."""


class Stored(NamedTuple):
    """A message has its place."""

    position: Position
    duplicate: bool = False
    """It had its place already: this one was not stored."""
    replicas: int | None = None
    """How many replicas have it; None where nobody asked."""


class Member(NamedTuple):
    """Who is present on a topic."""

    client: str
    """A name of one page for as long as it lives; public."""
    user: str | None
    info: bytes
    """A JSON text."""
    node: str
    """The node that renews the lease."""


class Members(NamedTuple):
    """Who is present: a list that may have been cut, and counts that were not."""

    members: list[Member]
    clients: int
    users: int


class Join(NamedTuple):
    """A client is there; its lease ends in ``lease`` seconds."""

    topic: str
    member: Member
    lease: float


class Renew(NamedTuple):
    """A client is still there."""

    topic: str
    client: str
    node: str
    lease: float


class Leave(NamedTuple):
    """A client has gone; its lease ends in ``after`` seconds, unless it joins again.

    Ignored where another node has the client now.
    """

    topic: str
    client: str
    node: str
    after: float


Change = Join | Renew | Leave


class Presence(NamedTuple):
    """What became of a topic's members by a call of ``presence``.

    Each join and each leave is told to exactly one caller, who tells the others.
    """

    topic: str
    joined: list[Member]
    left: list[Member]
    """Those who left, and those whose lease has ended."""
    clients: int
    users: int
    unknown: list[str]
    """Clients whose lease was to be renewed and had ended: they have to join again."""


class Sink(Protocol):
    """Where a broker hands over what it is fed."""

    def entry(self, topic: str, entry: Entry) -> None:
        """A message was stored, and comes by the live feed."""

    def lost(self, topics: Iterable[str] | None, why: str) -> None:
        """Messages of these topics, all if None, may be missing from now on."""

    def ready(self, topics: Iterable[str] | None) -> None:
        """These topics, all if None, are fed, or fed again; what was missed is not."""


class Broker(Protocol):
    """Where topics are stored; see the module's docstring for what it promises.

    ``consecutive``: offsets of a topic grow by one. ``lossless``: nothing is ever lost
    between publish and sink, so that nobody needs to look.
    """

    name: str
    consecutive: bool
    lossless: bool

    async def run(self, sink: Sink) -> None:
        """Feed ``sink`` until cancelled; only then do the other methods work."""

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
        """Store a message and feed it to all who are attached.

        ``tag`` is random, of 48 bits, not 0. With ``again`` the same tag was published
        before, and perhaps stored. A message whose ``id`` is remembered is not stored.
        """

    async def attach(self, topics: Sequence[str]) -> None:
        """Feed these topics; returns when the broker has confirmed it."""

    async def detach(self, topics: Sequence[str]) -> None:
        """Feed these topics no more."""

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
        """Return stored entries: at most ``limit``, and no more than ``size`` bytes.

        One entry comes however large it is. Forwards those after ``since``, with the
        verdict on it; None reads none. In reverse those before ``since``, None for the
        newest; where its epoch is not the topic's, none. ``limit`` 0 asks for the top.
        """

    async def tops(self, topics: Sequence[str]) -> list[Position | None]:
        """Return the newest position of each topic; None where nothing is known."""

    async def clear(self, topic: str, storage: Storage) -> Position:
        """Forget all entries and begin a new epoch; return its first position."""

    async def presence(
        self, topics: Sequence[str], changes: Sequence[Change], dead: Sequence[str] = ()
    ) -> list[Presence]:
        """Carry out changes, and end the leases that are over, of all ``topics`` too.

        The leases of the nodes ``dead`` are over at once.
        """

    async def members(self, topic: str, limit: int) -> Members:
        """Return who is present, at most ``limit`` of them."""
