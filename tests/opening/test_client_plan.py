"""The client's plan, played without sockets: the handshake itself."""

from __future__ import annotations

import ssl

import pytest

from longwire import errors
from longwire.http.extensions import (
    ClientExtensionFactory,
    ClientPerMessageDeflateFactory,
)
from longwire.messages import Deflate
from longwire.opening.steps import OpenTcp, OpenUnix, StartTls
from longwire.options import PROFILES
from tests.support.playing import OPEN, SWITCH, Player, plan

# --- the handshake ---------------------------------------------------------------


def test_a_plain_uri_connects_writes_a_request_and_reads_the_answer():
    player = Player(OPEN)

    opened = player.play(plan("ws://example.com:8080/chat?x=1"))

    assert player.steps[0] == OpenTcp("example.com", 8080, None, {})
    lines = player.requests[0].split(b"\r\n")
    assert lines[0] == b"GET /chat?x=1 HTTP/1.1"
    assert b"Host: example.com:8080" in lines
    assert b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==" in lines
    assert opened.request.path == "/chat?x=1"
    assert opened.response.status_code == 101
    assert (opened.subprotocol, opened.deflate, opened.extensions) == (None, None, ())
    assert opened.rest == b""


def test_the_answer_may_come_byte_by_byte():
    player = Player(*(bytes([byte]) for byte in OPEN))

    opened = player.play(plan())

    assert opened.response.status_code == 101
    assert player.answers == []


def test_frames_after_the_answer_are_kept():
    opened = Player(OPEN + b"\x81\x02hi").play(plan())

    assert opened.rest == b"\x81\x02hi"


@pytest.mark.parametrize(
    "field",
    [b"Content-Length: 0", b"Content-Length: 5", b"Transfer-Encoding: chunked"],
)
def test_a_101_ends_at_its_empty_line_whatever_its_fields_say(field):
    opened = Player(SWITCH + field + b"\r\n\r\n\x81\x02hi").play(plan())

    assert opened.rest == b"\x81\x02hi"


def test_a_secure_uri_opens_with_tls_for_its_host():
    player = Player(OPEN)

    player.play(plan("wss://example.com/"))

    assert player.steps[0] == OpenTcp(
        "example.com", 443, StartTls(None, "example.com", {}), {}
    )


def test_address_context_and_name_given_by_the_caller_are_used():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    network = {
        "ssl": context,
        "server_hostname": "inner.example",
        "ssl_handshake_timeout": 3,
        "host": "127.0.0.1",
        "port": 4443,
        "family": 2,
    }
    player = Player(OPEN)

    player.play(plan("wss://example.com/", network=network))

    tls = StartTls(context, "inner.example", {"ssl_handshake_timeout": 3})
    assert player.steps[0] == OpenTcp("127.0.0.1", 4443, tls, {"family": 2})
    assert b"Host: example.com\r\n" in player.requests[0]


def test_a_unix_socket_is_opened_by_its_path():
    player = Player(OPEN)

    network = {"unix": True, "path": "/run/x"}
    player.play(plan("ws://localhost/", network=network))

    assert player.steps[0] == OpenUnix("/run/x", None, {})


def test_a_preset_unix_socket_takes_the_place_of_the_path():
    sock = object()
    player = Player(OPEN)

    network = {"unix": True, "path": None, "sock": sock}
    player.play(plan("ws://localhost/", network=network))

    assert player.opened == [OpenUnix(None, None, {"sock": sock})]


def test_a_preset_socket_is_used_without_a_name_lookup():
    sock = object()
    player = Player(OPEN)

    player.play(plan(network={"sock": sock}, proxy="http://proxy.example:3128"))

    assert player.opened == [OpenTcp(None, None, None, {"sock": sock})]


def test_what_the_caller_wants_said_is_in_the_request():
    player = Player(OPEN)

    player.play(
        plan(
            "ws://user:pass@example.com/",
            origin="https://example.com",
            subprotocols=["chat", "superchat"],
            additional_headers=[("Cookie", "a=1")],
            user_agent_header="me/1",
        )
    )

    lines = player.requests[0].split(b"\r\n")
    assert b"Origin: https://example.com" in lines
    assert b"Sec-WebSocket-Protocol: chat, superchat" in lines
    assert b"Cookie: a=1" in lines
    assert b"User-Agent: me/1" in lines
    assert b"Authorization: Basic dXNlcjpwYXNz" in lines


