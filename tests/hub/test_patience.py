"""A limit of time for many waits: the same as asyncio.timeout(), with one timer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.needs import needs

needs("msgspec")

from longwire.hub.patience import Patience

pytestmark = pytest.mark.once


async def wait(patience: Patience, seconds: float) -> str:
    with patience.limit():
        await asyncio.sleep(seconds)
    return "done"


async def test_those_that_take_too_long_end_with_timeout_error_and_others_do_not():
    patience = Patience(0.05)

    found = await asyncio.gather(
        *(wait(patience, 10 if n % 3 == 0 else 0) for n in range(9)),
        return_exceptions=True,
    )

    kinds = [type(each) for each in found]
    assert kinds == [TimeoutError, str, str] * 3
    assert len(patience) == 0


async def test_a_later_wait_has_its_whole_time():
    patience = Patience(0.2)
    loop = asyncio.get_running_loop()
    first = asyncio.create_task(wait(patience, 10))
    await asyncio.sleep(0.1)

    began = loop.time()
    with pytest.raises(TimeoutError):
        await wait(patience, 10)

    assert loop.time() - began >= 0.19
    assert isinstance(first.exception(), TimeoutError)


async def test_a_cancellation_by_somebody_else_stays_one():
    patience = Patience(10)
    task = asyncio.create_task(wait(patience, 10))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(patience) == 0


async def test_a_cancellation_at_the_same_time_wins():
    patience = Patience(0.01)
    task: asyncio.Task[Any] = asyncio.create_task(wait(patience, 10))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_at(patience._waits[0].until, task.cancel)

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wait_that_swallows_its_end_leaves_the_task_uncancelled():
    patience = Patience(0.01)

    async def stubborn() -> int:
        with patience.limit() as limit:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                assert limit.is_over
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert await stubborn() == 0


async def test_another_exception_is_passed_on():
    patience = Patience(10)

    with pytest.raises(KeyError), patience.limit():
        raise KeyError


async def test_a_timeout_around_it_is_told_from_its_own():
    patience = Patience(10)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            try:
                await wait(patience, 10)
            except TimeoutError:
                pytest.fail("that was not its own time")
    assert len(patience) == 0


async def test_what_has_ended_is_forgotten_though_nothing_is_waited_for_longer():
    patience = Patience(10)
    for _ in range(1000):
        await wait(patience, 0)

    assert len(patience) == 0
