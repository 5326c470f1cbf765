"""Link for trio: who reads the stream, and how a task waits.

The task that receives reads the socket itself, which spares a switch of tasks for each
message. Each open connection has another task in its nursery that keeps deadlines, and
reads where nobody has for a while; and one more while the peer does not take what is
sent. A stream of the caller's is read by the connection's task alone, which no deadline
cancels: another task keeps them there. ``connection.py`` adds the verbs.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import Any, Protocol, TypeVar, cast

import trio
from trio.lowlevel import (
    Abort,
    ParkingLot,
    Task,
    TrioToken,
    current_task,
    current_trio_token,
    enable_ki_protection,
    in_trio_run,
    reschedule,
    wait_task_rescheduled,
)

from .. import link
from ..errors import ConcurrencyError
from ..messages import Cause
from ..session.session import MESSAGE, STATE, STAY
from ..verbs import ACT, END, INPUT, NO_MORE, Next, Plan, Verbs
from .wire import StreamWire, Wire

__all__ = ["SYSTEM", "Link", "Spawner", "check_run", "elsewhere"]

T = TypeVar("T")


class Spawner(Protocol):
    """What background tasks are started in: a nursery, or what stands for one."""

    def start_soon(self, async_fn: Any, /, *args: Any) -> None: ...


class _System:
    """The nursery of the whole run, for connections in blocks and loops.

    A nursery of their own around such a block would wrap its exceptions in groups, and
    around the body of a loop it would be left open by ``break``.
    """

    def start_soon(self, async_fn: Any, /, *args: Any) -> None:
        """Run a task until it ends, or the run does."""
        trio.lowlevel.spawn_system_task(async_fn, *args)


SYSTEM = _System()

GRACE = 0.05
"""Seconds that no receiver has read a connection when its own task begins to."""


class Place:
    """Where one task waits to be woken."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: Task | None = None

    async def wait(self) -> None:
        """Wait for ``wake()``."""
        self._task = current_task()
        await wait_task_rescheduled(self._abort)

    def _abort(self, _: Any) -> Abort:
        self._task = None
        return Abort.SUCCEEDED

    @property
    def is_taken(self) -> bool:
        """Whether somebody waits."""
        return self._task is not None

    def wake(self) -> None:
        """Wake who waits, if anybody does."""
        if self._task is not None:
            reschedule(self._task)
            self._task = None


class _Lately:
    """The connections of a run that a receiver has read a moment ago.

    It may come back for more: their own tasks take over when it has not for `GRACE`.
    """

    def __init__(self) -> None:
        self._reads: dict[Link, int] = {}
        self._place = Place()
        trio.lowlevel.spawn_system_task(self._watch)

    def add(self, member: Link) -> None:
        """A receiver has stopped to read."""
        self._reads[member] = member._reads
        self._place.wake()

    async def _watch(self) -> None:
        while True:
            if not self._reads:
                await self._place.wait()
            await trio.sleep(GRACE)
            for member, reads in list(self._reads.items()):
                if member._reads != reads:
                    self._reads[member] = member._reads
                else:
                    del self._reads[member]
                    member._read_at_once()


def check_run(home: TrioToken | None, what: str = "connection") -> None:
    """Raise ConcurrencyError unless the run of ``home``, if it has any, runs here."""
    if home is not None and not (in_trio_run() and current_trio_token() is home):
        raise elsewhere(what)


def elsewhere(what: str = "connection") -> ConcurrencyError:
    """Return the error of who uses a connection or server outside of its run."""
    return ConcurrencyError(
        f"the {what} belongs to another run of trio; from a thread, use "
        "trio.from_thread.run(), with trio_token= where trio did not start the thread"
    )


_lately: trio.lowlevel.RunVar[_Lately] = trio.lowlevel.RunVar("longwire")


