"""Outbox: messages for many that wait while a peer is slow, and may be dropped.

What has been written can no longer be taken back, and a frame may not be cut; so a
broadcast that its peer has no room for waits here, not encoded, and leaves when there
is room. Decides what is dropped; knows nothing of the wire.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Any, Protocol

from ..errors import PayloadTooBig

__all__ = [
    "DROPPED",
    "GIVEN_UP",
    "REFUSED",
    "SENT",
    "WAITS",
    "Message",
    "Outbox",
    "is_too_much",
    "offer_to_slow",
    "slow_consumer",
]

# What became of a message, and what is added for each older one that was dropped.
SENT, WAITS, REFUSED, GIVEN_UP = 0, 1, 2, 3
DROPPED = 4

# Bytes of memory that a waiting message takes beside its payload: the message's object
# with the head of one frame (560), its place here (250). Measured by
# tests/session/test_backlog.py on both builds.
_PLACE = 850


class Message(Protocol):
    """What waits: a :class:`longwire.session.shared_frames.Forms`."""

    opcode: int
    payload: bytes

    def frame_for(self, session: Any) -> bytes | None:
        """Return the frame, to be sent at once, or None: to be sent by itself."""

    def offer_to(
        self, session: Any, slow: str, key: Hashable, unsent: int, now: float
    ) -> int:
        """Send it, or let it wait; see :meth:`.Session.offer`."""


class Outbox:
    """What waits for one connection, the oldest first.

    ``size`` is the bytes of memory that it takes, though connections share messages. At
    most ``messages`` wait that may be dropped; None is no limit.
    """

    def __init__(self, messages: int | None) -> None:
        self._most = messages
        self._count = 0
        self._waiting: OrderedDict[Hashable, tuple[Message, bool]] = OrderedDict()
        self._droppable: deque[Hashable] = deque()  # where the droppable ones are
        self.size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: Message) -> None:
        """Append a message that must not be dropped."""
        self._waiting[self._new_place()] = message, False
        self.size += _cost(message)

    def add_droppable(
        self, message: Message, slow: str, key: Hashable, unsent: int, most: int | None
    ) -> tuple[bool, int]:
        """Append a message that may be dropped; say if it was not, and how many were.

        ``most`` is what all may take with the ``unsent`` bytes of the wire. The oldest
        are dropped to make room; if that is not enough, the new one is. Where ``slow``
        is "latest_only", the one that waits under the same ``key`` is dropped, and the
        new one has its place.
        """
        latest = slow == "latest_only"
        place: Hashable = ("latest", key) if latest else self._new_place()
        replaces = place in self._waiting
        dropped = 0
        if replaces:
            self.size -= _cost(self._waiting[place][0])
            dropped += 1
        passed = 0  # the one to be replaced stays where it is
        while not self._fits(message, unsent, most, replaces):
            if len(self._droppable) <= passed:
                break
            other = self._droppable[passed]
            if other == place:
                passed = 1
            else:
                del self._droppable[passed]
                self.size -= _cost(self._waiting.pop(other)[0])
                dropped += 1
        if self._fits(message, unsent, most, replaces):
            self._waiting[place] = message, True
            self.size += _cost(message)
            if not replaces:
                self._droppable.append(place)
            return True, dropped
        if replaces:
            del self._waiting[place]
            self._droppable.remove(place)
        return False, dropped + 1

    def _fits(
        self, message: Message, unsent: int, most: int | None, replaces: bool
    ) -> bool:
        if self._most is not None and len(self._droppable) - replaces >= self._most:
            return False
        return not is_too_much(unsent + self.size, _cost(message), most)

    def _new_place(self) -> int:
        self._count += 1
        return self._count

    def _take(self) -> tuple[Message, bool]:
        """Remove and return the oldest, and whether it may be dropped."""
        place, (message, may_go) = next(iter(self._waiting.items()))
        del self._waiting[place]
        if may_go:
            self._droppable.popleft()
        self.size -= _cost(message)
        return message, may_go

    def hand_over(self, session: Any, most: int | None) -> None:
        """Move what waits to the session's output, until that has ``most`` bytes."""
        protocol = session.protocol
        while self._waiting and (most is None or protocol.output_size < most):
            message, may_go = self._take()
            try:
                frame = message.frame_for(session)
                if frame is None:
                    protocol.send_message(message.opcode, message.payload)
                else:
                    protocol.send_encoded(frame)
            except Exception as exc:
                # An extension failed, long after the call that could have been told.
                session.dropped += 1
                if protocol.codec is not None:
                    protocol.codec.forget()
                if not may_go:
                    session.fail(exc, session.told)  # none may be missing
                    return
        if not self._waiting:
            session.outbox = None


def _cost(message: Message) -> int:
    return len(message.payload) + _PLACE


def is_too_much(waiting: int, more: int, most: int | None) -> bool:
    """Return whether ``more`` bytes are too many where so many wait.

    A message that is large by itself is not: as long as less than half of ``most``
    waits, it goes beyond it.
    """
    return most is not None and waiting + more > most and 2 * waiting >= most


def slow_consumer(waiting: int, most: int | None) -> PayloadTooBig:
    """Return the error of a connection that is given up: too much waits for it."""
    error = PayloadTooBig(
        f"slow consumer: {waiting} unsent bytes; {most} are allowed",
        most,
        limit="unsent_bytes",
    )
    error.code = 1008
    return error


def offer_to_slow(
    session: Any, message: Message, slow: str, key: Hashable, unsent: int, now: float
) -> int:
    """Let a message wait for a session, or do with it what ``slow`` says.

    Returns what :meth:`longwire.session.session.Session.offer` does.
    """
    limits = session.limits
    outbox: Outbox = session.outbox or Outbox(limits.unsent_messages)
    if slow == "disconnect":
        if session.gives_up(unsent + outbox.size, _cost(message), now):
            return GIVEN_UP
        outbox.add(message)
        session.outbox = outbox
        return WAITS
    waits, dropped = outbox.add_droppable(
        message, slow, key, unsent, limits.unsent_bytes
    )
    session.dropped += dropped
    session.outbox = outbox if len(outbox) else None
    # One that is refused is not an older one.
    return DROPPED * dropped + (WAITS if waits else REFUSED - DROPPED)
