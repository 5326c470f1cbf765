"""Two sans-I/O sides talk to each other: ours, and those of an independent library."""

import importlib

import pytest

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets"),
]


class Library:
    """The documented modules of one package."""

    def __init__(self, package):
        def module(name):
            return importlib.import_module(f"{package}.{name}")

        self.client = module("client").ClientProtocol
        self.server = module("server").ServerProtocol
        self.parse_uri = module("uri").parse_uri
        deflate = module("extensions.permessage_deflate")
        self.offer = deflate.enable_client_permessage_deflate
        self.grant = deflate.enable_server_permessage_deflate


@pytest.fixture(params=["ours to ours", "ours to theirs", "theirs to ours"])
def libraries(request):
    """The libraries of the client and of the server."""
    ours = Library("longwire.websockets")
    if request.param == "ours to ours":
        return ours, ours
    pytest.importorskip("websockets")
    theirs = Library("websockets")
    return (ours, theirs) if request.param == "ours to theirs" else (theirs, ours)


def carry(sender, receiver):
    """Bring what one side has to send to the other."""
    for data in sender.data_to_send():
        if data:
            receiver.receive_data(data)
        else:
            receiver.receive_eof()


def connected(libraries, *, compressed):
    """Both sides of a connection after its handshake."""
    client_library, server_library = libraries
    client = client_library.client(
        client_library.parse_uri("ws://localhost/chat"),
        subprotocols=["b", "a"],
        extensions=client_library.offer(None) if compressed else None,
    )
    server = server_library.server(
        subprotocols=["a"],
        extensions=server_library.grant(None) if compressed else None,
    )
    client.send_request(client.connect())
    carry(client, server)
    (request,) = server.events_received()
    server.send_response(server.accept(request))
    carry(server, client)
    (response,) = client.events_received()
    assert response.status_code == 101
    return client, server


@pytest.mark.parametrize("compressed", [False, True])
def test_they_open_talk_and_close(libraries, compressed):
    client, server = connected(libraries, compressed=compressed)
    assert client.subprotocol == server.subprotocol == "a"
    assert len(client.extensions) == len(server.extensions) == compressed

    for sender, receiver in ((client, server), (server, client)):
        sender.send_text(b"Hello")
        sender.send_binary(b"ab" * 40_000, fin=False)
        sender.send_ping(b"now")
        sender.send_continuation(b"cd" * 40_000, fin=True)
        carry(sender, receiver)
        frames = receiver.events_received()
        assert [(f.opcode.name, bytes(f.data), f.fin) for f in frames] == [
            ("TEXT", b"Hello", True),
            ("BINARY", b"ab" * 40_000, False),
            ("PING", b"now", True),
            ("CONT", b"cd" * 40_000, True),
        ]
        carry(receiver, sender)
        assert [bytes(f.data) for f in sender.events_received()] == [b"now"]

    client.send_close(1001, "bye")
    carry(client, server)
    carry(server, client)
    carry(client, server)

    for side in (client, server):
        assert side.state.name == "CLOSED"
        assert (side.close_code, side.close_reason) == (1001, "bye")
        assert type(side.close_exc).__name__ == "ConnectionClosedOK"


def test_a_fault_of_the_client_ends_both(libraries):
    client, server = connected(libraries, compressed=False)

    server.receive_data(b"\x81\x00")
    carry(server, client)
    carry(client, server)

    assert server.close_exc.sent.code == 1002
    assert client.close_code == 1002
    assert client.state.name == server.state.name == "CLOSED"


def test_a_refusal_is_understood(libraries):
    client_library, server_library = libraries
    client = client_library.client(client_library.parse_uri("ws://localhost/"))
    server = server_library.server(origins=["https://a.example"])

    client.send_request(client.connect())
    carry(client, server)
    (request,) = server.events_received()
    server.send_response(server.accept(request))
    carry(server, client)
    carry(client, server)

    (response,) = client.events_received()
    assert response.status_code == 403
    assert type(client.handshake_exc).__name__ == "InvalidStatus"
    assert client.state.name == server.state.name == "CLOSED"
