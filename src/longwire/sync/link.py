"""Link for threads: who reads the socket, and how a thread waits.

``connection.py`` adds the verbs, which are plans of ``verbs.py``. Who waits for input
reads the socket itself. Whatever touches the session holds the connection's lock;
nobody waits for the network while holding it.
"""

from __future__ import annotations

import selectors
import threading
from time import monotonic
from typing import Any, TypeVar, cast

from .. import link
from ..errors import InvalidState
from ..verbs import ACT, END, INPUT, NO_MORE, Next, Plan
from .helper import Helper, forget
from .wire import Wire

__all__ = ["Link"]

T = TypeVar("T")

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Link(link.Link):
    """A session joined to a wire and to the helper; :class:`Connection` adds verbs."""

    # What the helper knows of a connection.
    reads = 0
    is_read = False
    events = 0
    recent = False
    entry: list[Any] | None = None

    wire: Wire
    _lock: Any
    _users = "thread"
    _helper: Helper = cast(Helper, None)
    _waiters = 0  # threads that wait for a change
    _goes_on = False  # input waits that the session has put off

    @link.with_keywords
    def __init__(self, sock: Any, protocol: Any, **keywords: Any) -> None:
        wire = sock if isinstance(sock, Wire) else Wire(sock)
        # Reentrant: what is logged under it may end up in a handler that sends.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        super().__init__(wire, protocol, **keywords)

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
            self._tick(now)
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
        self._goes_on = False
        self._live.go_on(monotonic())
        self._react()

    def _wake(self, flags: int) -> None:
        if self._waiters:
            self._changed.notify_all()

    def _read_at_once(self) -> None:
        self.recent = False
        self._helper.attend(self)

    def _read_soon(self) -> None:
        if not (self.is_read or self.recent or self.events & _READ):
            self._helper.look_after(self)

    # --- waiting -----------------------------------------------------------------

    def _drive(self, plan: Plan[T], timeout: float | None = None) -> T:
        """Return the result of ``plan``, doing what it waits for."""
        if self._session is None:
            plan.close()
            raise InvalidState("the opening handshake is not complete")
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
        return not self.is_read and super()._may_read()

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
                self._read_soon()
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
