"""The C programs: the reference server, which is the floor, and the load generator.

    python bench/floor.py      builds them, and prints where they are

``build()`` compiles them where they are older than their source, with TLS and with
compression where the headers of OpenSSL and zlib are there, and returns a `Floor`.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "bench" / "c"
BUILT = ROOT / "build" / "bench"
FLAGS = "-O2 -std=c11 -Wall -Wextra"
# feature: (header, define, libraries, Debian package)
FEATURES = {
    "tls": ("openssl/ssl.h", "-DWITH_TLS", "-lssl -lcrypto", "libssl-dev"),
    "deflate": ("zlib.h", "-DWITH_ZLIB", "-lz", "zlib1g-dev"),
}


class Floor(NamedTuple):
    """The paths of the programs, and what they cannot do with the reason for it."""

    server: Path
    load: Path
    missing: dict[str, str]


class Impossible(Exception):
    """The programs cannot be built here; the message says why."""


@functools.cache
def build() -> Floor:
    """Compile what changed; raises `Impossible`, CalledProcessError for our faults."""
    if not sys.platform.startswith("linux"):
        raise Impossible("the benchmarks need Linux: their C programs use epoll")
    if shutil.which("cc") is None:
        raise Impossible("the benchmarks need a C compiler (Debian: apt install gcc)")
    BUILT.mkdir(parents=True, exist_ok=True)
    flags, libraries, missing = FLAGS.split(), [], {}
    for feature, (header, define, library, package) in FEATURES.items():
        if _has_header(header):
            flags.append(define)
            libraries += library.split()
        else:
            missing[feature] = f"no {header} (Debian: apt install {package})"
    for name in ("server", "load"):
        _compile(name, flags, libraries)
    return Floor(BUILT / "server", BUILT / "load", missing)


def install_headers() -> None:
    """Get the headers from Debian where that is allowed; says what it does."""
    if shutil.which("cc") is None:
        return
    packages = [row[3] for row in FEATURES.values() if not _has_header(row[0])]
    if packages:
        subprocess.run([str(ROOT / "tools" / "debian.sh"), *packages], check=False)


def _has_header(header: str) -> bool:
    command = ["cc", "-E", "-x", "c", "-include", header, "/dev/null"]
    return subprocess.run(command, capture_output=True).returncode == 0


def _compile(name: str, flags: list[str], libraries: list[str]) -> None:
    target = BUILT / name
    stamp = BUILT / f"{name}.flags"
    command = ["cc", *flags, str(SOURCES / f"{name}.c"), *libraries, "-o"]
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    if (
        target.exists()
        and target.stat().st_mtime > newest
        and stamp.exists()
        and stamp.read_text() == " ".join(command)
    ):
        return
    # Under another name first: two runs may build at the same time.
    fresh = target.with_suffix(f".{os.getpid()}")
    subprocess.run([*command, str(fresh)], check=True)
    fresh.replace(target)
    stamp.write_text(" ".join(command))


if __name__ == "__main__":
    install_headers()
    print(json.dumps(build()._asdict(), default=str))
