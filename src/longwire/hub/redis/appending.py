"""Appends: the command that publishes a message, most of which was written before.

Of its 16 arguments only data, tag and epoch differ from message to message of a topic.
To make the others of names and numbers, and to pack all 16, was a fifth of what a
publish costs (bench/hub.py --only publish).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hiredis

from ..broker import Storage
from ..memory import new_epoch
from .keys import Keys
from .resp import Argument
from .scripts import APPEND

__all__ = ["Append", "Appends", "append_arguments"]

MOST = 2000
"""Topics whose commands are kept, about 1 KiB each."""


def append_arguments(
    keys: Keys,
    data: bytes,
    tag: int,
    storage: Storage,
    verb: str,
    *,
    id: str | None = None,
    again: bool = False,
) -> tuple[list[str], list[Argument]]:
    """Return the keys and the arguments that ``APPEND`` takes for a message."""
    return (
        [keys.meta, keys.stream, keys.meta if id is None else keys.id(id)],
        [
            data,
            tag,
            storage.history,
            milliseconds(storage.ttl),
            milliseconds(storage.meta_ttl),
            keys.channel,
            new_epoch(),
            int(again),
            0 if id is None else milliseconds(storage.idempotency),
            verb,
        ],
    )


def milliseconds(seconds: float) -> int:
    """Return a time as Redis takes it."""
    return max(1, int(seconds * 1000))


class Append:
    """How messages of one topic are published, at the first attempt and without id."""

    __slots__ = ("_after_epoch", "_before_data", "_before_epoch", "storage", "tag")

    def __init__(self, keys: Keys, storage: Storage, verb: str) -> None:
        self.storage = storage
        self.tag = keys.tag
        """The hash tag of its keys: it says which server has them."""
        names, arguments = append_arguments(keys, b"", 0, storage, verb)
        head: list[Argument] = ["EVALSHA", APPEND.sha, len(names), *names]
        count = b"*%d\r\n" % (len(head) + len(arguments))
        self._before_data = count + _packed(head)
        self._before_epoch = _packed(arguments[2:6])
        self._after_epoch = _packed(arguments[7:])

    def command(self, data: bytes, tag: int) -> bytes:
        """Return the command that publishes ``data``, as it is sent."""
        number = b"%d" % tag
        epoch = new_epoch().encode()
        return b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n%b$%d\r\n%b\r\n%b" % (
            self._before_data,
            len(data),
            data,
            len(number),
            number,
            self._before_epoch,
            len(epoch),
            epoch,
            self._after_epoch,
        )


class Appends:
    """An ``Append`` for each topic that was published to lately."""

    def __init__(self, namespace: str, verb: str) -> None:
        self.verb = verb
        """``PUBLISH``, or ``SPUBLISH`` where servers share the topics."""
        self._namespace = namespace
        self._known: dict[str, Append] = {}

    def of(self, topic: str, storage: Storage) -> Append:
        """Return how messages of a topic are published."""
        found = self._known.get(topic)
        if found is None or found.storage is not storage:
            if len(self._known) >= MOST:
                self._known.clear()
            keys = Keys(self._namespace, topic)
            found = self._known[topic] = Append(keys, storage, self.verb)
        return found


def _packed(arguments: Sequence[Argument]) -> bytes:
    """Return arguments as they stand in a command, without their number."""
    command: Any = tuple(arguments)
    packed: bytes = hiredis.pack_command(command)
    return packed.partition(b"\r\n")[2]
