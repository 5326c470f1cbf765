"""Sending on trio: frames in order, and nobody who reads waits for it."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import trio

from ...errors import ConnectionClosed, ConnectionClosedError
from ..callbacks import ERROR, log
from ..memory import size_of_frame
from .waiting import Waiter

if TYPE_CHECKING:
    from .peer import Peer

__all__ = ["Outbox"]


class Outbox:
    """What goes out by one connection.

    A task sends what does not leave at once, in order. ``size`` is the bytes that wait
    here, as memory takes them; they are counted in the table's ``holding``, too.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._connection = peer.connection
        self._text = peer.wire.codec.is_text
        self._queue: collections.deque[tuple[bytes, Waiter | None]]
        self._queue = collections.deque()
        self._more = trio.Event()
        self._is_over = False
        self.size = 0

    async def send(self, frame: bytes) -> None:
        """Send a frame after those before it; wait while the peer is slow.

        Raises ConnectionClosed when the connection has ended.
        """
        sent = Waiter()
        self.post(frame, sent)
        await sent.wait()

    def post(self, frame: bytes, sent: Waiter | None = None) -> None:
        """Send a frame after those before it, and wait for nothing.

        When the connection has ended it is dropped: who reads learns of the end.
        """
        if self._is_over:
            if sent is not None:
                sent.set_exception(self._error())
            return
        self._queue.append((frame, sent))
        self._count(size_of_frame(frame))
        self._more.set()

    async def run(self) -> None:
        """Send what is posted, until the connection has ended."""
        try:
            while True:
                await self._more.wait()
                self._more = trio.Event()
                while self._queue:
                    frame, sent = self._queue[0]
                    await self._connection.send(frame, self._text)
                    self._pop(sent)
        except ConnectionClosed:
            pass  # who reads learns of it
        except Exception as exc:
            log(ERROR, "sending failed", exc_info=exc)
        finally:
            self.stop()

    def stop(self) -> None:
        """Send nothing more."""
        self._is_over = True
        while self._queue:
            frame, sent = self._queue.popleft()
            self._count(-size_of_frame(frame))
            if sent is not None and not sent.done():
                sent.set_exception(self._error())
        self._peer.has_sent()

    def _pop(self, sent: Waiter | None) -> None:
        if not self._queue:
            return  # stopped meanwhile
        frame, _ = self._queue.popleft()
        self._count(-size_of_frame(frame))
        if sent is not None:
            sent.set_result(None)
        self._peer.has_sent()

    def _error(self) -> ConnectionClosed:
        return ConnectionClosedError(None, None, None, self._peer.close_report)

    def _count(self, size: int) -> None:
        self.size += size
        self._peer.table.holding.hold(size)
