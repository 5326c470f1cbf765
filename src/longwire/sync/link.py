"""Link for threads: who reads the socket, and how a thread waits.

``connection.py`` adds the verbs, which are plans of ``verbs.py``. Who waits for input
reads the socket itself. Whatever touches the session holds the connection's lock.
Nobody holds it while waiting, while logging, or while a caller's code runs; the helper
does not even wait for it.

A signal's handler may raise anywhere in the main thread, between any two calls. So a
lock is taken by ``with`` alone; what a verb sets it resets in ``finally``, by nothing
but assignments; bytes belong to the wire as soon as they are read (see ``wire.py``).
"""

from __future__ import annotations

import contextlib
import selectors
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar, cast

from .. import link
from ..errors import InvalidState
from ..session.session import STAY
from ..verbs import ACT, END, INPUT, NO_MORE, Next, Plan
from ..wire import is_of_tcp
from .helper import Busy, Helper, forget
from .places import Places, wait_at
from .reporting import report
from .wire import BUFFER_SIZE, Wire, wait_for

__all__ = ["Link"]

T = TypeVar("T")

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

# What a thread waits at that is no place, nor the socket.
_NOTHING, _ALONE = object(), object()
_TIMED_OUT = object()

MOST_LINES = 1000
"""Lines for the log that may wait; more are dropped, while a handler of it blocks."""


