"""Members: what brokers have in common where they store who is present."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .broker import Change, Member

__all__ = ["by_topic", "count_users", "pack_member", "unpack_member"]


def by_topic(
    topics: Iterable[str], changes: Sequence[Change]
) -> dict[str, list[Change]]:
    """Return the changes of each topic, none for those that are only looked at."""
    found: dict[str, list[Change]] = {name: [] for name in topics}
    for change in changes:
        found.setdefault(change.topic, []).append(change)
    return found


def count_users(members: Iterable[Member]) -> int:
    """Return how many users members are; one without a user counts as one."""
    return len({member.user or (member.client,) for member in members})


def pack_member(member: Member) -> bytes:
    """Return what is stored of a member beside its client: node, user and info."""
    user = None if member.user is None else member.user.encode(errors="replace")
    size = -1 if user is None else len(user)
    return b"%b\n%d\n%b%b" % (member.node.encode(), size, user or b"", member.info)


def unpack_member(client: str, data: bytes) -> Member:
    """Return the member that ``pack_member()`` gave the bytes of."""
    node, size, rest = data.split(b"\n", 2)
    length = int(size)
    user = None if length < 0 else rest[:length].decode(errors="replace")
    info = rest[max(length, 0) :]
    return Member(client, user, info, node.decode(errors="replace"))
