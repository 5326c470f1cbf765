"""The server's opening handshake, step by step, without I/O."""

from __future__ import annotations

import logging
import re
from types import SimpleNamespace
from typing import Any

import pytest

from longwire import errors
from longwire.http import handshake
from longwire.http.extensions import ServerExtensionFactory
from longwire.http.headers import Headers
from longwire.http.heads import Response
from longwire.opening import server_plan as accepting
from longwire.opening.server_plan import (
    Acceptor,
    Refused,
    ServerSettings,
    server_settings,
)
from longwire.opening.steps import Call, Opened, Read, Write
from longwire.options import Compression, Keepalive, Limits, Timeouts

REQUEST = (
    b"GET /chat?room=1 HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
)
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"


def settings(**changes: Any) -> ServerSettings:
    given = {"limits": Limits(), "timeouts": Timeouts(), "keepalive": Keepalive()}
    return server_settings(**{**given, **changes})


class Handshake:
    """Carries out a plan on a list of reads, writing down what it writes."""

    def __init__(self, *, unavailable: str | None = None, **changes: Any) -> None:
        self.connection = SimpleNamespace(request=None, response=None)
        self.unavailable = unavailable
        self.acceptor = Acceptor(
            settings(**changes),
            self.connection,
            lambda: self.unavailable,
            date=lambda: "Sat, 21 Nov 2026 08:49:37 GMT",
        )
        self.plan = self.acceptor.plan()
        self.step: Any = next(self.plan)
        self.result: Opened | Refused | None = None
        self.written = b""

    def feed(self, *reads: bytes | Exception) -> Opened | Refused | None:
        waiting = list(reads)
        while self.result is None:
            match self.step:
                case Read():
                    if not waiting:
                        return None
                    self._resume(waiting.pop(0))
                case Write(data):
                    self.written += data
                    self._resume(None)
                case Call(function, args):
                    try:
                        value = function(*args)
                    except Exception as exc:
                        value = exc
                    self._resume(value)
        return self.result

    def _resume(self, value: Any) -> None:
        try:
            if isinstance(value, Exception):
                self.step = self.plan.throw(value)
            else:
                self.step = self.plan.send(value)
        except StopIteration as stop:
            self.result = stop.value

    @property
    def status(self) -> int:
        return int(self.written.split(b" ", 2)[1])


def opened(handshake: Handshake, request: bytes = REQUEST + b"\r\n") -> Opened:
    result = handshake.feed(request)
    assert isinstance(result, Opened), result
    return result


def refused(handshake: Handshake, *reads: bytes | Exception) -> Refused:
    result = handshake.feed(*(reads or (REQUEST + b"\r\n",)))
    assert isinstance(result, Refused), result
    return result


# --- requests that open ----------------------------------------------------------


def test_a_valid_request_is_answered_with_101() -> None:
    shake = Handshake()

    result = opened(shake)

    assert shake.written.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert ACCEPT in shake.written
    assert shake.written.endswith(b"\r\n\r\n")
    assert result.request.path == "/chat?room=1"
    assert result.request is shake.connection.request
    assert result.response is shake.connection.response
    assert (result.subprotocol, result.deflate, result.extensions) == (None, None, ())
    assert result.rest == b""


def test_a_request_may_come_byte_by_byte() -> None:
    shake = Handshake()

    request = REQUEST + b"\r\n"
    for i in range(len(request) - 1):
        assert shake.feed(request[i : i + 1]) is None
    result = shake.feed(request[-1:])

    assert isinstance(result, Opened)
    assert ACCEPT in shake.written


def test_what_follows_the_request_is_kept_for_the_session() -> None:
    shake = Handshake()

    result = opened(shake, REQUEST + b"\r\n\x81\x80abcd")

    assert result.rest == b"\x81\x80abcd"


def test_the_servers_name_is_in_its_responses() -> None:
    shake = Handshake(server_header="Kettle/1.0")
    opened(shake)
    assert b"Server: Kettle/1.0\r\n" in shake.written

    shake = Handshake(server_header="Kettle/1.0")
    refused(shake, b"nonsense\r\n\r\n")
    assert b"Server: Kettle/1.0\r\n" in shake.written

    shake = Handshake(server_header=None)
    opened(shake)
    assert b"Server:" not in shake.written


