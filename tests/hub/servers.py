"""Servers of brokers that a test starts for itself, and may hurt."""

from __future__ import annotations

import abc
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.support.needs import needs
from tests.support.ports import free_port


class BrokerServer(abc.ABC):
    """A process with a port and a folder of its own.

    ``data`` names the files in it that have what is stored.
    """

    program: str
    scheme: str
    data: tuple[str, ...]

    def __init__(self, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.options = options
        self.folder = tempfile.mkdtemp(prefix=f"hub-{self.scheme}-")
        self.process: subprocess.Popen[bytes] | None = None
        self.is_stopped = False
        self.host = "127.0.0.1"
        self.prefix: tuple[str, ...] = ()
        """What comes before its command, to run it somewhere else."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @classmethod
    def url_at(cls, port: int) -> str:
        return f"{cls.scheme}://127.0.0.1:{port}"

    def move_to(self, host: str, prefix: tuple[str, ...]) -> Self:
        """Have it listen at another address, which ``prefix`` runs it at."""
        self.host, self.prefix = host, prefix
        return self

    @abc.abstractmethod
    def arguments(self) -> list[str]:
        """What the program is started with."""

    @abc.abstractmethod
    def answers(self) -> bool:
        """Whether it can be used; may raise OSError."""

    def launch(self, *arguments: str) -> Self:
        """Start it, and wait for nothing."""
        program = needs(self.program)
        command = [*self.prefix, program, *(arguments or self.arguments())]
        with Path(self.folder, "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self

    def wait(self, seconds: float = 20.0) -> Self:
        """Wait until it answers."""
        return self._wait_until(self.answers, seconds)

    def wait_for_port(self) -> Self:
        """Wait until it listens: who it is for, and by what, is the test's affair."""
        return self._wait_until(self._listens, 20.0)

    def _listens(self) -> bool:
        socket.create_connection((self.host, self.port), 5).close()
        return True

    def _wait_until(self, holds: Callable[[], bool], seconds: float) -> Self:
        until = time.monotonic() + seconds
        while True:
            try:
                if holds():
                    return self
            except (OSError, ValueError):
                pass
            if time.monotonic() > until:
                log = Path(self.folder, "log").read_text(errors="replace")
                raise TimeoutError(f"{self.program} does not answer:\n{log[-2000:]}")
            time.sleep(0.02)

    def start(self) -> Self:
        return self.launch().wait()

    # --- what may happen to it ---------------------------------------------------

    def kill(self) -> None:
        """End it at once, as a power failure of its process."""
        if self.process is not None:
            if self.is_stopped:
                self.resume()
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self, *, empty: bool = False) -> None:
        self.kill()
        if empty:
            self.erase()
        self.start()

    def stop(self) -> None:
        """Freeze it: its sockets stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)
        self.is_stopped = True

    def resume(self) -> None:
        self._signal(signal.SIGCONT)
        self.is_stopped = False

    def _signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    # --- what it has stored, while it does not run -------------------------------

    def save(self) -> str:
        """Return a copy, as a backup."""
        copy = tempfile.mkdtemp(dir=self.folder)
        _copy(self.data, self.folder, copy)
        return copy

    def restore(self, copy: str) -> None:
        self.erase()
        _copy(self.data, copy, self.folder)

    def erase(self) -> None:
        for name in self.data:
            path = Path(self.folder, name)
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()


def _copy(names: tuple[str, ...], source: str, target: str) -> None:
    for name in names:
        path = Path(source, name)
        if path.is_dir():
            shutil.copytree(path, Path(target, name))
        elif path.exists():
            shutil.copy(path, Path(target, name))
