"""Counts what an operation costs a server: its instructions, and its system calls.

Neither depends on how busy the machine is, as CPU does. Each count is that of a long
load less that of a short one, by the operations that the long one has more: what it
takes to start and to open the connections falls out. Instructions are those of user
space, by callgrind; system calls are counted by the kernel's tracepoints, through perf.
A count is left out where its program is not there or may not do it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from floor import Floor
from processes import Failed, Server, arguments, run_load

SHORT, LONG = 0.2, 0.8
"""Seconds that the two loads last."""
PATIENCE = 60
"""Seconds that a server under valgrind may say nothing: it takes 50 times as long."""


def system_calls(server: Server, floor: Floor, load: dict[str, Any]) -> float | None:
    """System calls of ``server`` for each operation of ``load``; None: not counted."""
    perf = shutil.which("perf")
    if perf is None:
        return None
    found = []
    for seconds in (SHORT, LONG):
        with tempfile.NamedTemporaryFile("r") as counted:
            watch = [perf, "stat", "-x,", "-e", "raw_syscalls:sys_enter"]
            watch += ["-p", str(server.pid), "-o", counted.name, "--"]
            done = subprocess.run(
                [*watch, str(floor.load), *arguments(options(server, load, seconds))],
                capture_output=True,
                text=True,
                check=False,
            )
            number = re.search(r"^(\d+),", counted.read(), re.MULTILINE)
        if done.returncode or number is None:
            return None
        found.append((operations(done.stdout), int(number[1])))
    return per_operation(found)


def instructions(
    start: Callable[[list[str]], Server], floor: Floor, load: dict[str, Any]
) -> float | None:
    """Instructions of a server for each operation of ``load``; None: no such count.

    ``start`` starts one behind the command that it is given.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    found = []
    for seconds in (SHORT, LONG):
        with tempfile.TemporaryDirectory() as folder:
            command = [valgrind, "--tool=callgrind", "--trace-children=no"]
            command += [f"--callgrind-out-file={Path(folder) / 'counted'}"]
            server = start(command)
            try:
                measured = run_load(
                    floor, {**options(server, load, seconds), "patience": PATIENCE}
                )
            finally:
                errors = server.end()
        number = re.search(r"Collected : (\d+)", errors)
        if number is None:
            return None
        found.append((int(measured[0]["messages"]), int(number[1])))
    return per_operation(found)


def options(server: Server, load: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The arguments of the load generator, which is to count all that it does."""
    return {**load, "port": server.port, "seconds": seconds, "warmup": 0}


def operations(output: str) -> int:
    """How many operations the load generator says it did."""
    number = re.search(r'"messages": (\d+)', output)
    if number is None:
        raise Failed(f"the load said {output.strip()[:60]!r}")
    return int(number[1])


def per_operation(found: list[tuple[int, int]]) -> float | None:
    """The count of each operation that the second load has more than the first."""
    (few, less), (many, more) = found
    return (more - less) / (many - few) if many > few else None
