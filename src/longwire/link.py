"""Link: a session joined to a wire, for front ends without asyncio.

Carries out what the session's flags ask for. How one waits for the network or for a
change, and who reads where nobody receives, is a front end's: it fills in the methods
under "what a front end adds".
"""

from __future__ import annotations

import contextlib
import inspect
import os
import ssl
from collections.abc import Callable, Hashable
from itertools import chain
from operator import call
from time import monotonic
from typing import Any, TypeVar, cast

from . import connection
from .errors import InvalidState
from .messages import Cause
from .opening.settings import (
    CLOSE_TIMEOUT,
    MAX_QUEUE,
    PING_INTERVAL,
    PING_TIMEOUT,
    WRITE_LIMIT,
    for_connection,
)
from .opening.steps import Opened
from .session.session import (
    ABORT,
    CLOSE,
    CONTINUE,
    DEADLINE,
    HALF_CLOSE,
    HANGUP,
    OUTPUT,
    PONGS,
    READING,
    STAY,
    Session,
    check_close,
)
from .verbs import Verbs
from .wire import Wire

__all__ = ["Link", "with_keywords"]

F = TypeVar("F", bound=Callable[..., None])


def with_keywords(init: F) -> F:
    """Show the keywords of :class:`Link` in place of ``**keywords``."""
    own = list(inspect.signature(init).parameters.values())[:-1]
    known = inspect.signature(Link).parameters.values()
    keywords = [each for each in known if each.kind is each.KEYWORD_ONLY]
    shown = inspect.Signature([*own, *keywords])
    init.__signature__ = shown  # type: ignore[attr-defined]
    return init


