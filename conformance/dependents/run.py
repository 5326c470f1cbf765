"""Runs other packages' tests with the library websockets and with longwire.

``python -m conformance.dependents.run``; see README.md. Exit status: 0 all alike but
for differences that packages.toml gives reasons for, 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from conformance.dependents import installing
from conformance.dependents.judging import Verdict, judge
from conformance.dependents.packages import Package, packages

SHOWN = 20  # problems of one package
MAX_JOBS = 4  # by default; each runs servers, clients and maybe a browser
HEAD = (
    "package                  version        beside tests baseline  ours  differences"
)
printing = threading.Lock()


def try_package(package: Package, options: argparse.Namespace) -> Verdict:
    """Install a package where it is not, and compare; show what was found."""
    start = time.monotonic()
    verdict = Verdict(package)
    try:
        installing.install(package)
        if options.lock:
            installing.lock(package)
        if not options.install:
            verdict = judge(package)
    except installing.NotInstalled as failure:
        verdict.problems.append(f"not installed: {failure}")
    lines = [*report(verdict), f"   {time.monotonic() - start:.0f} s"]
    with printing:
        print(*lines, sep="\n", flush=True)
    return verdict


def report(verdict: Verdict) -> Iterator[str]:
    """Give the first problems as lines; all of them are written to a file."""
    package = verdict.package
    yield f"── {package.name}: {package.package}, {package.api}"
    package.results.mkdir(parents=True, exist_ok=True)
    file = package.results / "problems.txt"
    file.write_text("\n".join([*verdict.problems, ""]))
    yield from (f"   {problem}" for problem in verdict.problems[:SHOWN])
    more = len(verdict.problems) - SHOWN
    if more > 0:
        yield f"   and {more} more: {file}"


def try_packages(tried: list[Package], options: argparse.Namespace) -> list[Verdict]:
    """Try several packages at a time; the verdicts are in the order of the packages.

    Threads do, for each waits for processes.
    """
    with ThreadPoolExecutor(options.jobs) as pool:
        return list(pool.map(lambda package: try_package(package, options), tried))


def chosen(options: argparse.Namespace) -> list[Package]:
    every = packages()
    unknown = set(options.only) - {package.name for package in every}
    if unknown:
        raise SystemExit(f"no package {', '.join(sorted(unknown))} in packages.toml")
    if options.only:
        return [package for package in every if package.name in options.only]
    return [package for package in every if package.quick or not options.quick]


def summary(verdicts: list[Verdict]) -> bool:
    print(f"\n{HEAD}")
    for verdict in verdicts:
        print(verdict.row())
    failed = sum(not verdict.passed for verdict in verdicts)
    print(f"Dependents: {len(verdicts) - failed} passed, {failed} failed")
    return not failed


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("only", nargs="*", help="names in packages.toml; all without")
    parser.add_argument("--quick", action="store_true", help="what CI runs")
    parser.add_argument("--install", action="store_true", help="install, run nothing")
    parser.add_argument("--lock", action="store_true", help="write locks/NAME.txt")
    parser.add_argument(
        "--jobs",
        type=at_least_one,
        default=min(os.cpu_count() or 1, MAX_JOBS),
        help=f"packages at a time; the number of cores, at most {MAX_JOBS}, without",
    )
    options = parser.parse_args()
    os.environ.pop("LONGWIRE_PURE", None)
    return 0 if summary(try_packages(chosen(options), options)) else 1


if __name__ == "__main__":
    sys.exit(main())
