"""Extensions and factories of a program's own: what has the methods is one."""

import dataclasses

import pytest

from longwire import websockets
from longwire.websockets.asyncio import client, server
from longwire.websockets.client import ClientProtocol
from longwire.websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from longwire.websockets.frames import Frame, Opcode
from longwire.websockets.legacy import client as old_client
from longwire.websockets.legacy import server as old_server
from longwire.websockets.server import ServerProtocol
from tests.websockets.serving import uri_of

APIS = {
    "today's": (server.serve, client.connect),
    "former": (old_server.serve, old_client.connect),
}


class Mark:
    """Puts "<" before payloads and sets RSV2, in frames of all kinds."""

    def __init__(self):
        self.seen = []

    def encode(self, frame):
        self.seen.append(f"> {frame.opcode.name}")
        return dataclasses.replace(frame, data=b"<" + bytes(frame.data), rsv2=True)

    def decode(self, frame, *, max_size=None):
        self.seen.append(f"< {frame.opcode.name}")
        assert frame.rsv2
        assert bytes(frame.data[:1]) == b"<"
        return dataclasses.replace(frame, data=bytes(frame.data[1:]), rsv2=False)


class OfferMark:
    name = "x-mark"

    def get_request_params(self):
        return [("deep", None)]

    def process_response_params(self, params, accepted_extensions):
        assert params == [("level", "3")]
        return Mark()


class GrantMark:
    name = "x-mark"

    def process_request_params(self, params, accepted_extensions):
        assert params == [("deep", None)]
        return [("level", "3")], Mark()


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("api", APIS)
async def test_what_has_the_methods_is_an_extension(api, compression):
    serve, connect = APIS[api]
    async with serve(echo, "127.0.0.1", 0, extensions=[GrantMark()]) as listening:
        async with connect(
            uri_of(listening), extensions=[OfferMark()], compression=compression
        ) as websocket:
            for message in ("hello", b"\x00" * 3000, "x" * 500):
                await websocket.send(message)
                assert await websocket.recv() == message
            await (await websocket.ping())
            agreed = list(
                websocket.protocol.extensions
                if api == "today's"
                else websocket.extensions
            )

    assert type(agreed[0]) is Mark
    assert [type(each) for each in agreed[1:]] == [PerMessageDeflate] * bool(
        compression
    )
    kinds = ["TEXT", "BINARY", "TEXT"]
    assert agreed[0].seen == [
        *(f"{way} {kind}" for kind in kinds for way in "><"),
        *("> PING", "< PONG", "> CLOSE", "< CLOSE"),
    ]


@pytest.mark.parametrize("first", ["x-mark", "permessage-deflate"])
def test_frames_go_through_extensions_in_the_order_of_the_header(first):
    mine, theirs = OfferMark(), ClientPerMessageDeflateFactory()
    offered = [mine, theirs] if first == "x-mark" else [theirs, mine]
    grants = [GrantMark(), ServerPerMessageDeflateFactory()]
    peer = ServerProtocol(extensions=grants)
    protocol = ClientProtocol(websockets.parse_uri("ws://h/"), extensions=offered)
    protocol.send_request(protocol.connect())
    peer.receive_data(b"".join(protocol.data_to_send()))
    peer.send_response(peer.accept(peer.events_received()[0]))
    protocol.receive_data(b"".join(peer.data_to_send()))

    peer.send_text(b"a" * 200)
    (wire,) = peer.data_to_send()
    protocol.receive_data(wire)

    assert protocol.events_received()[1:] == [Frame(Opcode.TEXT, b"a" * 200)]
    # Compressed last, the mark is not to be seen.
    assert (wire[2:3] == b"<") == (first == "permessage-deflate")


@pytest.mark.parametrize("api", APIS)
async def test_a_named_subclass_of_permessage_deflate_stays_one(api):
    serve, connect = APIS[api]
    async with serve(echo, "127.0.0.1", 0) as listening:
        factory = ClientPerMessageDeflateFactory(server_max_window_bits=11)
        async with connect(uri_of(listening), extensions=[factory]) as websocket:
            (agreed,) = (
                websocket.protocol.extensions
                if api == "today's"
                else websocket.extensions
            )

    assert isinstance(agreed, PerMessageDeflate)
    assert agreed.remote_max_window_bits == 11


class NotOne:
    name = "x-not"


@pytest.mark.parametrize("factory", [NotOne(), "permessage-deflate", 5])
def test_what_has_not_the_methods_is_refused_by_name(factory):
    kind = type(factory).__name__
    with pytest.raises(TypeError, match=f"{kind} without .*process_request_params"):
        server.serve(echo, extensions=[factory])
    with pytest.raises(TypeError, match=f"{kind} without .*get_request_params"):
        client.connect("ws://localhost", extensions=[factory])
