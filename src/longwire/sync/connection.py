"""Connection for threads: what moves bytes for a session, and waits for its plans.

``verbs.py`` decides what a verb waits for; here is how a thread waits. Who waits for
input reads the socket itself. Whatever touches the session holds the connection's lock;
nobody waits for the network while holding it.
"""

from __future__ import annotations

import os
import selectors
import ssl
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast, overload

from .. import connection
from ..connection import BytesLike, Data, as_wanted, control_payload, opcode_for
from ..errors import ConnectionClosedOK, InvalidState, LimitExceeded
from ..opening.settings import (
    CLOSE_TIMEOUT,
    MAX_QUEUE,
    PING_INTERVAL,
    PING_TIMEOUT,
    WRITE_LIMIT,
    for_connection,
)
from ..opening.steps import Opened
from ..session.leaving import Outcome, outcome_of
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
    check_close,
)
from ..verbs import ACT, END, INPUT, NO_MORE, Next, Plan, Verbs, fragments_of
from .helper import Helper, forget
from .wire import Wire

__all__ = ["Connection", "Pong"]

Message = str | bytes | bytearray | memoryview
T = TypeVar("T")

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Pong(threading.Event):
    """What ``ping()`` returns: an event that is set when the pong has come.

    ``latency`` is then the seconds it took. Where the connection ends before, the event
    is set too, ``latency`` stays None, and ``wait()`` raises ConnectionClosed.
    """

    latency: float | None = None
    error: BaseException | None = None

    def resolve(self, latency: float) -> None:
        """Tell who waits that the pong has come."""
        self.latency = latency
        self.set()

    def fail(self, error: BaseException) -> None:
        """Tell who waits that no pong will come."""
        self.error = error
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the pong; return whether it came within ``timeout`` seconds."""
        done = super().wait(timeout)
        if self.error is not None:
            raise self.error
        return done


P = TypeVar("P", bound=Pong)


class Connection(connection.Connection):
    """A WebSocket connection for threads; any method may be called from any thread.

    ``sock`` is a connected socket, ``protocol`` holds the settings of the side that
    makes it; the keywords override them for this connection. Made by ``connect`` and
    ``serve``; subclass it and pass the class as ``create_connection``.
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
        self.local_address = _address(self.wire.sock.getsockname)
        """Our address: (host, port, …) for TCP, a path for a Unix socket."""
        self.remote_address = _address(self.wire.sock.getpeername)
        """The peer's address, or that of a proxy."""

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection: the handshake is done."""
        self.request, self.response = opened.request, opened.response
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
        self._note("connection open")
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

    # --- receiving ---------------------------------------------------------------

    @overload
    def recv(self, timeout: float | None = None, *, decode: Literal[True]) -> str: ...

    @overload
    def recv(
        self, timeout: float | None = None, *, decode: Literal[False]
    ) -> bytes: ...

    @overload
    def recv(
        self, timeout: float | None = None, decode: bool | None = None
    ) -> Data: ...

    def recv(self, timeout: float | None = None, decode: bool | None = None) -> Data:
        """Return the next message: text as str, binary as bytes.

        ``decode=True`` decodes binary messages too, ``decode=False`` leaves text as
        UTF-8 bytes. Raises TimeoutError after ``timeout`` seconds, which loses nothing;
        0 only looks whether there is one. Raises ConnectionClosed when the connection
        has ended and all that came before was received, ConcurrencyError while another
        thread is receiving.
        """
        payload = self._drive(self._open_verbs.recv(), timeout)
        return payload if decode is None else as_wanted(payload, decode)

    def recv_streaming(self, decode: bool | None = None) -> Iterator[Data]:
        """Yield the next message in pieces, as its fragments arrive.

        ``decode`` is as for ``recv()``. The message has to be read to its end before
        the next can be received. Raises what ``recv()`` raises.
        """
        with self._lock:
            message = self._open_verbs.stream(decode)
        try:
            while not message.done:
                yield self._drive(message.next_piece())
        finally:
            with self._lock:
                message.stop()

    def __iter__(self) -> Iterator[Data]:
        """Iterate over messages; ends when the connection is closed properly.

        Any other end raises ConnectionClosedError.
        """
        try:
            while True:
                yield self.recv()
        except ConnectionClosedOK:
            return

    # --- sending -----------------------------------------------------------------

    def send(
        self,
        message: Message | Iterable[Message],
        text: bool | None = None,
        *,
        compress: bool = True,
    ) -> None:
        """Send a message: str as Text, bytes-like as Binary.

        ``text`` overrides that. An iterable is sent as one fragment for each item, all
        of one type. ``compress=False`` sends this message uncompressed though
        permessage-deflate was agreed on. Waits while the peer is slow. Raises
        ConnectionClosed when the connection has ended, TypeError for other types.
        """
        verbs = self._open_verbs
        if not isinstance(message, (str, *BytesLike)):
            fragments = fragments_of(message, blocking=True)
            if not isinstance(fragments[0], Iterator):
                opcode_for(message, text)  # raises TypeError
            self._drive(verbs.send_fragments(fragments, text, compress))
            return
        session = self._live
        opcode = opcode_for(message, text)
        with self._lock:
            at_once = session.writable and not session.fragmenting and session.is_open
            if at_once:
                session.send(opcode, message, True, compress)
                self._react()
                if session.writable:
                    return
        self._drive(
            verbs.wait_for_room() if at_once else verbs.send(message, text, compress)
        )

    def offer(self, message: Any, slow: str | None, key: Hashable) -> int:
        """Send a message for many, or do with it what ``slow`` says; for broadcast."""
        with self._lock:
            unsent = self.wire.unsent
            result = self._live.offer(message, slow, key, unsent, monotonic())
            self._react()
            return result

    # --- pings -------------------------------------------------------------------

    def ping(self, data: str | bytes | None = None) -> Pong:
        """Send a ping; return an event that is set when its pong has come.

        ``data`` is at most 125 bytes, four random ones if None. Raises ConcurrencyError
        while a ping with the same data waits for its pong, ConnectionClosed when the
        connection has ended.
        """
        return self._ping(data, Pong())

    def _ping(self, data: str | bytes | None, pong: P) -> P:
        payload = None if data is None else control_payload(data)
        self._drive(self._open_verbs.ping(payload, pong))
        self._attend_now()
        return pong

    def pong(self, data: str | bytes = b"") -> None:
        """Send a pong nobody asked for: a heartbeat in one direction.

        ``data`` is at most 125 bytes. Raises ConnectionClosed when the connection has
        ended.
        """
        self._drive(self._open_verbs.pong(control_payload(data)))

    # --- closing -----------------------------------------------------------------

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection and wait until TCP has ended.

        Does the closing handshake, never longer than twice ``close_timeout``, also
        while messages wait unread. Calling it again only waits. Raises ProtocolError
        for a code or reason that may not be sent.
        """
        self._drive(self._open_verbs.close(code, reason))

    def _start_close(
        self, code: int | None, reason: str, error: BaseException | None = None
    ) -> None:
        """Begin to close, and wait for nothing."""
        check_close(code, reason)
        with self._lock:
            self._verbs.start_close(code, reason, error)
            self._react()
            self._attend_now()

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until TCP has ended, for whatever reason.

        Returns False if that takes longer than ``timeout`` seconds.
        """
        try:
            self._drive(self._open_verbs.wait_closed(), timeout)
        except TimeoutError:
            return False
        return True

    def __enter__(self) -> Self:
        """Return the connection; leaving the block closes it.

        With 1000; with 1001 when the program is interrupted; with 1011 when another
        exception leaves it.
        """
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        from_outside = isinstance(exc, GeneratorExit)
        with self._lock:
            outcome = outcome_of(exc, self._live, from_outside=from_outside)
        self._leave_block(outcome, exc)

    def _leave_block(self, outcome: Outcome, exc: BaseException | None) -> None:
        """Close for how the block ended that used the connection, and wait."""
        self._drive(self._verbs.leave(outcome, exc))

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

    @property
    def socket(self) -> Any:
        """The socket below, for what only it knows."""
        return self.wire.sock


def _not_open() -> InvalidState:
    return InvalidState("the opening handshake is not complete")


def _address(name: Any) -> Any:
    try:
        return name()
    except OSError:
        return None  # the peer has gone already
