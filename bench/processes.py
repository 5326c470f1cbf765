"""The processes of a measurement: servers, the load, clients; each on its own core.

A name is LIBRARY[@uvloop]; `c` is the reference server. `longwire-transport` is
longwire without its native engine, `longwire-pure` without its compiled modules,
`longwire-zlib` without zlib-ng, which is there; `longwire-fast` has compression="fast".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from floor import Floor

HERE = Path(__file__).resolve().parent
SRC = HERE.parent / "src"
VARIANTS = {
    "longwire-pure": {"LONGWIRE_PURE": "1"},
    "longwire-transport": {"LONGWIRE_ENGINE": "transport"},
    # These two are for servers.py.
    "longwire-zlib": {"BENCH_COMPRESSION": "zlib"},
    "longwire-fast": {"BENCH_COMPRESSION": "fast"},
}
CHOOSING = {key for variables in VARIANTS.values() for key in variables}
Figures = dict[str, float]
Results = dict[str, Figures]  # of one scenario, by server


class Failed(Exception):
    """A program did not do its work; the message is the last line of its errors."""


def cores() -> tuple[int, int]:
    """The core of what is measured, and that of the rest; they may be one."""
    found = sorted(os.sched_getaffinity(0))
    return found[0], found[-1]


def environment(name: str) -> dict[str, str]:
    """The variables that choose the variant of ``name``."""
    own = VARIANTS.get(name.partition("@")[0], {})
    paths = [str(SRC), os.environ.get("PYTHONPATH", "")]
    # What chooses a variant is not inherited: plain `longwire` is always the same.
    rest = {key: value for key, value in os.environ.items() if key not in CHOOSING}
    return {**rest, **own, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def library(name: str) -> str:
    """``name`` as servers.py and clients.py know it."""
    base, at, loop = name.partition("@")
    return ("longwire" if base in VARIANTS else base) + at + loop


def spawn(
    command: list[str], core: int, name: str = "", stdin: int | None = None
) -> subprocess.Popen[str]:
    """Start a program on one core."""
    return subprocess.Popen(
        ["taskset", "--cpu-list", str(core), *command],
        stdin=stdin if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(name),
    )


def last_line(process: subprocess.Popen[str]) -> str:
    """End the program and return the last line of its errors."""
    process.kill()
    _, errors = process.communicate()
    lines = errors.strip().splitlines()
    return lines[-1] if lines else f"status {process.returncode}, no message"


class Server:
    """A server's process: ``pid``, ``port``, CPU and memory; end it by ``stop()``."""

    def __init__(
        self,
        name: str,
        floor: Floor,
        mode: str = "echo",
        *,
        tls: Path | None = None,
        deflate: bool = False,
        keepalive: int = 0,
        core: int | None = None,
        behind: Sequence[str] = (),
    ) -> None:
        """Start it; ``behind`` is a command that runs it, such as valgrind's."""
        self.name = name
        if name == "c":
            command = [str(floor.server), f"mode={mode}"]
            command += [f"tls={tls}"] if tls else []
            command += ["deflate=1"] if deflate else []
            command += [f"keepalive={keepalive}"] if keepalive else []
        else:
            command = [sys.executable, str(HERE / "servers.py"), library(name), mode]
            command += ["--tls", str(tls)] if tls else []
            command += ["--keepalive", str(keepalive)] if keepalive else []
        command = [*behind, *command]
        self._process = spawn(command, cores()[0] if core is None else core, name)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(last_line(self._process))
        self.port = int(line)
        self.pid = self._process.pid

    def memory(self) -> int:
        """Return the bytes of memory that belong to the process alone."""
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            rows = dict(line.split(":", 1) for line in list(file)[1:])
        private = ("Private_Clean", "Private_Dirty")
        return sum(int(rows[name].split()[0]) * 1024 for name in private)

    def cpu(self) -> float:
        """Return the seconds of CPU that the process has used, kernel included."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def end(self) -> str:
        """Ask it to end; return what it has written to standard error."""
        self._process.terminate()
        return self._process.communicate()[1]


def arguments(options: Mapping[str, object]) -> list[str]:
    return [f"{name}={value}" for name, value in options.items()]


def run_load(floor: Floor, options: Mapping[str, object]) -> list[Figures]:
    """Run the load generator; return the figures of its measurements."""
    command = [str(floor.load), *arguments(options)]
    return finish(spawn(command, cores()[1]))


def run_client(name: str, options: Mapping[str, object]) -> list[Figures]:
    """Run the client of a library as clients.py; return what it measured."""
    program = [sys.executable, str(HERE / "clients.py"), library(name)]
    return finish(spawn([*program, *arguments(options)], cores()[1], name))


def finish(process: subprocess.Popen[str]) -> list[Figures]:
    try:
        output, errors = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        raise Failed(f"not done in 120 s: {last_line(process)}") from None
    if process.returncode:
        raise Failed((errors.strip().splitlines() or ["no message"])[-1])
    return [json.loads(line) for line in output.splitlines()]


class Idle:
    """Connections that are open and do nothing, in a load generator's process."""

    def __init__(self, floor: Floor, options: Mapping[str, object]) -> None:
        command = [str(floor.load), *arguments({"mode": "idle", **options})]
        self._process = spawn(command, cores()[1], stdin=subprocess.PIPE)
        self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(last_line(self._process))
        answer: dict[str, Any] = json.loads(line)
        return answer

    def use(self) -> None:
        """Exchange one message on each connection."""
        assert self._process.stdin is not None
        self._process.stdin.write("use\n")
        self._process.stdin.flush()
        self._answer()

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()
