"""The server's side of the sans-I/O handshake."""

import logging
import re

import pytest

from longwire.websockets.exceptions import (
    HeaderLineTooLong,
    InvalidHeader,
    InvalidMessage,
    InvalidMethod,
    InvalidOrigin,
    InvalidState,
    InvalidUpgrade,
    NegotiationError,
    RequestLineTooLong,
    TooManyHeaders,
)
from longwire.websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from longwire.websockets.frames import Frame, Opcode
from longwire.websockets.http11 import Request
from longwire.websockets.protocol import SEND_EOF, State
from longwire.websockets.server import ServerProtocol

REQUEST = (
    b"GET /chat?room=1 HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"\r\n"
)
DEFLATE = ServerPerMessageDeflateFactory()
TEXT_A = b"\x81\x81\x00\x00\x00\x00a"


def with_line(*lines):
    return REQUEST[:-2] + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def without(name):
    return re.sub(rb"(?m)^%s: .*\r\n" % name, b"", REQUEST)


def received(wire=REQUEST, **keywords):
    """A protocol that has the request ``wire``, and that request."""
    protocol = ServerProtocol(**keywords)
    protocol.receive_data(wire)
    (request,) = protocol.events_received()
    return protocol, request


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_the_request_is_the_first_event(step):
    protocol = ServerProtocol()

    for at in range(0, len(REQUEST), step):
        assert protocol.events_received() == []
        protocol.receive_data(REQUEST[at : at + step])

    (request,) = protocol.events_received()
    assert isinstance(request, Request)
    assert request.path == "/chat?room=1"
    assert request.headers["Host"] == "example.com"
    assert protocol.state is State.CONNECTING


def test_an_accepted_request_opens_the_connection():
    protocol, request = received()

    response = protocol.accept(request)
    assert protocol.state is State.CONNECTING
    protocol.send_response(response)

    assert response.status_code == 101
    assert response.headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert "Date" in response.headers
    assert protocol.state is State.OPEN
    assert protocol.handshake_exc is None
    assert protocol.data_to_send() == [response.serialize()]
    assert not protocol.close_expected()


def test_a_response_can_be_changed_before_it_is_sent():
    protocol, request = received()
    response = protocol.accept(request)

    response.headers["X-Extra"] = "yes"
    protocol.send_response(response)

    assert b"\r\nX-Extra: yes\r\n" in protocol.data_to_send()[0]


def test_frames_that_come_early_are_events_after_the_response():
    protocol, request = received()

    protocol.receive_data(TEXT_A)
    assert protocol.events_received() == []
    protocol.send_response(protocol.accept(request))
    protocol.receive_data(TEXT_A)

    assert protocol.events_received() == [Frame(Opcode.TEXT, b"a")] * 2


def test_frames_that_come_with_the_request_are_not_lost():
    protocol, request = received(REQUEST + TEXT_A)

    protocol.send_response(protocol.accept(request))

    assert protocol.events_received() == [Frame(Opcode.TEXT, b"a")]


@pytest.mark.parametrize(
    ("wire", "status", "exc_type"),
    [
        (REQUEST.replace(b"GET", b"POST"), 405, InvalidMethod),
        (without(b"Upgrade"), 426, InvalidUpgrade),
        (without(b"Connection"), 426, InvalidUpgrade),
        (without(b"Sec-WebSocket-Key"), 400, InvalidHeader),
        (without(b"Sec-WebSocket-Version"), 400, InvalidHeader),
        (REQUEST.replace(b": 13", b": 12"), 426, InvalidHeader),
    ],
)
def test_a_request_that_opens_nothing_is_rejected(wire, status, exc_type):
    protocol, request = received(wire)

    response = protocol.accept(request)
    protocol.send_response(response)

    assert response.status_code == status
    assert str(protocol.handshake_exc).encode() in response.body
    assert isinstance(protocol.handshake_exc, exc_type)
    assert protocol.data_to_send() == [response.serialize(), SEND_EOF]
    assert protocol.state is State.CONNECTING
    assert protocol.close_expected()


def test_after_a_rejection_the_end_of_tcp_is_the_end():
    protocol, request = received(without(b"Upgrade"))
    protocol.send_response(protocol.accept(request))

    protocol.receive_data(b"whatever")
    protocol.receive_eof()

    assert protocol.events_received() == []
    assert protocol.state is State.CLOSED
    assert protocol.close_code == 1006
    assert protocol.close_exc.__cause__ is None


def test_a_connection_can_be_rejected_by_hand():
    protocol, _ = received()

    response = protocol.reject(404, "nothing here\n")
    protocol.send_response(response)

    assert (response.status_code, response.body) == (404, b"nothing here\n")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert protocol.data_to_send()[-1] == SEND_EOF
    assert protocol.close_expected()


