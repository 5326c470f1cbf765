"""What metrics cost an echo: CPU time per message, without and with, in turns.

    python bench/metrics.py [ROUNDS]

Server and clients are in one process, so that the time of the process is that of all
messages; with metrics, there is one scrape for each run, of less than a second.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from longwire import connect, serve
from longwire.metrics import Metrics

CLIENTS, FLIGHT, TURNS = 16, 64, 40


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def talk(uri: str) -> None:
    async with connect(uri, compression=None, proxy=None, open_timeout=60) as ws:
        for _ in range(TURNS):
            for _ in range(FLIGHT):
                await ws.send("x" * 64)
            for _ in range(FLIGHT):
                await ws.recv()


async def measure(watched: bool) -> float:
    """Return microseconds of CPU per message."""
    serving = serve(echo, "127.0.0.1", 0, compression=None)
    metrics = Metrics()
    if watched:
        metrics.watch(serving)
    async with serving as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        begun = time.process_time()
        await asyncio.gather(*(talk(uri) for _ in range(CLIENTS)))
        if watched:
            metrics.text()
        used = time.process_time() - begun
    return used / (CLIENTS * FLIGHT * TURNS) * 1e6


def main(rounds: int) -> None:
    asyncio.run(measure(True))  # what is imported and compiled first
    found: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(rounds):
        for watched in (False, True) if turn % 2 else (True, False):
            found[watched].append(asyncio.run(measure(watched)))
    ratios = [b / a for a, b in zip(found[False], found[True], strict=True)]
    print(f"without: {statistics.median(found[False]):.2f} µs of CPU per message")
    print(f"with:    {statistics.median(found[True]):.2f} µs")
    print(f"ratio:   {statistics.median(ratios):.3f} (median of {rounds} pairs)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
