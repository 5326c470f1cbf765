"""Which wire a connection gets, and that both keep what serve and connect promise."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.asyncio_.serving import echo, listen, port_of, until, uri_of
from tests.asyncio_.waking import hear, link, say, served
from tests.support.certificates import Certificates
from tests.support.loops import LOOPS, PLAIN, Loop
from tests.support.rawpeer import TEXT, answer, frame

import longwire
from longwire import ConnectionClosedError
from longwire.asyncio import native
from longwire.asyncio.server import ServerConnection


@pytest.fixture(params=PLAIN, autouse=True)
def make_loop(request: pytest.FixtureRequest) -> Callable[[], Loop]:
    return LOOPS[request.param]


@pytest.fixture(params=["native", "transport"] if native.found else ["transport"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine that the environment asks for."""
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)
    return str(request.param)


async def talk(ws: Any, text: str = "hello") -> None:
    """Say something to an echo server and close."""
    await ws.send(text)
    assert await asyncio.wait_for(ws.recv(), 5) == text
    await ws.close()


# --- which -----------------------------------------------------------------------


async def test_the_wire_says_which_engine_it_is(engine: str) -> None:
    seen: list[str] = []

    async def handler(ws: ServerConnection) -> None:
        seen.append(str(ws.wire))
        await echo(ws)

    async with listen(handler) as server:
        async with longwire.connect(uri_of(server), proxy=None) as ws:
            assert str(ws.wire) == engine
            assert ws.wire is not None
            assert ws.wire.kind == engine
            await talk(ws)

    assert seen == [engine]


async def test_another_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listen() as server:
        monkeypatch.setenv("LONGWIRE_ENGINE", "turbo")
        with pytest.raises(ValueError, match="'turbo'; allowed are native and transpo"):
            await longwire.connect(uri_of(server), proxy=None)
        with pytest.raises(ValueError, match="'turbo'"):
            await listen()
        monkeypatch.setenv("LONGWIRE_ENGINE", "")
        async with longwire.connect(uri_of(server), proxy=None) as ws:
            await talk(ws)


async def test_tls_takes_the_transport(engine: str, certificates: Certificates) -> None:
    seen: list[str] = []

    async def handler(ws: ServerConnection) -> None:
        seen.append(str(ws.wire))
        await echo(ws)

    async with listen(handler, ssl=certificates.server) as server:
        uri = f"wss://localhost:{port_of(server)}/"
        options: Any = {"ssl": certificates.client, "host": "127.0.0.1"}
        async with longwire.connect(uri, proxy=None, **options) as ws:
            assert str(ws.wire) == "transport"
            await talk(ws)

    assert seen == ["transport"]


