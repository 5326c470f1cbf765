"""The C programs, built once, and ways to run them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.needs import ROOT, leave_out, needs


class Programs(NamedTuple):
    """Where the reference server and the load generator lie."""

    server: Path
    load: Path


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Both, with TLS and compression."""
    needs("cc")
    command = [sys.executable, str(ROOT / "bench" / "floor.py")]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    built = json.loads(output.splitlines()[-1])
    for why in built["missing"].values():
        leave_out(why)
    return Programs(Path(built["server"]), Path(built["load"]))
