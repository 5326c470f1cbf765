"""Link: a session joined to a wire in threads, and how a thread waits.

``connection.py`` adds the verbs, which are plans of ``verbs.py``. Who waits for input
reads the socket itself. Whatever touches the session holds the connection's lock;
nobody waits for the network while holding it.
"""

from __future__ import annotations

import os
import selectors
import ssl
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar, cast

from .. import connection
from ..errors import InvalidState, LimitExceeded
from ..opening.settings import (
    CLOSE_TIMEOUT,
    MAX_QUEUE,
    PING_INTERVAL,
    PING_TIMEOUT,
    WRITE_LIMIT,
    for_connection,
)
from ..opening.steps import Opened
from ..session.session import (
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
)
from ..verbs import ACT, END, INPUT, NO_MORE, Next, Plan, Verbs
from .helper import Helper, forget
from .wire import Wire

__all__ = ["Link"]

T = TypeVar("T")

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Link(connection.Connection):
    """A session joined to a wire and to the helper; :class:`Connection` adds verbs.

    Every call into the session is made with the lock held, and followed by
    ``_react()``, which does what the session's flags ask for.
    """

    # What the helper knows of a connection.
    reads = 0
    is_read = False
    events = 0
    recent = False
    entry: list[Any] | None = None

    _live: Session = cast(Session, None)
    _verbs: Verbs = cast(Verbs, None)
    _helper: Helper = cast(Helper, None)
    _waiters = 0  # threads that wait for a change
    _goes_on = False  # input waits that the session has put off
    _end_told = False
    # Who looks at the bytes received and sent, for a log of frames.
    _taps: tuple[Callable[[bytes], None], Callable[[bytes], None]] | None = None

    def __init__(
        self,
        sock: Any,
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
        self.wire = sock if isinstance(sock, Wire) else Wire(sock)
        # Reentrant: what is logged under it may end up in a handler that sends.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        high = self._limits.output_bytes
        low = self._limits.output_bytes_low
        self._write_marks = high, high // 4 if low is None else low
        # Asked for now: a socket that was closed does not know any more.
        sock = self.wire.sock
        self._addresses = _address(sock.getsockname), _address(sock.getpeername)

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
            now=monotonic(),
            deflate=opened.deflate,
            extensions=opened.extensions,
        )
        self._prepare(session)
        self._verbs = Verbs(session, monotonic, "thread")
        self._helper = Helper.get()
        self._helper.members.add(self)
        self._log_open(opened)
        with self._lock:
            self._session = self._live = session
            self._helper.call_at(self, session.next_deadline())
            if opened.rest:
                self._feed(opened.rest, monotonic())
            if self.wire.ended:
                session.receive_eof(monotonic())
            self._react()
            self._helper.look_after(self)

    def _prepare(self, session: Session) -> None:
        """Change how a new session behaves; longwire.websockets does."""

    def failed_to_open(self) -> None:
        """End without having lived: the opening handshake was refused."""
        self._never_opened = True
        self.wire.close(in_use=False)
        with self._lock:
            self._changed.notify_all()

    # --- from the network and the helper -----------------------------------------

    def _took(self, data: bytes) -> None:
        """Take what came from the network; b"" is its end. The lock is held."""
        session, wire = self._live, self.wire
        now = monotonic()
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
        self._live.lost(exc, monotonic())
        self.wire.close(in_use=self.is_read or self.events != 0)
        forget(self)
        if self.events:
            self._helper.attend(self)

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self.wire.sock.fileno()

    def attend(self, helper: Helper) -> None:
        """Have ``helper`` watch what is to be watched; it is the helper that calls."""
        with self._lock:
            if self._goes_on and not self.is_read:
                self._go_on()
            self._watch(helper)

    def serve(self, helper: Helper, events: int) -> None:
        """Read or write what can be; the helper calls."""
        session, wire = self._live, self.wire
        with self._lock:
            if events & _WRITE and not wire.closed:
                wire.flush()
                self._check_wire(session)
                self._hang_up(session)
            if events & _READ:
                self._read_now()
            self._react()
            self._watch(helper)

    def _read_now(self) -> None:
        """Take what has come, if nobody else reads."""
        if self._may_read():
            try:
                data = self.wire.receive_now()
            except OSError as exc:
                self._lose(exc)
            else:
                if data is not None:
                    self._took(data)

    def _watch(self, helper: Helper) -> None:
        wire = self.wire
        wanted = 0
        if not wire.closed:
            if self._may_read() and not self.recent:
                wanted |= _READ
            if wire.unsent:
                wanted |= _WRITE
        if wanted != self.events:
            if not self.events:
                helper.selector.register(wire.sock, wanted, self)
            elif wanted:
                helper.selector.modify(wire.sock, wanted, self)
            else:
                helper.selector.unregister(wire.sock)
            self.events = wanted
        if not wanted and not self.is_read:
            wire.release()

    def tick(self, now: float) -> float:
        """Do what is due; return when to be called again. The helper calls."""
        session = self._live
        with self._lock:
            # What a deadline is about may be there, and nobody has read it yet.
            self._read_now()
            session.tick(now, self.wire.unsent)
            self._react()
            return session.next_deadline()

    def abandon(self) -> None:
        """Let go of a connection that is the parent's, in a child process."""
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self.events = 0
        self.wire.closed = True
        self.wire.sock.close()
        if not self._live.tcp_lost:
            gone = OSError("the connection is the parent process's")
            self._live.lost(gone, monotonic())

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
                self._leave_to_helper()
            if flags & HANGUP:
                self._hang_up(session)
            if flags & DEADLINE:
                self._helper.call_at(self, session.next_deadline())
            if flags & CONTINUE:
                if threading.current_thread() is self._helper.thread:
                    # Others have their turn before it.
                    self._goes_on = True
                    self._helper.attend(self)
                else:
                    session.go_on(monotonic())
            if self._waiters:
                self._changed.notify_all()
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
        """Tell the session how much waits in the wire, and the helper to send it."""
        wire = self.wire
        if wire.error is not None and not session.tcp_lost:
            # What the peer has sent before it left can still be read.
            session.lost(wire.error, monotonic(), True)
            self._attend_now()
        high, low = self._write_marks
        if wire.unsent > high:
            session.write_paused(monotonic())
        elif wire.unsent <= low and not session.writable:
            session.write_resumed(monotonic())
        if wire.unsent and not self.events & _WRITE:
            self._helper.attend(self)

    def _hang_up(self, session: Session) -> None:
        """Do what the session's end asks of the socket, as soon as it can be done."""
        wire, ending = self.wire, session.ending
        if ending == STAY or wire.closed or (wire.unsent and ending != ABORT):
            return
        if ending == HALF_CLOSE or (ending == CLOSE and wire.is_tls):
            wire.half_close()
        if ending != HALF_CLOSE:
            self._lose(None)
        else:
            self._leave_to_helper()

    def _resolve_pings(self, session: Session) -> None:
        for pong, latency in session.take_pongs():
            pong.resolve(latency)
        if session.tcp_lost or session.end_is_known():
            for pong in session.heartbeat.take_waiters():
                pong.fail(session.exception())

    def _go_on(self) -> None:
        """Have the session parse on: it has used up what one turn allows."""
        self._goes_on = False
        self._live.go_on(monotonic())
        self._react()

    def _attend_now(self) -> None:
        """Have the helper read at once, where no thread does."""
        self.recent = False
        self._helper.attend(self)

    def _leave_to_helper(self) -> None:
        """Have the helper read soon, where no thread does."""
        if not (self.is_read or self.recent or self.events & _READ):
            self._helper.look_after(self)

    # --- waiting -----------------------------------------------------------------

    def _drive(self, plan: Plan[T], timeout: float | None = None) -> T:
        """Return the result of ``plan``, doing what it waits for."""
        if self._session is None:
            plan.close()
            raise _not_open()
        ends_at = None if timeout is None else monotonic() + timeout
        with self._lock:
            again = False
            try:
                what = plan.send(None)
                while True:
                    self._react()
                    try:
                        if again and ends_at is not None and monotonic() >= ends_at:
                            raise TimeoutError(f"not done within {timeout} seconds")
                        result = self._wait(what, ends_at)
                    except BaseException as exc:
                        what = plan.throw(exc)
                    else:
                        what = plan.send(result)
                    again = True
            except StopIteration as stop:
                return cast(T, stop.value)
            finally:
                if self._live.flags:
                    self._react()

    def _wait(self, what: int | Next, ends_at: float | None) -> Any:
        """Wait for what a plan has yielded, without the lock."""
        if what == ACT:
            return None
        if isinstance(what, Next):
            self._lock.release()
            try:
                return next(what.items, NO_MORE)  # type: ignore[arg-type]
            finally:
                self._lock.acquire()
        seconds = None if ends_at is None else max(0.0, ends_at - monotonic())
        if what in (INPUT, END) and self._may_read():
            done = self._read(seconds)
        else:
            self._waiters += 1
            try:
                done = self._changed.wait(seconds)
            finally:
                self._waiters -= 1
        if not done:
            raise TimeoutError("timed out while waiting for the peer")
        return None

    def _may_read(self) -> bool:
        session = self._live
        return not (self.is_read or session.got_eof or self.wire.closed) and (
            session.wants_reading or session.ending != STAY
        )

    def _read(self, seconds: float | None) -> bool:
        """Read the socket in this thread; return whether something came."""
        if self._goes_on:
            self._go_on()
            return True
        wire = self.wire
        error: OSError | None = None
        data: bytes | None = b""
        self.is_read = True
        self.reads += 1
        self._lock.release()
        try:
            data = wire.receive(seconds)
        except OSError as exc:
            error = exc
        finally:
            self._lock.acquire()
            self.is_read = False
            if not self.recent:
                self._leave_to_helper()
            if self._waiters:
                # One that waits for the end has to read on.
                self._changed.notify_all()
        if wire.closed:
            if not self.events:
                wire.release()
        elif error is not None:
            self._lose(error)
            self._react()
        elif data is not None:
            self._took(data)
        return data is not None

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
            self._live.release(monotonic())
            self._react()

    def _shed(self, error: LimitExceeded) -> None:
        """End the connection, and drop what its reader has not taken."""
        with self._lock:
            self._live.intake.forget()
            self._live.fail(error, monotonic())
            self._react()
            self._attend_now()

    @property
    def _open_verbs(self) -> Verbs:
        if self._session is None:
            raise _not_open()
        return self._verbs


def _not_open() -> InvalidState:
    return InvalidState("the opening handshake is not complete")


def _address(name: Any) -> Any:
    try:
        return name()
    except OSError:
        return None  # the peer has gone already
