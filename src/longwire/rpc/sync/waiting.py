"""Waiting for threads: one value that another thread brings."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["Waiter"]


class Waiter:
    """What one thread waits for; the others hold the lock of the settings."""

    __slots__ = ("_error", "_is_done", "_ready", "_result")

    def __init__(self) -> None:
        self._is_done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._ready = threading.Lock()
        self._ready.acquire()

    def done(self) -> bool:
        """Whether there is something to be had."""
        return self._is_done

    def set_result(self, result: Any) -> None:
        """Bring the value."""
        self._result = result
        self._is_done = True
        self._ready.release()

    def set_exception(self, exception: BaseException) -> None:
        """Bring an exception in its place."""
        self._error = exception
        self._is_done = True
        self._ready.release()

    def wait(self, seconds: float | None) -> bool:
        """Wait until it is done; return False if ``seconds`` pass first."""
        if self._is_done:
            return True
        if seconds is None:
            return self._ready.acquire()
        most = threading.TIMEOUT_MAX
        return self._ready.acquire(timeout=min(max(seconds, 0.0), most))

    def result(self) -> Any:
        """Return the value, or raise the exception."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._result
