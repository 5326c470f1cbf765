"""Sending: frames in order, and nobody who reads waits for it.

Two peers that each stop reading until the other one reads would both stop for ever. So
an answer given by the reader is sent at once where the connection takes it, and by a
task where it does not; the reader goes on, until too much is kept.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Callable, Generator
from typing import Any

from ..errors import ConnectionClosed, ConnectionClosedError
from .budget import Holding
from .callbacks import begin_later, log
from .memory import size_of_frame

__all__ = ["Outbox"]


_Waiting = tuple[bytes, asyncio.Future[None] | None]
_NOTHING: collections.deque[_Waiting] = collections.deque(maxlen=0)


class Outbox:
    """What goes out by one connection.

    ``size`` is the bytes that wait here, as memory takes them; they are counted in
    ``holding``, too. ``pump`` is the task that sends them, None where nothing waits.
    ``on_room`` is called when they have become fewer.
    """

    __slots__ = (
        "_as_text",
        "_connection",
        "_holding",
        "_loop",
        "_on_room",
        "_waiting",
        "pump",
        "size",
    )

    def __init__(
        self,
        connection: Any,
        is_text: bool,
        holding: Holding,
        on_room: Callable[[], None],
    ) -> None:
        self._connection = connection
        # bytes go out as Text on a wire of text.
        self._as_text = True if is_text else None
        self._holding = holding
        self._on_room = on_room
        self._loop = asyncio.get_running_loop()
        self._waiting: collections.deque[_Waiting] = _NOTHING
        self.pump: asyncio.Task[None] | None = None
        self.size = 0

    async def send(self, frame: bytes) -> None:
        """Send a frame after those before it; wait while the peer is slow.

        Raises ConnectionClosed when the connection has ended.
        """
        if self.pump is None:
            steps = self._connection.send(frame, self._as_text).__await__()
            for waited_for in steps:
                # It waits within the connection, and is kept as those here are.
                self._count(size_of_frame(frame))
                try:
                    await _Rest(steps, waited_for)
                finally:
                    self._count(-size_of_frame(frame))
                    self._on_room()
                return
            return
        sent: asyncio.Future[None] = self._loop.create_future()
        self._keep(frame, sent)
        await sent

    def post(self, frame: bytes) -> None:
        """Send a frame after those before it, and wait for nothing.

        When the connection has ended it is dropped: who reads learns of the end.
        """
        if self.pump is not None:
            self._keep(frame, None)
            return
        steps = self._connection.send(frame, self._as_text).__await__()
        try:
            # Mostly it is sent now, without a task (9 us each, bench/rpc.py), and
            # there is nothing to wait for: a loop, as StopIteration costs, too.
            for waited_for in steps:
                # An empty deque takes 740 bytes, and most connections never come here.
                self._waiting = collections.deque()
                rest = _Rest(steps, waited_for)
                self.pump = begin_later(self._send_kept(rest), self._loop)
                self.pump.add_done_callback(self._pumped)
                return
        except ConnectionClosed:
            return

    def stop(self) -> asyncio.Task[None] | None:
        """Send nothing more; return the task that ends with it, if there is one."""
        pump = self.pump
        if pump is not None:
            pump.cancel()
        return pump

    def _keep(self, frame: bytes, sent: asyncio.Future[None] | None) -> None:
        self._waiting.append((frame, sent))
        self._count(size_of_frame(frame))

    def _count(self, size: int) -> None:
        self.size += size
        self._holding.hold(size)

    async def _send_kept(self, rest: _Rest) -> None:
        await rest
        while self._waiting:
            frame, sent = self._waiting[0]
            if sent is None or not sent.done():  # who waited for it may have given up
                await self._connection.send(frame, self._as_text)
            self._waiting.popleft()
            self._count(-size_of_frame(frame))
            if sent is not None and not sent.done():
                sent.set_result(None)
            self._on_room()
        self.pump = None

    def _pumped(self, pump: asyncio.Task[None]) -> None:
        """The task has ended, if it ever began: what it did not send is not sent."""
        if self.pump is not pump:
            return
        # We leave the connection, whether it has ended or not.
        end = None if pump.cancelled() else pump.exception()
        if not isinstance(end, ConnectionClosed):
            if end is not None:
                log(logging.ERROR, "sending failed", exc_info=end)
            end = ConnectionClosedError()
        self.pump = None
        for frame, sent in self._waiting:
            if sent is not None and not sent.done():
                sent.set_exception(end)
            self._count(-size_of_frame(frame))
        self._waiting = _NOTHING
        self._on_room()


class _Rest:
    """The rest of an ``await`` whose first step was made outside of it."""

    __slots__ = ("_steps", "_waited_for")

    def __init__(self, steps: Generator[Any, Any, None], waited_for: Any) -> None:
        self._steps = steps
        self._waited_for = waited_for

    def __await__(self) -> Generator[Any, Any, None]:
        steps, waited_for = self._steps, self._waited_for
        while True:
            step: Callable[[Any], Any]
            argument: Any
            try:
                argument = yield waited_for
                step = steps.send
            except BaseException as exc:
                step, argument = steps.throw, exc
            try:
                waited_for = step(argument)
            except StopIteration:
                return