def test_the_subprotocol_the_server_chose_is_in_the_result():
    answer = SWITCH + b"Sec-WebSocket-Protocol: superchat\r\n\r\n"

    opened = Player(answer).play(plan(subprotocols=["chat", "superchat"]))

    assert opened.subprotocol == "superchat"


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (b"nonsense", "unsupported subprotocol: nonsense; offered: chat, superchat"),
        (b"chat, superchat", "multiple subprotocols: chat, superchat"),
    ],
)
def test_a_subprotocol_that_was_not_offered_is_refused(header, text):
    answer = SWITCH + b"Sec-WebSocket-Protocol: " + header + b"\r\n\r\n"

    with pytest.raises(errors.NegotiationError, match=text):
        Player(answer).play(plan(subprotocols=["chat", "superchat"]))


def test_a_subprotocol_is_refused_when_none_was_offered():
    answer = SWITCH + b"Sec-WebSocket-Protocol: chat\r\n\r\n"

    with pytest.raises(errors.NegotiationError, match="chat; offered: none"):
        Player(answer).play(plan())


def test_compression_is_offered_and_agreed():
    answer = SWITCH + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    player = Player(answer)

    opened = player.play(plan(compression=PROFILES["deflate"]))

    assert b"Sec-WebSocket-Extensions: permessage-deflate;" in player.requests[0]
    assert isinstance(opened.deflate, Deflate)
    assert opened.extensions == ()


def test_an_extension_that_was_not_offered_is_refused():
    answer = SWITCH + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

    with pytest.raises(errors.InvalidHandshake):
        Player(answer).play(plan())


def test_own_permessage_deflate_factory_replaces_the_profile():
    own = ClientPerMessageDeflateFactory(client_max_window_bits=9)
    player = Player(OPEN)

    player.play(plan(extensions=[own], compression=PROFILES["deflate"]))

    assert player.requests[0].count(b"permessage-deflate") == 1
    assert b"client_max_window_bits=9" in player.requests[0]


def test_an_extension_of_the_callers_own_is_in_the_result():
    class Extension:
        name = "x-own"

    class Factory(ClientExtensionFactory):
        name = "x-own"

        def get_request_params(self):
            return []

        def process_response_params(self, params, accepted_extensions):
            return Extension()

    answer = SWITCH + b"Sec-WebSocket-Extensions: x-own\r\n\r\n"

    opened = Player(answer).play(plan(extensions=[Factory()]))

    assert [extension.name for extension in opened.extensions] == ["x-own"]


@pytest.mark.parametrize(
    ("find", "replace", "error"),
    [
        (b"ICX+", b"XXX+", errors.InvalidHeaderValue),
        (b"Upgrade: websocket\r\n", b"", errors.InvalidUpgrade),
        (b"Connection: Upgrade\r\n", b"", errors.InvalidUpgrade),
    ],
)
def test_a_101_that_does_not_grant_what_was_asked_is_refused(find, replace, error):
    with pytest.raises(error):
        Player(OPEN.replace(find, replace)).play(plan())


def test_a_refusal_is_raised_with_the_whole_response():
    answer = (
        b"HTTP/1.1 403 Forbidden\r\nX-Why: tired\r\nContent-Length: 4\r\n\r\n",
        b"no",
        b"pe",
    )

    with pytest.raises(errors.InvalidStatus, match="HTTP 403") as raised:
        Player(*answer).play(plan())

    response = raised.value.response
    assert response.headers["X-Why"] == "tired"
    assert response.body == b"nope"


def test_the_body_of_a_refusal_may_end_with_the_stream():
    with pytest.raises(errors.InvalidStatus) as raised:
        Player(b"HTTP/1.1 500 Oops\r\n\r\nno length", b"").play(plan())

    assert raised.value.response.body == b"no length"


@pytest.mark.parametrize("answer", [[b""], [b"HTTP/1.1 101 Swit", b""]])
def test_a_stream_that_ends_without_an_answer_says_so(answer):
    with pytest.raises(
        errors.InvalidMessage, match="did not receive a valid HTTP response"
    ) as raised:
        Player(*answer).play(plan())

    assert isinstance(raised.value.__cause__, EOFError)


def test_an_answer_that_is_not_http_is_refused():
    with pytest.raises(errors.InvalidMessage):
        Player(b"SSH-2.0-OpenSSH_9.6\r\n").play(plan())


def test_an_answer_with_too_many_headers_is_refused():
    answer = b"HTTP/1.1 101 Switching\r\n" + b"X: y\r\n" * 200 + b"\r\n"

    with pytest.raises(errors.TooManyHeaders):
        Player(answer).play(plan())


def test_an_informational_answer_is_not_the_final_one():
    opened = Player(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OPEN).play(plan())

    assert opened.response.status_code == 101


def test_a_network_error_comes_out_as_it_is():
    with pytest.raises(ConnectionResetError):
        Player(ConnectionResetError()).play(plan())
