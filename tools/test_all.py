"""Runs the tests on every Python from 3.11 up that is found here.

    python tools/test_all.py [ARGS...]    ARGS are pytest's

Looks at the PATH and at pyenv's versions; PyPy too, in pure Python. Each gets a virtual
environment of its own in ``.venvs/``. Status 1 where the tests fail on any.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ABOUT = (
    "import json, platform, sys, sysconfig; print(json.dumps(["
    "platform.python_implementation(), list(sys.version_info[:2]),"
    "platform.python_version(), sysconfig.get_config_var('Py_GIL_DISABLED') or 0]))"
)


class Interpreter(NamedTuple):
    """A Python that longwire supports."""

    name: str  # as "cpython-3.12.1"
    path: Path


def candidates() -> list[Path]:
    """Every program here that may be a Python."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders += sorted(pyenv.glob("versions/*/bin"))
    names = ["python3", *(f"python3.{minor}" for minor in range(11, 20)), "pypy3"]
    return [folder / name for folder in folders for name in names]


def interpreters() -> list[Interpreter]:
    """The Pythons that work and are new enough, one for each version."""
    found: dict[str, Path] = {}
    for path in candidates():
        if shutil.which(path) is None:
            continue
        asked = subprocess.run([path, "-c", ABOUT], capture_output=True, text=True)
        if asked.returncode != 0:  # pyenv's shims of versions that are not chosen
            continue
        implementation, version, full, free_threaded = json.loads(asked.stdout)
        if tuple(version) < (3, 11):
            continue
        name = f"{implementation.lower()}-{full}{'t' if free_threaded else ''}"
        found.setdefault(name, path)
    return [Interpreter(name, path) for name, path in sorted(found.items())]


def test(interpreter: Interpreter, arguments: list[str]) -> bool:
    """Set up, build and test; True when all that passed."""
    name, path = interpreter
    compiled = name.startswith("cpython")
    folder = f".venvs/{name}"
    python = f"{folder}/bin/python"
    groups = ["test", "peers", "examples", "lint"] if compiled else ["test"]
    commands = [
        ["tools/venv.sh", folder, str(path), *groups],
        *([[python, "tools/build.py"]] if compiled else []),
        [python, "-m", "pytest", "-q", "-n", str(os.cpu_count() or 1), *arguments],
    ]
    for command in commands:
        print(f"\n━━ {name}: {' '.join(command)}", flush=True)
        if subprocess.run(command, cwd=ROOT).returncode != 0:
            return False
    return True


def main(arguments: list[str]) -> int:
    found = interpreters()
    print("found:", ", ".join(f"{name} ({path})" for name, path in found))
    passed = {one.name: test(one, arguments) for one in found}
    print("\n━━ summary")
    for name, fine in passed.items():
        print(f"{'passed' if fine else 'FAILED'}  {name}")
    return 0 if all(passed.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
