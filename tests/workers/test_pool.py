"""The pool of workers, under any interleaving of what can happen to them.

No processes: a world with a clock of its own carries out what the pool decides, and
things happen in it at random. Seeds are fixed, so that a failure can be repeated.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from longwire.workers import pool as do
from longwire.workers import slot_table as table
from longwire.workers.pool import Pool
from longwire.workers.restarts import MAX_PAUSE, TOO_MANY

pytestmark = pytest.mark.once

MAX_DELAY = 1.0
"""No delay after a death is longer: 0.1 s, doubled three times."""


class World:
    """Workers as a supervisor has them, which do at random what workers do."""

    def __init__(self, count: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.pool = Pool(count)
        self.now = 0.0
        self.alive: dict[int, str] = {}  # "starting", "ready", "ending", "killed"
        self.slot_of: dict[int, int] = {}
        self.code = 0  # the edition that a worker started now would run
        self.code_of: dict[int, int] = {}
        self.open: set[int] = set(range(count))
        self.spawns_fail = 0.0
        self.is_ill = seed % 4 == 1
        self.unspawned: set[int] = set()
        self.told: list[Any] = []
        self.pool.begin(self.now)
        self.carry_out()

    def carry_out(self) -> None:
        while actions := self.pool.take_actions():
            for action in actions:
                self.told.append(action)
                self.do(action)
        self.check()

    def do(self, action: Any) -> None:
        match action:
            case do.Spawn(slot, worker):
                assert worker not in self.slot_of, "a worker was spawned twice"
                self.slot_of[worker] = slot
                self.code_of[worker] = self.code
                if self.random.random() < self.spawns_fail:
                    self.unspawned.add(worker)
                    self.pool.not_spawned(worker, self.now)
                else:
                    self.open.add(slot)
                    self.alive[worker] = "starting"
            case do.Retire(worker):
                assert self.alive[worker] == "ready"
                self.alive[worker] = "ending"
            case do.Kill(worker):
                if worker in self.alive:
                    assert self.alive[worker] in ("starting", "killed")
                    self.alive[worker] = "killed"
            case do.Close(slot):
                self.open.discard(slot)
            case do.Delay(worker, seconds):
                most = MAX_PAUSE if worker in self.unspawned else MAX_DELAY
                assert 0 < seconds <= most

    def count(self, kind: type[Any]) -> int:
        """How often an action of a kind was decided on."""
        return sum(isinstance(each, kind) for each in self.told)

    # --- what always holds ---

    def check(self) -> None:
        pool = self.pool
        assert pool.workers() == set(self.alive), "a worker is forgotten, or made up"
        for slot in pool.slots:
            self.check_slot(slot)
        ready = [w for w, state in self.alive.items() if state == "ready"]
        assert len(ready) == pool.ready
        if pool.stopping:
            assert "ready" not in self.alive.values()
            assert pool.deadline() is None
        else:
            assert any(
                slot.state not in (table.IDLE, table.CLOSED) for slot in pool.slots
            ), "nobody serves, starts or will start, and the supervisor goes on"

    def check_slot(self, slot: Any) -> None:
        state = slot.state
        has = (slot.serving is not None, slot.starting is not None)
        assert has == {
            table.STARTING: (False, True),
            table.SERVING: (True, False),
            table.REPLACING: (True, True),
        }.get(state, (False, False))
        assert (slot.restart_at is not None) == (state == table.WAITING)
        for worker in filter(None, (slot.serving, slot.starting)):
            assert self.slot_of[worker] == slot.number
        mine = [w for w, s in self.alive.items() if self.slot_of[w] == slot.number]
        assert sum(self.alive[w] == "ready" for w in mine) == has[0], (
            "two workers of one slot serve, or one that the slot does not know"
        )
        if state == table.CLOSED:
            assert slot.number not in self.open

    # --- what happens ---

    def some(self, *states: str) -> int | None:
        found = [w for w, state in self.alive.items() if state in states]
        return self.random.choice(found) if found else None

    def get_ready(self, worker: int) -> None:
        """A worker says that it is ready; the supervisor believes those it awaits."""
        if self.alive[worker] == "starting":
            self.alive[worker] = "ready"
            self.pool.is_ready(worker, self.now)
            self.carry_out()

    def end(self, worker: int) -> None:
        served = self.alive.pop(worker) == "ready"
        slot = self.pool.slots[self.slot_of[worker]]
        self.pool.ended(worker, self.now)
        self.carry_out()
        if served and not self.pool.stopping:
            assert slot.state in (table.STARTING, table.WAITING, table.CLOSED)

    def leave(self, worker: int) -> None:
        """Somebody sends SIGTERM to a worker."""
        self.pool.left(worker, self.now)
        self.carry_out()

    def wait(self, seconds: float) -> None:
        """Let time pass, with the supervisor's timers."""
        end = self.now + seconds
        while (at := self.pool.deadline()) is not None and at <= end:
            self.now = max(at, self.now)
            self.pool.tick(self.now)
            self.carry_out()
        self.now = end

    def happen(self) -> None:
        """One thing out of all that can happen."""
        if self.is_ill and self.random.random() < 0.6:
            # The first slot's workers die again and again.
            slot = self.pool.slots[0]
            worker = slot.starting or slot.serving
            self.end(worker) if worker else self.wait(MAX_DELAY)
            return
        dice = self.random.random()
        if dice < 0.30:
            if worker := self.some("starting"):
                self.get_ready(worker)
        elif dice < 0.48:
            if worker := self.some("ending", "killed"):
                self.end(worker)
        elif dice < 0.58:
            if worker := self.some("starting", "ready"):
                self.end(worker)
        elif dice < 0.66:
            if worker := self.some("starting", "ready", "ending"):
                self.leave(worker)
        elif dice < 0.74:
            self.reload()
        elif dice < 0.80:
            self.spawns_fail = self.random.choice([0.0, 0.0, 0.3, 1.0])
        else:
            self.wait(self.random.choice([0.0, 0.05, 0.3, 2.0, 61.0]))

    def reload(self) -> None:
        """New code is there, and the supervisor is told."""
        self.code += 1
        self.pool.reload(self.now)
        self.carry_out()

    def stop(self) -> None:
        self.pool.stop(self.now)
        self.carry_out()

    def settle(self) -> None:
        """All that starts gets ready, all that is to end ends, until nothing moves."""
        self.spawns_fail = 0.0
        for _ in range(1000):
            if worker := self.some("starting"):
                self.get_ready(worker)
            elif worker := self.some("ending", "killed"):
                self.end(worker)
            elif self.pool.deadline() is not None:
                self.wait(MAX_PAUSE)
            else:
                return
        raise AssertionError("it never comes to rest")


