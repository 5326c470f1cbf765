"""Programs of the documents, each run in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.commands import SECONDS, Running, environment

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@contextlib.contextmanager
def program(file: Path, *arguments: str, **environ: str) -> Iterator[Running]:
    """Start a Python file; end it when the block ends, however it does."""
    process = subprocess.Popen(
        [sys.executable, str(file), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(**environ),
    )
    started = Running(process)
    try:
        yield started
    finally:
        if process.poll() is None:
            process.kill()
        started.wait()
        process.stdout.close()  # type: ignore[union-attr]


async def output_of(file: Path, *arguments: str, **environ: str) -> str:
    """Return what a Python file prints; it must end by itself, and well."""
    with program(file, *arguments, **environ) as running:
        status = await asyncio.to_thread(running.wait)
        output = running.output
    assert status == 0, output
    return output


async def until_listening(port: int, running: Running) -> None:
    """Wait until the program accepts connections on localhost."""
    async with asyncio.timeout(SECONDS):
        while True:
            assert running.process.poll() is None, running.output
            try:
                _, writer = await asyncio.open_connection("localhost", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return
