"""Connection for trio: what handlers call and wait for.

Receiving, sending, pings, closing: plans of ``verbs.py``, driven in the calling task.
How bytes come to the session and leave it is in ``link.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, TypeVar, overload

import trio
from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
    enable_ki_protection,
)

from ..connection import (
    BytesLike,
    Data,
    Message,
    as_wanted,
    control_payload,
    opcode_for,
)
from ..errors import ConnectionClosedOK
from ..hints import no_timeout, use_async
from ..session.leaving import Outcome, outcome_of
from ..session.session import OUTPUT
from ..verbs import Plan, fragments_of
from .link import Link, check_run

__all__ = ["Connection", "Pong"]


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

    def __iter__(self) -> NoReturn:
        """Raise TypeError: messages are waited for."""
        raise use_async("a connection", "for message in websocket")

    def __enter__(self) -> NoReturn:
        """Raise TypeError: closing takes time."""
        raise use_async("a connection", "with websocket")

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    # --- receiving ---------------------------------------------------------------

    @overload
    async def recv(self, decode: Literal[True]) -> str: ...

    @overload
    async def recv(self, decode: Literal[False]) -> bytes: ...

    @overload
    async def recv(self, decode: bool | None = None) -> Data: ...

    @enable_ki_protection
    async def recv(self, decode: bool | None = None, *, timeout: None = None) -> Data:
        """Return the next message: text as str, binary as bytes.

        ``decode=True`` decodes binary messages too, ``decode=False`` leaves text as
        UTF-8 bytes. Cancelling it loses nothing: for a ``timeout``, write
        ``with trio.fail_after(seconds)``; the keyword is only there to say so. Raises
        ConnectionClosed when the connection has ended and all that came before was
        received, ConcurrencyError while another task is receiving.
        """
        if timeout is not None:
            raise no_timeout(timeout, "trio")
        verbs = self._open_verbs
        session = self._live
        if verbs.begin_to_wait():
            # Most often the next read brings the message: spare the plan.
            try:
                if session.flags:
                    self._react()
                    await checkpoint()  # the message may be there now
                else:
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

    @enable_ki_protection
    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]:
        """Yield the next message in pieces, as its fragments arrive.

        ``decode`` is as for ``recv()``. The message has to be read to its end before
        the next can be received. Cancelled before its first piece, it loses nothing;
        after that nothing more can be received, and the connection can be closed.
        Raises what ``recv()`` raises.
        """
        verbs = self._open_verbs
        message = verbs.stream(decode)
        try:
            while not message.done:
                await checkpoint_if_cancelled()
                await self._drive(message.next_piece())
                payload = message.payload()
                message.given, verbs.receiving = message.taken, message.goes_on
                yield payload
        finally:
            message.stop()

    def __aiter__(self) -> AsyncIterator[Data]:
        """Iterate over messages; ends when the connection is closed properly.

        Any other end raises ConnectionClosedError.
        """
        return _Messages(self)

    # --- sending -----------------------------------------------------------------

    @enable_ki_protection
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
        permessage-deflate was agreed on. Waits for its turn, and while the peer is slow
        to take the message. Where it is cancelled before its turn has come, Cancelled
        is raised and nothing is sent; after that it returns early, and the message is
        sent. So Cancelled always means: not sent. A message in fragments that has begun
        cannot be taken back: cancelling that closes the connection with 1011. Raises
        ConnectionClosed when the connection has ended, TypeError for other types.
        """
        verbs = self._open_verbs
        session = self._live
        await checkpoint_if_cancelled()
        if not isinstance(message, (str, *BytesLike)):
            fragments = fragments_of(message, blocking=False)
            self._ask_about_list(message)
            if await self._drive(verbs.put_fragments(fragments, text, compress)):
                await self._wait_for_room()
            return
        if not (session.writable and session.can_send) or session.fragmenting:
            await self._drive(verbs.put(message, text, compress))
            await self._wait_for_room()
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
            await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        """Wait while the peer is slow to take what was sent, until cancelled."""
        try:
            await self._drive(self._verbs.wait_for_room())
        except trio.Cancelled:
            # The message goes its way, so the call has succeeded: the next checkpoint
            # of the task raises Cancelled anew.
            pass

    # --- pings -------------------------------------------------------------------

    @enable_ki_protection
    async def ping(self, data: str | bytes | None = None) -> Pong:
        """Send a ping; return what to await for its latency.

        ``data`` is at most 125 bytes, four random ones if None. Raises ConcurrencyError
        while a ping with the same data waits for its pong, ConnectionClosed when the
        connection has ended.
        """
        return await self._ping(data, Pong())

    async def _ping(self, data: str | bytes | None, pong: P) -> P:
        payload = None if data is None else control_payload(data)
        verbs = self._open_verbs
        await checkpoint_if_cancelled()
        await self._drive(verbs.ping(payload, pong))
        return pong

    @enable_ki_protection
    async def pong(self, data: str | bytes = b"") -> None:
        """Send a pong nobody asked for: a heartbeat in one direction.

        ``data`` is at most 125 bytes. Raises ConnectionClosed when the connection has
        ended.
        """
        payload, verbs = control_payload(data), self._open_verbs
        await checkpoint_if_cancelled()
        await self._drive(verbs.pong(payload))

    # --- closing -----------------------------------------------------------------

    @enable_ki_protection
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

    @enable_ki_protection
    async def wait_closed(self) -> None:
        """Wait until TCP has ended, for whatever reason; cancelled, it only waits."""
        verbs = self._open_verbs
        await checkpoint_if_cancelled()
        await self._drive(verbs.wait_closed())

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
        check_run(self._home)
        outcome = outcome_of(exc, self._live, from_outside=is_from_outside(exc))
        await self._leave_block(outcome, exc)

    async def _leave_block(self, outcome: Outcome, exc: BaseException | None) -> None:
        """Close for how the block ended that used the connection, and wait."""
        await self._close(self._verbs.leave(outcome, exc))


_STOPS = (trio.Cancelled, KeyboardInterrupt, SystemExit)


def is_from_outside(exc: BaseException | None, *, runs: bool = False) -> bool:
    """Whether a block was stopped, or its coroutine closed, and nothing else.

    Nobody closes the coroutine of a task that ``runs``: there, a GeneratorExit is the
    program's own.
    """
    if isinstance(exc, BaseExceptionGroup):
        return all(is_from_outside(each, runs=runs) for each in exc.exceptions)
    return isinstance(exc, _STOPS) or (isinstance(exc, GeneratorExit) and not runs)


def what_stops(exc: BaseException | None) -> BaseException | None:
    """Return what of ``exc`` the task must raise on, None if it has nothing of that.

    A nursery of the program raises these in a group with what else there was.
    """
    if isinstance(exc, BaseExceptionGroup):
        return exc.subgroup(_STOPS)
    return exc if isinstance(exc, _STOPS) else None