def test_responses_are_dated() -> None:
    for request in (REQUEST + b"\r\n", b"nonsense\r\n\r\n"):
        shake = Handshake()
        shake.feed(request)

        assert shake.written.count(b"Date: Sat, 21 Nov 2026 08:49:37 GMT\r\n") == 1


# --- extensions and subprotocols -------------------------------------------------


def test_compression_is_agreed_on_when_offered() -> None:
    shake = Handshake(compression=Compression())

    result = opened(
        shake,
        REQUEST + b"Sec-WebSocket-Extensions: permessage-deflate; "
        b"client_max_window_bits\r\n\r\n",
    )

    assert result.deflate is not None
    assert result.extensions == ()
    assert b"Sec-WebSocket-Extensions: permessage-deflate" in shake.written


def test_compression_is_not_agreed_on_when_switched_off() -> None:
    shake = Handshake(compression=None)

    result = opened(
        shake, REQUEST + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    )

    assert result.deflate is None
    assert b"Sec-WebSocket-Extensions" not in shake.written


def test_the_servers_preference_decides_the_subprotocol() -> None:
    shake = Handshake(subprotocols=["superchat", "chat"])

    result = opened(shake, REQUEST + b"Sec-WebSocket-Protocol: chat, superchat\r\n\r\n")

    assert result.subprotocol == "superchat"
    assert b"Sec-WebSocket-Protocol: superchat\r\n" in shake.written


def test_a_callback_decides_the_subprotocol() -> None:
    seen: list[Any] = []

    def select(connection: Any, offered: list[str]) -> str:
        seen.append((connection, offered))
        return offered[-1]

    shake = Handshake(select_subprotocol=select)

    result = opened(
        shake,
        REQUEST + b"Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n\r\n",
    )

    assert result.subprotocol == "c"
    assert seen == [(shake.connection, ["a", "b", "c"])]


def test_a_subprotocol_that_was_not_offered_is_the_servers_fault() -> None:
    shake = Handshake(select_subprotocol=lambda connection, offered: "other")

    result = refused(shake, REQUEST + b"Sec-WebSocket-Protocol: a\r\n\r\n")

    assert (shake.status, result.ours) == (500, True)
    assert "returned 'other'" in str(result.exc)


def test_a_callback_may_refuse_with_a_negotiation_error() -> None:
    def select(connection: Any, offered: list[str]) -> str:
        raise errors.NegotiationError("need a token")

    shake = Handshake(select_subprotocol=select)

    result = refused(shake)

    assert (shake.status, result.ours) == (400, False)
    assert isinstance(result.exc, errors.NegotiationError)


# --- requests that are refused ---------------------------------------------------

