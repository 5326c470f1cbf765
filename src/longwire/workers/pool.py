"""Pool: the slots of a supervisor, and what is decided about their workers.

No I/O, and time is an argument in seconds. :class:`.supervisor.Supervisor` tells what
happened to which worker, and carries out the actions that are the answer. A worker is
a number here: it begins with :class:`Spawn` and is remembered until :meth:`Pool.ended`.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from . import slot_table as table
from .restarts import Restarts

__all__ = [
    "Announce",
    "Close",
    "Delay",
    "Died",
    "Ended",
    "Kill",
    "Pool",
    "ReloadFailed",
    "Reloaded",
    "Reloading",
    "Retire",
    "Slot",
    "Spawn",
    "Stopping",
]

_SERVING = (table.SERVING, table.REPLACING)


class Spawn(NamedTuple):
    """Start a worker on the sockets of its slot; bind those that are closed.

    Where that fails, :meth:`Pool.not_spawned` has to be told.
    """

    slot: int
    worker: int


class Retire(NamedTuple):
    """Have a worker close its connections and end."""

    worker: int


class Kill(NamedTuple):
    """End a worker at once: it has no connections."""

    worker: int


class Delay(NamedTuple):
    """The worker ended; the slot gets another one in so many seconds."""

    worker: int
    seconds: float


class Close(NamedTuple):
    """The worker ended, for the last time: close the sockets of its slot.

    ``often`` is whether it is one of many; else nothing has ever worked.
    """

    slot: int
    worker: int
    often: bool


class Died(NamedTuple):
    """The worker ended while the one that is to replace it starts."""

    worker: int


class Ended(NamedTuple):
    """A worker that was told to end has done so."""

    worker: int


class Reloading(NamedTuple):
    """A reload begins."""


class ReloadFailed(NamedTuple):
    """The worker, of the new code, did not start: the reload ends here."""

    worker: int


class Reloaded(NamedTuple):
    """A reload has ended: each slot had its turn."""


class Announce(NamedTuple):
    """All slots that can serve do so, for the first time."""


class Stopping(NamedTuple):
    """No worker is started any more."""


Action = (
    Spawn
    | Retire
    | Kill
    | Delay
    | Close
    | Died
    | Ended
    | Reloading
    | ReloadFailed
    | Reloaded
    | Announce
    | Stopping
)


class Slot:
    """One slot: a state of the table, with the workers and the time that belong to it.

    ``serving`` takes connections, ``starting`` is to do so; None where there is none.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = table.IDLE
        self.serving: int | None = None
        self.starting: int | None = None
        self.restart_at: float | None = None
        self.restarts = 0
        self.policy = Restarts()
        self.delay: float | None = None  # what the policy said of the last death
        self.told_to_end = False  # the worker that starts, by somebody

    def forget(self, worker: int) -> None:
        """A worker of it has ended."""
        if self.serving == worker:
            self.serving = None
        else:
            self.starting = None

    @property
    def is_serving(self) -> bool:
        """Whether its worker takes connections."""
        return self.state in _SERVING


