"""Incoming: the calls of the peer's on one connection, carried out on asyncio.

What is decided about them is in ``serving.py``. A place is given back at the end of the
call's task, also when that was cancelled before its first step.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import functools
import logging
import types
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..errors import ConnectionClosed
from .callbacks import STOPS, begin, begin_later, log, tell
from .calls import Theirs
from .envelope import Call
from .performing import (
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
from .routes import Route
from .serving import Job, Serving

if TYPE_CHECKING:
    from .peer import Peer

__all__ = ["Incoming"]


class _Job(Job):
    """The job of a call, and its task."""

    __slots__ = ("has_begun", "is_held", "task", "unbegun")

    def __init__(self, call: Call, route: Route, later: Later | None) -> None:
        super().__init__(call, route, later)
        self.task: asyncio.Task[None] | None = None
        self.has_begun = False
        self.unbegun: Callable[[asyncio.Task[None]], None] | None = None
        self.is_held = False  # a thread goes on behind the call's end

    def stop(self) -> asyncio.Task[None] | None:
        """End it, wherever it is; return the task that has to end for that."""
        if self.task is not None:
            self.task.cancel()
        else:
            self.close()
        return self.task


class _Performer(Performer):
    """Carries out the calls of one peer, in tasks."""

    later_types = (types.CoroutineType, asyncio.Future)

    def is_stopped(self, exc: BaseException, record: Theirs) -> bool:
        """Whether ``exc`` ends the task of a call; else a route raised it by itself."""
        if isinstance(exc, GeneratorExit):
            return True  # its loop has ended: nobody will run it any more
        if not isinstance(exc, asyncio.CancelledError):
            return False
        task = asyncio.current_task()
        return record.answered or (task is not None and task.cancelling() > 0)

    async def close(self, seconds: float) -> None:
        """Tell this connection's instances that it has ended."""
        while self.services:
            _, instance = self.services.popitem()
            what = f"on_close of {type(instance).__name__}"
            await tell(close_instance, instance, what=what, timeout=seconds)


