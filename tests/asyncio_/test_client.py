"""The asyncio client with real sockets and other people's servers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
import socket
import ssl

import aiohttp.web
import pytest
import websockets.asyncio.server as other
from tests.asyncio_.client_peers import (
    answering,
    nothing_left,
    raw_server,
    read_head,
    silence,
)

from longwire import errors
from longwire.asyncio.client import ClientConnection, connect, unix_connect
from longwire.http.handshake import accept_token
from longwire.messages import State
from longwire.opening.client_settings import default_tls_context
from longwire.options import Compression, Limits


async def echo(ws):
    async for message in ws:
        await ws.send(message)


@contextlib.asynccontextmanager
async def serving(handler=echo, **options):
    """Yield the port of a server by another library."""
    async with other.serve(handler, "127.0.0.1", 0, **options) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def aiohttp_serving():
    """Yield the port of aiohttp's echo server."""

    async def handle(request):
        ws = aiohttp.web.WebSocketResponse(max_msg_size=0)
        await ws.prepare(request)
        async for message in ws:
            if message.type is aiohttp.WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        return ws

    app = aiohttp.web.Application()
    app.router.add_get("/", handle)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield site._server.sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()


@pytest.fixture(params=[serving, aiohttp_serving], ids=["websockets", "aiohttp"])
def peer(request):
    return request.param


# --- opening ---------------------------------------------------------------------


def test_connect_can_be_made_without_a_running_loop():
    made = connect("ws://127.0.0.1:1/", proxy=None)

    async def use():
        async with serving() as port:
            async with connect(f"ws://127.0.0.1:{port}") as ws:
                await ws.send("hello")
                return await ws.recv()

    assert asyncio.run(use()) == "hello"
    with pytest.raises(OSError):
        asyncio.run(made.connect())


@pytest.mark.parametrize("compression", ["deflate", "lean", "ratio", None])
async def test_messages_go_both_ways(peer, compression):
    messages = ["", "text é", b"\x00\xff", "long " * 50_000, b"x" * 300_000]

    async with peer() as port:
        uri = f"ws://127.0.0.1:{port}/"
        async with connect(uri, compression=compression, max_size=None) as ws:
            for message in messages:
                await ws.send(message)
                assert await ws.recv() == message

    assert ws.state is State.CLOSED
    assert ws.close_code == 1000


async def test_a_message_in_fragments_arrives_whole(peer):
    async with peer() as port, connect(f"ws://127.0.0.1:{port}/") as ws:
        await ws.send(["one ", "two ", "three"])

        assert await ws.recv() == "one two three"


async def test_awaiting_gives_an_open_connection_to_close():
    async with serving() as port, nothing_left():
        ws = await connect(f"ws://127.0.0.1:{port}/chat")

        assert isinstance(ws, ClientConnection)
        assert ws.state is State.OPEN
        assert ws.request.path == "/chat"
        assert ws.response.status_code == 101
        assert ws.remote_address == ("127.0.0.1", port)
        await ws.close()


async def test_the_connect_method_does_what_awaiting_does():
    async with serving() as port:
        ws = await connect(f"ws://127.0.0.1:{port}/").connect()

        assert ws.state is State.OPEN
        await ws.close()


async def test_a_task_can_be_made_of_an_attempt():
    async with serving() as port:
        attempt = connect(f"ws://127.0.0.1:{port}/")
        ws = await asyncio.create_task(attempt.connect())

        assert ws.state is State.OPEN
        await ws.close()


async def test_an_exception_in_the_block_closes_with_1011():
    closed = asyncio.get_running_loop().create_future()

    async def note(ws):
        await ws.wait_closed()
        closed.set_result(ws.close_code)

    async with serving(note) as port:
        with pytest.raises(ZeroDivisionError):
            async with connect(f"ws://127.0.0.1:{port}/"):
                raise ZeroDivisionError

        assert await closed == 1011


async def test_leaving_goes_through_the_connections_own_methods():
    seen = []

    class Own(ClientConnection):
        async def __aenter__(self):
            seen.append("enter")
            return await super().__aenter__()

        async def __aexit__(self, *details):
            seen.append("exit")
            await super().__aexit__(*details)

    async with serving() as port:
        uri = f"ws://127.0.0.1:{port}/"
        async with connect(uri, create_connection=Own) as ws:
            assert isinstance(ws, Own)

    assert seen == ["enter", "exit"]


