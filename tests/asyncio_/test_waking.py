"""Who waits in recv() is woken by a message, once, in every way asyncio has to wait.

On every sort of loop and task, and on both builds: the compiled one resumes the task
from within the callback that read the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import io
from collections.abc import Callable
from typing import Any

import pytest
from tests.asyncio_.serving import UPGRADE, lines, raw, traces, until
from tests.asyncio_.waking import hear, link, say, served
from tests.support.loops import LOOPS, Loop
from tests.support.rawpeer import CLOSE, TEXT, close_payload, frame

from longwire import ConnectionClosedError, ConnectionClosedOK
from longwire.asyncio.server import ServerConnection


@pytest.fixture(params=list(LOOPS), autouse=True)
def make_loop(request: pytest.FixtureRequest) -> Callable[[], Loop]:
    return LOOPS[request.param]


async def waiting(ws: ServerConnection) -> asyncio.Task[Any]:
    """Return a task that waits in recv()."""

    async def receive() -> Any:
        return await ws.recv()

    task = asyncio.create_task(receive())
    await until(lambda: ws._receiving)
    return task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# --- every way to wait -----------------------------------------------------------


async def test_await() -> None:
    async with link() as (ws, _, peer):
        asyncio.get_running_loop().call_later(0.01, say, peer, "hello")

        assert await ws.recv() == "hello"


async def test_await_of_what_is_there_already() -> None:
    async with link() as (ws, _, peer):
        say(peer, "one")
        say(peer, "two")
        await until(lambda: ws._live.inbox.whole == 2)

        assert [await ws.recv(), await ws.recv()] == ["one", "two"]


async def test_wait_for() -> None:
    async with link() as (ws, _, peer):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.01)
        say(peer, "not lost")

        assert await asyncio.wait_for(ws.recv(), 5) == "not lost"


async def test_wait_for_what_comes_while_it_waits() -> None:
    async with link() as (ws, _, peer):
        asyncio.get_running_loop().call_later(0.01, say, peer, "in time")

        assert await asyncio.wait_for(ws.recv(), 5) == "in time"


async def test_timeout() -> None:
    async with link() as (ws, _, peer):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await ws.recv()
        asyncio.get_running_loop().call_later(0.01, say, peer, "not lost")

        async with asyncio.timeout(5):
            assert await ws.recv() == "not lost"


async def test_create_task() -> None:
    async with link() as (ws, _, peer):
        task = asyncio.create_task(ws.recv(), name="mine")
        await settle()
        say(peer, "hello")

        assert await task == "hello"
        assert task.get_name() == "mine"


async def test_gather() -> None:
    async with link() as (a, _, to_a), link() as (b, _, to_b):
        both = asyncio.gather(a.recv(), b.recv())
        await settle()
        say(to_b, "b")
        say(to_a, "a")

        assert await both == ["a", "b"]


async def test_gathered_receive_and_send() -> None:
    async with link() as (ws, reader, peer):
        asyncio.get_running_loop().call_later(0.01, say, peer, "in")

        assert await asyncio.gather(ws.recv(), ws.send("out")) == ["in", None]
        assert await hear(reader) == "out"


async def test_shield() -> None:
    async with link() as (ws, _, peer):
        inner = asyncio.ensure_future(ws.recv())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(inner), 0.01)
        say(peer, "for the inner one")

        assert await inner == "for the inner one"


async def test_as_completed() -> None:
    async with link() as (a, _, to_a), link() as (b, _, to_b):
        asyncio.get_running_loop().call_later(0.01, say, to_b, "b")
        asyncio.get_running_loop().call_later(0.05, say, to_a, "a")
        found = [await one for one in asyncio.as_completed([a.recv(), b.recv()])]

        assert found == ["b", "a"]


async def test_the_loser_of_a_race_is_cancelled_and_loses_nothing() -> None:
    async with link() as (a, _, to_a), link() as (b, _, to_b):
        racing = {asyncio.create_task(a.recv()), asyncio.create_task(b.recv())}
        await settle()
        say(to_a, "first")
        done, lost = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        for task in lost:
            task.cancel()
        await asyncio.wait(lost)
        say(to_b, "second")

        assert [task.result() for task in done] == ["first"]
        assert all(task.cancelled() for task in lost)
        assert await b.recv() == "second"


async def test_a_race_with_a_timer_many_times_loses_nothing() -> None:
    async with link(max_queue=None) as (ws, _, peer):
        got: list[str] = []
        for number in range(200):
            say(peer, str(number))
            task = asyncio.create_task(ws.recv())
            other = asyncio.create_task(asyncio.sleep(0 if number % 2 else 0.0003))
            await asyncio.wait({task, other}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                got.append(await task)
            await other
        while len(got) < 200:
            got.append(await ws.recv())

        assert got == [str(number) for number in range(200)]


async def test_a_task_group() -> None:
    async with link() as (a, _, to_a), link() as (b, _, to_b):
        async with asyncio.TaskGroup() as group:
            first = group.create_task(a.recv())
            second = group.create_task(b.recv())
            await settle()
            say(to_a, "a")
            say(to_b, "b")

        assert (first.result(), second.result()) == ("a", "b")


async def test_a_task_group_that_fails_cancels_the_one_who_waits() -> None:
    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise ZeroDivisionError

    async with link() as (ws, _, peer):
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(ws.recv())
                group.create_task(fail())
        say(peer, "not lost")

        assert task.cancelled()
        assert await ws.recv() == "not lost"


async def test_iteration_and_anext() -> None:
    async with link() as (ws, _, peer):
        say(peer, "one")
        say(peer, "two")
        say(peer, "three")
        messages = aiter(ws)
        found = [await anext(messages), await anext(messages, "none")]
        asyncio.get_running_loop().call_later(
            0.01, peer.write, frame(CLOSE, close_payload(1000))
        )
        found += [message async for message in messages]

        assert found == ["one", "two", "three"]
        assert await anext(messages, "none") == "none"
        with pytest.raises(StopAsyncIteration):
            await anext(messages)


async def test_the_end_wakes_who_waits() -> None:
    async with link() as (ws, _, peer):
        task = await waiting(ws)
        peer.write(frame(CLOSE, close_payload(1001, "bye")))

        with pytest.raises(ConnectionClosedOK, match="bye"):
            await task


async def test_a_reset_wakes_who_waits() -> None:
    async with link() as (ws, _, peer):
        task = await waiting(ws)
        peer.transport.abort()

        with pytest.raises(ConnectionClosedError):
            await task


# --- cancelling ------------------------------------------------------------------


async def test_cancelled_before_it_starts() -> None:
    async with link() as (ws, _, peer):
        task = asyncio.create_task(ws.recv())
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await task
        say(peer, "still there")

        assert await ws.recv() == "still there"


async def test_cancelled_while_it_waits() -> None:
    async with link() as (ws, _, peer):
        task = await waiting(ws)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        assert not ws._receiving
        say(peer, "still there")

        assert await ws.recv() == "still there"


async def test_cancelled_with_the_message_there_before_it_runs() -> None:
    async with link() as (ws, _, peer):
        task = await waiting(ws)
        # Another task runs, this one: the one who waits is woken in the next turn.
        ws.feed(frame(TEXT, b"fed"))
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        say(peer, "later")

        assert [await ws.recv(), await ws.recv()] == ["fed", "later"]


async def test_cancelled_twice_and_caught() -> None:
    async with link() as (ws, _, peer):
        caught: list[str] = []

        async def stubborn() -> Any:
            while True:
                try:
                    return await ws.recv()
                except asyncio.CancelledError as exc:
                    caught.append(str(exc))

        task = asyncio.create_task(stubborn())
        await until(lambda: ws._receiving)
        for why in ("once", "twice"):
            task.cancel(why)
            await settle()
        say(peer, "after all")

        assert await task == "after all"
        assert caught == ["once", "twice"]


async def test_fed_from_within_a_task_wakes_another_in_its_turn() -> None:
    async with link() as (ws, _, _peer):
        order: list[str] = []

        async def receive() -> None:
            order.append(await ws.recv())

        task = asyncio.create_task(receive())
        await until(lambda: ws._receiving)
        ws.feed(frame(TEXT, b"received"))
        order.append("fed")
        await task

        assert order == ["fed", "received"]


async def test_fed_from_a_callback_in_the_context_of_the_task() -> None:
    async with link() as (ws, _, _peer):
        context = contextvars.copy_context()

        async def receive() -> Any:
            return await ws.recv()

        task = asyncio.get_running_loop().create_task(receive(), context=context)
        await until(lambda: ws._receiving)
        asyncio.get_running_loop().call_soon(
            ws.feed, frame(TEXT, b"hello"), context=context
        )

        assert await asyncio.wait_for(task, 5) == "hello"


async def test_many_cancellations_and_messages_lose_nothing() -> None:
    async with link(max_queue=None) as (ws, _, peer):
        got: list[str] = []
        for number in range(300):
            task = asyncio.create_task(ws.recv())
            for _ in range(number % 4):
                await asyncio.sleep(0)
            if number % 3 == 0:
                ws.feed(frame(TEXT, str(number).encode()))
            else:
                say(peer, "x")
            for _ in range(number % 5):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                got.append(await task)
        await until(lambda: ws._live.inbox.whole + len(got) == 300)
        while len(got) < 300:
            got.append(await ws.recv())

        assert got.count("x") == 200
        fed = [int(number) for number in got if number != "x"]
        assert fed == list(range(0, 300, 3))


# --- inside a handler that was just woken ----------------------------------------

place: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="none")


async def test_a_woken_handler_is_the_current_task_in_its_own_context() -> None:
    found: list[Any] = []

    async def handler(ws: ServerConnection) -> None:
        task = asyncio.current_task()
        place.set("handler")
        async for message in ws:
            found.append((asyncio.current_task() is task, place.get(), message))
            place.set(f"after {message}")
            async with asyncio.timeout(5):
                await ws.send(f"{message}!")

    async with served(handler) as (reader, peer, _):
        for message in ("a", "b", "c"):
            say(peer, message)
            assert await hear(reader) == f"{message}!"

    assert found == [
        (True, "handler", "a"),
        (True, "after a", "b"),
        (True, "after b", "c"),
    ]
    assert place.get() == "none"
    assert asyncio.current_task() is not None


async def test_two_handlers_woken_by_one_batch_do_not_run_inside_each_other() -> None:
    depth, deepest = 0, 0

    async def handler(ws: ServerConnection) -> None:
        nonlocal depth, deepest
        async for message in ws:
            depth += 1
            deepest = max(deepest, depth)
            for one in ws.server.connections:
                await one.send(message)
            depth -= 1

    async with (
        served(handler) as (reader, peer, server),
        contextlib.AsyncExitStack() as stack,
    ):
        ends = [(reader, peer)]
        for _ in range(4):
            one = await stack.enter_async_context(raw(server))
            one[1].write(UPGRADE)
            await one[0].readuntil(b"\r\n\r\n")
            ends.append(one)
        for number, (_, writer) in enumerate(ends):
            say(writer, str(number))
        for reader, _ in ends:
            assert sorted([await hear(reader) for _ in ends]) == list("01234")

    assert deepest == 1


async def test_a_task_made_by_a_woken_handler_runs() -> None:
    async def handler(ws: ServerConnection) -> None:
        async for message in ws:
            tasks = [asyncio.create_task(ws.send(message + end)) for end in "ab"]
            await asyncio.gather(*tasks)

    async with served(handler) as (reader, peer, _):
        say(peer, "x")

        assert [await hear(reader), await hear(reader)] == ["xa", "xb"]


async def test_an_exception_of_a_woken_handler_is_logged_and_closes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.send(await ws.recv())
        await ws.recv()
        raise ZeroDivisionError("mine")

    async with served(handler) as (reader, peer, _):
        say(peer, "one")
        assert await hear(reader) == "one"
        say(peer, "two")
        assert await reader.readexactly(4) == b"\x88\x02\x03\xf3"  # 1011

        assert traces(caplog) == ["connection handler failed"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_woken_handler_ends_the_loops_run(
    make_loop: Callable[[], Loop], kind: type[BaseException]
) -> None:
    loop = make_loop()
    stack = contextlib.AsyncExitStack()
    heard: list[str] = []

    async def handler(ws: ServerConnection) -> None:
        async for message in ws:
            await ws.send(f"{message}!")
            if message == "stop":
                raise kind("from within")

    async def begin() -> Any:
        reader, peer, _ = await stack.enter_async_context(served(handler))
        other = await stack.enter_async_context(served(handler))
        say(peer, "go")
        heard.append(await hear(reader))
        return reader, peer, other

    async def go_on() -> None:
        # What was answered before it was sent, its connection is closed with 1001, and
        # others are served.
        heard.append(await hear(reader))
        assert await reader.readexactly(4) == b"\x88\x02\x03\xe9"
        peer.write(frame(CLOSE, close_payload(1001)))
        assert await reader.read() == b""
        say(other[1], "others")
        heard.append(await hear(other[0]))
        await stack.aclose()

    reader, peer, other = loop.run_until_complete(begin())
    say(peer, "stop")
    with pytest.raises(kind, match="from within"):
        loop.run_until_complete(asyncio.sleep(5))
    loop.run_until_complete(asyncio.wait_for(go_on(), 10))
    loop.close()

    assert heard == ["go!", "stop!", "others!"]


# --- what a debugger sees --------------------------------------------------------


async def test_a_task_that_waits_can_be_looked_at() -> None:
    async with link() as (ws, _, peer):
        plain = await waiting(ws)
        say(peer, "x")
        assert await plain == "x"
        bare = asyncio.create_task(ws.recv())
        await until(lambda: ws._receiving)
        out = io.StringIO()
        for task in asyncio.all_tasks():
            print(task, file=out)
            task.print_stack(file=out)
            assert isinstance(task.get_stack(), list)
        bare.cancel()
        await asyncio.wait([bare])

    assert "recv" in out.getvalue()


async def test_nothing_is_logged_in_all_this(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with link() as (ws, reader, peer):
        for number in range(20):
            say(peer, str(number))
            await ws.send(await ws.recv())
            assert await hear(reader) == str(number)

    assert not lines(caplog, 30)