class Link(link.Link):
    """A session joined to a wire and to the helper; :class:`Connection` adds verbs."""

    # What the helper knows of a connection.
    reads = 0
    events = 0
    recent = False
    entry: list[Any] | None = None

    wire: Wire
    _lock: Any
    _users = "thread"
    _helper: Helper = cast(Helper, None)
    _reader: object = None  # the call that reads the socket now
    _goes_on = False  # input waits that the session has put off

    @link.with_keywords
    def __init__(self, sock: Any, protocol: Any, **keywords: Any) -> None:
        wire = sock if isinstance(sock, Wire) else Wire(sock)
        super().__init__(wire, protocol, **keywords)
        self._begin_alone()

    def _begin_alone(self) -> None:
        """Make what threads share: no thread knows of it yet."""
        # Reentrant: a signal's handler may send, in the middle of a verb.
        self._lock = threading.RLock()
        self._places = Places()
        # A message that was taken from the session, and not returned yet.
        self._taken: tuple[int, Any] | None = None
        # What is to be logged, and to be done with the lock.
        self._lines: list[tuple[Callable[..., object], tuple[object, ...]]] = []
        self._changes: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    @property
    def is_read(self) -> bool:
        """Whether a thread waits for its input."""
        return self._reader is not None

    def _begin_to_serve(self) -> None:
        self._helper = Helper.get()
        self._helper.members.add(self)
        self._helper.call_at(self, self._live.next_deadline())
        self._helper.look_after(self)

    def _close_wire(self) -> None:
        self.wire.close(in_use=self.is_read or self.events != 0)
        forget(self)
        if self.events:
            self._helper.attend(self)

    # --- from the helper ---------------------------------------------------------

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self.wire.sock.fileno()

    def attend(self, helper: Helper) -> None:
        """Have ``helper`` watch what is to be watched; it is the helper that calls."""
        self._try_lock()
        try:
            self._change()
            if self._goes_on and not self.is_read:
                self._go_on()
            if self._live.flags:
                self._react()
            self._watch(helper)
        finally:
            self._lock.release()
            self._leave_lines(helper, False)

    def serve(self, helper: Helper, events: int) -> None:
        """Read or write what can be; the helper calls."""
        self._try_lock()
        waited = bool(self._places)
        try:
            if events & _WRITE and not self.wire.closed:
                self._flush()
            if events & _READ:
                self._read_now()
            self._react()
            self._watch(helper)
        finally:
            self._lock.release()
            self._leave_lines(helper, waited)

    def tick(self, now: float) -> float:
        """Do what is due; return when to be called again. The helper calls."""
        self._try_lock()
        waited = bool(self._places)
        try:
            # What a deadline is about may be there, and nobody has read it yet.
            self._read_now()
            self._tick(now)
            return self._live.next_deadline()
        finally:
            self._lock.release()
            self._leave_lines(self._helper, waited)

    def _try_lock(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise Busy

    def _flush(self) -> None:
        """Write what can be written, and do what waited for that."""
        self.wire.flush()
        self._check_wire(self._live)
        self._hang_up(self._live)

    def _read_now(self) -> None:
        """Take what has come, if nobody else reads."""
        if self._may_read():
            try:
                self.wire.receive_now()
            except OSError as exc:
                if not is_of_tcp(exc):
                    raise
                self._lose(exc)
            else:
                self._take_in()

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

    def abandon(self) -> None:
        """Let go of a connection that is the parent's, in a child process.

        Threads of the parent are not here: neither is what they wait for, nor what
        they hold.
        """
        self._begin_alone()
        self.events = self.reads = 0
        self.recent = self._goes_on = False
        self._reader = self.entry = None
        self._verbs.receiving = False
        self.wire.closed = True
        self.wire.sock.close()
        session = self._live
        # What the parent receives is not received here, too.
        session.intake.forget()
        if not session.tcp_lost:
            gone = OSError("the connection is the parent process's")
            session.lost(gone, monotonic())
        for pong in session.heartbeat.take_waiters():
            pong.forget_waiters()
            pong.fail(session.exception())

    def _take_in(self) -> None:
        wire, session = self.wire, self._live
        read = wire.count
        if not read or wire.came or wire.layers or self._taps is not None:
            super()._take_in()
            return
        # The same for what is most common: one small read, without TLS.
        protocol = session.protocol
        if protocol.bytes_received == self._counted:
            session.receive(bytes(wire.buffer[:read]), monotonic())
        self._counted, wire.count = protocol.bytes_received, None
        if read == BUFFER_SIZE:
            wire.is_bulk = True
        if session.flags:
            self._react()

    # --- what the session asks for -----------------------------------------------

    def _call_at(self, when: float) -> None:
        self._helper.call_at(self, when)

    def _flush_later(self) -> None:
        if not self.events & _WRITE:
            self._helper.attend(self)

    def _goes_on_later(self) -> bool:
        if threading.current_thread() is not self._helper.thread:
            return False
        # Others have their turn before it.
        self._goes_on = True
        self._helper.attend(self)
        return True

    def _go_on(self) -> None:
        """Have the session parse on: it has used up what one turn allows."""
        self._live.go_on(monotonic())
        self._goes_on = False
        self._react()

    def _wake(self, flags: int) -> None:
        if self._places:
            self._places.wake()

    def _read_at_once(self) -> None:
        self.recent = False
        self._helper.attend(self)

    def _read_soon(self) -> None:
        if not (self.is_read or self.recent or self.events & _READ):
            self._helper.look_after(self)

    # --- log and changes, without the lock ---------------------------------------

    def _put_off(self, log: Callable[..., object], *args: object) -> None:
        # A handler of the log may wait for anything: for this connection, too.
        if len(self._lines) < MOST_LINES:
            self._lines.append((log, args))

    def _log_rest(self) -> None:
        lines = self._lines
        while lines:
            try:
                log, args = lines.pop(0)
            except IndexError:
                return  # another thread has logged it
            log(*args)

    def _leave_lines(self, helper: Helper, waited: bool) -> None:
        """Have logged what the helper has put off.

        A thread that ``waited`` and was woken does it, before its verb returns: only
        what is left after that is another's.
        """
        if self._lines:
            if waited:
                helper.put_off(self)
            else:
                report(self._log_rest)

    def _soon(self, change: Callable[..., object], *args: object) -> None:
        # The thread that accepts waits for no lock.
        self._changes.append((change, args))
        self._helper.attend(self)

    def _change(self) -> None:
        changes = self._changes
        while changes:
            change, args = changes.pop(0)
            change(*args)
            self._react()

    # --- waiting -----------------------------------------------------------------

    def _drive(self, plan: Plan[T], timeout: float | None = None) -> T:
        """Return the result of ``plan``, doing what it waits for."""
        session = self._session
        if session is None:
            plan.close()
            raise InvalidState("the opening handshake is not complete")
        ends_at = None if timeout is None else monotonic() + timeout
        step: Callable[[Any], Any] = plan.send
        value: Any = None
        me: object = [True]  # another object for each call
        again = interrupted = False
        try:
            while True:
                with self._lock:
                    what, place = self._step(step, value, me)
                if self._lines:
                    self._log_rest()
                if place is None:
                    return cast(T, what)
                if again and ends_at is not None and monotonic() >= ends_at:
                    value = _TIMED_OUT
                else:
                    step, value, interrupted = self._outcome(plan, what, place, ends_at)
                if value is _TIMED_OUT:
                    text = f"not done within {timeout:.3g} seconds"
                    step, value = plan.throw, TimeoutError(text)
                again = True
        finally:
            if self._reader is me:
                self._reader = None
            if interrupted or cast(Any, plan).gi_frame is not None:
                self._give_up(plan)
                self._log_rest()
            value = None

    def _step(
        self, step: Callable[[Any], Any], value: Any, me: object
    ) -> tuple[Any, Any]:
        """Go on with a plan. Returns what it waits for and where, or a result and None.

        The lock is held.
        """
        session = self._live
        place: Any = None
        changed = False
        try:
            what = step(value)
        except StopIteration as stop:
            what = stop.value
        else:
            place = _NOTHING
        finally:
            if session.flags:
                changed = True
                self._react()
        if place is None or (changed and not isinstance(what, Next)):
            # What the plan waits for may be there now: it looks again.
            return what, place
        return what, self._place_for(what, me)

    def _give_up(self, plan: Plan[Any] | None = None) -> None:
        """A verb has ended early: end its plan, and do what is left to do."""
        if self._session is None:
            return
        # First, and in one call into C: the helper looks after what is left here.
        self._helper.wanted.append(self)
        with self._lock:
            if plan is not None:
                plan.close()
            self._end_reading(False)
        self._helper.attend(self)

    def _place_for(self, what: int | Next, me: object) -> Any:
        """Return where to wait for what a plan has yielded. The lock is held."""
        if what == ACT or isinstance(what, Next):
            return _NOTHING
        if self._helper.is_stopped:
            return _ALONE
        if what in (INPUT, END):
            if self._goes_on and not self.is_read:
                self._go_on()
                return _NOTHING
            if self._may_read():
                if self._takes_rest():
                    return _NOTHING
                self.reads += 1
                self._reader = me
                return me
        return self._places.take()

    def _takes_rest(self) -> bool:
        """Take in what another thread has read, if there is any. The lock is held.

        To be called before a thread begins to read: nobody can tell one that waits for
        the socket that the message it waits for has come by another thread, which has
        stopped reading and does not have the lock yet.
        """
        wire = self.wire
        if not (wire.came or wire.plain):
            return False
        self._take_in()
        return True

    def _outcome(
        self, plan: Plan[Any], what: int | Next, place: Any, ends_at: float | None
    ) -> tuple[Callable[[Any], Any], Any, bool]:
        """Wait. Returns how to go on with a plan, and whether that was interrupted."""
        try:
            return plan.send, self._wait(what, place, ends_at), False
        except BaseException as exc:
            return plan.throw, exc, True

    def _wait(self, what: int | Next, place: Any, ends_at: float | None) -> Any:
        """Wait for what a plan has yielded, without the lock.

        Returns what the plan is to be resumed with, or _TIMED_OUT.
        """
        if isinstance(what, Next):
            return next(what.items, NO_MORE)  # type: ignore[arg-type]
        if place is _NOTHING:
            return None
        seconds = None if ends_at is None else max(0.0, ends_at - monotonic())
        if place is _ALONE:
            self._serve_alone(seconds)
            return None
        if place is self._reader:
            came = self._receive(seconds, place)
            with self._lock:
                self._end_reading(came)
            done = came is not False
        else:
            done = wait_at(place, seconds)
            if not done:
                with self._lock:
                    self._places.leave(place)
        return None if done else _TIMED_OUT

    def _may_read(self) -> bool:
        # As the base does, in one call: it is asked for each message.
        if self._reader is not None:
            return False
        session, wire = self._live, self.wire
        if wire.count is not None or wire.piece is not None:
            wire.settle()  # who has read it was interrupted
        if session.got_eof or wire.closed:
            return False
        return session.wants_reading or session.ending != STAY

    def _receive(self, seconds: float | None, reader: object) -> bool | OSError:
        """Read the socket in this thread; return whether something came, or an error.

        It was set who reads, and ``_end_reading()`` has to follow.
        """
        try:
            return self.wire.receive(seconds)
        except OSError as exc:
            if not is_of_tcp(exc):
                raise
            return exc
        finally:
            if self._reader is reader:
                self._reader = None

    def _end_reading(self, came: bool | OSError) -> None:
        """Take what was read, and leave the socket to others. The lock is held."""
        if not self.recent:
            self._read_soon()
        if self._places:
            # One that waits for the end has to read on.
            self._places.wake()
        wire = self.wire
        if wire.closed:
            if not (self.events or self.is_read):
                wire.release()
            self._react()
            return
        if isinstance(came, OSError):
            self._lose(came)
        self._take_in()
        if self._live.flags:
            self._react()

    def _serve_alone(self, seconds: float | None) -> None:
        """Wait, and do the helper's work: it has ended, for the process is about to."""
        with self._lock:
            reading, writing = self._may_read(), bool(self.wire.unsent)
            due = self._live.next_deadline() - monotonic()
        due = min(due, 1.0 if seconds is None else seconds, 1.0)
        if reading or writing:
            with contextlib.suppress(OSError, ValueError):  # closed meanwhile
                wait_for(self.wire.sock, writing, max(0.0, due), reading)
        with self._lock:
            if self._goes_on:
                self._go_on()
            if not self.wire.closed:
                self._flush()
            self._read_now()
            self._tick(monotonic())
