"""Waiting on trio: one value that another task brings."""

from __future__ import annotations

from typing import Any

import trio

__all__ = ["Waiter"]


class Waiter:
    """What one task waits for."""

    __slots__ = ("_error", "_event", "_result")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        """Whether there is something to be had."""
        return self._event.is_set()

    def set_result(self, result: Any) -> None:
        """Bring the value."""
        self._result = result
        self._event.set()

    def set_exception(self, exception: BaseException) -> None:
        """Bring an exception in its place."""
        self._error = exception
        self._event.set()

    async def wait(self) -> Any:
        """Wait until it is done; return the value, or raise the exception."""
        await self._event.wait()
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._result
