"""Streams in memory: two asyncio transports, each of which is the other's network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

__all__ = ["Transport", "join"]

HIGH = 65536
"""Bytes under way at which a writer is paused, as asyncio's transports have it."""


class Transport(asyncio.Transport):
    """One end. Bytes arrive in the loop's next turn, in order, when the other reads."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol: Any, extra: dict[str, Any]
    ) -> None:
        super().__init__(extra)
        self._loop = loop
        self._protocol = protocol
        self._other: Transport
        self._buffer = bytearray()
        self._high, self._low = HIGH, HIGH // 4
        self._reading = True
        self._writing_paused = False
        self._ended = False  # nothing more is written
        self._end_told = False
        self._closing = False
        self._lost = False
        self._pump_is_due = False

    # --- writing -----------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``."""
        if self._closing or self._ended:
            return
        if self._other._lost:
            self._lose(ConnectionResetError("the other end is closed"))
            return
        self._buffer += data
        self._schedule()
        if len(self._buffer) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Send several pieces."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Return True: each direction ends by itself."""
        return True

    def write_eof(self) -> None:
        """End this direction, after what was written."""
        if not self._ended:
            self._ended = True
            self._schedule()

    def get_write_buffer_size(self) -> int:
        """Return the bytes that have not arrived yet."""
        return len(self._buffer)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the marks at which writing pauses and goes on."""
        return self._low, self._high

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        """Set these marks."""
        self._high = HIGH if high is None else high
        self._low = self._high // 4 if low is None else low

    # --- reading -----------------------------------------------------------------

    def is_reading(self) -> bool:
        """Return whether bytes arrive here."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Let nothing arrive: the other end's bytes wait there."""
        self._reading = False

    def resume_reading(self) -> None:
        """Let bytes arrive again."""
        self._reading = True
        self._other._schedule()

    # --- ending ------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Return whether this end is closed, or about to be."""
        return self._closing

    def close(self) -> None:
        """Close when all that was written has arrived."""
        if not self._closing:
            self._closing = self._ended = True
            self._schedule()

    def abort(self) -> None:
        """Close now; what has not arrived is lost."""
        self._buffer.clear()
        self._lose(None)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Change the protocol that gets what arrives."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return that protocol."""
        found: asyncio.BaseProtocol = self._protocol
        return found

    def _lose(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = self._ended = True
        self._buffer.clear()
        self._loop.call_soon(self._protocol.connection_lost, exc)
        self._schedule()

    # --- carrying ----------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._pump_is_due:
            self._pump_is_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Carry what was written to the other end."""
        self._pump_is_due = False
        other = self._other
        if other._lost:
            if self._buffer:
                self._lose(ConnectionResetError("the other end is closed"))
        elif self._buffer:
            if not other._reading and not other._closing:
                return  # resume_reading() comes back to it
            data = bytes(self._buffer)
            self._buffer.clear()
            if not other._closing:
                other._protocol.data_received(data)
            if self._writing_paused and len(self._buffer) <= self._low:
                self._writing_paused = False
                self._protocol.resume_writing()
        if self._buffer:
            return
        if self._ended and not self._end_told and (other._reading or other._lost):
            self._end_told = True
            if not other._closing and not other._protocol.eof_received():
                other.close()
        if self._closing:
            self._lose(None)


def join(
    loop: asyncio.AbstractEventLoop, near: asyncio.Protocol, far: asyncio.Protocol
) -> None:
    """Connect two protocols with each other; call ``connection_made`` of both."""
    names = ("127.0.0.1", 1), ("127.0.0.1", 2)
    ends = [
        Transport(loop, protocol, {"sockname": here, "peername": there})
        for protocol, here, there in ((near, *names), (far, *names[::-1]))
    ]
    ends[0]._other, ends[1]._other = ends[1], ends[0]
    near.connection_made(ends[0])
    far.connection_made(ends[1])