async def test_a_loop_that_cannot_watch_descriptors_takes_the_transport(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Proactor(asyncio.AbstractEventLoop):
        pass

    monkeypatch.delenv("LONGWIRE_ENGINE", raising=False)
    assert not native.is_available(Proactor())
    assert native.is_available(asyncio.get_running_loop()) is native.found


# --- serving ---------------------------------------------------------------------


async def test_unix_sockets(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    seen: list[Any] = []

    async def handler(ws: ServerConnection) -> None:
        seen.append((str(ws.wire), ws.local_address))
        await echo(ws)

    async with longwire.unix_serve(handler, path):
        async with longwire.unix_connect(path) as ws:
            assert str(ws.wire) == engine
            assert ws.remote_address == str(path)
            await talk(ws)

    assert seen == [(engine, str(path))]


async def test_a_list_of_hosts(engine: str) -> None:
    async with longwire.serve(echo, ["127.0.0.1", "127.0.0.2"], 0) as server:
        assert len(server.sockets) == 2
        for sock in server.sockets:
            host, port = sock.getsockname()
            async with longwire.connect(f"ws://{host}:{port}", proxy=None) as ws:
                assert ws.remote_address == (host, port)
                await talk(ws)


async def test_a_socket_of_the_callers(engine: str) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        async with longwire.serve(echo, sock=sock) as server:
            async with longwire.connect(uri_of(server), proxy=None) as ws:
                await talk(ws)


async def test_serving_may_begin_later(engine: str) -> None:
    server = await listen(start_serving=False)
    assert not server.is_serving()
    connecting = asyncio.create_task(
        longwire.connect(uri_of(server), proxy=None).connect()
    )
    with contextlib.suppress(OSError):  # refused: nobody listens, or nobody accepts
        await asyncio.wait_for(asyncio.shield(connecting), 0.1)
    assert connecting.exception() if connecting.done() else not server.connections
    if not connecting.done():
        connecting.cancel()
        await asyncio.wait([connecting])

    await server.start_serving()
    await server.start_serving()
    assert server.is_serving()
    async with longwire.connect(uri_of(server), proxy=None) as ws:
        await talk(ws)
    server.close()
    await server.wait_closed()
    assert not server.is_serving()


async def test_two_servers_share_a_port(engine: str) -> None:
    served_by: list[int] = []

    def handler(number: int) -> Any:
        async def handle(ws: ServerConnection) -> None:
            served_by.append(number)
            await echo(ws)

        return handle

    async with listen(handler(1), reuse_port=True) as first:
        port = port_of(first)
        second = await longwire.serve(handler(2), "127.0.0.1", port, reuse_port=True)
        while len(set(served_by)) < 2:
            async with longwire.connect(uri_of(first), proxy=None) as ws:
                await talk(ws)
        second.close()
        await second.wait_closed()
        for _ in range(10):
            async with longwire.connect(uri_of(first), proxy=None) as ws:
                await talk(ws)

    assert set(served_by) == {1, 2}
    assert served_by[-10:] == [1] * 10


async def test_a_server_is_made_again_on_its_port(engine: str) -> None:
    async with listen() as server:
        port = port_of(server)
        async with longwire.connect(uri_of(server), proxy=None) as ws:
            await talk(ws)
    for _ in range(3):
        async with longwire.serve(echo, "127.0.0.1", port) as server:
            async with longwire.connect(uri_of(server), proxy=None) as ws:
                await talk(ws)


# --- what looks like a transport -------------------------------------------------


async def test_what_is_known_of_a_socket(engine: str) -> None:
    async with link() as (ws, _, peer):
        transport = ws.transport
        assert ws.transport is transport
        assert transport.get_extra_info("peername") == peer.get_extra_info("sockname")
        assert transport.get_extra_info("sockname") == peer.get_extra_info("peername")
        assert transport.get_extra_info("nonsense") is None
        assert transport.get_extra_info("nonsense", 1) == 1
        assert transport.get_extra_info("ssl_object") is None
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.family == socket.AF_INET
        local = ws.local_address
        peer.close()
        await ws.wait_closed()
        assert (ws.local_address, ws.remote_address[0]) == (local, "127.0.0.1")
        assert transport.is_closing()


async def test_the_verbs_of_a_transport(engine: str) -> None:
    async with link() as (ws, reader, peer):
        transport = ws.transport
        assert transport.is_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        say(peer, "later")
        await asyncio.sleep(0.02)
        assert not ws._live.has_message
        transport.resume_reading()
        assert await ws.recv() == "later"
        assert transport.can_write_eof()
        assert transport.get_write_buffer_size() == 0
        transport.write(b"\x81\x01a")
        transport.write(bytearray(b"\x81\x01b"))
        transport.writelines([b"\x81", memoryview(b"\x01c")])
        assert [await hear(reader) for _ in range(3)] == ["a", "b", "c"]
        assert not transport.is_closing()
        transport.write_eof()
        assert await reader.read() == b""
        transport.abort()
        assert transport.is_closing()
        await ws.wait_closed()
        transport.close()


@pytest.mark.parametrize("data", [5, "text"])
async def test_a_transport_writes_bytes_only(engine: str, data: Any) -> None:
    async with link() as (ws, reader, _):
        with pytest.raises(TypeError):
            ws.transport.write(data)
        await ws.send("x")
        assert await hear(reader) == "x"


async def test_the_limits_of_writing(engine: str) -> None:
    async with link() as (ws, _, _peer):
        transport = ws.transport
        transport.set_write_buffer_limits(1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        transport.set_write_buffer_limits(low=100)
        assert transport.get_write_buffer_limits() == (100, 400)
        transport.set_write_buffer_limits(100, 0)
        assert transport.get_write_buffer_limits() == (0, 100)
        with pytest.raises(ValueError):
            transport.set_write_buffer_limits(10, 20)


# --- a client's connection changes its wire --------------------------------------


@contextlib.asynccontextmanager
async def raw_server(talk: Any) -> Any:
    """Give the port of a server that answers by hand and then calls ``talk``."""

    async def accept(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await talk(answer(head), reader, writer)
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()


HELLO = frame(TEXT, b"hello", mask=False)


@pytest.mark.parametrize("pause", [None, 0, 0.01], ids=["one packet", "soon", "later"])
async def test_what_the_server_sends_with_its_answer(
    engine: str, pause: float | None
) -> None:
    async def greet(response: bytes, reader: Any, writer: Any) -> None:
        if pause is None:
            writer.write(response + HELLO * 3)
        else:
            writer.write(response)
            for _ in range(3):
                await asyncio.sleep(pause)
                writer.write(HELLO)
        await reader.read()

    async with raw_server(greet) as uri:
        for _ in range(10):
            ws = await longwire.connect(uri, proxy=None, close_timeout=0.05)
            found = [await asyncio.wait_for(ws.recv(), 5) for _ in range(3)]
            assert found == ["hello"] * 3
            ws.transport.abort()


async def test_half_a_frame_with_the_answer(engine: str) -> None:
    async def greet(response: bytes, reader: Any, writer: Any) -> None:
        data = response + HELLO
        writer.write(data[:-3])
        await asyncio.sleep(0.02)
        writer.write(data[-3:])
        await reader.read()

    async with raw_server(greet) as uri:
        ws = await longwire.connect(uri, proxy=None, close_timeout=0.05)
        assert await asyncio.wait_for(ws.recv(), 5) == "hello"
        ws.transport.abort()


@pytest.mark.parametrize("with_message", [False, True])
async def test_a_server_that_leaves_with_its_answer(
    engine: str, with_message: bool
) -> None:
    async def leave(response: bytes, reader: Any, writer: Any) -> None:
        writer.write(response + HELLO * with_message)

    async with raw_server(leave) as uri:
        for _ in range(10):
            ws = await longwire.connect(uri, proxy=None)
            if with_message:
                assert await asyncio.wait_for(ws.recv(), 5) == "hello"
            with pytest.raises(ConnectionClosedError):
                await asyncio.wait_for(ws.recv(), 5)


async def test_megabytes_with_the_answer(engine: str) -> None:
    payload = os.urandom(3_000_000)

    async def greet(response: bytes, reader: Any, writer: Any) -> None:
        writer.write(response + frame(2, payload, mask=False))
        await writer.drain()
        await reader.read()

    async with raw_server(greet) as uri:
        ws = await longwire.connect(uri, proxy=None, max_size=None, close_timeout=0.05)
        assert await asyncio.wait_for(ws.recv(), 10) == payload
        ws.transport.abort()


async def test_a_clients_socket_of_the_callers(engine: str) -> None:
    async with listen() as server:
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        sock.setblocking(False)
        async with longwire.connect(uri_of(server), proxy=None, sock=sock) as ws:
            assert str(ws.wire) == engine
            await talk(ws)


async def test_no_descriptors_are_left_by_clients(engine: str) -> None:
    async with listen() as server:
        async with longwire.connect(uri_of(server), proxy=None) as ws:
            await talk(ws)
        await until(lambda: not server.connections)
        await asyncio.sleep(0.05)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            async with longwire.connect(uri_of(server), proxy=None) as ws:
                await talk(ws)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_a_slow_reader_stops_a_sender_and_lets_it_go_on(engine: str) -> None:
    total = 40
    message = b"x" * 200_000

    async def handler(ws: ServerConnection) -> None:
        for _ in range(total):
            await ws.send(message)
            sent.append(1)

    sent: list[int] = []
    async with served(handler, close_timeout=5) as (reader, _, _server):
        await asyncio.sleep(0.2)
        assert len(sent) < total
        got = 0
        while got < total * (len(message) + 10):
            data = await reader.read(100_000)
            assert data
            got += len(data)
        await until(lambda: len(sent) == total)