async def test_the_request_says_who_we_are_and_what_we_want():
    heads = []

    async def note(reader, writer):
        heads.append(await read_head(reader))

    async with raw_server(note) as port:
        with pytest.raises(errors.InvalidMessage):
            await connect(
                f"ws://127.0.0.1:{port}/x?y=z",
                origin="https://a.example",
                subprotocols=["chat"],
                additional_headers={"X-Token": "t"},
            )

    lines = heads[0].decode().split("\r\n")
    assert lines[0] == "GET /x?y=z HTTP/1.1"
    assert "Origin: https://a.example" in lines
    assert "Sec-WebSocket-Protocol: chat" in lines
    assert "X-Token: t" in lines
    agent = next(line for line in lines if line.startswith("User-Agent: "))
    assert re.fullmatch(r"User-Agent: Python/3\.\d+ longwire/\S+", agent)
    offer = next(line for line in lines if line.startswith("Sec-WebSocket-Ext"))
    assert "permessage-deflate" in offer


async def test_no_user_agent_and_no_compression_are_not_mentioned():
    heads = []

    async def note(reader, writer):
        heads.append(await read_head(reader))

    async with raw_server(note) as port:
        with pytest.raises(errors.InvalidMessage):
            await connect(
                f"ws://127.0.0.1:{port}/", user_agent_header=None, compression=None
            )

    assert b"User-Agent" not in heads[0]
    assert b"Sec-WebSocket-Extensions" not in heads[0]


async def test_the_subprotocol_is_known():
    async with serving(subprotocols=["b", "a"]) as port:
        uri = f"ws://127.0.0.1:{port}/"
        async with connect(uri, subprotocols=["a", "b"]) as ws:
            assert ws.subprotocol == "b"


async def test_own_compression_is_negotiated():
    async with serving() as port:
        uri = f"ws://127.0.0.1:{port}/"
        async with connect(uri, compression=Compression(takeover=False)) as ws:
            offer = ws.request.headers["Sec-WebSocket-Extensions"]
            await ws.send("hello " * 100)

            assert "client_no_context_takeover" in offer
            assert await ws.recv() == "hello " * 100


async def test_frames_that_come_with_the_answer_are_received():
    async def greet(reader, writer):
        head = await read_head(reader)
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", head).group(1).decode()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept_token(key).encode()
            + b"\r\n\r\n\x81\x05hello\x88\x02\x03\xe8"
        )
        await reader.read(100)  # the client's close frame

    async with raw_server(greet) as port:
        async with connect(f"ws://127.0.0.1:{port}/") as ws:
            assert [message async for message in ws] == ["hello"]

    assert ws.close_code == 1000


async def test_host_and_port_take_the_place_of_the_uris():
    async with serving() as port:
        uri = "ws://service.example/"
        async with connect(uri, host="127.0.0.1", port=port) as ws:
            assert ws.request.headers["Host"] == "service.example"
            assert ws.remote_address == ("127.0.0.1", port)


async def test_a_connected_socket_is_used():
    async with serving() as port, nothing_left():
        sock = socket.create_connection(("127.0.0.1", port))
        ours = sock.getsockname()

        async with connect("ws://service.example/", sock=sock) as ws:
            assert ws.local_address == ours


async def test_keywords_of_the_loop_are_passed_on():
    async with serving() as port:
        uri = f"ws://127.0.0.1:{port}/"
        options = {"local_addr": ("127.0.0.1", 0), "family": socket.AF_INET}
        async with connect(uri, **options) as ws:
            assert ws.local_address[0] == "127.0.0.1"


async def test_a_unix_socket_and_its_default_uri(tmp_path):
    path = tmp_path / "socket"
    async with other.unix_serve(echo, str(path)):
        async with unix_connect(path) as ws:
            await ws.send("hello")

            assert await ws.recv() == "hello"
            assert ws.request.headers["Host"] == "localhost"


