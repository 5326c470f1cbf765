"""Frames of editions 4 to 13: a named tuple that reads and writes itself.

Over :class:`longwire.websockets.frames.Frame`, which parses and checks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, NamedTuple, cast

from ...connection import control_payload, opcode_for
from ...core import frames as core
from ...errors import PayloadTooBig, ProtocolError
from ...messages import Opcode
from .. import extensions, frames
from ..aliases import give_aliases
from ..frames import Close
from ..typing import BytesLike, DataLike
from ..utils import apply_mask

__all__ = [
    "BytesLike",
    "Close",
    "DataLike",
    "Frame",
    "NewFrame",
    "Opcode",
    "PayloadTooBig",
    "ProtocolError",
    "apply_mask",
    "encode_data",
    "parse_close",
    "prepare_ctrl",
    "prepare_data",
    "serialize_close",
]

NewFrame = frames.Frame


class Frame(NamedTuple):
    """A frame: ``fin``, ``opcode``, ``data`` and the reserved bits."""

    fin: bool
    opcode: Opcode
    data: BytesLike
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False

    @property
    def new_frame(self) -> frames.Frame:
        """The same as a frame of today."""
        rest = self.fin, self.rsv1, self.rsv2, self.rsv3
        return frames.Frame(_opcode(self.opcode), self.data, *rest)

    def __str__(self) -> str:
        return str(self.new_frame)

    def check(self) -> None:
        """Raise ProtocolError for what may not be on the wire."""
        self.new_frame.check()

    @classmethod
    async def read(
        cls,
        reader: Callable[[int], Awaitable[bytes]],
        *,
        mask: bool,
        max_size: int | None = None,
        extensions: Sequence[extensions.Extension] | None = None,
    ) -> Frame:
        """Return the next frame; ``await reader(n)`` gives exactly ``n`` bytes.

        ``mask`` says whether a client sent it. Raises ProtocolError, EOFError when
        the bytes end, PayloadTooBig before reading more than ``max_size`` of them.
        """
        wanted: list[int] = []
        got: list[bytes] = []

        def read_exact(size: int) -> Generator[None, None, bytes]:
            wanted.append(size)
            yield
            return got.pop()

        plan = frames.Frame.parse(
            read_exact, mask=mask, max_size=max_size, extensions=extensions
        )
        while True:
            try:
                next(plan)
            except StopIteration as stop:
                return cls._of(cast(frames.Frame, stop.value))
            size = wanted.pop()
            data = bytes(await reader(size)) if size else b""
            if len(data) < size:
                raise EOFError(f"{len(data)} bytes of a frame; {size} are expected")
            got.append(data)

    @classmethod
    def _of(cls, new: frames.Frame) -> Frame:
        return cls(new.fin, new.opcode, new.data, new.rsv1, new.rsv2, new.rsv3)

    def write(
        self,
        write: Callable[[bytes], Any],
        *,
        mask: bool,
        extensions: Sequence[extensions.Extension] | None = None,
    ) -> None:
        """Call ``write`` once with the bytes of the frame.

        ``mask`` says whether a client sends it. Raises ProtocolError as ``check``.
        """
        write(self.new_frame.serialize(mask=mask, extensions=extensions))


def _opcode(opcode: int) -> Opcode:
    try:
        return Opcode(opcode)
    except ValueError:
        raise ProtocolError(f"reserved opcode 0x{opcode:x}") from None


def prepare_data(data: DataLike) -> tuple[Opcode, BytesLike]:
    """Return opcode and payload of a message; TypeError for other types."""
    opcode = opcode_for(data, None)
    return opcode, data.encode() if isinstance(data, str) else data


def prepare_ctrl(data: DataLike) -> bytes:
    """Return the payload of a control frame; TypeError for other types."""
    return control_payload(cast(bytes, data))


encode_data = prepare_ctrl


def parse_close(data: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame's payload; (1005, "") if it is empty.

    Raises ProtocolError, and UnicodeDecodeError when the reason is not UTF-8.
    """
    try:
        return core.parse_close(bytes(data))
    except ProtocolError as exc:
        if exc.code == 1007:
            bytes(data)[2:].decode()  # the documented exception
        raise


def serialize_close(code: int, reason: str) -> bytes:
    """Return the payload of a close frame; raise ProtocolError if none may say it."""
    return core.serialize_close(int(code), reason)


give_aliases(globals())
