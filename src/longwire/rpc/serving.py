"""Serving: the calls of the peer's on one connection; no I/O and no clock.

What is refused, what runs at once, what has to wait, and that each call is answered
once and gives its place back, however it ends. ``calls.py`` decides whether there is
room; a place is taken by `_start` alone and given back by `_ended` alone. A front end
runs the plans of `carry_out`, and fills in the methods under "what a front end adds".
"""

from __future__ import annotations

import collections
import inspect
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .callbacks import WARNING, log
from .calls import WAITING, Admission, Theirs
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
from .performing import ROOM, Later, Performer, Plan, Send
from .routes import UNSET, Route
from .texts import quoted

if TYPE_CHECKING:
    from .link import Link

__all__ = ["Job", "Serving"]


class Job:
    """What a call of theirs is about: for the table, its ``job``.

    ``credit`` is what a stream waits for, done when the peer takes more items.
    """

    __slots__ = ("call", "credit", "later", "route")

    def __init__(self, call: Call, route: Route, later: Later | None) -> None:
        self.call = call
        self.route = route
        self.later = later
        self.credit: Any = None

    def stop(self) -> Any:
        """End it, wherever it is; return what has to end for that, None if nothing."""
        self.close()
        return None

    def close(self) -> None:
        """Let go of a coroutine that nobody has begun, or will."""
        if self.later is None:
            return
        waiting = self.later.awaitable
        if not inspect.iscoroutine(waiting):
            return
        if inspect.getcoroutinestate(waiting) == inspect.CORO_CREATED:
            waiting.close()


