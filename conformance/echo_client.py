"""The client under test: longwire running every case of a fuzzing server.

``echo_client.py URI AGENT``. Prints its build and the number of cases on the first
line. Each case is one connection on which every message is answered with itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import traceback

import longwire
from longwire.build import BUILD

# Autobahn sends messages of 16 MiB, and 4 MiB in fragments of 64 bytes.
LIMITS = longwire.Limits(message=16 << 20, fragments=1 << 17)

# A case that hangs must not take the verdicts of the others with it.
CASE_TIMEOUT = 180


def connect(uri: str) -> longwire.connect:
    # Pings of ours would be counted by some cases, and a busy suite answers late.
    return longwire.connect(uri, limits=LIMITS, ping_interval=None, proxy=None)


async def count_cases(uri: str) -> int:
    async with connect(f"{uri}/getCaseCount") as connection:
        return int(await connection.recv())


async def run_case(uri: str, number: int, agent: str) -> None:
    with contextlib.suppress(longwire.ConnectionClosed):
        async with connect(f"{uri}/runCase?case={number}&agent={agent}") as connection:
            async for message in connection:
                await connection.send(message)


async def update_reports(uri: str, agent: str) -> None:
    async with connect(f"{uri}/updateReports?agent={agent}") as connection:
        await connection.wait_closed()


async def main(uri: str, agent: str) -> int:
    """Run all cases and return how many raised something unexpected."""
    count = await count_cases(uri)
    print(BUILD, count, flush=True)
    errors = 0
    for number in range(1, count + 1):
        try:
            async with asyncio.timeout(CASE_TIMEOUT):
                await run_case(uri, number, agent)
        # Whatever it is, it is printed, counted, and the next case has its turn.
        except Exception:
            errors += 1
            print(f"case {number} of this share:", file=sys.stderr)
            traceback.print_exc()
    await update_reports(uri, agent)
    return errors


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(*sys.argv[1:])) else 0)
