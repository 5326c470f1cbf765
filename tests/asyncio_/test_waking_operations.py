"""What recv() and send() return behaves like a coroutine, whoever drives it."""

from __future__ import annotations

import asyncio
import collections.abc
import concurrent.futures
import gc
import inspect
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from unittest import mock

import pytest
from tests.asyncio_.serving import listen, until, uri_of
from tests.asyncio_.waking import hear, link, say, served
from tests.support.loops import LOOPS, Loop
from tests.support.rawpeer import CLOSE, TEXT, close_payload, frame

import longwire
from longwire import (
    ConcurrencyError,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
)
from longwire.asyncio.client import connect
from longwire.asyncio.connection import Connection
from longwire.asyncio.server import ServerConnection


@pytest.fixture(params=list(LOOPS), autouse=True)
def make_loop(request: pytest.FixtureRequest) -> Callable[[], Loop]:
    return LOOPS[request.param]


def receive(ws: Connection) -> Any:
    return ws.recv()


def send(ws: Connection) -> Any:
    return ws.send("from us")


BOTH = pytest.mark.parametrize("operation", [receive, send])


async def stuck(ws: ServerConnection) -> None:
    """Make the connection one whose send() has to wait."""
    ws.write_paused()
    await asyncio.sleep(0)


# --- never awaited ---------------------------------------------------------------


@BOTH
async def test_dropped_it_warns_and_does_nothing(operation: Any) -> None:
    def drop() -> None:
        operation(ws)
        gc.collect()

    async with link() as (ws, reader, peer):
        with pytest.warns(RuntimeWarning, match="was never awaited"):
            drop()
        say(peer, "hello")

        assert await ws.recv() == "hello"
        await ws.send("the only one")
        assert await hear(reader) == "the only one"


@BOTH
async def test_closed_before_it_began_it_says_nothing(operation: Any) -> None:
    async with link() as (ws, reader, _):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            work = operation(ws)
            work.close()
            work.close()
            with pytest.raises(RuntimeError, match="already awaited"):
                await work
            del work
            gc.collect()

        await ws.send("the only one")
        assert await hear(reader) == "the only one"


async def test_dropped_where_warnings_are_errors_it_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda what: shown.append(what.exc_value))
    async with link() as (ws, _reader, _peer):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ws.recv()
            gc.collect()

    (exc,) = shown
    assert isinstance(exc, RuntimeWarning)


# --- awaited twice ---------------------------------------------------------------


@BOTH
async def test_awaited_again_it_raises(operation: Any) -> None:
    async with link() as (ws, _, peer):
        say(peer, "hello")
        work = operation(ws)
        await work

        for _ in range(2):
            with pytest.raises(RuntimeError, match="already awaited"):
                await work


@BOTH
async def test_awaited_by_two_it_serves_the_first(operation: Any) -> None:
    async def wait_for(work: Any) -> Any:
        return await work

    async with link() as (ws, _, peer):
        await stuck(ws)
        work = operation(ws)
        first = asyncio.create_task(wait_for(work))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="being awaited already"):
            await work
        say(peer, "hello")
        ws.write_resumed()

        assert await first == ("hello" if operation is receive else None)


# --- by hand ---------------------------------------------------------------------


@BOTH
async def test_thrown_into_before_it_began_it_raises_that(operation: Any) -> None:
    async with link() as (ws, reader, peer):
        work = operation(ws)
        with pytest.raises(ZeroDivisionError, match="mine"):
            work.throw(ZeroDivisionError("mine"))
        with pytest.raises(RuntimeError, match="already awaited"):
            work.send(None)
        say(peer, "hello")

        assert await ws.recv() == "hello"
        await ws.send("the only one")
        assert await hear(reader) == "the only one"


@BOTH
async def test_thrown_into_while_it_waits_it_gives_up(operation: Any) -> None:
    async with link() as (ws, reader, peer):
        await stuck(ws)
        work = operation(ws)
        assert work.send(None)._asyncio_future_blocking
        with pytest.raises(ZeroDivisionError, match="mine"):
            work.throw(ZeroDivisionError("mine"))
        with pytest.raises(RuntimeError, match="already awaited"):
            work.throw(ZeroDivisionError("late"))
        work.close()
        ws.write_resumed()
        say(peer, "hello")

        assert await ws.recv() == "hello"
        await ws.send("the only one")
        assert await hear(reader) == "the only one"


