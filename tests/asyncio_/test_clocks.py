"""Clocks: which loop has a time of its own, and what asking costs the loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
from tests.support.commands import environment

from longwire.asyncio.clocks import clock_of, has_own_time

pytestmark = pytest.mark.once


class Fixed(asyncio.SelectorEventLoop):
    """A loop whose class has another time."""

    def time(self) -> float:
        return 5.0


def test_a_loop_with_another_time_has_it_read() -> None:
    plain, fixed, replaced = asyncio.new_event_loop(), Fixed(), asyncio.new_event_loop()
    # At first the same time, as with a clock that a test moves later.
    replaced.time = time.monotonic  # type: ignore[method-assign]
    try:
        assert not has_own_time(plain)
        assert clock_of(plain) is time.monotonic
        for loop in (fixed, replaced):
            assert has_own_time(loop)
            assert clock_of(loop) == loop.time
    finally:
        for loop in (plain, fixed, replaced):
            loop.close()


def test_a_clock_that_a_program_moves_is_the_only_one_that_is_read(monkeypatch) -> None:
    """As tools do that stop the time for a test."""
    loop = asyncio.new_event_loop()
    system = time.monotonic
    try:
        monkeypatch.setattr(time, "monotonic", lambda: system() + 0.5)
        assert has_own_time(loop)
    finally:
        loop.close()


# The clock stands still, and was replaced before we came.
STILL = """
import time
time.monotonic = lambda: 1000.0

import asyncio
import longwire

async def handler(websocket):
    await websocket.recv()

async def main():
    async with longwire.serve(handler, "127.0.0.1", 0, open_timeout=0.1) as server:
        port = server.sockets[0].getsockname()[1]
        uri = f"ws://127.0.0.1:{port}"
        async with longwire.connect(uri, proxy=None, open_timeout=0.1) as websocket:
            for _ in range(1000):
                await asyncio.sleep(0)
            websocket.close_timeout = 0.1
            await websocket.ping()
            for _ in range(1000):
                await asyncio.sleep(0)
            print(websocket.state.name)
            await websocket.send("done")
            await websocket.wait_closed()
            print(websocket.close_code)

asyncio.run(main())
"""


def test_no_deadline_passes_where_the_clock_stands_still() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STILL],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=30,
    )

    assert done.stdout == "OPEN\n1000\n", done.stderr


PROGRAM = """
import asyncio, gc
import longwire

async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)

async def main():
    async with longwire.serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        uri = f"ws://127.0.0.1:{port}"
        async with longwire.connect(uri, proxy=None) as websocket:
            await websocket.send("hello")
            await websocket.recv()
    found = gc.get_referents(asyncio.get_running_loop())
    print([type(each) for each in found if isinstance(each, dict) and "_ready" in each])

asyncio.run(main())
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="about CPython")
def test_the_loop_is_not_made_to_keep_its_attributes_in_a_dict() -> None:
    """That would make each turn of the loop slower: see ``has_own_time``."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=environment(),
    )

    assert done.stdout == "[]\n", done.stderr
