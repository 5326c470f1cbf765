"""Clock: the time of an asyncio event loop, moved by a test."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any, NoReturn, Self

__all__ = ["Clock"]

TURNS = 16
"""Turns of the loop that what is due, and what answers it, gets at each moment."""


class Clock:
    """The time of the running event loop, standing still until it is moved.

    ::

        async def test_a_silent_peer_is_given_up():
            with Clock() as clock:
                async with pair() as (client, server):
                    server.transport.pause_reading()
                    await clock.advance(60)
                    assert client.close_report.cause is Cause.KEEPALIVE

    Everything on the loop goes by it: keepalive, timeouts, ``asyncio.sleep()``. So a
    wait for something that never comes does not end by itself, whatever its timeout,
    the end of a block included. What was scheduled before the block, such as a time
    limit for the whole test, stands still until it has ended.
    Connections are to begin and end within the block; with sockets they use asyncio's
    transports there. Needs an event loop of asyncio's own: uvloop's time is its own.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._now = 0.0
        self._due: list[float] = []
        self._from_before: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        """Return the seconds it shows."""
        return self._now

    def __enter__(self) -> Self:
        """Take over the running loop's time, at what it shows now."""
        loop = asyncio.get_running_loop()
        known = getattr(loop, "__dict__", {})
        if "_scheduled" not in known:
            raise TypeError(
                f"the time of {type(loop).__name__} cannot be moved: run the test on "
                "asyncio's own event loop"
            )
        if "time" in known:
            raise RuntimeError("this event loop has a Clock already")
        self._loop, self._now = loop, loop.time()
        # asyncio's own heap of timers; there is no public way to make them wait.
        timers = known["_scheduled"]
        self._from_before, timers[:] = timers[:], []
        call_at = loop.call_at

        def noting(
            when: float, callback: Callable[..., Any], *args: Any, **kw: Any
        ) -> Any:
            heapq.heappush(self._due, when)
            return call_at(when, callback, *args, **kw)

        loop.time = self.time  # type: ignore[method-assign]
        loop.call_at = noting  # type: ignore[method-assign, assignment]
        return self

    async def __aenter__(self) -> NoReturn:
        """Raise TypeError: nothing is waited for."""
        raise TypeError("Clock() waits for nothing: write 'with Clock() as clock'")

    async def __aexit__(self, *exc_info: object) -> None:
        """Do nothing: no block is entered."""

    def __exit__(self, *exc_info: object) -> None:
        """Give the loop back its own time."""
        loop, self._loop = self._loop, None
        self._due.clear()
        if loop is not None:
            del loop.time, loop.call_at  # those of its class are found again
            timers = vars(loop)["_scheduled"]
            timers.extend(self._from_before)
            heapq.heapify(timers)

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass; return when what was due has been done.

        Stops at each moment for which something was scheduled, in order. ValueError for
        a negative number: time does not go back.
        """
        if self._loop is None:
            raise RuntimeError("the clock is not in use: write 'with Clock() as clock'")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            kind = type(seconds).__name__
            raise TypeError(f"seconds must be a number, not {kind}")
        if not seconds >= 0:
            raise ValueError(f"seconds is {seconds}; 0 or more are allowed")
        end = self._now + seconds
        await self._settle()
        while self._due and self._due[0] <= end:
            when = heapq.heappop(self._due)
            if when > self._now:
                self._now = when
                await self._settle()
        self._now = end
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
