"""The compiled path of a message and its reference do the same, used at random."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.needs import needs_build

import longwire
import longwire.build

pytestmark = pytest.mark.once

ROOT = Path(longwire.__file__).parents[2]


def played(first: int, count: int, pure: bool) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    environment.pop("LONGWIRE_PURE", None)
    if pure:
        environment["LONGWIRE_PURE"] = "1"
    program = [sys.executable, "-m", "tests.asyncio_.twin_program"]
    done = subprocess.run(
        [*program, str(first), str(count)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def compare(first: int, count: int) -> None:
    compiled, pure = played(first, count, False), played(first, count, True)

    assert len(pure) == count
    assert compiled == pure


def test_random_use_of_a_connection_gives_the_same_on_both_builds() -> None:
    if longwire.build.BUILD != "compiled":
        needs_build("asyncio.messaging")
    compare(0, 15)


@pytest.mark.long
def test_much_random_use_of_a_connection_gives_the_same_on_both_builds() -> None:
    if longwire.build.BUILD != "compiled":
        needs_build("asyncio.messaging")
    compare(1000, 60)
