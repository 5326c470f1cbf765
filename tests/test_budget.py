"""The memory of all connections together: who is held, who is let go, who is closed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from longwire import Limits, machine
from longwire.budget import LATEST, PATIENCE, SOONEST, Budget
from longwire.hosting import Host

MIB = 1 << 20


class World:
    """Connections by name with the sizes that they have, and what is done to them."""

    def __init__(self, limit: int, **sizes: int) -> None:
        self.sizes: dict[str, int] = sizes
        self.held: set[str] = set()
        self.closed: list[str] = []
        self.now = 1000.0
        self.budget: Budget[str] = Budget(
            limit, self.held.add, self.held.remove, self._close
        )

    def _close(self, name: str) -> None:
        self.closed.append(name)
        del self.sizes[name]
        self.held.discard(name)

    def look(self, after: float = 0.1, **sizes: int) -> float:
        self.now += after
        self.sizes.update(sizes)
        return self.budget.look(dict(self.sizes), self.now)


def test_below_the_budget_nobody_is_held() -> None:
    world = World(100, a=50, b=50)

    world.look()

    assert world.held == set()


def test_above_it_the_largest_are_held_and_small_ones_go_on() -> None:
    world = World(100, big=60, large=40, small=5, tiny=1)

    world.look()

    assert world.held == {"big", "large"}
    assert world.closed == []


def test_only_as_many_are_held_as_it_takes() -> None:
    world = World(100, huge=101, **{f"n{n}": 1 for n in range(10)})

    world.look()

    assert world.held == {"huge"}


def test_where_all_are_alike_all_are_held() -> None:
    world = World(100, **{f"n{n}": 10 for n in range(11)})

    world.look()

    assert len(world.held) == 11


def test_all_go_on_when_there_is_room_again() -> None:
    world = World(100, a=60, b=50)
    world.look()
    assert world.held == {"a", "b"}

    world.look(a=40, b=40)
    assert world.held == {"a", "b"}  # not the moment it is under the budget
    world.look(a=40, b=30)

    assert world.held == set()


def test_one_that_has_become_small_goes_on_though_others_are_large() -> None:
    world = World(100, a=50, b=50, c=50)
    world.look()
    assert world.held == {"a", "b", "c"}

    world.look(c=1)

    assert world.held == {"a", "b"}


def test_those_that_have_gone_are_forgotten() -> None:
    world = World(100, a=200, b=200)
    world.look()
    del world.sizes["a"]

    world.look()

    assert world.budget.held == 1
    assert world.budget.total == 200


def test_one_that_is_held_for_nothing_is_closed_the_largest_first() -> None:
    world = World(100, a=60, b=70, c=1)
    world.look()
    assert world.held == {"a", "b"}
    world.look(PATIENCE - 1)
    assert world.closed == []

    world.look(1.5)

    assert world.closed == ["b"]  # with that there is room
    world.look()
    assert world.held == set()
    assert world.sizes == {"a": 60, "c": 1}


def test_one_that_gets_smaller_is_given_more_time() -> None:
    world = World(1000, a=900, b=900)
    world.look()
    for step in range(1, 6):
        world.look(PATIENCE - 1, a=900 - 100 * step)
        assert "a" not in world.closed

    assert world.closed == ["b"]


def test_half_a_message_does_not_stand_in_the_way_of_others_for_ever() -> None:
    # Both wait for the rest of a message, and may not read it: whoever is larger goes.
    world = World(100, a=51, b=52)
    world.look()
    world.look(PATIENCE + 0.1)

    assert world.closed == ["b"]
    world.look()
    assert world.held == set()


def test_the_next_look_comes_the_sooner_the_less_room_there_is() -> None:
    world = World(1 << 30)

    empty = world.look()
    half = world.look(a=700 * MIB)
    full = world.look(a=1000 * MIB)
    over = world.look(a=1100 * MIB)

    assert LATEST == empty > half > full >= over == SOONEST


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_the_sum_comes_down(seed: int) -> None:
    # Some handlers take messages and some do not; peers send as long as they are read.
    dice = random.Random(seed)
    world = World(100_000)
    names = [f"n{n}" for n in range(200)]
    world.sizes = dict.fromkeys(names, 0)
    deaf = set(dice.sample(names, 60))
    worst = 0
    for _ in range(1000):
        for name in list(world.sizes):
            if name not in world.held:
                most = 4000 if name in deaf else 1500
                world.sizes[name] = min(most, world.sizes[name] + dice.randrange(100))
            if name not in deaf:
                world.sizes[name] = max(0, world.sizes[name] - dice.randrange(160))
        world.look()
        worst = max(worst, sum(world.sizes.values()))

    # One look's growth over the budget, at most; and nobody who takes was closed.
    assert worst <= 100_000 + 200 * 100
    assert set(world.closed) <= deaf
    assert sum(world.sizes.values()) <= 100_000


def test_the_next_look_is_never_far_away_however_long_one_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host: Host[Any] = Host(print, None, None, None, None)
    # The machine stood still for ten seconds meanwhile.
    times = iter([0.0, 10.0])
    monkeypatch.setattr(host, "_now", lambda: next(times))

    assert host._look_at_memory() <= LATEST


# --- the default -----------------------------------------------------------------


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A machine of 16 GiB without other limits; files of control groups in a folder."""
    pages = {"SC_PHYS_PAGES": 16 * (1 << 30) // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(machine.os, "sysconf", pages.__getitem__)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(machine, "_soft_limit", lambda name: None)
    return pages


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_server_may_use_a_gibibyte(box: Any) -> None:
    assert Limits().server_memory == 1 << 30


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("memory.max", "536870912\n"),
        ("memory/memory.limit_in_bytes", "536870912\n"),
        ("system.slice/app.service/memory.max", "536870912\n"),
        ("system.slice/memory.max", "536870912\n"),
    ],
)
def test_or_a_quarter_of_its_container(
    file: str, text: str, box: Any, tmp_path: Path
) -> None:
    write(tmp_path / "own", "0::/system.slice/app.service\n")
    write(tmp_path / file, text)

    assert machine.default_memory() == 128 * MIB


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", "", "nonsense"])
def test_a_container_without_a_limit_has_none(
    text: str, box: Any, tmp_path: Path
) -> None:
    write(tmp_path / "memory.max", text)

    assert machine.default_memory() == 1 << 30


def test_a_small_machine_gives_a_quarter_and_a_tiny_one_64_mib(box: Any) -> None:
    box["SC_PHYS_PAGES"] = (1 << 30) // 4096
    assert machine.default_memory() == 256 * MIB
    box["SC_PHYS_PAGES"] = (64 << 20) // 4096
    assert machine.default_memory() == 64 * MIB


def test_a_limit_of_the_process_counts_too(
    box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"RLIMIT_AS": 800 * MIB, "RLIMIT_DATA": 2000 * MIB}
    monkeypatch.setattr(machine, "_soft_limit", limits.get)

    assert machine.default_memory() == 200 * MIB


def test_where_nothing_can_be_asked_there_is_the_default(
    box: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(machine.os, "sysconf")

    assert machine.default_memory() == 1 << 30
