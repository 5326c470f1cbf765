"""What counts as a difference, and what the list of packages has to say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conformance.dependents import judging, suites
from conformance.dependents.judging import Verdict
from conformance.dependents.packages import Package, packages
from conformance.dependents.suites import Outcome, Suite, SuiteFailed

pytestmark = pytest.mark.once


def package(**fields: object) -> Package:
    given = {"name": "one", "package": "one==1", "websockets": "17.4", "api": "legacy"}
    return Package(**{**given, "tests": ("tests",), "passed": 1, **fields})  # type: ignore[arg-type]


def suite(**kinds: str) -> Suite:
    return Suite({test: Outcome(kind) for test, kind in kinds.items()}, finished=True)


@pytest.mark.parametrize("kind", ["failed", "skipped", "error in setup", "xfailed"])
def test_a_test_that_ends_otherwise_is_a_difference(kind: str) -> None:
    theirs, ours = suite(a="passed", b="passed"), suite(a="passed", b=kind)

    assert list(judging.differing(theirs, ours)) == ["b"]


def test_a_test_that_was_not_run_is_a_difference() -> None:
    theirs, ours = suite(a="passed", b="passed"), suite(a="passed")

    assert judging.differing(theirs, ours)["b"][1].kind == "not run"


def test_a_test_that_fails_with_both_is_none() -> None:
    assert not judging.differing(suite(a="failed"), suite(a="failed"))


def test_a_listed_difference_passes_and_any_other_does_not() -> None:
    verdict = Verdict(package(differences={"a": "a reason"}))
    found = judging.differing(
        suite(a="passed", b="passed"), suite(a="failed", b="failed")
    )

    judging.weigh(verdict, found)

    assert verdict.explained == 1
    assert [problem.split(":")[0] for problem in verdict.problems] == ["b"]


def test_a_listed_difference_names_how_its_tests_begin() -> None:
    verdict = Verdict(package(differences={"a.py::one": "a reason"}))
    tests = ("a.py::one[x]", "a.py::one[y]", "b.py::one[x]")
    found = judging.differing(
        Suite({test: Outcome("passed") for test in tests}),
        Suite({test: Outcome("failed") for test in tests}),
    )

    judging.weigh(verdict, found)

    assert verdict.explained == 2
    assert [problem.split("::")[0] for problem in verdict.problems] == ["b.py"]


def test_a_reason_without_a_difference_does_not_pass() -> None:
    verdict = Verdict(package(differences={"a": "a reason"}))

    judging.weigh(verdict, {})

    assert verdict.problems == ["a: listed as a difference, and is none"]


def recorded(path: Path, *lines: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_worst_report_on_a_test_counts(tmp_path: Path) -> None:
    record = recorded(
        tmp_path / "record",
        {"library": "websockets", "file": "f"},
        {"test": "a", "outcome": "passed", "why": ""},
        {"test": "a", "outcome": "error in teardown", "why": "left open"},
    )

    found = suites.read(record, "websockets")

    assert found.of("a") == Outcome("error in teardown", "left open")
    assert not found.finished


def test_a_run_with_the_wrong_library_is_refused(tmp_path: Path) -> None:
    record = recorded(
        tmp_path / "record",
        {"library": "websockets", "file": "f"},
        {"test": "a", "outcome": "passed", "why": ""},
    )

    with pytest.raises(SuiteFailed, match="ran with websockets"):
        suites.read(record, "longwire.websockets")


def test_a_run_without_tests_is_refused(tmp_path: Path) -> None:
    record = recorded(tmp_path / "record", {"library": "websockets", "file": "f"})

    with pytest.raises(SuiteFailed, match="no test"):
        suites.read(record, "websockets")


@pytest.mark.parametrize("one", packages(), ids=lambda package: package.name)
def test_a_package_is_pinned_and_gives_reasons(one: Package) -> None:
    pins = one.lock.read_text().lower().replace("_", "-").split()

    assert f"{one.project}=={one.version}".lower() in pins
    assert f"websockets=={one.websockets}" in pins
    assert all(len(reason) > 10 for reason in one.leave_out.values())
    assert all(len(reason) > 10 for reason in one.differences.values())
    assert one.passed > 0
