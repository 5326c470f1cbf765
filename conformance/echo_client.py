"""The client under test: longwire running every case of a fuzzing server.

``echo_client.py URI AGENT [FRONT_END]``. Prints its build and the number of cases on
the first line. Each case is one connection on which every message is answered with
itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import longwire
from longwire.build import BUILD

# Autobahn sends messages of 16 MiB, and 4 MiB in fragments of 64 bytes.
LIMITS = longwire.Limits(message=16 << 20, fragments=1 << 17)
# Pings of ours would be counted by some cases, and a busy suite answers late.
OPTIONS: dict[str, Any] = {"limits": LIMITS, "ping_interval": None, "proxy": None}

# A case that hangs must not take the verdicts of the others with it.
CASE_TIMEOUT = 180


class Errors:
    """What was unexpected."""

    count = 0

    @contextlib.contextmanager
    def caught(self, number: int) -> Any:
        """Print and count what a case raises: the next case has its turn."""
        try:
            yield
        except longwire.ConnectionClosed:
            pass  # many cases end so
        except Exception:
            self.count += 1
            print(f"case {number} of this share:", file=sys.stderr)
            traceback.print_exc()


def urls(uri: str, agent: str, count: int) -> list[tuple[int, str]]:
    """Return the number and the URL of each case."""
    return [
        (number, f"{uri}/runCase?case={number}&agent={agent}")
        for number in range(1, count + 1)
    ]


async def run(connect: Any, within: Any, uri: str, agent: str) -> int:
    """Run all cases on asyncio or trio; return how many raised something unexpected."""
    async with connect(f"{uri}/getCaseCount", **OPTIONS) as connection:
        count = int(await connection.recv())
    print(BUILD, count, flush=True)
    errors = Errors()
    for number, url in urls(uri, agent, count):
        with errors.caught(number):
            await within(CASE_TIMEOUT, functools.partial(run_case, connect, url))
    async with connect(f"{uri}/updateReports?agent={agent}", **OPTIONS) as connection:
        await connection.wait_closed()
    return errors.count


async def run_case(connect: Any, url: str) -> None:
    async with connect(url, **OPTIONS) as connection:
        async for message in connection:
            await connection.send(message)


def on_asyncio(uri: str, agent: str) -> int:
    """Run all cases on asyncio."""

    async def within(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        async with asyncio.timeout(seconds):
            await work()

    return asyncio.run(run(longwire.connect, within, uri, agent))


def on_trio(uri: str, agent: str) -> int:
    """Run all cases on trio."""
    import trio

    from longwire.trio import connect

    async def within(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        with trio.fail_after(seconds):
            await work()

    return trio.run(run, connect, within, uri, agent)


def in_threads(uri: str, agent: str) -> int:
    """Run all cases with blocking calls."""
    from longwire.sync import connect

    with connect(f"{uri}/getCaseCount", **OPTIONS) as connection:
        count = int(connection.recv(timeout=CASE_TIMEOUT))
    print(BUILD, count, flush=True)
    errors = Errors()
    for number, url in urls(uri, agent, count):
        with errors.caught(number), connect(url, **OPTIONS) as connection:
            while True:
                connection.send(connection.recv(timeout=CASE_TIMEOUT))
    with connect(f"{uri}/updateReports?agent={agent}", **OPTIONS) as connection:
        connection.wait_closed(CASE_TIMEOUT)
    return errors.count


RUN = {"asyncio": on_asyncio, "sync": in_threads, "trio": on_trio}

if __name__ == "__main__":
    uri, agent, *rest = sys.argv[1:]
    sys.exit(1 if RUN[rest[0] if rest else "asyncio"](uri, agent) else 0)
