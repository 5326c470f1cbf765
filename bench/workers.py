"""Echo by `longwire serve` with 1 and 2 workers: messages per second, CPU, evenness.

    python bench/workers.py [SECONDS]

Two client processes in either case, so that one core of clients is not the limit; on a
machine with two cores, clients and workers share them: compare the CPU per message.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from longwire import connect

CLIENTS, FLIGHT = 32, 16
APP = """
async def app(ws):
    async for message in ws:
        await ws.send(message)
"""


async def talk(uri: str, seconds: float) -> int:
    count = 0
    async with connect(uri, compression=None, proxy=None) as ws:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(FLIGHT):
                await ws.send("x" * 64)
            for _ in range(FLIGHT):
                await ws.recv()
            count += FLIGHT
    return count


async def clients(uri: str, seconds: float) -> None:
    counts = await asyncio.gather(*(talk(uri, seconds) for _ in range(CLIENTS)))
    print(sum(counts), flush=True)


def measure(workers: int, seconds: float, folder: str) -> None:
    (Path(folder) / "benched.py").write_text(APP)
    command = [sys.executable, "-m", "longwire", "serve", "benched:app", "-v"]
    command += ["--host", "127.0.0.1", "--port", "0", "--workers", str(workers)]
    command += ["--app-dir", folder, "--compression", "none"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        uri = ""
        while not uri:
            found = re.search(r"listening on (\S+)", server.stdout.readline())
            uri = found[1] if found else ""
        processes = psutil.Process(server.pid).children()
        before = [sum(process.cpu_times()[:2]) for process in processes]
        asking = [sys.executable, __file__, "--client", uri, str(seconds)]
        running = [
            subprocess.Popen(asking, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        total = sum(int(each.communicate()[0]) for each in running)
        used = [
            sum(process.cpu_times()[:2]) - first
            for process, first in zip(processes, before, strict=True)
        ]
        server.send_signal(signal.SIGTERM)
    shares = "/".join(f"{100 * each / sum(used):.0f}" for each in used)
    print(
        f"{workers} workers: {total / seconds:9,.0f} messages/s, "
        f"{sum(used) / total * 1e6:.2f} µs of workers' CPU per message, "
        f"shares {shares} %, {max(used) / seconds:.2f} cores of the busiest"
    )


def main(seconds: float) -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2, 1, 2):
            measure(workers, seconds, folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        asyncio.run(clients(sys.argv[2], float(sys.argv[3])))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)
