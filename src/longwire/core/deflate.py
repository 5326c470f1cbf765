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
# Early ends of the deflate stream in one message. Who flushes with BFINAL, as section
# 7.2.3.4 allows, does so once for a message, or once for each of its fragments.
_MAX_ENDS = 16
# Each costs a new inflater with the window of the last, 3 to 7 µs: as long as it takes
# to inflate so many bytes of text (300 bytes/µs).
_END = 2048
_UNLIMITED = (1 << 62) - 1
# How errors of zlib begin that say that memory ran out: no fault of the peer's.
_NO_MEMORY = "Error -4 "
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

    ``allowance`` is how many bytes may be inflated before the event loop has its turn;
    -1 is no limit. When it is used up, ``decompress`` returns what there is, and
    ``pending`` says that ``go_on()`` returns more.
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
        _check_bits("our window", ours[0])
        _check_bits("the peer's window", theirs[0])
        self.min_size = agreed.min_size
        self.our_bits, drop_ours = ours
        self.peer_bits, drop_theirs = theirs
        self.keeps_ours = not drop_ours
        self.keeps_theirs = not drop_theirs
        deflating, inflating = makers(agreed.backend, agreed.level)
        if self.our_bits == 8:
            # zlib has no window of 256 bytes. Its smallest has 512, of which it leaves
            # the last 262 alone: what it makes is read with one of 256.
            deflating = zlib.compressobj
        self._decompressobj = decompressobj or inflating
        # Equal for two codecs whose compressors may stand in for each other.
        self.kind: tuple[Any, ...] = (
            compressobj or deflating,
            (agreed.level, zlib.DEFLATED, -max(self.our_bits, 9), agreed.mem_level),
        )
        self._pooled = not self.keeps_ours and compressobj is None
        self._deflater: Any = None
        self._inflater: Any = None
        # What the peer's context consists of, if not of what our own compressor made:
        # the first ``shared_at`` messages of a stream.
        self.shared: Stream | None = None
        self.shared_at = 0
        self.shared_run = 0
        self.allowance = -1
        self.pending = False
        self._input = b""
        self._at = 0  # where in _input to go on
        self._fin = False
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
        try:
            return self._compress(payload, fin)
        except BaseException:
            # What it has taken in will not be sent: later messages must not refer to
            # it. A new context refers to nothing.
            self._deflater = None
            raise

    def _compress(self, payload: bytes, fin: bool) -> bytes:
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

    # --- inflating ---

    def decompress(self, payload: bytes, fin: bool, max_size: int) -> bytes:
        """Return one fragment of a message, or a part of one, decompressed.

        Raises PayloadTooBig as soon as there are more than ``max_size`` bytes, and
        ProtocolError (1007) if the data is corrupt.
        """
        if self._inflater is None:
            self._new_inflater()
        self._input = payload + TAIL if fin else payload
        self._at = 0
        self._fin = fin
        self.pending = True
        return self.go_on(max_size)

    def go_on(self, max_size: int) -> bytes:
        """Return more of what ``decompress`` was given, while it is ``pending``.

        ``max_size`` is what may still come, and the errors are the same.
        """
        # Not in one comparison: Cython gives up a reference too many where that fails.
        left = -1
        if max_size >= 0 and max_size < _UNLIMITED:
            left = max_size
        out = b""
        parts: list[bytes] | None = None
        try:
            while self.pending and self.allowance != 0:
                out = self._inflate(left)
                if left >= 0:
                    left -= len(out)
                if parts is not None:
                    parts.append(out)
                elif self.pending:
                    parts = [out]
        except ERRORS as exc:
            if str(exc).startswith(_NO_MEMORY):
                raise MemoryError from exc
            raise ProtocolError(
                f"compressed data is corrupt: {exc}", code=1007
            ) from None
        if not self.pending:
            self._input = b""
            if self._fin:
                self._end_message()
        return out if parts is None else b"".join(parts)

    def waiting(self) -> int:
        """Return how many bytes of input are held for ``go_on()``."""
        return len(self._input)

    def stop(self) -> None:
        """Forget the message under way: nothing more is to be inflated."""
        self.pending = False
        self._input = b""
        self._inflater = None

    def _new_inflater(self) -> None:
        # A window of 256 bytes is read with one of 512: zlib of old makes that when
        # asked for 256, so there are peers that promise 8 and use 9.
        bits = max(self.peer_bits, 9)
        if self._window:
            history = bytes(self._window[-(1 << bits) :])
            self._inflater = self._decompressobj(-bits, history)
        else:
            self._inflater = self._decompressobj(-bits)

    def _inflate(self, left: int) -> bytes:
        """Return what the inflater makes of the input in one call.

        Sets ``pending``. Raises PayloadTooBig if that is more than ``left`` bytes.
        """
        data = self._input
        if self._inflater.eof:
            self._begin_anew()
            # A peer that sends no empty block after its last leaves ours alone.
            if self._fin and data[self._at :] == TAIL:
                self.pending = False
                return b""
            if self.allowance == 0:
                return b""
        if self._ended_early:
            data = data[self._at : self._at + _SLICE]
        elif self._at:
            data = data[self._at :]
        limit = self._limit(left)
        if limit:
            out: bytes = self._inflater.decompress(data, limit)
        else:
            out = self._inflater.decompress(data)
        if 0 <= left < len(out):
            raise PayloadTooBig(None, left)
        self._spend(len(out))
        self._at += len(data)
        if self._inflater.eof:
            self._ended_early = True
            self._at -= len(self._inflater.unused_data)
        elif limit and len(out) == limit:
            # There may be more, even if all of the input has been taken.
            self._at -= len(self._inflater.unconsumed_tail)
            self._note(out)
            return out
        self.pending = self._at < len(self._input)
        if self._ended_early or self.pending or not self._fin:
            self._note(out)
        return out

    def _begin_anew(self) -> None:
        """Go on after a last block that came before the end of the message.

        Section 7.2.3.4: the peer flushed with BFINAL. What follows is another
        deflate stream, which may refer to what came before.
        """
        self._count_end()
        self._spend(_END)
        self._new_inflater()

    def _limit(self, left: int) -> int:
        """Return how much to have inflated at a time; 0 is zlib's "no limit"."""
        limit = 0
        if left >= 0:
            # One more than allowed, for a budget of 0, and to see that it is exceeded.
            limit = left + 1
        if self.allowance > 0 and (limit == 0 or self.allowance < limit):
            limit = self.allowance
        return limit

    def _spend(self, amount: int) -> None:
        if self.allowance >= 0:
            self.allowance = max(0, self.allowance - amount)

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


def _check_bits(what: str, bits: int) -> None:
    if not 8 <= bits <= 15:
        raise ValueError(f"{what} of {bits} bits; 8 to 15 are allowed")