class Serving:
    """The calls of the peer's on one connection."""

    __slots__ = (
        "_batched",
        "_dropped",
        "_find",
        "_memory",
        "_outbox",
        "_own",
        "_peer",
        "_room",
        "_unsent",
        "deferred",
        "performer",
    )

    job_class: type[Job] = Job
    runs_plain = True
    """Whether plain functions run where messages are read, without a place."""

    def __init__(self, peer: Link, performer: Performer) -> None:
        self._peer: Any = peer
        self.performer = performer
        self._outbox = peer.outbox
        self._find = peer.settings.routes.find
        self._own = peer.settings.own_routes(peer.wire)
        self._unsent = peer.settings.limits.unsent
        self._memory = peer.settings.limits.memory
        # Whose turn it is, but not before there is room for its answer: in order.
        self._room: collections.deque[Any] | None = None
        # Notifications that found no place: nothing is read until they have one.
        self.deferred: Sequence[tuple[Call, Route, Later | None]] = ()
        self._dropped = 0  # notifications
        self._batched = 0  # bytes of answers that wait for the rest of their batches

    # --- what a front end adds ---------------------------------------------------

    def _now(self) -> float:
        raise AssertionError("a front end does")

    def _begin(self, record: Theirs) -> None:
        """Begin to carry out a call that has a place."""
        raise AssertionError("a front end does")

    def _begin_later(self, record: Theirs) -> None:
        """Do so, but not before what called this has ended."""
        self._begin(record)

    def _lend_thread(self, record: Theirs) -> None:
        """A call waits for the peer: others may have its thread, if it has one."""

    def _resume_thread(self, record: Theirs) -> None:
        """It goes on."""

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
            and self.runs_plain
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
        """Begin a call, or let it wait for its turn."""
        peer = self._peer
        limit: Any = route.deadline
        if limit is UNSET:
            limit = None if call.stream else peer.settings.limits.deadline
        deadline = math.inf if limit is None else self._now() + limit
        if call.batch is not None and call.params is not ABSENT:
            call.params = call.params.copy()  # not the whole batch for each of it
        job = self.job_class(call, route, later)
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
        if limit is not None:
            peer.watch(deadline)
        if record.state is not WAITING:
            self._begin(record)

    def _note_dropped(self, call: Call, why: object) -> None:
        """Say so, but not each time: a peer would write more to our log than it sends.

        The first of this connection's, the second, the fourth, the eighth, and so on.
        """
        self._dropped += 1
        if self._dropped & (self._dropped - 1) == 0:
            text = "a notification of %s was dropped: %s (%d of this connection so far)"
            log(WARNING, text, call.method, why, self._dropped)

    def carry_out(self, record: Theirs) -> Plan[None]:
        """Perform a call that has a place, and answer it."""
        job, peer = record.job, self._peer
        if not self._has_room:
            yield ROOM
        if not peer.table.holding.may_hold_more:
            error = TooBusy("the calls of all clients take too much memory")
            frame = self.performer.failure(job.call, error)
        else:
            frame = yield from self.performer.perform(
                job.call, job.route, record, job.later
            )
            if self._outbox.size and not peer.table.holding.may_hold_more:
                # It would have to be kept, and many that ended together are already.
                error = TooBusy("too many answers wait to be taken")
                frame = self.performer.failure(job.call, error)
        if peer.table.answer(record):
            answer = self._answer_to(job.call, frame)
            if answer is not None:
                # The place is kept until the peer has taken the answer: who calls
                # and does not read gets no more of them.
                yield Send(answer)

    def _ended(self, record: Theirs) -> None:
        """A call has ended, in whatever way: its place is free."""
        if record.job.later is not None:
            record.job.close()
        self._finish(record)

    def _answer_last(self, record: Theirs) -> None:
        if self._peer.table.answer(record):
            call = record.job.call
            frame = self.performer.failure(call, InternalError("internal error"))
            self._reply(call, frame)

    def _finish(self, record: Theirs) -> None:
        # It refers to what refers to it: for a collector there is nothing to do.
        record.job.call.record = None
        self._next(self._peer.table.finish(record))
        self._peer.has_changed()

    def _next(self, succeeding: Theirs | None) -> None:
        """Begin the call whose turn it is."""
        if succeeding is not None:
            # Not at once: each that ends at once would begin another inside of it.
            self._begin_later(succeeding)
        if self._room:
            self.make_room()

    # --- turns -------------------------------------------------------------------

    @property
    def _has_room(self) -> bool:
        """Whether a call may begin: its arguments and its answer have room."""
        return (
            not self._room
            and self._outbox.size <= self._unsent
            and self._peer.table.read_size <= self._memory
        )

    def _wait_in_line(self, place: Any) -> None:
        """Wait for room behind those that do: ``place`` is done when there is."""
        if self._room is None:
            self._room = collections.deque()
        self._room.append(place)

    def make_room(self) -> None:
        """Something has ended, or was sent: let the next call begin if it may."""
        waiting = self._room
        while waiting and waiting[0].done():
            waiting.popleft()
        peer = self._peer
        may_begin = peer.table.may_begin or peer.table.is_lost
        if waiting and may_begin and self._outbox.size <= self._unsent:
            waiting.popleft().set_result(None)

    def lend(self, record: Theirs) -> None:
        """A call waits for one of its own: others may have its place meanwhile."""
        self._lend_thread(record)
        self._next(self._peer.table.lend(record))

    def resume(self, record: Theirs) -> None:
        """It goes on."""
        self._resume_thread(record)
        self._peer.table.resume(record)

    def retry(self) -> None:
        """Begin the notifications that had to wait, as far as there is room."""
        deferred, self.deferred = self.deferred, ()
        for call, route, later in deferred:
            self._start(call, route, later)

    # --- answers -----------------------------------------------------------------

    def _reply(self, call: Call, frame: bytes) -> None:
        """Answer a call without waiting."""
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
        return peer.wire.codec.array(answers)  # type: ignore[no-any-return]

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

    def _starve(self, record: Theirs, credit: Any) -> None:
        """A stream waits until the peer takes more items: then ``credit`` is done."""
        peer = self._peer
        record.job.credit = credit
        seconds = peer.settings.limits.stream_idle
        until = math.inf if seconds is None else self._now() + seconds
        peer.table.starve(record, until)
        peer.watch(until)
        peer.has_changed()

    def _feed(self, record: Theirs) -> None:
        """It does not wait any more."""
        self._peer.table.feed(record)
        record.job.credit = None

    # --- the end -----------------------------------------------------------------

    def _stop_notifications(self) -> None:
        """Stop those that are not done, and drop those that wait."""
        for record in list(self._peer.table.theirs.values()):
            if record.is_silent and record.job.stop() is None:
                self._finish(record)
        deferred, self.deferred = self.deferred, ()
        for call, route, later in deferred:
            self.job_class(call, route, later).close()
            self._note_dropped(call, "the connection has ended")

    def _note_left(self, late: int, seconds: float) -> None:
        """Say that calls run on without their connection."""
        if late:
            log(
                WARNING,
                "%d calls still run %s seconds after their connection ended",
                late,
                seconds,
            )


def _mismatch(route: Route) -> str:
    if route.signature.is_stream:
        return f"{route.name} gives a stream; it was called as a plain route"
    return f"{route.name} gives no stream; it was called as one"