async def test_a_connected_unix_socket_and_a_uri_are_used(tmp_path):
    path = str(tmp_path / "socket")
    async with other.unix_serve(echo, path), nothing_left():
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)

        async with unix_connect(uri="ws://service.example/x", sock=sock) as ws:
            assert ws.request.headers["Host"] == "service.example"
            assert ws.request.path == "/x"


async def test_a_redirect_leads_to_another_server():
    async with serving() as port:
        answer = (
            b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n"
            b"Location: http://127.0.0.1:%d/there\r\n\r\n" % port
        )
        async with raw_server(answering(answer)) as first, nothing_left():
            async with connect(f"ws://127.0.0.1:{first}/here") as ws:
                await ws.send("hello")

                assert await ws.recv() == "hello"
                assert ws.request.path == "/there"


async def test_max_size_closes_with_1009():
    async def send_much(ws):
        await ws.send("x" * 101)
        await ws.wait_closed()

    async with serving(send_much) as port:
        async with connect(f"ws://127.0.0.1:{port}/", max_size=100) as ws:
            with pytest.raises(errors.ConnectionClosedError) as raised:
                await ws.recv()

    assert raised.value.report.limit == "message"
    assert raised.value.sent.code == 1009


@pytest.mark.parametrize("logger", ["my.client", logging.getLogger("my.client")])
async def test_records_of_a_connection_go_to_the_logger_given(caplog, logger):
    async with serving() as port:
        with caplog.at_level(logging.INFO, "my.client"):
            async with connect(f"ws://127.0.0.1:{port}/", logger=logger):
                pass

    names = {record.name for record in caplog.records if "connection" in record.msg}
    assert "my.client" in names


# --- TLS -------------------------------------------------------------------------


async def test_messages_go_both_ways_over_tls(certificates):
    async with serving(ssl=certificates.server) as port, nothing_left():
        uri = f"wss://localhost:{port}/"
        async with connect(uri, ssl=certificates.client) as ws:
            await ws.send("x" * 100_000)

            assert await ws.recv() == "x" * 100_000
            assert ws.transport.get_extra_info("ssl_object") is not None


async def test_tls_over_a_unix_socket(tmp_path, certificates):
    path = str(tmp_path / "socket")
    async with other.unix_serve(echo, path, ssl=certificates.server):
        async with unix_connect(path, ssl=certificates.client) as ws:
            await ws.send("hello")

            assert await ws.recv() == "hello"


async def test_a_server_nobody_vouches_for_is_refused(certificates):
    async with serving(ssl=certificates.server) as port, nothing_left():
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(f"wss://localhost:{port}/")


async def test_a_server_with_another_name_is_refused(certificates):
    async with serving(ssl=certificates.server) as port, nothing_left():
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(
                f"wss://localhost:{port}/",
                ssl=certificates.client,
                server_hostname="x.example",
            )


async def test_a_server_that_does_not_speak_tls_is_an_error_of_the_network(
    certificates,
):
    async with raw_server(shouting) as port, nothing_left():
        with pytest.raises(OSError):
            await connect(f"wss://localhost:{port}/", ssl=certificates.client)


async def shouting(reader, writer):
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def test_there_is_one_default_tls_context():
    assert default_tls_context() is default_tls_context()
    assert default_tls_context().verify_mode is ssl.CERT_REQUIRED


# --- failing ---------------------------------------------------------------------


async def test_a_refused_handshake_has_the_whole_response():
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n\r\nlog in"
    async with raw_server(answering(answer)) as port, nothing_left():
        with pytest.raises(errors.InvalidStatus, match="HTTP 401") as raised:
            await connect(f"ws://127.0.0.1:{port}/")

    assert raised.value.response.body == b"log in"


async def test_a_server_that_hangs_up_without_an_answer():
    async with raw_server(answering(b"")) as port, nothing_left():
        with pytest.raises(
            errors.InvalidMessage, match="did not receive a valid HTTP response"
        ) as raised:
            await connect(f"ws://127.0.0.1:{port}/")

    assert isinstance(raised.value.__cause__, EOFError)