@BOTH
async def test_closed_while_it_waits_it_gives_up(operation: Any) -> None:
    async with link() as (ws, reader, peer):
        await stuck(ws)
        work = operation(ws)
        work.send(None)
        work.close()
        ws.write_resumed()
        say(peer, "hello")

        assert await ws.recv() == "hello"
        await ws.send("the only one")
        assert await hear(reader) == "the only one"


@BOTH
async def test_forgotten_while_it_waits_it_gives_up(operation: Any) -> None:
    async with link() as (ws, _, peer):
        await stuck(ws)
        work = operation(ws)
        work.send(None)
        del work
        gc.collect()
        ws.write_resumed()
        say(peer, "hello")

        assert await ws.recv() == "hello"


async def test_sent_a_value_before_it_began_it_raises() -> None:
    async with link() as (ws, _, _peer):
        work = ws.recv()
        with pytest.raises(TypeError, match="just-started"):
            work.send(1)  # type: ignore[attr-defined]
        work.close()


async def test_the_result_comes_as_that_of_a_coroutine() -> None:
    async with link() as (ws, _, peer):
        say(peer, "hello")
        await until(lambda: ws._live.has_message)
        with pytest.raises(StopIteration) as stop:
            ws.recv().send(None)  # type: ignore[attr-defined]
        assert stop.value.value == "hello"
        with pytest.raises(StopIteration) as stop:
            ws.send("x").send(None)
        assert stop.value.value is None


# --- who asks --------------------------------------------------------------------


@BOTH
async def test_it_is_a_coroutine_to_who_asks(operation: Any) -> None:
    async with link() as (ws, _, _peer):
        work = operation(ws)

        assert asyncio.iscoroutine(work)
        assert inspect.isawaitable(work)
        assert isinstance(work, collections.abc.Coroutine)
        name = "recv" if operation is receive else "send"
        assert name in work.__qualname__
        assert name in repr(work)
        work.close()


@pytest.mark.parametrize("name", ["recv", "send", "ping", "close"])
async def test_the_methods_are_coroutine_functions(name: str) -> None:
    async with link() as (ws, _, _peer):
        assert inspect.iscoroutinefunction(getattr(ws, name))
        assert inspect.iscoroutinefunction(getattr(ServerConnection, name))


async def test_mocks_of_a_connection_are_awaited() -> None:
    for ws in (
        mock.AsyncMock(spec=ServerConnection),
        mock.create_autospec(ServerConnection, instance=True),
        mock.create_autospec(longwire.ClientConnection, instance=True),
    ):
        ws.recv.return_value = "mocked"

        assert await ws.recv() == "mocked"
        await ws.send("x")
        ws.send.assert_awaited_once_with("x")


async def test_a_patched_recv_of_an_instance_is_what_iteration_calls() -> None:
    async with link() as (ws, _, _peer):
        answers = mock.AsyncMock(side_effect=["a", "b", ConnectionClosedOK(None, None)])
        with mock.patch.object(ws, "recv", answers):
            assert [message async for message in ws] == ["a", "b"]


async def test_an_overridden_recv_is_what_iteration_calls() -> None:
    class Shouting(ServerConnection):
        async def recv(self, decode: bool | None = None) -> Any:
            return (await super().recv(decode)).upper()

    heard: list[str] = []

    async def handler(ws: ServerConnection) -> None:
        async for message in ws:
            heard.append(str(message))
            await ws.send(message)

    async with served(handler, create_connection=Shouting) as (reader, peer, _):
        for text in ("one", "two"):
            say(peer, text)
            assert await hear(reader) == text.upper()
        peer.write(frame(CLOSE, close_payload(1000)))
        await reader.read()

    assert heard == ["ONE", "TWO"]


