"""Runs other packages' tests with the library websockets and with longwire.

``python -m conformance.dependents.run``; see README.md. Exit status: 0 all alike but
for differences that packages.toml gives reasons for, 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from conformance.dependents import installing
from conformance.dependents.judging import Verdict, judge
from conformance.dependents.packages import Package, packages

SHOWN = 20  # problems of one package
HEAD = (
    "package                  version        beside tests baseline  ours  differences"
)


def try_package(package: Package, options: argparse.Namespace) -> Verdict:
    """Install a package where it is not, and compare; show what was found."""
    start = time.monotonic()
    print(f"── {package.name}: {package.package}, {package.api}", flush=True)
    verdict = Verdict(package)
    try:
        installing.install(package)
        if options.lock:
            installing.lock(package)
        if not options.install:
            verdict = judge(package)
    except installing.NotInstalled as failure:
        verdict.problems.append(f"not installed: {failure}")
    show(verdict)
    print(f"   {time.monotonic() - start:.0f} s", flush=True)
    return verdict


def show(verdict: Verdict) -> None:
    """Print the first problems; all of them are in a file beside the package."""
    folder = verdict.package.folder
    if folder.exists():
        (folder / "problems.txt").write_text("\n".join([*verdict.problems, ""]))
    for problem in verdict.problems[:SHOWN]:
        print(f"   {problem}")
    more = len(verdict.problems) - SHOWN
    if more > 0:
        print(f"   and {more} more: {folder / 'problems.txt'}")


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("only", nargs="*", help="names in packages.toml; all without")
    parser.add_argument("--quick", action="store_true", help="what CI runs")
    parser.add_argument("--install", action="store_true", help="install, run nothing")
    parser.add_argument("--lock", action="store_true", help="write locks/NAME.txt")
    options = parser.parse_args()
    os.environ.pop("LONGWIRE_PURE", None)
    verdicts = [try_package(package, options) for package in chosen(options)]
    return 0 if summary(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
