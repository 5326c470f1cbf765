"""A short soak of each engine: `make soak` goes on for minutes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from longwire.build import BUILD

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 8
ENGINES = ["native", "transport"] if BUILD == "compiled" else ["transport"]


def soak(engine: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "tools/soak.py", f"--seconds={SECONDS}", *arguments],
        cwd=ROOT,
        env={**os.environ, "LONGWIRE_ENGINE": engine},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_after_a_soak_the_server_is_as_it_was_before(engine):
    done = soak(engine, "--visitors=40")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "soak: as it was before" in done.stdout
    assert f" {engine} engine" in done.stdout


def ask(orders: str) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "tools/soak_server.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src"},
        input=orders,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_server_that_is_closed_and_made_anew_holds_nothing_of_the_old():
    answers = ask("serve\ncount\n" + "close\nserve\ndrain\nserve\n" * 5 + "count\n")

    before, after = answers[1], answers[-1]
    for name in ("descriptors", "tasks", "objects", "complaints"):
        assert before[name] == after[name], name
