"""Frames and close frames as objects that can check, write and read themselves.

The bytes are those of ``longwire.core.frames``; opcodes and close codes are the same
objects as longwire's own.
"""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import messages
from ..core.frames import (
    FrameReader,
    encode,
    is_sendable_code,
    parse_close,
    serialize_close,
)
from ..errors import PayloadTooBig, ProtocolError
from ..messages import CLOSE_CODE_NAMES, CloseCode, Opcode
from .aliases import give_aliases
from .typing import BytesLike

if TYPE_CHECKING:
    from .extensions.base import Extension
    from .legacy.framing import prepare_ctrl, prepare_data

__all__ = [
    "CTRL_OPCODES",
    "DATA_OPCODES",
    "OP_BINARY",
    "OP_CLOSE",
    "OP_CONT",
    "OP_PING",
    "OP_PONG",
    "OP_TEXT",
    "Close",
    "CloseCode",
    "Frame",
    "Opcode",
    "parse_close",
    "prepare_ctrl",
    "prepare_data",
    "serialize_close",
]

CONT, TEXT, BINARY = Opcode.CONT, Opcode.TEXT, Opcode.BINARY
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG
OP_CONT, OP_TEXT, OP_BINARY = DATA_OPCODES = (CONT, TEXT, BINARY)
OP_CLOSE, OP_PING, OP_PONG = CTRL_OPCODES = (CLOSE, PING, PONG)

CLOSE_CODE_EXPLANATIONS = {
    CloseCode(code): name for code, name in CLOSE_CODE_NAMES.items()
}
CLOSE_CODES = CLOSE_CODE_EXPLANATIONS
EXTERNAL_CLOSE_CODES = {code for code in CloseCode if is_sendable_code(int(code))}
OK_CLOSE_CODES = {
    CloseCode.NORMAL_CLOSURE,
    CloseCode.GOING_AWAY,
    CloseCode.NO_STATUS_RCVD,
}


@dataclasses.dataclass(eq=False)
class Close(messages.Close):
    """A close code and reason that can be read from a payload and written to one."""

    # A ConnectionClosed carries longwire's own class: the two compare by value.
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, messages.Close):
            return NotImplemented
        return (self.code, self.reason) == (other.code, other.reason)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def parse(cls, data: BytesLike) -> Close:
        """Return what the payload of a close frame says.

        ``Close(1005, "")`` when it is empty. Raises ProtocolError when the payload is
        invalid; one whose ``code`` is 1007 when the reason is not UTF-8.
        """
        return cls(*parse_close(bytes(data)))

    def serialize(self) -> bytes:
        """Return the payload of a close frame; raise ProtocolError if none may say it.

        The reason has at most 123 bytes in UTF-8.
        """
        return serialize_close(int(self.code), self.reason)

    def check(self) -> None:
        """Raise ProtocolError unless a close frame may have this code."""
        serialize_close(int(self.code))


