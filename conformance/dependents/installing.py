"""An environment and the sources of a package, made once below .tools/dependents."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from conformance.dependents.packages import Package

__all__ = ["NotInstalled", "install", "lock"]


class NotInstalled(Exception):
    """A package could not be installed; the message ends with pip's last lines."""


def install(package: Package) -> None:
    """Install the package and unpack its sources, unless both are there.

    Raises NotInstalled.
    """
    with alone(package):
        stamp = package.folder / "stamp"
        wanted = fingerprint(package)
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        shutil.rmtree(package.folder, ignore_errors=True)
        package.folder.mkdir(parents=True)
        make_environment(package)
        if not package.programs:
            unpack(package)
        stamp.write_text(wanted)


@contextlib.contextmanager
def alone(package: Package) -> Iterator[None]:
    """Keep out all who want to install the same environment: threads and processes.

    The lock is beside the folder, which an installation removes.
    """
    package.folder.parent.mkdir(parents=True, exist_ok=True)
    with package.folder.with_name(f"{package.folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
        yield


def fingerprint(package: Package) -> str:
    """Return what an environment is made from, as one hexadecimal number."""
    locked = package.lock.read_text() if package.lock.exists() else package.wanted
    made_from = f"{locked} {package.package} {package.programs} {sys.version}"
    return hashlib.sha256(made_from.encode()).hexdigest()


def make_environment(package: Package) -> None:
    home = package.folder / "venv"
    step(package, [sys.executable, "-m", "venv", "--without-pip", str(home)])
    locked = ["-r", str(package.lock)] if package.lock.exists() else package.wanted
    pip(package, "--python", str(package.python), "install", *locked)


def unpack(package: Package) -> None:
    """Put the source distribution, tests and all, where the tests are run."""
    folder = package.folder / "download"
    pip(
        package,
        *("download", "--no-deps", "--no-binary", package.project),
        *("--dest", str(folder), package.package),
    )
    (archive,) = folder.iterdir()
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    unpacked.rename(package.sources)
    shutil.rmtree(folder)
    # Sources without a configuration of pytest's would be run with that of longwire.
    (package.folder / "pytest.ini").write_text("[pytest]\n")


def lock(package: Package) -> None:
    """Write down the versions of all that is installed for a package."""
    with alone(package):
        found = subprocess.run(
            # All: freeze leaves out setuptools, which some packages import.
            pip_command(
                *("--python", str(package.python)),
                *("freeze", "--all", "--exclude", "pip"),
            ),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        package.lock.write_text(found)
        (package.folder / "stamp").write_text(fingerprint(package))


def pip_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]


def pip(package: Package, *arguments: str) -> None:
    step(package, pip_command(*arguments))


def step(package: Package, command: list[str]) -> None:
    """Run one command of an installation, its output in a log. Raises NotInstalled."""
    log = package.folder / "install.log"
    with log.open("a") as output:
        print("$", *command, file=output, flush=True)
        status = subprocess.run(
            command,
            env=without_python_path(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    if status:
        raise NotInstalled(f"{tail(log)}\nstatus {status}; all of it is in {log}")


def without_python_path() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
