"""Channel: messages between the supervisor and one worker.

Lines of JSON on a socket that only the two of them have. The supervisor's end never
waits; that it was closed tells a worker that the supervisor is gone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from typing import Any

__all__ = ["MAX_LINE", "Channel", "pair"]

logger = logging.getLogger("longwire.workers")

MAX_LINE = 4 << 20
"""Longest message in bytes: the metrics of one worker. It leaves out longer ones."""


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
        self._size = 0  # of the line that has begun
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

    @property
    def is_blocked(self) -> bool:
        """Whether messages wait because the worker takes none."""
        return bool(self._output)

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
        """Return the messages that came; ``is_open`` is false after the last.

        What is no message, or longer than `MAX_LINE`, is left out.
        """
        messages = []
        most = MAX_LINE  # a worker that never stops must not hold us up
        while self.is_open and most > 0:
            try:
                data = self._sock.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self.is_open = bool(data)
            most -= len(data)
            *lines, rest = data.split(b"\n")
            for line in lines:
                self._add(line)
                messages += self._take_line()
            self._add(rest)
        return messages

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MAX_LINE:
            self._input.clear()
        else:
            self._input += part

    def _take_line(self) -> list[dict[str, Any]]:
        """Return the message of the line that is complete now, if it is one."""
        line, size = bytes(self._input), self._size
        self._input.clear()
        self._size = 0
        if size <= MAX_LINE:
            with contextlib.suppress(ValueError, RecursionError):
                message = json.loads(line)
                if isinstance(message, dict):
                    return [message]
        logger.warning("a worker said %d bytes that are no message", size)
        return []

    def close(self) -> None:
        """Close it; nothing more is received."""
        self.is_open = False
        self._sock.close()
