"""With conformance/dependents/alias on the path, websockets is longwire.websockets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conformance.dependents.packages import HERE, ROOT

pytestmark = pytest.mark.once

MODULES = [
    *("asyncio.client", "asyncio.server", "client", "exceptions", "extensions.base"),
    *("frames", "http11", "legacy", "legacy.client", "legacy.protocol", "protocol"),
    *("server", "typing", "version"),
]


def run(program: str, *arguments: str) -> str:
    """Return what a program prints in a process that has the alias."""
    path = os.pathsep.join([str(HERE / "alias"), str(ROOT / "src")])
    found = subprocess.run(
        [sys.executable, "-W", "error", *arguments, *(["-c", program] * bool(program))],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_the_package_and_its_modules_are_those_of_longwire() -> None:
    program = "import websockets, longwire.websockets as ours, importlib\n"
    program += "print(websockets is ours)\n"
    for module in MODULES:
        program += f"theirs = importlib.import_module('websockets.{module}')\n"
        program += f"ours = importlib.import_module('longwire.websockets.{module}')\n"
        program += "print(theirs is ours, ours.__spec__.name == ours.__name__)\n"

    assert set(run(program).split()) == {"True"}


@pytest.mark.parametrize(
    "line",
    [
        "from websockets import connect, serve, exceptions",
        "import websockets.legacy.server as server; server.WebSocketServerProtocol",
        "from websockets.asyncio.client import ClientConnection",
        "import websockets; websockets.exceptions.ConnectionClosed",
    ],
)
def test_each_form_of_import_works(line: str) -> None:
    assert run(f"{line}\nprint('done')") == "done"


def test_a_module_that_is_not_there_is_missed_under_its_own_name() -> None:
    program = "try: import websockets.nothing\n"
    program += "except ModuleNotFoundError as error: print(error.name)"

    assert run(program) == "websockets.nothing"


def test_the_command_line_is_that_of_longwire() -> None:
    assert "websockets" in run("", "-m", "websockets", "--version")
