"""The client's side of the sans-I/O handshake."""

import pytest

from longwire.websockets.client import ClientProtocol
from longwire.websockets.exceptions import (
    InvalidHeader,
    InvalidMessage,
    InvalidStatus,
    InvalidUpgrade,
    NegotiationError,
)
from longwire.websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from longwire.websockets.frames import Frame, Opcode
from longwire.websockets.http11 import Response
from longwire.websockets.protocol import SEND_EOF, State
from longwire.websockets.uri import parse_uri

RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"\r\n"
)


def with_line(line):
    return RESPONSE[:-2] + line + b"\r\n\r\n"


def asking(uri="ws://example.com/", **keywords):
    """A protocol that has sent its request, with the key of RFC 6455."""
    protocol = ClientProtocol(parse_uri(uri), **keywords)
    protocol.key = "dGhlIHNhbXBsZSBub25jZQ=="
    protocol.send_request(protocol.connect())
    protocol.data_to_send()
    return protocol


def test_the_request_asks_for_what_the_uri_and_the_arguments_say():
    protocol = ClientProtocol(
        parse_uri("ws://user:pass@example.com:8765/chat?room=1"),
        origin="https://a.example",
        extensions=[ClientPerMessageDeflateFactory()],
        subprotocols=["a", "b"],
    )

    request = protocol.connect()

    assert (request.method, request.path) == ("GET", "/chat?room=1")
    assert dict(request.headers) == {
        "host": "example.com:8765",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-key": protocol.key,
        "sec-websocket-version": "13",
        "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
        "sec-websocket-protocol": "a, b",
        "authorization": "Basic dXNlcjpwYXNz",
        "origin": "https://a.example",
    }


def test_the_request_can_be_changed_before_it_is_sent():
    protocol = ClientProtocol(parse_uri("ws://example.com/"))
    request = protocol.connect()

    request.headers["User-Agent"] = "me/1"
    protocol.send_request(request)

    (data,) = protocol.data_to_send()
    assert data.startswith(b"GET / HTTP/1.1\r\nHost: example.com\r\n")
    assert data.endswith(b"\r\nUser-Agent: me/1\r\n\r\n")
    assert protocol.state is State.CONNECTING


def test_each_client_has_a_key_of_its_own():
    uri = parse_uri("ws://example.com/")

    assert ClientProtocol(uri).key != ClientProtocol(uri).key


@pytest.mark.parametrize("step", [1, 10_000])
def test_the_right_response_opens_the_connection(step):
    protocol = asking()
    wire = RESPONSE + b"\x81\x02hi"

    for at in range(0, len(wire), step):
        protocol.receive_data(wire[at : at + step])

    response, frame = protocol.events_received()
    assert isinstance(response, Response)
    assert response.status_code == 101
    assert frame == Frame(Opcode.TEXT, b"hi")
    assert protocol.state is State.OPEN
    assert protocol.handshake_exc is None
    assert protocol.data_to_send() == []


@pytest.mark.parametrize(
    ("wire", "exc_type"),
    [
        (RESPONSE.replace(b"Upgrade: websocket\r\n", b""), InvalidUpgrade),
        (RESPONSE.replace(b"Connection: Upgrade\r\n", b""), InvalidUpgrade),
        (RESPONSE.replace(b"s3pP", b"S3pP"), InvalidHeader),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope", InvalidStatus),
        (with_line(b"Sec-WebSocket-Protocol: a"), NegotiationError),
        (with_line(b"Sec-WebSocket-Extensions: permessage-deflate"), NegotiationError),
    ],
)
def test_another_response_is_an_event_and_the_end(wire, exc_type):
    protocol = asking()

    protocol.receive_data(wire)
    protocol.receive_data(b"\x81\x02hi")

    (response,) = protocol.events_received()
    assert isinstance(response, Response)
    assert isinstance(protocol.handshake_exc, exc_type)
    with pytest.warns(DeprecationWarning, match="handshake_exc"):
        assert response.exception is protocol.handshake_exc
    assert protocol.data_to_send() == [SEND_EOF]
    assert protocol.state is State.CONNECTING
    assert protocol.close_expected()

    protocol.receive_eof()

    assert protocol.state is State.CLOSED
    assert protocol.close_exc.__cause__ is None


def test_a_refusal_has_its_body():
    protocol = asking()

    protocol.receive_data(b"HTTP/1.1 403 Forbidden\r\n\r\nnot")
    protocol.receive_data(b" you")
    protocol.receive_eof()

    (response,) = protocol.events_received()
    assert response.body == b"not you"
    assert protocol.handshake_exc.response is response


@pytest.mark.parametrize("wire", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n"])
def test_what_is_no_response_is_an_invalid_message(wire):
    protocol = asking()

    protocol.receive_data(wire)

    assert isinstance(protocol.handshake_exc, InvalidMessage)
    assert protocol.events_received() == []
    assert protocol.data_to_send() == [SEND_EOF]


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 1", b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\nabc"]
)
def test_a_response_that_is_cut_off_is_an_invalid_message(begun):
    protocol = asking()
    protocol.receive_data(begun)

    protocol.receive_eof()

    assert isinstance(protocol.handshake_exc, InvalidMessage)
    assert isinstance(protocol.handshake_exc.__cause__, EOFError)
    assert protocol.state is State.CLOSED


def test_the_subprotocol_is_the_one_the_server_chose():
    protocol = asking(subprotocols=["a", "b"])

    protocol.receive_data(with_line(b"Sec-WebSocket-Protocol: b"))

    assert protocol.subprotocol == "b"


def test_a_subprotocol_that_was_not_offered_is_refused():
    protocol = asking(subprotocols=["a"])

    protocol.receive_data(with_line(b"Sec-WebSocket-Protocol: b"))

    assert isinstance(protocol.handshake_exc, NegotiationError)
    assert protocol.subprotocol is None


def test_compression_is_agreed_on_and_used():
    protocol = asking(extensions=[ClientPerMessageDeflateFactory()])

    protocol.receive_data(
        with_line(b"Sec-WebSocket-Extensions: permessage-deflate")
        + b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"
    )

    assert isinstance(protocol.extensions[0], PerMessageDeflate)
    assert protocol.events_received()[1] == Frame(Opcode.TEXT, b"Hello")


def test_subprotocols_have_to_be_a_list_of_names():
    with pytest.raises(ValueError, match="token"):
        ClientProtocol(parse_uri("ws://example.com/"), subprotocols=["a b"])
