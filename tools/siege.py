"""Attackers and honest clients at one server: what the honest ones notice of it.

    python tools/soak.py --siege [--attack NAME] [--attackers 10] [--honest 100]

A server with the default limits, the clients and the attackers are processes of their
own, and attackers have an address of their own. Each honest client connects, echoes ten
messages and closes, again and again. Prints for each attack the latency of their
messages and handshakes in milliseconds, as it is in peace and under attack, and the
memory and the processor time of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siege_attacks import ATTACKS, siege
from soak_peers import frame, request

ROOT = Path(__file__).resolve().parent.parent
MESSAGE = frame(0x82, b"x" * 32)
ECHOES = 10
GAP = 0.05  # seconds between two messages of a client
PATIENCE = 20.0  # seconds after which a client gives up, and counts as that slow
CLOSE = frame(0x88, b"\x03\xe8")


# --- the server ------------------------------------------------------------------


async def serve() -> None:
    """Serve until the end of stdin; tell memory and time at each line of it."""
    sys.path.insert(0, str(ROOT / "src"))
    import longwire

    listeners: set[Any] = set()

    async def handler(ws: Any) -> None:
        path = ws.request.path
        if path == "/deaf":
            await asyncio.Event().wait()
        elif path == "/broadcast":
            listeners.add(ws)
            try:
                await ws.wait_closed()
            finally:
                listeners.remove(ws)
        else:
            async for message in ws:
                await ws.send(message)

    async def tell() -> None:
        while True:
            await asyncio.sleep(0.002)
            if listeners:
                longwire.broadcast(listeners, b"x" * 100)

    logging.disable(logging.WARNING)
    server = await longwire.serve(handler, "127.0.0.1", 0)
    telling = asyncio.create_task(tell())
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps([_memory(), used.ru_utime + used.ru_stime]), flush=True)
    telling.cancel()
    os._exit(0)


def _memory() -> int:
    """Return the most memory that this process has had, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# --- honest clients --------------------------------------------------------------


@dataclass
class Figures:
    """Seconds that messages and handshakes took, and how many clients gave up."""

    echoes: list[float]
    handshakes: list[float]
    failed: int = 0


async def visit(port: int, figures: Figures) -> None:
    begin = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request("/echo"))
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(head)
        figures.handshakes.append(time.monotonic() - begin)
        for _ in range(ECHOES):
            begin = time.monotonic()
            writer.write(MESSAGE)
            await reader.readexactly(34)
            figures.echoes.append(time.monotonic() - begin)
            await asyncio.sleep(GAP)
        writer.write(CLOSE)
    finally:
        writer.transport.abort()


async def honest(port: int, count: int, seconds: float) -> Figures:
    """Let ``count`` clients come and go for ``seconds``."""
    figures = Figures([], [])
    end = time.monotonic() + seconds

    async def come(number: int) -> None:
        await asyncio.sleep(number * GAP * ECHOES / count)
        while time.monotonic() < end:
            begin = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    await visit(port, figures)
            except (OSError, EOFError, TimeoutError):
                figures.failed += 1
                figures.handshakes.append(time.monotonic() - begin)
                await asyncio.sleep(GAP)

    await asyncio.gather(*(come(number) for number in range(count)))
    return figures


# --- the three together ----------------------------------------------------------


@dataclass
class Outcome:
    """What one attack did to the honest clients."""

    attack: str
    calm: Figures
    stormy: Figures
    memory: int
    """The server's most, in KiB."""
    busy: float
    """Seconds of processor time of the server under attack."""


def percentile(values: list[float], part: float) -> float:
    """Return what ``part`` of the values are not above, in milliseconds."""
    if not values:
        return float("inf")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000


def _start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "tools" / "siege.py"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def attacked(attack: str, attackers: int, clients: int, seconds: float) -> Outcome:
    """Return what ``clients`` notice of ``attackers`` in ``seconds``."""
    server = _start("server", stdin=subprocess.PIPE)
    assert server.stdin is not None and server.stdout is not None
    foes: subprocess.Popen[str] | None = None
    try:
        port = server.stdout.readline().strip()
        calm = _visited(port, clients, seconds / 2)
        before = _asked(server)
        foes = _start("attack", attack, port, str(attackers), stdin=subprocess.PIPE)
        time.sleep(0.5)  # the attack is under way
        stormy = _visited(port, clients, seconds)
        after = _asked(server)
        return Outcome(attack, calm, stormy, after[0], after[1] - before[1])
    finally:
        for process in (foes, server):
            if process is not None:
                process.kill()
                process.communicate()


def _visited(port: str, clients: int, seconds: float) -> Figures:
    done = _start("honest", port, str(clients), str(seconds))
    text, _ = done.communicate(timeout=seconds + 4 * PATIENCE)
    return Figures(**json.loads(text))


def _asked(server: subprocess.Popen[str]) -> list[Any]:
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write("?\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())  # type: ignore[no-any-return]


def told(outcome: Outcome) -> str:
    calm, stormy = outcome.calm, outcome.stormy
    parts = [f"{outcome.attack:20}"]
    for name in ("echoes", "handshakes"):
        quiet = percentile(getattr(calm, name), 0.99)
        loud = getattr(stormy, name)
        p50, p99 = percentile(loud, 0.5), percentile(loud, 0.99)
        parts.append(f"{name} p50 {p50:6.1f} p99 {p99:7.1f} (in peace {quiet:5.1f})")
    parts.append(f"failed {stormy.failed}")
    parts.append(f"{outcome.memory // 1024} MiB, {outcome.busy:.1f} s")
    return "  ".join(parts)


def main(options: argparse.Namespace) -> int:
    """Carry out each attack that was asked for; for ``soak.py``."""
    names = [options.attack] if options.attack else list(ATTACKS)
    for name in names:
        outcome = attacked(name, options.attackers, options.honest, options.seconds)
        print(told(outcome), flush=True)
    return 0


def run_role(role: str, *arguments: str) -> None:
    if role == "server":
        asyncio.run(serve())
    elif role == "honest":
        port, count, seconds = arguments
        figures = asyncio.run(honest(int(port), int(count), float(seconds)))
        print(json.dumps(figures.__dict__))
    else:
        name, port, count = arguments
        siege(name, int(port), int(count), threading.Event())


if __name__ == "__main__":
    run_role(*sys.argv[1:])
