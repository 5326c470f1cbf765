"""uvicorn with longwire.asgi, in this process and in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn

from longwire.asgi import Protocol
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
Application = Callable[..., Awaitable[Any]]


class Serving:
    """A server of uvicorn that runs on this loop."""

    def __init__(self, application: Any, **settings: Any) -> None:
        self.port = free_port()
        settings = {
            "ws": Protocol,
            "lifespan": "off",
            "log_config": None,
            "port": self.port,
            **settings,
        }
        self.config = uvicorn.Config(application, **settings)
        self.server = uvicorn.Server(self.config)

    @property
    def uri(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def serving(application: Any, **settings: Any) -> AsyncIterator[Serving]:
    found = Serving(application, **settings)
    server = found.server
    # Its own signal handlers would be those of the test run.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        if task.done():
            task.result()
    try:
        yield found
    finally:
        server.should_exit = True
        await task


class Program:
    """``python -m uvicorn`` with an application, and what it printed."""

    def __init__(
        self, folder: Path, name: str, *options: str, **variables: str
    ) -> None:
        self.port = free_port()
        self.log = folder / "uvicorn.log"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "uvicorn", name, "--port", str(self.port)),
                    *("--ws", "longwire.asgi:Protocol", *options),
                ],
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
                    **variables,
                },
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while text not in self.output:
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"no {text!r} in:\n{self.output}")
            time.sleep(0.02)

    @property
    def uri(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def program(
    folder: Path, text: str, *options: str, name: str = "program:app", **variables: str
) -> Iterator[Program]:
    """Run uvicorn with ``text`` as program.py until it listens, and end it."""
    (folder / "program.py").write_text(text)
    running = Program(folder, name, *options, **variables)
    try:
        running.wait_for("Uvicorn running on")
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


Event = MutableMapping[str, Any]
