"""Slots: the places of workers, each with its sockets, from one process to the next."""

from __future__ import annotations

import socket
from collections.abc import Callable

from .process import Process, State
from .restarts import Restarts

__all__ = ["Slot"]


class Slot:
    """One place for a worker; ``bind`` makes its listening sockets."""

    def __init__(self, number: int, bind: Callable[[], list[socket.socket]]) -> None:
        self.number = number
        self.sockets: list[socket.socket] = []
        self.current: Process | None = None
        self.next: Process | None = None  # is to take the place of the current one
        self.restart_at: float | None = None
        self.restarts = 0
        self._bind = bind
        self._policy = Restarts()

    @property
    def is_open(self) -> bool:
        """Whether connections can queue for it."""
        return bool(self.sockets)

    @property
    def is_ready(self) -> bool:
        """Whether its worker takes connections."""
        return self.current is not None and self.current.state is State.READY

    def open(self) -> None:
        """Bind its sockets, if there are none. Raises OSError."""
        if not self.sockets:
            self.sockets = self._bind()

    def close(self) -> None:
        """Take no more connections: the system deals them to the other slots."""
        sockets, self.sockets = self.sockets, []
        for sock in sockets:
            sock.close()

    def died(self, now: float) -> float | None:
        """Its worker died: return in how many seconds the next starts, None for never.

        Then it is closed, for what queues here would never be answered.
        """
        delay = self._policy.died(now)
        if delay is None:
            self.close()
            return None
        self.restart_at = now + delay
        return delay

    def renew(self) -> None:
        """Begin anew with new code, also if it was closed. Raises OSError."""
        self.restart_at = None
        self._policy.forget()
        self.open()
