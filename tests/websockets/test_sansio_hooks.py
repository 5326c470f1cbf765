"""What a subclass of a sans-I/O class may override is called."""

import pytest

from longwire import websockets
from longwire.websockets.client import ClientConnection, ClientProtocol
from longwire.websockets.connection import Connection
from longwire.websockets.exceptions import (
    InvalidHandshake,
    InvalidOrigin,
    InvalidState,
    NegotiationError,
    ProtocolError,
)
from longwire.websockets.frames import Close, Frame, Opcode
from longwire.websockets.http11 import Request
from longwire.websockets.protocol import SEND_EOF, Protocol, Side, State
from longwire.websockets.server import ServerConnection, ServerProtocol
from longwire.websockets.typing import Origin

URI = websockets.parse_uri("ws://example.com/")

HOOKS = {
    Protocol: "recv_frame send_frame send_eof",
    ClientProtocol: "process_response process_extensions process_subprotocol",
    ServerProtocol: (
        "process_request process_origin process_extensions process_subprotocol "
        "select_subprotocol"
    ),
}


def recording(base, names, calls):
    """A subclass of ``base`` that notes its calls of ``names``."""

    def noted(name):
        def method(self, *args):
            calls.append(name)
            return getattr(super(subclass, self), name)(*args)

        return method

    subclass = type(f"Noted{base.__name__}", (base,), {n: noted(n) for n in names})
    return subclass


def shake_hands(client, server):
    client.send_request(client.connect())
    server.receive_data(b"".join(client.data_to_send()))
    server.send_response(server.accept(server.events_received()[0]))
    client.receive_data(b"".join(server.data_to_send()))
    client.events_received()


def test_every_hook_is_called_in_an_ordinary_life():
    calls = {"client": [], "server": []}
    client = recording(
        ClientProtocol,
        f"{HOOKS[Protocol]} {HOOKS[ClientProtocol]}".split(),
        calls["client"],
    )(URI, subprotocols=["chat"])
    server = recording(
        ServerProtocol,
        f"{HOOKS[Protocol]} {HOOKS[ServerProtocol]}".split(),
        calls["server"],
    )(subprotocols=["chat"])
    shake_hands(client, server)
    client.send_text(b"hi")
    client.send_ping(b"")
    server.receive_data(b"".join(client.data_to_send()))
    server.send_close()
    client.receive_data(b"".join(server.data_to_send()))
    server.receive_data(b"".join(client.data_to_send()))
    client.receive_eof()

    opening = HOOKS[ClientProtocol].split()
    assert calls["client"][:3] == opening
    assert calls["client"][3:] == [
        *("send_frame", "send_frame"),  # text, ping
        *("recv_frame", "recv_frame"),  # pong, close
        *("send_frame", "send_eof"),
    ]
    opening = HOOKS[ServerProtocol].split()
    assert calls["server"][:5] == opening
    assert calls["server"][5:] == [
        *("recv_frame", "recv_frame", "send_frame"),  # text, ping, pong
        *("send_frame", "recv_frame", "send_eof"),
    ]
    assert client.subprotocol == server.subprotocol == "chat"


@pytest.mark.parametrize("name", ["parse", "discard"])
@pytest.mark.parametrize("base", [Protocol, ClientProtocol, ServerProtocol])
def test_what_would_not_be_called_is_refused(base, name):
    with pytest.raises(TypeError, match=rf"Mine overrides {name}, .*recv_frame\(\)"):
        type("Mine", (base,), {name: lambda self: None})


def test_a_response_is_for_process_response_to_judge():
    class Lax(ClientProtocol):
        def process_response(self, response):
            if response.status_code == 403:
                raise NegotiationError("not for us")
            self.subprotocol = "anything"

    for status, state in ((b"200", State.OPEN), (b"403", State.CONNECTING)):
        client = Lax(URI)
        client.send_request(client.connect())
        client.receive_data(b"HTTP/1.1 %b X\r\nContent-Length: 0\r\n\r\n" % status)
        assert client.state is state
        assert (client.subprotocol == "anything") == (state is State.OPEN)
        if state is not State.OPEN:
            assert str(client.handshake_exc) == "not for us"


def request_with(**fields):
    client = ClientProtocol(URI)
    request = client.connect()
    for name, value in fields.items():
        request.headers[name] = value
    return request


def test_what_process_request_returns_is_answered():
    class Own(ServerProtocol):
        def process_request(self, request):
            return "accept", "x-mine", "chat"

    response = Own().accept(Request("/", websockets.Headers()))

    assert response.status_code == 101
    assert response.headers["Sec-WebSocket-Accept"] == "accept"
    assert response.headers["Sec-WebSocket-Extensions"] == "x-mine"
    assert response.headers["Sec-WebSocket-Protocol"] == "chat"


def test_what_the_server_hooks_return_is_taken():
    class Own(ServerProtocol):
        def process_origin(self, headers):
            return Origin("https://mine")

        def process_extensions(self, headers):
            return "x-mine; a=1", ["an extension"]

        def process_subprotocol(self, headers):
            return "chosen"

    server = Own()
    response = server.accept(request_with(Origin="https://theirs"))

    assert response.headers["Sec-WebSocket-Extensions"] == "x-mine; a=1"
    assert response.headers["Sec-WebSocket-Protocol"] == "chosen"
    assert server.origin == "https://mine"
    assert server.extensions == ["an extension"]
    assert server.subprotocol == "chosen"


