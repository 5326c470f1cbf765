"""Incoming for threads: the calls of the peer's on one connection, each in a thread.

What is decided about them is in ``serving.py``. Plain functions run in the pool of the
settings, as routes with ``threads=True`` do on asyncio; a stream has a thread of its
own. A thread cannot be stopped: a call that was cancelled keeps its place until its
function has returned, or its generator has given one more item.
"""

from __future__ import annotations

import contextvars
import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ...errors import ConnectionClosed
from ..callbacks import ERROR, STOPS, cannot_await, log
from ..calls import CallTable, Theirs
from ..envelope import Call
from ..performing import (
    Close,
    Credit,
    InThread,
    Later,
    Next,
    Performer,
    Room,
    Send,
    close_instance,
)
from ..routes import Route
from ..serving import Job, Serving
from .waiting import Waiter

if TYPE_CHECKING:
    from .peer import Peer

__all__ = ["Incoming", "Table"]


class _Stopped(BaseException):
    """Ends the thread of a call that was stopped; never seen by routes."""


class Table(CallTable):
    """The calls of one connection, for threads that carry them out without the lock."""

    guard: Any = None

    def read(self, call: Theirs, size: int) -> None:
        """The arguments of a call were read."""
        with self.guard:
            super().read(call, size)
            self.guard.peer.incoming.make_room()

    def spend(self, call: Theirs) -> bool:
        """Take one item's credit; return whether there was one."""
        with self.guard:
            return super().spend(call)

    def answer(self, call: Theirs) -> bool:
        """Return whether ``call`` is to be answered now."""
        with self.guard:
            return super().answer(call)


class _Place:
    """Where a call whose turn has come waits for room."""

    __slots__ = ("_begin", "_job")

    def __init__(self, job: _Job, begin: Callable[[], None]) -> None:
        self._job = job
        self._begin = begin

    def done(self) -> bool:
        return self._job.is_stopped

    def set_result(self, result: None) -> None:
        self._begin()


class _Job(Job):
    """The job of a call, and what runs it."""

    __slots__ = ("is_kept", "is_stopped", "place", "runs", "working")

    def __init__(self, call: Call, route: Route, later: Later | None) -> None:
        super().__init__(call, route, later)
        self.working: Future[None] | None = None  # in the pool
        self.runs = False  # in a thread
        self.is_stopped = False
        self.is_kept = False  # until its answer is sent
        self.place: Waiter | None = None  # where its thread waits for room

    def stop(self) -> object:
        """End it, wherever it is; return what has to end for that, None if nothing."""
        self.is_stopped = True
        self.close()
        if self.is_kept:
            return self
        if not self.runs and (self.working is None or self.working.cancel()):
            return None
        for waiter in (self.credit, self.place):
            if waiter is not None and not waiter.done():
                waiter.set_exception(_Stopped())
        return self


class _Performer(Performer):
    """Carries out the calls of one peer, in threads."""

    later_types = ()

    @staticmethod
    def iterate(items: Any) -> Any:
        """Return the iterator over what a stream route gives."""
        return iter(items)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._making = threading.RLock()

    def is_stopped(self, exc: BaseException, record: Theirs) -> bool:
        """Whether ``exc`` ends the thread of a call."""
        return isinstance(exc, (GeneratorExit, _Stopped))

    def _function(self, route: Route) -> Callable[..., Any]:
        if route.owner is None:
            return route.function
        with self._making:  # one instance, whoever comes first
            return super()._function(route)

    def close(self) -> None:
        """Tell this connection's instances that it has ended."""
        with self._making:
            instances = list(self.services.values())
            self.services.clear()
        for instance in instances:
            what = f"on_close of {type(instance).__name__}"
            tell(close_instance, instance, what=what)


