"""Outbox: messages for many that wait while a peer is slow, and may be dropped.

What has been written can no longer be taken back, and a frame may not be cut; so a
broadcast that its peer has no room for waits here, not encoded, and leaves when there
is room. Decides what is dropped; knows nothing of the wire.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

__all__ = ["DROPPED", "GIVEN_UP", "REFUSED", "SENT", "WAITS", "Message", "Outbox"]

# What became of a message, and what is added for each older one that was dropped.
SENT, WAITS, REFUSED, GIVEN_UP = 0, 1, 2, 3
DROPPED = 4


class Message(Protocol):
    """What waits: a :class:`longwire.forms.Forms`."""

    opcode: int
    payload: bytes

    def frame_for(self, session: Any) -> bytes | None:
        """Return the frame, to be sent at once, or None: to be sent by itself."""


class Outbox:
    """What waits for one connection, the oldest first.

    ``size`` is the bytes of all payloads, though connections share them. At most
    ``messages`` wait that may be dropped; None is no limit.
    """

    def __init__(self, messages: int | None) -> None:
        self._most = messages
        self._count = 0
        self._waiting: dict[Hashable, tuple[Message, bool]] = {}
        self._droppable = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: Message) -> None:
        """Append a message that must not be dropped."""
        self._put(self._new_place(), message, False)

    def add_droppable(
        self, message: Message, slow: str, key: Hashable, room: int | None
    ) -> tuple[bool, int]:
        """Append a message that may be dropped; say if it was not, and how many were.

        ``room`` is what all payloads may have. The oldest are dropped to make room; if
        that is not enough, the new one is. Where ``slow`` is "latest_only", the one
        that waits under the same ``key`` is dropped, and the new one has its place.
        """
        latest = slow == "latest_only"
        place: Hashable = ("latest", key) if latest else self._new_place()
        dropped = 0
        old = self._waiting.get(place)
        if old is not None:
            self._discount(*old)
            dropped += 1
        for other, (_, may_go) in list(self._waiting.items()):
            if self._fits(message, room):
                break
            if may_go and other != place:
                self._remove(other)
                dropped += 1
        if self._fits(message, room):
            self._put(place, message, True)
            return True, dropped
        if old is not None:
            del self._waiting[place]
        return False, dropped + 1

    def _fits(self, message: Message, room: int | None) -> bool:
        if self._most is not None and self._droppable >= self._most:
            return False
        return room is None or self.size + len(message.payload) <= room

    def _new_place(self) -> int:
        self._count += 1
        return self._count

    def _put(self, place: Hashable, message: Message, may_go: bool) -> None:
        self._waiting[place] = message, may_go
        self._droppable += may_go
        self.size += len(message.payload)

    def _remove(self, place: Hashable) -> Message:
        message, may_go = self._waiting.pop(place)
        self._discount(message, may_go)
        return message

    def _discount(self, message: Message, may_go: bool) -> None:
        self._droppable -= may_go
        self.size -= len(message.payload)

    def hand_over(self, session: Any, most: int | None) -> None:
        """Move what waits to the session's output, until that has ``most`` bytes."""
        protocol = session.protocol
        while self._waiting and (most is None or protocol.output_size < most):
            message = self._remove(next(iter(self._waiting)))
            try:
                frame = message.frame_for(session)
                if frame is None:
                    protocol.send_message(message.opcode, message.payload)
                else:
                    protocol.send_encoded(frame)
            except Exception:
                # An extension failed, long after the call that could have been told.
                session.dropped += 1
                if protocol.codec is not None:
                    protocol.codec.forget()
        if not self._waiting:
            session.outbox = None
