"""Incoming on trio: the calls of the peer's on one connection, each in a task.

What is decided about them is in ``serving.py``. The tasks are in the nursery of the
peer; each has a cancel scope, by which it is stopped.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import in_trio_task

from ...errors import ConnectionClosed
from ...trio.connection import is_from_outside, what_stops
from ..callbacks import ERROR, STOPS, log
from ..calls import Theirs
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

__all__ = ["Incoming", "tell"]


class _Job(Job):
    """The job of a call, and the scope that its task runs in."""

    __slots__ = ("scope",)

    def __init__(self, call: Call, route: Route, later: Later | None) -> None:
        super().__init__(call, route, later)
        self.scope: trio.CancelScope | None = None

    def stop(self) -> trio.CancelScope | None:
        """End it, wherever it is; return what has to end for that."""
        if self.scope is not None:
            self.scope.cancel()
        else:
            self.close()
        return self.scope


class _Performer(Performer):
    """Carries out the calls of one peer, in tasks of trio."""

    def is_stopped(self, exc: BaseException, record: Theirs) -> bool:
        """Whether ``exc`` ends the task of a call; else a route raised it by itself."""
        return what_stops(exc) is not None or not in_trio_task()

    async def close(self, seconds: float) -> None:
        """Tell this connection's instances that it has ended."""
        while self.services:
            _, instance = self.services.popitem()
            what = f"on_close of {type(instance).__name__}"
            await tell(close_instance, instance, what=what, timeout=seconds)


class Incoming(Serving):
    """The calls of the peer's on one connection."""

    __slots__ = ("_share", "nursery")

    job_class = _Job
    performer: _Performer

    def __init__(self, peer: Peer) -> None:
        super().__init__(peer, _Performer(peer.settings, peer.wire, peer))
        self.nursery: trio.Nursery | None = None
        self._share: trio.CapacityLimiter | None = None

    def _now(self) -> float:
        return trio.current_time()

    # --- tasks -------------------------------------------------------------------

    def _begin(self, record: Theirs) -> None:
        assert self.nursery is not None
        record.job.scope = trio.CancelScope()
        self.nursery.start_soon(self._carry_out, record)

    async def _carry_out(self, record: Theirs) -> None:
        """Perform a call; whatever happens, answer it and give its place back."""
        try:
            with record.job.scope:
                await self._drive(record)
        except (trio.Cancelled, *STOPS):
            raise
        except ConnectionClosed:
            pass  # there is nobody to answer
        except BaseException as exc:
            if is_from_outside(exc, runs=in_trio_task()):
                raise
            # It may be an exception beside a cancellation; else no route can cause
            # it, and yet its caller gets an answer.
            log(ERROR, "a call could not be carried out", exc_info=exc)
            self._answer_last(record)
            stop = what_stops(exc)
            if stop is not None:
                raise stop from None
        finally:
            self._ended(record)

    async def _drive(self, record: Theirs) -> None:
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
                    argument = await (
                        what if wait is None else wait(self, record, what)
                    )
                    step = plan.send
                except BaseException as exc:
                    step, argument = plan.throw, exc
        except StopIteration:
            return
        finally:
            step = argument = None  # no cycle with a traceback

    # --- what plans wait for -----------------------------------------------------

    async def _wait_for_room(self, record: Theirs, step: object) -> None:
        """Wait until a call may begin, or go on to the next item of a stream."""
        if self._has_room:
            return
        waiter = Waiter()
        self._wait_in_line(waiter)
        try:
            await waiter.wait()
        except BaseException:
            if not waiter.done():
                waiter.set_result(None)  # it is passed over
            raise
        finally:
            # The next one looks again when this one has begun.
            if self._room:
                trio.lowlevel.current_trio_token().run_sync_soon(self.make_room)

    async def _wait_for_credit(self, record: Theirs, step: object) -> None:
        """Wait until the peer takes more items of a stream."""
        waiter = Waiter()
        self._starve(record, waiter)
        try:
            await waiter.wait()
        finally:
            self._feed(record)

    def _next_item(self, record: Theirs, step: Next) -> Awaitable[Any]:
        return anext(step.iterator, step.end)

    def _send_frame(self, record: Theirs, step: Send) -> Awaitable[None]:
        return self._peer.outbox.send(step.frame)  # type: ignore[no-any-return]

    async def _close_items(self, record: Theirs, step: Close) -> None:
        close = getattr(step.items, "aclose", None)
        if close is not None:
            await close()

    async def _run_in_thread(self, record: Theirs, step: InThread) -> Any:
        settings = self._peer.settings
        if self._share is None:
            self._share = trio.CapacityLimiter(settings.share)
        async with self._share:
            # A thread cannot be stopped: until it ends, its call keeps its place.
            return await trio.to_thread.run_sync(
                lambda: step.function(*step.args, **step.named),
                limiter=settings.limiter,
            )

    def _lend_thread(self, record: Theirs) -> None:
        if record.job.route.threads and self._share is not None:
            self._share.total_tokens += 1
            self._peer.settings.limiter.total_tokens += 1

    def _resume_thread(self, record: Theirs) -> None:
        if record.job.route.threads and self._share is not None:
            self._share.total_tokens -= 1
            self._peer.settings.limiter.total_tokens -= 1

    # --- the end -----------------------------------------------------------------

    async def end(self, stopped: list[Theirs], seconds: float) -> None:
        """The connection has ended: stop its calls, and wait until they have.

        Notifications that were read are carried out, for they want no answer. Whatever
        does not end in ``seconds`` is left to the nursery of the peer.
        """
        self.make_room()
        for record in stopped:
            record.job.stop()
        await self._wait_for_tasks(seconds)
        self._stop_notifications()
        late = await self._wait_for_tasks(min(seconds, 1.0))
        self._hold(-self._batched)
        self._note_left(late, seconds)

    async def _wait_for_tasks(self, seconds: float) -> int:
        """Wait until no call is under way; return how many are."""
        with trio.move_on_after(seconds):
            while True:
                self.retry()
                if not self._peer.table.theirs:
                    break
                await self._peer.expect_change().wait()
        return len(self._peer.table.theirs)


# How a plan's steps are waited for; all others are awaited as they are.
_WAITS: dict[type, Callable[[Incoming, Theirs, Any], Awaitable[Any]]] = {
    Room: Incoming._wait_for_room,
    Credit: Incoming._wait_for_credit,
    Next: Incoming._next_item,
    Send: Incoming._send_frame,
    Close: Incoming._close_items,
    InThread: Incoming._run_in_thread,
}


async def tell(
    function: Callable[..., Any], *args: Any, what: str, timeout: float
) -> None:
    """Call ``function``, wait for it if it is async, and log what it raises."""
    try:
        with trio.fail_after(timeout):
            waiting = function(*args)
            if inspect.isawaitable(waiting):
                await waiting
    except STOPS:
        raise
    except BaseException as exc:
        if what_stops(exc) is not None:
            raise
        log(ERROR, "%s failed", what, exc_info=exc)
