"""permessage-deflate: RFC 7692 section 7, one codec for each connection.

Compresses and decompresses payloads; contexts are made on first use and dropped when
the agreement says that they are not kept. Knows nothing of frames.
"""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

from ..errors import PayloadTooBig, ProtocolError
from ..messages import Deflate, Frame
from .backends import ERRORS, Maker, makers

# Section 7.2.1: an empty block without compression, which is not sent.
TAIL = b"\x00\x00\xff\xff"
# What follows an early end is inflated in slices, for each end copies what is left.
_SLICE = 4096
# Ends of the deflate stream in one message; each costs a new context.
_MAX_ENDS = 4096
_UNLIMITED = (1 << 63) - 1
# Bytes from which a message without context shrinks nearly as much as one with it:
# 1 KiB of JSON to 0.36 of it instead of 0.19, 100 bytes to 0.89 instead of 0.20.
_LONG = 1024


# Compressors that are at rest between messages without context, by their settings.
# A full flush makes them forget what came before, as a new one would; Python has no
# other reset. At 120 bytes that costs 5.2 µs where a new one costs 5.3 (window 12) or
# 31 (window 15), and copy() of a fresh one more than either. Inflaters are not pooled:
# a new one costs 0.2 µs, and what a peer sends could refer to what another one sent.
_POOL: dict[tuple[Any, ...], list[Any]] = {}
_POOLED = 4  # of one kind; each thread that sends takes one


