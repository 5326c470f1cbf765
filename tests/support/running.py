"""Runs a coroutine test on a loop of its own and sees what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

from tests.support.loops import Loop, new_loop

SECONDS = 30.0


class Leftovers(AssertionError):
    """A test passed but left tasks running or exceptions that nobody looked at."""


def run_async(
    test: Callable[..., Coroutine[Any, Any, None]],
    arguments: dict[str, Any],
    seconds: float = SECONDS,
    make_loop: Callable[[], Loop] = new_loop,
) -> None:
    """Run ``test(**arguments)``; fail on timeout, leaked tasks, lost exceptions."""
    complaints: list[str] = []

    def complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        complaints.append(describe(context))

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.get_loop().set_exception_handler(complain)
        leaked = runner.run(_watch(test, arguments, seconds))
    # Futures complain about an exception nobody looked at when they are collected.
    gc.collect()
    if leaked or complaints:
        raise Leftovers("\n".join([*leaked, *complaints]))


async def _watch(
    test: Callable[..., Coroutine[Any, Any, None]],
    arguments: dict[str, Any],
    seconds: float,
) -> list[str]:
    async with asyncio.timeout(seconds):
        await test(**arguments)
    # Tasks that were cancelled or are about to end get a moment to do so.
    for _ in range(10):
        if not _others():
            return []
        await asyncio.sleep(0)
    await asyncio.wait(_others(), timeout=0.2)
    return [f"leaked task: {task!r}" for task in _others()]


def _others() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


def describe(context: dict[str, Any]) -> str:
    """One line about what a loop complained of."""
    exception = context.get("exception")
    found = "" if exception is None else f": {exception!r}"
    subject = context.get("task") or context.get("future") or context.get("handle")
    where = "" if subject is None else f" in {subject!r}"
    return f"the loop says: {context.get('message')}{found}{where}"