@pytest.mark.parametrize(
    ("raised", "status"), [(InvalidOrigin("x"), 403), (ValueError("bug"), 500)]
)
def test_what_a_hook_raises_is_answered(raised, status):
    class Own(ServerProtocol):
        def process_origin(self, headers):
            raise raised

    server = Own()
    response = server.accept(request_with())

    assert response.status_code == status
    assert server.handshake_exc is raised


def test_frames_can_be_changed_on_their_way():
    class Shouting(ServerProtocol):
        def recv_frame(self, frame):
            if frame.opcode is Opcode.TEXT:
                frame = Frame(frame.opcode, bytes(frame.data).upper(), frame.fin)
            super().recv_frame(frame)

        def send_frame(self, frame):
            if frame.opcode is not Opcode.PONG:
                super().send_frame(frame)

    server = Shouting(state=State.OPEN)
    client = ClientProtocol(URI, state=State.OPEN)
    client.send_text(b"hi")
    client.send_ping(b"")
    server.receive_data(b"".join(client.data_to_send()))

    assert server.events_received() == [
        Frame(Opcode.TEXT, b"HI"),
        Frame(Opcode.PING, b""),
    ]
    assert server.data_to_send() == []


def test_any_frame_may_be_sent_by_hand():
    protocol = Protocol(Side.SERVER)

    protocol.send_frame(Frame(Opcode.TEXT, b"x", fin=False))
    protocol.send_eof()

    assert protocol.data_to_send() == [b"\x01\x01x", SEND_EOF]
    with pytest.raises(AssertionError):
        protocol.send_eof()
    with pytest.raises(ProtocolError):
        protocol.send_frame(Frame(Opcode.PING, b"x" * 126))


# --- which exception comes first, and when it comes at all --------------------------


@pytest.mark.parametrize("side", Side)
def test_control_frames_may_follow_close_frames(side):
    protocol = Protocol(side)
    protocol.send_close()
    protocol.send_ping(b"a")
    protocol.send_pong(b"b")
    assert len(protocol.data_to_send()) == 3

    protocol.receive_data(b"\x88\x80abcd" if side is Side.SERVER else b"\x88\x00")
    protocol.send_ping(b"c")
    assert protocol.state is State.CLOSING


def test_the_state_is_looked_at_before_the_close_code():
    protocol = Protocol(Side.SERVER)
    protocol.send_close()

    for code, reason in ((1005, ""), (1000, "x" * 124), (None, "why")):
        with pytest.raises(InvalidState, match="closing"):
            protocol.send_close(code, reason)


def test_failing_twice_says_nothing_more():
    protocol = Protocol(Side.CLIENT)
    protocol.fail(1002, "first")
    protocol.data_to_send()

    protocol.fail(1003, "x" * 126)

    assert protocol.data_to_send() == []
    assert protocol.close_sent == Close(1002, "first")


# --- edition 10.4 -----------------------------------------------------------------

RENAMED = pytest.mark.filterwarnings("ignore:.* was renamed to")


@RENAMED
def test_a_former_connection_ends_once_and_pings_while_it_is_open():
    connection = Connection(Side.SERVER)
    connection.send_close()
    for send in (connection.send_ping, connection.send_pong):
        with pytest.raises(InvalidState):
            send(b"")
    connection.receive_eof()

    with pytest.raises(EOFError):
        connection.receive_eof()


@RENAMED
@pytest.mark.parametrize(
    ("offered", "supported", "chosen"),
    [
        (None, ["chat"], None),
        ("chat", None, None),
        ("other", ["chat"], None),
        ("a, b", ["b", "c", "a"], "b"),
    ],
)
def test_a_former_server_goes_on_without_a_subprotocol(offered, supported, chosen):
    fields = {} if offered is None else {"Sec-WebSocket-Protocol": offered}
    server = ServerConnection(subprotocols=supported)

    response = server.accept(request_with(**fields))

    assert response.status_code == 101
    assert server.subprotocol == chosen
    assert response.body is None
    server.send_response(response)
    assert server.data_to_send()[0].endswith(b"\r\n\r\n")


@RENAMED
def test_a_former_server_asks_select_subprotocol_with_both_lists():
    class Last(ServerConnection):
        def select_subprotocol(self, client_subprotocols, server_subprotocols):
            return min(set(client_subprotocols) & set(server_subprotocols))

    class OfEdition11(ServerConnection):
        def select_subprotocol(self, subprotocols):
            return subprotocols[-1]

    fields = {"Sec-WebSocket-Protocol": "c, b, a"}
    for kind, chosen in ((Last, "b"), (OfEdition11, "a")):
        server = kind(subprotocols=["c", "b"])
        server.accept(request_with(**fields))
        assert server.subprotocol == chosen


@RENAMED
def test_a_former_client_has_the_hooks_too():
    class Refusing(ClientConnection):
        def process_response(self, response):
            raise InvalidHandshake("no")

    client = Refusing(URI)
    client.receive_data(b"HTTP/1.1 101 X\r\n\r\n")

    assert str(client.handshake_exc) == "no"
