"""The opening handshake: RFC 6455 section 4, and the answer to each fault."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire import errors
from longwire.http import handshake
from longwire.http.headers import Headers
from longwire.http.heads import Request, Response
from longwire.http.uri import parse_uri

pytestmark = pytest.mark.once

# RFC 6455 section 1.3.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def changed(headers: Headers, changes: dict[str, str | list[str] | None]) -> Headers:
    """Return ``headers`` with some fields replaced, or removed by None."""
    headers = headers.copy()
    for name, value in changes.items():
        headers.pop(name, None)
        for each in [value] if isinstance(value, str) else value or []:
            headers[name] = each
    return headers


def request(method="GET", protocol="HTTP/1.1", **changes) -> Request:
    headers = Headers(
        {
            "Host": "example.com",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": KEY,
            "Sec-WebSocket-Version": "13",
        }
    )
    changes = {name.replace("_", "-"): value for name, value in changes.items()}
    return Request("/", changed(headers, changes), method, protocol)


def response(status=101, **changes) -> Response:
    headers = Headers(
        {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": ACCEPT,
        }
    )
    changes = {name.replace("_", "-"): value for name, value in changes.items()}
    return Response(status, "", changed(headers, changes))


# --- keys ------------------------------------------------------------------------


def test_the_example_of_rfc_6455_is_answered_as_there():
    assert handshake.accept_token(KEY) == ACCEPT


def test_a_key_is_sixteen_bytes_in_base64():
    assert handshake.make_key(b"the sample nonce") == KEY


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_key_is_made_of_sixteen_bytes_only(size):
    with pytest.raises(ValueError, match="16 are needed"):
        handshake.make_key(bytes(size))


@given(st.binary(min_size=16, max_size=16))
def test_every_key_made_is_accepted(random16):
    key = handshake.make_key(random16)

    assert handshake.check_request(request(Sec_WebSocket_Key=key)) == key


# --- requests --------------------------------------------------------------------


def test_a_request_for_a_websocket_gives_its_key():
    assert handshake.check_request(request()) == KEY


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": "WebSocket"},
        {"Upgrade": "h2c, websocket"},
        {"Upgrade": ["h2c", "websocket"]},
        {"Upgrade": ", websocket,"},
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": ["keep-alive", "UPGRADE"]},
        {"Origin": "https://example.com"},
    ],
)
def test_lists_are_read_over_all_their_lines_and_without_case(changes):
    assert handshake.check_request(request(**changes)) == KEY


@pytest.mark.parametrize(
    ("changes", "error", "status", "text"),
    [
        ({"method": "POST"}, errors.InvalidMethod, 405, "got POST"),
        ({"method": "HEAD"}, errors.InvalidMethod, 405, "got HEAD"),
        ({"method": "get"}, errors.InvalidMethod, 405, "got get"),
        ({"protocol": "HTTP/1.0"}, errors.InvalidProtocol, 505, "got HTTP/1.0"),
        ({"Upgrade": None}, errors.InvalidUpgrade, 426, "missing Upgrade header"),
        ({"Upgrade": "h2c"}, errors.InvalidUpgrade, 426, "invalid Upgrade header: h2c"),
        ({"Upgrade": "websocket/13"}, errors.InvalidUpgrade, 426, "websocket/13"),
        ({"Upgrade": ""}, errors.InvalidUpgrade, 426, "empty Upgrade header"),
        ({"Upgrade": "a b"}, errors.InvalidHeaderFormat, 400, "expected comma at 2"),
        ({"Connection": None}, errors.InvalidUpgrade, 426, "missing Connection header"),
        ({"Connection": ["close", "te"]}, errors.InvalidUpgrade, 426, "close, te"),
        ({"Sec-WebSocket-Version": None}, errors.InvalidHeader, 400, "missing"),
        (
            {"Sec-WebSocket-Version": ["13", "13"]},
            errors.InvalidHeader,
            400,
            "multiple values",
        ),
        ({"Sec-WebSocket-Version": "8"}, errors.InvalidHeaderValue, 426, "header: 8"),
        ({"Sec-WebSocket-Version": "13, 8"}, errors.InvalidHeaderValue, 426, "13, 8"),
        ({"Sec-WebSocket-Version": "013"}, errors.InvalidHeaderValue, 426, "013"),
        ({"Sec-WebSocket-Key": None}, errors.InvalidHeader, 400, "missing"),
        ({"Sec-WebSocket-Key": [KEY, KEY]}, errors.InvalidHeader, 400, "multiple"),
        (
            {"Origin": ["https://a", "https://a"]},
            errors.InvalidHeader,
            400,
            "multiple values",
        ),
    ],
)
def test_each_fault_of_a_request_has_its_status(changes, error, status, text):
    with pytest.raises(error, match=re.escape(text)) as caught:
        handshake.check_request(request(**changes))

    assert caught.value.status == status


@pytest.mark.parametrize(
    "key",
    [
        "AQIDBAUGBwgJCgsMDQ4PEC==",  # the example of RFC 6455 section 4.1, page 19
        "dGhlIHNhbXBsZSBub25jZR==",
        "AAAAAAAAAAAAAAAAAAAAAA==",
        "AAAAAAAAAAAAAAAAAAAAA/==",
        "++++////++++////++++//==",
    ],
)
def test_a_key_of_sixteen_bytes_may_have_its_last_bits_set(key):
    assert handshake.check_request(request(Sec_WebSocket_Key=key)) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZWQ=",
        "dGhlIHNhbXBsZSBub25jZQ==x",
        "dGhlIHNhbXBs ZSBub25jZQ==",
        "dGhl-HNhbXBsZSBub25jZQ==",
        "üGhlIHNhbXBsZSBub25jZQ==",
    ],
)
def test_a_key_that_is_not_sixteen_bytes_in_base64_is_refused(key):
    with pytest.raises(errors.InvalidHeaderValue) as caught:
        handshake.check_request(request(Sec_WebSocket_Key=key))

    assert caught.value.status == 400


# --- Origin ----------------------------------------------------------------------

SITE = "https://example.com"


@pytest.mark.parametrize(
    ("origin", "origins"),
    [
        (SITE, None),
        (None, None),
        (SITE, [SITE]),
        (SITE, ["https://other.example", SITE]),
        (SITE, [re.compile(r"https://.*\.com")]),
        (SITE, [None, re.compile(r"https://example\.com")]),
        (None, [None]),
        (None, [SITE, None]),
        (SITE, "same"),
        (None, "same"),
        (SITE, ["same"]),
        ("null", ["null"]),
    ],
)
def test_an_allowed_origin_passes(origin, origins):
    handshake.check_origin(request(Origin=origin), origins)


@pytest.mark.parametrize(
    ("origin", "origins"),
    [
        (SITE, []),
        (SITE, [None]),
        (SITE, ["https://example.com:443"]),
        (SITE, ["HTTPS://EXAMPLE.COM"]),
        ("https://example.com.evil.example", [SITE]),
        ("https://example.com.evil.example", [re.compile(r"https://example\.com")]),
        ("x https://example.com", [re.compile(r"https://example\.com")]),
        (None, []),
        (None, [SITE]),
        (None, [re.compile(".*")]),
        (None, ["same"]),
        ("null", "same"),
        ("https://other.example", "same"),
        ("https://example.com.evil.example", "same"),
        ("https://example.com@evil.example", "same"),
        ("https://user@example.com", "same"),
        ("https://example.com/", "same"),
        ("https://example.com:8443", "same"),
        ("example.com", "same"),
        ("file://example.com", "same"),
        ("https://", "same"),
        ("https://[::1", "same"),
        ("https://example.com:x", "same"),
        ("", "same"),
    ],
)
def test_another_origin_is_refused_with_403(origin, origins):
    with pytest.raises(errors.InvalidOrigin) as caught:
        handshake.check_origin(request(Origin=origin), origins)

    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("origin", "host", "secure", "same"),
    [
        ("http://example.com", "example.com", None, True),
        ("http://example.com", "example.com:80", None, True),
        ("https://example.com", "example.com:443", None, True),
        ("https://example.com:443", "example.com", None, True),
        ("https://EXAMPLE.com", "example.COM", None, True),
        ("http://localhost:8000", "localhost:8000", None, True),
        ("http://[::1]:81", "[::1]:81", None, True),
        ("http://example.com", "example.com:443", None, False),
        ("http://localhost:8000", "localhost:8001", None, False),
        ("http://localhost:8000", "localhost", None, False),
        ("https://example.com", "example.com", True, True),
        ("http://example.com", "example.com", False, True),
        ("http://example.com", "example.com", True, False),
        ("https://example.com", "example.com", False, False),
        ("https://example.com", None, None, False),
    ],
)
def test_the_same_origin_has_the_scheme_host_and_port(origin, host, secure, same):
    try:
        handshake.check_origin(request(Origin=origin, Host=host), "same", secure=secure)
        passed = True
    except errors.InvalidOrigin:
        passed = False

    assert passed is same


def test_two_origins_are_refused():
    with pytest.raises(errors.InvalidHeader, match="multiple values"):
        handshake.check_origin(request(Origin=[SITE, SITE]), [SITE])


def test_origins_must_be_a_list():
    with pytest.raises(TypeError, match="must be a list"):
        handshake.check_origin(request(Origin=SITE), SITE)


# --- subprotocols ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "supported", "chosen"),
    [
        ([], None, None),
        (["a"], None, None),
        (["a"], [], None),
        (["a"], ["a"], "a"),
        (["a", "b"], ["b", "a"], "b"),
        (["a", "b", "c"], ["x", "c", "b"], "c"),
    ],
)
def test_the_servers_order_of_preference_decides(offered, supported, chosen):
    assert handshake.select_subprotocol(offered, supported) == chosen


@pytest.mark.parametrize(
    ("offered", "text"),
    [
        ([], "missing subprotocol; expected one of a, b"),
        (["x", "A"], "unsupported subprotocols: x, A; expected one of a, b"),
    ],
)
def test_a_client_without_a_common_subprotocol_is_refused(offered, text):
    with pytest.raises(errors.NegotiationError) as caught:
        handshake.select_subprotocol(offered, ["a", "b"])

    assert (str(caught.value), caught.value.status) == (text, 400)


# --- 101 -------------------------------------------------------------------------


def test_the_response_of_rfc_6455_is_built_as_there():
    built = handshake.build_response(KEY, subprotocol="chat")

    assert built.serialize() == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Protocol: chat\r\n\r\n"
    )


def test_a_response_may_have_extensions_server_and_date():
    built = handshake.build_response(
        KEY,
        extensions_header="x; y",
        server="s/1",
        date="Sat, 21 Nov 2026 10:00:00 GMT",
    )

    assert built.headers["Sec-WebSocket-Extensions"] == "x; y"
    assert built.headers["Server"] == "s/1"
    assert built.headers["Date"] == "Sat, 21 Nov 2026 10:00:00 GMT"


def test_a_built_response_passes_the_clients_check():
    handshake.check_response(handshake.build_response(KEY), KEY)


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": "WebSocket"},
        {"Connection": "keep-alive, upgrade"},
        {"Content-Length": "0"},
        {"Content-Length": "5"},
        {"Content-Length": ["0", "5"]},
        {"Content-Length": "many"},
        {"Transfer-Encoding": "chunked"},
        {"Transfer-Encoding": "gzip", "Content-Length": "5"},
    ],
)
def test_a_response_may_be_written_otherwise(changes):
    handshake.check_response(response(**changes), KEY)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"status": 200}, errors.InvalidStatus, "HTTP 200"),
        ({"status": 426}, errors.InvalidStatus, "HTTP 426"),
        ({"Upgrade": None}, errors.InvalidUpgrade, "missing Upgrade header"),
        ({"Upgrade": "h2c"}, errors.InvalidUpgrade, "header: h2c"),
        ({"Upgrade": "websocket, h2c"}, errors.InvalidUpgrade, "websocket, h2c"),
        ({"Upgrade": ["websocket"] * 2}, errors.InvalidUpgrade, "websocket, websocket"),
        ({"Upgrade": "a b"}, errors.InvalidHeaderFormat, "expected comma"),
        ({"Connection": None}, errors.InvalidUpgrade, "missing Connection header"),
        ({"Connection": "close"}, errors.InvalidUpgrade, "header: close"),
        ({"Sec-WebSocket-Accept": None}, errors.InvalidHeader, "missing"),
        ({"Sec-WebSocket-Accept": [ACCEPT] * 2}, errors.InvalidHeader, "multiple"),
        ({"Sec-WebSocket-Accept": ACCEPT.lower()}, errors.InvalidHeaderValue, "s3ppl"),
        ({"Sec-WebSocket-Accept": f"{ACCEPT}="}, errors.InvalidHeaderValue, "=="),
    ],
)
def test_a_response_that_opens_no_websocket_is_refused(changes, error, text):
    with pytest.raises(error, match=text):
        handshake.check_response(response(**changes), KEY)


# --- refusing --------------------------------------------------------------------


def test_a_refusal_is_text_after_which_the_connection_is_closed():
    refusal = handshake.refuse(404, "Nothing häre\n")

    assert refusal.serialize() == (
        b"HTTP/1.1 404 Not Found\r\n"
        b"Connection: close\r\n"
        b"Content-Length: 14\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
        b"Nothing h\xc3\xa4re\n"
    )


def test_headers_of_a_refusal_are_added_or_replaced():
    refusal = handshake.refuse(
        401,
        "<p>Who?</p>",
        headers={"WWW-Authenticate": "Basic", "content-type": "text/html"},
        date="now",
    )

    assert refusal.headers["WWW-Authenticate"] == "Basic"
    assert refusal.headers["Content-Type"] == "text/html"
    assert refusal.headers["Date"] == "now"


def test_a_status_may_be_any_number_that_http_has():
    assert handshake.refuse(499, "").reason_phrase == ""
    for status in (99, 600, -1):
        with pytest.raises(ValueError, match="100 to 599"):
            handshake.refuse(status, "")


@pytest.mark.parametrize("status", [101, 204, 304])
def test_a_status_without_body_gets_none(status):
    refusal = handshake.refuse(status, "text")

    assert refusal.body == b""
    assert "Content-Length" not in refusal.headers


@pytest.mark.parametrize(
    ("exc", "status", "extra"),
    [
        (errors.RequestLineTooLong(8192), 414, {}),
        (errors.HeaderLineTooLong(8192), 431, {}),
        (errors.TooManyHeaders(128), 431, {}),
        (errors.InvalidMessage("bad line"), 400, {}),
        (errors.InvalidHeader("Host"), 400, {}),
        (errors.InvalidOrigin("https://evil.example"), 403, {}),
        (errors.InvalidMethod("POST"), 405, {"Allow": "GET"}),
        (
            errors.InvalidUpgrade("Upgrade"),
            426,
            {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
        ),
        (errors.NegotiationError("no subprotocol"), 400, {}),
        (errors.InvalidProtocol("HTTP/1.0"), 505, {}),
        (errors.InvalidHandshake("closing", status=503), 503, {}),
    ],
)
def test_each_fault_gets_the_right_answer(exc, status, extra):
    refusal = handshake.refusal_for(exc)

    assert refusal.status_code == status
    assert "close" in refusal.headers.get_all("Connection")
    assert refusal.headers["Content-Length"] == str(len(refusal.body))
    assert refusal.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert refusal.body.startswith(
        f"Failed to open a WebSocket connection: {exc}.\n".encode()
    )
    assert {name: refusal.headers[name] for name in extra} == extra


def test_another_version_is_told_ours():
    with pytest.raises(errors.InvalidHeaderValue) as caught:
        handshake.check_request(request(Sec_WebSocket_Version="8"))
    refusal = handshake.refusal_for(caught.value)

    assert refusal.status_code == 426
    assert refusal.headers["Sec-WebSocket-Version"] == "13"
    # RFC 9110 section 7.8: Upgrade is named in Connection.
    assert refusal.headers.get_all("Connection") == ["close", "Upgrade"]


def test_a_browser_is_told_what_this_address_is_for():
    with pytest.raises(errors.InvalidUpgrade) as caught:
        handshake.check_request(request(Upgrade=None, Connection="keep-alive"))

    assert b"for WebSocket clients" in handshake.refusal_for(caught.value).body


def test_our_own_faults_are_not_explained_to_the_peer():
    refusal = handshake.refusal_for(RuntimeError("secret"))

    assert refusal.status_code == 500
    assert b"secret" not in refusal.body


def test_what_is_quoted_of_a_request_is_bounded_and_has_bytes():
    exc = errors.InvalidHeaderValue("Sec-WebSocket-Key", "\udcff" * 8000)

    assert len(handshake.refusal_for(exc).body) < 5000


def test_a_refusal_has_the_date_it_is_given():
    assert handshake.refusal_for(ValueError(), date="now").headers["Date"] == "now"


# --- the client's request --------------------------------------------------------


def test_a_request_is_built_as_in_rfc_6455():
    built = handshake.build_request(
        parse_uri("ws://server.example.com/chat"),
        key=KEY,
        origin="http://example.com",
        subprotocols=["chat", "superchat"],
    )

    assert built.serialize() == (
        b"GET /chat HTTP/1.1\r\n"
        b"Host: server.example.com\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: chat, superchat\r\n"
        b"Origin: http://example.com\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("ws://example.com", "example.com"),
        ("wss://example.com:443", "example.com"),
        ("ws://example.com:443", "example.com:443"),
        ("ws://[::1]:81/", "[::1]:81"),
        ("ws://münchen.example/", "xn--mnchen-3ya.example"),
    ],
)
def test_host_is_that_of_the_uri(uri, host):
    built = handshake.build_request(parse_uri(uri), key=KEY)

    assert built.headers["Host"] == host


def test_user_name_and_password_of_the_uri_become_credentials():
    built = handshake.build_request(parse_uri("ws://me:p%40ss@example.com"), key=KEY)

    assert built.headers["Authorization"] == "Basic bWU6cEBzcw=="


def test_additional_headers_replace_what_is_theirs_to_set():
    built = handshake.build_request(
        parse_uri("ws://me:secret@example.com/"),
        key=KEY,
        origin="http://a",
        user_agent="longwire",
        extensions_header="x",
        additional_headers=[
            ("host", "b"),
            ("Origin", "http://b"),
            ("Authorization", "Bearer b"),
            ("User-Agent", "b"),
            ("Cookie", "a"),
            ("Cookie", "b"),
        ],
    )

    for name, value in [
        ("Host", "b"),
        ("Origin", "http://b"),
        ("Authorization", "Bearer b"),
        ("User-Agent", "b"),
        ("Sec-WebSocket-Extensions", "x"),
    ]:
        assert built.headers.get_all(name) == [value]
    assert built.headers.get_all("Cookie") == ["a", "b"]


@pytest.mark.parametrize(
    "name",
    [
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Key",
        "sec-websocket-version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Transfer-Encoding",
    ],
)
def test_additional_headers_cannot_change_the_handshake(name):
    with pytest.raises(ValueError, match="additional_headers has"):
        handshake.build_request(
            parse_uri("ws://a"), key=KEY, additional_headers={name: "x"}
        )


def test_a_built_request_passes_the_servers_check():
    built = handshake.build_request(parse_uri("ws://example.com/"), key=KEY)

    assert handshake.check_request(built) == KEY
