"""Clients that connect and say nothing: what they cost, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.asyncio_.serving import UPGRADE, connected, lines, listen, raw, until

from longwire.asyncio.listening import LoopListener
from longwire.asyncio.server import Server

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def silent(server: Server, count: int) -> AsyncIterator[list[Streams]]:
    """Give ``count`` connections that ``server`` has accepted."""
    async with contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(raw(server)) for _ in range(count)]
        await until(lambda: len(server._runs) == count)
        yield peers


async def test_who_says_nothing_costs_no_task() -> None:
    async with listen() as server:
        before = asyncio.all_tasks()
        async with silent(server, 20) as peers:
            # Over asyncio's transports, the task that makes the connection may be left.
            await until(lambda: asyncio.all_tasks() == before)
            for reader, writer in peers:
                writer.write(UPGRADE[:10])
                await asyncio.sleep(0)
                writer.write(UPGRADE[10:])
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 101 ")
            assert len(server.connections) == 20


async def test_who_says_nothing_is_closed_when_his_time_is_over() -> None:
    async with listen(open_timeout=0.2) as server, silent(server, 2) as peers:
        for reader, _ in peers:
            assert await reader.read() == b""
        await until(lambda: not server._runs)


async def test_without_a_time_limit_he_may_wait() -> None:
    async with listen(open_timeout=None) as server, silent(server, 1) as peers:
        reader, writer = peers[0]
        writer.write(UPGRADE)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")


async def test_a_server_that_closes_answers_who_has_said_nothing() -> None:
    async with listen() as server, silent(server, 2) as peers:
        server.close()
        for reader, _ in peers:
            assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        await server.wait_closed()


async def test_a_drain_cuts_off_who_has_said_nothing() -> None:
    async with listen() as server, silent(server, 2) as peers:
        await asyncio.wait_for(server.drain(timeout=0.1), 20)
        for reader, _ in peers:
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
    assert not server._runs


@pytest.mark.parametrize("ending", ["write_eof", "abort"])
async def test_who_leaves_without_a_word_is_told_to_the_log(
    ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "longwire.server")
    async with listen() as server, silent(server, 1) as peers:
        writer = peers[0][1]
        if ending == "abort":
            writer.transport.abort()
        else:
            writer.write_eof()
        await until(lambda: not server._runs)
        text = f"(from 127.0.0.1:{writer.get_extra_info('sockname')[1]}"
        assert len([line for line in lines(caplog) if "failed" in line]) == 1
        assert any(text in line for line in lines(caplog)), lines(caplog)


async def test_a_task_factory_is_used_outside_of_the_wire() -> None:
    loop = asyncio.get_running_loop()
    stacks: list[list[str]] = []

    def make(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        import traceback

        stacks.append([frame.name for frame in traceback.extract_stack()])
        return asyncio.Task(coro, loop=loop, **kwargs)

    loop.set_task_factory(make)
    try:
        async with listen() as server, silent(server, 1) as peers:
            reader, writer = peers[0]
            stacks.clear()
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
    finally:
        loop.set_task_factory(None)
    assert stacks
    assert not any("data_received" in names for names in stacks)


@pytest.mark.parametrize("open_timeout", [10, 1e-9], ids=["later", "at once"])
async def test_who_cannot_get_a_task_is_forgotten_and_closed(
    open_timeout: float,
) -> None:
    loop = asyncio.get_running_loop()
    failures: list[object] = []

    def make(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        if coro.__qualname__ in ("ServerConnection._serve", "serving"):
            raise MemoryError
        return asyncio.Task(coro, loop=loop, **kwargs)

    loop.set_exception_handler(
        lambda loop, context: failures.append(context.get("exception"))
    )
    loop.set_task_factory(make)
    try:
        async with listen(open_timeout=open_timeout) as server, raw(server) as streams:
            reader, writer = streams
            writer.write(UPGRADE)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 10) == b""
            assert not server._runs
            assert server._admission.addresses == 0
    finally:
        loop.set_task_factory(None)
    assert [type(exc) for exc in failures] == [MemoryError]


async def test_handlers_see_the_variables_of_who_began_to_listen() -> None:
    seen: list[str] = []

    async def note(ws: Any) -> None:
        seen.append(who.get())
        who.set("another handler")

    async def use_the_engine_first() -> None:
        who.set("a client elsewhere")
        async with listen() as first, connected(first) as client:
            await client.send("hello")
            await client.recv()
            going_on.set()
            await over.wait()

    going_on, over = asyncio.Event(), asyncio.Event()
    elsewhere = asyncio.create_task(use_the_engine_first())
    await going_on.wait()
    who.set("the server")
    async with listen(note) as server:
        for _ in range(3):
            async with connected(server) as client:
                await client.wait_closed()
        async with silent(server, 1) as peers:
            reader, writer = peers[0]
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            await until(lambda: len(seen) == 4)
    over.set()
    await elsewhere
    assert seen == ["the server"] * 4


async def test_a_server_started_later_has_the_variables_of_that_time() -> None:
    seen: list[str] = []

    async def note(ws: Any) -> None:
        seen.append(who.get())

    async with listen(note, start_serving=False) as server:
        who.set("who starts it")
        await server.start_serving()
        who.set("too late")
        await server.start_serving()
        async with connected(server) as client:
            await client.wait_closed()
    assert seen == ["who starts it"]


async def test_who_is_accepted_in_the_turn_of_the_close_is_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LONGWIRE_ENGINE", "transport")
    async with listen() as server:
        assert server._server is not None
        (listener,) = server._server._listeners
        assert isinstance(listener, LoopListener)
        accepted: list[socket.socket] = []
        begin = listener._begin

        def close_meanwhile(sock: socket.socket) -> None:
            accepted.append(sock)
            begin(sock)
            server.close()

        monkeypatch.setattr(listener, "_begin", close_meanwhile)
        async with raw(server) as (reader, _):
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 10) == b""
        await server.wait_closed()
        assert [sock.fileno() for sock in accepted] == [-1]
    assert not [line for line in lines(caplog) if "xception" in line]