class Link(connection.Connection):
    """A session joined to a wire; a front end's ``Connection`` adds verbs.

    Every call into the session is made with the lock held, and followed by
    ``_react()``, which does what the session's flags ask for.
    """

    _now: Callable[[], float] = staticmethod(monotonic)  # the clock of deadlines
    _users = "task"  # what runs verbs, for error texts
    # Front ends with several threads have a lock.
    _lock: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()

    _live: Session = cast(Session, None)
    _verbs: Verbs = cast(Verbs, None)
    _end_told = False
    _one_output: tuple[Callable[[], bytes]]
    _one_message: tuple[Callable[[], tuple[int, Any]]]
    _counted = 0  # of the bytes received, to the session
    # Who looks at the bytes received and sent, for a log of frames.
    _taps: tuple[Callable[[bytes], None], Callable[[bytes], None]] | None = None

    def __init__(
        self,
        wire: Wire,
        protocol: Any,
        *,
        ping_interval: float | None = PING_INTERVAL,
        ping_timeout: float | None = PING_TIMEOUT,
        close_timeout: float | None = CLOSE_TIMEOUT,
        max_queue: int | tuple[int | None, int | None] | None = MAX_QUEUE,
        write_limit: int | tuple[int, int | None] = WRITE_LIMIT,
    ) -> None:
        settings = for_connection(
            protocol,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
            write_limit=write_limit,
        )
        super().__init__(*settings, getattr(protocol, "logger", None))
        self.protocol = protocol
        self.wire = wire
        high = self._limits.output_bytes
        low = self._limits.output_bytes_low
        self._write_marks = high, high // 4 if low is None else low
        # Pings whose waiters are to be told: of the pong, and that none will come.
        self._answered: list[tuple[Any, float]] = []
        self._given_up: list[Any] = []
        # Asked for now: a socket that was closed does not know any more.
        self._addresses = wire.addresses()

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection: the handshake is done."""
        self._set_heads(opened.request, opened.response)
        self.subprotocol = opened.subprotocol
        session = Session(
            self._client,
            limits=self._limits,
            timeouts=self._timeouts,
            keepalive=self._keepalive,
            random_bytes=os.urandom,
            now=self._now(),
            deflate=opened.deflate,
            extensions=opened.extensions,
        )
        self._prepare(session)
        self._verbs = Verbs(session, self._now, self._users)
        # For map(): what takes one output, and one message.
        self._one_output = (session.take_output,)
        self._one_message = (session.take,)
        self._log_open(opened)
        if opened.rest:
            # The opening handshake has taken it, too: it is the first to be read.
            self.wire.plain.insert(0, opened.rest)
        with self._lock:
            self._session = self._live = session
            self._begin_to_serve()
            self._take_in()
            self._react()
        self._log_rest()

    def _prepare(self, session: Session) -> None:
        """Change how a new session behaves; longwire.websockets does."""

    def failed_to_open(self) -> None:
        """End without having lived: the opening handshake was refused."""
        self._never_opened = True
        self.wire.close(in_use=False)
        with self._lock:
            self._wake(STAY)

    # --- what a front end adds ---------------------------------------------------

    def _begin_to_serve(self) -> None:
        """Begin to read where nobody receives, and to keep deadlines."""
        raise AssertionError("a front end does")

    def _call_at(self, when: float) -> None:
        """Have the session's ``tick()`` called at ``when``."""

    def _read_soon(self) -> None:
        """Have the wire read, where nobody does; ``_read_now`` is more urgent."""

    def _read_at_once(self) -> None:
        """Have the wire read at once, where nobody does."""

    def _flush_later(self) -> None:
        """Have what the wire holds unsent sent when the kernel takes it."""

    def _goes_on_later(self) -> bool:
        """Have ``go_on()`` called when others have had their turn; or return False."""
        return False

    def _wake(self, flags: int) -> None:
        """Wake who waits for a change."""

    def _close_wire(self) -> None:
        """Close the wire, and wake who waits for it."""
        self.wire.close(in_use=False)

    # --- from the network --------------------------------------------------------

    def _take_in(self) -> None:
        """Give the session what the wire has read, in order. The lock is held.

        Wherever this is interrupted, the next call goes on: what the session has
        counted it has, and the rest is still the wire's.
        """
        session, wire = self._live, self.wire
        protocol = session.protocol
        try:
            wire.decode()
            plain = wire.plain
            while plain:
                data = plain[0]
                if not data:
                    wire.ended = True
                elif protocol.bytes_received == self._counted:
                    self._feed(data, self._now())
                self._counted, plain[:1] = protocol.bytes_received, ()
            if wire.ended and not session.got_eof:
                self._end_input(session)
            if wire.layers:
                self._check_wire(session)
        except ssl.SSLError as exc:
            self._lose(exc)
        finally:
            if session.flags:
                self._react()

    def _end_input(self, session: Session) -> None:
        """The peer sends nothing more."""
        if session.tcp_lost:
            session.lost(None, self._now())
        else:
            session.receive_eof(self._now())

    def _feed(self, data: bytes, now: float) -> None:
        if self._taps is not None:
            self._taps[0](data)
        self._live.receive(data, now)

    def _lose(self, exc: BaseException | None) -> None:
        """TCP has ended, or is not of use any more."""
        self._live.lost(exc, self._now())
        self._close_wire()

    def _tick(self, now: float) -> None:
        """Do what is due."""
        self._live.tick(now, self.wire.unsent)
        self._react()

    # --- what the session asks for -----------------------------------------------

    def _react(self) -> None:
        """Do what the session's flags ask for, until there are none.

        All of it can be done again, and is where an interrupt ends this too early.
        """
        flags = 0
        session = self._live
        try:
            while session.flags:
                flags = session.flags
                session.flags = 0
                if flags & OUTPUT:
                    self._write(session)
                    if flags == OUTPUT:
                        continue
                if flags & PONGS:
                    self._resolve_pings(session)
                if flags & READING and session.wants_reading:
                    self._read_soon()
                if flags & HANGUP:
                    self._hang_up(session)
                if flags & DEADLINE:
                    self._call_at(session.next_deadline())
                if flags & CONTINUE and not self._goes_on_later():
                    session.go_on(self._now())
                self._wake(flags)
                if (
                    session.tcp_lost
                    and not self._end_told
                    and session.ended is not None
                ):
                    self._end_told = True
                    self._put_off(self._log_end)
        except BaseException:
            session.flags |= flags
            raise

    def _write(self, session: Session) -> None:
        wire = self.wire
        while True:
            if wire.given:
                wire.flush()  # an interrupt has left it there
            # By map(), in C: what the session gives, the wire has.
            (wire.given,) = map(call, self._one_output)
            if self._taps is not None and wire.given:
                self._taps[1](wire.given)
            # What waits for the peer to take more follows, if it has taken all.
            more = session.outbox is not None and wire.given
            if not (wire.flush() and session.writable):
                # Or all is sent now, and senders wait to be told.
                self._check_wire(session)
            if not more:
                return

    def _check_wire(self, session: Session) -> None:
        """Tell the session how much waits in the wire, and have it sent."""
        wire = self.wire
        if wire.error is not None and not session.tcp_lost:
            # What the peer has sent before it left can still be read.
            session.lost(wire.error, self._now(), True)
            self._read_at_once()
        high, low = self._write_marks
        if wire.unsent > high:
            session.write_paused(self._now())
        elif wire.unsent <= low and not session.writable:
            session.write_resumed(self._now())
        if wire.unsent:
            self._flush_later()

    def _hang_up(self, session: Session) -> None:
        """Do what the session's end asks of the wire, as soon as it can be done."""
        wire, ending = self.wire, session.ending
        if ending == STAY or wire.closed or (wire.unsent and ending != ABORT):
            return
        if ending == HALF_CLOSE:
            # After the closing handshake nobody says anything more (section 5.5.1), so
            # there is nothing to read on for, unless something lies there already: TCP
            # would be reset, and the peer might lose our close frame.
            # Nor for who is told of the end when the peer has ended TCP, as in the
            # documented API.
            done = session.protocol.closing_is_done and not session.ends_with_tcp
            if done and wire.is_quiet():
                ending = CLOSE
        if ending == HALF_CLOSE or (ending == CLOSE and wire.is_tls):
            wire.half_close()
        if ending != HALF_CLOSE:
            self._lose(None)
        else:
            self._read_soon()

    def _resolve_pings(self, session: Session) -> None:
        done = self._answered
        done += chain.from_iterable(map(call, (session.take_pongs,)))
        while done:
            pong, latency = done[0]
            pong.resolve(latency)
            del done[0]
        if session.tcp_lost or session.end_is_known():
            left = self._given_up
            left += chain.from_iterable(map(call, (session.heartbeat.take_waiters,)))
            while left:
                left[0].fail(session.exception())
                del left[0]

    def _may_read(self) -> bool:
        """Whether what the peer sends is to be read now."""
        session = self._live
        return not (session.got_eof or self.wire.closed) and (
            session.wants_reading or session.ending != STAY
        )

    # --- what waits for nothing --------------------------------------------------

    @property
    def _open_verbs(self) -> Verbs:
        if self._session is None:
            raise InvalidState("the opening handshake is not complete")
        return self._verbs

    def offer(self, message: Any, slow: str | None, key: Hashable) -> int:
        """Send a message for many, or do with it what ``slow`` says; for broadcast."""
        with self._lock:
            unsent = self.wire.unsent
            result = self._live.offer(message, slow, key, unsent, self._now())
            self._react()
        self._log_rest()
        return result

    def _start_close(
        self, code: int | None, reason: str, error: BaseException | None = None
    ) -> None:
        """Begin to close, and wait for nothing."""
        check_close(code, reason)
        with self._lock:
            self._verbs.start_close(code, reason, error)
            self._react()
            self._read_at_once()
        self._log_rest()

    def _abort(self, why: str) -> None:
        """End at once."""
        with self._lock:
            self._live.abort(Cause.LOCAL, why, self._now())
            self._react()
        self._log_rest()

    def _soon(self, change: Callable[..., object], *args: object) -> None:
        with self._lock:
            super()._soon(change, *args)
        self._log_rest()

    @property
    def local_address(self) -> Any:
        """Our address: (host, port, …) for TCP, a path for a Unix socket."""
        return self._addresses[0]

    @property
    def remote_address(self) -> Any:
        """The peer's address: (host, port, …) for TCP.

        Behind a proxy that is the proxy's.
        """
        return self._addresses[1]

    # --- memory, for the server --------------------------------------------------

    @property
    def _memory(self) -> int:
        # Without the lock: a server that looks at all connections waits for none.
        return self._live.memory + self.wire.unsent