SEEDS = range(200)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_whatever_happens_no_worker_is_forgotten_and_all_slots_serve_in_the_end(count):
    ended = closed = 0
    for seed in SEEDS:
        world = World(count, seed)
        if seed % 3:  # else what happens to a pool that has only begun
            world.settle()
        for _ in range(world.random.randrange(100)):
            world.happen()
        if world.pool.stopping:
            assert world.pool.failed
            ended += 1
            world.settle()
            assert world.pool.is_over
            continue

        world.settle()

        assert not world.pool.is_reloading
        for slot in world.pool.slots:
            closed += slot.state == table.CLOSED
            assert slot.state in (table.SERVING, table.CLOSED), seed
        assert world.pool.announced
        # Whatever was before, a reload opens closed slots and brings the newest code.
        world.reload()
        world.settle()
        assert world.pool.ready == count
        assert {world.code_of[s.serving] for s in world.pool.slots} == {world.code}
        assert len(world.alive) == count
    assert closed or count == 1
    assert ended < len(SEEDS) / 2, "most runs end early, and show little"


@pytest.mark.parametrize("count", [1, 3])
def test_a_stop_ends_whatever_was_going_on(count):
    for seed in SEEDS:
        world = World(count, seed)
        for _ in range(world.random.randrange(60)):
            world.happen()
        world.stop()
        spawned = len(world.slot_of)
        for _ in range(20):
            world.happen()
        world.settle()

        assert world.pool.is_over
        assert not world.alive
        assert len(world.slot_of) == spawned, "a worker was started after the stop"