class Incoming(Serving):
    """The calls of the peer's on one connection."""

    __slots__ = ("_context",)

    job_class = _Job
    runs_plain = False
    performer: _Performer

    def __init__(self, peer: Peer) -> None:
        super().__init__(peer, _Performer(peer.settings, peer.wire, peer))
        self._context = contextvars.copy_context()

    def _now(self) -> float:
        return time.monotonic()

    # --- threads -----------------------------------------------------------------

    def _begin(self, record: Theirs) -> None:
        if record.is_stream:
            self._begin_stream(record)
        elif self._has_room:
            self._submit(record)
        else:
            submit = functools.partial(self._submit, record)
            self._wait_in_line(_Place(record.job, submit))

    def _begin_stream(self, record: Theirs) -> None:
        run = functools.partial(self._context.copy().run, self._work, record)
        thread = threading.Thread(target=run, name="longwire-rpc stream", daemon=True)
        record.job.runs = True
        try:
            thread.start()
        except RuntimeError as exc:
            self._could_not_begin(record, exc)

    def _submit(self, record: Theirs) -> None:
        run = functools.partial(self._context.copy().run, self._work, record)
        working = self._peer.settings.threads.submit(self._peer, run)
        record.job.working = working
        working.add_done_callback(functools.partial(self._checked, record))

    def _checked(self, record: Theirs, working: Future[None]) -> None:
        """The pool is done with a call: there may have been no thread for it."""
        if working.cancelled() or record.job.runs:
            return
        with self._peer.guard:
            self._could_not_begin(record, working.exception())

    def _could_not_begin(self, record: Theirs, exc: BaseException | None) -> None:
        log(ERROR, "a call could not be carried out", exc_info=exc)
        self._answer_last(record)
        self._ended(record)

    def _work(self, record: Theirs) -> None:
        """Perform a call; whatever happens, answer it and give its place back."""
        job = record.job
        job.runs = True
        try:
            self._drive(record)
        except (_Stopped, ConnectionClosed):
            pass  # it was answered, or there is nobody to answer
        except BaseException as exc:
            what = "ended its thread" if isinstance(exc, STOPS) else "failed"
            log(ERROR, "a call of %s %s", job.call.method, what, exc_info=exc)
            with self._peer.guard:
                self._answer_last(record)
        finally:
            with self._peer.guard:
                if not job.is_kept:
                    self._ended(record)

    def _drive(self, record: Theirs) -> None:
        """Carry out a call, doing what its plan waits for."""
        plan = self.carry_out(record)
        step: Any = plan.send
        argument: Any = None
        try:
            while True:
                what = step(argument)
                argument = None  # it may be large, and was taken
                try:
                    wait = _WAITS.get(type(what))
                    if wait is None:
                        raise cannot_await(what, record.job.route.name)
                    if record.job.is_stopped and type(what) is not Close:
                        raise _Stopped
                    argument = wait(self, record, what)
                    step = plan.send
                except BaseException as exc:
                    step, argument = plan.throw, exc
        except StopIteration:
            return
        finally:
            step = argument = None  # no cycle with a traceback

    # --- what plans wait for -----------------------------------------------------

    def _wait_for_room(self, record: Theirs, step: object) -> None:
        """Wait until a stream may go on to its next item; other calls have waited."""
        if not record.is_stream:
            return
        job = record.job
        with self._peer.guard:
            if self._has_room:
                return
            job.place = place = Waiter()
            self._wait_in_line(place)
        place.wait(None)
        with self._peer.guard:
            job.place = None
            if self._room:
                self.make_room()
        place.result()

    def _wait_for_credit(self, record: Theirs, step: object) -> None:
        """Wait until the peer takes more items of a stream."""
        with self._peer.guard:
            if record.credit > 0 or record.job.is_stopped:
                return  # it came just now
            waiter = Waiter()
            self._starve(record, waiter)
            until = record.idle_at
        try:
            seconds = None if until == float("inf") else until - self._now()
            if not waiter.wait(seconds):
                with self._peer.guard:
                    if not waiter.done():
                        self.expire(record, self._now())
        finally:
            with self._peer.guard:
                self._feed(record)
        if waiter.done():
            waiter.result()

    def _next_item(self, record: Theirs, step: Next) -> Any:
        return next(step.iterator, step.end)

    def _send_frame(self, record: Theirs, step: Send) -> None:
        if record.is_stream:
            self._peer.outbox.send(step.frame)
            return
        # Its thread is for other calls, its place is kept until the answer is sent.
        with self._peer.guard:
            record.job.is_kept = True
            ended = functools.partial(self._ended, record)
            self._peer.outbox.post(step.frame, ended)

    def _close_items(self, record: Theirs, step: Close) -> None:
        close = getattr(step.items, "close", None)
        if close is not None:
            close()

    def _run_here(self, record: Theirs, step: InThread) -> Any:
        return step.function(*step.args, **step.named)

    # --- with the lock -----------------------------------------------------------

    def _answer_to(self, call: Call, frame: bytes) -> bytes | None:
        with self._peer.guard:
            return super()._answer_to(call, frame)

    def lend(self, record: Theirs) -> None:
        """A call waits for one of its own: others may have its place meanwhile."""
        with self._peer.guard:
            super().lend(record)

    def resume(self, record: Theirs) -> None:
        """It goes on."""
        with self._peer.guard:
            super().resume(record)

    def _lend_thread(self, record: Theirs) -> None:
        if not record.is_stream:
            self._peer.settings.threads.lend(self._peer)

    def _resume_thread(self, record: Theirs) -> None:
        if not record.is_stream:
            self._peer.settings.threads.resume(self._peer)

    # --- the end -----------------------------------------------------------------

    def end(self, stopped: list[Theirs], seconds: float) -> None:
        """The connection has ended: stop its calls, and wait until they have.

        Notifications that were read are carried out, for they want no answer. Whatever
        does not end in ``seconds`` is left behind.
        """
        with self._peer.guard:
            for record in stopped:
                if record.job.stop() is None:
                    self._finish(record)
            self.make_room()
        self._wait_for_threads(seconds)
        with self._peer.guard:
            self._stop_notifications()
        late = self._wait_for_threads(min(seconds, 1.0))
        with self._peer.guard:
            self._hold(-self._batched)
        self._note_left(late, seconds)

    def _wait_for_threads(self, seconds: float) -> int:
        """Wait until no call is under way; return how many are."""
        until = time.monotonic() + seconds
        while True:
            with self._peer.guard:
                self.retry()
                left = len(self._peer.table.theirs)
                change = self._peer.expect_change()
            if not left or not change.wait(until - time.monotonic()):
                return left


# How a plan's steps are waited for.
_WAITS: dict[type, Callable[[Incoming, Theirs, Any], Any]] = {
    Room: Incoming._wait_for_room,
    Credit: Incoming._wait_for_credit,
    Next: Incoming._next_item,
    Send: Incoming._send_frame,
    Close: Incoming._close_items,
    InThread: Incoming._run_here,
}


def tell(function: Callable[..., Any], *args: Any, what: str) -> None:
    """Call ``function``, and log what it raises."""
    try:
        result = function(*args)
        if result is not None and hasattr(result, "__await__"):
            raise cannot_await(result, what)
    except STOPS:
        raise
    except BaseException as exc:
        log(ERROR, "%s failed", what, exc_info=exc)
