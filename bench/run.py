"""The benchmarks: longwire, its peers and a server in C, in one run.

    python bench/run.py                      everything
    python bench/run.py echo-64x1 'active-*' some; --list names them
    python bench/run.py echo-64x1 --servers longwire,c --rounds 3

In each round every server is loaded in turn, so that a busy machine slows all alike; a
figure is the median over the rounds. The server has one core, the load another.
Status 1 where anything failed, which includes any answer that is not the right one.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import floor
import idle
import machine
import page
import report
import results
from measuring import Bench, Wishes
from processes import Results
from scenarios import KNOWN, SCENARIOS, Scenario

CORE = "core"
PEERS = (
    "websockets",
    "picows",
    "aiofastnet",
    "aiohttp",
    "uvloop",
    "wsproto",
    "zlib-ng",
)


def chosen(patterns: list[str]) -> list[Scenario]:
    """The scenarios that are meant; ends the program for a name that is none."""
    names = [*(each.name for each in SCENARIOS), CORE]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            there = ", ".join(names)
            sys.exit(f"no scenario is named {pattern!r}; there are {there}")
    return [each for each in SCENARIOS if is_meant(each.name, patterns)]


def is_meant(name: str, patterns: list[str]) -> bool:
    return not patterns or any(fnmatch.fnmatch(name, each) for each in patterns)


def run_core(store: bool) -> None:
    """The frame-level benchmark, a program of its own."""
    print(f"\n{CORE}: the protocol alone, without sockets", flush=True)
    command = [sys.executable, str(Path(__file__).with_name("core.py"))]
    subprocess.run(command + ["--store"] * store, check=True)


def servers(text: str) -> tuple[str, ...]:
    """The names in a list with commas."""
    names = tuple(text.split(","))
    for name in names:
        if name not in KNOWN:
            there = ", ".join(KNOWN)
            raise argparse.ArgumentTypeError(f"{name!r} is none of {there}")
    return names


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help="a name or a pattern")
    add("--list", action="store_true", help="name the scenarios")
    add("--servers", type=servers, help="others than usual, such as longwire@uvloop,c")
    add("--rounds", type=int, help="more or fewer than usual")
    add("--seconds", type=float, help="of each measurement")
    add("--connections", type=int, help="not more than these")
    add("--count", action="store_true", help="instructions and system calls, too")
    add("--store", action="store_true", help="keep the figures, and renew the page")
    add("--json", type=Path, help="a file for the figures")
    return parser


def main() -> int:
    options = parser().parse_args()
    if options.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name:18}{scenario.title}")
        print(f"{CORE:18}the protocol alone, without sockets (bench/core.py)")
        return 0
    scenarios = chosen(options.scenarios)
    try:
        floor.install_headers()
        floor.build()
    except floor.Impossible as exc:
        sys.exit(str(exc))
    began = time.monotonic()
    idle.raise_limit()
    facts = {**machine.facts(*PEERS), **machine.details()}
    for name, value in facts.items():
        print(f"{name + ':':12}{value}")
    wishes = Wishes(
        options.servers,
        options.rounds,
        options.seconds,
        options.connections,
        options.count,
    )
    found: dict[str, Results] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(wishes, Path(folder))
        for scenario in scenarios:
            found[scenario.name] = bench.run(scenario)
            print(report.table(scenario, found[scenario.name]), flush=True)
    if is_meant(CORE, options.scenarios):
        run_core(options.store)
    print(report.end(found, bench.left_out, bench.failed, time.monotonic() - began))
    if options.json:
        options.json.write_text(json.dumps(results.run(facts, found, bench.left_out)))
    if options.store:
        results.store(results.run(facts, found, bench.left_out))
        page.write()
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
