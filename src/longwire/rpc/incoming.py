"""Incoming: the calls of the peer's on one connection, carried out on asyncio.

What runs at once, what gets a task, what has to wait, and that each of them gives its
place back and is answered once, however it ends. ``calls.py`` decides; a place is taken
by `_start` alone and given back by `_ended` alone, which is called when the task of the
call is done, also when that was cancelled before its first step.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import inspect
import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ConnectionClosed
from .callbacks import begin, begin_later, log
from .calls import Admission, Theirs
from .codecs import ABSENT
from .envelope import PING, Bad, Batch, Call, Cancel, More
from .errors import (
    Cancelled,
    DeadlineExceeded,
    ErrorValue,
    InternalError,
    InvalidRequest,
    MethodNotFound,
    StreamMismatch,
    TooBusy,
)
from .memory import CALL, size_of_frame
from .performing import Later, Performer
from .routes import UNSET, Route
from .texts import quoted

if TYPE_CHECKING:
    from .peer import Peer

__all__ = ["Incoming"]


class _Job:
    """What a call of theirs is about: for the table, its ``job``."""

    __slots__ = ("call", "credit", "is_held", "later", "route", "task")

    def __init__(self, call: Call, route: Route, later: Later | None) -> None:
        self.call = call
        self.route = route
        self.later = later
        self.task: asyncio.Task[None] | None = None
        # What a stream waits for, and whether a thread goes on behind a call's end.
        self.credit: asyncio.Future[None] | None = None
        self.is_held = False

    def stop(self) -> asyncio.Task[None] | None:
        """End it, wherever it is; return the task that has to end for that."""
        if self.task is not None:
            self.task.cancel()
        else:
            self.close()
        return self.task

    def close(self) -> None:
        """Let go of a coroutine that nobody has begun, or will."""
        if self.later is None:
            return
        waiting = self.later.awaitable
        if not inspect.iscoroutine(waiting):
            return
        if inspect.getcoroutinestate(waiting) == inspect.CORO_CREATED:
            waiting.close()


class Incoming:
    """The calls of the peer's on one connection."""

    __slots__ = (
        "_batched",
        "_dropped",
        "_find",
        "_loop",
        "_memory",
        "_outbox",
        "_own",
        "_peer",
        "_room",
        "_thread_room",
        "_thread_share",
        "_threads",
        "_unsent",
        "deferred",
        "performer",
    )

    def __init__(self, peer: Peer, loop: asyncio.AbstractEventLoop) -> None:
        self._peer = peer
        self._loop = loop
        self.performer = Performer(peer.settings, peer.wire, peer)
        self._find = peer.settings.routes.find
        self._own = peer.settings.own_routes(peer.wire)
        self._outbox = peer.outbox
        self._unsent = peer.settings.limits.unsent
        self._memory = peer.settings.limits.memory
        # Whose turn it is, but not before there is room for its answer: in order.
        self._room: collections.deque[asyncio.Future[None]] | None = None
        # Calls that are in threads, or have to wait until fewer are.
        self._threads = 0
        self._thread_share = 0
        self._thread_room: collections.deque[asyncio.Future[None]] | None = None
        # Notifications that found no place: nothing is read until they have one.
        self.deferred: Sequence[tuple[Call, Route, Later | None]] = ()
        self._dropped = 0  # notifications
        self._batched = 0  # bytes of answers that wait for the rest of their batches

    # --- calls -------------------------------------------------------------------

    def take_call(self, call: Call) -> None:
        """Carry out a call, or let it wait, or refuse it."""
        peer = self._peer
        call.peer = peer
        route = self._find(call.method) or self._own.get(call.method)
        if route is None:
            self._refuse_unknown(call)
        elif route.signature.is_stream is not (call.stream > 0):
            self.refuse(call, StreamMismatch(_mismatch(route)))
        elif call.id in peer.table.theirs:
            self.refuse(call, InvalidRequest("the id is in use by another call"))
        elif (
            route.is_plain
            and not self.performer.awaits
            and not self._room
            and self._outbox.size <= self._unsent
            and peer.table.read_size <= self._memory
            and not peer.table.is_draining
        ):
            outcome = self.performer.perform_plain(call, route)
            if type(outcome) is bytes:
                self._reply(call, outcome)
            else:
                self._start(call, route, outcome)  # type: ignore[arg-type]
        else:
            self._start(call, route)

    def _refuse_unknown(self, call: Call) -> None:
        if call.method == PING and call.id is not None and self._peer.wire.extended:
            self._reply(call, self._peer.wire.result(call.id, None))
            return
        name = quoted(call.method)
        self.refuse(call, MethodNotFound(f"no such method: {name}"))

    def refuse(self, call: Call, error: Exception) -> None:
        """Answer a call that is not carried out."""
        self._reply(call, self.performer.failure(call, error))

    def take_bad(self, bad: Bad) -> None:
        """Answer what makes no sense."""
        peer = self._peer
        peer.table.strange += 1
        frame = peer.wire.failure(bad.id, bad.error)
        answer = frame if bad.batch is None else self._add(bad.batch, bad.id, frame)
        if answer is not None:
            peer.post(answer)

    def _start(self, call: Call, route: Route, later: Later | None = None) -> None:
        """Begin a call in a task of its own, or let it wait for its turn."""
        peer = self._peer
        limit: Any = route.deadline
        if limit is UNSET:
            limit = None if call.stream else peer.settings.limits.deadline
        deadline = math.inf if limit is None else self._loop.time() + limit
        if call.batch is not None and call.params is not ABSENT:
            call.params = call.params.copy()  # not the whole batch for each of it
        job = _Job(call, route, later)
        is_silent = call.id is None
        try:
            record = peer.table.admit(
                call if is_silent else call.id,
                job,
                deadline,
                call.stream,
                size=CALL + call.size,
                is_silent=is_silent,
            )
        except Admission as exc:
            if is_silent and exc.passes and peer.table.may_wait:
                self.deferred = (*self.deferred, (call, route, later))
                return
            job.close()
            if is_silent:
                self._note_dropped(call, exc)
            self.refuse(call, TooBusy(str(exc)))
            return
        call.record = record
        peer.watch(deadline)
        if record.running:
            self._begin(record, begin)

    def _note_dropped(self, call: Call, why: object) -> None:
        """Say so, but not each time: a peer would write more to our log than it sends.

        The first of this connection's, the second, the fourth, the eighth, and so on.
        """
        self._dropped += 1
        if self._dropped & (self._dropped - 1) == 0:
            text = "a notification of %s was dropped: %s (%d of this connection so far)"
            log(logging.WARNING, text, call.method, why, self._dropped)

    def _begin(self, record: Theirs, begin: Any) -> None:
        task = record.job.task = begin(self._perform(record), self._loop)
        if task.done():
            self._ended(record, task)
        else:
            task.add_done_callback(functools.partial(self._ended, record))

    async def _perform(self, record: Theirs) -> None:
        job, peer = record.job, self._peer
        if not self._has_room:
            await self.wait_for_room()
        if not peer.table.holding.may_hold_more:
            error = TooBusy("the server has too much to keep")
            frame = self.performer.failure(job.call, error)
        else:
            frame = await self.performer.perform(job.call, job.route, record, job.later)
            if self._outbox.size and not peer.table.holding.may_hold_more:
                # It would have to be kept, and many that ended together are already.
                error = TooBusy("too many answers wait to be taken")
                frame = self.performer.failure(job.call, error)
        if peer.table.answer(record):
            answer = self._answer_to(job.call, frame)
            if answer is not None:
                # The place is kept until the peer has taken the answer: who calls
                # and does not read gets no more of them.
                await peer.send(answer)

    def _ended(self, record: Theirs, task: asyncio.Task[None]) -> None:
        """The task of a call is done, in whatever way: its place is free."""
        record.job.close()
        exc = None if task.cancelled() else task.exception()
        if exc is not None and not isinstance(exc, ConnectionClosed):
            # No route can cause it; and yet its caller gets an answer.
            log(logging.ERROR, "a call could not be carried out", exc_info=exc)
            self._answer_last(record)
        if not record.job.is_held:
            self._finish(record)

    def _answer_last(self, record: Theirs) -> None:
        if self._peer.table.answer(record):
            call = record.job.call
            frame = self.performer.failure(call, InternalError("internal error"))
            self._reply(call, frame)

    def _finish(self, record: Theirs) -> None:
        self._next(self._peer.table.finish(record))
        self._peer.has_changed()

    def _next(self, succeeding: Theirs | None) -> None:
        """Begin the call whose turn it is."""
        if succeeding is not None:
            # Not at once: each that ends at once would begin another inside of it.
            self._begin(succeeding, begin_later)
        if self._room:
            self.make_room()

    def hold_until(self, record: Theirs, future: asyncio.Future[Any]) -> None:
        """Let a call that has ended keep its place until ``future`` is done."""
        record.job.is_held = True

        def release(future: asyncio.Future[Any]) -> None:
            if not future.cancelled():
                future.exception()  # nobody is left to be told
            record.job.is_held = False
            self._finish(record)

        future.add_done_callback(release)

    # --- turns -------------------------------------------------------------------

    @property
    def _has_room(self) -> bool:
        """Whether a call may begin: its arguments and its answer have room."""
        return (
            not self._room
            and self._outbox.size <= self._unsent
            and self._peer.table.may_begin
        )

    async def wait_for_room(self) -> None:
        """Wait until a call may begin, or go on to the next item of a stream."""
        if self._has_room:
            return
        if self._room is None:
            self._room = collections.deque()
        future: asyncio.Future[None] = self._loop.create_future()
        self._room.append(future)
        try:
            await future
        finally:
            if future.cancelled():
                self.make_room()
            elif self._room:
                # The next one looks again when this one has begun.
                self._loop.call_soon(self.make_room)

    def make_room(self) -> None:
        """Something has ended, or was sent: let the next call begin if it may."""
        waiting = self._room
        while waiting and waiting[0].done():
            waiting.popleft()
        peer = self._peer
        may_begin = peer.table.may_begin or peer.table.is_lost
        if waiting and may_begin and self._outbox.size <= self._unsent:
            waiting.popleft().set_result(None)

    async def wait_for_thread(self) -> None:
        """Wait until this connection may have one more thread, and room for its answer.

        What waits in front of the threads has no answer yet that has to be kept.
        """
        if not self._thread_share:
            self._thread_share = self._peer.settings.threads.share
        if self._threads >= self._thread_share:
            if self._thread_room is None:
                self._thread_room = collections.deque()
            future: asyncio.Future[None] = self._loop.create_future()
            self._thread_room.append(future)
            try:
                await future
            except BaseException:
                if not future.cancelled():
                    self.thread_ended()  # its turn had come just now
                raise
        else:
            self._threads += 1
        try:
            await self.wait_for_room()
        except BaseException:
            self.thread_ended()
            raise

    def thread_ended(self, future: object = None) -> None:
        """A thread of this connection has ended: the next call may have one."""
        waiting = self._thread_room
        while waiting:
            next_one = waiting.popleft()
            if not next_one.done():
                next_one.set_result(None)
                return
        self._threads -= 1

    def lend(self, record: Theirs) -> None:
        """A call waits for one of its own: others may have its place meanwhile."""
        if record.job.route.threads:
            self._peer.settings.threads.lend(self._peer)
            self.thread_ended()
        self._next(self._peer.table.lend(record))

    def resume(self, record: Theirs) -> None:
        """It goes on."""
        if record.job.route.threads:
            self._peer.settings.threads.resume(self._peer)
            self._threads += 1
        self._peer.table.resume(record)

    def retry(self) -> None:
        """Begin the notifications that had to wait, as far as there is room."""
        deferred, self.deferred = self.deferred, ()
        for call, route, later in deferred:
            self._start(call, route, later)

    # --- answers -----------------------------------------------------------------

    def _reply(self, call: Call, frame: bytes) -> None:
        """Answer a call from the loop that reads."""
        answer = self._answer_to(call, frame)
        if answer is not None:
            self._peer.post(answer)

    def _answer_to(self, call: Call, frame: bytes) -> bytes | None:
        """Return what to send now that a call is answered with ``frame``, if anything.

        That is nothing for a notification, and for a batch until all of it is answered.
        """
        if call.id is None:
            return None
        return frame if call.batch is None else self._add(call.batch, call.id, frame)

    def _add(self, batch: Batch, id: Any, frame: bytes) -> bytes | None:
        """Add an answer to those of its batch; return all of them after the last.

        All are sent as one message, and kept until then: the sum has limits, too.
        """
        peer = self._peer
        is_much = size_of_frame(frame) > self._unsent - self._batched
        if is_much or len(frame) > peer.max_answer - batch.size:
            text = (
                f"the answers of the batch exceed the limit of {peer.max_answer} bytes"
            )
            error = ErrorValue(InternalError.code, text, "InternalError")
            frame = peer.wire.failure(id, error)
        answers = batch.add(frame)
        self._hold(size_of_frame(frame))
        if answers is None:
            return None
        self._hold(-sum(map(size_of_frame, answers)))
        return peer.wire.codec.array(answers)

    def _hold(self, size: int) -> None:
        self._batched += size
        self._peer.table.holding.hold(size)

    # --- stopping, streams -------------------------------------------------------

    def take_cancel(self, cancel: Cancel) -> None:
        """Stop a call that the peer does not want any more."""
        record = self._peer.table.theirs.get(cancel.id)
        if record is not None:
            self._stop(record, Cancelled("cancelled"))

    def expire(self, record: Theirs, now: float) -> None:
        """Stop a call that has taken too long."""
        if record.deadline <= now:
            text = "the call took too long"
        else:
            text = "no item of the stream was taken for too long"
        self._stop(record, DeadlineExceeded(text))

    def _stop(self, record: Theirs, error: Exception) -> None:
        """Stop a call of theirs and answer it with ``error``."""
        if not self._peer.table.answer(record):
            return
        job = record.job
        answer = self._answer_to(job.call, self.performer.failure(job.call, error))
        if answer is not None:
            self._peer.post(answer)
        if job.stop() is None:
            self._finish(record)  # it waited for its turn

    def take_more(self, more: More) -> None:
        """The peer takes more items of a stream."""
        record = self._peer.table.grant(more.id, more.count)
        if record is not None:
            waiting = record.job.credit
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    async def wait_for_credit(self, record: Theirs) -> None:
        """Wait until the peer takes more items of a stream."""
        peer = self._peer
        future = record.job.credit = self._loop.create_future()
        seconds = peer.settings.limits.stream_idle
        until = math.inf if seconds is None else self._loop.time() + seconds
        peer.table.starve(record, until)
        peer.watch(until)
        peer.has_changed()
        try:
            await future
        finally:
            peer.table.feed(record)
            record.job.credit = None

    # --- the end -----------------------------------------------------------------

    async def end(self, stopped: list[Theirs], seconds: float) -> None:
        """The connection has ended: stop its calls, and wait until they have.

        What was read is begun, if it was not yet; notifications are carried out, for
        they want no answer. Whatever does not end in ``seconds`` is left behind.
        """
        self.make_room()
        late = 0
        try:
            try:
                if any(record.job.task is not None for record in stopped):
                    await asyncio.sleep(0)  # their first step
            finally:
                for record in stopped:
                    record.job.stop()
            await self._wait_for_tasks(seconds)
            self._stop_notifications()
            late = await self._wait_for_tasks(min(seconds, 1.0))
        finally:
            # Also where this is cancelled, and again where all is well.
            self._stop_notifications()
            self._hold(-self._batched)
        if late:
            log(
                logging.WARNING,
                "%d calls still run %s seconds after their connection ended",
                late,
                seconds,
            )

    def _stop_notifications(self) -> None:
        """Stop those that are not done, and drop those that wait."""
        for record in list(self._peer.table.theirs.values()):
            if record.is_silent and record.job.stop() is None:
                self._finish(record)
        deferred, self.deferred = self.deferred, ()
        for call, route, later in deferred:
            _Job(call, route, later).close()
            self._note_dropped(call, "the connection has ended")

    async def _wait_for_tasks(self, seconds: float) -> int:
        """Wait for the tasks of calls, and of those whose turn comes; return how many
        are left."""
        until = self._loop.time() + seconds
        while True:
            self.retry()
            tasks = [
                record.job.task
                for record in self._peer.table.theirs.values()
                if record.job.task is not None and not record.job.task.done()
            ]
            rest = until - self._loop.time()
            if not tasks or rest <= 0:
                return len(tasks)
            await asyncio.wait(tasks, timeout=rest, return_when="FIRST_COMPLETED")
            await asyncio.sleep(0)  # the turn of what is done when they are


def _mismatch(route: Route) -> str:
    if route.signature.is_stream:
        return f"{route.name} gives a stream; it was called as a plain route"
    return f"{route.name} gives no stream; it was called as one"