async def test_before_the_handshake_it_raises() -> None:
    ws = longwire.ClientConnection(connect("ws://localhost/")._settings)

    for work in (ws.recv(), ws.send("x")):
        with pytest.raises(InvalidState, match="handshake is not complete"):
            await work
    with pytest.raises((InvalidState, TypeError)):
        ws.feed(b"")


# --- threads and loops -----------------------------------------------------------


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work)


async def test_a_thread_uses_run_coroutine_threadsafe() -> None:
    async with link() as (ws, reader, peer):
        loop = asyncio.get_running_loop()

        def work() -> Any:
            asyncio.run_coroutine_threadsafe(ws.send("hi"), loop).result(5)
            return asyncio.run_coroutine_threadsafe(ws.recv(), loop).result(5)

        say(peer, "hello")
        assert await in_thread(work) == "hello"
        assert await hear(reader) == "hi"


async def test_a_thread_that_waits_is_woken_and_may_cancel() -> None:
    async with link() as (ws, _, peer):
        loop = asyncio.get_running_loop()

        def wait() -> Any:
            future = asyncio.run_coroutine_threadsafe(ws.recv(), loop)
            with pytest.raises(concurrent.futures.TimeoutError):
                future.result(0.05)
            future.cancel()
            asyncio.run_coroutine_threadsafe(settle(), loop).result(5)
            loop.call_soon_threadsafe(loop.call_later, 0.05, say, peer, "hello")
            return asyncio.run_coroutine_threadsafe(ws.recv(), loop).result(5)

        assert await in_thread(wait) == "hello"


@BOTH
@pytest.mark.parametrize("there", [False, True], ids=["nothing there", "message there"])
async def test_another_thread_is_told(operation: Any, there: bool) -> None:
    async with link() as (ws, _, peer):
        if there:
            say(peer, "hello")
            await until(lambda: ws._live.has_message)

        async def work() -> Any:
            return await operation(ws)

        with pytest.raises(ConcurrencyError, match="another event loop"):
            await in_thread(lambda: asyncio.run(work()))
        if not there:
            say(peer, "hello")
        assert await ws.recv() == "hello"


@BOTH
async def test_a_thread_without_a_loop_is_told(operation: Any) -> None:
    async with link() as (ws, _, _peer):

        def work() -> None:
            operation(ws).send(None)

        with pytest.raises(ConcurrencyError, match="another event loop"):
            await in_thread(work)


def test_a_loop_that_runs_now_and_then(make_loop: Callable[[], Loop]) -> None:
    loop = make_loop()

    async def echo(ws: ServerConnection) -> None:
        async for message in ws:
            await ws.send(message)

    async def begin() -> Any:
        server = await listen(echo)
        return server, await longwire.connect(uri_of(server), proxy=None)

    server, ws = loop.run_until_complete(begin())
    loop.run_until_complete(ws.send("one"))
    assert loop.run_until_complete(ws.recv()) == "one"
    loop.run_until_complete(asyncio.wait_for(ws.send("two"), 5))
    assert loop.run_until_complete(asyncio.wait_for(ws.recv(), 5)) == "two"
    loop.run_until_complete(ws.close())
    server.close()
    loop.run_until_complete(server.wait_closed())
    loop.close()


def test_a_loop_that_goes_on_in_another_thread(make_loop: Callable[[], Loop]) -> None:
    loop = make_loop()

    async def begin() -> Any:
        server = await listen(lambda ws: ws.send("greeting"))
        return server, await longwire.connect(uri_of(server), proxy=None)

    async def end() -> str:
        await asyncio.sleep(0.05)  # so that the message is there
        greeting = await ws.recv()
        with pytest.raises(ConnectionClosedOK):
            await ws.recv()
        server.close()
        await server.wait_closed()
        return str(greeting)

    server, ws = loop.run_until_complete(begin())
    found: list[str] = []

    def run(work: Coroutine[Any, Any, str]) -> None:
        found.append(loop.run_until_complete(work))

    thread = threading.Thread(target=run, args=(end(),))
    thread.start()
    thread.join(20)
    loop.close()

    assert found == ["greeting"]


