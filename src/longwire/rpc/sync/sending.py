"""Sending for threads: nothing is sent under the lock, and who reads never waits.

What is posted leaves when the lock is given back, if it leaves at once; else a thread
sends it, which ends when there is nothing left.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import ConnectionClosed
from ..callbacks import ERROR, log
from ..memory import size_of_frame

if TYPE_CHECKING:
    from .peer import Peer

__all__ = ["Outbox"]

_Sent = Callable[[], None]


class Outbox:
    """What goes out by one connection.

    ``size`` is the bytes that wait here, as memory takes them; they are counted in the
    table's ``holding``, too.
    """

    def __init__(self, peer: Peer) -> None:
        from longwire.sync import broadcast

        self._broadcast = broadcast
        self._peer = peer
        self._connection = peer.connection
        self._text = peer.wire.codec.is_text
        self._queue: collections.deque[tuple[bytes, _Sent | None]] = collections.deque()
        self._turn = threading.Lock()  # held by the thread that sends what is posted
        self._pump: threading.Thread | None = None
        self._is_over = False
        self.size = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be sent by `flush`."""
        return not self._queue or self._pump is not None

    def send(self, frame: bytes) -> None:
        """Send a frame, and wait while the peer is slow; without the lock.

        Raises ConnectionClosed when the connection has ended.
        """
        if self._leaves_now(frame):
            return
        size = size_of_frame(frame)
        with self._peer.guard:
            self._count(size)
        try:
            self._connection.send(frame, self._text)
        finally:
            with self._peer.guard:
                self._count(-size)
                self._peer.has_sent()

    def post(self, frame: bytes, sent: _Sent | None = None) -> None:
        """Send a frame after those before it, and wait for nothing; with the lock.

        ``sent`` is called, with the lock, when the connection has taken it, or never
        will: who reads learns of the end.
        """
        if self._is_over:
            if sent is not None:
                sent()
            return
        self._queue.append((frame, sent))
        self._count(size_of_frame(frame))

    def flush(self) -> None:
        """Send what was posted; without the lock."""
        while not self.is_empty:
            if not self._turn.acquire(blocking=False):
                return  # whoever has it goes on until nothing is left
            try:
                self._send_posted()
            finally:
                self._turn.release()

    def stop(self) -> None:
        """Drop what waits; with the lock."""
        self._is_over = True
        while self._queue:
            self._pop()

    def _leaves_now(self, frame: bytes) -> bool:
        """Send ``frame`` if there is room; return whether the connection has it."""
        if not self._connection.has_room:
            return False
        done = self._broadcast((self._connection,), frame, text=self._text)
        # It waits where another thread was faster and took the room.
        return bool(done.sent or done.waiting)

    def _send_posted(self) -> None:
        while not self.is_empty:
            try:
                frame, _ = self._queue[0]
            except IndexError:
                return  # dropped meanwhile
            if not self._leaves_now(frame):
                with self._peer.guard:
                    self._begin_to_pump()
                return
            with self._peer.guard:
                self._pop()

    def _begin_to_pump(self) -> None:
        if self._is_over or not self._queue:
            return
        pump = threading.Thread(
            target=self._send_kept, name="longwire-rpc sends", daemon=True
        )
        try:
            pump.start()
        except RuntimeError as exc:  # no more threads
            log(ERROR, "sending failed", exc_info=exc)
            self.stop()
            return
        self._pump = pump

    def _send_kept(self) -> None:
        """Send what waits, in a thread of its own, until nothing does."""
        try:
            while True:
                with self._peer.guard:
                    if not self._queue:
                        self._pump = None
                        return
                    frame, _ = self._queue[0]
                self._connection.send(frame, self._text)
                with self._peer.guard:
                    if self._queue:
                        self._pop()
        except ConnectionClosed:
            pass  # who reads learns of it
        except BaseException as exc:
            log(ERROR, "sending failed", exc_info=exc)
        with self._peer.guard:
            self._pump = None
            self.stop()

    def _pop(self) -> None:
        frame, sent = self._queue.popleft()
        self._count(-size_of_frame(frame))
        if sent is not None:
            sent()
        self._peer.has_sent()

    def _count(self, size: int) -> None:
        self.size += size
        self._peer.table.holding.hold(size)
