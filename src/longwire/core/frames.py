"""Frames: the bytes of RFC 6455 section 5.2, in and out.

Knows nothing of messages, states or time. A reader is fed any split of the stream;
it gives a frame's header as soon as that is complete, then the payload as it comes.
"""

from __future__ import annotations

from ..errors import InvalidClose, ProtocolError
from .masking import (
    apply_mask,
    build_frame,
    build_header,
    read_ascii,
    read_text,
    unmask,
    unmask_text,
)
from .partial import Held

# Header and payload of the largest control frame: what may be held unparsed.
SMALL = _SMALL = 14 + 125


class FrameReader:
    """Takes bytes, gives headers and payloads; one frame at a time.

    ``read_header()`` until it says True, then ``take()`` or ``take_text()`` until
    ``remaining`` is 0. Headers of control frames are withheld until the whole frame
    is there.
    """

    def __init__(self, client: bool, allowed_rsv: int, control_rsv: int = 0) -> None:
        """``client``: the side we are; the others: bits that extensions may use."""
        self.client = client
        self.allowed_rsv = allowed_rsv
        self.control_rsv = control_rsv
        self.opcode = 0
        self.fin = True
        self.rsv = 0
        self.size = 0
        self.remaining = 0
        self._data = b""
        self._pos = 0
        self._end = 0
        self._later = bytearray()
        self._key = b""
        self._offset = 0

    # --- input ---

    def feed(self, data: bytes) -> None:
        """Add input. Large input is not copied unless older input is unread."""
        left = self._end - self._pos
        if self._later or left > _SMALL:
            # Also where all before it was read: what waits comes first.
            self._later += data
            return
        if left:
            self._data = self._data[self._pos : self._end] + data
        else:
            self._data = data
        self._pos = 0
        self._end = len(self._data)

    def clear(self) -> None:
        """Forget all input."""
        self._data = b""
        self._pos = self._end = 0
        self._later = bytearray()
        self.remaining = 0

    def trim(self) -> None:
        """Let go of input of which nothing is unread."""
        if self._pos == self._end:
            self._data = b""
            self._pos = self._end = 0

    def unread(self) -> int:
        """Return how many bytes of input are held."""
        return self._end - self._pos + len(self._later)

    def memory(self) -> int:
        """Return the bytes of memory that input takes, with what was read of it."""
        return len(self._data) + len(self._later)

    def _refill(self) -> bool:
        """Let go of what was read; True if there is more to read than before."""
        more = bool(self._later)
        self._data = self._data[self._pos : self._end]
        if more:
            self._data += self._later
            self._later = bytearray()
        self._pos = 0
        self._end = len(self._data)
        return more

    # --- headers ---

    def read_header(self) -> bool:
        """Read the header of the next frame; False if more input is needed.

        Sets ``opcode, fin, rsv, size, remaining``. Raises ProtocolError as soon as
        the bytes at hand break a rule.
        """
        while True:
            if self._end - self._pos >= 2 and self._parse():
                return True
            if not self._refill():
                return False

    def _parse(self) -> bool:
        data = self._data
        pos = self._pos
        first = data[pos]
        second = data[pos + 1]
        opcode = first & 0x0F
        rsv = (first >> 4) & 7
        size = second & 0x7F
        self._check_first_bytes(opcode, rsv, first, second)
        pos += 2
        if size > 125:
            width = 2 if size == 126 else 8
            if self._end - pos < width:
                return False
            size = self._read_length(data, pos, width)
            pos += width
        if not self.client:
            pos += 4
        # A control frame is read in one piece.
        if pos > self._end or (opcode >= 8 and pos + size > self._end):
            return False
        self._pos = pos
        self._key = b""
        self._offset = 0
        self.opcode = opcode
        self.fin = first >= 0x80
        self.rsv = rsv
        self.size = size
        self.remaining = size
        return True

    def _check_first_bytes(
        self, opcode: int, rsv: int, first: int, second: int
    ) -> None:
        if rsv and rsv & ~(self.allowed_rsv if opcode < 8 else self.control_rsv):
            raise ProtocolError(f"reserved bits must be 0; got {rsv:03b}")
        if opcode > 2 and (opcode < 8 or opcode > 10):
            raise ProtocolError(f"reserved opcode 0x{opcode:x}")
        if opcode >= 8 and first < 0x80:
            raise ProtocolError("control frame is fragmented")
        if self.client:
            if second >= 0x80:
                raise ProtocolError("frame from the server is masked")
        elif second < 0x80:
            raise ProtocolError("frame from the client is not masked")
        if opcode >= 8 and second & 0x7F > 125:
            raise ProtocolError("control frame is longer than 125 bytes")

    def _read_length(self, data: bytes, pos: int, width: int) -> int:
        length = 0
        for i in range(pos, pos + width):
            length = (length << 8) | data[i]
        if width == 2 and length < 126 or width == 8 and length < 65536:
            raise ProtocolError(
                f"length {length} is not in its shortest form: {width} bytes"
            )
        if length >> 63:
            raise ProtocolError(f"length {length} has its highest bit set")
        return length

    # --- payloads ---

    def is_whole(self) -> bool:
        """Return whether the rest of the frame's payload is there."""
        if self._end - self._pos >= self.remaining:
            return True
        # More input will take the place of what lies before the payload.
        self._keep_key()
        if self._later:
            self._refill()
        return self._end - self._pos >= self.remaining

    def take(self) -> bytes:
        """Return the rest of the frame's payload, or what is there of it, unmasked."""
        start = self._pos
        size = self._end - start
        if size > self.remaining:
            size = self.remaining
        if self.client:
            payload = self._data[start : start + size]
        elif size == self.remaining and not self._key:
            payload = unmask(self._data, start, size)
        else:
            self._keep_key()
            payload = apply_mask(
                self._data[start : start + size], self._key, self._offset
            )
            self._offset = (self._offset + size) & 3
        self._pos = start + size
        self.remaining -= size
        return payload

    def take_text(self) -> str:
        """Return the payload of a whole frame as a str; UnicodeDecodeError if not."""
        if self._key:
            return self.take().decode()
        start = self._pos
        size = self.remaining
        self._pos = start + size
        self.remaining = 0
        if self.client:
            return read_text(self._data, start, size)
        return unmask_text(self._data, start, size)

    def take_ascii(self) -> str | None:
        """Return the payload of a whole frame as a str if it is ASCII.

        None leaves it where it is, and says nothing about it.
        """
        if self._key:
            return None
        size = self.remaining
        text = read_ascii(self._data, self._pos, size, not self.client)
        if text is not None:
            self._pos += size
            self.remaining = 0
        return text

    def move_to(self, held: Held) -> int:
        """Append what is there of the payload to ``held``; return how many bytes."""
        start = self._pos
        size = self._end - start
        if size > self.remaining:
            size = self.remaining
        self._keep_key()
        self._pos = start + size
        self.remaining -= size
        held.add(self._data, start, size, self._key, self._offset, self.remaining)
        self._offset = (self._offset + size) & 3
        return size

    def skip(self) -> bool:
        """Pass over what is there of the payload; True if that was the rest of it."""
        while True:
            size = self._end - self._pos
            if size > self.remaining:
                size = self.remaining
            self._pos += size
            self.remaining -= size
            if not self.remaining or not self._refill():
                return not self.remaining

    def _keep_key(self) -> None:
        """Copy the masking key: the bytes before the payload are to be let go."""
        if not self._key and not self.client:
            self._key = self._data[self._pos - 4 : self._pos]


