"""permessage-deflate: RFC 7692 section 7, one codec for each connection.

Compresses and decompresses payloads; contexts are made on first use and dropped when
the agreement says that they are not kept. Knows nothing of frames.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from ..errors import PayloadTooBig, ProtocolError
from ..messages import Deflate

# Section 7.2.1: an empty block without compression, which is not sent.
TAIL = b"\x00\x00\xff\xff"
# What follows an early end is inflated in slices, for each end copies what is left.
_SLICE = 4096
# Ends of the deflate stream in one message; each costs a new context.
_MAX_ENDS = 4096
_UNLIMITED = (1 << 63) - 1


class Codec:
    """Both directions of permessage-deflate for one connection.

    ``compressobj`` and ``decompressobj`` are called as those of :mod:`zlib` are; a
    faster library with the same interface may take their place.
    """

    def __init__(
        self,
        agreed: Deflate,
        client: bool,
        compressobj: Callable[..., Any] = zlib.compressobj,
        decompressobj: Callable[..., Any] = zlib.decompressobj,
    ) -> None:
        """``client``: the side we are."""
        server = (agreed.server_max_window_bits, agreed.server_no_context_takeover)
        peer = (agreed.client_max_window_bits, agreed.client_no_context_takeover)
        ours, theirs = (peer, server) if client else (server, peer)
        # zlib makes a window of 9 when asked for 8, which a peer could not read.
        _check_bits("our window", ours[0], 9)
        _check_bits("the peer's window", theirs[0], 8)
        self.level = agreed.level
        self.mem_level = agreed.mem_level
        self.min_size = agreed.min_size
        self.our_bits, drop_ours = ours
        self.peer_bits, drop_theirs = theirs
        self.keeps_ours = not drop_ours
        self.keeps_theirs = not drop_theirs
        self._compressobj = compressobj
        self._decompressobj = decompressobj
        self._deflater: Any = None
        self._inflater: Any = None
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
        if self._deflater is None:
            self._deflater = self._compressobj(
                self.level, zlib.DEFLATED, -self.our_bits, self.mem_level
            )
        data: bytes = self._deflater.compress(payload)
        data += self._deflater.flush(zlib.Z_SYNC_FLUSH)
        if not fin:
            return data
        if not self.keeps_ours:
            self._deflater = None
        # A flush with nothing new to write gives nothing: section 7.2.3.6.
        return data[:-4] if data else b"\x00"

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
        except zlib.error as exc:
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


def _check_bits(what: str, bits: int, least: int) -> None:
    if not least <= bits <= 15:
        raise ValueError(f"{what} of {bits} bits; {least} to 15 are allowed")
