"""The timing wheel: everybody asked in time, one handle for all, nothing kept alive."""

from __future__ import annotations

import asyncio
import collections
import gc
import math
import weakref

import pytest

from longwire.asyncio.timers import AT_ONCE, RESOLUTION, Timers


class Timed:
    """Has deadlines; notes when it was asked."""

    def __init__(self, *deadlines: float) -> None:
        self.deadlines = list(deadlines)
        self.asked: list[float] = []
        self.bucket = 0
        self.done = asyncio.Event()

    def next_deadline(self) -> float:
        return self.deadlines[0] if self.deadlines else math.inf

    def tick(self, now: float) -> None:
        self.asked.append(now)
        self.deadlines.pop(0)
        if not self.deadlines:
            self.done.set()


async def test_each_deadline_is_met_and_never_early():
    loop = asyncio.get_running_loop()
    start = loop.time()
    deadlines = [start + 0.01, start + 0.07, start + 0.2]
    timed = Timed(*deadlines)

    Timers.of(loop).arm(timed)
    await timed.done.wait()

    assert len(timed.asked) == 3
    assert all(at >= due for at, due in zip(timed.asked, deadlines, strict=True))


@pytest.mark.stock_loop
async def test_many_wait_on_one_handle():
    loop = asyncio.get_running_loop()
    wheel = Timers.of(loop)
    crowd = [Timed(loop.time() + 0.05 + index / 1000) for index in range(100)]

    for timed in crowd:
        wheel.arm(timed)
    # CPython's own list of timers; cancelled ones may linger there.
    waiting = [handle for handle in loop._scheduled if not handle.cancelled()]
    ours = [handle for handle in waiting if "Timers" in repr(handle)]
    await asyncio.gather(*(timed.done.wait() for timed in crowd))

    assert len(ours) == 1
    assert all(len(timed.asked) == 1 for timed in crowd)


async def test_a_nearer_deadline_is_noticed():
    loop = asyncio.get_running_loop()
    timed = Timed(loop.time() + 3600)
    Timers.of(loop).arm(timed)

    timed.deadlines[0] = loop.time()
    Timers.of(loop).arm(timed)

    await asyncio.wait_for(timed.done.wait(), 10)


async def test_a_deadline_that_moved_away_is_not_acted_on():
    loop = asyncio.get_running_loop()
    timed = Timed(loop.time() + 0.01)
    Timers.of(loop).arm(timed)
    timed.deadlines[0] = loop.time() + 0.01 + 4 * RESOLUTION
    later = timed.deadlines[0]

    await timed.done.wait()

    assert timed.asked[0] >= later


async def test_the_disarmed_are_left_alone():
    loop = asyncio.get_running_loop()
    timed, other = Timed(loop.time() + 0.01), Timed(loop.time() + 0.1)
    wheel = Timers.of(loop)
    wheel.arm(timed)
    wheel.arm(other)

    wheel.disarm(timed)
    await other.done.wait()

    assert timed.asked == []


async def test_who_is_disarmed_is_let_go():
    loop = asyncio.get_running_loop()
    timed = Timed(loop.time() + 3600)
    Timers.of(loop).arm(timed)
    seen = weakref.ref(timed)

    Timers.of(loop).disarm(timed)
    del timed
    gc.collect()

    assert seen() is None


def test_a_loop_closed_with_armed_timers_is_forgotten():
    loop = asyncio.new_event_loop()
    timed = Timed(loop.time() + 3600)
    timed.loop = loop  # as connections do
    Timers.of(loop).arm(timed)
    seen = weakref.ref(loop)

    loop.close()
    del loop, timed
    gc.collect()

    assert seen() is None


async def test_who_fails_when_asked_does_not_hold_up_the_others():
    loop = asyncio.get_running_loop()
    complaints = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    due = loop.time() + 0.01
    good = [Timed(due), Timed(due)]
    bad = Timed(due)
    bad.tick = None  # cannot be called

    for timed in (good[0], bad, good[1]):
        Timers.of(loop).arm(timed)
    async with asyncio.timeout(5):
        await asyncio.gather(*(timed.done.wait() for timed in good))
    Timers.of(loop).disarm(bad)

    assert complaints


def test_an_interrupt_at_one_leaves_the_others_their_time():
    class Interrupting(Timed):
        def tick(self, now: float) -> None:
            super().tick(now)
            raise KeyboardInterrupt

    async def begin() -> list[Timed]:
        at = asyncio.get_running_loop().time() + 0.01
        crowd = [Interrupting(at), Timed(at), Timed(at), Timed(at, at + 0.1)]
        for timed in crowd:
            Timers.of(asyncio.get_running_loop()).arm(timed)
        return crowd

    async def end() -> None:
        await asyncio.gather(*(timed.done.wait() for timed in crowd))

    loop = asyncio.new_event_loop()
    crowd = loop.run_until_complete(begin())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(5))
    loop.run_until_complete(asyncio.wait_for(end(), 5))
    loop.close()

    assert [len(timed.asked) for timed in crowd] == [1, 1, 1, 2]


async def test_many_that_are_due_at_once_are_asked_over_some_turns():
    loop = asyncio.get_running_loop()
    wheel = Timers.of(loop)
    asked_in: list[int] = []
    turn = 0

    class Due:
        bucket = 0
        deadline = loop.time() + RESOLUTION

        def next_deadline(self):
            return self.deadline

        def tick(self, now):
            self.deadline = math.inf
            asked_in.append(turn)

    many = [Due() for _ in range(5 * AT_ONCE + 1)]
    for timed in many:
        wheel.arm(timed)
    async with asyncio.timeout(20):
        while len(asked_in) < len(many):
            turn += 1
            await asyncio.sleep(0)
    assert max(collections.Counter(asked_in).values()) == AT_ONCE
    assert not any(timed.bucket for timed in many)
