"""Connection on asyncio: what handlers call and wait for.

Receiving, sending, pings, closing: the session's decisions, waited for with futures.
How bytes come to the session and leave it is in ``link.py``.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from asyncio import _get_running_loop, get_running_loop
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, overload

from ..broadcasting import encode
from ..connection import (
    BytesLike,
    Data,
    Fragments,
    Message,
    Pieces,
    check_fragments,
    control_payload,
    opcode_for,
)
from ..errors import InvalidState, LimitExceeded
from ..hints import use_async
from ..messages import Cause, Opcode, State
from ..session.backlog import SENT, WAITS
from ..session.leaving import Outcome, outcome_of
from ..session.session import Session, check_close
from .link import Link
from .threads import ThreadSender
from .usage import UNBROKEN, busy, check_loop, elsewhere, is_from_outside

__all__ = ["Connection", "elsewhere"]


class Connection(Link):
    """A WebSocket connection for coroutines.

    ``protocol`` holds the settings of the side that makes it; the keywords override
    them for this connection. Made by ``connect`` and ``serve``; subclass it and pass
    the class as ``create_connection``.
    """

    _thread_sender: ThreadSender | None = None

    def __iter__(self) -> NoReturn:
        """Raise TypeError: messages are received asynchronously."""
        raise use_async("a connection", "for message in websocket")

    def __enter__(self) -> NoReturn:
        """Raise TypeError: closing takes time."""
        raise use_async("a connection", "with websocket")

    def __exit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    # --- receiving ---------------------------------------------------------------

    async def _wait_for_input(self, session: Session, streaming: bool = False) -> None:
        """Wait for a whole message, or, when streaming, for a piece of one."""
        self._receiving = True
        session.streaming = streaming
        try:
            while True:
                session.wait(self._now())
                if session.flags:
                    self._react()
                if session.has_message or (streaming and len(session.inbox)):
                    return
                if session.end_is_known():
                    raise session.exception()
                self._reader = self._loop.create_future()
                await self._reader
        finally:
            session.stop_waiting()
            self._reader = None
            self._receiving = False

    @overload
    def recv_streaming(self, decode: Literal[True]) -> AsyncIterator[str]: ...

    @overload
    def recv_streaming(self, decode: Literal[False]) -> AsyncIterator[bytes]: ...

    @overload
    def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]: ...

    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[Data]:
        """Yield the next message in pieces, as its fragments arrive.

        ``decode`` is as for ``recv()``. The message has to be read to its end before
        the next can be received. Raises what ``recv()`` raises.
        """
        session = self._live
        check_loop(self._loop)
        if self._receiving:
            raise busy("recv_streaming")
        decoder = Pieces(decode)
        begun = fin = False
        try:
            while not fin:
                check_loop(self._loop)
                if not len(session.inbox):
                    await self._wait_for_input(session, streaming=True)
                piece = session.take_piece()
                assert piece is not None
                _, payload, fin = piece
                begun = True
                self._receiving = not fin
                if session.flags:
                    self._react()
                yield decoder.feed(payload, fin)
        finally:
            if begun and not fin:
                # Half a message cannot be told from a whole one by the next recv().
                over = session.ended is not None and not len(session.inbox)
                self._receiving = not over

    # --- sending -----------------------------------------------------------------

    async def _send_elsewhere(
        self, message: Any, text: bool | None, compress: bool
    ) -> None:
        """Do what ``send()`` does outside of the connection's event loop: raise."""
        raise elsewhere()

    async def _send_slowly(
        self, message: Any, text: bool | None, compress: bool
    ) -> None:
        """Send what cannot leave at once: in fragments, or not yet, or not any more."""
        session = self._live
        if not isinstance(message, (str, *BytesLike)):
            await self._send_fragments(session, message, text, compress)
            return
        await self._wait_for_turn(session)
        if not session.can_send:
            await self._raise_closed(session)
        session.send(opcode_for(message, text), message, True, compress)
        self._react()
        self._unbroken += 1
        await self._pause(session)

    async def _send_fragments(
        self, session: Session, message: Any, text: bool | None, compress: bool
    ) -> None:
        check_fragments(message)
        self._ask_about_list(message)
        opcode: Opcode | None = None
        held: Message | None = None
        # What comes asynchronously leaves as it comes, and an empty fragment ends it.
        # What is all there needs no such end: its last item waits to be told as such.
        holding = not isinstance(message, AsyncIterable)
        begun = False
        try:
            async for item in items_of(message):
                if opcode is None:
                    opcode = opcode_for(item, text)
                    kind = str if isinstance(item, str) else BytesLike
                    # The turn may have been taken while the first item was awaited.
                    await self._wait_for_turn(session)
                    begun = True
                    await self._fragment(session, opcode, item, False, compress)
                    await self._pause(session)
                    continue
                if not isinstance(item, kind):
                    found = type(item).__name__
                    raise TypeError(f"all fragments must be of one type; found {found}")
                ready: Message | None = item
                if holding:
                    ready, held = held, item
                if ready is not None:
                    await self._fragment(session, Opcode.CONT, ready, False, compress)
                    await self._pause(session)
            if opcode is not None:
                last = b"" if held is None else held
                await self._fragment(session, Opcode.CONT, last, True, compress)
        except BaseException as exc:
            if begun and session.fragmenting and session.can_send:
                # The peer holds half a message that nobody will finish.
                self._fail_fragmented(exc)
            raise
        # Who gives up now leaves a whole message, and the turn to others.
        await self._pause(session)

    def _fail_fragmented(self, exc: BaseException) -> None:
        self._start_close(1011, "error in fragmented message", exc)

    async def _fragment(
        self,
        session: Session,
        opcode: Opcode,
        item: Message,
        fin: bool,
        compress: bool,
    ) -> None:
        if not session.can_send:
            await self._raise_closed(session)
        session.send(opcode, item, fin, compress)
        self._react()
        self._unbroken += 1

    async def _pause(self, session: Session) -> None:
        """Wait while the peer is slow; let other tasks run now and then."""
        if not session.writable:
            await self._drain(session)
            # Many may go on at this: not each with its whole share.
            self._unbroken = UNBROKEN
        elif self._unbroken >= UNBROKEN:
            self._unbroken = 0
            await asyncio.sleep(0)

    async def _wait_for_turn(self, session: Session) -> None:
        # Who waits here has put nothing in the output: it holds one message more than
        # its limit, however many senders there are and however many give up.
        if session.fragmenting or not session.writable:
            with self._in_line(session):
                while session.can_send and (
                    session.fragmenting or not session.writable
                ):
                    await self._wait_for_state()

    async def _drain(self, session: Session) -> None:
        with self._in_line(session):
            while not session.writable and not session.is_over:
                await self._wait_for_state()
            lost = not session.writable
        if lost:
            # The peer will not get it: better said than left to the next send().
            await self._raise_closed(session)

    @contextlib.contextmanager
    def _in_line(self, session: Session) -> Iterator[None]:
        """Wait to send, so that messages for many do not always come first."""
        session.wait_to_send()
        try:
            yield
        finally:
            session.stop_waiting_to_send()
            if session.flags:
                self._react()

    async def _raise_closed(self, session: Session) -> None:
        """Raise ConnectionClosed, once it is known how the connection ends."""
        while not (session.tcp_lost or session.end_is_known()):
            await self._wait_for_state()
        raise session.exception()

    async def _wait_for_state(self) -> None:
        future = self._loop.create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            if future.cancelled() and future in self._waiting:
                self._waiting.remove(future)

    def send_threadsafe(
        self,
        message: Message | Fragments,
        text: bool | None = None,
        *,
        compress: bool = True,
    ) -> concurrent.futures.Future[None]:
        """Send a message from another thread; arguments are those of ``send()``.

        Returns a future that is done when ``send()`` is, with what that raises.
        Messages go out in the order in which each thread sends them. While 1,024 of
        them wait, a thread has to wait; one that runs an event loop gets a
        ConcurrencyError.
        """
        if self._session is None:
            raise InvalidState("the opening handshake is not complete")
        return ThreadSender.of(self).put(message, text, compress)

    # --- sending without waiting -------------------------------------------------

    def post(self, message: Message, text: bool | None = None) -> bool:
        """Send a message without waiting: now if there is room, else when there is.

        str goes out as Text, bytes-like as Binary, unless ``text`` says which to use.
        Messages that wait leave in order, and before a ``send()`` that comes later. A
        connection for which more than ``Limits.unsent_bytes`` wait is closed with 1008.
        Returns False where the message is not sent: the connection is closing, has
        ended, or is closed for this. Raises TypeError for a message of another type.
        """
        session = self._live
        check_loop(self._loop)
        form = encode(message, text)
        if not session.can_send:
            return False
        return self.offer(form, "disconnect", None) in (SENT, WAITS)

    def on_room(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` once ``has_room`` is true, or nothing more can be sent.

        It is called once, from the connection's event loop.
        """
        session = self._live
        check_loop(self._loop)
        if self._on_room is None:
            self._on_room = []
        self._on_room.append(callback)
        self._tell_of_room(session)

    def close_for(self, error: LimitExceeded) -> None:
        """Close the connection with the close code of ``error``; wait for nothing.

        ``close_report`` has the error and names its limit. Where the connection is
        closing already, its report stays.
        """
        session = self._live
        check_loop(self._loop)
        if session.can_send:
            session.fail(error, self._now())
            self._react()

    # --- pings -------------------------------------------------------------------

    async def ping(self, data: str | bytes | None = None) -> Awaitable[float]:
        """Send a ping; return a future whose result is the latency in seconds.

        ``data`` is at most 125 bytes, four random ones if None. Await the future to
        wait for the pong. Raises ConcurrencyError while a ping with the same data
        waits for its pong, ConnectionClosed when the connection has ended.
        """
        session = self._live
        payload = None if data is None else control_payload(data)
        check_loop(self._loop)
        if not session.can_send:
            await self._raise_closed(session)
        future: asyncio.Future[float] = self._loop.create_future()
        session.ping(payload, future, self._now())
        self._react()
        return future

    async def pong(self, data: str | bytes = b"") -> None:
        """Send a pong nobody asked for: a heartbeat in one direction.

        ``data`` is at most 125 bytes. Raises ConnectionClosed when the connection
        has ended.
        """
        session = self._live
        payload = control_payload(data)
        check_loop(self._loop)
        if not session.can_send:
            await self._raise_closed(session)
        session.pong(payload)
        self._react()

    # --- closing -----------------------------------------------------------------

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection and wait until TCP has ended.

        Does the closing handshake, never longer than twice ``close_timeout``, also
        while messages wait unread. Calling it again only waits. Raises ProtocolError
        for a code or reason that may not be sent.
        """
        if self._session is None:
            raise InvalidState("the opening handshake is not complete")
        check_loop(self._loop)
        check_close(code, reason)
        self._start_close(code, reason)
        await self.wait_closed()

    def _start_close(
        self,
        code: int | None,
        reason: str,
        error: BaseException | None = None,
        cause: Cause = Cause.LOCAL,
    ) -> None:
        session = self._live
        if error is not None:
            cause = Cause.HANDLER
        session.close(code, reason, self._now(), cause, error)
        self._react()

    async def wait_closed(self) -> None:
        """Wait until TCP has ended, for whatever reason.

        During a server's opening handshake, until the client has gone, or was refused.
        """
        wire = self.wire
        loop = get_running_loop() if wire is None else wire.loop
        check_loop(loop)
        if self.state is State.CLOSED:
            return
        if self._session is None and wire is not None and (wire.got_eof or wire.lost):
            return  # opening, and the peer has gone
        if self._gone is None:
            self._gone = loop.create_future()
        await asyncio.shield(self._gone)

    async def __aenter__(self) -> Self:
        """Return the connection; leaving the block closes it."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exc, GeneratorExit) and _get_running_loop() is not self._loop:
            return  # collected after its loop: nobody is there to close anything
        outcome = outcome_of(exc, self._live, from_outside=is_from_outside(exc))
        await self._leave_block(outcome, exc)

    async def _leave_block(self, outcome: Outcome, exc: BaseException | None) -> None:
        """Close for how the block ended that used the connection, and wait."""
        if outcome in (Outcome.RETURNED, Outcome.ENDED):
            await self.close()
            return
        error = exc if outcome is Outcome.FAILED else None
        self._start_close(outcome.value, "", error)
        await self.wait_closed()

    # --- addresses ---------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport:
        """The asyncio transport below, for what only it knows."""
        if self.wire is None:
            raise InvalidState("the connection is not made yet")
        return self.wire.transport

    @property
    def local_address(self) -> Any:
        """Our address: (host, port, …) for TCP, a path for a Unix socket."""
        return None if self.wire is None else self.wire.get_extra_info("sockname")

    @property
    def remote_address(self) -> Any:
        """The peer's address: (host, port, …) for TCP; None before there is one.

        Behind a proxy that is the proxy's.
        """
        return None if self.wire is None else self.wire.get_extra_info("peername")


async def items_of(
    message: Iterable[Message] | AsyncIterable[Message],
) -> AsyncIterator[Message]:
    """Iterate over fragments, whichever way they come."""
    if isinstance(message, AsyncIterable):
        async for item in message:
            yield item
    else:
        for item in message:
            yield item
