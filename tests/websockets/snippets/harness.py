"""Runs what the documents print: short blocks here, whole programs as processes.

A block or a program stands in a test as its document has it, with
``import websockets``; `ported` changes that line and nothing else. What a block takes
for granted (``consumer``, ``do_some_work``, ...) is given to it by name. A program gets
a free port in the place of the printed one, so that tests can run side by side.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import os
import re
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import websockets as peer

from longwire import websockets
from tests.cli.test_connect_in_a_terminal import Terminal
from tests.docs.programs import program
from tests.support.commands import SECONDS, Running, environment
from tests.support.needs import needs

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
IMPORT = re.compile(r"^( *)import websockets$", re.MULTILINE)
FROM = re.compile(r"^( *)from websockets\b", re.MULTILINE)


def ported(source: str) -> str:
    """Return a document's code with its import line changed, and nothing else."""
    source = textwrap.dedent(source).strip() + "\n"
    source = IMPORT.sub(r"\1from longwire import websockets", source)
    return FROM.sub(r"\1from longwire.websockets", source)


def _compiled(source: str) -> CodeType:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code: CodeType = compile(ported(source), "<document>", "exec", flags)
    return code


def block(source: str, **names: Any) -> SimpleNamespace:
    """Run a block of code with the names it takes for granted; return what it made."""
    namespace = {"asyncio": asyncio, "websockets": websockets, **names}
    result = eval(_compiled(source), namespace)
    assert result is None, "a block with await is for awaited_block()"
    return SimpleNamespace(**namespace)


async def awaited_block(source: str, **names: Any) -> SimpleNamespace:
    """Like `block`, for code that has ``await`` outside functions."""
    namespace = {"asyncio": asyncio, "websockets": websockets, **names}
    result = eval(_compiled(source), namespace)
    assert inspect.isawaitable(result), "a block without await is for block()"
    await result
    return SimpleNamespace(**namespace)


def uri_of(server: Any, path: str = "/") -> str:
    """Where a server of ours or of the peer listens."""
    host, port = server.sockets[0].getsockname()[:2]
    return f"ws://{host}:{port}{path}"


@contextlib.asynccontextmanager
async def serving(handler: Any, **keywords: Any) -> AsyncIterator[str]:
    """A server through the documented API; its URI."""
    async with websockets.serve(handler, "127.0.0.1", 0, **keywords) as server:
        yield uri_of(server)


@contextlib.asynccontextmanager
async def peer_serving(handler: Any, **keywords: Any) -> AsyncIterator[str]:
    """A server of the ``websockets`` package; its URI."""
    async with peer.serve(handler, "127.0.0.1", 0, **keywords) as server:
        yield uri_of(server)


def connect(uri: str, **keywords: Any) -> peer.connect:
    """A client of the ``websockets`` package, which proxies of the environment miss."""
    return peer.connect(uri, proxy=None, **keywords)


class Sleep:
    """An ``asyncio`` whose ``sleep`` ends when the test says so, not by the clock."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._over = asyncio.Event()

    async def sleep(self, delay: float) -> None:
        self.asked.append(delay)
        await self._over.wait()

    def end(self) -> None:
        self._over.set()


async def until(condition: Any) -> None:
    """Wait until a function gives something true, and say so where it never does."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


# -- whole programs


def written(folder: Path, name: str, source: str, **ports: int) -> Path:
    """Write a program into ``folder``; ``p8765=1234`` replaces a printed port.

    The program needs no loop set beforehand up to Python 3.13, where
    ``asyncio.get_event_loop()`` still makes one. From 3.14 on, the file that is run
    sets one first.
    """
    source = ported(source)
    for printed, port in ports.items():
        assert printed[1:] in source, f"the program does not name port {printed[1:]}"
        source = re.sub(rf"\b{printed[1:]}\b", str(port), source)
    file = folder / name
    file.write_text(source, "utf-8")
    if sys.version_info < (3, 14):
        return file
    runner = folder / f"run_{name}"
    runner.write_text(
        "import asyncio, runpy\n"
        "asyncio.set_event_loop(asyncio.new_event_loop())\n"
        f"runpy.run_path({str(file)!r}, run_name='__main__')\n"
    )
    return runner


def example(folder: Path, name: str, **ports: int) -> Path:
    """Copy a program of ``examples/``, with free ports in the place of its own."""
    source = (EXAMPLES / name).read_text("utf-8")
    assert source == ported(source), "examples import longwire"
    return written(folder, Path(name).name, source, **ports)


def run(file: Path, *arguments: str, stdin: str = "", **environ: str) -> str:
    """Run a program to its end, which must be a good one; return what it printed."""
    done = subprocess.run(
        [sys.executable, str(file), *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        env=environment(**environ),
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


async def ran(file: Path, *arguments: str, stdin: str = "", **environ: str) -> str:
    """Like `run`, beside a server in this process."""
    return await asyncio.to_thread(run, file, *arguments, stdin=stdin, **environ)


@contextlib.contextmanager
def started(file: Path, *arguments: str, port: int | None = None) -> Iterator[Running]:
    """Start a program; with ``port``, wait until it can be connected to."""
    with program(file, *arguments) as running:
        if port is not None:
            wait_for_port(port, running)
        yield running


def wait_for_port(port: int, running: Running) -> None:
    """Wait until a process that was started accepts connections."""
    deadline = time.monotonic() + SECONDS
    while True:
        assert running.process.poll() is None, running.output
        assert time.monotonic() < deadline, f"nobody listens: {running.output}"
        with contextlib.suppress(OSError):
            socket.create_connection(("localhost", port)).close()
            return
        time.sleep(0.05)


@contextlib.contextmanager
def interactive(uri: str) -> Iterator[Terminal]:
    """``python -m longwire.websockets URI`` in a terminal."""
    needs("pty")
    import fcntl
    import pty
    import termios

    keyboard, screen = pty.openpty()
    os.set_blocking(keyboard, False)
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "longwire.websockets", uri],
        stdin=screen,
        stdout=screen,
        stderr=screen,
        env=environment(TERM="xterm", XDG_STATE_HOME=os.devnull),
        start_new_session=True,
    )
    os.close(screen)
    try:
        yield Terminal(process, keyboard)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(keyboard)
