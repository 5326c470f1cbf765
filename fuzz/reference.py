"""RFC 6455 once more, as slowly and plainly as possible: what the core must agree with.

Takes the whole stream at once and shares no code with ``longwire.core``; so it knows
nothing of splits, buffers, masks in words or incremental anything.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Fault(Exception):
    """The stream breaks a rule here; ``code`` is the close code that says so."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Frame(NamedTuple):
    """One frame, or what there is of it."""

    opcode: int
    fin: bool
    rsv: int
    payload: bytes  # unmasked
    size: int  # as announced
    wire: bytes  # all its bytes


class Frames(NamedTuple):
    """A stream, read."""

    whole: list[Frame]
    partial: Frame | None  # the last one, if its header is complete but no more
    fault: bool
    consumed: int  # bytes of the whole frames


def read_frames(wire: bytes, client: bool, allowed_rsv: int) -> Frames:
    """Return the frames in what a client or server received."""
    whole: list[Frame] = []
    pos = 0
    while True:
        try:
            frame = _read_frame(wire[pos:], client, allowed_rsv)
        except Fault:
            return Frames(whole, None, True, pos)
        if frame is None or len(frame.payload) < frame.size:
            return Frames(whole, frame, False, pos)
        whole.append(frame)
        pos += len(frame.wire)


def _read_frame(wire: bytes, client: bool, allowed_rsv: int) -> Frame | None:
    if len(wire) < 2:
        return None
    first, second = wire[0], wire[1]
    fin, rsv, opcode = first >= 128, first // 16 % 8, first % 16
    masked, size = second >= 128, second % 128
    control = opcode >= 8
    if opcode not in (CONT, TEXT, BINARY, CLOSE, PING, PONG):
        raise Fault(1002)
    if rsv & ~allowed_rsv or (rsv and control):
        raise Fault(1002)
    if control and (not fin or size > 125):
        raise Fault(1002)
    if masked == client:
        raise Fault(1002)
    start = 2
    if size > 125:
        start += 2 if size == 126 else 8
        least = 126 if size == 126 else 65536
        if len(wire) < start:
            return None
        size = int.from_bytes(wire[2:start], "big")
        if size < least or size >= 1 << 63:
            raise Fault(1002)
    key = bytes(4)
    if masked:
        key = wire[start : start + 4]
        start += 4
    if len(wire) < start:
        return None
    payload = bytes(
        byte ^ key[i % 4] for i, byte in enumerate(wire[start : start + size])
    )
    if control and len(payload) < size:
        return None
    return Frame(opcode, fin, rsv, payload, size, wire[: start + len(payload)])


def is_utf8_so_far(data: bytes) -> bool:
    """Return whether some continuation makes ``data`` valid UTF-8."""
    ends = [b""]
    for first in (b"\x80", b"\x90", b"\xa0"):
        ends += [first, first + b"\x80", first + b"\x80\x80"]
    return any(_decodes(data + end) for end in ends)


def _decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def read_close(payload: bytes) -> tuple[int, str]:
    """Return what a close frame says; raises Fault."""
    if not payload:
        return 1005, ""
    code = int.from_bytes(payload[:2], "big")
    known = code in range(1000, 1015) and code not in (1004, 1005, 1006)
    if len(payload) == 1 or not (known or 3000 <= code <= 4999):
        raise Fault(1002)
    if not _decodes(payload[2:]):
        raise Fault(1007)
    return code, payload[2:].decode()


class Inflation(NamedTuple):
    """How incoming messages are compressed: the window's bits, whether it is kept."""

    bits: int
    keeps: bool


class EarlyEnd(Exception):
    """The deflate stream ends before its message: this reference knows no further."""


