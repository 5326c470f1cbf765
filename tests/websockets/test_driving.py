"""Protocol classes of former editions as asyncio protocols, driven from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http
import logging

import pytest
from websockets.asyncio.client import connect as peer_connect
from websockets.asyncio.server import serve as peer_serve
from websockets.exceptions import InvalidStatus as PeerInvalidStatus

from longwire import websockets
from longwire.websockets import old_names
from longwire.websockets.extensions.permessage_deflate import PerMessageDeflate
from longwire.websockets.legacy.client import WebSocketClientProtocol, connect
from longwire.websockets.legacy.protocol import WebSocketCommonProtocol
from longwire.websockets.legacy.server import (
    WebSocketServer,
    WebSocketServerProtocol,
    serve,
)
from longwire.websockets.uri import parse_uri
from tests.websockets.serving import UPGRADE, ask, echo, peer, port_of, uri_of, wait


class Front:
    """What another program's server is to a connection."""

    def __init__(self):
        self.registered = []
        self.serving = True

    def register(self, protocol):
        self.registered.append(protocol)

    def unregister(self, protocol):
        self.registered.remove(protocol)

    def is_serving(self):
        return self.serving


class Embedded(WebSocketServerProtocol):
    """As a server embeds it that has read the request before it knew of WebSocket."""

    def __init__(self, handler=echo, **kwargs):
        # Names that are the program's own, set before there is a connection.
        self.transport = None
        self.server = self.request = self.response = self.protocol = None
        self.wire = self.handler_kwargs = self.settings = "mine"
        self.calls = []
        self.lost = asyncio.get_running_loop().create_future()
        self.front = Front()
        super().__init__(ws_handler=handler, ws_server=self.front, **kwargs)
        self.server_header = None
        self.extra_headers = [("X-Front", "yes")]

    def connection_made(self, transport):
        self.calls.append("connection_made")
        self.transport = transport
        super().connection_made(transport)

    def connection_lost(self, exc):
        self.calls.append("connection_lost")
        super().connection_lost(exc)
        self.lost.set_result(exc)

    def data_received(self, data):
        self.calls.append("data_received")
        super().data_received(data)

    def eof_received(self):
        self.calls.append("eof_received")
        return super().eof_received()


class Switching(asyncio.Protocol):
    """A server's own protocol, which hands the transport over at the first bytes."""

    def __init__(self, make, made):
        self._make = make
        self._made = made

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        protocol = self._make()
        self._made.append(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)
        self._transport.set_protocol(protocol)


@contextlib.asynccontextmanager
async def front(make=Embedded, ssl=None):
    """A server of another program; give its socket's server and the protocols made."""
    made = []
    loop = asyncio.get_running_loop()
    factory = functools.partial(Switching, make, made)
    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=ssl)
    async with server:
        yield server, made


# --- a server that hands over its transport ---------------------------------------


async def test_another_programs_server_can_hand_over_its_transport():
    async with front() as (server, made):
        async with peer(server, "/p") as client:
            assert client.response.headers["X-Front"] == "yes"
            assert "Server" not in client.response.headers
            for message in ("hello", b"\x00\xff", "x" * 100_000):
                await client.send(message)
                assert await client.recv() == message
            (protocol,) = made
            assert protocol.path == "/p"
            assert protocol.transport.get_extra_info("peername") == (
                client.local_address
            )
        await asyncio.wait_for(protocol.lost, 10)
        await protocol.wait_closed()

    assert protocol.calls[:2] == ["connection_made", "data_received"]
    assert protocol.calls[-2:] == ["eof_received", "connection_lost"]
    assert (protocol.state.name, protocol.close_code) == ("CLOSED", 1000)
    assert (protocol.server, protocol.wire, protocol.settings) == (None, "mine", "mine")


async def test_over_its_tls_too(certificates):
    async with front(ssl=certificates.server) as (server, made):
        uri = f"wss://127.0.0.1:{port_of(server)}"
        async with peer_connect(
            uri, ssl=certificates.client, server_hostname="localhost", proxy=None
        ) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            assert made[0].secure
        await asyncio.wait_for(made[0].lost, 10)