# --- what we send ---


def encode(
    opcode: int,
    payload: bytes,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
) -> bytes:
    """Return a whole frame. ``rsv``: 4 is RSV1; ``mask``: four bytes from a client."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if mask is None:
        return build_frame(first, payload, b"", -1)
    return build_frame(first, payload, mask, 0)


def header(
    opcode: int, size: int, fin: bool = True, rsv: int = 0, mask: bytes | None = None
) -> bytes:
    """Return what precedes a payload of ``size`` bytes in the same frame."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if mask is None:
        return build_header(first, size, b"", -1)
    return build_header(first, size, mask, 0)


# --- close frames ---

# Section 7.4 and the registry: 1004 is unassigned; 1005, 1006 and 1015 are never on
# the wire; 1016 to 2999 are not registered yet.
_RESERVED_CODES = frozenset((1004, 1005, 1006))


def is_receivable_code(code: int) -> bool:
    """Return whether a close frame may bring this code."""
    if 3000 <= code < 5000:
        return True
    return 1000 <= code <= 1014 and code not in _RESERVED_CODES


def is_sendable_code(code: int) -> bool:
    """Return whether a close frame of ours may have this code."""
    return is_receivable_code(code)


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason; (1005, "") if there is no payload.

    Raises ProtocolError: 1002 for a bad payload or code, 1007 for a bad reason.
    """
    if not payload:
        return (1005, "")
    if len(payload) == 1:
        raise ProtocolError("close payload of 1 byte; 0 or at least 2 are allowed")
    code = payload[0] << 8 | payload[1]
    if not is_receivable_code(code):
        raise ProtocolError(f"close code {code} is not allowed")
    try:
        return (code, payload[2:].decode())
    except UnicodeDecodeError as exc:
        raise ProtocolError(f"close reason is not UTF-8: {exc}", code=1007) from None


def serialize_close(code: int | None, reason: str = "") -> bytes:
    """Return the payload of a close frame; None is an empty one.

    Raises InvalidClose for a code that may not be sent, or a reason too long;
    TypeError for other types.
    """
    if code is not None and not isinstance(code, int):
        raise TypeError(f"code must be an int or None, not {type(code).__name__}")
    if not isinstance(reason, str):
        raise TypeError(f"reason must be a str, not {type(reason).__name__}")
    if code is None:
        if reason:
            raise InvalidClose("a close reason needs a close code")
        return b""
    if not is_sendable_code(code):
        raise InvalidClose(
            f"close code {code} cannot be sent; 1000 to 1003, 1007 to 1014 and 3000 to "
            "4999 are allowed"
        )
    try:
        encoded = reason.encode()
    except UnicodeEncodeError as exc:
        raise InvalidClose(f"close reason cannot be UTF-8: {exc.reason}") from None
    if len(encoded) > 123:
        raise InvalidClose(f"close reason of {len(encoded)} bytes; 123 are allowed")
    return bytes((code >> 8, code & 0xFF)) + encoded
