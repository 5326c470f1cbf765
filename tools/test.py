"""Runs everything that `make test` promises, and says at the end what that was.

    python tools/test.py            all tests on the compiled build but for those marked
                                    `long`; on the pure one those of layers that can be
                                    compiled; connections without the native engine and
                                    on uvloop; JavaScript, documents
    python tools/test.py --long     what is marked `long`, on both builds; attacks on
                                    the pure build, on uvloop and without the native
                                    engine; Autobahn's quick cases on the pure build
    python tools/test.py --cover    all tests on the pure build, with branch coverage
    python tools/test.py ARGS...    only pytest, on both builds, with these arguments

Each step's output is shown as it comes and kept in ``.logs/``. Status 1 where any step
failed. Where the environment variable CI is "true" nothing may be left out.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".logs"
IN_CI = os.environ.get("CI") == "true"
# Many tests wait for a moment or for a program of their own.
JOBS = min(2 * (os.cpu_count() or 1), 8)

QUICK = ["-m", "not long"]
TALKING = ["tests/behaviour", "tests/asyncio_"]
ATTACKS = ["tests/hostile"]
# What differs between the builds: the compiled modules, and what calls them directly.
LAYERS = ["tests/core", "tests/session", "tests/fuzz", "tests/websockets"]
LAYERS += ["tests/test_builds.py", "tests/rpc/test_server.py", "tests/rpc/test_peer.py"]
LAYERS += ["tests/rpc/test_client.py", "tests/hub/test_wire.py"]
# Compiled once for all workers and for the programs that tests start, whatever the
# shell says about bytecode: rewriting assertions alone takes each worker 17 s.
BYTECODE = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(ROOT / "build" / "bytecode"),
}
# Tests that make processes of their own, whatever the engine and loop.
OWN = ["memory", "exhausted", "reactor_processes"]
NO_PYTHON27 = 69  # conformance/run.py: what it drives needs Python 2.7
NO_NODE = 69  # tools/js.py: there is no Node, or an old one
CLOSING_LINE = re.compile(r"^=* ?(\d+ \w+.* in [\d.]+s.*?) ?=*$|^(Autobahn .*)$")
LEFT_OUT = re.compile(r"^(\d+ left out, needs .*)$")


@dataclass
class Step:
    """One command, and what became of it."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    unavailable: int | None = None  # the status that means: cannot be run here
    seconds: float = 0.0
    passed: bool = False
    closing: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Run the command, showing and keeping what it prints."""
        print(f"\n━━ {self.name}: {' '.join(self.command[1:])}", flush=True)
        start = time.monotonic()
        log = LOGS / (self.name.replace(" ", "-") + ".log")
        lines: list[str] = []
        with (
            log.open("w") as kept,
            subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, **BYTECODE, **self.environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                kept.write(line)
                lines.append(line.rstrip())
        self.seconds = time.monotonic() - start
        self._judge(process.returncode, lines)

    def _judge(self, status: int, lines: list[str]) -> None:
        found = filter(None, map(CLOSING_LINE.match, lines))
        self.closing = [match[1] or match[2] for match in found]
        self.left_out = [m[1] for m in map(LEFT_OUT.match, lines) if m]
        self.passed = status == 0
        if status == self.unavailable:
            self.left_out = lines[-1:]
            self.passed = not IN_CI


def pytest(build: str, arguments: list[str]) -> Step:
    """The tests on one build."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(JOBS)]
    pure = "1" if build == "pure" else "0"
    return Step(
        f"tests {build}",
        [*command, "--dist=worksteal", *arguments],
        {"LONGWIRE_PURE": pure},
    )


def again(
    name: str,
    leave_out: list[str],
    what: list[str],
    **environment: str,
) -> Step:
    """What connections do, once more in another ``environment``."""
    ignored = [f"--ignore-glob=*/test_{one}*" for one in leave_out]
    step = pytest("compiled", [*QUICK, *what, *ignored])
    step.name = name
    step.environment.update(environment)
    return step


def documents() -> Step:
    sphinx = "-m sphinx -W --keep-going -q -b html docs docs/_build/html"
    return Step("documents", [sys.executable, *sphinx.split()])


def javascript() -> Step:
    command = [sys.executable, "tools/js.py", "test"]
    return Step("javascript", command, unavailable=NO_NODE)


def conformance(build: str) -> Step:
    command = f"conformance/run.py --role both --build {build} --cases quick"
    return Step(
        f"conformance {build}",
        [sys.executable, *command.split()],
        unavailable=NO_PYTHON27,
    )


def summary(steps: list[Step]) -> bool:
    """Print what was run, what was left out, and say whether all passed."""
    print("\n━━ summary")
    for step in steps:
        verdict = "passed" if step.passed else "FAILED"
        print(f"{verdict}  {step.name:<22} {step.seconds:6.0f} s")
        for line in step.closing:
            print(f"          {line}")
    left_out = [f"{step.name}: {line}" for step in steps for line in step.left_out]
    passed = all(step.passed for step in steps)
    total = sum(step.seconds for step in steps)
    if left_out:
        print("NOT A FULL PASS: left out for want of what this machine does not have")
        print("\n".join(f"  {line}" for line in left_out))
    print(f"{'all that was run passed' if passed else 'FAILED'} ({total:.0f} s)")
    return passed


def main(arguments: list[str]) -> int:
    # A shell has its background jobs ignore this signal, and so would the programs that
    # tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    LOGS.mkdir(exist_ok=True)
    if arguments == ["--cover"]:
        steps = [pytest("pure", ["--cov", "--cov-report=term"])]
    elif arguments == ["--long"]:
        steps = [pytest(build, ["-m", "long"]) for build in ("compiled", "pure")]
        for step in steps:
            step.name = step.name.replace("tests", "long")
        # What attacks are made of is the session's business: quick on one, long on all.
        steps += [
            again("attacks pure", [], ATTACKS, LONGWIRE_PURE="1"),
            again("attacks transport", OWN, ATTACKS, LONGWIRE_ENGINE="transport"),
            again("attacks uvloop", OWN, ATTACKS, LONGWIRE_TEST_LOOP="uvloop"),
        ]
        # `make conform` has all cases, on the compiled build.
        steps.append(conformance("pure"))
    elif arguments:
        steps = [pytest("compiled", arguments), pytest("pure", arguments)]
    else:
        steps = [
            pytest("compiled", QUICK),
            pytest("pure", [*QUICK, *LAYERS, *TALKING]),
        ]
        # Tests with loops or engines of their own are left out where they say the same.
        own_loops = ["reactor", "waking", "native"]
        steps += [
            again(
                "tests transport",
                [*OWN, "native"],
                TALKING,
                LONGWIRE_ENGINE="transport",
            ),
            again(
                "tests uvloop",
                [*OWN, *own_loops],
                TALKING,
                LONGWIRE_TEST_LOOP="uvloop",
            ),
        ]
        steps += [javascript(), documents()]
    for step in steps:
        step.run()
    return 0 if summary(steps) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
