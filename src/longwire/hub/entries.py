"""Entries of a topic and positions between them.

A position is *epoch* (which history), *offset* (where) and *tag* (which message stood
there). A broker may lose the end of its history and issue the same offsets again: the
epoch and the offset are then right and the message is another one. Only the tag shows
it, so only a position whose tag was found is ever called complete.
"""

from __future__ import annotations

import bisect
import enum
import re
import sys
from collections.abc import Iterable
from typing import NamedTuple

__all__ = [
    "ENTRY_OVERHEAD",
    "MAX_OFFSET",
    "MAX_POSITION",
    "MAX_TAG",
    "Entry",
    "Page",
    "Position",
    "Run",
    "Verdict",
    "judge",
]

MAX_OFFSET = (1 << 53) - 1
"""Largest offset: every integer up to here is exact in JSON, JavaScript and Lua."""

MAX_TAG = (1 << 48) - 1
"""Largest tag: 48 random bits."""

MAX_POSITION = 64
"""Longest position as text, in characters; they are all ASCII."""

# An Entry of seven fields (112 bytes), its offset, prev, tag and time (3 × 32 + 24),
# and places in two lists; epoch and prev tag are shared with the entries beside it.
# sys.getsizeof() of each, CPython 3.11.
ENTRY_OVERHEAD = 256
"""Bytes that an entry takes in memory beside those of its ``data``."""

_POSITION = re.compile(
    r"([0-9A-Za-z_-]{1,16})\.(0|[1-9]\d{0,15})\.(0|[1-9a-f][0-9a-f]{0,11})"
)


class Position(NamedTuple):
    """A place in the history of one topic. ``str()`` is what clients keep."""

    epoch: str
    offset: int
    """1 for the first entry; 0 stands before it."""
    tag: int
    """The tag of the entry at ``offset``; 0 at offset 0."""

    def __str__(self) -> str:
        return f"{self.epoch}.{self.offset}.{self.tag:x}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return the position that ``text`` says; ValueError if it says none."""
        match = _POSITION.fullmatch(text) if len(text) <= MAX_POSITION else None
        # fullmatch() lets other digits than ASCII's through \d.
        if match is not None and text.isascii():
            position = cls(match[1], int(match[2]), int(match[3], 16))
            if position.offset <= MAX_OFFSET and bool(position.tag) <= position.offset:
                return position
        shown = ascii(text[:MAX_POSITION])
        raise ValueError(
            f"{shown} is not a position: give back what an earlier answer or "
            "message had as its position"
        )


class Entry(NamedTuple):
    """One message of a topic, as a broker stores it."""

    epoch: str
    offset: int
    prev: int
    """The offset of the entry before it on this topic, 0 for the first."""
    tag: int
    prev_tag: int | None
    """The tag of the entry before it; None where the broker does not tell."""
    at: float
    """When it was stored, in seconds since 1970 by the broker's clock."""
    data: bytes
    """What was published, headers included, as ``payloads.py`` writes it."""

    @property
    def position(self) -> Position:
        """The position after this entry."""
        return Position(self.epoch, self.offset, self.tag)

    @property
    def size(self) -> int:
        """Bytes that it takes in memory."""
        return sys.getsizeof(self.data) + ENTRY_OVERHEAD


class Verdict(enum.StrEnum):
    """Whether everything after a position can be given; if not, why."""

    COMPLETE = "complete"
    EPOCH = "epoch"
    """The topic has another history now: the broker's was lost, or cleared."""
    TRIMMED = "trimmed"
    """The position's entry is stored no more: by number, age, or eviction."""
    AHEAD = "ahead"
    """The topic does not reach as far: the broker went back."""
    FORK = "fork"
    """Another message has that offset: the broker went back and on."""
    NO_HISTORY = "no-history"
    """The topic stores nothing, and something was published since."""


def judge(
    since: Position,
    top: Position,
    *,
    keeps: bool,
    first_prev: int | None = None,
    tag_at: int | None = None,
) -> Verdict:
    """Return whether all entries after ``since`` are at hand.

    ``top`` is the topic's newest position and ``keeps`` whether it stores entries. Of
    those stored, ``first_prev`` is the oldest one's ``prev`` and ``tag_at`` the tag of
    the one at the offset of ``since``; None where there is none.
    """
    if since.epoch != top.epoch:
        return Verdict.EPOCH
    if since.offset > top.offset:
        return Verdict.AHEAD
    if since.offset == top.offset:
        return Verdict.COMPLETE if since.tag == top.tag else Verdict.FORK
    if not keeps:
        return Verdict.NO_HISTORY
    if since.offset == 0:
        return Verdict.COMPLETE if first_prev == 0 else Verdict.TRIMMED
    if tag_at is None:
        return Verdict.TRIMMED
    return Verdict.COMPLETE if tag_at == since.tag else Verdict.FORK


class Page(NamedTuple):
    """What a broker answers to a read."""

    verdict: Verdict
    entries: list[Entry]
    """Forwards: those after the position, oldest first. In reverse: newest first."""
    top: Position
    """The newest position of the topic at the moment of the read."""
    more: bool
    """Whether there are more stored in the direction of the read."""
    now: float = 0.0
    """The time of the read by the broker's clock, as in `Entry.at`."""


class Run:
    """Entries of one epoch that follow each other, and the position before them.

    ``base`` is None where that is not known: the run was read from its end.
    """

    __slots__ = ("_offsets", "base", "entries", "size")

    def __init__(self, base: Position | None, entries: Iterable[Entry] = ()) -> None:
        self.base = base
        self.entries: list[Entry] = []
        self._offsets: list[int] = []
        self.size = 0
        for entry in entries:
            self.append(entry)

    def append(self, entry: Entry) -> None:
        """Add the entry that follows."""
        self.entries.append(entry)
        self._offsets.append(entry.offset)
        self.size += entry.size

    def drop(self, count: int) -> None:
        """Forget the oldest ``count`` entries."""
        if count <= 0:
            return
        last = self.entries[count - 1]
        self.size -= sum(entry.size for entry in self.entries[:count])
        self.base = last.position
        del self.entries[:count]
        del self._offsets[:count]

    @property
    def end(self) -> Position | None:
        """The position after the last entry; None if nothing is known at all."""
        return self.entries[-1].position if self.entries else self.base

    @property
    def is_whole(self) -> bool:
        """Whether it begins with the topic's first entry."""
        if self.entries:
            return self.entries[0].prev == 0
        return self.base is not None and self.base.offset == 0

    def find(self, position: Position) -> int | None:
        """Return the index of what follows ``position``; None if that is not in it."""
        if self.base is not None and position == self.base:
            return 0
        index = bisect.bisect_left(self._offsets, position.offset)
        if index == len(self.entries):
            return None
        entry = self.entries[index]
        if entry.tag == position.tag and entry.offset == position.offset:
            return index + 1 if entry.epoch == position.epoch else None
        if index == 0 and entry.prev == position.offset == 0 == position.tag:
            return 0 if entry.epoch == position.epoch else None
        return None

    def tag_at(self, offset: int) -> int | None:
        """Return the tag of the entry at ``offset``, None if it is not in the run."""
        index = bisect.bisect_left(self._offsets, offset)
        if index < len(self.entries) and self._offsets[index] == offset:
            return self.entries[index].tag
        if self.base is not None and self.base.offset == offset:
            return self.base.tag
        return None
