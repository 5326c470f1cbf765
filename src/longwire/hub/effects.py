"""Effects: what the core wants done. A driver carries them out in order."""

from __future__ import annotations

from typing import NamedTuple

from .entries import Position
from .feeds import Feed
from .subscriptions import Link, Missing, Push, Request

__all__ = ["Attach", "Check", "Detach", "Effect", "Hangup", "Read", "Resolved", "Send"]


class Attach(NamedTuple):
    """Attach to a topic; then call ``attached()``, however long it takes."""

    feed: Feed


class Detach(NamedTuple):
    """Attach to it no more."""

    name: str


class Read(NamedTuple):
    """Read a topic; then call ``page()`` or ``read_failed()``.

    Forwards from ``since``, or the newest in reverse if that is None.
    """

    feed: Feed
    since: Position | None
    limit: int
    size: int
    number: int
    position: Position | None
    """Where the feed was when this was asked for."""


class Check(NamedTuple):
    """Ask for the tops of topics; then call ``tops()`` or ``check_failed()``."""

    feeds: list[Feed]
    positions: list[Position | None]
    number: int


class Send(NamedTuple):
    """Send this; call ``no_room()`` for each subscriber that has none."""

    message: Push | Missing


class Resolved(NamedTuple):
    """A request to subscribe has its outcome; or none, and its subscription ended."""

    request: Request


class Hangup(NamedTuple):
    """Close a connection: it has been behind for too long."""

    link: Link
    reason: str


Effect = Attach | Detach | Read | Check | Send | Resolved | Hangup
