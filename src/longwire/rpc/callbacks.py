"""Callbacks: functions of an application that are told something.

Plain or async; whatever they raise is logged and stops nothing.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

__all__ = [
    "ERROR",
    "INFO",
    "STOPS",
    "WARNING",
    "as_coroutine",
    "begin",
    "begin_later",
    "cannot_await",
    "log",
    "tell",
]

logger = logging.getLogger("longwire.rpc")

INFO, WARNING, ERROR = logging.INFO, logging.WARNING, logging.ERROR

STOPS = (KeyboardInterrupt, SystemExit)
"""What a program is ended by: never caught."""


def log(level: int, text: str, *args: object, **options: Any) -> None:
    """Write a line to the log, if that works at all.

    A filter or a handler of the application may raise, and so may the ``__str__`` of
    what is logged: no answer must depend on that.
    """
    try:
        logger.log(level, text, *args, **options)
    except STOPS:
        raise
    except BaseException:
        try:
            logger.log(level, "an error could not be logged: the log itself failed")
        except STOPS:
            raise
        except BaseException:
            return


def cannot_await(awaitable: object, what: str) -> TypeError:
    """Return the exception for what would have to be awaited, and nobody can."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
    kind = type(awaitable).__name__
    return TypeError(f"{what} returned a {kind}; only plain functions are called here")


async def tell(
    function: Callable[..., Any], *args: Any, what: str, timeout: float
) -> None:
    """Call ``function``, wait for it if it is async, and log what it raises."""
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        waiting = function(*args)
        if inspect.isawaitable(waiting):
            async with asyncio.timeout(timeout):
                await waiting
    except STOPS:
        raise
    except BaseException as exc:
        is_cancelled = isinstance(exc, asyncio.CancelledError)
        if is_cancelled and task is not None and task.cancelling() > before:
            raise  # it is we who are to end, not what we awaited
        log(logging.ERROR, "%s failed", what, exc_info=exc)


if sys.version_info >= (3, 12):

    def begin(
        coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop
    ) -> asyncio.Task[Any]:
        """Begin a task at once: what has nothing to wait for ends without a turn."""
        return asyncio.Task(coroutine, loop=loop, eager_start=True)

else:

    def begin(
        coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop
    ) -> asyncio.Task[Any]:
        """Begin a task in the loop's next turn."""
        return asyncio.Task(coroutine, loop=loop)


def begin_later(
    coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop
) -> asyncio.Task[Any]:
    """Begin a task in the loop's next turn, whatever factory of tasks the loop has.

    Where one task begins another as it ends, a thousand in a row would be nested.
    """
    return asyncio.Task(coroutine, loop=loop)


async def as_coroutine(awaitable: Awaitable[Any]) -> Any:
    """Return the result of any awaitable: only coroutines can be tasks."""
    return await awaitable