class Pool:
    """All slots, the reload that goes through them, and the end.

    ``failed`` is whether it ended because no worker could serve.
    """

    def __init__(self, count: int) -> None:
        self.slots = [Slot(number) for number in range(count)]
        self.stopping = False
        self.failed = False
        self.announced = False
        self._numbers = itertools.count(1)
        self._retiring: set[int] = set()
        self._actions: list[Action] = []
        self._has_served = False  # a worker was ready once
        self._queue: list[Slot] | None = None  # of a reload: whose turn is to come
        self._replaced: Slot | None = None  # whose worker the reload replaces now
        self._reload_again = False

    # --- questions ---------------------------------------------------------------

    def workers(self) -> set[int]:
        """Return all workers that have been spawned and have not ended."""
        mine = {w for slot in self.slots for w in (slot.serving, slot.starting) if w}
        return mine | self._retiring

    @property
    def is_over(self) -> bool:
        """Whether nothing runs, and nothing will."""
        return self.stopping and not self.workers()

    @property
    def ready(self) -> int:
        """How many slots have a worker that takes connections."""
        return sum(slot.is_serving for slot in self.slots)

    @property
    def is_reloading(self) -> bool:
        """Whether a reload is going through the slots."""
        return self._queue is not None

    def deadline(self) -> float | None:
        """Return when ``tick()`` has something to do."""
        times = [s.restart_at for s in self.slots if s.restart_at is not None]
        return min(times, default=None)

    def take_actions(self) -> list[Action]:
        """Return what is to be done, in this order, and forget it."""
        actions, self._actions = self._actions, []
        return actions

    # --- events ------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Start the first worker; the others start when it is ready."""
        self._step(self.slots[0], table.START, now)

    def is_ready(self, worker: int, now: float) -> None:
        """A worker that starts takes connections from now on."""
        slot = self._slot_of(worker)
        if slot is None or slot.starting != worker:
            return
        self._step(slot, table.READY, now)
        slot.policy.is_ready()
        if self._replaced is slot:
            self._replaced = None
        if not self._has_served:
            self._has_served = True
            for other in self.slots:
                self._step(other, table.START, now)
        self._go_on(now)

    def not_spawned(self, worker: int, now: float) -> None:
        """A worker could not be spawned: it has never been there."""
        slot = self._slot_of(worker)
        if slot is None:
            self._retiring.discard(worker)  # killed before it was to be spawned
        else:
            slot.delay = slot.policy.cannot_spawn()
            self._start_failed(slot, worker, now, table.UNSPAWNED)
        self._go_on(now)

    def ended(self, worker: int, now: float) -> None:
        """A worker has ended."""
        slot = self._slot_of(worker)
        if slot is None:
            if worker in self._retiring:
                self._retiring.remove(worker)
                self._actions.append(Ended(worker))
        elif slot.starting == worker:
            often = slot.state == table.STARTING and self._dies_too_often(slot, now)
            event = table.FAILED_OFTEN if often else table.FAILED
            self._start_failed(slot, worker, now, event)
        else:
            often = slot.state == table.SERVING and self._dies_too_often(slot, now)
            event = table.DIED_OFTEN if often else table.DIED
            if slot.state == table.REPLACING:
                self._actions.append(Died(worker))
            self._step(slot, event, now, worker)
        self._go_on(now)

    def left(self, worker: int, now: float) -> None:
        """Somebody told a worker to end: another takes its place at once."""
        slot = self._slot_of(worker)
        if slot is None:
            return
        if slot.starting == worker:
            # It has no connections. Its end is that of a worker that did not start,
            # so that one that tells itself to end is not started again without delay.
            slot.told_to_end = True
            self._actions.append(Kill(worker))
        else:
            self._step(slot, table.LEFT, now)
        self._go_on(now)

    def reload(self, now: float) -> None:
        """Replace all workers; one that is asked for during a reload follows it."""
        self._reload_again = not self.stopping
        self._go_on(now)

    def tick(self, now: float) -> None:
        """Start the workers whose delay has passed."""
        for slot in self.slots:
            if slot.restart_at is not None and now >= slot.restart_at:
                slot.restarts += 1
                self._step(slot, table.TIMER, now)
        self._go_on(now)

    def stop(self, now: float) -> None:
        """Have all workers end; nothing is started any more."""
        if self.stopping:
            return
        self.stopping = True
        self._queue = self._replaced = None
        self._reload_again = False
        self._actions.append(Stopping())
        for slot in self.slots:
            self._step(slot, table.STOP, now)

    # --- steps -------------------------------------------------------------------

    def _slot_of(self, worker: int) -> Slot | None:
        """Return the slot of a worker, None of one that retires or is not known."""
        for slot in self.slots:
            if worker in (slot.serving, slot.starting):
                return slot
        return None

    def _step(
        self, slot: Slot, event: int, now: float, worker: int | None = None
    ) -> None:
        """Do what the table says of ``event``, which may be about a worker's end."""
        step = table.STEPS.get((slot.state, event))
        if step is None:
            return
        slot.state = step.after
        slot.restart_at = None
        if worker is not None:
            slot.forget(worker)
        for action in step.does:
            if action in (table.DELAY, table.CLOSE):
                assert worker is not None
                self._rest(slot, event, now, worker)
            else:
                self._do(slot, action)

    def _do(self, slot: Slot, action: int) -> None:
        if action == table.RETIRE:
            self._retire(slot.serving, Retire)
            slot.serving = None
        elif action == table.SERVE:
            slot.serving, slot.starting = slot.starting, None
        elif action == table.KILL:
            self._retire(slot.starting, Kill)
            slot.starting = None
        else:
            slot.starting = next(self._numbers)
            slot.told_to_end = False
            self._actions.append(Spawn(slot.number, slot.starting))

    def _rest(self, slot: Slot, event: int, now: float, ended: int) -> None:
        """Have no worker in a slot for a while, or for good."""
        if slot.state == table.WAITING:
            assert slot.delay is not None
            slot.restart_at = now + slot.delay
            self._actions.append(Delay(ended, slot.delay))
        else:
            often = event != table.HOPELESS
            self._actions.append(Close(slot.number, ended, often))

    def _retire(self, worker: int | None, how: type[Retire | Kill]) -> None:
        assert worker is not None
        self._retiring.add(worker)
        self._actions.append(how(worker))

    def _start_failed(self, slot: Slot, worker: int, now: float, event: int) -> None:
        if not (self._has_served or self._reload_again or slot.told_to_end):
            # Nothing has ever worked: it is not going to.
            self._step(slot, table.HOPELESS, now, worker)
            return
        if self._replaced is slot:
            self._actions.append(ReloadFailed(worker))
            self._queue = self._replaced = None
        self._step(slot, event, now, worker)

    def _dies_too_often(self, slot: Slot, now: float) -> bool:
        slot.delay = slot.policy.died(now)
        return slot.delay is None

    # --- all slots together ------------------------------------------------------

    def _go_on(self, now: float) -> None:
        """Do what follows for all slots together, after each event."""
        self._announce()
        self._go_on_reloading(now)
        dead = all(slot.state in (table.CLOSED, table.IDLE) for slot in self.slots)
        if dead and not self.is_reloading and not self.stopping:
            self.failed = True
            self.stop(now)

    def _announce(self) -> None:
        if self.announced or self.stopping or not self.ready:
            return
        if all(s.is_serving or s.state == table.CLOSED for s in self.slots):
            self.announced = True
            self._actions.append(Announce())

    def _go_on_reloading(self, now: float) -> None:
        """Give the next slot its turn, if the last one is ready and nobody drains.

        Where no slot serves, there is no time to wait for one that drains.
        """
        while not self.stopping and (self.is_reloading or self._reload_again):
            if self._queue is None and not self._begin_reload():
                return
            starting = any(slot.starting is not None for slot in self.slots)
            if starting or (self._retiring and self.ready):
                return
            assert self._queue is not None
            if not self._queue:
                self._queue = None
                self._actions.append(Reloaded())
                continue
            slot = self._queue.pop(0)
            # A worker that was dead anyway does not end the reload of the others.
            self._replaced = slot if slot.state == table.SERVING else None
            slot.policy.forget()
            self._step(slot, table.RELOAD, now)

    def _begin_reload(self) -> bool:
        """Begin the reload that was asked for; say whether the time has come."""
        first = self.slots[0]
        if not self._has_served and first.state in (table.IDLE, table.STARTING):
            return False  # the first worker has yet to be ready, or fail
        self._reload_again = False
        self._queue = [slot for slot in self.slots if slot.state != table.IDLE]
        self._actions.append(Reloading())
        return True
