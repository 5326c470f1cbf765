"""Child processes of a run: started with a log, waited for, always ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

__all__ = ["ChildFailed", "child", "first_line", "free_port", "listening", "tail"]

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0


class ChildFailed(Exception):
    """A child process ended or answered wrongly; the message has its last lines."""


@contextlib.asynccontextmanager
async def child(
    command: Sequence[str],
    log: Path,
    environ: Mapping[str, str],
    *,
    answers: bool = False,
) -> AsyncIterator[Process]:
    """Run a command while the block runs; what it prints goes to the log.

    With ``answers`` only its errors do, and its output is a pipe for ``first_line``.
    Whatever ends the block ends the process.
    """
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=PIPE if answers else output,
            stderr=output,
            env=environ,
        )
    try:
        yield process
    finally:
        await end(process)


async def end(process: Process) -> None:
    """Ask the process to end, and after a while make it."""
    if process.returncode is not None:
        return
    send(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except (TimeoutError, asyncio.CancelledError):
        send(process, signal.SIGKILL)
        await process.wait()


def send(process: Process, number: signal.Signals) -> None:
    # Not by Process.send_signal: that looks first whether the process has ended,
    # and takes its exit status away from the event loop.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


async def first_line(process: Process, log: Path) -> tuple[str, int]:
    """Return the build and the number that our echo programs print first.

    Raises ChildFailed if the process ends or takes too long.
    """
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT):
            line = await process.stdout.readline()
    except TimeoutError:
        line = b""
    words = line.decode(errors="replace").split()
    if len(words) != 2 or not words[1].isdecimal():
        raise ChildFailed(f"no build and number but {line!r}\n{tail(log)}")
    return words[0], int(words[1])


def free_port() -> int:
    """Return a port that nobody has on loopback at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def listening(process: Process, port: int) -> bool:
    """Wait until the port accepts connections; False if the process ended instead."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_TIMEOUT
    while process.returncode is None and loop.time() < deadline:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return process.returncode is None
    return False


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log under its name, for an error message."""
    last = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"--- end of {log}", *(f"    {line}"[:300] for line in last)])
