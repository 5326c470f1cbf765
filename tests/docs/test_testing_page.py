"""The programs of docs/howto/testing.md are tests, and pass as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.programs import ROOT
from tests.support.commands import environment

pytestmark = pytest.mark.once

PAGE = (ROOT / "docs" / "howto" / "testing.md").read_text("utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    without = ["-p", "no:anyio", "-p", "no:hypothesispytest"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *without, "."],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
    )


def write(folder: Path, programs: list[str]) -> int:
    """Write the page's files; return how many tests they have."""
    (folder / "my_application.py").write_text(programs[0])
    tests = 0
    for number, text in enumerate(programs[1:]):
        name = "conftest.py" if "pytest_plugins" in text else f"test_{number}.py"
        (folder / name).write_text(text)
        tests += text.count("\ndef test_")
    return tests


def test_every_test_on_the_page_passes(tmp_path: Path) -> None:
    tests = write(tmp_path, PROGRAMS)
    assert tests == 5

    done = run(tmp_path)

    assert done.returncode == 0, done.stdout
    assert f"{tests} passed" in done.stdout
