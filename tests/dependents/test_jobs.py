"""Several packages are tried at a time, and no two installations meet."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path

import pytest
from conformance.dependents import installing, packages, run
from conformance.dependents.judging import Verdict
from conformance.dependents.packages import Package

pytestmark = pytest.mark.once

SECONDS = 30


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(packages, "FOLDER", tmp_path / "dependents")
    return tmp_path / "dependents"


def package(name: str, **fields: object) -> Package:
    given = {"package": "one==1", "websockets": "17.4", "api": "legacy"}
    return Package(name, **{**given, "tests": ("t",), "passed": 1, **fields})  # type: ignore[arg-type]


def options(jobs: int) -> argparse.Namespace:
    return argparse.Namespace(jobs=jobs, lock=False, install=False)


def test_packages_run_at_a_time_and_the_table_keeps_their_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    second_is_done = threading.Event()

    def judge(package: Package) -> Verdict:
        # The first waits for the second: one at a time would never end.
        if package.name == "first":
            assert second_is_done.wait(SECONDS)
        else:
            second_is_done.set()
        return Verdict(package, problems=[f"{package.name} one", f"{package.name} two"])

    monkeypatch.setattr(installing, "install", lambda package: None)
    monkeypatch.setattr(run, "judge", judge)

    verdicts = run.try_packages([package("first"), package("second")], options(2))

    assert [verdict.package.name for verdict in verdicts] == ["first", "second"]
    lines = capsys.readouterr().out.splitlines()
    for name in "first", "second":
        start = lines.index(f"── {name}: one==1, legacy")
        assert lines[start + 1 : start + 3] == [f"   {name} one", f"   {name} two"]
        assert lines[start + 3].endswith(" s")
    assert len(lines) == 8


def test_an_environment_in_common_is_made_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, busy = [], threading.Lock()

    def make_environment(package: Package) -> None:
        assert busy.acquire(blocking=False), "two make the same environment"
        made.append(package.name)
        time.sleep(0.05)  # long enough for the other to begin, if nothing stops it
        busy.release()

    monkeypatch.setattr(installing, "make_environment", make_environment)
    both = [
        package("first", programs=True),
        package("second", programs=True, shares="first"),
    ]
    failed: list[BaseException] = []

    def install(package: Package) -> None:
        try:
            installing.install(package)
        except BaseException as failure:
            failed.append(failure)

    threads = [threading.Thread(target=install, args=(one,)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)

    assert not failed
    assert len(made) == 1


def test_entries_with_an_environment_in_common_write_results_apart() -> None:
    first, second = package("first"), package("second", shares="first")

    assert first.folder == second.folder
    assert first.results != second.results


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_less_than_one_at_a_time_is_refused(
    jobs: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run", f"--jobs={jobs}"])

    with pytest.raises(SystemExit) as ended:
        run.main()

    assert ended.value.code == 2
    assert "--jobs" in capsys.readouterr().err
