"""Whom the asyncio server does not let in, and what the log says of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Any

import pytest
from tests.asyncio_.serving import (
    UPGRADE,
    ask,
    connected,
    lines,
    listen,
    port_of,
    raw,
    traces,
    until,
)
from websockets.exceptions import InvalidStatus

import longwire
from longwire import Limits
from longwire.admission import Admission
from longwire.asyncio import native
from longwire.asyncio.server import ServerConnection
from longwire.observer import Observer

# --- refusing -----------------------------------------------------------------


async def test_a_plain_request_is_told_to_upgrade(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with listen() as server:
        caplog.clear()

        answer = await ask(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
        (line,) = lines(caplog)
        assert line.startswith("opening handshake failed: ")
        assert traces(caplog) == []


async def test_scans_leave_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with listen() as server:
        caplog.clear()

        async with raw(server):
            pass
        await ask(server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        await ask(server, b"EHLO\r\n\r\n")
        await ask(server, b"GET /\r\n\x1b[31m\r\n\r\n")
        await until(lambda: not server._runs)

        assert len(lines(caplog)) == 4
        assert all(x.startswith("opening handshake failed: ") for x in lines(caplog))
        assert all(x.isprintable() for x in lines(caplog))
        assert traces(caplog) == []


async def test_an_answer_reaches_a_peer_that_has_much_more_to_say() -> None:
    async with listen() as server:
        answer = await ask(
            server, b"GET / HTTP/1.1\r\nX: " + b"x" * 400_000 + b"\r\n\r\n"
        )

    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_process_request_may_refuse(
    asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def refuse(connection: ServerConnection, request: Any) -> Any:
        assert connection.request is request
        response = connection.respond(403, "Not you\n")
        response.headers["X-Why"] = "test"
        return response

    async def refuse_later(connection: ServerConnection, request: Any) -> Any:
        await asyncio.sleep(0)
        return refuse(connection, request)

    callback = refuse_later if asynchronous else refuse
    async with listen(process_request=callback) as server:
        with pytest.raises(InvalidStatus) as caught:
            await connected(server)

    response = caught.value.response
    assert (response.status_code, response.body) == (403, b"Not you\n")
    assert response.headers["X-Why"] == "test"
    text = "connection rejected (403 Forbidden) (from 127.0.0.1:"
    assert [line for line in lines(caplog) if line.startswith(text)]


async def test_a_failing_process_request_is_logged_and_answered_with_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(connection: ServerConnection, request: Any) -> None:
        raise RuntimeError("oops")

    async with listen(process_request=fail) as server:
        with pytest.raises(InvalidStatus) as caught:
            await connected(server)

    assert caught.value.response.status_code == 500
    assert traces(caplog) == ["opening handshake failed"]


async def test_a_health_check_makes_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "longwire")
    async with listen(health="/healthz") as server:
        caplog.clear()

        answer = await ask(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nOK\n")
        assert lines(caplog, logging.DEBUG) == []
        async with connected(server) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_half_a_request_is_answered_with_408() -> None:
    async with listen(open_timeout=0.1) as server:
        answer = await ask(server, UPGRADE[:-2])

    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_silence_is_closed_without_an_answer() -> None:
    async with listen(open_timeout=0.1) as server:
        assert await ask(server, b"") == b""


async def test_a_dribbling_peer_gets_no_more_time() -> None:
    async with listen(open_timeout=0.3) as server, raw(server) as (reader, writer):
        answer = asyncio.create_task(reader.readuntil(b"\r\n"))
        sent = 0
        for byte in UPGRADE:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
            if answer.done():
                break
            sent += 1

        assert await answer == b"HTTP/1.1 408 Request Timeout\r\n"
        assert sent < len(UPGRADE)


async def test_a_callback_that_hangs_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def hang(connection: ServerConnection, request: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    async with listen(open_timeout=0.1, process_request=hang) as server:
        answer = await ask(server, UPGRADE)

    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert cancelled.is_set()


@pytest.mark.parametrize(
    "limits", [Limits(connections=2), Limits(connections_per_address=2)]
)
async def test_connections_over_a_limit_are_refused(limits: Limits) -> None:
    async with listen(limits=limits) as server:
        first, second = await connected(server), await connected(server)

        with pytest.raises(InvalidStatus) as caught:
            await connected(server)

        assert caught.value.response.status_code == 503
        await first.close()
        await until(lambda: len(server._runs) == 1)
        third = await connected(server)
        await third.send("hello")
        assert await third.recv() == "hello"
        await asyncio.gather(second.close(), third.close())
        await until(lambda: not server._runs)
        assert not server._admission.addresses


async def test_a_flood_over_the_limit_is_cut_off() -> None:
    async with listen(limits=Limits(connections=1), open_timeout=30) as server:
        client = await connected(server)
        socks = [
            socket.create_connection(("127.0.0.1", port_of(server))) for _ in range(100)
        ]
        await until(lambda: server._admission._crowded == Admission.MAX_CROWDED)
        await asyncio.sleep(0.05)
        assert len(server._runs) == 1 + Admission.MAX_CROWDED
        for sock in socks:
            sock.close()
        await until(lambda: len(server._runs) == 1)
        await client.send("still here")
        assert await client.recv() == "still here"
        await client.close()


async def test_of_each_address_over_its_limit_the_log_tells_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made: list[ServerConnection] = []
    refused: list[str] = []

    class Recorder(Observer):
        def limited(self, limit: str) -> None:
            refused.append(limit)

    def make(*args: Any, **kwargs: Any) -> ServerConnection:
        made.append(ServerConnection(*args, **kwargs))
        return made[-1]

    options: Any = {"open_timeout": 30, "create_connection": make}
    most = Admission.MAX_CROWDED
    with contextlib.ExitStack() as stack:
        async with listen(
            limits=Limits(connections_per_address=1), **options
        ) as server:
            server.observer = Recorder()
            for source in ["127.0.0.1"] * (1 + most) + ["127.0.0.2"] * 3:
                target = ("127.0.0.1", port_of(server))
                sock = socket.create_connection(target, None, (source, 0))
                stack.callback(sock.close)
            await until(lambda: len(refused) == most + 2)

    news = [line for line in lines(caplog) if "server refuses connections" in line]
    assert [line.partition("reached by ")[2][:10] for line in news] == [
        "127.0.0.1:",
        "127.0.0.2:",
    ]
    assert set(refused) == {"connections_per_address"}
    if native.is_available(asyncio.get_running_loop()):
        # None is made for one that could not even be told why.
        assert len(made) == 2 + most


async def test_a_peer_that_leaves_during_process_request_starts_no_handler() -> None:
    handled: list[Any] = []
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def process_request(connection: ServerConnection, request: Any) -> None:
        asked.set()
        await go_on.wait()

    async def handler(ws: ServerConnection) -> None:
        with pytest.raises(longwire.ConnectionClosed):
            await ws.recv()
        handled.append(ws.close_code)

    async with listen(handler, process_request=process_request) as server:
        async with raw(server) as (_, writer):
            writer.write(UPGRADE)
            await asked.wait()
            writer.transport.abort()
        await asyncio.sleep(0.02)
        go_on.set()
        await until(lambda: not server._runs)

    assert handled in ([], [1006])
