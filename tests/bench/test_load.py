"""The load generator counts right, and finds whatever is wrong with an answer."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from longwire import broadcast, serve

pytestmark = pytest.mark.once

ONCE = {"seconds": 0.02, "warmup": 0, "patience": 2}


async def load(programs, server, **options: object) -> tuple[dict[str, Any], str]:
    """The figures of a run against ``server``, and the last line of its errors."""
    port = server.sockets[0].getsockname()[1]
    arguments = {**ONCE, "port": port, **options}
    process = await asyncio.create_subprocess_exec(
        programs.load,
        *(f"{name}={value}" for name, value in arguments.items()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert (process.returncode == 0) == (errors == b""), errors
    figures = json.loads(output) if output else {}
    return figures, errors.decode().strip().rpartition("\n")[2]


def answering(change, **options):
    """A server that answers each binary message with ``change(message)``, if any."""

    async def handler(websocket):
        async for message in websocket:
            answer = message if isinstance(message, str) else change(message)
            if answer is not None:
                await websocket.send(answer)

    return serve(handler, "127.0.0.1", 0, **options)


# --- counting ---


@pytest.mark.parametrize(
    ("options", "each"),
    [
        ({"connections": 1}, 32),
        ({"connections": 3, "flight": 5}, 32),
        ({"connections": 2, "size": 70000}, 70000),
        ({"size": 1000, "fragment": 300}, 1000),
        ({"connections": 8, "active": 2}, 32),
    ],
)
async def test_as_many_echoes_are_counted_as_were_asked_for(programs, options, each):
    sizes = []

    def keep(message):
        sizes.append(len(message))
        return message

    async with answering(keep) as server:
        figures, error = await load(programs, server, **options)

    assert error == ""
    assert figures["messages"] == len(sizes) > 0
    assert set(sizes) == {each}
    assert figures["received"] == each


async def test_the_messages_of_a_flight_differ(programs):
    seen = set()

    def keep(message):
        seen.add(message)
        return message

    async with answering(keep) as server:
        await load(programs, server, flight=8)

    assert len(seen) == 8


async def test_only_the_active_connections_send(programs):
    senders = []

    async def handler(websocket):
        async for message in websocket:
            if isinstance(message, bytes):
                senders.append(websocket)
            await websocket.send(message)

    async with serve(handler, "127.0.0.1", 0) as server:
        await load(programs, server, connections=10, active=3)

    assert len(set(senders)) == 3


async def test_each_receiver_of_a_broadcast_is_counted(programs):
    receivers, messages = set(), 0

    async def handler(websocket):
        nonlocal messages
        receivers.add(websocket)
        async for message in websocket:
            if isinstance(message, str):
                await websocket.send(message)
            else:
                messages += 1
                broadcast(receivers, message)

    async with serve(handler, "127.0.0.1", 0) as server:
        figures, error = await load(programs, server, mode="broadcast", connections=7)

    assert error == ""
    assert figures["messages"] == 7 * messages > 0


async def test_handshakes_are_whole_and_counted(programs):
    closed = []

    async def handler(websocket):
        await websocket.wait_closed()
        closed.append(websocket.close_code)

    async with serve(handler, "127.0.0.1", 0) as server:
        figures, error = await load(programs, server, mode="handshake", connections=4)

    assert error == ""
    assert closed == [1000] * figures["messages"]
    assert closed


async def test_compressed_messages_are_json_in_turn(programs):
    seen = []

    async def handler(websocket):
        async for message in websocket:
            seen.append(message)
            await websocket.send(message)

    async with serve(handler, "127.0.0.1", 0) as server:
        figures, error = await load(programs, server, deflate=1, size=1024)

    texts = [json.loads(message) for message in seen[1:]]
    assert error == ""
    assert figures["messages"] == len(texts) > 0
    assert [text["sequence"] - 1000 for text in texts] == [
        index % 64 for index in range(len(texts))
    ]
    assert 0 < figures["received"] < 1024


# --- what is wrong is found ---


def once_in(count, change):
    """``change`` for one message in ``count``, the others as they are."""
    numbers = itertools.count(1)
    return lambda message: message if next(numbers) % count else change(message)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda message: message[:-1] + b"!", "another payload than expected"),
        (lambda message: b"!" + message[1:], "another payload than expected"),
        (lambda message: message[:-1], "a message of 31 bytes, expected 32"),
        (lambda message: message + b"a", "a message of 33 bytes or more, expected 32"),
        (lambda message: message.decode(), "a message of kind 1, expected 2"),
        (lambda message: None, "nothing from the server in 2 s, 1 answers missing"),
    ],
)
async def test_a_wrong_echo_is_found(programs, change, complaint):
    async with answering(once_in(2, change)) as server:
        figures, error = await load(programs, server)

    assert figures == {}
    assert complaint in error


async def test_an_answer_too_many_is_found(programs):
    async def handler(websocket):
        async for message in websocket:
            await websocket.send(message)
            await websocket.send(message)

    async with serve(handler, "127.0.0.1", 0) as server:
        _, error = await load(programs, server)

    assert "a message that nothing asked for" in error


async def test_answers_in_another_order_are_found(programs):
    async def handler(websocket):
        await websocket.send(await websocket.recv())
        while True:
            first, second = await websocket.recv(), await websocket.recv()
            await websocket.send(second)
            await websocket.send(first)

    async with serve(handler, "127.0.0.1", 0) as server:
        _, error = await load(programs, server, flight=4)

    assert "another payload than expected" in error


async def test_a_wrong_number_of_messages_read_is_found(programs):
    async def handler(websocket):
        count = 0
        async for message in websocket:
            if isinstance(message, str):
                await websocket.send(str(count))
            count += 1  # the question as well

    async with serve(handler, "127.0.0.1", 0) as server:
        _, error = await load(programs, server, mode="sink")

    assert "another payload than expected" in error


async def test_other_json_is_found(programs):
    async def handler(websocket):
        async for message in websocket:
            await websocket.send(message.replace("EUR", "eur"))

    async with serve(handler, "127.0.0.1", 0) as server:
        _, error = await load(programs, server, deflate=1, size=1024)

    assert "another payload than expected" in error


async def test_a_broadcast_that_misses_one_is_found(programs):
    receivers = []

    async def handler(websocket):
        receivers.append(websocket)
        async for message in websocket:
            if isinstance(message, str):
                await websocket.send(message)
            else:
                broadcast(receivers[:-1], message)

    async with serve(handler, "127.0.0.1", 0) as server:
        _, error = await load(programs, server, mode="broadcast", connections=5)

    assert "1 answers missing" in error


async def test_a_server_that_leaves_is_found(programs):
    async def handler(websocket):
        await websocket.send(await websocket.recv())
        await websocket.recv()

    async with serve(handler, "127.0.0.1", 0) as server:
        _, error = await load(programs, server)

    assert "the server closes with code 1000" in error


async def test_a_server_without_compression_is_found(programs):
    async with answering(lambda message: message, compression=None) as server:
        _, error = await load(programs, server, deflate=1)

    assert "does not agree to permessage-deflate" in error


async def test_a_refusal_is_found(programs):
    def refuse(connection, request):
        return connection.respond(403, "no")

    async with answering(lambda message: message, process_request=refuse) as server:
        _, error = await load(programs, server)

    assert "refused: HTTP/1.1 403" in error


async def test_a_wrong_accept_token_is_found(programs):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )
        await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        _, error = await load(programs, server)

    assert "refused: HTTP/1.1 101" in error


async def test_an_argument_that_is_none_is_refused(programs):
    async with answering(lambda message: message) as server:
        _, error = await load(programs, server, flights=3)

    assert "no such argument: flights=3" in error
