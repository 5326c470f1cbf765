"""Frames as edition 2.6 has them: a triple, and functions that read and write it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from ..errors import PayloadTooBig
from ..errors import ProtocolError as WebSocketProtocolError
from ..messages import CLOSE_CODE_NAMES
from .legacy import framing as later
from .legacy.framing import parse_close, serialize_close

__all__ = [
    "CLOSE_CODES",
    "OP_BINARY",
    "OP_CLOSE",
    "OP_CONT",
    "OP_PING",
    "OP_PONG",
    "OP_TEXT",
    "Frame",
    "PayloadTooBig",
    "WebSocketProtocolError",
    "parse_close",
    "read_frame",
    "serialize_close",
    "write_frame",
]

OP_CONT, OP_TEXT, OP_BINARY = 0, 1, 2
OP_CLOSE, OP_PING, OP_PONG = 8, 9, 10

CLOSE_CODES: Mapping[int, str] = CLOSE_CODE_NAMES
"""What each close code means."""


class Frame(NamedTuple):
    """A frame: whether it is the last of its message, its opcode, its payload."""

    fin: bool
    opcode: int
    data: bytes


async def read_frame(
    reader: Callable[[int], Awaitable[bytes]],
    mask: bool,
    *,
    max_size: int | None = None,
) -> Frame:
    """Return the next frame; ``await reader(n)`` gives exactly ``n`` bytes.

    ``mask`` says whether a client sent it. Raises WebSocketProtocolError, EOFError
    when the bytes end, PayloadTooBig before reading more than ``max_size`` of them.
    """
    frame = await later.Frame.read(reader, mask=mask, max_size=max_size)
    return Frame(frame.fin, int(frame.opcode), bytes(frame.data))


def write_frame(frame: Frame, writer: Callable[[bytes], Any], mask: bool) -> None:
    """Call ``writer`` once with the bytes of ``frame``.

    ``mask`` says whether a client sends it. Raises WebSocketProtocolError for a frame
    that may not be on the wire.
    """
    later.Frame(*frame).write(writer, mask=mask)  # type: ignore[arg-type]
