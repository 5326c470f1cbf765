"""CallTable: which calls of one connection are under way, ours and the peer's.

Decides what is admitted, what waits, who is answered and who is told that all is over:
every call ends exactly once, and its place is free again when it has. No I/O, no clock:
``now`` is an argument, and what a waiter or a job is, only the front end knows.

A call is in one state, and so is the connection: the tables are in ``calls_table.py``,
and places are counted by state. Whether a call of the peer's was answered is another
matter: one that was cancelled is answered at once and ends when its task has.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

from . import calls_table
from .budget import Budget, Holding
from .calls_table import (
    ANSWER,
    DRAIN,
    DRAINING,
    END,
    ENDED,
    GIVE_UP,
    IDLE,
    LEND,
    LENT,
    LOSE,
    LOST,
    OPEN,
    PENDING,
    RESUME,
    RUNNING,
    TURN,
    WAITING,
    Happens,
    State,
)
from .limits import RpcLimits

__all__ = ["WAITING", "Admission", "Budget", "CallTable", "Ours", "State", "Theirs"]

_OURS, _THEIRS = calls_table.OURS, calls_table.THEIRS


class Ours:
    """A call of ours that waits for its answer."""

    __slots__ = ("deadline", "granted", "id", "owed", "state", "waiter", "window")

    def __init__(self, id: int, waiter: Any, deadline: float, window: int) -> None:
        self.id = id
        self.waiter = waiter
        self.deadline = deadline
        self.window = window
        self.granted = window  # items of a stream that the peer may still send
        self.owed = 0  # items taken since more were granted
        self.state = PENDING


class Theirs:
    """A call of the peer's that runs, or waits for its turn.

    ``size`` is what its arguments take, ``is_silent`` whether it wants no answer.
    """

    __slots__ = (
        "answered",
        "credit",
        "deadline",
        "id",
        "idle_at",
        "is_read",
        "is_silent",
        "is_starved",
        "is_stream",
        "job",
        "lent",
        "size",
        "state",
    )

    def __init__(
        self,
        id: Hashable,
        job: Any,
        deadline: float,
        credit: int,
        size: int,
        is_silent: bool,
    ) -> None:
        self.id = id
        self.job = job
        self.deadline = deadline
        self.credit = credit  # items that the peer still takes
        self.is_stream = credit > 0
        self.is_starved = False  # whether it waits for credit
        self.idle_at = math.inf  # when it has waited too long
        self.size = size
        self.is_read = False  # whether its arguments are
        self.is_silent = is_silent
        self.lent = 0  # calls of its own that it waits for
        self.state = WAITING
        self.answered = False

    @property
    def running(self) -> bool:
        """Whether its turn has come."""
        return self.state is not WAITING


class Admission(Exception):
    """A call is not admitted; the text says which limit is in the way.

    ``passes`` says whether it is one of this connection's own, which passes as its
    calls end.
    """

    def __init__(self, text: str, *, passes: bool = False) -> None:
        super().__init__(text)
        self.passes = passes


_MOST_CREDIT = 1 << 30
_MOST_ABANDONED = 1024
_MINUTE = 60.0


class CallTable:
    """The calls of one connection, in both directions.

    ``holding`` is what it has of the budget of all connections, ``state`` where the
    connection is: while it ``is_draining`` the peer's new calls are refused.
    """

    def __init__(
        self,
        limits: RpcLimits,
        budget: Budget | None = None,
        *,
        first_id: int = 1,
        step: int = 1,
    ) -> None:
        self._limits = limits
        self.holding = Holding(budget or Budget(limits.calls_in_all))
        self._first_id = self._next_id = first_id
        self._step = step
        self.ours: dict[Hashable, Ours] = {}
        # Calls that we gave up, whose answers are still to come; and the last of those
        # that were dropped from there.
        self._abandoned: dict[Hashable, None] = {}
        self._forgotten = 0
        self.theirs: dict[Hashable, Theirs] = {}
        # In the order they came. A dict, for an empty deque takes 740 bytes.
        self._waiting: dict[Hashable, Theirs] = {}
        self._running = 0
        self._lent = 0
        self._streams = 0
        self._starved = 0  # streams that wait for credit
        self.waiting_size = 0  # bytes of arguments that are not read yet
        self.read_size = 0  # and of those that are
        self.strange = 0
        self._forgiven_at: float | None = None
        self.state = OPEN
        self.is_stalled = False  # nothing has ended for long, while we did not read
        # What the state says, asked for at each call.
        self.is_draining = self.is_lost = False

    # --- calls of ours -----------------------------------------------------------

    def begin(self, waiter: Any, deadline: float = math.inf, window: int = 0) -> Ours:
        """Return a new call with an id of its own; ``window`` items of a stream.

        Raises Admission when too many wait already, or the connection is lost.
        """
        if self.is_lost:
            raise Admission("the connection has ended")
        if len(self.ours) >= self._limits.pending:
            raise Admission(f"{self._limits.pending} calls wait for answers already")
        call = Ours(self._next_id, waiter, deadline, window)
        self._next_id += self._step
        self.ours[call.id] = call
        return call

    def settle(self, id: Hashable) -> Ours | None:
        """Return the call that an answer is for; None for an answer to nobody."""
        call = self.ours.pop(id, None)
        if call is not None:
            call.state = _OURS[call.state, ANSWER]
        else:
            if id in self._abandoned:
                del self._abandoned[id]
            elif not self._was_forgotten(id):
                self.strange += 1
        return call

    def abandon(self, call: Ours) -> bool:
        """Give up a call of ours; return whether the peer has to be told."""
        if self.ours.pop(call.id, None) is None:
            return False
        call.state = _OURS[call.state, GIVE_UP]
        self._abandoned[call.id] = None
        if len(self._abandoned) > _MOST_ABANDONED:
            oldest = next(iter(self._abandoned))
            del self._abandoned[oldest]
            self._forgotten = max(self._forgotten, oldest)  # type: ignore[call-overload]
        return True

    def _was_forgotten(self, id: Hashable) -> bool:
        """Whether a call of ours may have had this id: nobody remembers them all."""
        return isinstance(id, int) and self._first_id <= id <= self._forgotten

    def forgive(self, now: float) -> None:
        """Count less of what was strange: the limit's worth of it in a minute."""
        if self._forgiven_at is None:
            self._forgiven_at = now
        passed = min((now - self._forgiven_at) / _MINUTE, 1.0)
        less = int(passed * self._limits.strange)
        if less:
            self.strange = max(0, self.strange - less)
            self._forgiven_at = now

    @property
    def is_strange(self) -> bool:
        """Whether too much of what came made no sense."""
        return self.strange >= self._limits.strange

    def receive_item(self, id: Hashable) -> tuple[Ours | None, bool]:
        """Return the stream that an item is for, and whether it was granted."""
        call = self.ours.get(id)
        if call is None or not call.window:
            if id not in self._abandoned and not self._was_forgotten(id):
                self.strange += 1
            return None, False
        if call.granted <= 0:
            return call, False
        call.granted -= 1
        return call, True

    def take_item(self, call: Ours) -> int:
        """An item was consumed; return how many more to grant now, mostly 0."""
        call.owed += 1
        if call.id not in self.ours or call.owed < max(1, call.window // 2):
            return 0
        count, call.owed = call.owed, 0
        call.granted += count
        return count

    # --- calls of theirs ---------------------------------------------------------

    def admit(
        self,
        id: Hashable,
        job: Any,
        deadline: float = math.inf,
        credit: int = 0,
        *,
        size: int = 0,
        is_silent: bool = False,
    ) -> Theirs:
        """Return a call of the peer's; ``running`` says whether it may begin.

        ``credit`` is that of a stream, 0 for a plain call; ``size`` the bytes that its
        arguments take until they are read. Raises Admission when there are too many.
        """
        self._check_admission(id, credit, is_silent)
        if not self.holding.take(size):
            raise Admission("the server has too many calls under way")
        call = Theirs(id, job, deadline, credit, size, is_silent)
        self.theirs[id] = call
        self.waiting_size += size
        if credit:
            self._streams += 1
            self._move(call, TURN)
        elif self._running < self._limits.calls and not self._waiting:
            self._move(call, TURN)
        else:
            self._waiting[id] = call
        return call

    def _check_admission(self, id: Hashable, credit: int, is_silent: bool) -> None:
        limits = self._limits
        if self.is_lost and not is_silent:
            raise Admission("the connection has ended")
        if self.is_draining:
            raise Admission("the server is about to end the connection")
        if id in self.theirs:
            raise Admission("the id is in use by another call")
        plain = self._running + self._lent + len(self._waiting)
        if credit:
            if self._streams >= limits.streams:
                raise Admission(f"{limits.streams} streams are open already")
        elif plain >= limits.calls + limits.queued:
            raise Admission(
                f"{limits.calls} calls run and {limits.queued} wait already",
                passes=True,
            )
        if self.waiting_size > limits.memory:
            raise Admission(
                f"the calls under way have more than {limits.memory} bytes of "
                "arguments already",
                passes=True,
            )
        if not self.holding.may_hold_more:
            raise Admission("the calls of all clients take too much memory")

    def _move(self, call: Theirs, event: Happens) -> None:
        """Bring a call to its next state: the one place where places are counted."""
        before = call.state
        after = _THEIRS.get((before, event))
        if after is None:
            raise AssertionError(f"no {event.name} for a call that is {before.name}")
        call.state = after
        if call.is_stream:
            self._streams -= after is ENDED
            return
        self._running += (after is RUNNING) - (before is RUNNING)
        self._lent += (after is LENT) - (before is LENT)

    def answer(self, call: Theirs) -> bool:
        """Return whether ``call`` is to be answered now: True once, never when lost."""
        if call.answered or self.is_lost:
            return False
        call.answered = True
        return True

    def finish(self, call: Theirs) -> Theirs | None:
        """A call has ended; return the one whose turn it is now, if any."""
        if self.theirs.get(call.id) is not call:
            return None
        del self.theirs[call.id]
        if call.state is WAITING:
            del self._waiting[call.id]
        if call.is_starved:
            self.feed(call)
        self._move(call, END)
        if call.is_read:
            self.read_size -= call.size
        else:
            self.waiting_size -= call.size
        self.holding.give_back(call.size)
        call.size = 0
        self.is_stalled = False
        return self._next_turn() if self._waiting else None

    def _next_turn(self) -> Theirs | None:
        """Return the call that may begin now."""
        if not self._waiting or self._running >= self._limits.calls:
            return None
        succeeding = self._waiting.pop(next(iter(self._waiting)))
        self._move(succeeding, TURN)
        return succeeding

    def lend(self, call: Theirs) -> Theirs | None:
        """A call waits for one of its own: return the one that has its place now.

        Calls that are nested, back and forth, would otherwise wait for each other when
        all places are taken.
        """
        if call.is_stream or call.state is ENDED:
            return None
        call.lent += 1
        if call.lent > 1:
            return None
        self._move(call, LEND)
        return self._next_turn()

    def resume(self, call: Theirs) -> None:
        """What a call waited for has come: it runs, even if its place was lent."""
        if call.is_stream or call.state is ENDED:
            return
        call.lent -= 1
        if not call.lent:
            self._move(call, RESUME)

    # --- memory ------------------------------------------------------------------

    @property
    def may_begin(self) -> bool:
        """Whether the arguments of one more call may be read."""
        return self.read_size <= self._limits.memory

    @property
    def may_wait(self) -> bool:
        """Whether calls will end although nothing is read from the peer.

        One of ours that waits for an answer will not, nor a stream that waits until
        more items are taken: then calls over a limit are refused instead. So they are
        when nothing has ended for long.
        """
        return not self.ours and not self._starved and not self.is_stalled

    @property
    def is_full(self) -> bool:
        """Whether the calls that wait have more arguments than they may."""
        return self.waiting_size > self._limits.memory

    def read(self, call: Theirs, size: int) -> None:
        """The arguments of a call were read: they take ``size`` bytes now."""
        if call.is_read:
            self.read_size -= call.size
        else:
            self.waiting_size -= call.size
            call.is_read = True
        self.read_size += size
        self.holding.hold(size - call.size)
        call.size = size

    # --- streams of theirs -------------------------------------------------------

    def starve(self, call: Theirs, until: float = math.inf) -> None:
        """A stream waits for credit; at ``until`` it has waited too long."""
        if not call.is_starved:
            call.is_starved = True
            self._starved += 1
        call.idle_at = until

    def feed(self, call: Theirs) -> None:
        """A stream does not wait for credit any more."""
        if call.is_starved:
            call.is_starved = False
            self._starved -= 1
            call.idle_at = math.inf

    def grant(self, id: Hashable, count: int) -> Theirs | None:
        """The peer takes ``count`` more items; return the stream if it waited."""
        call = self.theirs.get(id)
        if call is None or not call.is_stream:
            return None
        waited = call.credit == 0
        call.credit = min(call.credit + count, _MOST_CREDIT)
        return call if waited else None

    def spend(self, call: Theirs) -> bool:
        """Take one item's credit; return whether there was one."""
        if call.credit <= 0:
            return False
        call.credit -= 1
        return True

    # --- time and the end --------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when the next call will be overdue, infinity for never."""
        deadlines = [call.deadline for call in self.ours.values()]
        deadlines += [min(call.deadline, call.idle_at) for call in self._due()]
        return min(deadlines, default=math.inf)

    def overdue(self, now: float) -> tuple[list[Ours], list[Theirs]]:
        """Return the calls whose deadline has passed and that are not answered."""
        return (
            [call for call in self.ours.values() if call.deadline <= now],
            [call for call in self._due() if min(call.deadline, call.idle_at) <= now],
        )

    def _due(self) -> list[Theirs]:
        """Return the calls of the peer's that are still to be answered."""
        if self.is_lost:
            return []
        return [call for call in self.theirs.values() if not call.answered]

    @property
    def is_idle(self) -> bool:
        """Whether no plain call is under way, in either direction."""
        return not any(call.window == 0 for call in self.ours.values()) and not any(
            not call.is_stream for call in self.theirs.values()
        )

    def drain(self) -> None:
        """Admit no new calls of the peer's."""
        self._move_to_next(DRAIN)

    def closes_now(self) -> bool:
        """Whether the connection is to be closed now: True once, when all is done."""
        return self.state is DRAINING and self.is_idle and self._move_to_next(IDLE)

    def _move_to_next(self, event: Happens) -> bool:
        """Bring the connection to its next state; return whether there is one."""
        after = calls_table.CONNECTION.get((self.state, event))
        if after is None:
            return False
        self.state = after
        self.is_lost = after is LOST
        self.is_draining = self.is_draining or after is DRAINING
        return True

    def lose(self) -> tuple[list[Ours], list[Theirs]]:
        """The connection has ended; return the calls that end with it.

        Ours are over; theirs are to be stopped, and finished when they have. What wants
        no answer is carried out: it stays, and has its turn.
        """
        self._move_to_next(LOSE)
        ours = list(self.ours.values())
        for own in ours:
            own.state = _OURS[own.state, LOSE]
        self.ours.clear()
        self._abandoned.clear()
        stopped = [call for call in self.theirs.values() if not call.is_silent]
        for call in stopped:
            if not call.running:
                self.finish(call)
        return ours, stopped
