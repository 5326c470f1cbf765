"""Wherever we repeat what a peer sent: one printable line, and not much of it.

Every class of exception, each fault that a head can have, the answers to them, what
leaves in a log, and what the command line prints. A new place belongs in these tables.
"""

from __future__ import annotations

import inspect
import logging

import pytest

from longwire import Close, CloseReport, errors
from longwire.http import fields, handshake
from longwire.http.extensions import confirm
from longwire.http.headers import Headers, UnsafeHeader
from longwire.http.heads import Request, RequestReader, Response, ResponseReader
from longwire.http.proxy import parse_proxy
from longwire.http.uri import parse_uri
from longwire.messages import Cause
from longwire.opening import retry as retrying
from longwire.websockets import exceptions as former

# Controls of C0 and C1, a line break, marks that reverse and hide, a lone surrogate.
EVIL = (
    "\x1b[31m\x1b]0;x\x07\r\n2001-01-01 ERROR forged\0\x7f\x85\x9b"
    "\u202e\u2066\u2028\u2029\u200b\u200f\ufeff\u3164\U000e0041\ud800\udce9 "
)
LONG = EVIL + "x" * 100_000
# The text around excerpts is ours, and short.
MOST = 800


def assert_harmless(text: str) -> None:
    assert text.isprintable(), ascii(text)
    assert "\u3164" not in text
    assert len(text) <= MOST


# --- exceptions ------------------------------------------------------------------

PROVISIONAL = Response(404, "Not Found", Headers())
# What stands for a parameter that is no text of a peer.
OTHERS = {
    "rcvd": Close(1011, EVIL),
    "sent": Close(1011, EVIL),
    "rcvd_then_sent": True,
    "report": None,
    "code": 1002,
    "status": 400,
    "max_fragments": 1,
    "max_pings": 1,
    "max_size": 1,
    "current_size": 1,
    "total": True,
    "limit": "message",
    "response": PROVISIONAL,
    "pos": 3,
    "status_code": 404,
    "headers": Headers(),
    "body": b"",
}


def made_of(kind: type[Exception], text: str) -> Exception:
    """Return an exception of ``kind`` that says ``text`` wherever it can."""
    args, kwargs = [], {}
    if not inspect.isfunction(kind.__init__):
        return kind(text)  # that of Exception, which takes anything
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            args.append(text)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[name] = OTHERS[name]
        elif parameter.kind is not parameter.VAR_KEYWORD:
            args.append(OTHERS.get(name, text))
    return kind(*args, **kwargs)


def all_kinds() -> list[type[Exception]]:
    """Every class of exception of longwire and of the documented API."""
    found, waiting = [], [errors.WebSocketException]
    while waiting:
        kind = waiting.pop()
        if kind in found or kind.__module__.startswith("longwire.rpc"):
            continue  # longwire.rpc has a table of its own
        found.append(kind)
        waiting += kind.__subclasses__()
    return sorted(found, key=lambda kind: kind.__name__)


def test_the_classes_are_all_there():
    names = {kind.__name__ for kind in all_kinds()}

    assert set(errors.__all__) <= names
    assert set(former.__all__) - {"WebSocketProtocolError"} <= names
    assert UnsafeHeader.__name__ in names


@pytest.mark.parametrize("text", [EVIL, LONG], ids=["hostile", "long"])
@pytest.mark.parametrize("kind", all_kinds(), ids=lambda kind: kind.__name__)
def test_the_text_of_an_exception_is_printable(kind, text):
    try:
        exc = made_of(kind, text)
    except TypeError:
        pytest.skip("abstract: only its subclasses are raised")

    # What is free text is cut where it is made, see below.
    assert str(exc).isprintable(), ascii(str(exc))