async def test_a_port_where_nobody_listens():
    async with raw_server(silence) as port:
        pass

    async with nothing_left():
        with pytest.raises(ConnectionRefusedError):
            await connect(f"ws://127.0.0.1:{port}/")


async def test_a_silent_server_is_given_up_after_open_timeout():
    async with raw_server(silence) as port, nothing_left():
        with pytest.raises(TimeoutError) as raised:
            await connect(f"ws://127.0.0.1:{port}/", open_timeout=0.05)

    assert str(raised.value) == (
        "timed out while waiting for the opening handshake: "
        "still waiting for the peer after 0.05 seconds"
    )


async def test_a_server_silent_in_tls_is_given_up_after_open_timeout(certificates):
    async with raw_server(silence) as port, nothing_left():
        with pytest.raises(TimeoutError, match="still connecting to localhost port"):
            await connect(
                f"wss://localhost:{port}/", ssl=certificates.client, open_timeout=0.05
            )


async def test_a_timeout_of_the_network_is_not_taken_for_ours(monkeypatch):
    async def time_out(*args, **options):
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", time_out)

    with pytest.raises(TimeoutError) as raised:
        await connect("ws://127.0.0.1:1/")

    assert raised.value.errno == errno.ETIMEDOUT


async def test_a_server_that_drips_is_given_up_after_open_timeout():
    async def drip(reader, writer):
        await read_head(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nX-Y: ")
        while not writer.is_closing():  # uvloop refuses to write then
            writer.write(b"z")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_server(drip) as port, nothing_left():
        with pytest.raises(TimeoutError):
            await connect(f"ws://127.0.0.1:{port}/", open_timeout=0.1)


async def test_an_endless_answer_is_refused():
    async def pour(reader, writer):
        await read_head(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
        while True:
            # In pieces that are not small: drain() gives others no turn before the
            # system takes no more.
            writer.write(b"X-Y: z\r\n" * 100)
            await writer.drain()
            await asyncio.sleep(0)

    async with raw_server(pour) as port, nothing_left():
        with pytest.raises(errors.LimitExceeded):
            await connect(f"ws://127.0.0.1:{port}/")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4, 6, 10, 50])
async def test_a_cancelled_attempt_leaves_nothing(scheme, turns, certificates):
    async with raw_server(silence) as port, nothing_left():
        options = {"ssl": certificates.client} if scheme == "wss" else {}
        attempt = connect(f"{scheme}://127.0.0.1:{port}/", **options)
        task = asyncio.create_task(attempt.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_cancelling_at_any_turn_of_a_good_handshake_leaves_nothing(turns):
    async with serving() as port, nothing_left():
        task = asyncio.create_task(connect(f"ws://127.0.0.1:{port}/").connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

        try:
            ws = await task
        except asyncio.CancelledError:
            pass
        else:
            await ws.close()


# --- keywords --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"extra_headers": {}}, TypeError, "did you mean 'additional_headers'"),
        ({"server_hostnam": "x"}, TypeError, "did you mean 'server_hostname'"),
        ({"compression": "gzip"}, ValueError, "unsupported compression"),
        ({"max_size": 0}, ValueError, "max_size is 0"),
        ({"ping_interval": 0}, ValueError, "ping_interval is 0"),
        ({"ssl": True}, ValueError, "the URI is ws://"),
        ({"limits": Limits(message=5), "max_size": "x"}, TypeError, "max_size"),
        ({"open_timeout": "1"}, TypeError, "open_timeout must be a number"),
        ({"additional_headers": 5}, TypeError, "additional_headers must be a mapping"),
        ({"logger": 5}, TypeError, "logger must be a logger, its name or None"),
        ({"create_connection": 5}, TypeError, "create_connection must be a function"),
        ({"process_exception": 5}, TypeError, "process_exception must be a function"),
        ({"reconnect_delays": 5}, TypeError, "reconnect_delays must be a function"),
    ],
)
def test_bad_keywords_are_refused_at_once(keywords, error, text):
    with pytest.raises(error, match=text):
        connect("ws://127.0.0.1/", **keywords)


def test_keywords_of_tcp_are_refused_for_a_unix_socket():
    with pytest.raises(TypeError, match="unix_connect\\(\\) got an unexpected"):
        unix_connect("/tmp/x", local_addr=("127.0.0.1", 0))


