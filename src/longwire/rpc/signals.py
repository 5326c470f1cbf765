"""Signals: places to hang metrics and logs on; costs nothing while nobody listens."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from .callbacks import STOPS, as_coroutine, begin_later, cannot_await, log

__all__ = ["Signal", "Signals"]

_MOST_TASKS = 100
"""Receivers that may be at work in tasks of their own before calls wait for them."""


class Signal:
    """Functions that are called when something happens, plain or async.

    Truthy while there are any. What one of them raises is logged and stops nothing.
    """

    __slots__ = ("_changed", "_receivers", "awaits", "name", "tasks")

    def __init__(self, name: str, changed: Callable[[], None] | None = None) -> None:
        self.name = name
        self._changed = changed
        self._receivers: list[Callable[..., object]] = []
        self.awaits = True  # whether receivers may be async
        # Async receivers that are at work.
        self.tasks: set[asyncio.Task[Any]] = set()

    def connect(self, receiver: Callable[..., object]) -> Callable[..., object]:
        """Call ``receiver`` from now on; returns it, so that it may decorate."""
        if not callable(receiver):
            kind = type(receiver).__name__
            raise TypeError(f"{self.name}: a receiver must be callable, not {kind}")
        self._check(receiver)
        self._receivers.append(receiver)
        if self._changed is not None:
            self._changed()
        return receiver

    def _check(self, receiver: object) -> None:
        if not self.awaits and inspect.iscoroutinefunction(receiver):
            raise TypeError(f"{self.name}: a receiver must be a plain function here")

    def only_plain(self) -> None:
        """Take plain functions only: raise TypeError for another, now and later."""
        self.awaits = False
        for receiver in self._receivers:
            self._check(receiver)

    def disconnect(self, receiver: Callable[..., object]) -> None:
        """Call ``receiver`` no more; ValueError if it was not called before."""
        self._receivers.remove(receiver)
        if self._changed is not None:
            self._changed()

    def send(self, *args: Any) -> None:
        """Call all of them; those that are async go on in tasks of their own."""
        for waiting in self._called(args):
            self._in_task(waiting)

    async def send_and_wait(self, *args: Any) -> None:
        """Call all of them, one after the other; return when the last has ended."""
        tasks = [self._in_task(waiting) for waiting in self._called(args)]
        if tasks:
            await asyncio.wait(tasks)

    async def catch_up(self) -> None:
        """Wait while too many async receivers are at work."""
        # Those of other loops, where one server has several, are their business.
        loop = asyncio.get_running_loop()
        while len(self.tasks) > _MOST_TASKS:
            tasks = [task for task in list(self.tasks) if task.get_loop() is loop]
            if len(tasks) <= _MOST_TASKS:
                return
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    def _called(self, args: tuple[Any, ...]) -> list[Awaitable[Any]]:
        """Call all of them; return what those that are async have to be awaited for."""
        waiting: list[Awaitable[Any]] = []
        for receiver in list(self._receivers):
            try:
                result = receiver(*args)
            except STOPS:
                raise
            except BaseException as exc:
                self._failed(exc)
                continue
            if inspect.isawaitable(result):
                if self.awaits:
                    waiting.append(result)
                else:
                    self._failed(cannot_await(result, "a receiver"))
        return waiting

    def _in_task(self, waiting: Awaitable[Any]) -> asyncio.Task[Any]:
        task = begin_later(as_coroutine(waiting), asyncio.get_running_loop())
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failed(task.exception())

    def _failed(self, exc: BaseException | None) -> None:
        text = "a receiver of the signal %s failed"
        log(logging.ERROR, text, self.name, exc_info=exc)

    def __bool__(self) -> bool:
        return bool(self._receivers)


class Signals:
    """What a server or a client tells: each attribute is a :class:`Signal`.

    ===================  ==========================================================
    ``opened``           ``(peer)``: a connection is open
    ``closed``           ``(peer, report)``: it has ended; report: its CloseReport
    ``call_started``     ``(call)``: a call of the peer's begins, a :class:`Call`
    ``call_ended``       ``(call, seconds)``: it was carried out
    ``call_failed``      ``(call, seconds, error)``: it was not; the exception
    ===================  ==========================================================

    Receivers may be async. Those of ``opened`` have ended before the first call is
    taken, those of ``closed`` before the connection's handler returns; those of calls
    run beside them.
    """

    def __init__(self) -> None:
        self.opened = Signal("opened")
        self.closed = Signal("closed")
        self.call_started = Signal("call_started", self._look)
        self.call_ended = Signal("call_ended", self._look)
        self.call_failed = Signal("call_failed", self._look)
        # Whether anybody wants to know of calls; asked at each of them.
        self.times_calls = False

    def only_plain(self) -> None:
        """Take plain functions only: raise TypeError for another, now and later."""
        for signal in (
            *(self.opened, self.closed),
            *(self.call_started, self.call_ended, self.call_failed),
        ):
            signal.only_plain()

    def _look(self) -> None:
        self.times_calls = bool(
            self.call_started or self.call_ended or self.call_failed
        )

    async def catch_up(self) -> None:
        """Wait while too many async receivers of calls are at work."""
        for signal in (self.call_started, self.call_ended, self.call_failed):
            await signal.catch_up()
