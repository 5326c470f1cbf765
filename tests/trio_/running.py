"""Runs tests as trio programs, and servers for them."""

from __future__ import annotations

import contextlib
import functools

import pytest

trio = pytest.importorskip("trio")
pytest.importorskip("trio.testing")

import longwire.trio  # noqa: E402

SECONDS = 30


def trio_test(test):
    """Run an ``async def test_…`` by ``trio.run``; fail it after `SECONDS`."""

    @functools.wraps(test)
    def run(**arguments):
        async def main():
            with trio.fail_after(SECONDS):
                await test(**arguments)

        trio.run(main)

    return run


async def echo(ws):
    async for message in ws:
        await ws.send(message)


@contextlib.asynccontextmanager
async def serving(handler=echo, *, listen=longwire.trio.serve, **options):
    """Serve on a free port of localhost; yield (server, its URI)."""
    options.setdefault("host", "127.0.0.1")
    async with trio.open_nursery() as nursery:
        start = functools.partial(listen, handler, 0, **options)
        server = await nursery.start(start)
        port = server.listeners[0].socket.getsockname()[1]
        scheme = "wss" if options.get("ssl") else "ws"
        async with server:
            yield server, f"{scheme}://localhost:{port}/"


def connect(uri, **options):
    """``longwire.trio.connect`` without a proxy."""
    return longwire.trio.connect(uri, **{"proxy": None, **options})


async def until(condition):
    """Wait until ``condition()`` holds."""
    with trio.fail_after(20):
        while not condition():
            await trio.sleep(0.005)