class Codec:
    """Both directions of permessage-deflate for one connection.

    ``compressobj`` and ``decompressobj``, if given, take the place of the backend's
    that was agreed on; they are called as those of :mod:`zlib` are.
    """

    def __init__(
        self,
        agreed: Deflate,
        client: bool,
        compressobj: Maker | None = None,
        decompressobj: Maker | None = None,
    ) -> None:
        """``client``: the side we are."""
        server = (agreed.server_max_window_bits, agreed.server_no_context_takeover)
        peer = (agreed.client_max_window_bits, agreed.client_no_context_takeover)
        ours, theirs = (peer, server) if client else (server, peer)
        # zlib makes a window of 9 when asked for 8, which a peer could not read.
        _check_bits("our window", ours[0], 9)
        _check_bits("the peer's window", theirs[0], 8)
        self.min_size = agreed.min_size
        self.our_bits, drop_ours = ours
        self.peer_bits, drop_theirs = theirs
        self.keeps_ours = not drop_ours
        self.keeps_theirs = not drop_theirs
        deflating, inflating = makers(agreed.backend, agreed.level)
        self._decompressobj = decompressobj or inflating
        # Equal for two codecs whose compressors may stand in for each other.
        self.kind: tuple[Any, ...] = (
            compressobj or deflating,
            (agreed.level, zlib.DEFLATED, -self.our_bits, agreed.mem_level),
        )
        self._pooled = not self.keeps_ours and compressobj is None
        self._deflater: Any = None
        self._inflater: Any = None
        # What the peer's context consists of, if not of what our own compressor made:
        # the first ``shared_at`` messages of a stream.
        self.shared: Stream | None = None
        self.shared_at = 0
        self.shared_run = 0
        # The last output, kept only where an early end of the deflate stream may call
        # for a new context that refers to it.
        self._window = bytearray()
        self._ends = 0
        self._ended_early = False

    def should_compress(self, size: int) -> bool:
        """Return whether a message of this size is worth it."""
        return size >= self.min_size

    def compress(self, payload: bytes, fin: bool) -> bytes:
        """Return one fragment of a message, compressed; ``fin``: the last one."""
        deflater = self._deflater
        if deflater is None:
            # A context that the peer shares with others is one ours knows nothing of:
            # a new one refers to nothing.
            self.shared = None
            deflater = self._deflater = self._new_deflater()
        self.shared_run = 0
        data: bytes = deflater.compress(payload)
        if not fin or self.keeps_ours:
            data += deflater.flush(zlib.Z_SYNC_FLUSH)
            if not fin:
                return data
        else:
            data += deflater.flush(zlib.Z_FULL_FLUSH)
            self._deflater = None
            if self._pooled:
                _give_back(self.kind, deflater)
        # A flush with nothing new to write gives nothing: section 7.2.3.6.
        return data[:-4] if data else b"\x00"

    def _new_deflater(self) -> Any:
        if self._pooled:
            return _take(self.kind)
        return self.kind[0](*self.kind[1])

    # --- contexts shared with other connections ---

    def prefers_own(self, size: int) -> bool:
        """Return whether our own context is worth more than sharing a message.

        It is for a short message, if those before it were not for many: without
        context it would hardly shrink.
        """
        return self._deflater is not None and self.shared_run == 0 and size < _LONG

    def compress_for_many(self, payload: bytes) -> bytes:
        """Return a whole message, which others get too, compressed for this peer."""
        data = self.compress(payload, True)
        self.shared_run = 1
        return data

    def follows(self, stream: Stream, at: int) -> bool:
        """Return whether the peer got the stream's first ``at`` messages last."""
        return self.shared is stream and self.shared_at == at

    def share(self, stream: Stream, at: int) -> None:
        """Note that the peer gets the stream's message that is its ``at``-th.

        It must be the stream's first, or follow those that the peer got last.
        """
        self.shared = stream
        self.shared_at = at
        # What ours refers to no longer is what the peer got last.
        self._deflater = None

    def forget(self) -> None:
        """Start anew: it is not known whether the peer gets what was compressed."""
        self.shared = None
        self._deflater = None

    def decompress(self, payload: bytes, fin: bool, max_size: int) -> bytes:
        """Return one fragment of a message, or a part of one, decompressed.

        Raises PayloadTooBig as soon as there are more than ``max_size`` bytes, and
        ProtocolError (1007) if the data is corrupt.
        """
        if self._inflater is None:
            self._new_inflater()
        data = payload + TAIL if fin else payload
        try:
            if self._inflater.eof:
                out = self._read_on(b"", data, fin, max_size)
            else:
                out = self._inflate(data, max_size)
                if self._inflater.eof:
                    rest = self._inflater.unused_data
                    out = self._read_on(out, rest, fin, max_size)
                elif self._ended_early or not fin:
                    self._note(out)
        except ERRORS as exc:
            raise ProtocolError(
                f"compressed data is corrupt: {exc}", code=1007
            ) from None
        if fin:
            self._end_message()
        return out

    def _new_inflater(self) -> None:
        bits = self.peer_bits
        if self._window:
            history = bytes(self._window[-(1 << bits) :])
            self._inflater = self._decompressobj(-bits, history)
        else:
            self._inflater = self._decompressobj(-bits)

    def _inflate(self, data: bytes, budget: int) -> bytes:
        """Return what the data inflates to; PayloadTooBig if over the budget."""
        if budget < 0 or budget >= _UNLIMITED:
            return self._inflater.decompress(data)  # type: ignore[no-any-return]
        # One more than allowed, so that a budget of 0 is not zlib's "no limit".
        out: bytes = self._inflater.decompress(data, budget + 1)
        if len(out) > budget:
            raise PayloadTooBig(None, budget)
        return out

    def _read_on(self, out: bytes, rest: bytes, fin: bool, max_size: int) -> bytes:
        """Go on after a last block that came before the end of the message.

        Section 7.2.3.4: the peer flushed with BFINAL. What follows is another
        deflate stream, which may refer to what came before.
        """
        parts = [out]
        size = len(out)
        pos = 0
        self._ended_early = True
        self._note(out)
        while pos < len(rest):
            if self._inflater.eof:
                self._count_end()
                self._new_inflater()
                # A peer that sends no empty block after its last leaves ours alone.
                if fin and rest[pos:] == TAIL:
                    break
            piece = rest[pos : pos + _SLICE]
            out = self._inflate(piece, max_size - size if max_size >= 0 else -1)
            pos += len(piece) - len(self._inflater.unused_data)
            size += len(out)
            parts.append(out)
            self._note(out)
        return b"".join(parts)

    def _count_end(self) -> None:
        self._ends += 1
        if self._ends > _MAX_ENDS:
            raise ProtocolError(
                f"compressed message ends more than {_MAX_ENDS} times", code=1007
            )

    def _note(self, out: bytes) -> None:
        """Remember output for a context that may have to start in mid-message."""
        size = 1 << self.peer_bits
        self._window += out[-size:]
        if len(self._window) >= 2 * size:
            del self._window[:-size]

    def _end_message(self) -> None:
        self._ends = 0
        if not self.keeps_theirs:
            self._inflater = None
            self._ended_early = False
        if self._window and not self._ended_early:
            self._window = bytearray()


