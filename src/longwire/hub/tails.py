"""Tails: the newest entries of each topic, kept within a budget for all of them."""

from __future__ import annotations

from .entries import Entry
from .feeds import Feed
from .payloads import key_of

__all__ = ["Tails"]


class Tails:
    """How much the tails take, and whose turn it is to lose its own.

    ``each`` and ``all`` are bytes, None for no limit.
    """

    def __init__(self, each: int | None, all: int | None) -> None:
        self.each = each
        self.all = all
        self.size = 0
        """Bytes of all of them."""
        self._sizes: dict[Feed, int] = {}  # the least recently grown first

    def grown(self, feed: Feed) -> None:
        """A tail is another one, or has one entry more."""
        feed.trim_tail(self.each)
        size = feed.tail.size + feed.newest_size
        self.size += size - self._sizes.pop(feed, 0)
        self._sizes[feed] = size
        while self.all is not None and self.size > self.all:
            oldest = next(iter(self._sizes))
            self.size -= self._sizes.pop(oldest)
            oldest.tail.drop(len(oldest.tail.entries))
            oldest.forget_newest()

    def keep_newest(self, feed: Feed, entry: Entry) -> None:
        """Keep the newest entry of a key; call ``grown()`` after it."""
        feed.keep_newest(key_of(entry.data), entry, self.each)

    def forget(self, feed: Feed) -> None:
        """A feed has no tail any more."""
        self.size -= self._sizes.pop(feed, 0)
