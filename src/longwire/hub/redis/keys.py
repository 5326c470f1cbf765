"""Keys: how topics are called in Redis, and which slot of a cluster they are in.

Everything of one topic shares a hash tag, so that a script can have all of it, and
there are 128 tags, so that topics can be named in batches. Tags are chosen to be spread
evenly over the 16,384 slots, however few servers share them.
"""

from __future__ import annotations

import functools
import zlib

__all__ = ["PARTITIONS", "SLOTS", "Keys", "key_slot", "partition_of", "tags"]

SLOTS = 16384
PARTITIONS = 128

_CRC16 = []
for _byte in range(256):
    _crc = _byte << 8
    for _ in range(8):
        _crc = (_crc << 1) ^ 0x1021 if _crc & 0x8000 else _crc << 1
    _CRC16.append(_crc & 0xFFFF)


def key_slot(data: bytes) -> int:
    """Return the slot of a key, or of what is its hash tag: CRC-16/XMODEM."""
    crc = 0
    for byte in data:
        crc = ((crc << 8) & 0xFFFF) ^ _CRC16[(crc >> 8) ^ byte]
    return crc % SLOTS


@functools.cache
def tags() -> tuple[str, ...]:
    """Return the hash tag of each partition.

    The tag of partition n is the first of ``0``, ``1``, ``2``, … whose slot is among
    the 128 slots from 128 n on. Never change this: keys in use have these names.
    """
    width = SLOTS // PARTITIONS
    found: dict[int, str] = {}
    number = 0
    while len(found) < PARTITIONS:
        tag = str(number)
        found.setdefault(key_slot(tag.encode()) // width, tag)
        number += 1
    return tuple(found[n] for n in range(PARTITIONS))


def partition_of(topic: str) -> int:
    """Return the partition of a topic."""
    return zlib.crc32(topic.encode()) % PARTITIONS


class Keys:
    """The names of one topic's keys."""

    __slots__ = ("_head", "tag", "topic")

    def __init__(self, namespace: str, topic: str, tag: str | None = None) -> None:
        self.topic = topic
        self.tag = tags()[partition_of(topic)] if tag is None else tag
        self._head = f"{namespace}:{{{self.tag}}}"

    @property
    def meta(self) -> str:
        """A text: epoch, top offset and top tag."""
        return f"{self._head}:m:{self.topic}"

    @property
    def stream(self) -> str:
        """The entries; an id is offset and tag."""
        return f"{self._head}:s:{self.topic}"

    def id(self, id: str) -> str:
        """A text: the place of the message with that id."""
        # With the length, or "a:b" and "c" were the same as "a" and "b:c".
        return f"{self._head}:i:{len(self.topic)}:{self.topic}:{id}"

    @property
    def channel(self) -> str:
        """The live feed."""
        return f"{self._head}:c:{self.topic}"

    @property
    def presence(self) -> tuple[str, str, str]:
        """A sorted set of leases, a hash of members, a hash of users with counts."""
        head, topic = self._head, self.topic
        return f"{head}:p:{topic}", f"{head}:x:{topic}", f"{head}:u:{topic}"
