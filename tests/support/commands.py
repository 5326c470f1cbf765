"""The ``longwire`` command as a process of its own, as users run it.

with running("demo", "--port", "0") as demo:
    uri = demo.url()
    ...
    assert demo.stop() == 0
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "src"
SECONDS = 20.0


def environment(**changes: str) -> dict[str, str]:
    """Our environment for a command: this tree's longwire, no terminal's habits."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PORT", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES")
        and not name.lower().endswith("_proxy")
    }
    path = os.pathsep.join(filter(None, [str(SOURCES), os.environ.get("PYTHONPATH")]))
    return {**inherited, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **changes}


def command(*arguments: str) -> list[str]:
    """Return the command line of ``longwire ARGUMENTS``."""
    return [sys.executable, "-m", "longwire", *arguments]


def run(
    *arguments: str, stdin: bytes = b"", seconds: float = SECONDS, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Run ``longwire ARGUMENTS`` with ``stdin`` to its end."""
    return subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        timeout=seconds,
        env=environment(**environ),
    )


class Running:
    """A command that goes on, with its output so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._changed = threading.Condition()
        self._output: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._output.append(line)
                self._changed.notify_all()
        with self._changed:
            self._output.append("")
            self._changed.notify_all()

    @property
    def output(self) -> str:
        """What it has printed, stdout and stderr together."""
        with self._changed:
            return "".join(self._output)

    def line_with(self, text: str, seconds: float = SECONDS) -> str:
        """Wait for a line with ``text`` in it and return the line."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: [line for line in self._output if text in line or not line],
                seconds,
            )
        if not found or not found[0]:
            raise AssertionError(f"no {text!r} in {self.output!r}")
        return found[0]

    def url(self) -> str:
        """Return the address that a server command says it listens at."""
        return self.line_with("listening on ").split()[-1]

    def stop(
        self, number: signal.Signals = signal.SIGTERM, seconds: float = SECONDS
    ) -> int:
        """Send a signal; return the exit status."""
        self.process.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds: float = SECONDS) -> int:
        """Wait for the end; return the exit status."""
        status = self.process.wait(seconds)
        self._reader.join(seconds)
        return status


@contextlib.contextmanager
def running(*arguments: str, **environ: str) -> Iterator[Running]:
    """Start ``longwire ARGUMENTS``; end it when the block ends, however it does."""
    process = subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(**environ),
    )
    started = Running(process)
    try:
        yield started
    finally:
        if process.poll() is None:
            process.kill()
        started.wait()
        process.stdout.close()  # type: ignore[union-attr]
