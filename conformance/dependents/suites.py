"""Runs a package's tests, with the library itself or with longwire in its place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from conformance.dependents.packages import HERE, ROOT, Package

__all__ = ["Outcome", "Suite", "SuiteFailed", "run"]

SECONDS_FOR_A_TEST = 60
WHICH = ("theirs", "ours")
LIBRARIES = {"theirs": "websockets", "ours": "longwire.websockets"}


class SuiteFailed(Exception):
    """A run said nothing that can be compared; the message ends with its output."""


@dataclass(frozen=True)
class Outcome:
    """How one test ended."""

    kind: str  # passed, failed, skipped, xfailed, ..., or "not run"
    why: str = ""


@dataclass
class Suite:
    """How the tests of a package ended with one of the two libraries."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    finished: bool = False
    log: Path = Path()

    def of(self, test: str) -> Outcome:
        return self.outcomes.get(test, Outcome("not run"))

    @property
    def passed(self) -> int:
        return sum(outcome.kind == "passed" for outcome in self.outcomes.values())


def run(package: Package, which: str, tests: tuple[str, ...] = ()) -> Suite:
    """Run all tests of a package, or some, with "theirs" or "ours".

    Raises SuiteFailed where no test was run at all, or with another library than
    was meant.
    """
    package.results.mkdir(parents=True, exist_ok=True)
    record = package.results / f"{which}.jsonl"
    log = package.results / f"{which}.log"
    record.unlink(missing_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            command(package, tests),
            cwd=package.sources,
            env=environment(package, which, record),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        wait(process, package.seconds)
    try:
        suite = read(record, library(package, which))
    except SuiteFailed as failure:
        lines = log.read_text(errors="replace").splitlines()[-20:]
        raise SuiteFailed("\n".join([f"{which}: {failure}", *lines])) from None
    suite.log = log
    return suite


def library(package: Package, which: str) -> str:
    """Return the module that is to answer in a run."""
    if package.asgi:
        return package.asgi[WHICH.index(which)].partition(":")[0]
    return LIBRARIES[which]


def command(package: Package, tests: tuple[str, ...]) -> list[str]:
    without = [f"--deselect={test}" for test in package.leave_out]
    return [
        *(str(package.python), "-m", "pytest", "-q", "-p", "dependents_recorder"),
        *("-o", "addopts=", "-p", "no:cacheprovider"),
        *(f"--timeout={SECONDS_FOR_A_TEST}", f"--rootdir={package.sources}"),
        *options(package),
        *without,
        *(tests or selected(package)),
    ]


def options(package: Package) -> list[str]:
    return [one for one in package.tests if one.startswith("-")]


def selected(package: Package) -> list[str]:
    return [one for one in package.tests if not one.startswith("-")]


def environment(package: Package, which: str, record: Path) -> dict[str, str]:
    """Return the variables of a run: the alias comes first, or is not there."""
    folders = [HERE / "recorder", ROOT / "src", HERE / "support"]
    asgi = {}
    if package.asgi:
        asgi["DEPENDENTS_ASGI"] = package.asgi[WHICH.index(which)]
    elif which == "ours":
        folders.insert(0, HERE / "alias")
    return {
        **os.environ,
        **asgi,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DEPENDENTS_RECORD": str(record),
        **package.environment,
    }


def wait(process: subprocess.Popen[bytes], seconds: int) -> None:
    """Wait for a run to end, and end all that it started and left."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass  # what it wrote down until now is compared
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def read(record: Path, library: str) -> Suite:
    """Return what a run wrote down. Of several reports on a test the worst counts."""
    lines = record.read_text().splitlines() if record.exists() else []
    if not lines:
        raise SuiteFailed("pytest did not start")
    first, *rest = map(json.loads, lines)
    if first["library"] != library:
        raise SuiteFailed(f"ran with {first['library']}, {first['file']}")
    suite = Suite()
    for line in rest:
        if "finished" in line:
            suite.finished = True
        elif suite.of(line["test"]).kind in ("passed", "not run"):
            suite.outcomes[line["test"]] = Outcome(line["outcome"], line["why"])
    if not suite.outcomes:
        raise SuiteFailed("no test was run")
    return suite
