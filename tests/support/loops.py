"""Event loops of every sort that longwire is to run on, by name.

A test module whose tests are to run on each has::

    @pytest.fixture(params=list(LOOPS), autouse=True)
    def make_loop(request):
        return LOOPS[request.param]
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from tests.support.needs import needs

Loop = asyncio.AbstractEventLoop


def debugging() -> Loop:
    """asyncio with all its checks, as PYTHONASYNCIODEBUG=1 makes it."""
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


def eager() -> Loop:
    """asyncio with tasks that begin where they are made."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    return loop


def in_python() -> Loop:
    """asyncio with the tasks that are written in Python."""

    def make_task(loop: Loop, coro: Any, **options: Any) -> Any:
        return asyncio.tasks._PyTask(coro, loop=loop, **options)  # type: ignore[attr-defined]

    loop = asyncio.new_event_loop()
    loop.set_task_factory(make_task)
    return loop


def uvloops() -> Loop:
    """uvloop, or the test is left out."""
    needs("uvloop")
    import uvloop

    return uvloop.new_event_loop()


LOOPS: dict[str, Callable[[], Loop]] = {
    "asyncio": asyncio.new_event_loop,
    "debug": debugging,
    "uvloop": uvloops,
    "python-tasks": in_python,
}
if hasattr(asyncio, "eager_task_factory"):
    LOOPS["eager"] = eager

PLAIN = ("asyncio", "uvloop")
"""The two that differ in how descriptors are watched."""


def new_loop() -> Loop:
    """Return a loop of the sort that LONGWIRE_TEST_LOOP names, asyncio's without it."""
    return LOOPS[os.environ.get("LONGWIRE_TEST_LOOP") or "asyncio"]()
