"""What the verbs return is a coroutine to whoever asks, and in whatever way."""

from __future__ import annotations

import asyncio
import collections.abc
import inspect
import io
import types
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.asyncio_.serving import echo, listen, uri_of
from tests.asyncio_.waking import hear, link, say
from tests.support.loops import LOOPS, PLAIN, Loop
from tests.support.needs import needs

from longwire import ConcurrencyError, connect
from longwire.asyncio.server import ServerConnection


@pytest.fixture(params=PLAIN, autouse=True)
def make_loop(request: pytest.FixtureRequest) -> Callable[[], Loop]:
    return LOOPS[request.param]


VERBS: dict[str, Callable[[Any], Any]] = {
    "recv": lambda ws: ws.recv(),
    "send": lambda ws: ws.send("text"),
    "ping": lambda ws: ws.ping(),
    "pong": lambda ws: ws.pong(),
    "close": lambda ws: ws.close(),
    "wait_closed": lambda ws: ws.wait_closed(),
}
QUESTIONS: dict[str, Callable[[Any], bool]] = {
    "inspect.iscoroutine": inspect.iscoroutine,
    "inspect.isawaitable": inspect.isawaitable,
    "asyncio.iscoroutine": asyncio.iscoroutine,
    "types": lambda work: isinstance(work, types.CoroutineType),
    "abc": lambda work: isinstance(work, collections.abc.Coroutine),
    "awaitable": lambda work: isinstance(work, collections.abc.Awaitable),
    "created": lambda work: inspect.getcoroutinestate(work) == inspect.CORO_CREATED,
    "code": lambda work: work.cr_code is work.cr_frame.f_code,
    "origin": lambda work: work.cr_origin is None,
    "locals": lambda work: isinstance(inspect.getcoroutinelocals(work), dict),
}


@pytest.mark.parametrize("verb", list(VERBS))
@pytest.mark.parametrize("question", list(QUESTIONS))
async def test_what_a_verb_returns_is_a_coroutine(verb: str, question: str) -> None:
    async with link() as (ws, _, _peer):
        work = VERBS[verb](ws)
        try:
            assert QUESTIONS[question](work)
        finally:
            work.close()


@pytest.mark.parametrize("verb", list(VERBS))
async def test_and_its_function_is_one_of_coroutines(verb: str) -> None:
    async with link() as (ws, _, _peer):
        assert inspect.iscoroutinefunction(getattr(ws, verb))
        assert inspect.iscoroutinefunction(getattr(type(ws), verb))


async def pieces(inside: list[str], work: list[Any]) -> AsyncIterator[str]:
    yield "one"
    inside.append(inspect.getcoroutinestate(work[0]))
    await asyncio.sleep(0.01)
    yield "two"


async def test_its_state_is_told_as_of_any_coroutine() -> None:
    states: list[str] = []
    async with link() as (ws, _reader, peer):
        work = [ws.recv()]
        states.append(inspect.getcoroutinestate(work[0]))
        task = asyncio.ensure_future(work[0])
        await asyncio.sleep(0)
        states.append(inspect.getcoroutinestate(work[0]))
        assert work[0].cr_await is not None
        say(peer, "x")
        assert await task == "x"
        states.append(inspect.getcoroutinestate(work[0]))
        assert work[0].cr_frame is None

        inside: list[str] = []
        work = []
        work.append(ws.send(pieces(inside, work)))
        task = asyncio.ensure_future(work[0])
        while len(inside) < 1:
            await asyncio.sleep(0)
        states.append(inspect.getcoroutinestate(work[0]))
        await task
        states.append(inspect.getcoroutinestate(work[0]))

    assert states == [
        inspect.CORO_CREATED,
        inspect.CORO_SUSPENDED,
        inspect.CORO_CLOSED,
        inspect.CORO_SUSPENDED,
        inspect.CORO_CLOSED,
    ]
    assert inside == [inspect.CORO_RUNNING]


RUN: dict[str, Callable[[Any], Any]] = {
    "await": lambda work: work,
    "create_task": asyncio.create_task,
    "ensure_future": asyncio.ensure_future,
    "gather": lambda work: asyncio.gather(work),
    "wait_for": lambda work: asyncio.wait_for(work, 5),
    "shield": asyncio.shield,
    "run_coroutine_threadsafe": lambda work: asyncio.to_thread(
        asyncio.run_coroutine_threadsafe(work, asyncio.get_running_loop()).result, 5
    ),
    "loop.create_task": lambda work: asyncio.get_running_loop().create_task(work),
}


