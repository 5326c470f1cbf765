"""Receiving as former editions did it, step by step, where a subclass has a step.

``transfer_data()`` is a task that reads messages into a queue; ``read_message()``,
``read_data_frame()`` and ``read_frame()`` are what it is made of. Elsewhere the engine
reads, and who calls one of them gets what it promises.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ...connection import Data, as_wanted
from ...core.frames import parse_close, serialize_close
from ...errors import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidState,
    LimitExceeded,
    PayloadTooBig,
    PeerError,
    ProtocolError,
)
from ...messages import Opcode
from ..frames import Close
from .framing import Frame

if TYPE_CHECKING:
    from .inner import InnerConnection

__all__ = ["FRAMES", "READING", "Reading"]

FRAMES = frozenset({"read_frame", "read_data_frame"})
READING = FRAMES | {"read_message", "transfer_data"}


def first_of(value: int | tuple[int | None, int | None] | None) -> int | None:
    """Return a number, or the first of two."""
    return value[0] if isinstance(value, tuple) else value


class Reading:
    """Receiving, step by step; see the module's docstring."""

    _own: ClassVar[frozenset[str]]
    _connection: InnerConnection
    transfer_data_task: asyncio.Task[None]

    _mid_message = False
    _change: asyncio.Future[None] | None = None

    if TYPE_CHECKING:
        # What the other parts of the class have.
        legacy_recv: bool
        max_size: Any
        max_queue: Any

        # A queue where transfer_data() fills one.
        @property
        def messages(self) -> Any: ...
        @messages.setter
        def messages(self, queue: deque[Any]) -> None: ...
        async def ensure_open(self) -> None: ...
        def connection_closed_exc(self) -> ConnectionClosed: ...
        async def pong(self, data: bytes = b"") -> None: ...
        async def recv(self) -> Any: ...
        async def write_close_frame(
            self, close: Close, data: bytes | None = None
        ) -> None: ...
        async def close_transport(self) -> None: ...

    @property
    def _steps_to_read(self) -> bool:
        """Whether messages are read by steps, and by a task of their own."""
        return False

    # --- recv() ------------------------------------------------------------------

    async def _receive(self, decode: bool | None) -> Data | None:
        try:
            if self._steps_to_read:
                message: Data = await self._receive_transferred(decode)
                return message
            message = await self._connection.recv(decode)
        except ConnectionClosed as exc:
            if self.legacy_recv:
                return None  # the end of messages, in 2.6
            await self._tell_closed(exc)
            raise
        return message

    async def _tell_closed(self, exc: ConnectionClosed) -> None:
        """Raise how the connection ended by the methods that say so."""
        if "ensure_open" in self._own:
            await self.ensure_open()
        if "connection_closed_exc" in self._own:
            raise self.connection_closed_exc() from exc.__cause__

    async def _receive_transferred(self, decode: bool | None) -> Any:
        """Return the next message that ``transfer_data()`` has put in the queue."""
        task = vars(self).get("transfer_data_task")
        if task is None:
            raise InvalidState("the opening handshake is not complete")
        if vars(self).get("_receiving_transferred"):
            raise ConcurrencyError("cannot call recv while another coroutine does")
        self._receiving_transferred = True
        try:
            while not self.messages:
                if task.done():
                    await self._connection._raise_closed(self._connection._live)
                await self._wait_for_change(task)
        finally:
            self._receiving_transferred = False
        message = self.messages.popleft()
        self._changed()
        return message if decode is None else as_wanted(message, decode)

    async def _iterate(self) -> AsyncIterator[Data]:
        while True:
            try:
                message = await self.recv()
            except ConnectionClosedOK:
                return
            if message is None and self.legacy_recv:
                return
            yield message

    # --- transfer_data() ---------------------------------------------------------

    async def _wait_for_change(self, task: asyncio.Future[None]) -> None:
        """Wait until the queue has changed, or ``task`` is done."""
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._change, task}, return_when=asyncio.FIRST_COMPLETED)

    def _changed(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    async def _transfer(self) -> None:
        """Run ``transfer_data()``; end the connection as it ends."""
        inner = self._connection
        try:
            await self.transfer_data()
        except ConnectionClosed:
            raise
        except Exception as exc:
            error: Exception = exc
            if isinstance(exc, UnicodeDecodeError):
                error = ProtocolError(str(exc), code=1007)
            inner._live.fail(error, inner._now())
            inner._react()
            if not isinstance(error, PeerError | LimitExceeded):
                raise
        else:
            if inner._live.can_send:
                await self.close_transport()

    async def transfer_data(self) -> None:
        """Read messages into the queue until the connection is closing.

        Run in a task where it or another step of reading is overridden; elsewhere the
        engine has its queue, and this only waits for the end.
        """
        if not self._steps_to_read:
            await self._connection.until_ended()
            return
        high = first_of(self.max_queue)
        gone = self._connection.connection_lost_waiter
        while (message := await self.read_message()) is not None:
            # Once TCP is gone, what came before waits here for its reader.
            while high and len(self.messages) >= high and not gone.done():
                await self._wait_for_change(gone)
            self.messages.append(message)
            self._changed()

    # --- reading -----------------------------------------------------------------

    async def read_message(self) -> Data | None:
        """Return the next message, None when the closing handshake has begun.

        Raises ConnectionClosed for an end without one.
        """
        if not self._connection._frames_are_read:
            try:
                message: Data = await self._connection.recv()
            except ConnectionClosed as exc:
                if exc.rcvd is None:
                    raise
                return None
            return message
        largest = first_of(self.max_size)
        frame = await self.read_data_frame(largest)
        if frame is None:
            return None
        is_text, parts = frame.opcode == Opcode.TEXT, [bytes(frame.data)]
        while not frame.fin:
            frame = await self.read_data_frame(largest)
            if frame is None:
                return None
            parts.append(bytes(frame.data))
        data = b"".join(parts)
        return data.decode() if is_text else data

    async def read_data_frame(self, max_size: int | None) -> Frame | None:
        """Return the next data frame, None for the close frame.

        Answers pings with ``pong()`` and the close frame with ``write_close_frame()``.
        Raises PayloadTooBig if the frame has more than ``max_size`` bytes, None for
        any.
        """
        while True:
            frame = await self.read_frame(max_size)
            if frame.opcode < Opcode.CLOSE:
                return frame
            if frame.opcode == Opcode.CLOSE:
                await self._answer_close(bytes(frame.data))
                return None
            if frame.opcode == Opcode.PING:
                # Not behind our close frame: pong() would wait for the connection's
                # end, which nobody would read meanwhile.
                if self._connection._live.can_send:
                    await self.pong(bytes(frame.data))
            else:
                self._connection.take_control(frame.opcode, bytes(frame.data))

    async def _answer_close(self, data: bytes) -> None:
        inner = self._connection
        if not inner._frames_are_read:
            return  # the engine has answered it
        code, reason = parse_close(data)
        inner._unanswered = (code, reason)
        if inner._live.protocol.close_sent is None:
            await self.write_close_frame(Close(code, reason), data)
        inner.take_close()

    async def read_frame(self, max_size: int | None) -> Frame:
        """Return the next frame, decompressed.

        Pings, pongs and the close frame come, too, where a step of reading or sending
        is overridden; elsewhere only the close frame: pings are answered as they
        come. A character that fragments share is in the last of them. Raises what
        ``read_data_frame()`` and ``read_message()`` raise.
        """
        inner = self._connection
        session = inner._live
        if inner._receiving:
            raise ConcurrencyError("cannot read while another coroutine is receiving")
        try:
            while not len(session.inbox):
                await inner._wait_for_input(session, streaming=True)
        except ConnectionClosed as exc:
            if exc.rcvd is None:
                raise
            code, reason = exc.rcvd.code, exc.rcvd.reason
            payload = serialize_close(None if code == 1005 else code, reason)
            return Frame(True, Opcode.CLOSE, payload)
        piece = session.take_piece()
        assert piece is not None
        if session.flags:
            inner._react()
        kind, payload, fin = piece
        data = payload.encode() if isinstance(payload, str) else cast(bytes, payload)
        if kind >= Opcode.CLOSE:
            return Frame(True, Opcode(kind), data)
        opcode = Opcode.CONT if self._mid_message else Opcode(kind)
        self._mid_message = not fin
        if max_size is not None and len(data) > max_size:
            raise PayloadTooBig(len(data), max_size)
        return Frame(fin, opcode, data)
