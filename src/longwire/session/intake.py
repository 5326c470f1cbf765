"""Intake: what a connection has received, parsed as far as there is room for it.

Room is in the reader's inbox, in the memory that it and the message under way may
take, and in the turn of the event loop. What has no room waits unparsed, at most two
reads; it is parsed as the reader takes, also when the stream has ended. Decides what
waits and what is dropped. What a control frame means is the session's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.deflate import Codec
from ..core.frames import serialize_close
from ..core.inbox import Inbox
from ..core.protocol import Protocol
from ..options import Limits

__all__ = [
    "DRY",
    "FRAMES",
    "FULL",
    "INFLATED",
    "SPENT",
    "Intake",
    "or_unlimited",
    "protocol_within",
]

DRY, FULL, SPENT = 0, 1, 2
"""Why parsing has stopped: all is parsed; the reader must take; the turn is over."""

# What one connection may do in one turn of the event loop. A peer sends 64 KiB in a
# read; that may inflate to 64 MiB, or be 10,000 frames. 1 MiB of text takes 3.4 ms to
# inflate, and 1,024 messages 0.5 ms, 15 in the pure build. As many connections as
# are ready are read in a turn, so what comes with a read is less: 0.4 ms.
INFLATED = 1 << 20
INFLATED_AT_ONCE = 1 << 17
FRAMES = 1024

# The same where it is compiled: C integers.
_DRY, _FULL, _SPENT = DRY, FULL, SPENT
_AT_ONCE = INFLATED_AT_ONCE


class Intake:
    """The input of one connection; ``waits`` says why ``advance()`` has stopped.

    ``reader_waiting`` says that somebody waits for a message, or ``streaming`` for any
    piece of one; ``held`` that no more input is wanted for now; ``ended`` that no more
    will come; ``leaving`` that nobody will read on, though the peer's close frame is
    still wanted. ``dropped`` counts whole messages that were received for nobody.
    With ``finishes`` a message that has begun is read to its end where the inbox has no
    other, whoever waits for it; with ``raw_control`` control frames are put between the
    messages, for the reader. ``frames`` and ``inflated`` are what one turn of the event
    loop may do.
    """

    def __init__(self, protocol: Protocol, limits: Limits) -> None:
        self.protocol = protocol
        high, low = limits.queued_messages, limits.queued_messages_low
        self.inbox = Inbox(
            or_unlimited(high),
            -1 if high is None else high // 4 if low is None else low,
            or_unlimited(limits.queued_bytes),
        )
        self.waits = _DRY
        self.reader_waiting = False
        self.streaming = False
        self.raw_control = False
        self.finishes = False
        self.held = False
        self.ended = False
        self.leaving = False
        self.dropping = False
        self.dropped = 0
        self.grew = False  # there is more for the reader than before
        self.frames = FRAMES
        self.inflated = INFLATED
        self._left = 0  # frames that this turn may still read
        self.begin_turn(False)

    def begin_turn(self, anew: bool) -> None:
        """Allow for the work of a turn of the event loop, or ``anew`` of a read."""
        self._left = self.frames
        codec = self.protocol.codec
        if codec is not None:
            codec.allowance = self.inflated
            if anew and codec.allowance > _AT_ONCE:
                codec.allowance = _AT_ONCE

    def advance(self) -> tuple[int, Any, bool] | None:
        """Parse on; return the next control frame, or None where it has to stop.

        Raises what ``Protocol.next_event()`` raises.
        """
        self.waits = _DRY
        while True:
            if self.must_wait():
                self.waits = _FULL
                return None
            if self._left == 0:
                self.waits = _SPENT
                return None
            event = self.protocol.next_event()
            if event is None:
                codec = self.protocol.codec
                if codec is not None and codec.pending:
                    self.waits = _SPENT
                return None
            self._left -= 1
            kind = event[0]
            if kind <= 2:
                self._add(event)
            elif self.raw_control:
                self._add_control(event)
            else:
                return event

    def must_wait(self) -> bool:
        """Return whether input has to wait for the reader."""
        inbox = self.inbox
        # Who leaves must see the peer's close frame, whatever lies before it.
        if inbox.count == 0 or self.leaving:
            return False
        # A reader waiting for the rest of a long message must get it, or neither side
        # would ever move; max_size bounds that message.
        goes_on = inbox.whole == 0 and not self.streaming
        if self.held:
            return not goes_on
        if self.ended:
            # What is left is two reads: only what it inflates to may be much.
            return not goes_on and self._is_heavy()
        if 0 <= inbox.high <= inbox.count or self._is_heavy():
            return not (goes_on and (self.reader_waiting or self.finishes))
        return False

    def _is_heavy(self) -> bool:
        """Return whether all that was parsed takes as much memory as it may."""
        most = self.inbox.most
        return 0 <= most <= self.inbox.size + self.protocol.partial()

    def _add(self, event: tuple[int, Any, bool]) -> None:
        # Once something is dropped, all after it is, or messages would have holes.
        if self.leaving and not self.dropping and self.inbox.is_full():
            self.dropping = True
            self.protocol.skip_messages()
        if self.dropping:
            if event[2]:
                self.dropped += 1
            return
        self.inbox.add(event)
        if event[2] or self.streaming:
            self.grew = True

    def _add_control(self, event: tuple[int, Any, bool]) -> None:
        """Put a control frame between the messages, with the payload that it had."""
        kind, payload, _ = event
        if kind == 8:
            code, reason = payload
            payload = serialize_close(None if code == 1005 else code, reason)
        self.inbox.add((kind, payload, True))
        self.grew = True

    def stop(self) -> None:
        """Parse nothing more: what waits is dropped, and its messages are counted."""
        self.dropped += self.protocol.end_input()
        self.waits = _DRY

    def forget(self) -> None:
        """Drop what the reader has not taken, and count its messages."""
        self.dropped += self.inbox.clear()

    def memory(self) -> int:
        """Return the bytes of memory that it takes, output included."""
        return self.inbox.size + self.protocol.memory()


def protocol_within(
    limits: Limits,
    client: bool,
    codec: Codec | None,
    extensions: Sequence[Any],
    random_bytes: Callable[[int], bytes],
) -> Protocol:
    """Return the frame level of one side of a connection, with its limits."""
    return Protocol(
        client,
        max_message=or_unlimited(limits.message),
        max_fragment=or_unlimited(limits.fragment),
        max_fragments=or_unlimited(limits.fragments),
        codec=codec,
        extensions=tuple(extensions),
        random_bytes=random_bytes,
    )


def or_unlimited(limit: int | None) -> int:
    """Return the limit as the compiled layers have it: -1 for none."""
    return -1 if limit is None else limit
