"""The compiled modules with sanitizers in them, in a tree of their own.

    python -m fuzz.sanitized            build it; say what is needed to run it
    python -m fuzz.sanitized COMMAND    build it and run a command in its environment

An address or undefined-behaviour fault ends the process with a report. Python takes its
memory from malloc there, so that each bytes object has a guarded end.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "sanitized"
RECORD = ROOT / "build" / "sanitized.json"
COVERAGE = ROOT / "build" / "coverage.so"

# Without NDEBUG the macros of Python's headers check the types they are given.
FLAGS = (
    "-g -O1 -UNDEBUG -fno-omit-frame-pointer -fsanitize=address,undefined "
    "-fno-sanitize-recover=all -fsanitize-coverage=trace-pc,trace-cmp"
)

sys.path.insert(0, str(ROOT / "tools"))
import build as inplace  # noqa: E402 - tools/ is no package


def build() -> Path:
    """Return the folder to put on ``sys.path``, with everything in it up to date."""
    wanted = {**inplace.hashes(), "flags": FLAGS, "python": sys.version}
    wanted["coverage"] = hashlib.sha256(_source().read_bytes()).hexdigest()
    with inplace.locked():
        recorded = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
        if changed := {key for key, _ in wanted.items() ^ recorded.items()}:
            print("compiling with sanitizers", flush=True)
            _compile(all(key.endswith((".py", ".pyx", ".pxd")) for key in changed))
        _copy_python()
        RECORD.write_text(json.dumps(wanted, indent=1))
    return TREE


def _source() -> Path:
    return ROOT / "fuzz" / "coverage.c"


def _compile(only_changed: bool) -> None:
    """Compile the modules whose sources are newer, or all of them."""
    environment = {
        **os.environ,
        "LONGWIRE_REQUIRE_COMPILED": "1",
        "CC": f"gcc {FLAGS}",
        # The runtime is preloaded, GCC's or libFuzzer's; none is to be linked.
        "LDSHARED": "gcc -shared",
    }
    command = [sys.executable, "setup.py", "-q", "build_ext"]
    if not only_changed:
        shutil.rmtree(TREE, ignore_errors=True)
        environment["LONGWIRE_FORCE_BUILD"] = "1"
        command.append("--force")
    command += ["--parallel", str(os.cpu_count() or 1)]
    command += ["--build-lib", str(TREE), "--build-temp", "build/temp-sanitized"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    shared = ["gcc", "-O2", "-fPIC", "-shared", "-o", str(COVERAGE), str(_source())]
    subprocess.run(shared, check=True)


def _copy_python() -> None:
    """Bring everything that is not compiled; drop what the sources no longer have."""
    sources = {
        path.relative_to(ROOT / "src")
        for path in (ROOT / "src" / "longwire").rglob("*")
        if path.is_file() and path.suffix not in (".so", ".pyc")
    }
    for path in sources:
        target = TREE / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / "src" / path, target)
    for path in TREE.rglob("*"):
        ours = path.is_file() and path.suffix not in (".so", ".pyc")
        if ours and path.relative_to(TREE) not in sources:
            path.unlink()


def why_not() -> str | None:
    """Say what is missing to build and run this here, or None."""
    if sys.implementation.name != "cpython" or not sys.platform.startswith("linux"):
        return "the sanitizer build needs CPython on Linux"
    if shutil.which("gcc") is None:
        return "no gcc (Debian: apt install gcc)"
    if not Path(_library("libasan.so")).is_file():
        return "gcc has no libasan.so (Debian: apt install libgcc-12-dev)"
    return inplace.why_not()


def _library(name: str) -> str:
    command = ["gcc", f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def environment(runtime: str | None = None) -> dict[str, str]:
    """Return the environment for a process that uses the tree.

    ``runtime`` is a library with the functions of both sanitizers; GCC's if None.
    """
    runtimes = (
        [runtime] if runtime else [_library("libasan.so"), _library("libubsan.so")]
    )
    return {
        **os.environ,
        # Ours comes first: libFuzzer has functions of the same name.
        "LD_PRELOAD": " ".join([str(COVERAGE), *runtimes]),
        # Python keeps much to its end on purpose; tools/soak.py looks for leaks. Each
        # extension has its own copy of what Cython puts in all of them.
        "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0:detect_odr_violation=0"
        ":allocator_may_return_null=1:quarantine_size_mb=32",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": f"{TREE}{os.pathsep}{ROOT}",
        "PYTHONSAFEPATH": "1",
        "LONGWIRE_PURE": "0",
    }


def check_itself(runtime: str | None = None) -> None:
    """Raise RuntimeError unless reading past the end of a bytes object is noticed."""
    past_the_end = (
        "import ctypes, sys; b = bytes(100);"
        "ctypes.string_at(id(b) + sys.getsizeof(b) - 1, 9); print('unnoticed')"
    )
    done = subprocess.run(
        [sys.executable, "-c", past_the_end],
        env=environment(runtime),
        capture_output=True,
        text=True,
    )
    if "heap-buffer-overflow" not in done.stderr:
        raise RuntimeError(f"the address sanitizer is blind here: {done}")


def main(arguments: list[str]) -> int:
    if reason := why_not():
        print(f"no sanitizers: {reason}", file=sys.stderr)
        return 1
    tree = build()
    check_itself()
    if not arguments:
        print(f"built in {tree.relative_to(ROOT)}")
        return 0
    if arguments[0] == "python":
        arguments[0] = sys.executable
    return subprocess.run(arguments, env=environment()).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
