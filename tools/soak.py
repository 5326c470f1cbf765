"""A server under peers of every kind, for minutes; then it must be as it was before.

    python tools/soak.py [--seconds 300] [--visitors 60] [--tls FILE] [--sanitized]
    python tools/soak.py --siege [--attack NAME]     # see siege.py

Opens, closes, resets, half-open peers, slow readers, slow handshakes, garbage, floods,
bombs, broadcasts, and all the while the server is closed or drained and made anew in
its process. After a warm-up, and again at the end, the process is counted with nobody
connected: descriptors, tasks and objects of connections must be the same, memory within
``TOLERANCE``, and the log without a warning. LONGWIRE_ENGINE and LONGWIRE_PURE mean
what they mean elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
from asyncio import subprocess
from pathlib import Path
from typing import Any

import siege
from siege_attacks import ATTACKS
from soak_peers import Crowd

ROOT = Path(__file__).resolve().parent.parent
# KiB. malloc keeps pages that are used in part, a little more of them as time goes by;
# a leaked session is some 10 KiB, and there are some fifty connections in a second.
TOLERANCE = 6 * 1024
BETWEEN = 3.0  # seconds between two ends of the server
REPLY = 60.0  # seconds that an answer of the server may take
ALIKE = ("descriptors", "tasks", "objects")


class Server:
    """The process of the server, and orders to it."""

    def __init__(self, process: subprocess.Process) -> None:
        self.process = process
        self.pid = process.pid

    async def order(self, text: str) -> dict[str, Any]:
        """Return the answer; raises RuntimeError if the process has ended."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{text}\n".encode())
        async with asyncio.timeout(REPLY):
            line = await self.process.stdout.readline()
        if not line:
            status = await self.process.wait()
            raise RuntimeError(f"the server has ended at {text!r}: status {status}")
        return json.loads(line)  # type: ignore[no-any-return]

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.stdin.close()  # type: ignore[union-attr]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await self.process.wait()
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


async def start(options: argparse.Namespace) -> Server:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    if options.sanitized:
        sys.path.insert(0, str(ROOT))
        from fuzz import sanitized

        sanitized.build()
        sanitized.check_itself()
        environment = sanitized.environment()
    script = str(ROOT / "tools" / "soak_server.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, script, *([options.tls] if options.tls else [])),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    return Server(process)


async def soak(options: argparse.Namespace) -> list[str]:
    """Return what is wrong afterwards; an empty list is a pass."""
    server = await start(options)
    crowd = Crowd(options.visitors, bool(options.tls), options.seed)
    try:
        crowd.port = (await server.order("serve"))["port"]
        # All that is made on first use is made, and malloc has its pages.
        await visited(server, crowd, max(2.0, options.seconds * 0.2))
        before = await server.order("count")
        print(f"warm: {crowd.visits} visits, {told(before)}", flush=True)
        await visited(server, crowd, options.seconds * 0.8)
        after = await server.order("count")
        print(f"done: {crowd.visits} visits, {told(after)}", flush=True)
        await server.order("close")
    finally:
        await server.end()
    return complaints(before, after, crowd, options) + ended(server)


async def visited(server: Server, crowd: Crowd, seconds: float) -> None:
    """Let the crowd come while the server is closed and drained by turns."""
    loop = asyncio.get_running_loop()
    visiting = asyncio.ensure_future(crowd.come(seconds))
    end, turn = loop.time() + seconds, 0
    try:
        while loop.time() + BETWEEN < end:
            await asyncio.sleep(BETWEEN)
            turn += 1
            await server.order("drain" if turn % 2 else "close")
            crowd.port = (await server.order("serve"))["port"]
        await visiting
    finally:
        visiting.cancel()


def told(counts: dict[str, Any]) -> str:
    handled = counts["handled"]
    return (
        f"{handled.get('connections', 0)} connections, {counts['engine']} engine, "
        f"{handled.get('messages', 0)} messages echoed, {counts['memory']} KiB, "
        f"{counts['descriptors']} descriptors, {counts['tasks']} tasks"
    )


def complaints(
    before: dict[str, Any],
    after: dict[str, Any],
    crowd: Crowd,
    options: argparse.Namespace,
) -> list[str]:
    """Return a line for each thing that is not as it was."""
    wrong = [
        f"{name}: {before[name]} before, {after[name]} after"
        for name in ALIKE
        if before[name] != after[name]
    ]
    grown = after["memory"] - before["memory"]
    # Freed memory is kept aside by the address sanitizer.
    if grown > TOLERANCE and not options.sanitized:
        wrong.append(f"memory grew by {grown} KiB; {TOLERANCE} are allowed")
    wrong += [f"logged {n} times: {text}" for text, n in after["complaints"].items()]
    wrong += [f"not thrown out in time: {kind}" for kind in sorted(set(crowd.overdue))]
    if crowd.visits < options.seconds:
        wrong.append(f"only {crowd.visits} visits in {options.seconds} seconds")
    return wrong


def ended(server: Server) -> list[str]:
    status = server.process.returncode
    return [f"the server ended with status {status}"] if status else []


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--seconds", type=float, help="300; of each attack 10")
    parser.add_argument("--visitors", type=int, default=60, help="at a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tls", help="file with certificate and key")
    parser.add_argument("--sanitized", action="store_true", help="memory is not judged")
    parser.add_argument("--siege", action="store_true", help="attackers beside clients")
    parser.add_argument("--attack", choices=list(ATTACKS), help="one; else all of them")
    parser.add_argument("--attackers", type=int, default=10)
    parser.add_argument("--honest", type=int, default=100, help="clients")
    options = parser.parse_args(arguments)
    if options.seconds is None:
        options.seconds = 10.0 if options.siege else 300.0
    if options.siege:
        return siege.main(options)
    # What asyncio says of the peers, who write to whom they were thrown out by.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    wrong = asyncio.run(soak(options))
    for line in wrong:
        print(f"soak: {line}")
    print("soak: FAILED" if wrong else "soak: as it was before")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
