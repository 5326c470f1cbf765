"""Builds and tests the JavaScript side with what js/package-lock.json pins.

    python tools/js.py install  what the words below, and some tests of ours, need
    python tools/js.py build    into js/dist and src/longwire/rpc/static
    python tools/js.py test     are the built files those of the sources? types; tests

Each installs what is needed into js/node_modules first. Status 69 where there is no
Node of version 20 or newer with npm.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

JS = Path(__file__).resolve().parent.parent / "js"
INSTALLED = JS / "node_modules" / ".package-lock.json"  # npm writes it last
UNAVAILABLE = 69
OLDEST_NODE = 20


def unavailable(why: str) -> int:
    print(why)
    return UNAVAILABLE


def missing() -> str | None:
    """What is not there that cannot be installed from here."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "needs node and npm (apt install nodejs npm)"
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    major = re.match(r"v(\d+)", version)
    if major is None or int(major[1]) < OLDEST_NODE:
        return f"needs node {OLDEST_NODE} or newer, found {version.strip() or 'none'}"
    return None


def run(*command: str) -> str:
    """Run a command in js/, showing what it prints; SystemExit where it fails."""
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=JS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            # A word of npm about its own settings says nothing about ours.
            if not line.startswith("npm warn Unknown"):
                print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        said = " ".join(command)
        raise SystemExit(f"failed with status {process.returncode}: {said}")
    return "".join(lines)


def install() -> None:
    lock = JS / "package-lock.json"
    if INSTALLED.exists() and INSTALLED.stat().st_mtime >= lock.stat().st_mtime:
        return
    run("npm", "ci", "--ignore-scripts", "--loglevel=error")


def main(word: str) -> int:
    start = time.monotonic()
    what = missing()
    if what is not None:
        return unavailable(f"1 left out, {what}")
    install()
    if word == "install":
        return 0
    if word == "build":
        run("node", "build.js")
        return 0
    run("node", "build.js", "--check")
    run("npm", "run", "--silent", "types")
    tests = sorted(str(path.relative_to(JS)) for path in JS.glob("tests/*.test.js"))
    output = run("node", "--test", "--test-reporter=spec", *tests)
    passed = re.search(r"^\S+ pass (\d+)$", output, re.MULTILINE)
    if passed is None or passed[1] == "0":
        print("no test was run")
        return 1
    print(f"{passed[1]} passed in {time.monotonic() - start:.1f}s")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("install", "build", "test"):
        raise SystemExit(__doc__)
    sys.exit(main(sys.argv[1]))
