"""SIGINT and SIGTERM as an event, for commands that end in their own time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

__all__ = ["stopping"]


@contextlib.contextmanager
def stopping() -> Iterator[asyncio.Event]:
    """Give an event that the first SIGINT or SIGTERM sets; a second one ends us.

    Where the loop cannot handle signals, Ctrl-C stays a KeyboardInterrupt.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    handled: list[signal.Signals] = []

    def release() -> None:
        while handled:
            loop.remove_signal_handler(handled.pop())

    def on_signal() -> None:
        stop.set()
        release()

    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows' loops take no handlers: there Ctrl-C raises KeyboardInterrupt.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, on_signal)
            handled.append(number)
    try:
        yield stop
    finally:
        release()
