"""Every verb of a connection or server on trio belongs to the run that made it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tests.trio_.running import connect, serving, trio, trio_test

import longwire.trio
from longwire import ConcurrencyError

HANGS = 3


async def read_in_pieces(ws):
    async for _ in ws.recv_streaming():
        break


async def iterate(ws):
    async for _ in ws:
        break


async def use_as_block(ws):
    async with ws:
        pass


VERBS = {
    "recv": lambda ws: ws.recv(),
    "recv_streaming": read_in_pieces,
    "iterate": iterate,
    "send": lambda ws: ws.send("hi"),
    "send fragments": lambda ws: ws.send(["h", "i"]),
    "ping": lambda ws: ws.ping(),
    "pong": lambda ws: ws.pong(),
    "aclose": lambda ws: ws.aclose(),
    "wait_closed": lambda ws: ws.wait_closed(),
    "block": use_as_block,
    "broadcast": lambda ws: longwire.trio.broadcast([ws], "hi"),
    "server.aclose": lambda ws: ws.server.aclose(),
    "server.drain": lambda ws: ws.server.drain(),
}


def in_another_run(verb, ws):
    async def call():
        with trio.fail_after(HANGS):
            await verb(ws)

    trio.run(call)


def on_asyncio(verb, ws):
    async def call():
        async with asyncio.timeout(HANGS):
            await verb(ws)

    asyncio.run(call())


@contextlib.asynccontextmanager
async def served():
    """Yield a connection of a server, and its client."""
    made, received = trio.open_memory_channel(1)

    async def handler(ws):
        await made.send(ws)
        await ws.wait_closed()

    async with serving(handler) as (_, uri), connect(uri) as client:
        yield await received.receive(), client


@pytest.mark.parametrize("where", [in_another_run, on_asyncio])
@pytest.mark.parametrize("verb", VERBS.values(), ids=list(VERBS))
@trio_test
async def test_a_verb_of_another_run_is_refused_and_changes_nothing(verb, where):
    async with served() as (ws, client):
        with pytest.raises(ConcurrencyError, match=r"trio\.from_thread\.run"):
            await trio.to_thread.run_sync(where, verb, ws)
        await client.send("here")
        assert await ws.recv() == "here"
        await ws.send("and back")
        assert await client.recv() == "and back"
    assert client.close_code == 1000


@pytest.mark.parametrize("verb", ["recv", "send", "ping", "aclose", "wait_closed"])
@trio_test
async def test_it_is_after_the_end_too(verb):
    async with served() as (ws, client):
        await client.aclose()
        await ws.wait_closed()
        with pytest.raises(ConcurrencyError):
            await trio.to_thread.run_sync(in_another_run, VERBS[verb], ws)


@trio_test
async def test_a_thread_of_trio_comes_back_to_its_run():
    async with served() as (ws, client):
        await trio.to_thread.run_sync(trio.from_thread.run, ws.send, "from a thread")
        assert await client.recv() == "from a thread"
