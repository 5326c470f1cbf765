"""Forms: one message, encoded for many connections, as seldom as possible.

Broadcasts of all front ends use it. Connections that agreed on the same thing share
the same bytes; the others get their own. Knows nothing of how bytes are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from ..core import frames
from ..core.deflate import Codec, Stream
from .backlog import GIVEN_UP, SENT, offer_to_slow
from .session import Session

__all__ = ["Forms"]

RSV1 = 4
"""The mark of a compressed message (RFC 7692 section 6), as ``frames`` has it."""

MAX_STREAMS = 4
"""Contexts that the receivers of one message may share among them. Where there are
more, for connections came or were sent other things, all start anew with one."""

Kind = tuple[Any, ...]
"""``Codec.kind``: what codecs have in common whose output may be the same."""


class _Part:
    """The message as one compressor made it; the ``at``-th message of its stream."""

    __slots__ = ("at", "data", "frame", "stream")

    def __init__(self, opcode: int, data: bytes, stream: Stream | None = None) -> None:
        self.data = data
        self.frame = frames.encode(opcode, data, True, RSV1, None)
        self.stream = stream
        self.at = 0 if stream is None else stream.messages


class Forms:
    """One whole message in every form that is asked for.

    ``random_bytes`` is a source of unpredictable masking keys. Call ``settle()`` when
    all connections have been asked for that get the message at once; those that get it
    later do not take a stream further.
    """

    __slots__ = (
        "_alone",
        "_first",
        "_next",
        "_plain",
        "_random_bytes",
        "_settled",
        "_streams",
        "opcode",
        "payload",
    )

    def __init__(
        self, opcode: int, payload: bytes, random_bytes: Callable[[int], bytes]
    ) -> None:
        self.opcode = opcode
        self.payload = payload
        self._random_bytes = random_bytes
        self._plain: bytes | None = None
        # Compressed by itself, going on with a stream, beginning one. Made at first
        # use: thousands may wait for a slow peer, and an empty dict takes 64 bytes.
        self._alone: dict[Kind, _Part] | None = None
        self._next: dict[Stream, _Part] | None = None
        self._first: dict[Kind, _Part] | None = None
        self._streams: dict[Kind, list[Stream]] | None = None
        self._settled = False

    def offer_to(
        self, session: Session, slow: str, key: Hashable, unsent: int, now: float
    ) -> int:
        """Send it to one connection, or let it wait: what ``Session.offer`` does."""
        if session.outbox is not None or session.fragmenting or not session.writable:
            return offer_to_slow(session, self, slow, key, unsent, now)
        try:
            frame = self.frame_for(session)
            if frame is None:
                session.send(self.opcode, self.payload, True, True)
            elif not session.send_encoded(frame, unsent, now):
                return GIVEN_UP
        except BaseException:
            if session.protocol.codec is not None:
                session.protocol.codec.forget()  # the peer does not get what it made
            raise
        return SENT

    def frame_for(self, session: Session) -> bytes | None:
        """Return the frame for ``session.send_encoded()``, to be sent at once.

        None where nothing can be encoded beforehand: use ``session.send()``.
        """
        protocol = session.protocol
        if protocol.extensions:
            return None  # extensions that we do not know may keep state
        codec = protocol.codec
        if codec is None or not codec.should_compress(len(self.payload)):
            if session.client:
                return self._masked(self.payload, 0)
            if self._plain is None:
                self._plain = frames.encode(self.opcode, self.payload, True, 0, None)
            return self._plain
        part = self._part_for(codec)
        return self._masked(part.data, RSV1) if session.client else part.frame

    def copy(self) -> Forms:
        """Return the same message in no form yet: for another thread."""
        return Forms(self.opcode, self.payload, self._random_bytes)

    def settle(self) -> None:
        """Let no stream go on with this message any more, and none where many do."""
        self._settled = True
        if self._streams is None:
            return
        for streams in self._streams.values():
            if len(streams) > MAX_STREAMS:
                for stream in streams:
                    stream.end()
        self._streams = None

    def _masked(self, data: bytes, rsv: int) -> bytes:
        # RFC 6455 section 5.3: every frame of a client has a mask of its own.
        return frames.encode(self.opcode, data, True, rsv, self._random_bytes(4))

    def _part_for(self, codec: Codec) -> _Part:
        if codec.keeps_ours:
            return self._streamed(codec) or self._own(codec) or self._anew(codec)
        if self._alone is None:
            self._alone = {}
        part = self._alone.get(codec.kind)
        if part is None:
            data = codec.compress(self.payload, True)
            part = self._alone[codec.kind] = _Part(self.opcode, data)
        return part

    def _streamed(self, codec: Codec) -> _Part | None:
        """Return the part of the stream that the peer got last, if it can follow."""
        stream = codec.shared
        if stream is None:
            return None
        if self._next is None:
            self._next = {}
        part = self._next.get(stream)
        if part is None:
            if self._settled or not codec.follows(stream, stream.messages):
                return None
            if not stream.open:
                return None
            part = self._compress(codec.kind, stream)
            self._next[stream] = part
        elif not codec.follows(stream, part.at - 1):
            return None
        codec.share(stream, part.at)
        return part

    def _own(self, codec: Codec) -> _Part | None:
        """Return what the connection's own context makes of it, if that pays."""
        if not codec.prefers_own(len(self.payload)):
            return None
        return _Part(self.opcode, codec.compress_for_many(self.payload))

    def _anew(self, codec: Codec) -> _Part:
        """Return the beginning of a stream, which every peer can read."""
        if self._first is None:
            self._first = {}
        part = self._first.get(codec.kind)
        if part is None:
            part = self._compress(codec.kind, Stream(codec.kind))
            self._first[codec.kind] = part
        assert part.stream is not None
        codec.share(part.stream, part.at)
        return part

    def _compress(self, kind: Kind, stream: Stream) -> _Part:
        if not self._settled:
            if self._streams is None:
                self._streams = {}
            self._streams.setdefault(kind, []).append(stream)
        return _Part(self.opcode, stream.compress(self.payload), stream)
