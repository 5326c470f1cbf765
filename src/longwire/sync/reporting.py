"""Reports: the log of threads that many connections share.

The helper, and the thread that accepts, may not wait for a handler of the log: it may
block, or send by the very connection that they serve. What they have to say another
thread says, which is there as long as there is something to say.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ["MOST", "report"]

MOST = 10_000
"""Reports that may wait while a handler of the log blocks; more are dropped."""
_IDLE = 1.0
"""Seconds that the thread waits for more before it ends."""


class _Reporter:
    """Calls what it is given, one after the other, in a thread of its own."""

    def __init__(self) -> None:
        # No part of both is Python, which a signal may interrupt halfway.
        self._lock = threading.Lock()
        self._calls: SimpleQueue[tuple[Callable[..., object], Any]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ends = False

    def add(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Have ``call`` called soon."""
        if self._calls.qsize() >= MOST:
            return
        self._calls.put((call, args))
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="longwire log", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:
                    return  # there are too many threads: with the next report
                self._thread = thread

    def _run(self) -> None:
        while True:
            try:
                call, args = self._calls.get(timeout=0 if self._ends else _IDLE)
            except Empty:
                with self._lock:
                    if self._calls.empty():
                        self._thread = None
                        return
                continue
            with contextlib.suppress(Exception):
                call(*args)
            del call, args

    def finish(self) -> None:
        """Wait until all is said, or for a second."""
        thread, self._ends = self._thread, True
        if thread is not None:
            self._calls.put((int, ()))  # wakes it
            thread.join(1)


_reporter = _Reporter()


def report(call: Callable[..., object], *args: Any) -> None:
    """Call ``call(*args)``, which logs, in a thread that may wait for that."""
    _reporter.add(call, args)


def _begin_anew() -> None:
    """In a child process: what the parent's threads had to say is the parent's."""
    global _reporter
    _reporter = _Reporter()


atexit.register(lambda: _reporter.finish())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