def test_there_is_one_response():
    protocol, request = received()
    protocol.send_response(protocol.accept(request))

    with pytest.raises(InvalidState):
        protocol.send_response(protocol.accept(request))


@pytest.mark.parametrize(
    ("wire", "status", "exc_type"),
    [
        (b"GET /" + b"x" * 10_000, b"414", RequestLineTooLong),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 10_000, b"431", HeaderLineTooLong),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200, b"431", TooManyHeaders),
    ],
)
def test_what_is_no_request_is_refused_at_once(wire, status, exc_type):
    protocol = ServerProtocol()

    protocol.receive_data(wire)

    response, end = protocol.data_to_send()
    assert response.startswith(b"HTTP/1.1 " + status)
    assert end == SEND_EOF
    assert isinstance(protocol.handshake_exc, exc_type)
    assert protocol.events_received() == []


@pytest.mark.parametrize(
    ("wire", "cause"),
    [
        (b"nonsense\r\n\r\n", "invalid request line: 'nonsense'"),
        (b"\x16\x03\x01\x02\x00", "a request begins with a method"),
        (b"GET / HTTP/1.1\r\nno field\r\n\r\n", "invalid header line: 'no field'"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "with a body of"),
    ],
)
def test_what_is_no_http_gets_no_answer(wire, cause, caplog):
    caplog.set_level(logging.DEBUG, "websockets.server")
    protocol = ServerProtocol()

    protocol.receive_data(wire)

    assert protocol.data_to_send() == [SEND_EOF]
    assert isinstance(protocol.handshake_exc, InvalidMessage)
    assert str(protocol.handshake_exc) == "did not receive a valid HTTP request"
    assert isinstance(protocol.handshake_exc.__cause__, ValueError)
    assert cause in str(protocol.handshake_exc.__cause__)
    assert protocol.events_received() == []
    assert caplog.messages[1] == "! no valid HTTP request"
    assert caplog.records[1].exc_info[1] is protocol.handshake_exc.__cause__


@pytest.mark.parametrize("begun", [b"", b"GET / HT"])
def test_a_request_that_is_cut_off_is_an_invalid_message(begun):
    protocol = ServerProtocol()
    protocol.receive_data(begun)

    protocol.receive_eof()

    assert isinstance(protocol.handshake_exc, InvalidMessage)
    assert isinstance(protocol.handshake_exc.__cause__, EOFError)
    assert protocol.data_to_send() == [SEND_EOF]
    assert protocol.state is State.CLOSED


# --- origins, subprotocols, extensions -------------------------------------------


@pytest.mark.parametrize(
    "origins",
    [None, ["https://a.example"], [re.compile(r"https://[ab]\.example")]],
)
def test_an_acceptable_origin_is_accepted(origins):
    wire = with_line(b"Origin: https://a.example")
    protocol, request = received(wire, origins=origins)

    assert protocol.accept(request).status_code == 101
    assert protocol.origin == "https://a.example"


@pytest.mark.parametrize("wire", [REQUEST, with_line(b"Origin: https://b.example")])
def test_another_origin_or_none_is_forbidden(wire):
    protocol, request = received(wire, origins=["https://a.example"])

    assert protocol.accept(request).status_code == 403
    assert isinstance(protocol.handshake_exc, InvalidOrigin)


def test_none_among_the_origins_accepts_requests_without():
    protocol, request = received(origins=["https://a.example", None])

    assert protocol.accept(request).status_code == 101


def test_the_server_prefers_among_the_subprotocols_offered():
    wire = with_line(b"Sec-WebSocket-Protocol: a, b", b"Sec-WebSocket-Protocol: c")
    protocol, request = received(wire, subprotocols=["c", "a"])

    response = protocol.accept(request)

    assert response.headers["Sec-WebSocket-Protocol"] == "c"
    assert protocol.subprotocol == "c"


@pytest.mark.parametrize("wire", [REQUEST, with_line(b"Sec-WebSocket-Protocol: z")])
def test_a_client_with_no_subprotocol_in_common_is_rejected(wire):
    protocol, request = received(wire, subprotocols=["a"])

    assert protocol.accept(request).status_code == 400
    assert isinstance(protocol.handshake_exc, NegotiationError)


def test_a_function_may_select_the_subprotocol():
    def select(protocol, subprotocols):
        assert isinstance(protocol, ServerProtocol)
        assert subprotocols == ["a", "b"]
        return "b"

    wire = with_line(b"Sec-WebSocket-Protocol: a, b")
    protocol, request = received(wire, select_subprotocol=select)

    protocol.accept(request)

    assert protocol.subprotocol == "b"


