"""The editions of the real library, and workers that run programs on one of them.

``python -m tests.differential.editions`` installs them below .tools/editions.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["EDITIONS", "LAST", "OURS", "Worker", "install", "installed"]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".tools" / "editions"
DRIVING = Path(__file__).resolve().parent / "driving"
ALIAS = ROOT / "conformance" / "dependents" / "alias"

EDITIONS = ("17.4", "13.1", "12.0", "10.4", "9.1")
LAST = EDITIONS[0]
OURS = "longwire"

Program = dict[str, Any]
Trace = list[dict[str, Any]]


def installed(edition: str) -> bool:
    return (FOLDER / edition / "websockets").is_dir()


def install() -> None:
    """Install each edition where it is not, into a folder of its own."""
    for edition in EDITIONS:
        if not installed(edition):
            command = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps"]
            command += ["--disable-pip-version-check", "--no-compile"]
            target = ["--target", str(FOLDER / edition)]
            subprocess.run([*command, *target, f"websockets=={edition}"], check=True)


class Worker:
    """A process that has one library, and runs one program after the other on it."""

    def __init__(self, library: str) -> None:
        self.library = library
        if library == OURS:
            paths = [str(ALIAS), str(ROOT / "src")]
        else:
            paths = [str(FOLDER / library)]
        if library == "9.1":
            paths.append("--as-python-3.9")
        self._process = subprocess.Popen(
            # Without site-packages, where another edition is.
            [sys.executable, "-S", "-W", "ignore", str(DRIVING / "worker.py"), *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def start(self, programs: list[Program]) -> None:
        """Hand in programs; ``traces`` gives what becomes of them."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(json.dumps(each) + "\n" for each in programs))
        self._process.stdin.flush()

    def trace(self) -> Trace:
        """Return the trace of the next program that was handed in."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of {self.library} has ended")
        trace: Trace = json.loads(line)
        return trace

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()


if __name__ == "__main__":
    install()
