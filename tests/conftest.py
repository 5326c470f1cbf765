"""Hooks and fixtures of all tests; the helpers behind them are in tests/support."""

from __future__ import annotations

import gc
import inspect
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from longwire import build
from tests.support import needs
from tests.support.certificates import Certificates
from tests.support.loops import new_loop
from tests.support.running import SECONDS, run_async

PURE_RUN = os.environ.get("LONGWIRE_PURE", "0") not in ("", "0")
OTHER_LOOP = os.environ.get("LONGWIRE_TEST_LOOP", "asyncio") not in ("", "asyncio")


def pytest_report_header() -> str:
    return f"longwire: {build.BUILD} build"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run ``async def test_...`` on a fresh loop; ``timeout`` marks change the 30 s.

    A fixture ``make_loop`` says which sort of loop, else the environment does.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    mark = pyfuncitem.get_closest_marker("timeout")
    make_loop = pyfuncitem.funcargs.get("make_loop", new_loop)
    seconds = mark.args[0] if mark else SECONDS
    run_async(pyfuncitem.obj, arguments, seconds, make_loop)
    return True


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what is marked as for another run than this one."""
    marks = ["once"] * PURE_RUN + ["stock_loop"] * OTHER_LOOP
    for mark in marks:
        others = [item for item in items if item.get_closest_marker(mark)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if not item.get_closest_marker(mark)]


def pytest_collection_finish() -> None:
    # What was imported stays; a collection after each test then takes no time.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what was logged pass between processes, which takes no half a surrogate."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode())
        for title, text in report.sections
    ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests were left out for want of something, and what it is."""
    missing: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if reason.startswith(needs.MARK):
            missing[reason] = missing.get(reason, 0) + 1
    if not missing:
        return
    terminalreporter.section("NOT A FULL PASS: tests left out", sep="=", yellow=True)
    for reason, count in sorted(missing.items()):
        terminalreporter.line(f"{count} left out, {reason}")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """TLS for localhost: contexts for both ends, and files for other programs."""
    folder: Path = tmp_path_factory.mktemp("tls")
    return Certificates(folder)