class Reader:
    """Events of a stream: (TEXT, str, fin), (BINARY, bytes, fin), control frames.

    ``events`` are those before the first fault, whose close code is in ``fault``; when
    ``either``, 1007 and 1009 are both right, since it depends on the splits which is
    seen first. ``unknown`` says that reading stopped at an `EarlyEnd`. A limit of None
    is none.
    """

    def __init__(
        self,
        client: bool,
        *,
        max_message: int | None = None,
        max_fragment: int | None = None,
        max_fragments: int | None = None,
        inflation: Inflation | None = None,
    ) -> None:
        self.client = client
        self.max_message = max_message
        self.max_fragment = max_fragment
        self.max_fragments = max_fragments
        self.inflation = inflation
        self.events: list[tuple[int, object, bool]] = []
        self.fault: int | None = None
        self.either = False
        self.unknown = False
        self.closed = False
        self._inflater: object = None
        self._kind = 0  # of the message under way, 0 for none
        self._compressed = False
        self._data = b""  # of the message so far
        self._told = 0  # how much of it was told in events, in bytes
        self._fragments = 0

    def read(self, wire: bytes) -> None:
        """Read the whole of a stream."""
        found = read_frames(wire, self.client, 4 if self.inflation else 0)
        try:
            for frame in found.whole:
                self._read(frame)
                if self.closed:
                    return
            if found.partial is not None:
                self._begin(found.partial)
                self._add(found.partial, False)
        except Fault as fault:
            self.fault = fault.code
            self.either = self._compressed and fault.code != 1002
            return
        except EarlyEnd:
            self.unknown = True
            return
        if found.fault:
            self.fault = 1002

    def _read(self, frame: Frame) -> None:
        if frame.opcode == CLOSE:
            self.events.append((CLOSE, read_close(frame.payload), True))
            self.closed = True
        elif frame.opcode >= 8:
            self.events.append((frame.opcode, frame.payload, True))
        else:
            self._begin(frame)
            self._add(frame, True)

    def _begin(self, frame: Frame) -> None:
        if (frame.opcode == CONT) != bool(self._kind):
            raise Fault(1002)
        if frame.opcode == CONT:
            if frame.rsv:
                raise Fault(1002)
            self._fragments += 1
        else:
            self._kind = frame.opcode
            self._compressed = frame.rsv == 4
            self._data, self._told, self._fragments = b"", 0, 1
        if self.max_fragments is not None and self._fragments > self.max_fragments:
            raise Fault(1009)
        if not self._compressed:
            self._check_size(frame.size)

    def _check_size(self, size: int) -> None:
        if self.max_fragment is not None and size > self.max_fragment:
            raise Fault(1009)
        if self.max_message is not None and len(self._data) + size > self.max_message:
            raise Fault(1009)

    def _add(self, frame: Frame, whole: bool) -> None:
        last = frame.fin and whole
        payload = frame.payload
        if self._compressed:
            payload = self._inflate(payload, last)
            self._check_size(len(payload))
        self._data += payload
        if self._kind == TEXT:
            good = _decodes if last else is_utf8_so_far
            if not good(self._data):
                raise Fault(1007)
        if whole:
            self._tell(frame.fin)

    def _tell(self, fin: bool) -> None:
        new = self._data[self._told :]
        piece: object = new
        if self._kind == TEXT:
            # A character that is incomplete goes to the next piece.
            while not _decodes(new):
                new = new[:-1]
            piece = new.decode()
        self._told += len(new)
        self.events.append((self._kind, piece, fin))
        if fin:
            self._kind = 0

    def _inflate(self, payload: bytes, last: bool) -> bytes:
        assert self.inflation is not None
        if self._inflater is None:
            self._inflater = zlib.decompressobj(-self.inflation.bits)
        inflater = self._inflater
        data = payload + b"\x00\x00\xff\xff" if last else payload
        try:
            inflated: bytes = inflater.decompress(data)  # type: ignore[attr-defined]
        except zlib.error:
            # Or 1009: what came before the fault may be more than a limit allows.
            raise Fault(1007) from None
        if inflater.eof:  # type: ignore[attr-defined]
            raise EarlyEnd
        if last and not self.inflation.keeps:
            self._inflater = None
        return inflated
