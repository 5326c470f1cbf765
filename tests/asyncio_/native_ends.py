"""Native wires on pairs of sockets, with an owner that writes down what it is told."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Callable
from typing import Any

from longwire.asyncio import native


class Owner:
    """What belongs to a wire and does nothing but remember."""

    def __init__(self, on_data: Callable[[bytes], None] | None = None) -> None:
        self.received = b""
        self.told: list[Any] = []
        self._on_data = on_data

    def wire_made(self) -> None:
        self.told.append("made")

    def feed(self, data: bytes) -> None:
        self.received += data
        if self._on_data is not None:
            self._on_data(data)

    def eof(self) -> None:
        self.told.append("eof")

    def lost(self, exc: BaseException | None) -> None:
        self.told.append(("lost", exc))

    def write_paused(self) -> None:
        self.told.append("paused")

    def peer_left(self) -> None:
        pass

    def write_resumed(self) -> None:
        self.told.append("resumed")


class Wire(native.Wire):
    """A wire whose owner is told of bytes in Python."""

    def shorten(self) -> None:
        pass


def wire(owner: Owner, small: bool = False) -> tuple[Wire, socket.socket]:
    """Return a wire on the running loop, switched to ``owner``, and the other end.

    ``small`` gives both ends as little room in the kernel as it allows.
    """
    ours, theirs = socket.socketpair()
    if small:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for end in (ours, theirs):
        end.setblocking(False)
    made = Wire(owner, asyncio.get_running_loop(), ours.detach(), None)
    made.switch()
    return made, theirs


def descriptors() -> int:
    """Return how many descriptors are open, with nothing that only waits to go."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def turns(count: int = 5) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)