class Frame(messages.Frame):
    """A frame that can check itself, be written to bytes and be read from a stream.

    ``str(frame)`` is its line in the log.
    """

    MAX_LOG_SIZE: ClassVar[int] = int(os.environ.get("WEBSOCKETS_MAX_LOG_SIZE", "75"))
    """Payloads are shown in at most so many characters."""

    DEFAULT_IS_TEXT: ClassVar[dict[Opcode, bool]] = {
        TEXT: True,
        BINARY: False,
        CLOSE: True,
    }
    """Payloads shown otherwise, and all others, are marked "text" or "binary"."""

    def __str__(self) -> str:
        shown, is_text = self._show_payload()
        marks = []
        if self.data and self.DEFAULT_IS_TEXT.get(self.opcode) is not is_text:
            marks.append("text" if is_text else "binary")
        size = len(self.data)
        marks.append("1 byte" if size == 1 else f"{size} bytes")
        if not self.fin:
            marks.append("continued")
        return f"{self.opcode.name} {shown} [{', '.join(marks)}]"

    def _show_payload(self) -> tuple[str, bool]:
        """Return the payload for people, and whether it is shown as text."""
        data = bytes(self.data)
        if self.opcode is CLOSE and data:
            try:
                return self._cut(str(Close.parse(data))), True
            except ProtocolError:
                return self._show_bytes(data), False
        text = _read_text(data, self.opcode, self.fin)
        if text is None:
            return self._show_bytes(data), False
        return self._cut(repr(text)), True

    def _show_bytes(self, data: bytes) -> str:
        # Three characters for each byte, and no more bytes than can be shown.
        begin, end = (size // 3 for size in self._shown_of_long())
        if len(data) <= begin + end + 1:
            return data.hex(" ")
        return f"{data[:begin].hex(' ')} ... {data[-end:].hex(' ')}"

    def _cut(self, text: str) -> str:
        """Return ``text`` without its middle if it is too long."""
        if len(text) <= self.MAX_LOG_SIZE:
            return text
        begin, end = self._shown_of_long()
        return f"{text[:begin]}...{text[-end:]}"

    def _shown_of_long(self) -> tuple[int, int]:
        """Return how many characters are shown of the beginning and of the end."""
        both = max(self.MAX_LOG_SIZE - 3, 9)
        return both - both // 3, both // 3

    def check(self) -> None:
        """Raise ProtocolError for reserved bits and for impossible control frames."""
        if self.rsv1 or self.rsv2 or self.rsv3:
            raise ProtocolError("reserved bits must be 0")
        if self.opcode in CTRL_OPCODES:
            if len(self.data) > 125:
                raise ProtocolError(
                    f"control frame of {len(self.data)} bytes; 125 are allowed"
                )
            if not self.fin:
                raise ProtocolError("control frame is fragmented")

    def serialize(
        self, *, mask: bool, extensions: Sequence[Extension] | None = None
    ) -> bytes:
        """Return the bytes of the frame, after ``extensions`` in their order.

        ``mask`` says whether a client sends it. Raises ProtocolError as ``check``.
        """
        self.check()
        frame: messages.Frame = self
        for extension in extensions or ():
            frame = extension.encode(frame)
        return encode(
            int(frame.opcode),
            bytes(frame.data),
            frame.fin,
            frame.rsv1 << 2 | frame.rsv2 << 1 | frame.rsv3,
            secrets.token_bytes(4) if mask else None,
        )

    @classmethod
    def parse(
        cls,
        read_exact: Callable[[int], Generator[None, None, bytes | bytearray]],
        *,
        mask: bool,
        max_size: int | None = None,
        extensions: Sequence[Extension] | None = None,
    ) -> Generator[None, None, Frame]:
        """Read a frame; a generator that waits where ``read_exact(n)`` does.

        ``mask`` says whether a client sent it. Raises ProtocolError, and
        PayloadTooBig for more than ``max_size`` bytes before reading them.
        """
        reader = FrameReader(not mask, 7 if extensions else 0)
        head = bytes((yield from read_exact(2)))
        reader.feed(head)
        begun = reader.read_header()
        width = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
        rest = width + (4 if mask else 0)
        if rest:
            head += bytes((yield from read_exact(rest)))
            reader.feed(head[2:])
            begun = begun or reader.read_header()
        size = int.from_bytes(head[2 : 2 + width], "big") if width else head[1] & 0x7F
        if max_size is not None and size > max_size:
            raise PayloadTooBig(size, max_size)
        if begun:
            reader.take()  # nothing yet, but for the masking key, which is kept
        reader.feed(bytes((yield from read_exact(size))))
        if not begun:
            reader.read_header()
        payload = reader.take() if reader.remaining else b""
        return cls.take(reader, payload).decode(extensions or (), max_size)

    @classmethod
    def take(cls, reader: FrameReader, payload: bytes) -> Frame:
        """Return the frame whose header ``reader`` has read, with this payload."""
        rsv = reader.rsv
        return cls(
            Opcode(reader.opcode),
            payload,
            bool(reader.fin),
            bool(rsv & 4),
            bool(rsv & 2),
            bool(rsv & 1),
        )

    def decode(
        self, extensions: Sequence[Extension], max_size: int | None = None
    ) -> Frame:
        """Return what ``extensions`` make of the frame, the last one first.

        Raises ProtocolError for reserved bits that none of them knows.
        """
        decoded: messages.Frame = self
        for extension in reversed(extensions):
            decoded = extension.decode(decoded, max_size=max_size)
        if isinstance(decoded, Frame):
            frame = decoded
        else:
            frame = Frame(*(getattr(decoded, f.name) for f in _FIELDS))
        frame.check()
        return frame


_FIELDS = dataclasses.fields(messages.Frame)


def _read_text(data: bytes, opcode: Opcode, fin: bool) -> str | None:
    """Return the payload as text if it is most likely one."""
    if opcode not in DATA_OPCODES:
        return data.decode() if _PRINTABLE.fullmatch(data) else None
    # A fragment may begin and end inside a character.
    begin = 0
    if opcode is CONT:
        begin = next((i for i, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0)
    try:
        data[begin:].decode()
    except UnicodeDecodeError as exc:
        if fin or exc.reason != "unexpected end of data":
            return None
    text = data.decode(errors="replace")
    return None if _CONTROL.search(text) else text


_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\xad]")
_PRINTABLE = re.compile(rb"[\t-\r -~]*")


give_aliases(globals())