async def test_its_server_is_asked_whether_it_takes_clients():
    def make():
        protocol = Embedded()
        protocol.front.serving = False
        return protocol

    async with front(make) as (server, _):
        with pytest.raises(PeerInvalidStatus) as refused:
            await peer(server)

    assert refused.value.response.status_code == 503


async def test_its_server_is_told_of_the_connection_and_of_its_end():
    async with front() as (server, made):
        async with peer(server):
            (protocol,) = made
            assert protocol.front.registered == [protocol]
        await asyncio.wait_for(protocol.lost, 10)
        await protocol.handler_task

    assert protocol.front.registered == []


async def test_a_peer_that_is_slow_pauses_sending():
    sent = []

    async def flood(websocket):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await websocket.send(b"x" * 100_000)
                sent.append(websocket)

    calls = []

    class Told(Embedded):
        def pause_writing(self):
            calls.append("pause_writing")
            super().pause_writing()

        def resume_writing(self):
            calls.append("resume_writing")
            super().resume_writing()

    async with front(functools.partial(Told, flood)) as (server, made):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(UPGRADE % (b"/", b""))
        async with asyncio.timeout(20):
            while not calls:
                await asyncio.sleep(0.01)
            stopped = len(sent)
            await asyncio.sleep(0.05)
            assert len(sent) == stopped
            while len(calls) < 2:
                await reader.read(1 << 20)
        writer.transport.abort()
        await asyncio.wait_for(made[0].lost, 10)

    assert calls[:2] == ["pause_writing", "resume_writing"]


async def test_a_lost_transport_ends_it_with_1006():
    async with front() as (server, made):
        client = await peer(server)
        client.transport.abort()
        async with asyncio.timeout(10):
            await made[0].lost

    assert (made[0].closed, made[0].close_code) == (True, 1006)


async def test_fail_connection_says_why_before_it_closes(caplog):
    async with front(functools.partial(Embedded, wait)) as (server, made):
        async with peer(server) as client:
            made[0].fail_connection(1012)
            made[0].transport.close()
            await client.wait_closed()

    assert client.close_code == 1012


async def test_a_refusal_closes_its_transport():
    class Refusing(Embedded):
        async def process_request(self, path, request_headers):
            return http.HTTPStatus.FORBIDDEN, {}, b"no\n"

    async with front(Refusing) as (server, made):
        answer = await ask(server)
        await asyncio.wait_for(made[0].lost, 10)

    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert made[0].closed


async def test_what_process_request_finds_invalid_has_its_own_status(caplog):
    class Checking(Embedded):
        async def process_request(self, path, request_headers):
            raise websockets.InvalidUpgrade("Upgrade", "h2c")

    async with front(Checking) as (server, _):
        answer = await ask(server)

    assert answer.startswith(b"HTTP/1.1 426 ")
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_it_may_answer_with_a_subprotocol_that_nobody_offered():
    class Choosing(Embedded):
        def process_subprotocol(self, headers, available_subprotocols):
            return "mine"

    async with front(Choosing) as (server, made):
        answer = asyncio.create_task(ask(server))
        async with asyncio.timeout(10):
            while not made or not made[0].open:
                await asyncio.sleep(0.01)
        assert made[0].subprotocol == "mine"
        await made[0].close()
        assert b"\r\nSec-WebSocket-Protocol: mine\r\n" in await answer


# --- a server that has done the handshake -----------------------------------------


def answered(data):
    """Return a 101 for the request in ``data``."""
    key = next(
        x for x in data.split(b"\r\n") if x.lower().startswith(b"sec-websocket-k")
    )
    token = websockets.utils.accept_key(key.split(b": ")[1].decode())
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Accept: {token}\r\n\r\n"
    ).encode()