def test_a_reload_keeps_each_worker_until_the_next_one_is_ready():
    for seed in SEEDS:
        world = World(3, seed)
        world.settle()
        world.reload()
        while world.pool.is_reloading:
            if worker := world.some("starting", "ending", "killed"):
                fails = world.random.random() < 0.1
                if world.alive[worker] == "starting" and not fails:
                    world.get_ready(worker)
                else:
                    world.end(worker)
            assert world.pool.ready == 3
            # One after the other, so that few processes are there at a time.
            assert len(world.alive) <= 4


def test_a_reload_that_is_asked_for_during_a_reload_follows_it():
    for seed in SEEDS:
        world = World(2, seed)
        world.settle()
        world.reload()
        for _ in range(world.random.randrange(12)):
            if worker := world.some("starting", "ending"):
                if world.alive[worker] == "starting" and world.random.random() < 0.7:
                    world.get_ready(worker)
                else:
                    world.end(worker)
        world.reload()
        world.settle()

        assert {world.code_of[s.serving] for s in world.pool.slots} == {2}
        assert world.count(do.Reloading) == 2


def test_workers_that_only_die_are_started_a_bounded_number_of_times():
    world = World(2, 0)
    world.settle()
    for _ in range(100):
        if worker := world.some("starting", "ready", "ending", "killed"):
            world.end(worker)
        world.wait(MAX_DELAY)

    assert world.pool.is_over
    assert world.pool.failed
    assert len(world.slot_of) == 2 * TOO_MANY


def test_a_system_without_room_is_asked_again_for_as_long_as_it_takes():
    world = World(2, 0)
    world.settle()
    world.spawns_fail = 1.0
    for worker in list(world.alive):
        world.end(worker)
    world.wait(3600.0)

    assert not world.pool.stopping
    assert 2 * 360 <= len(world.unspawned) <= 2 * 370
    world.spawns_fail = 0.0
    world.wait(MAX_PAUSE)
    world.settle()
    assert world.pool.ready == 2
    # That was no mistake of the application: the next death is the first one.
    world.end(world.pool.slots[0].serving)
    assert world.told[-1] == do.Delay(world.told[-1].worker, 0.1)


def test_nothing_is_tried_again_where_nothing_has_ever_worked():
    world = World(4, 0)
    world.end(1)

    assert world.pool.is_over
    assert world.pool.failed
    assert world.told == [do.Spawn(0, 1), do.Close(0, 1, often=False), do.Stopping()]


def test_a_first_worker_that_was_told_to_end_is_started_again():
    world = World(2, 0)
    world.leave(1)
    world.end(1)
    world.settle()

    assert world.pool.ready == 2


def test_a_reload_asked_for_during_the_first_start_follows_its_failure():
    world = World(2, 0)
    world.reload()
    world.end(1)
    world.settle()

    assert world.pool.ready == 2
    assert {world.code_of[slot.serving] for slot in world.pool.slots} == {1}


def test_it_is_announced_once_when_all_slots_that_can_serve_do():
    world = World(2, 0)
    world.get_ready(1)
    for _ in range(TOO_MANY):
        assert world.count(do.Announce) == 0
        second = world.some("starting")
        world.end(second)
        world.wait(MAX_DELAY)

    assert world.pool.slots[1].state == table.CLOSED
    assert world.count(do.Announce) == 1
    world.reload()
    world.settle()
    assert world.count(do.Announce) == 1


def test_a_slot_that_was_dead_does_not_end_the_reload_of_the_others():
    world = World(2, 0)
    world.settle()
    while world.pool.slots[0].state != table.CLOSED:
        slot = world.pool.slots[0]
        worker = slot.starting or slot.serving
        world.end(worker) if worker else world.wait(MAX_DELAY)
    world.reload()
    world.end(world.pool.slots[0].starting)
    world.get_ready(world.pool.slots[1].starting)
    world.settle()

    assert world.code_of[world.pool.slots[1].serving] == 1
    assert world.count(do.ReloadFailed) == 0


def test_the_table_has_only_what_it_explains():
    for (state, event), step in table.STEPS.items():
        assert state in table.STATES
        assert event in table.EVENTS
        assert step.after in table.STATES
        assert set(step.does) <= set(table.ACTIONS)
        # Each row changes something: one that does not is left out.
        assert step.does or step.after != state
    assert {state for state, _ in table.STEPS} == set(table.STATES) - {table.STOPPED}
    assert {event for _, event in table.STEPS} == set(table.EVENTS)
