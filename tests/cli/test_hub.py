"""`longwire hub`: topics followed from a shell, and messages published by one."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.commands import command, environment, run
from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

from tests.hub.serving import serving, user_of_path

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]


async def hub(*arguments: str, stdin: bytes = b"") -> Any:
    """What `longwire hub ARGUMENTS` does."""
    return await asyncio.to_thread(run, "hub", *arguments, stdin=stdin)


@contextlib.asynccontextmanager
async def tail(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`longwire hub tail ARGUMENTS`, while it runs."""
    process = await asyncio.create_subprocess_exec(
        *command("hub", "tail", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def lines(done: Any) -> list[Any]:
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


async def test_what_is_published_is_json_or_a_text():
    async with serving() as served:
        done = await hub("publish", served.uri, "chat:1", '{"a": 1}', "hello", "5")

        places = lines(done)
        stored = [message async for message in _stored(served)]
        assert [message.data for message in stored] == [{"a": 1}, "hello", 5]
        assert [message.position for message in stored] == places


async def _stored(served: Any) -> Any:
    for message in await served.hub.history("chat:1"):
        yield message


async def test_lines_of_stdin_are_messages():
    async with serving() as served:
        done = await hub("publish", served.uri, "chat:1", stdin="ß\n[1]\n".encode())

        assert len(lines(done)) == 2
        assert [m.data async for m in _stored(served)] == ["ß", [1]]


async def test_a_message_with_an_id_is_stored_once():
    async with serving() as served:
        one = await hub("publish", served.uri, "chat:1", "x", "--id", "7")
        two = await hub("publish", served.uri, "chat:1", "x", "--id", "7")

        assert lines(one) == lines(two)


async def test_the_newest_are_printed_and_then_what_comes():
    async with serving() as served:
        for n in range(5):
            await served.hub.publish("chat:1", n)
        arguments = (served.uri, "chat:1", "--last", "2", "--count", "3")
        async with tail(*arguments) as process:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"3\n"
            await served.hub.publish("chat:1", "\x1b[31m")
            assert await process.stdout.read() == b'4\n"\\u001b[31m"\n'
            assert await process.wait() == 0


async def test_a_state_file_goes_on_after_what_was_printed(tmp_path):
    state = tmp_path / "place"
    follow = ("tail", "--state", str(state), "--count", "2")
    async with serving() as served:
        for n in range(6):
            await served.hub.publish("chat:1", n)

        first = await hub(*follow, served.uri, "chat:1", "--last", "6")
        second = await hub(*follow, served.uri, "chat:1")

        assert (lines(first), lines(second)) == ([0, 1], [2, 3])
        assert [path.name for path in tmp_path.iterdir()] == ["place"]


async def test_a_gap_is_a_line_on_stderr(tmp_path):
    state = tmp_path / "place"
    async with serving(options={"history": 2}) as served:
        await served.hub.publish("chat:1", 0)
        state.write_text(str(await served.hub.position("chat:1")) + "\n")
        for n in range(1, 6):
            await served.hub.publish("chat:1", n)
        arguments = (served.uri, "chat:1", "--state", str(state), "--count", "1")
        async with tail(*arguments) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            gap = json.loads(await process.stderr.readline())
            assert gap["gap"] == "trimmed"
            await served.hub.publish("chat:1", "on")
            assert await process.stdout.read() == b'"on"\n'


async def test_json_prints_who_and_where():
    async with serving(identify=user_of_path) as served:
        await hub("publish", f"{served.uri}ann", "chat:1", "hi")

        arguments = ("tail", served.uri, "chat:1", "--last", "1", "--count", "1")
        (found,) = lines(await hub(*arguments, "--json"))

        assert (found["data"], found["sender"], found["offset"]) == ("hi", "ann", 1)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("tail", "no:1:2"), b"cannot follow no:1:2: no topic 'no:1:2'"),
        (("publish", "no\x1b:1:2", "x"), rb"cannot publish on no\x1b:1:2: "),
        (
            ("tail", "chat:1", "--since", "x"),
            b"cannot follow chat:1: InvalidParams: since: ",
        ),
    ],
)
async def test_a_failure_is_one_line_and_status_1(arguments, line):
    async with serving() as served:
        word, *rest = arguments
        done = await hub(word, served.uri, *rest)

    assert done.returncode == 1
    assert done.stdout == b""
    assert line in done.stderr
    assert done.stderr.count(b"\n") == 1


async def test_what_makes_no_sense_is_refused():
    for arguments in (
        ("tail", "ws://localhost:1/", "a", "--since", "x", "--state", "y"),
        ("publish", "ws://localhost:1/", "a", "1", "2", "--id", "x"),
    ):
        done = await hub(*arguments)
        assert done.returncode == 2