class Handshaking(asyncio.Protocol):
    """A server's own protocol, which answers the request, and keeps the transport."""

    def __init__(self, made, settings):
        self._made = made
        self._settings = settings
        self._inside = None

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        if self._inside is not None:
            self._inside.data_received(data)
            return
        self._transport.write(answered(data))
        self._inside = inside = WebSocketCommonProtocol(**self._settings)
        inside.is_client = False
        inside.side = "server"
        inside.subprotocol = "chat"
        inside.connection_made(self._transport)
        inside.connection_open()
        self._made.append(inside)

    def connection_lost(self, exc):
        if self._inside is not None:
            self._inside.connection_lost(exc)

    def eof_received(self):
        return self._inside and self._inside.eof_received()

    def pause_writing(self):
        self._inside.pause_writing()

    def resume_writing(self):
        self._inside.resume_writing()


@contextlib.asynccontextmanager
async def handshaking(**settings):
    made = []
    server = await asyncio.get_running_loop().create_server(
        functools.partial(Handshaking, made, settings), "127.0.0.1", 0
    )
    async with server:
        yield server, made


async def test_a_server_that_did_the_handshake_opens_it_by_hand():
    async with handshaking(ping_interval=None, max_queue=4) as (server, made):
        async with peer(server) as client:
            (inside,) = made
            await client.send("up")
            assert await inside.recv() == "up"
            await inside.send("down")
            assert await client.recv() == "down"
            assert (inside.side, inside.is_client) == ("server", False)
            assert (inside.subprotocol, inside.extensions) == ("chat", [])
            assert not hasattr(inside, "path")
            assert await (await inside.ping()) == inside.latency > 0
        with pytest.raises(websockets.ConnectionClosedOK):
            await inside.recv()

    assert (inside.closed, inside.close_code) == (True, 1000)


async def test_it_says_which_extensions_were_agreed_on():
    async with handshaking() as (server, made):
        async with peer(server, compression=None) as client:
            assert made[0].extensions == []
            deflate = PerMessageDeflate(True, True, 15, 15)
            inside = WebSocketCommonProtocol()
            inside.extensions = [deflate]
            assert inside.extensions == [deflate]
            await client.close()


async def test_connection_open_needs_a_transport_and_a_side():
    with pytest.raises(websockets.InvalidState, match="not complete"):
        WebSocketCommonProtocol().connection_open()


# --- a client that connects by itself ---------------------------------------------


async def test_a_client_may_connect_by_itself_and_then_shake_hands():
    loop = asyncio.get_running_loop()
    async with peer_serve(echo, "127.0.0.1", 0, subprotocols=["chat"]) as server:
        _, protocol = await loop.create_connection(
            WebSocketClientProtocol, "127.0.0.1", port_of(server)
        )
        uri = parse_uri(uri_of(server, "/p?q"))
        await protocol.handshake(uri, available_subprotocols=["chat"])
        await protocol.send("hello")

        assert await protocol.recv() == "hello"
        assert (protocol.path, protocol.subprotocol) == ("/p?q", "chat")
        assert (protocol.state.name, protocol.open) == ("OPEN", True)
        await protocol.close()
        assert protocol.closed


async def test_a_client_without_a_transport_says_so():
    with pytest.raises(websockets.InvalidState, match="connection_made"):
        await WebSocketClientProtocol().handshake(parse_uri("ws://localhost/"))


@pytest.mark.parametrize(
    "call",
    [
        lambda p: p.data_received(b"x"),
        lambda p: p.eof_received(),
        lambda p: p.connection_lost(None),
        lambda p: p.pause_writing(),
    ],
)
async def test_so_do_calls_of_a_protocol_that_has_none(call):
    with pytest.raises(websockets.InvalidState, match="connection_made"):
        call(WebSocketServerProtocol(echo, WebSocketServer()))


# --- longwire's own servers and clients -------------------------------------------


def told(base, calls):
    """A subclass of ``base`` that notes what its transport does."""

    class Told(base):
        def connection_made(self, transport):
            calls.append("connection_made")
            assert transport.get_extra_info("peername")
            super().connection_made(transport)
            assert self.transport is transport

        def data_received(self, data):
            calls.append("data_received")
            super().data_received(data)

        def eof_received(self):
            calls.append("eof_received")
            return super().eof_received()

        def connection_lost(self, exc):
            calls.append("connection_lost")
            super().connection_lost(exc)

    return Told


def tls_of(certificates, tls):
    if not tls:
        return {}
    return {"ssl": certificates.client, "server_hostname": "localhost"}


