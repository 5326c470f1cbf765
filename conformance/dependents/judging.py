"""Compares two runs of a package's tests, and says what counts against longwire."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.dependents import suites
from conformance.dependents.packages import Package
from conformance.dependents.suites import Outcome, Suite

__all__ = ["Verdict", "judge"]

TRIES = 2  # how often tests that differ are run once more
RACE = "a race: "  # so begin reasons of tests that differ now and then
TOO_MANY = 50  # tests that differ and are not tried again: it is not chance


@dataclass
class Verdict:
    """What became of one package."""

    package: Package
    tests: int = 0
    theirs: int = 0  # tests passed with the library itself
    ours: int = 0  # tests passed with longwire
    problems: list[str] = field(default_factory=list)
    explained: int = 0  # differences that packages.toml gives a reason for

    @property
    def passed(self) -> bool:
        return not self.problems

    def row(self) -> str:
        package = self.package
        differences = f"{self.explained} with reasons" if self.explained else "none"
        if self.problems:
            differences = f"FAILED: {len(self.problems)}"
        return (
            f"{package.name:<24} {package.version:<14} {package.websockets:<6} "
            f"{self.tests:>5} {self.theirs:>8} {self.ours:>5}  {differences}"
        )


def judge(package: Package) -> Verdict:
    """Run the tests of a package with both libraries and compare them."""
    verdict = Verdict(package)
    try:
        theirs = suites.run(package, "theirs")
        ours = suites.run(package, "ours")
        run_failed_again(package, theirs)
    except suites.SuiteFailed as failure:
        verdict.problems.append(str(failure))
        return verdict
    verdict.tests, verdict.theirs = len(theirs.outcomes), theirs.passed
    if not theirs.finished:
        verdict.problems.append(f"theirs: not done after {package.seconds} s")
    if theirs.passed != package.passed or not theirs.passed:
        verdict.problems.append(
            f"theirs: {theirs.passed} passed, packages.toml says {package.passed}"
        )
        verdict.problems += unexpected(theirs)
    found = differing(theirs, ours)
    listed = {t: o for t, o in found.items() if reason_for(package, t) is not None}
    found = {test: outcomes for test, outcomes in found.items() if test not in listed}
    if found and len(found) <= TOO_MANY:
        found = persistent(package, found)
    found |= listed
    weigh(verdict, found)
    # What passed only when it was run again counts as passed with both.
    alike = [test for test in theirs.outcomes if test not in found]
    verdict.ours = sum(theirs.of(test).kind == "passed" for test in alike)
    verdict.ours += sum(ours.kind == "passed" for _, ours in found.values())
    return verdict


def reason_for(package: Package, test: str) -> str | None:
    """Return why a test may differ, None if there is no reason."""
    reasons = package.differences
    return next((reasons[start] for start in reasons if test.startswith(start)), None)


def run_failed_again(package: Package, theirs: Suite) -> None:
    """Take what passes now for passed: many tests rest on time, and machines are busy.

    Raises SuiteFailed.
    """
    for _ in range(TRIES):
        failed = tuple(failures(theirs))
        if not 0 < len(failed) <= TOO_MANY:
            return
        again = suites.run(package, "theirs", failed)
        for test in failed:
            if again.of(test).kind == "passed":
                theirs.outcomes[test] = again.of(test)


def failures(theirs: Suite) -> dict[str, Outcome]:
    as_meant = ("passed", "skipped", "xfailed")
    return {t: o for t, o in theirs.outcomes.items() if o.kind not in as_meant}


def unexpected(theirs: Suite) -> list[str]:
    return [
        f"theirs: {test}: {outcome.kind}: {outcome.why}"
        for test, outcome in failures(theirs).items()
    ]


Differences = dict[str, tuple[Outcome, Outcome]]


def differing(theirs: Suite, ours: Suite) -> Differences:
    tests = theirs.outcomes | ours.outcomes
    return {
        test: (theirs.of(test), ours.of(test))
        for test in tests
        if theirs.of(test).kind != ours.of(test).kind
    }


def persistent(package: Package, found: Differences) -> Differences:
    """Run what differs again: a difference is one where no outcome is shared."""
    for _ in range(TRIES):
        tests = tuple(found)
        try:
            theirs = suites.run(package, "theirs", tests)
            ours = suites.run(package, "ours", tests)
        except suites.SuiteFailed:
            return found
        for test, (before, after) in list(found.items()):
            seen = {before.kind, theirs.of(test).kind}
            if {after.kind, ours.of(test).kind} & seen:
                del found[test]
        if not found:
            break
    return found


def weigh(verdict: Verdict, found: Differences) -> None:
    """Put what differs without a reason, and reasons without a difference, down."""
    listed = verdict.package.differences
    for test, (theirs, ours) in found.items():
        if reason_for(verdict.package, test) is not None:
            verdict.explained += 1
        else:
            verdict.problems.append(
                f"{test}: {theirs.kind} with websockets, {ours.kind} with longwire"
                + (f": {ours.why or theirs.why}")
            )
    verdict.problems += [
        f"{start}: listed as a difference, and is none"
        for start, reason in listed.items()
        if not reason.startswith(RACE)
        and not any(test.startswith(start) for test in found)
    ]