class Link(link.Link):
    """A session joined to a wire and to a nursery; :class:`Connection` adds verbs."""

    _now: Callable[[], float] = staticmethod(trio.current_time)

    wire: Wire
    _goes_on = False  # input waits that the session has put off
    _task: Task | None = None  # of the connection
    _reads = 0  # by receivers
    _is_read = False  # somebody reads
    _is_direct = False  # and it is a receiver
    _is_recent = False  # a receiver has read a moment ago
    _flushing = False
    _scope: trio.CancelScope = cast(trio.CancelScope, None)  # ends at a deadline
    # Around what reads a stream of the caller's, and what waits for its end.
    _reading: trio.CancelScope | None = None
    _listening: trio.CancelScope | None = None
    # Those that wait for the end, and those that wait to send or for room.
    _waiters: ParkingLot | None = None
    _senders: ParkingLot | None = None
    _is_sender_due = False  # one was woken, and has not run yet

    @link.with_keywords
    def __init__(
        self,
        nursery: Spawner,
        stream: trio.abc.Stream | Wire,
        protocol: Any,
        **keywords: Any,
    ) -> None:
        self.nursery = nursery
        wire = stream if isinstance(stream, Wire) else StreamWire(stream)
        super().__init__(wire, protocol, **keywords)
        self._receiver = Place()
        self._reader = Place()
        # What a stream of the caller's may lose by being cancelled, nobody knows.
        self._may_be_direct = type(wire) is Wire
        self._home = current_trio_token()

    @property
    def _open_verbs(self) -> Verbs:
        check_run(self._home)
        return super()._open_verbs

    def offer(self, message: Any, slow: str | None, key: Hashable) -> int:
        """Send a message for many; raise ConcurrencyError in another run."""
        check_run(self._home)
        return super().offer(message, slow, key)

    # --- the task that reads -----------------------------------------------------

    def _begin_to_serve(self) -> None:
        self.nursery.start_soon(self._serve)

    @enable_ki_protection
    async def _serve(self) -> None:
        """Read until TCP has ended, and keep deadlines until none is due."""
        wire, session = self.wire, self._live
        self._task = current_task()
        try:
            if self._may_be_direct:
                await self._keep_time(self._serve_on)
            else:
                self.nursery.start_soon(self._keep_time_beside)
                with trio.CancelScope() as self._reading:
                    while not wire.closed:
                        await self._serve_once()
        except Exception as exc:
            self._break(exc)
        finally:
            if not wire.closed:
                # The nursery is cancelled: there is time for a word, not for an answer.
                session.close(1001, "", self._now())
                session.abort(Cause.LOCAL, "cancelled", self._now())
                self._react()
            await wire.aclose()

    async def _keep_time(self, meanwhile: Callable[[], Awaitable[Any]]) -> None:
        """Do what is due in time; cancels ``meanwhile`` for it, and calls it again."""
        wire, session = self.wire, self._live
        while not (wire.closed and session.next_deadline() == math.inf):
            with trio.CancelScope(deadline=session.next_deadline()) as self._scope:
                await meanwhile()
            now = self._now()
            if now >= session.next_deadline():
                self._tick(now)

    @enable_ki_protection
    async def _keep_time_beside(self) -> None:
        """Keep deadlines while another task reads."""
        try:
            await self._keep_time(trio.sleep_forever)
        except Exception as exc:
            self._break(exc)

    def _break(self, exc: Exception) -> None:
        """End this connection, and nothing else: one of its tasks has failed."""
        self.logger.error("serving a connection failed", exc_info=exc)
        try:
            self._lose(exc)
            self._react()
        except Exception:
            self.wire.close()

    async def _serve_on(self) -> None:
        while True:
            await self._serve_once()

    async def _serve_once(self) -> None:
        """Take what comes next, or wait until something may come."""
        if self._goes_on:
            self._goes_on = False
            await trio.lowlevel.checkpoint()
            self._live.go_on(self._now())
            self._react()
        elif self._may_read() and not (self._is_read or self._is_recent):
            await self._read()
        else:
            await self._reader.wait()

    async def _read(self) -> None:
        """Take what comes next from the network."""
        self._is_read = True
        awaited = False
        try:
            await self.wire.receive()
        except OSError as exc:
            if not self.wire.closed:
                self._lose(exc)
                self._react()
        else:
            awaited = self._receiver.is_taken
            self._is_read = self._is_direct = False
            self._take_in()
        finally:
            self._is_read = self._is_direct = False
        if awaited:
            self._leave_to_receiver()

    async def _input(self) -> None:
        """Wait for input as a receiver: read it, or wait for who reads."""
        if self._is_read or not (self._may_be_direct and self._may_read()):
            await self._receiver.wait()
            return
        self._is_direct = True
        self._reads += 1
        try:
            await self._read()
        finally:
            if not self._is_recent:
                self._leave_to_receiver()

    def _leave_to_receiver(self) -> None:
        """Let the receiver come back for more before the connection's task reads."""
        if self._waiters or self._live.ending != STAY or not self._may_be_direct:
            self._reader.wake()
            return
        try:
            lately = _lately.get()
        except LookupError:
            lately = _Lately()
            _lately.set(lately)
        self._is_recent = True
        lately.add(self)

    def _call_at(self, when: float) -> None:
        if self._scope is not None and when < self._scope.deadline:
            self._scope.deadline = when

    def _read_soon(self) -> None:
        self._read_at_once()

    def _read_at_once(self) -> None:
        self._is_recent = False
        self._reader.wake()

    def _goes_on_later(self) -> bool:
        # Who receives makes room, and is a checkpoint; the reader lets others run.
        self._goes_on = current_task() is self._task
        return self._goes_on

    def _close_wire(self) -> None:
        self.wire.close()
        if self._scope is not None:
            # The reader looks whether anything is left to do.
            self._scope.cancel()
        for scope in (self._reading, self._listening):
            if scope is not None:
                scope.cancel()  # nothing is to be lost any more

    # --- the task that writes ----------------------------------------------------

    def _flush_later(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.nursery.start_soon(self._flush)

    @enable_ki_protection
    async def _flush(self) -> None:
        """Send what the peer takes late, until nothing is left."""
        wire, session = self.wire, self._live
        try:
            while wire.unsent and not wire.closed:
                await wire.send_some()
                self._check_wire(session)
                self._hang_up(session)
                self._react()
            if not (wire.error is None or wire.closed or self._may_be_direct):
                await self._lose_deaf_stream(wire.error)
        except Exception as exc:
            self._break(exc)
        finally:
            self._flushing = False

    async def _lose_deaf_stream(self, error: OSError) -> None:
        """End what takes nothing any more, once nothing has come for a while.

        Where TCP fails for writing, reading ends soon; a stream may go on for ever.
        """
        protocol = self._live.protocol
        seen = -1
        with trio.CancelScope() as self._listening:
            while not (self._is_read and protocol.bytes_received == seen):
                seen = protocol.bytes_received
                await trio.sleep(self._timeouts.fault_grace)
            self._lose(error)
            self._react()

    # --- waiting -----------------------------------------------------------------

    def _wake(self, flags: int) -> None:
        if flags & MESSAGE:
            self._receiver.wake()
            if self._is_direct:
                self.wire.interrupt()
        if self._waiters is not None:
            self._waiters.unpark_all()
        if self._senders is not None and flags & STATE:
            self._wake_senders()

    def _wake_senders(self) -> None:
        """Wake the first that waits to send, who wakes the next; or all at the end.

        trio runs what is woken together in any order.
        """
        assert self._senders is not None
        session = self._live
        if not session.can_send:
            self._senders.unpark_all()
        elif session.writable and not (session.fragmenting or self._is_sender_due):
            # A second one would find no room, and go to the end of the line.
            self._is_sender_due = bool(self._senders.unpark())

    async def _drive(self, plan: Plan[T]) -> T:
        """Return the result of ``plan``, doing what it waits for."""
        session = self._live
        waited = False
        try:
            what = plan.send(None)
            while True:
                changed = session.flags != 0
                self._react()
                # What the plan waits for may be there now, and nobody will tell it:
                # it looks again.
                now = what == ACT or (changed and not isinstance(what, Next))
                try:
                    result = None if now else await self._wait(what)
                except BaseException as exc:
                    what = plan.throw(exc)
                else:
                    waited = waited or not (now or isinstance(what, Next))
                    what = plan.send(result)
        except StopIteration as stop:
            result = stop.value
        finally:
            if session.flags:
                self._react()
            if waited and self._senders is not None:
                self._wake_senders()
        if not waited:
            await trio.lowlevel.cancel_shielded_checkpoint()
        return cast(T, result)

    async def _wait(self, what: int | Next) -> Any:
        """Wait for what a plan has yielded."""
        if isinstance(what, Next):
            if isinstance(what.items, Iterator):
                return next(what.items, NO_MORE)
            return await anext(what.items, NO_MORE)
        if what == INPUT:
            return await self._input()
        if what == END:
            self._read_at_once()
            if self._waiters is None:
                self._waiters = ParkingLot()
            return await self._waiters.park()
        if self._senders is None:
            self._senders = ParkingLot()
        await self._senders.park()
        self._is_sender_due = False
        return None
