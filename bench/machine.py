"""Where and of what a run was: what every stored result begins with."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import ssl
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def facts(*packages: str) -> dict[str, str]:
    """Date, commit, machine, Python, and the versions of ``packages``."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": commit(),
        "machine": f"{platform.system()} {platform.machine()}, {cpu()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def details() -> dict[str, str]:
    """What the figures of whole servers depend on besides."""
    load = os.getloadavg()[0]
    return {
        "kernel": platform.release(),
        "openssl": ssl.OPENSSL_VERSION,
        "load": f"{load:.1f} before the run",
    }


def commit() -> str:
    """The commit, with a "+" where longwire's sources differ from it."""
    head = _git("rev-parse", "--short", "HEAD")
    return (head or "unknown") + ("+" if _git("status", "--porcelain", "src") else "")


def _git(*arguments: str) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    return result.stdout.strip()


def cpu() -> str:
    """How many cores of which model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{len(models)} × {models[0]}" if models else "unknown"
