"""Programs of a test's own, for what would disturb the process of the tests."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from tests.support.commands import environment


def run_script(
    source: str, *arguments: str, seconds: float = 60, **environ: str
) -> str:
    """Run Python ``source`` with ``arguments``; return what it prints on stdout.

    AssertionError with all of its output where it fails, or says anything on stderr.
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source), *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=environment(**environ),
    )
    said = f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    assert not done.stderr, said
    return done.stdout
