"""Connection for trio: what handlers call and wait for.

Receiving, sending, pings, closing: plans of ``verbs.py``, driven in the calling task.
How bytes come to the session and leave it is in ``link.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

import trio
from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
)

from ..connection import BytesLike, Data, as_wanted, control_payload, opcode_for
from ..errors import ConnectionClosedOK
from ..session.leaving import Outcome, outcome_of
from ..session.session import OUTPUT
from ..verbs import Plan, fragments_of
from .link import Link

__all__ = ["Connection", "Pong"]

Message = str | bytes | bytearray | memoryview


class Pong:
    """What ``ping()`` returns: await it for the seconds until the pong has come.

    ``event`` is set then, and when the connection ends before: awaiting it raises
    ConnectionClosed in that case, and ``latency`` stays None.
    """

    latency: float | None = None
    error: BaseException | None = None

    def __init__(self) -> None:
        self.event = trio.Event()

    def resolve(self, latency: float) -> None:
        """Tell who waits that the pong has come."""
        self.latency = latency
        self.event.set()

    def fail(self, error: BaseException) -> None:
        """Tell who waits that no pong will come."""
        self.error = error
        self.event.set()

    async def wait(self) -> float:
        """Wait for the pong; return its latency."""
        await self.event.wait()
        if self.latency is None:
            assert self.error is not None
            raise self.error
        return self.latency

    def __await__(self) -> Generator[Any, Any, float]:
        return self.wait().__await__()


P = TypeVar("P", bound=Pong)


class _Messages:
    """The messages of a connection; no generator, which would have to be closed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Data:
        try:
            return await self._connection.recv()
        except ConnectionClosedOK:
            raise StopAsyncIteration from None


class Connection(Link):
    """A WebSocket connection on trio.

    Its background tasks run in ``nursery``. ``stream`` is connected, ``protocol`` holds
    the settings of the side that makes it; the keywords override them for this
    connection. Made by ``connect`` and ``serve``; subclass it and pass the class as
    ``create_connection``.
    """

    # --- receiving ---------------------------------------------------------------

    @overload
    async def recv(self, decode: Literal[True]) -> str: ...

    @overload
    async def recv(self, decode: Literal[False]) -> bytes: ...

    @overload
    async def recv(self, decode: bool | None = None) -> Data: ...

    async def recv(self, decode: bool | None = None) -> Data:
        """Return the next message: text as str, binary as bytes.

        ``decode=True`` decodes binary messages too, ``decode=False`` leaves text as
        UTF-8 bytes. Cancelling it loses nothing: for a timeout, write
        ``with trio.fail_after(seconds)``. Raises ConnectionClosed when the connection
        has ended and all that came before was received, ConcurrencyError while another
        task is receiving.
        """
        verbs = self._open_verbs
        session = self._live
        if verbs.begin_to_wait():
            # Most often the next read brings the message: spare the plan.
            try:
                if session.flags:
                    self._react()
                await self._input()
            finally:
                verbs.stop_waiting()
        else:
            await checkpoint()
        if session.has_message and not verbs.receiving:
            payload: Data = session.take()[1]
            if session.flags:
                self._react()
        else:
            payload = await self._drive(verbs.recv())
        return payload if decode is None else as_wanted(payload, decode)

    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]:
        """Yield the next message in pieces, as its fragments arrive.

        ``decode`` is as for ``recv()``. The message has to be read to its end before
        the next can be received. Raises what ``recv()`` raises.
        """
        message = self._open_verbs.stream(decode)
        try:
            while not message.done:
                await checkpoint_if_cancelled()
                yield await self._drive(message.next_piece())
        finally:
            message.stop()

    def __aiter__(self) -> AsyncIterator[Data]:
        """Iterate over messages; ends when the connection is closed properly.

        Any other end raises ConnectionClosedError.
        """
        return _Messages(self)

    # --- sending -----------------------------------------------------------------

    async def send(
        self,
        message: Message | Iterable[Message] | AsyncIterable[Message],
        text: bool | None = None,
        *,
        compress: bool = True,
    ) -> None:
        """Send a message: str as Text, bytes-like as Binary.

        ``text`` overrides that. An iterable is sent as one fragment for each item, all
        of one type. ``compress=False`` sends this message uncompressed though
        permessage-deflate was agreed on. Waits while the peer is slow; cancelled then,
        the message is sent all the same. Raises ConnectionClosed when the connection
        has ended, TypeError for other types.
        """
        verbs = self._open_verbs
        session = self._live
        await checkpoint_if_cancelled()
        if not isinstance(message, (str, *BytesLike)):
            fragments = fragments_of(message, blocking=False)
            await self._drive(verbs.send_fragments(fragments, text, compress))
            return
        if not (session.writable and session.is_open) or session.fragmenting:
            await self._drive(verbs.send(message, text, compress))
            return
        session.send(opcode_for(message, text), message, True, compress)
        if session.flags == OUTPUT:
            session.flags = 0
            self._write(session)
        if session.flags:
            self._react()
        if session.writable:
            await cancel_shielded_checkpoint()
        else:
            await self._drive(verbs.wait_for_room())

    # --- pings -------------------------------------------------------------------

    async def ping(self, data: str | bytes | None = None) -> Pong:
        """Send a ping; return what to await for its latency.

        ``data`` is at most 125 bytes, four random ones if None. Raises ConcurrencyError
        while a ping with the same data waits for its pong, ConnectionClosed when the
        connection has ended.
        """
        return await self._ping(data, Pong())

    async def _ping(self, data: str | bytes | None, pong: P) -> P:
        payload = None if data is None else control_payload(data)
        await checkpoint_if_cancelled()
        await self._drive(self._open_verbs.ping(payload, pong))
        return pong

    async def pong(self, data: str | bytes = b"") -> None:
        """Send a pong nobody asked for: a heartbeat in one direction.

        ``data`` is at most 125 bytes. Raises ConnectionClosed when the connection has
        ended.
        """
        await checkpoint_if_cancelled()
        await self._drive(self._open_verbs.pong(control_payload(data)))

    # --- closing -----------------------------------------------------------------

    async def aclose(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection and wait until TCP has ended.

        Does the closing handshake, never longer than twice ``close_timeout``, also
        while messages wait unread. Cancelled, it sends the close frame and ends TCP at
        once. Calling it again only waits. Raises ProtocolError for a code or reason
        that may not be sent.
        """
        await self._close(self._open_verbs.close(code, reason))

    async def _close(self, plan: Plan[None]) -> None:
        try:
            await self._drive(plan)
        except trio.Cancelled:
            self._abort("cancelled while closing")
            raise

    async def wait_closed(self) -> None:
        """Wait until TCP has ended, for whatever reason."""
        await checkpoint_if_cancelled()
        await self._drive(self._open_verbs.wait_closed())

    async def __aenter__(self) -> Self:
        """Return the connection; leaving the block closes it.

        With 1000; with 1001 when it is cancelled; with 1011 when another exception
        leaves it.
        """
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        outcome = outcome_of(exc, self._live, from_outside=is_from_outside(exc))
        await self._leave_block(outcome, exc)

    async def _leave_block(self, outcome: Outcome, exc: BaseException | None) -> None:
        """Close for how the block ended that used the connection, and wait."""
        await self._close(self._verbs.leave(outcome, exc))


def is_from_outside(exc: BaseException | None) -> bool:
    """Whether a block was cancelled, or its coroutine ended, and nothing else."""
    if isinstance(exc, BaseExceptionGroup):
        return all(map(is_from_outside, exc.exceptions))
    return isinstance(exc, (trio.Cancelled, GeneratorExit))