def test_a_function_that_selects_may_refuse():
    def select(protocol, subprotocols):
        raise NegotiationError("none of these")

    protocol, request = received(select_subprotocol=select)

    response = protocol.accept(request)

    assert response.status_code == 400
    assert b"none of these" in response.body


def test_a_fault_of_our_own_is_500_and_logged(caplog):
    def select(protocol, subprotocols):
        raise LookupError("secret")

    protocol, request = received(select_subprotocol=select)

    response = protocol.accept(request)

    assert response.status_code == 500
    assert b"secret" not in response.body
    assert isinstance(protocol.handshake_exc, LookupError)
    assert caplog.record_tuples == [
        ("websockets.server", logging.ERROR, "opening handshake failed")
    ]


def test_compression_is_agreed_on_and_used():
    wire = with_line(b"Sec-WebSocket-Extensions: permessage-deflate")
    factory = ServerPerMessageDeflateFactory(server_no_context_takeover=True)
    protocol, request = received(wire, extensions=[factory])

    response = protocol.accept(request)
    protocol.send_response(response)
    protocol.data_to_send()
    protocol.send_text(b"Hello")

    assert response.headers["Sec-WebSocket-Extensions"] == (
        "permessage-deflate; server_no_context_takeover"
    )
    assert isinstance(protocol.extensions[0], PerMessageDeflate)
    assert protocol.data_to_send() == [b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"]


def test_subprotocols_have_to_be_a_list_of_names():
    with pytest.raises(TypeError):
        ServerProtocol(subprotocols="chat")


def test_requests_and_responses_are_logged_at_debug(caplog):
    caplog.set_level(logging.DEBUG, "websockets.server")
    protocol, request = received()

    protocol.send_response(protocol.accept(request))

    assert caplog.messages[:3] == [
        "= connection is CONNECTING",
        "< GET /chat?room=1 HTTP/1.1",
        "< Host: example.com",
    ]
    assert "> HTTP/1.1 101 Switching Protocols" in caplog.messages
    assert caplog.messages[-2:] == ["= connection is OPEN", "connection open"]


@pytest.mark.parametrize(
    ("lost", "status", "kind"),
    [
        (b"Upgrade", "426 Upgrade Required", "invalid upgrade"),
        (b"Sec-WebSocket-Key", "400 Bad Request", "invalid handshake"),
    ],
)
def test_a_refusal_is_logged_with_its_reason(lost, status, kind, caplog):
    caplog.set_level(logging.DEBUG, "websockets.server")
    protocol, request = received(without(lost))

    protocol.send_response(protocol.accept(request))
    protocol.receive_eof()

    told = [r for r in caplog.records if r.message == f"! {kind}"]
    assert [r.exc_info[1] for r in told] == [protocol.handshake_exc]
    infos = [r.message for r in caplog.records if r.levelno == logging.INFO]
    assert infos == [f"connection rejected ({status})", "connection closed"]


def test_an_answer_of_the_programs_is_logged_as_one(caplog):
    caplog.set_level(logging.INFO, "websockets.server")
    protocol, _ = received()

    protocol.send_response(protocol.reject(404, "no\n"))

    assert caplog.messages == ["HTTP response sent (404 Not Found)"]


# --- requests that another program's server has read ------------------------------


class ForeignHeaders:
    """A multidict of another library: names in any case, and ``get_all()``."""

    def __init__(self, fields):
        self.fields = fields

    def __iter__(self):
        return iter([name for name, _ in self.fields])

    def get_all(self, name, default=None):
        found = [value for each, value in self.fields if each.lower() == name.lower()]
        return found or default

    def get(self, name, default=None):
        return self.get_all(name, [default])[0]


class ForeignRequest:
    __slots__ = ("headers",)

    def __init__(self, *more):
        fields = [line.split(": ") for line in REQUEST.decode().splitlines()[1:-1]]
        self.headers = ForeignHeaders([*fields, *more])


def test_a_request_of_another_program_is_accepted():
    protocol = ServerProtocol(
        origins=["https://example.com"], subprotocols=["b", "a"], extensions=[DEFLATE]
    )

    response = protocol.accept(
        ForeignRequest(
            ("origin", "https://example.com"),
            ("sec-websocket-protocol", "a"),
            ("Sec-WebSocket-Protocol", "c"),
            ("sec-websocket-extensions", "permessage-deflate"),
        )
    )

    assert response.status_code == 101
    assert response.headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert (protocol.subprotocol, protocol.origin) == ("a", "https://example.com")
    assert response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")


def test_a_request_of_another_program_is_refused():
    protocol = ServerProtocol(origins=["https://example.com"])

    response = protocol.accept(ForeignRequest(("Origin", "https://other.com")))

    assert response.status_code == 403
    assert isinstance(protocol.handshake_exc, InvalidOrigin)