@pytest.mark.parametrize("run", list(RUN))
async def test_it_can_be_run_in_every_way(run: str) -> None:
    async with link() as (ws, _reader, peer):
        await RUN[run](ws.send("hello"))
        assert await hear(_reader) == "hello"
        say(peer, "answer")
        result = await RUN[run](ws.recv())
        assert result in ("answer", ["answer"])


def test_a_loop_of_its_own_is_refused_by_the_verb_not_by_its_type() -> None:
    async def main() -> None:
        async with link() as (ws, _, _peer):
            for verb in ("recv", "send", "close"):
                work = VERBS[verb](ws)
                with pytest.raises(ConcurrencyError):
                    await asyncio.to_thread(asyncio.run, work)

    asyncio.run(main())


# --- anyio, whose task groups ask what a function returned -----------------------


async def test_anyio_starts_the_verbs_in_its_task_groups() -> None:
    needs("anyio")
    import anyio

    heard: list[Any] = []

    async with listen(echo) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as ws:
            async with anyio.create_task_group() as group:
                group.start_soon(ws.send, "hi")
                group.start_soon(ws.ping)
                group.start_soon(ws.pong, b"x")
            async with anyio.create_task_group() as group:
                group.start_soon(ws.recv)
            await ws.send("more")
            with anyio.fail_after(5):
                heard.append(await ws.recv())
            async with anyio.create_task_group() as group:
                group.start_soon(ws.close)
                group.start_soon(ws.wait_closed)

    assert heard == ["more"]


async def test_anyio_cancels_a_verb_and_nothing_is_lost() -> None:
    needs("anyio")
    import anyio

    async with link() as (ws, _reader, peer):
        with anyio.move_on_after(0.01) as scope:
            await ws.recv()
        assert scope.cancelled_caught

        async with anyio.create_task_group() as group:
            group.start_soon(ws.recv)
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()

        say(peer, "still here")
        with anyio.fail_after(5):
            assert await ws.recv() == "still here"


async def test_anyio_calls_the_verbs_from_threads() -> None:
    needs("anyio")
    import anyio
    import anyio.from_thread
    import anyio.to_thread

    async with link() as (ws, _reader, peer):

        def work() -> Any:
            anyio.from_thread.run(ws.send, "from a thread")
            return anyio.from_thread.run(ws.recv)

        say(peer, "to a thread")
        assert await anyio.to_thread.run_sync(work) == "to a thread"
        assert await hear(_reader) == "from a thread"


# --- who looks at a task ---------------------------------------------------------


async def test_the_stack_of_a_task_that_waits_has_the_verb_in_it() -> None:
    out = io.StringIO()
    async with link() as (ws, _, peer):
        task = asyncio.ensure_future(ws.recv())
        await asyncio.sleep(0)
        task.print_stack(file=out)
        print(task, file=out)
        say(peer, "x")
        await task
        task.print_stack(file=out)

    assert "in recv" in out.getvalue()


async def test_a_handler_task_can_be_looked_at_from_its_first_moment() -> None:
    seen: list[str] = []

    async def handler(ws: ServerConnection) -> None:
        await ws.wait_closed()

    async with listen(handler) as server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"G")
        while not any(server._runs.values()):
            await asyncio.sleep(0)
        (task,) = server._runs.values()
        for _ in range(3):
            work: Any = task.get_coro()
            seen.append(inspect.getcoroutinestate(work))
            assert isinstance(task.get_stack(), list)
            assert inspect.iscoroutine(work)
            await asyncio.sleep(0)
        writer.close()

    assert seen[-1] == inspect.CORO_SUSPENDED


@pytest.mark.parametrize("verb", ["recv", "send"])
async def test_a_verb_whose_await_is_missing_is_no_message(verb: str) -> None:
    async with listen(echo) as server, connect(uri_of(server), proxy=None) as ws:
        await ws.send("kept")
        work = VERBS[verb](ws)
        with pytest.raises(TypeError, match=r"not coroutine; an 'await' is missing"):
            await ws.send(work)
        work.close()
        assert await ws.recv() == "kept"


async def test_a_future_is_no_message() -> None:
    future = asyncio.get_running_loop().create_future()
    async with listen(echo) as server, connect(uri_of(server), proxy=None) as ws:
        with pytest.raises(TypeError, match=r"not Future; an 'await' is missing"):
            await ws.send(future)