# --- sending ---------------------------------------------------------------------


async def test_a_send_that_waits_goes_on_where_there_is_room_again() -> None:
    async with link() as (ws, reader, _):
        await stuck(ws)
        tasks = [asyncio.create_task(ws.send(str(number))) for number in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        assert not tasks[0].done()
        ws.write_resumed()
        await asyncio.wait([tasks[0], tasks[2]])

        assert {await hear(reader), await hear(reader)} == {"0", "2"}


async def test_fragments_by_send_are_driven_by_tasks_too() -> None:
    async def parts() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(0)
        yield "b"

    async with link() as (ws, reader, _):
        await asyncio.create_task(ws.send(parts()))

        assert await reader.readexactly(3) == b"\x01\x01a"
        assert await reader.readexactly(3) == b"\x00\x01b"
        assert await reader.readexactly(2) == b"\x80\x00"


async def test_a_failing_source_of_fragments_comes_out() -> None:
    async def parts() -> AsyncIterator[str]:
        yield "a"
        raise ZeroDivisionError

    async with link() as (ws, _, _peer):
        with pytest.raises(ZeroDivisionError):
            await ws.send(parts())


async def test_feeding_while_a_send_waits_serves_who_receives() -> None:
    async with link() as (ws, _, _peer):
        await stuck(ws)
        sending = asyncio.create_task(ws.send("x"))
        receiving = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        ws.feed(frame(TEXT, b"hello"))

        assert await receiving == "hello"
        assert not sending.done()
        ws.write_resumed()
        await sending


# --- who only sends --------------------------------------------------------------


async def swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 20):
        pass


async def test_who_only_sends_lets_others_run() -> None:
    async with link() as (ws, reader, peer):
        reading = asyncio.create_task(swallow(reader))
        turns = 0

        async def count() -> None:
            nonlocal turns
            while not sending.done():
                turns += 1
                await asyncio.sleep(0)

        async def many() -> None:
            for _ in range(60_000):
                await ws.send("x")

        sending = asyncio.create_task(many())
        await count()
        await sending
        assert turns >= 5
        peer.close()
        await reading


async def paused(ws: Connection) -> Any:
    """Send until that has to let others run; return the send that does."""
    for _ in range(10_000):
        work: Any = ws.send("x")
        try:
            work.send(None)
        except StopIteration:
            continue
        return work
    raise AssertionError("it never does")


@pytest.mark.parametrize("how", ["close", "throw", "forget", "go on"])
async def test_a_send_that_lets_others_run_may_end_there(how: str) -> None:
    async with link() as (ws, reader, peer):
        reading = asyncio.create_task(swallow(reader))
        work = await paused(ws)
        if how == "close":
            work.close()
        elif how == "throw":
            with pytest.raises(ZeroDivisionError):
                work.throw(ZeroDivisionError())
        elif how == "go on":
            with pytest.raises(RuntimeError, match="being awaited already"):
                await work
            with pytest.raises(StopIteration):
                work.send(None)
        del work
        await asyncio.sleep(0.01)
        await asyncio.gather(*(ws.send("y") for _ in range(1000)))
        peer.close()
        await reading


async def test_a_connection_that_ends_wakes_who_lets_others_run() -> None:
    async with link() as (ws, _, _peer):

        async def many() -> None:
            while True:
                await ws.send("x")

        tasks = [asyncio.create_task(many()) for _ in range(5)]
        await asyncio.sleep(0)
        ws.transport.abort()
        await asyncio.wait(tasks, timeout=10)

        for task in tasks:
            assert isinstance(task.exception(), ConnectionClosedError)


async def test_senders_without_end_are_cancelled_in_time() -> None:
    async with link() as (ws, reader, peer):
        reading = asyncio.create_task(swallow(reader))

        async def many() -> None:
            while True:
                await ws.send("x")

        tasks = [asyncio.create_task(many()) for _ in range(10)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.wait(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait_for(asyncio.wait(tasks), 10)
        assert all(task.cancelled() for task in tasks)
        peer.close()
        await reading
