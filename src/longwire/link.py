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
from time import monotonic
from typing import Any, TypeVar, cast

from . import connection
from .errors import InvalidState, LimitExceeded
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
        self._log_open(opened)
        with self._lock:
            self._session = self._live = session
            self._begin_to_serve()
            if opened.rest:
                self._feed(opened.rest, self._now())
            if self.wire.ended:
                session.receive_eof(self._now())
            self._react()

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

    def _took(self, data: bytes) -> None:
        """Take what came from the network; b"" is its end. The lock is held."""
        session, wire = self._live, self.wire
        now = self._now()
        try:
            if data and not wire.is_tls:
                self._feed(data, now)
                return
            data, ended = wire.decode(data)
            if data:
                self._feed(data, now)
            if ended:
                if session.tcp_lost:
                    session.lost(None, now)
                else:
                    session.receive_eof(now)
            self._check_wire(session)
        except ssl.SSLError as exc:
            self._lose(exc)
        finally:
            if session.flags:
                self._react()

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
        """Do what the session's flags ask for, until there are none."""
        session = self._live
        while flags := session.take_flags():
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
            if session.tcp_lost and not self._end_told and session.ended is not None:
                self._end_told = True
                self._log_end()

    def _write(self, session: Session) -> None:
        wire = self.wire
        data = session.take_output()
        while data:
            if self._taps is not None:
                self._taps[1](data)
            wire.write(data)
            # What waits for the peer to take more follows, if it has taken all.
            data = b"" if session.outbox is None else session.take_output()
        if wire.unsent or wire.error is not None:
            self._check_wire(session)

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
        if ending == HALF_CLOSE or (ending == CLOSE and wire.is_tls):
            wire.half_close()
        if ending != HALF_CLOSE:
            self._lose(None)
        else:
            self._read_soon()

    def _resolve_pings(self, session: Session) -> None:
        for pong, latency in session.take_pongs():
            pong.resolve(latency)
        if session.tcp_lost or session.end_is_known():
            for pong in session.heartbeat.take_waiters():
                pong.fail(session.exception())

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

    def _abort(self, why: str) -> None:
        """End at once."""
        with self._lock:
            self._live.abort(Cause.LOCAL, why, self._now())
            self._react()

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
        with self._lock:
            return self._live.memory + self.wire.unsent

    def _hold(self) -> None:
        """Read no more from the peer, for the server is short of memory."""
        with self._lock:
            self._live.hold()
            self._react()

    def _release(self) -> None:
        """Read again."""
        with self._lock:
            self._live.release(self._now())
            self._react()

    def _shed(self, error: LimitExceeded) -> None:
        """End the connection, and drop what its reader has not taken."""
        with self._lock:
            self._live.intake.forget()
            self._live.fail(error, self._now())
            self._react()
            self._read_at_once()