def in_order(calls):
    return list(dict.fromkeys(calls))


SERVERS = {
    "old": (serve, "create_protocol", WebSocketServerProtocol),
    "today's": (
        websockets.asyncio.server.serve,
        "create_connection",
        websockets.asyncio.server.ServerConnection,
    ),
    "top level": (
        websockets.serve,
        "create_connection",
        old_names.ServerConnection,
    ),
}
CLIENTS = {
    "old": (connect, "create_protocol", WebSocketClientProtocol),
    "today's": (
        websockets.asyncio.client.connect,
        "create_connection",
        websockets.asyncio.client.ClientConnection,
    ),
    "top level": (
        websockets.connect,
        "create_connection",
        old_names.ClientConnection,
    ),
}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("by_factory", [False, True], ids=["class", "factory"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_server_calls_the_methods_of_a_protocol_that_are_overridden(
    kind, by_factory, tls, certificates
):
    listen, keyword, base = SERVERS[kind]
    calls = []
    made = told(base, calls)
    factory = (lambda *args, **kwargs: made(*args, **kwargs)) if by_factory else made
    keywords = {keyword: factory, "ssl": certificates.server if tls else None}
    async with listen(echo, "127.0.0.1", 0, **keywords) as server:
        client = peer_connect(
            f"ws{'s' * tls}://127.0.0.1:{port_of(server)}",
            proxy=None,
            **tls_of(certificates, tls),
        )
        async with client as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
    eof = [] if tls and "eof_received" not in calls else ["eof_received"]

    assert in_order(calls) == [
        "connection_made",
        "data_received",
        *eof,
        "connection_lost",
    ]
    assert calls.count("connection_made") == calls.count("connection_lost") == 1


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_client_does_so_too(kind, tls, certificates):
    make, keyword, base = CLIENTS[kind]
    calls = []
    server_tls = certificates.server if tls else None
    network = tls_of(certificates, tls)
    async with peer_serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        uri = f"ws{'s' * tls}://127.0.0.1:{port_of(server)}"
        keywords = {keyword: told(base, calls), "proxy": None, **network}
        async with make(uri, **keywords) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
    eof = [] if tls and "eof_received" not in calls else ["eof_received"]

    assert in_order(calls) == [
        "connection_made",
        "data_received",
        *eof,
        "connection_lost",
    ]


async def test_a_unix_server_of_old_calls_them_as_well(tmp_path):
    calls = []
    path = str(tmp_path / "socket")
    made = told(WebSocketServerProtocol, calls)

    class Plain(made):
        def connection_made(self, transport):
            calls.append("made")
            WebSocketServerProtocol.connection_made(self, transport)

    async with websockets.legacy.server.unix_serve(echo, path, create_protocol=Plain):
        async with websockets.legacy.client.unix_connect(path) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"

    assert in_order(calls) == [
        "made",
        "data_received",
        "eof_received",
        "connection_lost",
    ]


# --- names -----------------------------------------------------------------------

# What longwire's own connections are made of, and former editions' were not.
ENGINE_NAMES = sorted(
    name
    for name in dir(websockets.asyncio.server.ServerConnection)
    if not name.startswith("_") and name not in dir(WebSocketServerProtocol)
)


async def test_a_subclass_may_call_its_own_what_longwire_calls_its_own():
    def forbidden(self, *args, **kwargs):
        raise AssertionError("a program's own method was called")

    class Mine(WebSocketServerProtocol):
        def __init__(self, *args, **kwargs):
            for name in ENGINE_NAMES:
                setattr(self, name, name)
            super().__init__(*args, **kwargs)
            for name in ENGINE_NAMES:
                assert getattr(self, name) == name

    methods = dict.fromkeys(ENGINE_NAMES, forbidden)
    for protocol in (Mine, type("Methods", (WebSocketServerProtocol,), methods)):
        async with serve(echo, "127.0.0.1", 0, create_protocol=protocol) as server:
            async with peer(server) as client:
                await client.send("hello")
                assert await client.recv() == "hello"
                await (await client.ping())
        assert client.close_code == 1000
