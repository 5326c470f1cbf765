"""Runs the Autobahn Testsuite against our server and our client.

``python conformance/run.py --role both --build compiled --cases quick``; see README.md.
Exit status: 0 all verdicts as expected or better, 1 otherwise, 69 no Python 2.7.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import cases
import environment
import verdicts
from roles import AGENT, HERE, Run, run_role, say

TIMEOUTS = {"quick": 600.0, "all": 3000.0}  # seconds for one role


def judge(run: Run, expected: verdicts.Expected, elapsed: float, update: bool) -> bool:
    """Print the result of a role and say whether it passed."""
    index = run.reports / "index.json"
    found = verdicts.write_index(index, AGENT, run.entries)
    strangers = sorted(set(found) - set(run.wanted), key=cases.by_number)
    if strangers:
        run.problems.append(f"cases nobody asked for: {', '.join(strangers)}")
    complete = len(found) == len(run.wanted) > 0 and not run.problems
    if update and complete:
        expected.update(run.role, found)
    differences = verdicts.compare(run.wanted, expected.of(run.role), found)
    failed = sum(difference.is_failure for difference in differences)

    for problem in run.problems:
        say(f"{run.name}: {problem}")
    if differences:
        say(f"{run.name}: differences from expected-results.json")
        say(verdicts.table(differences))
        say(f"  the report of each case is named in {index}")
    say(f"{run.name}: behavior / closing: {verdicts.count(found.values())}")
    say(
        f"Autobahn {run.name}: {len(run.wanted) - failed} passed, {failed} failed"
        f"{'' if complete else ', INCOMPLETE'}, {elapsed:.0f} s"
    )
    return complete and not failed


async def run_all(arguments: argparse.Namespace, python27: Path) -> bool:
    """Run the roles one after the other and say whether all passed."""
    # Cancelled as by Ctrl-C, so that the child processes end too.
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    expected = verdicts.Expected(HERE / "expected-results.json")
    roles = ["server", "client"] if arguments.role == "both" else [arguments.role]
    passed = True
    for role in roles:
        run = Run(
            role=role,
            build=arguments.build,
            front_end=arguments.front_end,
            wanted=cases.select(expected.of(role), arguments.cases),
            jobs=arguments.jobs,
            python27=python27,
            reports=HERE / "reports" / folder(role, arguments),
        )
        start = time.monotonic()
        await run_role(run, arguments.timeout or TIMEOUTS[arguments.cases])
        elapsed = time.monotonic() - start
        passed = judge(run, expected, elapsed, arguments.update) and passed
    return passed


def folder(role: str, arguments: argparse.Namespace) -> str:
    """Return the name of the folder of a role's reports."""
    parts = [role, arguments.front_end, arguments.build, arguments.cases]
    return "-".join(part for part in parts if part != "asyncio")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the Autobahn Testsuite.")
    parser.add_argument("--role", choices=["server", "client", "both"], default="both")
    parser.add_argument(
        "--front-end", choices=["asyncio", "sync", "trio"], default="asyncio"
    )
    parser.add_argument("--build", choices=["compiled", "pure"], default="compiled")
    parser.add_argument(
        "--cases",
        choices=["quick", "all"],
        default="quick",
        help="quick: sections 1 to 10 and a sample of 12 and 13",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=max(2, os.cpu_count() or 2),
        help="shares of the cases that run side by side (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout", type=float, help="seconds after which a role is given up"
    )
    parser.add_argument(
        "--update",
        action="store_true",
        help="write what a complete run found to expected-results.json",
    )
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error("--jobs must be at least 1")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    try:
        python27 = environment.prepare()
    except environment.Python27Missing as missing:
        say(f"Autobahn: not run: {missing}")
        return environment.NO_PYTHON27
    except environment.BuildFailed as failure:
        say(f"Autobahn: not run: environment not built\n{failure}")
        return 1
    try:
        return 0 if asyncio.run(run_all(arguments, python27)) else 1
    except (asyncio.CancelledError, KeyboardInterrupt):
        say("Autobahn: interrupted")
        return 1


if __name__ == "__main__":
    sys.exit(main())
