"""Link: a session joined to a wire on an event loop, and nobody waiting yet.

The session decides, the wire moves bytes; here each is told of the other and of the
time. ``connection.py`` adds the verbs that wait.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from .. import connection
from ..opening.settings import (
    CLOSE_TIMEOUT,
    MAX_QUEUE,
    PING_INTERVAL,
    PING_TIMEOUT,
    WRITE_LIMIT,
    for_connection,
)
from ..opening.steps import Opened
from ..random_bytes import ready_bytes
from ..session.session import (
    ABORT,
    CLOSE,
    CONTINUE,
    DEADLINE,
    HALF_CLOSE,
    HANGUP,
    PONGS,
    READING,
    STATE,
    Session,
)
from .clocks import clock_of
from .messaging import Messaging
from .timers import Timers
from .turns import Turns
from .wire import Wire

__all__ = ["Link"]

_four_bytes = ready_bytes(4)


def _random_bytes(size: int) -> bytes:
    # Keepalive puts four in a ping (RFC 6455 section 5.5.2), of each connection.
    return _four_bytes() if size == 4 else os.urandom(size)


class Link(Messaging, connection.Connection):
    """A session joined to a wire, on an event loop; :class:`Connection` adds the verbs.

    Every call into the session is followed by ``_react()``, which does what the
    session's flags ask for.
    """

    wire: Wire | None = None
    """What moves the bytes; ``str()`` of it is "native" or "transport"."""
    bucket = 0
    _gone: asyncio.Future[None] | None = None
    _on_room: list[Callable[[], object]] | None = None
    _going_on = False  # the session parses on in the loop's next turn
    _end_is_due = False  # TCP is gone, and the report of the end is still to be logged

    def __init__(
        self,
        protocol: Any,
        *,
        ping_interval: float | None = PING_INTERVAL,
        ping_timeout: float | None = PING_TIMEOUT,
        close_timeout: float | None = CLOSE_TIMEOUT,
        max_queue: int | tuple[int | None, int | None] | None = MAX_QUEUE,
        write_limit: int | tuple[int, int | None] = WRITE_LIMIT,
    ) -> None:
        limits, timeouts, keepalive = for_connection(
            protocol,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
            write_limit=write_limit,
        )
        Messaging.__init__(self)
        connection.Connection.__init__(
            self, limits, timeouts, keepalive, getattr(protocol, "logger", None)
        )
        self.protocol = protocol
        # Set here since every connection comes to have it.
        self._waiting: list[asyncio.Future[None]] = []

    # --- opening -----------------------------------------------------------------

    def wire_made(self) -> None:
        """The transport is there. A server starts its handshake at this."""

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection: the handshake is done.

        Called once, by the front end, with ``wire`` set.
        """
        assert self.wire is not None
        wire = self.wire
        now = clock_of(wire.loop)
        self._set_heads(opened.request, opened.response)
        self.subprotocol = opened.subprotocol
        limits = self._limits
        session = Session(
            self._client,
            limits=limits,
            timeouts=self._timeouts,
            keepalive=self._keepalive,
            random_bytes=_random_bytes,
            now=now(),
            deflate=opened.deflate,
            extensions=opened.extensions,
        )
        self._begin(session, wire, now)
        wire.set_write_limits(limits.output_bytes, limits.output_bytes_low)
        self._log_open(opened)
        Timers.of(self._loop).arm(self)
        if opened.rest:
            self.feed(opened.rest)
        wire.switch()

    def failed_to_open(self) -> None:
        """End without having lived: the opening handshake was refused."""
        self._never_opened = True
        if self.wire is not None:
            self.wire.forget_owner()
            if self.bucket:
                Timers.of(self.wire.loop).disarm(self)
        self._wake_for_the_end()

    def _wake_for_the_end(self) -> None:
        """Let ``wait_closed()`` return."""
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        self._gone = None

    # --- from the wire and the timers --------------------------------------------

    def peer_left(self) -> None:
        """The peer has gone before the connection was open.

        Nobody but who reads the handshake is concerned: a client's plan may have gone
        on to another wire.
        """

    def eof(self) -> None:
        """The peer sends nothing more."""
        self._live.receive_eof(self._now())
        self._react()

    def cut(self, exc: BaseException) -> None:
        """TCP is gone, and what came before it is still to be read."""
        self._lose(exc, True)

    def lost(self, exc: BaseException | None) -> None:
        """TCP is gone."""
        self._lose(exc, False)

    def _lose(self, exc: BaseException | None, more: bool) -> None:
        session = self._live
        if not session.tcp_lost:
            self._end_is_due = True
        session.lost(exc, self._now(), more)
        Timers.of(self._loop).disarm(self)
        if self._flush_soon is not None:
            self._flush_soon.cancel()
            self._flush_soon = None
        self._react()
        if self._end_is_due:
            self._tell_end(session)

    def _tell_end(self, session: Session) -> None:
        """Wake who waits for the end of TCP, and log how the connection ended.

        TCP is gone; the reader may still have to take what came before.
        """
        if session.is_gone:
            self._wake_for_the_end()
        if session.ended is not None:
            self._end_is_due = False
            self._log_end()

    def write_paused(self) -> None:
        """The wire holds much unsent."""
        self._live.write_paused(self._now())
        self._react()

    def write_resumed(self) -> None:
        """The wire takes bytes again."""
        self._live.write_resumed(self._now())
        self._react()

    # --- what the session asks for -----------------------------------------------

    def _react_to_rest(self, flags: int, session: Session) -> None:
        wire = self._wire
        if flags & PONGS:
            self._resolve_pings(session)
        if flags & STATE:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                _wake(future)
            if self._on_room is not None:
                self._tell_of_room(session)
            if self._end_is_due and session.tcp_lost:
                self._tell_end(session)
        if flags & READING:
            if session.wants_reading:
                wire.resume()
            else:
                wire.pause()
        if flags & HANGUP:
            self._hang_up(session.ending)
        if flags & DEADLINE:
            Timers.of(self._loop).arm(self)
        if flags & CONTINUE and not self._going_on:
            self._going_on = True
            Turns.of(self._loop).add(self)

    def _tell_of_room(self, session: Session) -> None:
        """Call what waits for room, if there is some, or will be none any more."""
        if session.has_room or not session.can_send:
            callbacks, self._on_room = self._on_room or (), None
            for callback in callbacks:
                self._loop.call_soon(callback)

    def _go_on(self) -> int:
        """Have the session parse on: it used up what a turn of the loop allows.

        Returns how many bytes it has inflated.
        """
        self._going_on = False
        session = self._live
        session.go_on(self._now())
        self._react()
        codec = session.protocol.codec
        return 0 if codec is None else session.intake.inflated - codec.allowance

    # --- memory ------------------------------------------------------------------

    @property
    def _memory(self) -> int:
        """Bytes that messages of this connection take in memory, either way."""
        if self._session is None:
            return 0
        return self._session.memory + int(self._wire.memory)

    def _hang_up(self, ending: int) -> None:
        self._flush()
        wire = self._wire
        if ending == HALF_CLOSE:
            # After the closing handshake nobody says anything more (section 5.5.1), so
            # there is nothing to read on for, unless something lies there already: TCP
            # would be reset, and the peer might lose our close frame.
            # Nor for who is told of the end when the peer has ended TCP, as in the
            # documented API.
            session = self._live
            done = session.protocol.closing_is_done and not session.ends_with_tcp
            if not (done and wire.close_at_once()):
                wire.half_close()
        elif ending == CLOSE:
            wire.close()
        elif ending == ABORT:
            wire.abort()
        # Only the end of TCP is still to be read, so nothing may hold it back.
        wire.resume()

    def _resolve_pings(self, session: Session) -> None:
        for future, latency in session.take_pongs():
            if not future.done():
                future.set_result(latency)
        if session.tcp_lost or session.end_is_known():
            for future in session.heartbeat.take_waiters():
                if not future.done():
                    future.set_exception(session.exception())
                    # Who does not wait for the pong need not be told.
                    future.exception()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