class Stream:
    """A compressor whose output many connections get: they share its context.

    A peer reads a message if the last ones it got, compressed, were those of the
    stream before it, or if it is the stream's first, which refers to nothing: RFC 7692
    section 7.2.3.2 lets a sender use its context, and does not make it.
    """

    def __init__(self, kind: tuple[Any, ...]) -> None:
        """``kind`` is that of the codecs that are to share it."""
        self.messages = 0
        self.open = True
        self._deflater: Any = kind[0](*kind[1])

    def compress(self, payload: bytes) -> bytes:
        """Return the next whole message, compressed."""
        self.messages += 1
        data: bytes = self._deflater.compress(payload)
        data += self._deflater.flush(zlib.Z_SYNC_FLUSH)
        return data[:-4] if data else b"\x00"

    def end(self) -> None:
        """Let go of the context: nothing more is to be compressed."""
        self.open = False
        self._deflater = None


class Deflating:
    """permessage-deflate frame by frame, for where it is not the first extension."""

    name = "permessage-deflate"

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        # Whether the message under way, in each direction, is compressed.
        self._sending = False
        self._receiving = False

    def encode(self, frame: Frame) -> Frame:
        """Return the frame with its payload compressed; control frames as they are."""
        if frame.opcode >= 8:
            return frame
        codec = self._codec
        if frame.opcode:
            self._sending = not frame.fin or codec.should_compress(len(frame.data))
        if not self._sending:
            return frame
        data = codec.compress(bytes(frame.data), frame.fin)
        return dataclasses.replace(frame, data=data, rsv1=frame.opcode != 0)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Return the frame with its payload decompressed; control frames as they are.

        Raises PayloadTooBig as soon as it has more than ``max_size`` bytes, and
        ProtocolError when the data is corrupt.
        """
        if frame.opcode >= 8:
            return frame
        if frame.opcode:
            self._receiving = frame.rsv1
        elif frame.rsv1:
            raise ProtocolError("reserved bits must be 0 in a continuation frame")
        if not self._receiving:
            return frame
        try:
            limit = -1 if max_size is None else max_size
            data = self._codec.decompress(bytes(frame.data), frame.fin, limit)
        except PayloadTooBig:
            raise PayloadTooBig(None, max_size) from None
        return dataclasses.replace(frame, data=data, rsv1=False)


def _take(kind: tuple[Any, ...]) -> Any:
    """Return a compressor that refers to nothing, made or from the pool."""
    try:
        return _POOL[kind].pop()
    except (KeyError, IndexError):
        return kind[0](*kind[1])


def _give_back(kind: tuple[Any, ...], deflater: Any) -> None:
    """Keep a compressor after a full flush for the next message without context."""
    pool = _POOL.setdefault(kind, [])
    if len(pool) < _POOLED:
        pool.append(deflater)


def _check_bits(what: str, bits: int, least: int) -> None:
    if not least <= bits <= 15:
        raise ValueError(f"{what} of {bits} bits; {least} to 15 are allowed")
