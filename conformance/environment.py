"""A Python 2.7 environment with the Autobahn Testsuite, built when needed.

``python conformance/environment.py`` prints the interpreter of the environment.
Exit status: 0 ready, 1 could not be built, 69 no Python 2.7 on this machine.
The environment is kept in ``.venv27`` until the pins change.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["NO_PYTHON27", "BuildFailed", "Python27Missing", "clean_environ", "prepare"]

HERE = Path(__file__).resolve().parent
HOME = HERE / ".venv27"
PINS = HERE / "pins.txt"

# The last virtualenv that works for Python 2.7 without downloading anything itself:
# it carries the pip that the pins are known to install with.
VIRTUALENV = "virtualenv==16.7.12"
PIP_VERSION = "20.3.4"

NO_PYTHON27 = 69  # EX_UNAVAILABLE of sysexits.h

# Old interpreters were often built without one of these; pip and the suite need all.
PROBE = "import sys, ssl, zlib, ctypes; assert sys.version_info[:2] == (2, 7)"


class Python27Missing(Exception):
    """No usable Python 2.7 was found; the message says where was looked."""


class BuildFailed(Exception):
    """The environment could not be built; the message ends with pip's last lines."""


def prepare() -> Path:
    """Return the interpreter that can import the Autobahn Testsuite.

    Builds the environment first when there is none or its pins are old; two callers
    at a time are served one after the other. Raises Python27Missing or BuildFailed.
    """
    with HOME.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_ready():
            build(find_python27())
    return interpreter()


def interpreter() -> Path:
    return HOME / "env" / "bin" / "python"


def is_ready() -> bool:
    stamp = HOME / "stamp"
    return (
        stamp.is_file() and stamp.read_text() == fingerprint() and runs(interpreter())
    )


def fingerprint() -> str:
    """Return what the environment was built from, as one hexadecimal number."""
    return hashlib.sha256(PINS.read_bytes() + VIRTUALENV.encode()).hexdigest()


def find_python27() -> Path:
    """Return a working Python 2.7: PYTHON27, else pyenv's, else the one on PATH.

    Raises Python27Missing; a PYTHON27 that does not work is not passed over in silence.
    """
    named = os.environ.get("PYTHON27")
    if named:
        if runs(named):
            return Path(named)
        raise BuildFailed(
            f"PYTHON27={named} is not a Python 2.7 with ssl, zlib, ctypes"
        )
    for candidate in candidates():
        if runs(candidate):
            return candidate
    raise Python27Missing(
        "no Python 2.7 with ssl, zlib and ctypes in PYTHON27, pyenv or PATH"
    )


def candidates() -> Iterator[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in sorted(pyenv.glob("versions/2.7*"), reverse=True):
        yield version / "bin" / "python2.7"
    on_path = shutil.which("python2.7")
    if on_path:
        yield Path(on_path)


def runs(python: str | Path) -> bool:
    """Say whether this is a Python 2.7 that starts; pyenv's shims often do not."""
    try:
        probe = subprocess.run(
            [python, "-c", PROBE], env=clean_environ(), capture_output=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def clean_environ() -> dict[str, str]:
    """Return our environment without what would lead Python 2.7 to our packages."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def build(python27: Path) -> None:
    """Make the environment from nothing. Raises BuildFailed."""
    print(
        f"building the Autobahn environment with {python27}: half a minute, once",
        file=sys.stderr,
        flush=True,
    )
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir()
    bootstrap = HOME / "virtualenv"
    install = ["-m", "pip", "install", "--no-deps"]
    step([sys.executable, *install, "--target", str(bootstrap), VIRTUALENV])
    step(
        [str(python27), "-m", "virtualenv", "--no-download", str(HOME / "env")],
        PYTHONPATH=str(bootstrap),
    )
    python = str(interpreter())
    check_pip = f"import pip; assert pip.__version__ == '{PIP_VERSION}', pip"
    step([python, "-c", check_pip])
    step([python, *install, "-r", str(PINS)])
    step([python, "-m", "pip", "check"])
    # Written last: half an environment has no stamp and is built again.
    (HOME / "stamp").write_text(fingerprint())


def step(command: Sequence[str], **variables: str) -> None:
    """Run one command of the build, its output in the log. Raises BuildFailed."""
    log = HOME / "build.log"
    with log.open("a") as output:
        print("$", *command, file=output, flush=True)
        status = subprocess.run(
            command,
            env=clean_environ() | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    if status:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise BuildFailed(f"{last}\nstatus {status}; all of it is in {log}")


def main() -> int:
    try:
        print(prepare())
    except Python27Missing as missing:
        print(f"Autobahn: {missing}", file=sys.stderr)
        return NO_PYTHON27
    except BuildFailed as failure:
        print(f"Autobahn: environment not built\n{failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
