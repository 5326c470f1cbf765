"""What goes over the wire: entries, answers and notifications, as codecs write them.

The values stay what their publishers wrote; only where a client speaks the other codec
they are written anew, once for all clients of a node.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ..rpc.codecs import Codec
from .broker import Member, Members
from .entries import Entry
from .payloads import Unreadable, unpack
from .subscriptions import Missing, Push

__all__ = [
    "EntryOut",
    "counts",
    "entries_out",
    "gap_params",
    "member_out",
    "members_out",
    "message_params",
]


class EntryOut(msgspec.Struct, omit_defaults=True):
    """One entry; ``error`` stands for ``data`` where that cannot be read.

    ``position`` is left out of the last entry: there it is that of the message.
    """

    offset: int
    data: Raw | UnsetType = UNSET
    prev: int | UnsetType = UNSET
    at: float | UnsetType = UNSET
    position: str | UnsetType = UNSET
    sender: str | UnsetType = msgspec.field(default=UNSET, name="from")
    headers: dict[str, str] | UnsetType = UNSET
    key: str | UnsetType = UNSET
    error: str | UnsetType = UNSET


class MessageParams(msgspec.Struct, omit_defaults=True):
    """``hub.message``."""

    topic: str
    entries: list[EntryOut]
    position: str
    behind: bool = False
    skipped: int | UnsetType | None = UNSET


class GapParams(msgspec.Struct, omit_defaults=True):
    """``hub.gap``."""

    topic: str
    start: str = msgspec.field(name="from")
    position: str
    reason: str
    missed: int | UnsetType = UNSET


class MemberOut(msgspec.Struct, omit_defaults=True):
    """Who is present."""

    client: str
    user: str | UnsetType = UNSET
    info: Raw | UnsetType = UNSET


class PresenceOut(msgspec.Struct, omit_defaults=True):
    """Who is present: the answer of ``hub.presence``, and of a subscribe."""

    clients: int
    users: int
    members: list[MemberOut]
    you: str | UnsetType = UNSET


def entries_out(entries: Iterable[Entry], codec: Codec) -> list[EntryOut]:
    """Return entries for the wire.

    ``prev`` is left out where it is the offset less one, or that of the entry before.
    """
    before: int | None = None
    found: list[EntryOut] = []
    last: Entry | None = None
    for entry in entries:
        if last is not None:
            found[-1].position = str(last.position)
        last = entry
        out = EntryOut(entry.offset, at=round(entry.at, 3))
        if entry.prev not in (before, entry.offset - 1):
            out.prev = entry.prev
        before = entry.offset
        try:
            payload = unpack(entry.data)
            out.data = Raw(payload.data_in(codec))
        except Unreadable as exc:
            out.error = str(exc)
        else:
            if payload.sender is not None:
                out.sender = payload.sender
            if payload.headers:
                out.headers = payload.headers
            if payload.key is not None:
                out.key = payload.key
        found.append(out)
    return found


def message_params(push: Push, codec: Codec) -> MessageParams:
    """Return the params of ``hub.message``."""
    params = MessageParams(
        push.feed.name,
        entries_out(push.entries, codec),
        str(push.after),
    )
    if push.skipped != 0:
        params.skipped = push.skipped
    if push.to is not None and push.after != push.feed.position:
        params.behind = True
    return params


def gap_params(missing: Missing) -> GapParams:
    """Return the params of ``hub.gap``."""
    params = GapParams(
        topic=missing.feed.name,
        start=str(missing.before),
        position=str(missing.after),
        reason=missing.reason,
    )
    if missing.missed is not None:
        params.missed = missing.missed
    return params


def member_out(member: Member, codec: Codec) -> MemberOut:
    """Return a member for the wire."""
    out = MemberOut(member.client)
    if member.user is not None:
        out.user = member.user
    if member.info:
        try:
            out.info = Raw(unpack(b"j" + member.info).data_in(codec))
        except Unreadable:
            pass  # presence is a hint, and who is there is the larger part of it
    return out


def members_out(members: Members, codec: Codec, you: str | None = None) -> PresenceOut:
    """Return a list of members for the wire; ``you`` is who asks, among them."""
    out = PresenceOut(
        members.clients,
        members.users,
        [member_out(member, codec) for member in members.members],
    )
    if you is not None:
        out.you = you
    return out


def counts(topic: str, clients: int, users: int) -> dict[str, Any]:
    """Return what every ``hub.presence`` begins with."""
    return {"topic": topic, "clients": clients, "users": users}
