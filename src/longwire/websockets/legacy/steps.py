"""The steps of an open connection that former editions ran in tasks of its own.

The engine reads, pings and closes for all connections at once, so none of this is on
the way of a message. Where a subclass overrides a step, its connection has the task
that step was of, and what the method does has its effect.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar

from ...asyncio.connection import Connection
from ...asyncio.timers import Timers
from ...connection import Data, as_wanted
from ...core.frames import serialize_close
from ...errors import (
    ConcurrencyError,
    ConnectionClosed,
    InvalidState,
    LimitExceeded,
    PayloadTooBig,
    PeerError,
    ProtocolError,
)
from ...messages import Cause, Opcode
from ...options import Keepalive
from ...steps import Opened
from ..old_names import OldNames
from .framing import Frame

__all__ = ["Steps", "overridden"]

_FRAMES = frozenset({"read_frame", "read_data_frame"})
_READING = _FRAMES | {"read_message", "transfer_data"}
_CLOSING = frozenset({"close_connection", "close_transport"})
_STEPS = _READING | _CLOSING | {"keepalive_ping"}

_engine_recv = Connection.recv


def overridden(cls: type, base: type, *names: str) -> frozenset[str]:
    """Return which methods of ``base`` the subclass ``cls`` has its own of."""
    return frozenset(n for n in names if getattr(cls, n) is not getattr(base, n))


def _first(value: int | tuple[int | None, int | None] | None) -> int | None:
    """Return a number, or the first of two."""
    return value[0] if isinstance(value, tuple) else value


class Steps(OldNames):
    """Reading, pinging and closing, step by step; see the module's docstring."""

    max_size: int | tuple[int | None, int | None] | None
    max_queue: int | tuple[int | None, int | None] | None
    ping_interval: float | None
    ping_timeout: float | None
    close_timeout: float | None
    legacy_recv: bool

    transfer_data_task: asyncio.Task[None] | None = None
    keepalive_ping_task: asyncio.Task[None] | None = None
    close_connection_task: asyncio.Task[None] | None = None

    messages: deque[Any]
    """What ``transfer_data()`` has put there and ``recv()`` has not taken yet."""

    _own_steps: ClassVar[frozenset[str]] = frozenset()
    _reads_by_steps = False
    _mid_message = False
    _change: asyncio.Future[None] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._own_steps = overridden(cls, Steps, *_STEPS)
        cls._reads_by_steps = bool(cls._own_steps & _READING)

    # --- opening -----------------------------------------------------------------

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection, by ``connection_open()``."""
        self._agreed = opened
        self.connection_open()
        if self._session is None:
            name = type(self).__name__
            raise RuntimeError(
                f"{name}.connection_open() must call super().connection_open()"
            )

    def connection_open(self) -> None:
        """Enter the OPEN state: called when the opening handshake is complete.

        May be overridden; before the call of ``super()`` nothing can be sent yet.
        """
        agreed = self._agreed
        if agreed is None or self._session is not None:
            what = "is not complete" if agreed is None else "was completed before"
            raise InvalidState(f"the opening handshake {what}")
        own = self._own_steps
        if "keepalive_ping" in own:
            self._keepalive = Keepalive(interval=None, timeout=None)
        super().opened(agreed)
        if self._reads_by_steps:
            self.messages = deque()
            self.transfer_data_task = self._run_step("transfer_data", self._transfer())
        if "keepalive_ping" in own:
            self.keepalive_ping_task = self._run_step(
                "keepalive_ping", self.keepalive_ping()
            )
        if own & _CLOSING:
            self.close_connection_task = self._run_step(
                "close_connection", self.close_connection()
            )

    def _run_step(
        self, name: str, step: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        """Run an overridden step; what it raises is in the log."""

        async def run() -> None:
            try:
                await step
            except ConnectionClosed:
                pass  # how the connection ended is told to who uses it
            except Exception as exc:
                self.logger.error("%s failed", name, exc_info=exc)

        return asyncio.get_running_loop().create_task(run())

    # --- reading -----------------------------------------------------------------

    if not TYPE_CHECKING:  # whose checkers would lose the overloads

        def recv(self, decode=None):
            """Return the next message, as the engine does, or as in 2.6."""
            if self.legacy_recv or self._reads_by_steps:
                return self._recv_as_of_old(decode)
            return _engine_recv(self, decode)

    def __aiter__(self) -> AsyncIterator[Data]:
        """Iterate over messages; ends when the connection is closed properly."""
        if self.legacy_recv:
            return self._until_none()
        plain = type(self).recv is Steps.recv and not self._reads_by_steps
        return self._iterate(not plain)

    async def _until_none(self) -> AsyncIterator[Data]:
        async for message in self._iterate(True):
            if message is None:
                return
            yield message

    async def _recv_as_of_old(self, decode: bool | None) -> Data | None:
        try:
            if self._reads_by_steps:
                transferred: Data | None = await self._recv_transferred(decode)
                return transferred
            message: Data = await _engine_recv(self, decode)
        except ConnectionClosed:
            if not self.legacy_recv:
                raise
            return None  # the end of messages, in 2.6
        return message

    async def _recv_transferred(self, decode: bool | None) -> Any:
        """Return the next message that ``transfer_data()`` has put in the queue."""
        task = self.transfer_data_task
        if task is None:
            raise InvalidState("the opening handshake is not complete")
        while not self.messages:
            if task.done():
                await self._raise_closed(self._live)
            await self._wait_for_change(task)
        message = self.messages.popleft()
        self._changed()
        return message if decode is None else as_wanted(message, decode)

    async def _wait_for_change(self, task: asyncio.Task[None]) -> None:
        """Wait until the queue has changed, or ``task`` is done."""
        if self._change is None or self._change.done():
            self._change = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._change, task}, return_when=asyncio.FIRST_COMPLETED)

    def _changed(self) -> None:
        if self._change is not None and not self._change.done():
            self._change.set_result(None)

    async def _transfer(self) -> None:
        """Run ``transfer_data()``; end the connection as it ends."""
        try:
            await self.transfer_data()
        except ConnectionClosed:
            raise
        except Exception as exc:
            error: Exception = exc
            if isinstance(exc, UnicodeDecodeError):
                error = ProtocolError(str(exc), code=1007)
            self._live.fail(error, self._now())
            self._react()
            if not isinstance(error, PeerError | LimitExceeded):
                raise
        else:
            if self._live.is_open:
                await self.close_transport()

    async def transfer_data(self) -> None:
        """Read messages into the queue until the connection is closing.

        Run in a task where it or another step of reading is overridden; elsewhere the
        engine has its queue, and this only waits for the end.
        """
        if not self._reads_by_steps:
            await self._until_ended()
            return
        high = _first(self.max_queue)
        gone = self.worker
        while (message := await self.read_message()) is not None:
            # Once TCP is gone, what came before waits here for its reader.
            while high and len(self.messages) >= high and not gone.done():
                await self._wait_for_change(gone)
            self.messages.append(message)
            self._changed()

    async def read_message(self) -> Data | None:
        """Return the next message, None when the closing handshake has begun.

        Raises ConnectionClosed for an end without one.
        """
        if not self._own_steps & _FRAMES:
            try:
                return await _engine_recv(self)
            except ConnectionClosed as exc:
                if exc.rcvd is None:
                    raise
                return None
        largest = _first(self.max_size)
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

        Raises PayloadTooBig if it has more than ``max_size`` bytes, None for any.
        """
        frame = await self.read_frame(max_size)
        return None if frame.opcode == Opcode.CLOSE else frame

    async def read_frame(self, max_size: int | None) -> Frame:
        """Return the next data frame, or the close frame.

        Pings and pongs are answered as they come and are not among them, data is
        decompressed, and a character that fragments share is in the last of them.
        Raises what ``read_data_frame()`` and ``read_message()`` raise.
        """
        session = self._live
        if self._receiving:
            raise ConcurrencyError("cannot read while another coroutine is receiving")
        try:
            while not len(session.inbox):
                await self._wait_for_input(session, streaming=True)
        except ConnectionClosed as exc:
            if exc.rcvd is None:
                raise
            code, reason = exc.rcvd.code, exc.rcvd.reason
            payload = serialize_close(None if code == 1005 else code, reason)
            return Frame(True, Opcode.CLOSE, payload)
        piece = session.take_piece()
        assert piece is not None
        if session.flags:
            self._react()
        kind, payload, fin = piece
        data = payload.encode() if isinstance(payload, str) else payload
        opcode = Opcode.CONT if self._mid_message else Opcode(kind)
        self._mid_message = not fin
        if max_size is not None and len(data) > max_size:
            raise PayloadTooBig(len(data), max_size)
        return Frame(fin, opcode, data)

    # --- pinging -----------------------------------------------------------------

    async def keepalive_ping(self) -> None:
        """Send pings every ``ping_interval`` seconds until the connection ends.

        A pong that is missing after ``ping_timeout`` ends it, with 1011. The engine's
        timer does both. Run in a task where it is overridden: there are then no pings
        but those sent here.
        """
        if self.ping_interval is None:
            return
        session = self._live
        beat = session.heartbeat
        if beat.interval is None and session.is_open:
            beat.interval, beat.timeout = self.ping_interval, self.ping_timeout
            beat.ping_at = self._now() + self.ping_interval
            Timers.of(self._loop).arm(self)
        await self._until_ended()

    def abort_pings(self) -> None:
        """Raise ConnectionClosed in who waits for a pong; no pong will end that.

        Called when TCP has ended; calling it again does nothing.
        """
        session = self._live
        for future in session.heartbeat.take_waiters():
            if not future.done():
                future.set_exception(session.exception())
                # Who does not wait for the pong need not be told.
                future.exception()

    def lost(self, exc: BaseException | None) -> None:
        """TCP is gone."""
        super().lost(exc)
        self.abort_pings()

    # --- closing -----------------------------------------------------------------

    async def _until_ended(self) -> None:
        """Wait until no more data is exchanged: the end of the connection is sure."""
        session = self._live
        while not session.is_over:
            await self._wait_for_state()

    async def close_connection(self) -> None:
        """Wait for the end of the data, then for that of TCP.

        Run in a task where it or ``close_transport()`` is overridden.
        """
        await self._until_ended()
        await self.close_transport()

    async def close_transport(self) -> None:
        """Close TCP, without a closing handshake if there was none, and wait for it.

        Once there was one, TCP ends by itself, or after ``close_timeout``.
        """
        session = self._live
        if session.ended is None:
            text = "close_transport() was called"
            session.abort(Cause.LOCAL, text, self._now())
            self._react()
        await self.wait_closed()

    @property
    def worker(self) -> asyncio.Task[None]:
        """A task that is done when the connection has ended, as in 2.6."""
        task: asyncio.Task[None] | None = vars(self).get("_worker")
        if task is None:
            task = asyncio.get_running_loop().create_task(self.wait_closed())
            self._worker = task
        return task
