"""The asyncio server: starting, and running handlers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import sys
from typing import Any

import pytest
from tests.asyncio_.serving import (
    UPGRADE,
    ask,
    closed,
    connected,
    echo,
    lines,
    listen,
    port_of,
    raw,
    traces,
    until,
    uri_of,
    wait,
)
from tests.support.certificates import Certificates
from tests.support.needs import needs
from websockets.asyncio.client import connect

import longwire
from longwire import State
from longwire.asyncio.server import Server, ServerConnection, serve, unix_serve

# --- starting -----------------------------------------------------------------


def test_a_server_can_be_made_without_an_event_loop() -> None:
    server = serve(echo, "127.0.0.1", 0)

    assert isinstance(server, Server)
    assert not server.is_serving()
    assert server.sockets == ()
    assert server.connections == set()


async def test_awaiting_starts_the_server() -> None:
    server = await listen()

    assert server.is_serving()
    assert server.get_loop() is asyncio.get_running_loop()
    async with connected(server) as client:
        await client.send("hello")
        assert await client.recv() == "hello"

    server.close()
    await server.wait_closed()
    assert not server.is_serving()
    assert server.sockets == ()


async def test_leaving_the_block_closes_the_server_and_its_connections() -> None:
    async with listen(wait) as server:
        client = await connected(server)

    assert await closed(client) == (1001, "")


@pytest.mark.skipif(sys.platform != "linux", reason="others have shorter queues")
@pytest.mark.parametrize("tls", [False, True])
async def test_a_crowd_that_comes_at_once_need_not_ask_twice(
    tls: bool, certificates: Certificates
) -> None:
    async with listen(ssl=certificates.server if tls else None) as server:
        with contextlib.ExitStack() as stack:
            # The event loop has no turn meanwhile. For one that has no room in the
            # system's queue, TCP asks again a second later.
            for _ in range(150):
                sock = stack.enter_context(socket.socket())
                sock.settimeout(0.9)
                sock.connect(("127.0.0.1", port_of(server)))


async def test_a_server_may_start_serving_later() -> None:
    async with listen(start_serving=False) as server:
        assert not server.is_serving()

        await server.start_serving()

        assert server.is_serving()
        async with connected(server):
            pass


async def test_a_server_listens_on_several_hosts_or_a_given_socket() -> None:
    async with serve(echo, ["127.0.0.1", "127.0.0.2"], 0) as server:
        assert len(server.sockets) == 2

    sock = socket.create_server(("127.0.0.1", 0))
    async with serve(echo, sock=sock) as server, connected(server) as client:
        await client.send(b"hello")
        assert await client.recv() == b"hello"


async def test_a_taken_port_is_an_error_at_the_start() -> None:
    async with listen() as server:
        with pytest.raises(OSError):
            await serve(echo, "127.0.0.1", port_of(server))


async def test_a_closed_server_does_not_start_again() -> None:
    never_started = listen()
    never_started.close()
    async with listen() as closed_again:
        pass

    for server in (never_started, closed_again):
        with pytest.raises(RuntimeError, match="the server was closed"):
            await server
        with pytest.raises(RuntimeError, match="the server was closed"):
            await server.start_serving()
        assert server.sockets == ()


async def test_a_server_closed_while_it_starts_does_not_listen() -> None:
    server = listen()
    starting = asyncio.create_task(server.start_serving())
    await asyncio.sleep(0)

    server.close()

    with pytest.raises(RuntimeError, match="the server was closed"):
        await starting
    assert server.sockets == ()
    await server.wait_closed()


def two_arguments(ws: Any, path: str) -> None: ...


MISTAKES: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ("echo", {}, TypeError, "handler must be a coroutine function, not str"),
    (two_arguments, {}, TypeError, "connection.request.path"),
    (lambda: None, {}, TypeError, "handler must take one argument"),
    (echo, {"ping_intervall": 3}, TypeError, "did you mean 'ping_interval'"),
    (echo, {"backlogs": 3}, TypeError, "did you mean 'backlog'"),
    (echo, {"extra_headers": {}}, TypeError, "did you mean 'process_response'"),
    (echo, {"logger": 5}, TypeError, "logger must be a logger, its name or None"),
    (echo, {"port": 65536}, ValueError, "port is 65536; 0 to 65535 are allowed"),
    (echo, {"ssl": True}, TypeError, "ssl must be an ssl.SSLContext or None"),
    (echo, {"max_size": "1"}, TypeError, "max_size must be an int"),
    (echo, {"max_size": 0}, ValueError, "max_size is 0"),
    (echo, {"max_queue": (4, 8)}, ValueError, "max_queue"),
    (echo, {"open_timeout": -1}, ValueError, "open"),
    (echo, {"ping_interval": 0}, ValueError, "ping_interval is 0"),
    (echo, {"compression": "zip"}, ValueError, "unsupported compression: 'zip'"),
    (echo, {"limits": 5}, TypeError, "limits must be a longwire.Limits"),
    (echo, {"create_connection": 5}, TypeError, "create_connection must be"),
    (echo, {"origins": "https://a"}, TypeError, "origins must be a list"),
]


@pytest.mark.parametrize(("handler", "kwargs", "kind", "text"), MISTAKES)
def test_a_mistake_is_told_by_serve_itself(
    handler: Any, kwargs: Any, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        serve(handler, "localhost", **{"port": 0, **kwargs})


async def test_a_coroutine_is_no_handler() -> None:
    coroutine = asyncio.sleep(0)

    with pytest.raises(TypeError, match="pass the function, do not call it"):
        serve(coroutine, "localhost", 0)  # type: ignore[arg-type]

    coroutine.close()


def test_handlers_may_be_callables_of_any_kind() -> None:
    class Handler:
        async def __call__(self, ws: ServerConnection) -> None: ...

        async def method(self, ws: ServerConnection) -> None: ...

    async def with_more(database: str, ws: ServerConnection, *, n: int = 1) -> None: ...

    for handler in (
        Handler(),
        Handler().method,
        functools.partial(with_more, "db"),
        lambda ws: echo(ws),
    ):
        serve(handler, "localhost", 0)


# --- handlers -----------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "deflate", "lean", "balanced", "ratio"])
async def test_messages_come_back(compression: str | None) -> None:
    async with (
        listen(compression=compression) as server,
        connected(server) as client,
    ):
        for message in ("", "héllo", b"\x00\xff", "x" * 100_000, b"y" * 70_000):
            await client.send(message)
            assert await client.recv() == message


async def test_a_handler_sees_the_handshake() -> None:
    seen: list[Any] = []

    async def handler(ws: ServerConnection) -> None:
        assert ws.request is not None
        assert ws.response is not None
        seen.extend(
            [ws.request.path, ws.response.status_code, ws.subprotocol, ws.state]
        )
        seen.extend([ws.local_address[0], ws.remote_address[0], ws.server])

    async with listen(handler, subprotocols=["chat"]) as server:
        async with connect(
            uri_of(server) + "room?x=1", subprotocols=["chat"], proxy=None
        ) as client:
            assert await closed(client) == (1000, "")
        assert seen == [
            *("/room?x=1", 101, "chat", State.OPEN),
            *("127.0.0.1", "127.0.0.1", server),
        ]


async def test_a_handler_that_returns_closes_with_1000(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.send("bye")

    async with listen(handler) as server, connected(server) as client:
        assert await client.recv() == "bye"
        assert await closed(client) == (1000, "")

    assert lines(caplog, logging.WARNING) == []


async def test_a_handler_that_raises_closes_with_1011(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    reports: list[Any] = []

    async def handler(ws: ServerConnection) -> None:
        reports.append(ws)
        raise RuntimeError("oops")

    async with listen(handler) as server, connected(server) as client:
        assert await closed(client) == (1011, "")

    assert traces(caplog) == ["connection handler failed"]
    record = next(r for r in caplog.records if r.exc_info)
    assert record.name == "longwire.server"
    report = reports[0].close_report
    assert report.cause == longwire.Cause.HANDLER
    assert isinstance(report.error, RuntimeError)


async def test_a_handler_that_is_no_coroutine_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listen(lambda ws: None) as server, connected(server) as client:
        assert await closed(client) == (1011, "")

    assert traces(caplog) == ["connection handler failed"]


async def test_a_handler_that_awaits_something_cancelled_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(ws: ServerConnection) -> None:
        task = asyncio.create_task(asyncio.sleep(10))
        asyncio.get_running_loop().call_soon(task.cancel)
        await task

    async with listen(handler) as server, connected(server) as client:
        assert await closed(client) == (1011, "")

    assert traces(caplog) == ["connection handler failed"]


async def receive_for_ever(ws: ServerConnection) -> None:
    while True:
        await ws.recv()


async def receive_in_a_group(ws: ServerConnection) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(receive_for_ever(ws))


@pytest.mark.parametrize("handler", [receive_for_ever, receive_in_a_group])
@pytest.mark.parametrize("code", [1000, 1001, 4000])
async def test_the_end_of_a_connection_is_no_failure_of_its_handler(
    handler: Any, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async with listen(handler) as server:
        async with connected(server) as client:
            await client.close(code)
        await until(lambda: not server._runs)

    assert traces(caplog) == []
    assert lines(caplog, logging.WARNING) == []


async def test_a_lost_peer_is_no_failure_of_the_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listen(receive_for_ever) as server:
        client = await connected(server)
        client.transport.abort()
        await until(lambda: not server._runs)

    assert traces(caplog) == []


async def test_the_end_of_another_connection_is_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(ws: ServerConnection) -> None:
        raise longwire.ConnectionClosedError(None, None)

    async with listen(handler) as server, connected(server) as client:
        assert await closed(client) == (1011, "")

    assert traces(caplog) == ["connection handler failed"]


async def test_a_cancelled_handler_closes_its_connection() -> None:
    async def handler(ws: ServerConnection) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(10)

    async with listen(handler) as server, connected(server) as client:
        assert await closed(client) == (1001, "")
        await until(lambda: not server._runs)


def test_an_interrupt_in_a_handler_ends_the_program() -> None:
    async def handler(ws: ServerConnection) -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        async with listen(handler) as server, connected(server) as client:
            await client.wait_closed()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


async def test_a_handler_for_one_message_is_told_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def one_shot(ws: ServerConnection) -> None:
        await ws.send(await ws.recv())

    async with listen(one_shot) as server:
        for _ in range(3):
            async with connected(server) as client:
                await client.send("hello")
                assert await client.recv() == "hello"
                assert await closed(client) == (1000, "")

    (line,) = lines(caplog, logging.WARNING)
    assert "one_shot returned after one message" in line
    assert "async for message in websocket" in line


async def test_a_handler_that_closes_on_purpose_is_told_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def one_shot(ws: ServerConnection) -> None:
        await ws.send(await ws.recv())
        await ws.close()

    async with listen(one_shot) as server, connected(server) as client:
        await client.send("hello")
        assert await closed(client) == (1000, "")

    assert lines(caplog, logging.WARNING) == []


async def test_a_subclass_gets_the_documented_arguments() -> None:
    calls: list[Any] = []

    class Mine(ServerConnection):
        def __init__(self, protocol: Any, server: Server, **kwargs: Any) -> None:
            calls.append(kwargs)
            super().__init__(protocol, server, **kwargs)

    async def handler(ws: ServerConnection) -> None:
        assert isinstance(ws, Mine)
        await ws.send(await ws.recv())
        await ws.close()

    async with (
        listen(
            handler,
            create_connection=Mine,
            ping_interval=7,
            ping_timeout=None,
            close_timeout=3,
            max_queue=(8, 2),
            write_limit=1000,
        ) as server,
        connected(server) as client,
    ):
        await client.send("hello")
        assert await client.recv() == "hello"

    assert calls == [
        {
            "ping_interval": 7,
            "ping_timeout": None,
            "close_timeout": 3,
            "max_queue": (8, 2),
            "write_limit": (1000, None),
        }
    ]


# --- TLS and Unix sockets -----------------------------------------------------


async def test_messages_come_back_over_tls(certificates: Certificates) -> None:
    async with listen(ssl=certificates.server) as server:
        uri = f"wss://127.0.0.1:{port_of(server)}/"
        async with connect(uri, ssl=certificates.client, proxy=None) as client:
            for message in ("hello", b"x" * 300_000):
                await client.send(message)
                assert await client.recv() == message
        assert await closed(client) == (1000, "")


async def test_a_refusal_reaches_the_peer_over_tls(certificates: Certificates) -> None:
    async with (
        listen(ssl=certificates.server) as server,
        raw(server, ssl=certificates.client, server_hostname="127.0.0.1") as (
            reader,
            writer,
        ),
    ):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.read()

    assert answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")


@pytest.mark.stock_loop
async def test_a_failed_tls_handshake_is_one_line(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with listen(ssl=certificates.server) as server:
        caplog.clear()

        async with raw(server) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with contextlib.suppress(OSError):
                await reader.read()
        async with raw(server):
            pass
        await until(lambda: not server._runs)

        assert len(lines(caplog)) == 2
        assert all(x.startswith("opening handshake failed: ") for x in lines(caplog))
        assert traces(caplog) == []


def test_tls_works_on_uvloop_too(certificates: Certificates) -> None:
    needs("uvloop")
    import uvloop

    async def main() -> None:
        async with listen(ssl=certificates.server) as server:
            uri = f"wss://localhost:{port_of(server)}/"
            async with connect(uri, ssl=certificates.client, proxy=None) as client:
                await client.send("hello")
                assert await client.recv() == "hello"
            async with raw(server) as (reader, writer):
                writer.write(UPGRADE)
                with contextlib.suppress(OSError):
                    assert b"HTTP" not in await reader.read()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_half_a_tls_handshake_is_quiet(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async with listen(ssl=certificates.server) as server:
        async with raw(server) as (reader, writer):
            writer.write(b"\x16\x03\x01\x02\x00\x01")
            writer.write_eof()
            with contextlib.suppress(OSError):
                await reader.read()
        await until(lambda: not server._runs)

    assert lines(caplog, logging.WARNING) == []


async def test_silence_before_tls_is_closed_in_time(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async with listen(ssl=certificates.server, open_timeout=0.1) as server:
        with contextlib.suppress(OSError):
            assert await ask(server, b"") == b""
        await until(lambda: not server._runs)

    assert traces(caplog) == []


async def test_a_unix_socket_left_behind_is_replaced(tmp_path: Any) -> None:
    path = tmp_path / "socket"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(os.fspath(path))
    stale.close()

    from websockets.asyncio.client import unix_connect

    async with unix_serve(echo, path) as server:
        async with unix_connect(os.fspath(path)) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        await until(lambda: not server._runs)


def test_unix_serve_knows_its_keywords() -> None:
    with pytest.raises(TypeError, match=r"unix_serve\(\) .* 'host'"):
        unix_serve(echo, "/nowhere", host="localhost")
    with pytest.raises(TypeError, match="reuse_port"):
        unix_serve(echo, "/nowhere", reuse_port=True)
