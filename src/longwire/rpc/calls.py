"""CallTable: which calls of one connection are under way, ours and the peer's.

Decides what is admitted, what waits, who is answered and who is told that all is over:
every call ends exactly once. No I/O, no clock: ``now`` is an argument, and what a
waiter or a job is, only the front end knows.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

from .limits import RpcLimits

__all__ = ["Admission", "Budget", "CallTable", "Ours", "Theirs"]


class Budget:
    """Calls that may be under way on all connections together."""

    __slots__ = ("left",)

    def __init__(self, limit: int) -> None:
        self.left = limit

    def take(self) -> bool:
        """Take one place; return whether there was one."""
        if self.left <= 0:
            return False
        self.left -= 1
        return True

    def give_back(self) -> None:
        """Return one place."""
        self.left += 1


class Ours:
    """A call of ours that waits for its answer."""

    __slots__ = ("deadline", "granted", "id", "owed", "waiter", "window")

    def __init__(self, id: int, waiter: Any, deadline: float, window: int) -> None:
        self.id = id
        self.waiter = waiter
        self.deadline = deadline
        self.window = window
        self.granted = window  # items of a stream that the peer may still send
        self.owed = 0  # items taken since more were granted


class Theirs:
    """A call of the peer's that runs, or waits for its turn."""

    __slots__ = ("answered", "credit", "deadline", "id", "is_stream", "job", "running")

    def __init__(
        self, id: Hashable, job: Any, deadline: float, credit: int, running: bool
    ) -> None:
        self.id = id
        self.job = job
        self.deadline = deadline
        self.credit = credit  # items that the peer still takes
        self.is_stream = credit > 0
        self.running = running
        self.answered = False


class Admission(Exception):
    """A call is not admitted; the text says which limit is in the way."""


_MOST_CREDIT = 1 << 30
_MOST_ABANDONED = 1024


class CallTable:
    """The calls of one connection, in both directions."""

    def __init__(
        self,
        limits: RpcLimits,
        budget: Budget | None = None,
        *,
        first_id: int = 1,
        step: int = 1,
    ) -> None:
        self._limits = limits
        self._budget = budget or Budget(limits.calls_in_all)
        self._next_id = first_id
        self._step = step
        self.ours: dict[Hashable, Ours] = {}
        # Calls that we gave up: their answers, still to come, are nobody's.
        self._abandoned: dict[Hashable, None] = {}
        self.theirs: dict[Hashable, Theirs] = {}
        # In the order they came. A dict, for an empty deque takes 740 bytes.
        self._waiting: dict[Hashable, Theirs] = {}
        self._running = 0
        self._streams = 0
        self.strange = 0
        self.is_lost = False

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
        if call is None:
            if id in self._abandoned:
                del self._abandoned[id]
            else:
                self.strange += 1
        return call

    def abandon(self, call: Ours) -> bool:
        """Give up a call of ours; return whether the peer has to be told."""
        if self.ours.pop(call.id, None) is None:
            return False
        self._abandoned[call.id] = None
        if len(self._abandoned) > _MOST_ABANDONED:
            del self._abandoned[next(iter(self._abandoned))]
        return True

    def receive_item(self, id: Hashable) -> tuple[Ours | None, bool]:
        """Return the stream that an item is for, and whether it was granted."""
        call = self.ours.get(id)
        if call is None or not call.window:
            if id not in self._abandoned:
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
        self, id: Hashable, job: Any, deadline: float = math.inf, credit: int = 0
    ) -> Theirs:
        """Return a call of the peer's; ``running`` says whether it may begin.

        ``credit`` is that of a stream, 0 for a plain call. Raises Admission when there
        are too many.
        """
        limits = self._limits
        if self.is_lost:
            raise Admission("the connection has ended")
        if id in self.theirs:
            raise Admission("the id is in use by another call")
        if credit:
            if self._streams >= limits.streams:
                raise Admission(f"{limits.streams} streams are open already")
        elif self._running >= limits.calls and len(self._waiting) >= limits.queued:
            raise Admission(
                f"{limits.calls} calls run and {limits.queued} wait already"
            )
        if not self._budget.take():
            raise Admission("the server has too many calls to do")
        running = bool(credit) or self._running < limits.calls
        call = Theirs(id, job, deadline, credit, running)
        self.theirs[id] = call
        if credit:
            self._streams += 1
        elif running:
            self._running += 1
        else:
            self._waiting[id] = call
        return call

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
        self._budget.give_back()
        if call.is_stream:
            self._streams -= 1
            return None
        if not call.running:
            del self._waiting[call.id]
            return None
        if not self._waiting:
            self._running -= 1
            return None
        succeeding = self._waiting.pop(next(iter(self._waiting)))
        succeeding.running = True
        return succeeding

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
        """Return when the first call is overdue; infinity for never."""
        ours = (call.deadline for call in self.ours.values())
        theirs = (call.deadline for call in self._due())
        return min([math.inf, *ours, *theirs])

    def overdue(self, now: float) -> tuple[list[Ours], list[Theirs]]:
        """Return the calls whose deadline has passed and that are not answered."""
        return (
            [call for call in self.ours.values() if call.deadline <= now],
            [call for call in self._due() if call.deadline <= now],
        )

    def _due(self) -> list[Theirs]:
        """Return the calls of the peer's that are still to be answered."""
        if self.is_lost:
            return []
        return [call for call in self.theirs.values() if not call.answered]

    def lose(self) -> tuple[list[Ours], list[Theirs]]:
        """The connection has ended; return the calls that end with it.

        Ours are over; theirs are to be stopped, and finished when they have.
        """
        self.is_lost = True
        ours = list(self.ours.values())
        self.ours.clear()
        self._abandoned.clear()
        for id in self._waiting:
            del self.theirs[id]
            self._budget.give_back()
        theirs = [*self.theirs.values(), *self._waiting.values()]
        self._waiting.clear()
        return ours, theirs
