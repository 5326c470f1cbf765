"""Messaging: the way of each message between a connection's session and its handler.

Bytes in, messages to the one who waits in ``recv()``; messages of ``send()`` out, in
as few writes as possible. All that is rare is the business of ``link.py`` and
``connection.py``. This is the reference; ``messaging.pyx`` does the same without
futures and turns of the loop, and is what runs where the package was compiled.
"""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop
from collections.abc import AsyncIterable, AsyncIterator, Callable, Hashable
from typing import TYPE_CHECKING, Any, Literal, Self, cast, overload

from ..connection import BytesLike, Data, Fragments, Message, as_wanted
from ..errors import ConnectionClosedOK, InvalidState
from ..hints import no_timeout
from ..messages import Opcode
from ..session.session import MESSAGE, NEVER, OUTPUT, Session
from .usage import UNBROKEN, busy, elsewhere

__all__ = ["Messaging"]


class _NotYet:
    """Stands for an attribute that an open connection has; says so until then.

    A plain attribute is found faster than a property, on the path of each message.
    """

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self  # a mock looks through the class
        raise InvalidState("the opening handshake is not complete")


class Messaging:
    """What of a connection is at work for each message."""

    _live: Session = cast(Session, _NotYet())
    _session: Session | None = None
    _wire: Any = cast(Any, _NotYet())
    _loop: asyncio.AbstractEventLoop
    _now: Callable[[], float]

    # When the opening handshake has to be over; 0 where nobody is to be told.
    _open_by = 0.0
    _flush_soon: asyncio.Handle | None = None
    # Who looks at the bytes received and sent, for a log of frames.
    _taps: tuple[Callable[[bytes], None], Callable[[bytes], None]] | None = None

    def __init__(self) -> None:
        # Set here since every connection comes to have them.
        self._reader: asyncio.Future[None] | None = None
        self._receiving = False
        self._unbroken = 0

    def _begin(self, session: Session, wire: Any, now: Callable[[], float]) -> None:
        """Join the session of an open connection and its wire."""
        self._session = self._live = session
        self._wire = wire
        self._loop = wire.loop
        self._now = now

    if TYPE_CHECKING:
        # What link.py and connection.py add, for what is rare.

        def _react_to_rest(self, flags: int, session: Session) -> None: ...

        def _end_opening(self) -> None: ...

        async def _wait_for_input(self, session: Session) -> None: ...

        async def _send_slowly(
            self, message: Any, text: bool | None, compress: bool
        ) -> None: ...
        async def _send_elsewhere(
            self, message: Any, text: bool | None, compress: bool
        ) -> None: ...

        async def _pause(self, session: Session) -> None: ...

    def _check_loop(self) -> None:
        """Raise ConcurrencyError outside of the connection's loop."""
        if _get_running_loop() is not self._loop:
            raise elsewhere()

    # --- from the wire -----------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes came. What they cause to be sent leaves in one write."""
        if self._taps is not None:
            self._taps[0](data)
        session = self._live
        session.receive(data, self._now())
        if session.flags == MESSAGE:
            # By far the most common: spare the way through _react().
            session.flags = 0
            self._wake_reader()
        elif session.flags:
            self._react()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # --- what the session asks for -----------------------------------------------

    def _react(self) -> None:
        """Do what the session's flags ask for, until there are none."""
        session = self._live
        while flags := session.take_flags():
            if flags & OUTPUT:
                self._write(session)
            if flags & MESSAGE:
                self._wake_reader()
            if flags & ~(OUTPUT | MESSAGE):
                self._react_to_rest(flags, session)

    def _write(self, session: Session) -> None:
        """Write the output, unless more of it is certain to come at once.

        While the inbox has messages, a reader is about to send more answers: they
        leave in one write when it has drained the inbox, or in the loop's next turn.
        """
        data = session.take_due_output()
        if data:
            self._put(data)
            if session.outbox is not None:
                self._flush()
        elif self._flush_soon is None and session.protocol.output_size:
            self._flush_soon = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write all of the output now."""
        self._flush_soon = None
        session = self._live
        data = session.take_output()
        while data:
            self._put(data)
            # What waits for the peer to take more follows, if it has taken all.
            data = b"" if session.outbox is None else session.take_output()

    def _put(self, data: bytes) -> None:
        if self._taps is not None:
            self._taps[1](data)
        self._wire.write(data)

    # --- from the timers ---------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when ``tick`` is due; for the timers."""
        if self._session is None:
            return self._open_by or NEVER
        return self._session.next_deadline()

    def tick(self, now: float) -> None:
        """Do what is due; for the timers."""
        session = self._session
        if session is None:
            self._open_by = 0.0
            self._end_opening()
            return
        session.tick(now, self._wire.unsent)
        if session.flags:
            self._react()

    # --- receiving ---------------------------------------------------------------

    @overload
    async def recv(self, decode: Literal[True]) -> str: ...

    @overload
    async def recv(self, decode: Literal[False]) -> bytes: ...

    @overload
    async def recv(self, decode: bool | None = None) -> Data: ...

    async def recv(self, decode: bool | None = None, *, timeout: None = None) -> Data:
        """Return the next message: text as str, binary as bytes.

        ``decode=True`` decodes binary messages too, ``decode=False`` leaves text as
        UTF-8 bytes. Cancelling loses nothing: for a ``timeout``, write ``async with
        asyncio.timeout(1)``; the keyword is only there to say so. Raises
        ConnectionClosed when the connection has ended and all that came before was
        received, ConcurrencyError while another coroutine is receiving.
        """
        if timeout is not None:
            raise no_timeout(timeout)
        session = self._live
        self._check_loop()
        if self._receiving:
            raise busy("recv")
        if not session.has_message:
            await self._wait_for_input(session)
        _, payload = session.take()
        if session.flags:
            self._react()
        if decode is None:
            return payload  # type: ignore[no-any-return]
        return as_wanted(payload, decode)

    def __aiter__(self) -> AsyncIterator[Data]:
        """Iterate over messages; ends when the connection is closed properly.

        Any other end raises ConnectionClosedError.
        """
        return self._iterate(True)

    def _iterate(self, overridden: bool) -> AsyncIterator[Data]:
        """Return what to iterate over; by ``recv()`` itself if that is ``overridden``.

        Only ``messaging.pyx`` has another way, which is faster.
        """
        return _Messages(self)

    # --- sending -----------------------------------------------------------------

    async def send(
        self,
        message: Message | Fragments | AsyncIterable[Message],
        text: bool | None = None,
        *,
        compress: bool = True,
    ) -> None:
        """Send a message: str as Text, bytes-like as Binary.

        ``text`` overrides that. An iterable or asynchronous iterable is sent as one
        fragment for each item, all of one type. ``compress=False`` sends this message
        uncompressed though permessage-deflate was agreed on. Waits while the peer is
        slow. Raises ConnectionClosed when the connection has ended, TypeError for
        other types.
        """
        session = self._live
        if _get_running_loop() is not self._loop:
            await self._send_elsewhere(message, text, compress)
            return
        if isinstance(message, str):
            opcode = Opcode.TEXT if text is not False else Opcode.BINARY
        elif isinstance(message, BytesLike):
            opcode = Opcode.TEXT if text else Opcode.BINARY
        else:
            await self._send_slowly(message, text, compress)
            return
        if session.fragmenting or not session.writable or not session.can_send:
            await self._send_slowly(message, text, compress)
            return
        session.send(opcode, message, True, compress)
        if session.flags == OUTPUT:
            session.flags = 0
            self._write(session)
        else:
            self._react()
        self._unbroken += 1
        if self._unbroken >= UNBROKEN or not session.writable:
            await self._pause(session)

    def offer(self, message: Any, slow: str | None, key: Hashable) -> int:
        """Send a message for many, or do with it what ``slow`` says; for broadcast."""
        session = self._live
        result = session.offer(message, slow, key, self._wire.unsent, self._now())
        self._react()
        return result


class _Messages:
    """What ``async for`` iterates over."""

    __slots__ = ("_recv",)

    def __init__(self, owner: Messaging) -> None:
        self._recv = owner.recv

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Data:
        try:
            return await self._recv()
        except ConnectionClosedOK:
            raise StopAsyncIteration from None