FAULTS = [
    (b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", 505),
    (b"GARBAGE\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    (REQUEST.replace(b"GET", b"POST") + b"\r\n", 405),
    (REQUEST.replace(b"Upgrade: websocket\r\n", b"") + b"\r\n", 426),
    (REQUEST.replace(b"Version: 13", b"Version: 8") + b"\r\n", 426),
    (REQUEST.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"c2hvcnQ=") + b"\r\n", 400),
    (REQUEST.replace(b"Host: example.com\r\n", b"") + b"\r\n", 400),
]


@pytest.mark.parametrize(("request_bytes", "status"), FAULTS)
def test_each_fault_has_its_status(request_bytes: bytes, status: int) -> None:
    shake = Handshake()

    result = refused(shake, request_bytes)

    assert shake.status == status
    assert b"\r\nConnection: close" in shake.written
    assert result.response is shake.connection.response
    assert result.response is not None
    assert result.response.status_code == status
    assert result.exc is not None
    assert not result.ours


def test_a_bad_version_is_told_the_right_one() -> None:
    shake = Handshake()

    refused(shake, REQUEST.replace(b"Version: 13", b"Version: 7") + b"\r\n")

    assert b"Sec-WebSocket-Version: 13\r\n" in shake.written
    assert b"Upgrade: websocket\r\n" in shake.written


def test_a_bad_method_is_told_the_right_one() -> None:
    shake = Handshake()

    refused(shake, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert shake.status == 405
    assert b"Allow: GET" in shake.written


ORIGIN = REQUEST + b"Origin: https://example.com\r\n\r\n"


@pytest.mark.parametrize(
    "origins",
    [
        ["https://example.com"],
        ["https://other.com", re.compile(r"https://example\.(com|org)")],
        "same",
    ],
)
def test_an_allowed_origin_is_let_in(origins: Any) -> None:
    opened(Handshake(origins=origins), ORIGIN)


@pytest.mark.parametrize("origins", [["https://example.org"], [None], []])
def test_a_foreign_origin_is_forbidden(origins: Any) -> None:
    shake = Handshake(origins=origins)

    result = refused(shake, ORIGIN)

    assert shake.status == 403
    assert isinstance(result.exc, errors.InvalidOrigin)


def test_a_missing_origin_is_forbidden_unless_none_is_allowed() -> None:
    assert opened(Handshake(origins=["https://example.com", None]))

    shake = Handshake(origins=["https://example.com"])
    refused(shake)

    assert shake.status == 403


def test_same_origin_refuses_another_host() -> None:
    shake = Handshake(origins="same")

    refused(shake, REQUEST + b"Origin: https://evil.example\r\n\r\n")

    assert shake.status == 403


def test_nobody_is_answered_when_nothing_was_asked() -> None:
    shake = Handshake()

    result = refused(shake, b"")

    assert (shake.written, result.response) == (b"", None)
    assert isinstance(result.exc, errors.InvalidMessage)


def test_half_a_request_and_the_end_is_a_bad_request() -> None:
    shake = Handshake()

    refused(shake, REQUEST, b"")

    assert shake.status == 400


def test_a_lost_connection_ends_the_plan() -> None:
    shake = Handshake()

    result = refused(shake, REQUEST, ConnectionResetError("gone"))

    assert (shake.written, result.response) == (b"", None)
    assert isinstance(result.exc, ConnectionResetError)


# --- callbacks -------------------------------------------------------------------


def test_process_request_may_answer_anything() -> None:
    seen: list[Any] = []

    def process_request(connection: Any, request: Any) -> Any:
        seen.append((connection, request))
        return handshake.refuse(402, "Pay first\n")

    shake = Handshake(process_request=process_request)

    result = refused(shake, b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")

    assert shake.status == 402
    assert shake.written.endswith(b"\r\n\r\nPay first\n")
    assert result.exc is None
    assert seen == [(shake.connection, shake.connection.request)]


def test_process_request_may_let_in() -> None:
    opened(Handshake(process_request=lambda connection, request: None))


def test_process_request_may_force_the_handshake() -> None:
    def process_request(connection: Any, request: Any) -> Any:
        key = request.headers["Sec-WebSocket-Key"]
        return handshake.build_response(key, subprotocol="forced")

    shake = Handshake(process_request=process_request, subprotocols=["chat"])

    result = opened(shake)

    assert ACCEPT in shake.written
    assert result.subprotocol == "forced"


def test_process_request_is_not_asked_about_nonsense() -> None:
    asked: list[Any] = []
    shake = Handshake(process_request=lambda *args: asked.append(args))

    refused(shake, b"nonsense\r\n\r\n")

    assert asked == []


@pytest.mark.parametrize("name", ["process_request", "process_response"])
def test_a_failing_callback_is_answered_with_500(name: str) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("oops")

    shake = Handshake(**{name: fail})

    result = refused(shake)

    assert (shake.status, result.ours) == (500, True)
    assert b"oops" not in shake.written
    assert isinstance(result.exc, RuntimeError)


def changed(**attributes: Any) -> Response:
    """Return a response with attributes that its constructor would not take."""
    response = Response(403, "No", Headers())
    for name, value in attributes.items():
        setattr(response, name, value)
    return response


def unsafe(name: str, value: str) -> Headers:
    headers = Headers()
    headers.set_insecure(name, value)
    return headers


UNSENDABLE = [
    ((403, {}, b""), "{0} returned a tuple"),
    *(
        (changed(**{name: value}), f"the response of {{0}} cannot be sent: {text}")
        for name, value, text in [
            ("headers", {"X": "y"}, "headers must be Headers, not dict"),
            ("headers", unsafe("X", "a\r\nY: b"), "invalid value for header X"),
            ("headers", unsafe("X\r\nY", "b"), "invalid value for header X"),
            ("body", "text", "body must be bytes, not str"),
            ("reason_phrase", "No\r\nX: y", "invalid reason phrase: 'No"),
            ("reason_phrase", None, "reason_phrase must be a str, not NoneType"),
            ("status_code", "403", "status_code must be an int, not str"),
            ("status_code", 4030, "HTTP status 4030; 100 to 599 are allowed"),
        ]
    ),
]


@pytest.mark.parametrize(("answer", "text"), UNSENDABLE)
@pytest.mark.parametrize("name", ["process_request", "process_response"])
def test_a_callback_must_return_a_response(name: str, answer: Any, text: str) -> None:
    shake = Handshake(**{name: lambda *args: answer})

    result = refused(shake)

    assert (shake.status, result.ours) == (500, True)
    assert str(result.exc).startswith(text.format(name))
    assert b"Y: b" not in shake.written


@pytest.mark.parametrize(
    "change",
    [
        lambda response: setattr(response, "reason_phrase", "Hm\r\nX: y"),
        lambda response: setattr(response, "body", "text"),
        lambda response: response.headers.set_insecure("X", "a\nb"),
        lambda response: response.headers.set_insecure("X", "a\0b"),
    ],
)
def test_a_response_changed_into_what_cannot_be_sent_is_answered_with_500(
    change: Any,
) -> None:
    shake = Handshake(
        process_response=lambda connection, request, response: change(response)
    )

    result = refused(shake)

    assert (shake.status, result.ours) == (500, True)
    assert "the response of process_response cannot be sent" in str(result.exc)


def test_an_extension_that_fails_is_answered_with_500() -> None:
    class Failing(ServerExtensionFactory):
        name = "x-failing"

        def process_request_params(self, params: Any, accepted_extensions: Any) -> Any:
            raise RuntimeError("oops")

    shake = Handshake(extensions=[Failing()])

    result = refused(shake, REQUEST + b"Sec-WebSocket-Extensions: x-failing\r\n\r\n")

    assert (shake.status, result.ours) == (500, True)
    assert isinstance(result.exc, RuntimeError)


def test_an_os_error_in_a_callback_is_not_taken_for_the_peers() -> None:
    def fail(*args: Any) -> None:
        raise FileNotFoundError("users.db")

    shake = Handshake(process_request=fail)

    result = refused(shake)

    assert (shake.status, result.ours) == (500, True)


def test_process_response_may_change_the_response() -> None:
    def process_response(connection: Any, request: Any, response: Any) -> None:
        response.headers["X-Room"] = request.path

    shake = Handshake(process_response=process_response)

    opened(shake)

    assert b"X-Room: /chat?room=1\r\n" in shake.written


def test_process_response_may_refuse() -> None:
    answer = handshake.refuse(403, "No\n")
    shake = Handshake(process_response=lambda *args: answer)

    result = refused(shake)

    assert shake.status == 403
    assert result.exc is None


def test_process_response_sees_refusals() -> None:
    statuses: list[int] = []
    shake = Handshake(
        process_response=lambda connection, request, response: statuses.append(
            response.status_code
        )
    )

    refused(shake, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert statuses == [426]


# --- unavailable, health, interrupted --------------------------------------------


def test_an_unavailable_server_answers_503() -> None:
    asked: list[Any] = []
    shake = Handshake(
        unavailable=accepting.CLOSING,
        process_request=lambda *args: asked.append(args),
    )

    refused(shake)

    assert shake.status == 503
    assert asked == []


def test_a_server_that_closes_during_process_request_answers_503() -> None:
    def process_request(connection: Any, request: Any) -> None:
        shake.unavailable = accepting.CLOSING

    shake = Handshake(process_request=process_request)

    refused(shake)

    assert shake.status == 503


@pytest.mark.parametrize("target", [b"/healthz", b"/healthz?probe=1"])
def test_a_health_check_is_answered_quietly(target: bytes) -> None:
    asked: list[Any] = []
    shake = Handshake(
        health="/healthz", process_request=lambda *args: asked.append(args)
    )

    result = refused(shake, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")

    assert shake.status == 200
    assert b"Content-Type: text/plain" in shake.written
    assert shake.written.endswith(b"\r\n\r\nOK\n")
    assert result.quiet
    assert asked == []


def test_a_health_check_says_when_the_server_is_closing() -> None:
    shake = Handshake(health="/healthz", unavailable=accepting.CLOSING)

    result = refused(shake, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")

    assert shake.status == 503
    assert result.quiet


def test_a_health_check_may_be_a_head_request() -> None:
    shake = Handshake(health="/healthz")

    refused(shake, b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")

    assert shake.status == 200
    assert b"Content-Length: 3\r\n" in shake.written
    assert shake.written.endswith(b"\r\n\r\n")


def test_other_paths_are_no_health_checks() -> None:
    shake = Handshake(health="/healthz")

    result = refused(shake, b"GET /healthzz HTTP/1.1\r\nHost: x\r\n\r\n")

    assert (shake.status, result.quiet) == (426, False)


def test_half_a_request_that_takes_too_long_is_answered_with_408() -> None:
    shake = Handshake()
    shake.feed(REQUEST)

    result, answer = shake.acceptor.interrupted()

    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert result.response is shake.connection.response
    assert "reading the request" in str(result.exc)


def test_silence_is_not_answered() -> None:
    shake = Handshake()

    result, answer = shake.acceptor.interrupted()

    assert (answer, result.response) == (b"", None)


def test_a_callback_that_takes_too_long_is_answered_with_503() -> None:
    shake = Handshake(process_request=lambda *args: None)
    shake.plan.send(REQUEST + b"\r\n")

    result, answer = shake.acceptor.interrupted()

    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert "answering the request" in str(result.exc)


@pytest.mark.parametrize("reads", [[], [REQUEST]])
def test_a_server_that_closes_answers_503_whatever_was_read(reads: Any) -> None:
    shake = Handshake()
    shake.feed(*reads)

    _, answer = shake.acceptor.interrupted(accepting.CLOSING)

    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert answer.endswith(b"\r\n\r\nServer is shutting down.\n")


def test_nothing_is_answered_twice() -> None:
    shake = Handshake()
    step = shake.plan.send(REQUEST + b"\r\n")
    assert isinstance(step, Write)

    result, answer = shake.acceptor.interrupted(accepting.CLOSING)

    assert (answer, result.response) == (b"", None)


# --- settings --------------------------------------------------------------------

MISTAKES = [
    ({"origins": "https://example.com"}, TypeError, r"\['https://example.com'\]"),
    ({"origins": [b"https://example.com"]}, TypeError, "origins has a bytes"),
    ({"subprotocols": "chat"}, TypeError, "subprotocols"),
    ({"extensions": ["permessage-deflate"]}, TypeError, "extensions has a str"),
    ({"process_request": "yes"}, TypeError, "process_request must be"),
    ({"process_response": 3}, TypeError, "process_response must be"),
    ({"select_subprotocol": "chat"}, TypeError, "select_subprotocol must be"),
    ({"server_header": 3}, TypeError, "server_header must be"),
    ({"server_header": "a\r\nb: c"}, ValueError, "Server"),
    ({"health": "healthz"}, ValueError, "health is 'healthz'"),
    ({"health": "/healthz?x=1"}, ValueError, "health is"),
    ({"health": b"/healthz"}, TypeError, "health must be"),
]


@pytest.mark.parametrize(("changes", "kind", "text"), MISTAKES)
def test_a_mistake_is_told_at_once(changes: Any, kind: type, text: str) -> None:
    with pytest.raises(kind, match=text):
        settings(**changes)


def test_settings_without_keywords_are_usable() -> None:
    assert ServerSettings().logger is logging.getLogger("longwire.server")
