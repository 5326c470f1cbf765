"""``connection.protocol`` and other attributes that programs read of a connection."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from websockets.asyncio.server import serve as peer_serve

import longwire
from longwire import websockets
from longwire.websockets import Side, State, old_names
from longwire.websockets.client import ClientProtocol
from longwire.websockets.extensions.permessage_deflate import PerMessageDeflate
from longwire.websockets.server import ServerProtocol
from tests.websockets.serving import echo, peer, port_of, uri_of, wait

SERVES = {"today's": websockets.asyncio.server.serve, "top level": websockets.serve}
CONNECTS = {
    "today's": websockets.asyncio.client.connect,
    "top level": websockets.connect,
}
each_serve = pytest.mark.parametrize("serve", SERVES.values(), ids=SERVES)
each_connect = pytest.mark.parametrize("connect", CONNECTS.values(), ids=CONNECTS)


def noting(base, seen):
    """A subclass of ``base`` that notes itself, and what it was given, at first."""

    class Noting(base):
        def __init__(self, protocol, *args, **kwargs):
            seen.append((protocol, protocol.id, protocol.state, protocol.extensions))
            super().__init__(protocol, *args, **kwargs)
            seen.append((self.protocol, self.protocol.state, self.id))

    return Noting


@each_connect
async def test_a_client_has_the_sans_io_side_at_every_stage(connect):
    seen = []
    base = (old_names if connect is websockets.connect else websockets).ClientConnection
    async with peer_serve(wait, "127.0.0.1", 0, subprotocols=["chat"]) as server:
        websocket = await connect(
            uri_of(server, "/p?q"),
            proxy=None,
            subprotocols=["chat"],
            origin="https://here",
            max_size=(1000, 100),
            create_connection=noting(base, seen),
        )
        protocol = websocket.protocol
        (given, known, state, none), (joined, joined_state, same) = seen
        assert (state, none, joined_state) == (State.CONNECTING, [], State.CONNECTING)
        assert protocol is given is joined is websocket.protocol
        assert protocol.id == known == same == websocket.id

        assert (protocol.state, protocol.side) == (State.OPEN, Side.CLIENT)
        assert (protocol.subprotocol, protocol.origin) == ("chat", "https://here")
        assert protocol.available_subprotocols == ["chat"]
        assert [f.name for f in protocol.available_extensions] == ["permessage-deflate"]
        assert (protocol.max_message_size, protocol.max_fragment_size) == (1000, 100)
        assert protocol.uri == websockets.parse_uri(uri_of(server, "/p?q"))
        assert protocol.key == websocket.request.headers["Sec-WebSocket-Key"]
        assert protocol.logger is websocket.logger
        assert protocol.debug is False
        assert isinstance(protocol, ClientProtocol)
        assert not isinstance(protocol, ServerProtocol)
        (deflate,) = protocol.extensions
        assert isinstance(deflate, PerMessageDeflate)
        assert isinstance(deflate, websockets.extensions.Extension)
        assert deflate.remote_max_window_bits == 12
        before = (
            *("close_code", "close_reason", "close_rcvd", "close_sent"),
            *("close_rcvd_then_sent", "handshake_exc", "parser_exc"),
        )
        assert {name: getattr(protocol, name) for name in before} == dict.fromkeys(
            before
        )
        assert (protocol.eof_sent, protocol.close_expected()) == (False, False)
        with pytest.raises(AssertionError, match="isn't closed yet"):
            protocol.close_exc  # noqa: B018
        with pytest.raises(AssertionError, match="isn't closed yet"):
            websocket.close_exc  # noqa: B018

        await websocket.close(1001, "bye")

    assert (protocol.state, protocol.close_code) == (State.CLOSED, 1001)
    assert protocol.close_reason == "bye"
    assert protocol.close_sent == protocol.close_rcvd == websockets.Close(1001, "bye")
    assert protocol.close_rcvd_then_sent is False
    assert isinstance(protocol.close_exc, websockets.ConnectionClosedOK)
    assert str(websocket.close_exc) == str(protocol.close_exc)
    assert protocol.close_expected() is False


@each_serve
async def test_a_server_has_it_too(serve):
    seen = []
    made = []
    base = (old_names if serve is websockets.serve else websockets).ServerConnection

    async def handler(websocket):
        protocol = websocket.protocol
        made.append(websocket)
        assert (protocol.state, protocol.side) == (State.OPEN, Side.SERVER)
        assert protocol.origin == "https://there"
        assert protocol.origins == ("https://there",)
        assert (protocol.subprotocol, protocol.close_expected()) == ("chat", False)
        assert [type(x) for x in protocol.extensions] == [PerMessageDeflate]
        assert isinstance(protocol, ServerProtocol)
        await websocket.send("fine")
        await websocket.wait_closed()

    async with serve(
        handler,
        "127.0.0.1",
        0,
        origins=["https://there"],
        subprotocols=["chat"],
        create_connection=noting(base, seen),
    ) as server:
        async with peer(server, origin="https://there", subprotocols=["chat"]) as it:
            assert await it.recv() == "fine"

    protocol = made[0].protocol
    assert (protocol.state, protocol.close_code) == (State.CLOSED, 1000)
    assert protocol.close_rcvd_then_sent is True
    assert seen[0][0] is seen[1][0] is protocol
    assert seen[0][2] is State.CONNECTING


@each_serve
async def test_extensions_are_those_agreed_on(serve):
    seen = []

    async def handler(websocket):
        seen.append(websocket.protocol.extensions)

    async with serve(handler, "127.0.0.1", 0) as server:
        async with peer(server, compression=None) as client:
            await client.wait_closed()

    assert seen == [[]]


@each_connect
async def test_a_handshake_that_failed_is_told_of(connect):
    made = []
    base = (old_names if connect is websockets.connect else websockets).ClientConnection

    class Noted(base):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    def refuse(connection, request):
        return connection.respond(403, "no\n")

    async with peer_serve(wait, "127.0.0.1", 0, process_request=refuse) as server:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(uri_of(server), proxy=None, create_connection=Noted)

    (websocket,) = made
    exc = websocket.protocol.handshake_exc
    assert exc.response is refused.value.response
    assert websocket.response.status_code == 403
    assert (websocket.state, websocket.close_code) == (State.CLOSED, 1006)


@each_connect
async def test_what_is_sent_by_it_leaves(connect):
    async with peer_serve(echo, "127.0.0.1", 0) as server:
        async with connect(uri_of(server), proxy=None) as websocket:
            protocol = websocket.protocol
            protocol.send_text(b"he", fin=False)
            protocol.send_continuation(b"llo", fin=True)
            protocol.send_binary(b"\x00\xff")
            protocol.send_ping(b"x")
            protocol.send_pong(b"y")
            assert await websocket.recv() == "hello"
            assert await websocket.recv() == b"\x00\xff"
            assert (protocol.data_to_send(), protocol.events_received()) == ([], [])
            protocol.send_close(1001, "bye")
            await websocket.wait_closed()
            with pytest.raises(websockets.InvalidState):
                protocol.send_text(b"late")

    assert websocket.close_code == 1001


@each_connect
async def test_it_can_fail_the_connection(connect):
    async with peer_serve(wait, "127.0.0.1", 0) as server:
        async with connect(uri_of(server), proxy=None) as websocket:
            websocket.protocol.fail(1008, "no more")
            await websocket.wait_closed()
            assert websocket.protocol.close_sent == websockets.Close(1008, "no more")
            with pytest.raises(websockets.ProtocolError):
                websocket.protocol.fail(1005)


@each_connect
async def test_it_reads_nothing_by_itself(connect):
    async with peer_serve(wait, "127.0.0.1", 0) as server:
        async with connect(uri_of(server), proxy=None) as websocket:
            with pytest.raises(websockets.InvalidState, match="reads by itself"):
                websocket.protocol.receive_data(b"\x81\x00")
            with pytest.raises(websockets.InvalidState, match="reads by itself"):
                websocket.protocol.receive_eof()


async def test_a_factory_may_make_a_connection_of_longwires_own():
    made = []

    def make(*args, **kwargs):
        made.append(longwire.ServerConnection(*args, **kwargs))
        return made[-1]

    async with websockets.asyncio.server.serve(
        echo, "127.0.0.1", 0, create_connection=make, max_size=10
    ) as server:
        async with peer(server) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            await client.send("too long for it")
            await client.wait_closed()

    assert client.close_code == 1009
    assert type(made[0]) is longwire.ServerConnection


# --- the attributes beside it -----------------------------------------------------


@each_connect
async def test_the_times_and_the_loop_are_attributes(connect):
    async with peer_serve(wait, "127.0.0.1", 0) as server:
        async with connect(
            uri_of(server), proxy=None, ping_interval=7, ping_timeout=8, close_timeout=9
        ) as websocket:
            found = [
                getattr(websocket, f"{name}")
                for name in ("ping_interval", "ping_timeout", "close_timeout", "paused")
            ]
            assert found == [7, 8, 9, False]
            assert websocket.loop is asyncio.get_running_loop()
            assert not websocket.connection_lost_waiter.done()
            assert isinstance(websocket.id, uuid.UUID)
        assert websocket.connection_lost_waiter.done()


@each_serve
async def test_a_server_has_what_listens(serve):
    async with serve(echo, "127.0.0.1", 0) as server:
        assert server.server.sockets[0].getsockname()[1] == port_of(server)
        assert server.server.is_serving()
    assert not server.server.is_serving()


async def test_the_old_names_are_there_at_the_top_level():
    async with peer_serve(wait, "127.0.0.1", 0) as server:
        async with websockets.connect(
            uri_of(server), proxy=None, origin="https://here"
        ) as websocket:
            assert (websocket.host, websocket.port) == ("127.0.0.1", port_of(server))
            assert (websocket.secure, websocket.origin) == (False, "https://here")
            assert [e.name for e in websocket.extensions] == ["permessage-deflate"]


@pytest.mark.parametrize("base", ["new client", "new server", "old client"])
def test_a_connection_that_is_not_made_yet_has_no_transport(base):
    made = {
        "new client": websockets.asyncio.client.ClientConnection,
        "new server": websockets.asyncio.server.ServerConnection,
        "old client": websockets.legacy.client.WebSocketClientProtocol,
    }[base]
    connection = made.__new__(made)
    if base == "old client":
        connection.__init__()

    assert not hasattr(connection, "transport")
    assert getattr(connection, "transport", None) is None


@each_connect
async def test_a_closed_connection_is_not_paused(connect):
    async with peer_serve(wait, "127.0.0.1", 0) as server:
        websocket = await connect(uri_of(server), proxy=None)
        assert not websocket.paused
        await websocket.close()

    assert not websocket.paused
