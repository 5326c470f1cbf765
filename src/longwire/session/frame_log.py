"""The heads and frames of a connection, for its log at DEBUG.

Reads the bytes a second time, beside the session, which makes no objects of frames: so
it is there only where somebody has turned DEBUG on before the connection opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.deflate import Codec, Deflating
from ..core.frames import FrameReader, parse_close
from ..errors import WebSocketException
from ..escaping import excerpt
from ..messages import Close, Deflate, Frame, Opcode

__all__ = ["log_head", "show", "taps"]

MAX_FRAME = 1 << 20
"""Largest frame that is kept to be shown, in bytes."""
MAX_SHOWN = 75
"""Characters that are shown of a payload."""

Log = Callable[..., None]


def log_head(debug: Log, arrow: str, head: Any) -> None:
    """Log a request or response line by line."""
    if hasattr(head, "method"):
        line = f"{head.method} {head.path} {head.protocol}"
    else:
        line = f"HTTP/1.1 {head.status_code:d} {head.reason_phrase}"
    debug("%s %s", arrow, excerpt(line))
    for name, value in head.headers.raw_items():
        debug("%s %s", arrow, excerpt(f"{name}: {value}"))


def taps(
    debug: Log, *, client: bool, deflate: Deflate | None, others: bool
) -> tuple[Callable[[bytes], None], Callable[[bytes], None]]:
    """Return what is to be fed with the bytes received, and with those sent.

    ``client`` says which side is ours; ``others`` that there are further extensions,
    whose frames are shown as they are on the wire.
    """
    return (
        _Direction(debug, "<", client, None if others else deflate).feed,
        _Direction(debug, ">", not client, None if others else deflate).feed,
    )


class _Direction:
    """The frames of one direction, from any split of its bytes."""

    def __init__(
        self, debug: Log, arrow: str, client: bool, deflate: Deflate | None
    ) -> None:
        self._debug = debug
        self._arrow = arrow
        # As the receiver of these bytes would read them, whoever that is.
        self._reader = FrameReader(client, 7)
        self._deflating = (
            None if deflate is None else Deflating(Codec(deflate, client=client))
        )
        self._inside = False
        self._payload = bytearray()
        self._broken = False

    def feed(self, data: bytes) -> None:
        """Log the frames that ``data`` completes."""
        if self._broken:
            return
        try:
            self._reader.feed(bytes(data))
            while self._complete():
                self._debug("%s %s", self._arrow, show(self._frame()))
        except WebSocketException:
            self._broken = True  # what is wrong, the connection itself will tell

    def _complete(self) -> bool:
        """Read on; return whether a frame ends here."""
        reader = self._reader
        if not self._inside:
            if not reader.read_header():
                return False
            self._inside = True
            self._payload.clear()
        part = reader.take()
        if reader.size <= MAX_FRAME:
            self._payload += part
        else:
            self._deflating = None
        self._inside = reader.remaining > 0
        return not self._inside

    def _frame(self) -> Frame:
        reader = self._reader
        frame = Frame(
            Opcode(reader.opcode),
            bytes(self._payload),
            bool(reader.fin),
            bool(reader.rsv & 4),
        )
        if self._deflating is None or reader.opcode >= Opcode.CLOSE:
            return frame
        return self._deflating.decode(frame, max_size=MAX_FRAME)


def show(frame: Frame) -> str:
    """Return a frame in one line: its type, its payload, its size."""
    data = bytes(frame.data)
    marks = ["1 byte" if len(data) == 1 else f"{len(data)} bytes"]
    if frame.rsv1:
        marks.append("compressed")
    if not frame.fin:
        marks.append("continued")
    return f"{frame.opcode.name} {_payload(frame, data)} [{', '.join(marks)}]"


def _payload(frame: Frame, data: bytes) -> str:
    if frame.opcode is Opcode.CLOSE:
        try:
            return str(Close(*parse_close(data)))
        except WebSocketException:
            return _binary(data)
    if frame.rsv1 or frame.opcode is Opcode.BINARY:
        return _binary(data)
    try:
        text = data[: 4 * MAX_SHOWN].decode()
    except UnicodeDecodeError as exc:
        if len(data) <= 4 * MAX_SHOWN or exc.start < 3 * MAX_SHOWN:
            return _binary(data)
        text = data[: exc.start].decode()
    return f"'{excerpt(text, MAX_SHOWN)}'"


def _binary(data: bytes) -> str:
    """Return bytes in hexadecimal, without their middle if there are many."""
    most = MAX_SHOWN // 3
    if len(data) <= most:
        return data.hex(" ")
    return f"{data[: most - 8].hex(' ')} ... {data[-8:].hex(' ')}"