class Incoming(Serving):
    """The calls of the peer's on one connection."""

    __slots__ = ("_loop", "_thread_room", "_thread_share", "_threads")

    job_class = _Job
    performer: _Performer

    def __init__(self, peer: Peer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(peer, _Performer(peer.settings, peer.wire, peer))
        self._loop = loop
        # Calls that are in threads, or have to wait until fewer are.
        self._threads = 0
        self._thread_share = 0
        self._thread_room: collections.deque[asyncio.Future[None]] | None = None

    def _now(self) -> float:
        return self._loop.time()

    # --- tasks -------------------------------------------------------------------

    def _begin(self, record: Theirs, begin: Any = begin) -> None:
        job = record.job
        task = begin(self._carry_out(record), self._loop)
        if not job.has_begun:
            job.task = task
            # One that is cancelled before its first step never runs: it is this that
            # gives its place back. Once it runs, a turn of the loop is saved.
            job.unbegun = functools.partial(self._never_begun, record)
            task.add_done_callback(job.unbegun)
        elif not task.done():
            job.task = task

    def _begin_later(self, record: Theirs) -> None:
        self._begin(record, begin_later)

    def _never_begun(self, record: Theirs, task: asyncio.Task[None]) -> None:
        self._ended(record)

    async def _carry_out(self, record: Theirs) -> None:
        """Perform a call; whatever happens, answer it and give its place back."""
        job = record.job
        job.has_begun = True
        if job.task is not None:
            job.task.remove_done_callback(job.unbegun)
            job.unbegun = None
        plan = self.carry_out(record)
        step: Any = plan.send
        argument: Any = None
        try:
            while True:
                what = step(argument)
                argument = None  # it may be large, and was taken
                try:
                    wait = _WAITS.get(type(what))
                    argument = await (
                        what if wait is None else wait(self, record, what)
                    )
                    step = plan.send
                except BaseException as exc:
                    step, argument = plan.throw, exc
        except StopIteration:
            pass  # all is done
        except (asyncio.CancelledError, *STOPS):
            raise
        except ConnectionClosed:
            pass  # there is nobody to answer
        except BaseException as exc:
            if not self._loop.is_running():
                raise  # GeneratorExit: the loop was closed while it waited
            # No route can cause it; and yet its caller gets an answer.
            log(logging.ERROR, "a call could not be carried out", exc_info=exc)
            self._answer_last(record)
        finally:
            step = argument = None  # no cycle with a traceback
            self._ended(record)

    def _ended(self, record: Theirs) -> None:
        if not record.job.is_held:
            super()._ended(record)
        elif record.job.later is not None:
            record.job.close()

    def hold_until(self, record: Theirs, future: asyncio.Future[Any]) -> None:
        """Let a call that has ended keep its place until ``future`` is done."""
        record.job.is_held = True

        def release(future: asyncio.Future[Any]) -> None:
            if not future.cancelled():
                future.exception()  # nobody is left to be told
            record.job.is_held = False
            self._finish(record)

        future.add_done_callback(release)

    # --- what plans wait for -----------------------------------------------------

    async def _wait_for_room(self, record: Theirs, step: object = None) -> None:
        """Wait until a call may begin, or go on to the next item of a stream."""
        if self._has_room:
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self._wait_in_line(future)
        try:
            await future
        finally:
            if future.cancelled():
                self.make_room()
            elif self._room:
                # The next one looks again when this one has begun.
                self._loop.call_soon(self.make_room)

    async def _wait_for_credit(self, record: Theirs, step: object) -> None:
        """Wait until the peer takes more items of a stream."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._starve(record, future)
        try:
            await future
        finally:
            self._feed(record)

    def _next_item(self, record: Theirs, step: Next) -> Awaitable[Any]:
        return anext(step.iterator, step.end)

    def _send_frame(self, record: Theirs, step: Send) -> Awaitable[None]:
        return self._outbox.send(step.frame)  # type: ignore[no-any-return]

    async def _close_items(self, record: Theirs, step: Close) -> None:
        close = getattr(step.items, "aclose", None)
        if close is not None:
            await close()

    async def _run_in_thread(self, record: Theirs, step: InThread) -> Any:
        await self._wait_for_thread(record)
        context = contextvars.copy_context()
        run = functools.partial(
            context.run, _without_stop, step.function, step.args, step.named
        )
        working = self._peer.settings.threads.submit(self._peer, run)
        future = asyncio.wrap_future(working)
        future.add_done_callback(self.thread_ended)
        try:
            return await asyncio.shield(future)
        finally:
            # A thread cannot be stopped: until it ends, its call keeps its place.
            if not future.done() and not working.cancel():
                self.hold_until(record, future)

    async def _wait_for_thread(self, record: Theirs) -> None:
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
            await self._wait_for_room(record)
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

    def _lend_thread(self, record: Theirs) -> None:
        if record.job.route.threads:
            self._peer.settings.threads.lend(self._peer)
            self.thread_ended()

    def _resume_thread(self, record: Theirs) -> None:
        if record.job.route.threads:
            self._peer.settings.threads.resume(self._peer)
            self._threads += 1

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
        self._note_left(late, seconds)

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


# How a plan's steps are waited for; all others are awaited as they are.
_WAITS: dict[type, Callable[[Incoming, Theirs, Any], Awaitable[Any]]] = {
    Room: Incoming._wait_for_room,
    Credit: Incoming._wait_for_credit,
    Next: Incoming._next_item,
    Send: Incoming._send_frame,
    Close: Incoming._close_items,
    InThread: Incoming._run_in_thread,
}


def _without_stop(
    function: Callable[..., Any], args: list[Any], named: dict[str, Any]
) -> Any:
    """Call a function whose StopIteration no future takes."""
    try:
        return function(*args, **named)
    except StopIteration as exc:
        raise RuntimeError("the route raised StopIteration") from exc
