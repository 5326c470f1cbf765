"""Process: one worker as the supervisor sees it."""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from . import channel, notify
from .settings import Settings

__all__ = ["CANNOT_SPAWN", "Process", "State"]

CANNOT_SPAWN = (OSError, MemoryError, subprocess.SubprocessError)
"""What is raised where the system has no room for a process, or no interpreter."""


class State(enum.Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    READY = "ready"
    ENDING = "ending"


class Process:
    """A worker process of the slot ``slot``, started at ``now``.

    ``sockets`` are those of its slot; they stay the supervisor's. Raises one of
    `CANNOT_SPAWN`, and nothing is left behind then.
    """

    def __init__(
        self,
        slot: int,
        settings: Settings,
        sockets: Sequence[socket.socket],
        now: float,
    ) -> None:
        self.slot = slot
        self.state = State.STARTING
        self.started_at = self.last_beat = now
        self.kill_at: float | None = None
        self.connections = 0
        self.failure: str | None = None
        self.is_leaving = False  # somebody told it to end
        self.drains = False
        self.lacks_metrics = False
        self.channel, theirs = channel.pair()
        descriptors = [sock.fileno() for sock in sockets]
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in notify.VARIABLES
        }
        command = [sys.executable, "-m", "longwire.workers.worker"]
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(self.channel.close)
            self._popen = subprocess.Popen(
                [*command, str(theirs.fileno())],
                pass_fds=[theirs.fileno(), *descriptors],
                env=environment,
                stdin=subprocess.DEVNULL,
            )
            undo.pop_all()
        self.channel.send(slot=slot, sockets=descriptors, settings=settings.to_json())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def __str__(self) -> str:
        return f"worker {self.slot} [{self.pid}]"

    def status(self) -> int | None:
        """Return the exit status once it has ended; a signal's is negative."""
        return self._popen.poll()

    def ended_how(self) -> str:
        """Return in words how it ended."""
        status = self._popen.returncode
        if status is None or status >= 0:
            return f"exit status {status}"
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"

    def drain(self, code: int, listen: bool, kill_at: float) -> None:
        """Have it close its connections, by ``kill_at`` at the latest."""
        self.state = State.ENDING
        self.drains = True
        # One that hangs has less time already.
        self.kill_at = kill_at if self.kill_at is None else min(kill_at, self.kill_at)
        self.channel.send(do="drain", code=code, listen=listen)

    def cut(self, kill_at: float) -> None:
        """Have it end without waiting for anybody."""
        self.kill_at = kill_at
        self.channel.send(do="cut")

    def ask_for_metrics(self, number: int) -> None:
        """Ask for its metrics; the answer comes by the channel."""
        if not self.channel.is_blocked:
            self.channel.send(do="metrics", id=number)

    def abort(self, kill_at: float) -> None:
        """End it with a traceback in the log of what it is doing."""
        self.state = State.ENDING
        self.kill_at = kill_at
        self._popen.send_signal(signal.SIGABRT)

    def kill(self) -> None:
        """End it now."""
        self.state = State.ENDING
        self._popen.kill()

    def wait(self) -> None:
        """Wait for its end."""
        self._popen.wait()

    def receive(self) -> list[dict[str, Any]]:
        """Return what it said."""
        return self.channel.receive()
