"""Channel: messages between the supervisor and one worker.

Lines of JSON on a socket that only the two of them have. The supervisor's end never
waits; that it was closed tells a worker that the supervisor is gone.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

__all__ = ["Channel", "pair"]

MAX_LINE = 4 << 20
"""Longest message in bytes: the metrics of one worker."""


def pair() -> tuple[Channel, socket.socket]:
    """Return the supervisor's end, and the socket for the worker."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return Channel(ours), theirs


class Channel:
    """The supervisor's end."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._input = bytearray()
        self._output = bytearray()
        self.is_open = True

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self._sock.fileno()

    def send(self, **message: Any) -> None:
        """Send a message, as far as there is room; the rest with the next one.

        A worker that takes nothing is found by its silence.
        """
        self._output += json.dumps(message).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what waits."""
        with contextlib.suppress(BlockingIOError):
            try:
                while self._output and self.is_open:
                    sent = self._sock.send(self._output)
                    del self._output[:sent]
            except BlockingIOError:
                raise
            except OSError:  # the worker has ended; its status says how
                self._output.clear()

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that came; ``is_open`` is false after the last."""
        while self.is_open:
            try:
                data = self._sock.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self._input += data
            self.is_open = bool(data) and len(self._input) <= MAX_LINE
        *lines, rest = bytes(self._input).split(b"\n")
        self._input = bytearray(rest)
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close it; nothing more is received."""
        self.is_open = False
        self._sock.close()
