"""Compile the core in place: extension modules beside their Python sources.

    python tools/build.py              compile what changed; fail where that fails
    python tools/build.py --optional   without a compiler: say so, stay pure Python
    python tools/build.py --clean      remove the extensions of every Python

Keeps the hashes of the sources in ``build/``: times of files are not enough, because a
source may be edited while it is being compiled. tests/test_builds.py compares them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "longwire"
SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
TAG = SUFFIX.strip(".").rpartition(".")[0]
RECORD = ROOT / "build" / f"inplace-{TAG}.json"
LIBRARY = ROOT / "build" / f"lib-{TAG}"


def compiled_sources() -> list[Path]:
    """The modules that have to exist as extensions, as setup.py finds them too."""
    pyx = set(PACKAGE.rglob("*.pyx"))
    declared = {path.with_suffix(".py") for path in PACKAGE.rglob("*.pxd")}
    kernels = {path.with_suffix(".py") for path in pyx}
    return sorted(pyx | {path for path in declared - kernels if path.is_file()})


def hashes() -> dict[str, str]:
    """The hash of every file that takes part in a build, by its path."""
    files = [*compiled_sources(), *PACKAGE.rglob("*.pxd"), *PACKAGE.rglob("*.h")]
    files += [ROOT / "setup.py", ROOT / "pyproject.toml"]
    return {
        str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
    }


def extension_of(source: Path) -> Path:
    """Where the extension of ``source`` lies for the running Python."""
    return source.with_suffix(SUFFIX)


def stale() -> list[str]:
    """What is not built, or built from something else than lies there now."""
    missing = [
        f"{source.relative_to(ROOT)} (not built)"
        for source in compiled_sources()
        if not extension_of(source).is_file()
    ]
    recorded: dict[str, str] = {}
    if RECORD.is_file():
        recorded = json.loads(RECORD.read_text())
    current = hashes()
    changed = [
        f"{name} (changed)"
        for name in sorted(current.keys() | recorded.keys())
        if current.get(name) != recorded.get(name)
    ]
    return missing + changed


def build() -> None:
    """Bring all extensions up to date; raises CalledProcessError where that fails."""
    before = hashes()
    environment = {**os.environ, "LONGWIRE_REQUIRE_COMPILED": "1"}
    if _times_would_mislead():
        environment["LONGWIRE_FORCE_BUILD"] = "1"
    jobs = str(os.cpu_count() or 1)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--parallel", jobs]
    command += ["--build-lib", str(LIBRARY), "--build-temp", f"build/temp-{TAG}"]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as running:
        _show_progress(running)
    if running.returncode:
        RECORD.unlink(missing_ok=True)  # the C files may be those of the failure
        raise subprocess.CalledProcessError(running.returncode, command)
    wanted = {extension_of(source) for source in compiled_sources()}
    for target in sorted(wanted):
        _put(LIBRARY / target.relative_to(ROOT / "src"), target)
    for left in set(PACKAGE.rglob(f"*{SUFFIX}")) - wanted:
        left.unlink()
    RECORD.write_text(json.dumps(before, indent=1))


def _show_progress(running: subprocess.Popen[bytes]) -> None:
    """Say which modules are done while the compiler works: it takes a minute."""
    began = time.time()
    total = len(compiled_sources())
    done: set[str] = set()
    while running.poll() is None:
        for file in sorted(LIBRARY.rglob("*.so")):
            name = ".".join(file.relative_to(LIBRARY).parts).partition(".cpython")[0]
            if name not in done and file.stat().st_mtime >= began:
                done.add(name)
                print(f"  {len(done):2} of {total}: {name}", flush=True)
        time.sleep(0.2)


def _times_would_mislead() -> bool:
    """Whether a source changed that looks older than the last build."""
    if not RECORD.is_file():
        return True
    built = RECORD.stat().st_mtime
    recorded = json.loads(RECORD.read_text())
    return any(
        recorded.get(name) != value and (ROOT / name).stat().st_mtime <= built
        for name, value in hashes().items()
    )


def _put(built: Path, target: Path) -> None:
    if target.is_file() and target.read_bytes() == built.read_bytes():
        return
    # Never written in place: a running process has the old file mapped.
    fresh = target.with_suffix(".fresh")
    shutil.copy2(built, fresh)
    os.replace(fresh, target)


def clean() -> None:
    """Remove every compiled module, so that only Python is left."""
    for path in [*PACKAGE.rglob("*.so"), *PACKAGE.rglob("*.pyd")]:
        path.unlink()
    shutil.rmtree(ROOT / "build", ignore_errors=True)


def why_not() -> str | None:
    """What is missing for compiling here, with the package that has it, or None."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None and shutil.which("cc") is None:
        return f"no C compiler {compiler!r} (Debian: apt install gcc)"
    include = Path(sysconfig.get_path("include"))
    if not (include / "Python.h").is_file():
        return f"no Python.h in {include} (Debian: apt install python3-dev)"
    return None


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One build at a time in this folder."""
    RECORD.parent.mkdir(exist_ok=True)
    with open(ROOT / "build" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _what_it_takes(reasons: list[str]) -> str:
    total = len(compiled_sources())
    if not any(extension_of(source).is_file() for source in compiled_sources()):
        return f"compiling {total} modules, which takes a minute or two"
    return f"compiling what changed, of {total} modules: {_in_short(reasons)}"


def _in_short(reasons: list[str]) -> str:
    more = f" and {len(reasons) - 5} more" if len(reasons) > 5 else ""
    return ", ".join(reasons[:5]) + more


def main(arguments: list[str]) -> int:
    if "--clean" in arguments:
        clean()
        print("compiled modules removed; longwire runs as pure Python")
        return 0
    if sys.implementation.name != "cpython":
        print(f"nothing to compile for {sys.implementation.name}")
        return 0
    if reason := why_not():
        print(f"longwire is not compiled: {reason}", file=sys.stderr)
        return 0 if "--optional" in arguments else 1
    with locked():
        if not (reasons := stale()):
            print(f"compiled core is up to date ({len(compiled_sources())} modules)")
            return 0
        print(_what_it_takes(reasons), flush=True)
        try:
            build()
        except subprocess.CalledProcessError as exc:
            print(f"compiling failed (status {exc.returncode})", file=sys.stderr)
            return 1
    print(f"compiled core is built ({len(compiled_sources())} modules)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
