"""Following: a subscriber's half of the promise, without I/O.

Knows up to where it has the topic, drops what it has already, sees what does not
follow, and says where to subscribe from. What came while the answer to a subscribe was
on its way is looked at after it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from .entries import Position

__all__ = ["Broken", "Follower", "GapIn", "Item", "MessageIn", "SubscribedIn"]

MAX_WAITING = 1000
"""Messages that wait for the answer to a subscribe; a server sends none before it."""


class EntryIn(msgspec.Struct):
    """One entry, as it came."""

    offset: int
    data: Any = None
    prev: int | None = None
    at: float | None = None
    position: str | None = None
    sender: str | None = msgspec.field(default=None, name="from")
    headers: dict[str, str] | None = None
    key: str | None = None
    error: str | None = None


class MessageIn(msgspec.Struct):
    """``hub.message``; ``skipped`` is 0 where nothing was."""

    topic: str
    position: str
    entries: list[EntryIn] = []
    skipped: int | None = 0
    behind: bool = False


class GapIn(msgspec.Struct):
    """``hub.gap``."""

    topic: str
    position: str
    reason: str = "unknown"
    missed: int | None = None


class SubscribedIn(msgspec.Struct):
    """The answer to a subscribe."""

    position: str
    entries: list[EntryIn] = []
    recovered: bool | None = None
    reason: str | None = None
    missed: int | None = None
    more: bool = False
    snapshot: Any = msgspec.UNSET
    presence: Any = None


class Item(NamedTuple):
    """One thing for the application: an entry, a gap, or both unset for neither.

    ``position`` is where the topic stands after it.
    """

    position: str
    entry: EntryIn | None = None
    gap: tuple[str, int | None] | None = None
    """Reason, and how many are missing."""
    skipped: int | None = 0


class Broken(Exception):
    """What came does not follow: subscribe again from the position."""


class Follower:
    """Where a subscriber is in a topic. ``position`` is the text to subscribe from."""

    def __init__(self, since: str | None) -> None:
        self.position = since
        self.is_answered = False
        self._waiting: list[MessageIn | GapIn] = []

    def asked(self) -> None:
        """A subscribe is on its way."""
        self.is_answered = False
        self._waiting = []

    def answered(self, answer: SubscribedIn) -> list[Item]:
        """Take the answer; return what is new, with what came meanwhile.

        Raises Broken if something in it does not follow.
        """
        self.is_answered = True
        items: list[Item] = []
        if answer.recovered is False:
            reason = answer.reason or "unknown"
            items.append(Item(answer.position, gap=(reason, answer.missed)))
            self.position = None
        elif answer.recovered is None:
            self.position = None  # what comes now is the beginning
        items += self._entries(answer.entries, answer.position, self.position)
        if not _is_before(answer.position, self.position):
            self.position = answer.position
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            items += (
                self.message(each) if isinstance(each, MessageIn) else self.gap(each)
            )
        return items

    def message(self, message: MessageIn) -> list[Item]:
        """Take a message; return what is new in it. Raises Broken."""
        if not self.is_answered:
            self._wait(message)
            return []
        if not message.entries:
            self.position = message.position
            return []
        skipped = message.skipped
        before = None if skipped != 0 else self.position
        items = self._entries(message.entries, message.position, before)
        if skipped != 0 and items:
            items[0] = items[0]._replace(skipped=skipped)
        if items:
            self.position = message.position
        return items

    def gap(self, gap: GapIn) -> list[Item]:
        """Take word of a gap."""
        if not self.is_answered:
            self._wait(gap)
            return []
        self.position = gap.position
        return [Item(gap.position, gap=(gap.reason, gap.missed))]

    def _wait(self, message: MessageIn | GapIn) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise Broken("too much came before the answer to a subscribe")
        self._waiting.append(message)

    def _entries(
        self, entries: list[EntryIn], last: str, before: str | None
    ) -> list[Item]:
        """Return the entries after the position ``before``, None for before anything.

        Raises Broken if they do not follow.
        """
        place = _parsed(before)
        epoch = _parsed(last)
        items: list[Item] = []
        for entry in entries:
            if place is not None and epoch is not None and place.epoch == epoch.epoch:
                if entry.offset <= place.offset:
                    continue  # it has it
                prev = entry.offset - 1 if entry.prev is None else entry.prev
                if not items and prev != place.offset:
                    raise Broken(f"{entry.offset} does not follow {place.offset}")
            elif place is not None:
                raise Broken("another history, without word of it")
            position = last if entry.position is None else entry.position
            items.append(Item(position, entry))
        return items


def _parsed(text: str | None) -> Position | None:
    """Return what a position says; None for one of a later version, say."""
    if text is None:
        return None
    try:
        return Position.parse(text)
    except ValueError:
        return None


def _is_before(one: str, other: str | None) -> bool:
    """Whether a position is before another one of the same history."""
    first, second = _parsed(one), _parsed(other)
    if first is None or second is None or first.epoch != second.epoch:
        return False
    return first.offset < second.offset