@pytest.mark.parametrize(
    "exc",
    [
        errors.InvalidMethod(LONG),
        errors.InvalidProtocol(LONG),
        errors.InvalidHeader(LONG),
        errors.InvalidHeader(LONG, ""),
        errors.InvalidHeader("X", LONG),
        errors.InvalidHeaderFormat("X", "expected token", LONG, 5),
        errors.InvalidHeaderValue("X", LONG),
        errors.InvalidOrigin(LONG),
        errors.InvalidUpgrade("Upgrade", LONG),
        errors.DuplicateParameter(LONG),
        errors.InvalidParameterName(LONG),
        errors.InvalidParameterValue(LONG, LONG),
        errors.InvalidParameterValue(LONG, None),
        errors.InvalidURI(LONG, LONG),
        errors.InvalidProxy(LONG, LONG),
        errors.ConnectionClosedError(Close(1011, LONG), Close(1011, LONG), True),
        former.RedirectHandshake(LONG),
        UnsafeHeader(LONG, LONG),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_what_an_exception_repeats_is_an_excerpt(exc):
    assert_harmless(str(exc))


def test_attributes_have_what_was_sent():
    exc = errors.InvalidOrigin(LONG)

    assert exc.value == LONG


# --- close codes and reports -----------------------------------------------------


def report(**changes):
    return CloseReport(
        **{"cause": Cause.PEER, "closed_by": None, "code": 1011, "reason": EVIL}
        | changes
    )


@pytest.mark.parametrize(
    "told",
    [
        Close(1011, EVIL),
        Close(4000, LONG),
        report(),
        report(rcvd=Close(1000, EVIL), detail=EVIL),
        report(sent=Close(1011, EVIL), detail=EVIL),
        report(detail=LONG),
        errors.ConnectionClosedOK(Close(1000, EVIL), Close(1000, EVIL), False),
    ],
    ids=lambda told: type(told).__name__,
)
def test_how_a_connection_ended_is_told_in_one_harmless_line(told):
    assert "forged" in str(told)
    assert_harmless(str(told))


# --- heads that cannot be read ---------------------------------------------------

WIRE = EVIL.replace("\r\n", "").replace("\0", "").encode(errors="surrogatepass")
FILL = b"x" * 3000
TEXT = WIRE + FILL
START = b"GET / HTTP/1.1\r\nHost: x\r\n"
OK = b"HTTP/1.1 200 OK\r\n"

REQUESTS = {
    "method": TEXT + b" / HTTP/1.1\r\n",
    "a method that is a token": b"G" * 3000 + b" / HTTP/1.1\r\n\r\n",
    "target": b"GET /" + TEXT + b" HTTP/1.1\r\n",
    "a target of ASCII": b"GET x" + FILL + b" HTTP/1.1\r\n",
    "an absolute target": b"GET http://[" + FILL + b"/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "version": b"GET / " + TEXT + b"\r\n",
    "a version of ASCII": b"GET / " + FILL + b"\r\n",
    "header line": START + TEXT + b"\r\n",
    "header name": START + TEXT + b": x\r\n",
    "header value": START + b"X: \x1b" + TEXT + b"\r\n",
    "bare CR": START + b"X: \r" + TEXT + b"\r\n",
    "bare LF": START + b"X: " + TEXT + b"\n",
    "Host": b"GET / HTTP/1.1\r\nHost: " + FILL + b"\xe2\x80\xae\r\n\r\n",
    "Content-Length": START + b"Content-Length: " + FILL + b"\xc2\x9b\r\n\r\n",
    "first byte": b"\x16\x03",
}
RESPONSES = {
    "status line": b"HTTP/1.1 " + TEXT + b"\r\n",
    "reason phrase": b"HTTP/1.1 200 \x1b" + TEXT + b"\r\n",
    "header line": OK + TEXT + b"\r\n",
    "Transfer-Encoding": OK + b"Transfer-Encoding: \xc2\x9b" + FILL + b"\r\n\r\n",
    "both lengths": OK
    + b"Content-Length: 1\r\nTransfer-Encoding: \xc2\x9b"
    + FILL
    + b"\r\n\r\n",
    "chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\n" + TEXT + b"\r\n",
    "chunk end": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\x1b\x9b",
    "first byte": b"\x15\x03",
}


def fault_of(reader, data: bytes) -> Exception:
    with pytest.raises(errors.InvalidHandshake) as caught:
        reader.feed(data)
    return caught.value


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_cannot_be_read_is_told_of_in_an_excerpt(name):
    reader = RequestReader(8192, 128, 16384)
    if name == "a method that is a token":
        with pytest.raises(errors.InvalidMethod) as caught:
            handshake.check_request(Request("/", Headers(), method="G" * 3000))
        fault = caught.value
    else:
        fault = fault_of(reader, REQUESTS[name])

    assert_harmless(str(fault))
    answer = handshake.refusal_for(fault)
    text = answer.body.decode()
    assert text.removesuffix("\n").isprintable()
    assert len(text) <= MOST


@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_that_cannot_be_read_is_told_of_in_an_excerpt(name):
    reader = ResponseReader(8192, 128, 16384, 1 << 20)

    assert_harmless(str(fault_of(reader, RESPONSES[name])))


# --- heads that say something else than they should ------------------------------

VALUE = TEXT.decode(errors="surrogateescape")
TOKENS = ", ".join(["t" * 50] * 60)


def request(**changes: str) -> Request:
    """Return a good request but for some of its fields."""
    good = {
        "Host": "x",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    headers = Headers()
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    for name, value in (good | changed).items():
        headers.set_insecure(name, value)
    return Request("/", headers)


def response(**changes: str) -> Response:
    headers = Headers()
    good = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    }
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    for name, value in (good | changed).items():
        headers.set_insecure(name, value)
    return Response(101, "", headers)


def refused_request(request: Request) -> None:
    handshake.check_request(request)
    handshake.check_origin(request, ["https://example.com"])
    values = request.headers.get_all("Sec-WebSocket-Extensions")
    for value in values:
        fields.parse_extension(value)
    offered = [
        name
        for value in request.headers.get_all("Sec-WebSocket-Protocol")
        for name in fields.parse_subprotocol(value)
    ]
    handshake.select_subprotocol(offered, ["chat"])


def refused_response(response: Response) -> None:
    handshake.check_response(response, "dGhlIHNhbXBsZSBub25jZQ==")
    handshake.confirm_subprotocol(response.headers, ["chat"])
    confirm(response.headers.get_all("Sec-WebSocket-Extensions"), [])


SAID = {
    "Upgrade": lambda text: refused_request(request(Upgrade=text)),
    "Connection": lambda text: refused_request(request(Connection=text)),
    "version": lambda text: refused_request(request(Sec_WebSocket_Version=text)),
    "key": lambda text: refused_request(request(Sec_WebSocket_Key=text)),
    "Origin": lambda text: refused_request(request(Origin=text)),
    "subprotocols": lambda text: refused_request(
        request(Origin="https://example.com", Sec_WebSocket_Protocol=text)
    ),
    "extensions": lambda text: refused_request(
        request(Origin="https://example.com", Sec_WebSocket_Extensions=text + "=")
    ),
    "Upgrade of a response": lambda text: refused_response(response(Upgrade=text)),
    "Connection of a response": lambda text: refused_response(
        response(Connection=text)
    ),
    "Accept": lambda text: refused_response(response(Sec_WebSocket_Accept=text)),
    "subprotocol of a response": lambda text: refused_response(
        response(Sec_WebSocket_Protocol=text)
    ),
    "extension of a response": lambda text: refused_response(
        response(Sec_WebSocket_Extensions=text)
    ),
    "credentials": fields.parse_authorization_basic,
}


@pytest.mark.parametrize(
    "text", [VALUE, TOKENS, "t" * 3000], ids=["evil", "many", "long"]
)
@pytest.mark.parametrize("name", SAID)
def test_a_field_that_is_refused_is_told_of_in_an_excerpt(name, text):
    with pytest.raises(errors.InvalidHandshake) as caught:
        SAID[name](text)

    assert_harmless(str(caught.value))
    body = handshake.refusal_for(caught.value).body.decode().removesuffix("\n")
    assert body.partition("\n")[0].isprintable()
    assert len(body) <= MOST


@pytest.mark.parametrize(
    "call",
    [
        lambda: parse_uri(LONG),
        lambda: parse_uri("ws://" + "x" * 9000),
        lambda: parse_uri("ws://host:" + "x" * 9000 + "\u202e"),
        lambda: parse_proxy(LONG),
        lambda: parse_proxy("http://" + "x" * 9000 + "\u202e"),
        lambda: Headers({LONG: "x"}),
        lambda: Headers({"X": LONG}),
        lambda: fields.validate_subprotocols([LONG]),
        lambda: fields.build_www_authenticate_basic(LONG),
    ],
)
def test_what_is_wrong_with_an_argument_is_told_in_an_excerpt(call):
    with pytest.raises((ValueError, errors.WebSocketException)) as caught:
        call()

    assert_harmless(str(caught.value))


# --- the log ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "exc",
    [
        OSError(LONG),
        errors.InvalidHeader("X", LONG),
        TimeoutError(),
        ValueError(EVIL),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_why_a_client_tries_again_is_told_in_one_harmless_line(exc, caplog):
    caplog.set_level(logging.INFO)
    retries = retrying.Retries(
        lambda exc: None, lambda: iter([0.0]), logging.getLogger("longwire.client")
    )

    retries.delay_after(exc)

    assert_harmless(caplog.messages[0])
