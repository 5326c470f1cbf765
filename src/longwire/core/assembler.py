"""Messages out of frames: fragments, UTF-8, size limits, decompression.

Decides which frame may follow which (RFC 6455 section 5.4), whether a text is UTF-8
(section 8.1, as early as the bytes show it) and whether a message is too large,
before its payload is read. Knows nothing of headers, masks or states.
"""

from __future__ import annotations

from ..errors import PayloadTooBig, ProtocolError, TooManyFragments
from ..messages import Opcode
from .deflate import Codec
from .frames import FrameReader
from .partial import Held, decode_part

_CONT = int(Opcode.CONT)
_TEXT = int(Opcode.TEXT)
# More than any size; 2**63 and above would not fit the compiled build.
_UNLIMITED = (1 << 63) - 1


class Assembler:
    """The message under way, if any; ``begin`` each frame, ``add`` to it, ``finish``.

    ``kind`` is the opcode of the message; ``open`` says that it goes on in another
    frame; ``held`` is what its unfinished frame has brought so far, ``tail`` the
    beginning of a character that the frames before it ended in. While the codec has
    inflated what it may in this turn of the event loop, call ``go_on`` in the next.
    """

    def __init__(
        self,
        max_message: int = -1,
        max_fragment: int = -1,
        max_fragments: int = -1,
        codec: Codec | None = None,
    ) -> None:
        self.max_message = _limit(max_message)
        self.max_fragment = _limit(max_fragment)
        self.max_fragments = _limit(max_fragments)
        self.codec = codec
        self.kind = 0
        self.open = False
        self.compressed = False
        self.size = 0
        self.frame_size = 0
        self.fragments = 0
        self.held: Held | None = None
        self.tail = b""
        # The frame is all there, but the codec has not inflated all of it yet.
        self._inflating = False

    # --- the order of frames, and limits ---

    def begin(self, opcode: int, compressed: bool, size: int) -> None:
        """Start a data frame of ``size`` bytes, before its payload is read."""
        if opcode == _CONT:
            if not self.open:
                raise ProtocolError("continuation frame without a message to continue")
            if compressed:
                raise ProtocolError("reserved bits must be 0 in a continuation frame")
        else:
            if self.open:
                raise ProtocolError("new message before the last one is finished")
            self.kind = opcode
            self.compressed = compressed
            self.size = 0
            self.fragments = 0
        self.frame_size = 0
        self.fragments += 1
        if self.fragments > self.max_fragments:
            raise TooManyFragments(self.max_fragments)
        # How large a compressed frame is shows only while it is inflated.
        if not self.compressed:
            self.check_size(size)

    def check_size(self, size: int) -> None:
        """Raise PayloadTooBig if the frame cannot have ``size`` more bytes."""
        if size > self.max_fragment:
            raise PayloadTooBig(size, self.max_fragment, limit="fragment")
        if size > self.max_message - self.size:
            raise PayloadTooBig(size, self.max_message, self.size)

    def budget(self) -> int | None:
        """Return how many more bytes the frame may have; None for no limit."""
        left = min(self.max_message - self.size, self.max_fragment - self.frame_size)
        return None if left > _UNLIMITED >> 1 else left

    def is_plain_text(self, fin: bool) -> bool:
        """Return whether the frame begun is a text all by itself, not compressed."""
        return (
            fin
            and self.kind == _TEXT
            and not self.open
            and not self.compressed
            and self.held is None
        )

    # --- payloads ---

    def add(self, reader: FrameReader) -> None:
        """Hold what the reader has of the frame's payload; more of it is to come."""
        try:
            if self.compressed:
                self._hold(self._inflate(reader.take(), False), -1)
            else:
                if self.held is None:
                    self.held = Held(self.kind == _TEXT, self.tail)
                self._count(reader.move_to(self.held))
        except UnicodeDecodeError as exc:
            raise _not_utf8(exc) from None
        reader.trim()

    def go_on(self, fin: bool) -> tuple[int, str | bytes, bool] | None:
        """Inflate on; return the piece if that was the rest of its frame.

        ``fin`` says whether the frame is the last of its message.
        """
        payload = self._inflate_on()
        if self._inflating:
            return self._finish_inflated(payload, fin)
        try:
            self._hold(payload, -1)
        except UnicodeDecodeError as exc:
            raise _not_utf8(exc) from None
        return None

    def whole_text(self, reader: FrameReader) -> str:
        """Return the text of the frame the reader has; see ``is_plain_text``."""
        try:
            return reader.take_text()
        except UnicodeDecodeError as exc:
            raise _not_utf8(exc) from None

    def finish(self, reader: FrameReader) -> tuple[int, str | bytes, bool] | None:
        """Return the piece (kind, data, fin) of the frame that the reader has whole.

        None: there is more to inflate of it, by ``go_on``.
        """
        fin = reader.fin
        if self.compressed:
            return self._finish_inflated(self._inflate(reader.take(), fin), fin)
        if self.held is not None:
            return self._finish_held(reader, self.held, fin)
        self._count(reader.remaining)
        if self.kind == _TEXT and not self.tail:
            text = reader.take_ascii()
            if text is not None:
                self.open = not fin
                return (_TEXT, text, fin)
        return self._piece(reader.take(), fin)

    def finish_with(
        self, payload: bytes, fin: bool
    ) -> tuple[int, str | bytes, bool] | None:
        """Return the piece (kind, data, fin) of a frame of which this is all.

        None: there is more to inflate of it, by ``go_on``.
        """
        if self.compressed:
            return self._finish_inflated(self._inflate(payload, fin), fin)
        self._count(len(payload))
        return self._piece(payload, fin)

    def clear(self) -> None:
        """Forget the message under way."""
        self.open = False
        self.held = None
        self.tail = b""
        self._inflating = False
        if self.codec is not None:
            self.codec.stop()

    def waiting(self) -> int:
        """Return how many bytes are held that were not delivered."""
        size = len(self.tail) if self.held is None else self.held.size
        return size if self.codec is None else size + self.codec.waiting()

    def memory(self) -> int:
        """Return the bytes of memory that they take."""
        size = 0 if self.held is None else self.held.memory()
        return size if self.codec is None else size + self.codec.waiting()

    def _count(self, size: int) -> None:
        self.frame_size += size
        self.size += size

    def _inflate(self, payload: bytes, fin: bool) -> bytes:
        """Return the payload decompressed, within what the limits leave."""
        assert self.codec is not None
        try:
            payload = self.codec.decompress(payload, fin, self._left())
        except PayloadTooBig:
            raise self._too_big() from None
        self._count(len(payload))
        return payload

    def _inflate_on(self) -> bytes:
        """Return more of what was given to ``_inflate``."""
        assert self.codec is not None
        try:
            payload = self.codec.go_on(self._left())
        except PayloadTooBig:
            raise self._too_big() from None
        self._count(len(payload))
        return payload

    def _left(self) -> int:
        return min(self.max_message - self.size, self.max_fragment - self.frame_size)

    def _too_big(self) -> PayloadTooBig:
        if self.max_message - self.size <= self.max_fragment - self.frame_size:
            return PayloadTooBig(None, self.max_message, self.size)
        return PayloadTooBig(None, self.max_fragment, limit="fragment")

    def _hold(self, payload: bytes, more: int) -> None:
        """Keep a part of the frame; ``more`` is 0 for the last, else -1."""
        if self.held is None:
            self.held = Held(self.kind == _TEXT, self.tail)
        self.held.add(payload, 0, len(payload), b"", 0, more)

    def _finish_inflated(
        self, payload: bytes, fin: bool
    ) -> tuple[int, str | bytes, bool] | None:
        """Return the piece that ends with this payload; None if more is to come."""
        assert self.codec is not None
        self._inflating = self.codec.pending
        if self.held is None and not self._inflating:
            return self._piece(payload, fin)
        try:
            self._hold(payload, -1 if self._inflating else 0)
        except UnicodeDecodeError as exc:
            raise _not_utf8(exc) from None
        if self._inflating:
            return None
        assert self.held is not None
        return self._give_held(self.held, fin)

    def _piece(self, payload: bytes, fin: bool) -> tuple[int, str | bytes, bool]:
        """Return the piece for a frame whose payload came in one read."""
        self.open = not fin
        if self.kind != _TEXT:
            return (self.kind, payload, fin)
        if self.tail:
            payload = self.tail + payload
        try:
            if fin:
                self.tail = b""
                return (_TEXT, payload.decode(), True)
            text, self.tail = decode_part(payload)
        except UnicodeDecodeError as exc:
            raise _not_utf8(exc) from None
        return (_TEXT, text, False)

    def _finish_held(
        self, reader: FrameReader, held: Held, fin: bool
    ) -> tuple[int, str | bytes, bool]:
        """Return the piece for a frame whose beginning is held."""
        try:
            self._count(reader.move_to(held))
        except UnicodeDecodeError as exc:
            raise _not_utf8(exc) from None
        return self._give_held(held, fin)

    def _give_held(self, held: Held, fin: bool) -> tuple[int, str | bytes, bool]:
        self.open = not fin
        self.held = None
        self.tail = held.tail
        if fin and self.tail:
            try:
                self.tail.decode()  # raises: the text ends inside a character
            except UnicodeDecodeError as exc:
                raise _not_utf8(exc) from None
        return (self.kind, held.take(), fin)


def _limit(value: int) -> int:
    return _UNLIMITED if value < 0 or value > _UNLIMITED else value


def _not_utf8(exc: UnicodeDecodeError) -> ProtocolError:
    return ProtocolError(f"text is not UTF-8: {exc.reason}", code=1007)