def test_bad_uris_are_refused_at_once():
    with pytest.raises(errors.InvalidURI):
        connect("http://127.0.0.1/")
    with pytest.raises(TypeError, match="uri must be a str, not bytes"):
        connect(b"ws://127.0.0.1/")  # type: ignore[arg-type]


# --- async for -------------------------------------------------------------------


async def test_async_for_connects_again_each_time_the_connection_ends():
    numbers = iter(range(100))

    async def number(ws):
        await ws.send(str(next(numbers)))

    received = []
    async with serving(number) as port, nothing_left():
        async for ws in connect(f"ws://127.0.0.1:{port}/"):
            with contextlib.suppress(errors.ConnectionClosed):
                while True:
                    received.append(await ws.recv())
            if len(received) == 3:
                break

    assert received == ["0", "1", "2"]


async def test_continue_closes_the_connection_before_the_next():
    connections = []
    async with serving() as port, nothing_left():
        async for ws in connect(f"ws://127.0.0.1:{port}/"):
            connections.append(ws)
            if len(connections) == 2:
                assert connections[0].state is State.CLOSED
                assert connections[0].close_code == 1000
                await ws.close()
                break


async def test_failed_attempts_wait_for_their_delays_and_are_logged(caplog):
    answers = [
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        b"",
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
    ]

    async def answer(reader, writer):
        await read_head(reader)
        writer.write(answers.pop(0))

    async with raw_server(answer) as port, nothing_left():
        attempts = connect(
            f"ws://127.0.0.1:{port}/", reconnect_delays=lambda: iter([0.0, 0.01])
        )
        with caplog.at_level(logging.INFO, "longwire.client"):
            with pytest.raises(errors.InvalidStatus, match="HTTP 401"):
                async for _ in attempts:
                    pass

    assert answers == []
    assert caplog.messages == [
        "connect failed; reconnecting in 0.0 seconds: "
        "InvalidStatus: server rejected WebSocket connection: HTTP 503",
        "connect failed; reconnecting in 0.0 seconds: "
        "InvalidMessage: did not receive a valid HTTP response",
    ]


async def test_after_a_connection_the_delays_begin_anew():
    served = 0

    async def every_second(connection, request):
        nonlocal served
        served += 1
        return connection.respond(503, "busy\n") if served % 2 else None

    connections = 0
    async with serving(process_request=every_second) as port:
        uri = f"ws://127.0.0.1:{port}/"
        async for ws in connect(uri, reconnect_delays=lambda: [0.0]):
            connections += 1
            if connections == 3:
                await ws.close()
                break

    assert (connections, served) == (3, 6)


async def test_process_exception_has_the_last_word():
    seen = []

    def stop_at_second(exc):
        seen.append(exc)
        return None if len(seen) == 1 else LookupError("enough")

    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answering(answer)) as port:
        attempts = connect(
            f"ws://127.0.0.1:{port}/",
            process_exception=stop_at_second,
            reconnect_delays=lambda: [0.0] * 5,
        )
        with pytest.raises(LookupError, match="enough") as raised:
            async for _ in attempts:
                pass

    assert [type(exc) for exc in seen] == [errors.InvalidStatus] * 2
    assert raised.value.__cause__ is seen[1]


async def test_a_server_that_comes_back_is_found_again():
    async with serving() as port:
        pass
    received = []

    async def listen():
        uri = f"ws://127.0.0.1:{port}/"
        async for ws in connect(uri, reconnect_delays=lambda: [0.02] * 200):
            await ws.send("still there?")
            received.append(await ws.recv())
            return

    task = asyncio.create_task(listen())
    await asyncio.sleep(0.05)
    async with other.serve(echo, "127.0.0.1", port):
        await task

    assert received == ["still there?"]


async def test_cancelling_async_for_while_it_waits_leaves_nothing():
    async with raw_server(silence) as port:
        pass
    async with nothing_left():

        async def listen():
            uri = f"ws://127.0.0.1:{port}/"
            async for _ in connect(uri, reconnect_delays=lambda: [60.0]):
                pass

        task = asyncio.create_task(listen())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
