"""Whatever a program passes us, it is one part of one message on the wire.

Each parameter that is written into a request or a response, with line breaks and NUL in
it: refused at once, with words that can be printed, or written so that it is harmless.
"""

from __future__ import annotations

from typing import Any

import pytest

import longwire
from longwire import Headers, Request, Response, basic_auth
from longwire.errors import InvalidProxy, InvalidURI
from longwire.http import handshake
from longwire.http.headers import (
    build_authorization_basic,
    build_host,
    build_www_authenticate_basic,
)
from longwire.http.proxy import Proxy, build_connect
from longwire.http.uri import WebSocketURI, parse_uri
from longwire.opening.client_plan import connect_plan
from longwire.opening.client_settings import client_settings
from longwire.opening.server_plan import server_settings
from longwire.opening.steps import Write
from longwire.options import Keepalive, Limits, Timeouts
from tests.support.playing import OPEN, TUNNEL, Player

pytestmark = pytest.mark.once

EVIL = {
    "CR LF": "x\r\nX-Evil: 1",
    "LF": "x\nX-Evil: 1",
    "CR": "x\rX-Evil: 1",
    "two line breaks": "x\r\n\r\n<html>",
    "NUL": "x\0y",
    "ESC": "x\x1b[31m",
    "DEL": "x\x7f",
    "a lone surrogate": "x\ud800",
    "an escaped line break": "x\udc0d\udc0a",
}
ENCODED = {name: text for name, text in EVIL.items() if "surrogate" not in name}
HERE = WebSocketURI(False, "example.com", 80, "/", "")
OPTIONS: dict[str, Any] = {
    "limits": Limits(),
    "timeouts": Timeouts(),
    "keepalive": Keepalive(),
}


def fields(*pairs: tuple[str, str]) -> Headers:
    """Return headers that were told not to check."""
    headers = Headers()
    for name, value in pairs:
        headers.set_insecure(name, value)
    return headers


def request(uri: WebSocketURI = HERE, **changes: Any) -> bytes:
    return handshake.build_request(uri, key="k" * 22 + "==", **changes).serialize()


def asked(uri: str = "ws://user:pass@example.com/", **keywords: Any) -> bytes:
    """Return what a client with these settings writes."""
    settings = client_settings(
        uri, **OPTIONS, proxy=keywords.pop("proxy", None), **keywords
    )
    answers = [TUNNEL] if settings.proxy else []
    player = Player(*answers, OPEN)
    try:
        player.play(connect_plan(settings, random_bytes=bytes))
    finally:
        written = [step.data for step in player.steps if isinstance(step, Write)]
    return b"".join(written)


def answered(**keywords: Any) -> bytes:
    """Return the 101 of a server with these settings."""
    settings = server_settings(**OPTIONS, **keywords)
    server = settings.server_header
    return handshake.build_response("k" * 22 + "==", server=server).serialize()


def percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


# Each writes its text somewhere in a head; none makes it two lines.
WRITES = {
    "Request.path": lambda text: Request(f"/{text}", Headers()).serialize(),
    "Request.method": lambda text: Request("/", Headers(), text).serialize(),
    "Request.protocol": lambda text: Request(
        "/", Headers(), "GET", f"HTTP/1.1{text}"
    ).serialize(),
    "Request.headers, a value": lambda text: Request(
        "/", Headers([("X", text)])
    ).serialize(),
    "Request.headers, a name": lambda text: Request(
        "/", Headers([(text, "x")])
    ).serialize(),
    "Request.headers, unchecked": lambda text: Request(
        "/", fields(("X", text))
    ).serialize(),
    "Response.reason_phrase": lambda text: Response(404, text, Headers()).serialize(),
    "Response.reason_phrase alone": lambda text: Response(
        404, f"No {text}"
    ).serialize(),
    "Response.headers, a value": lambda text: Response(
        404, "", Headers({"Set-Cookie": text})
    ).serialize(),
    "Response.headers, a second value": lambda text: Response(
        404, "", Headers([("Set-Cookie", "a=1"), ("Set-Cookie", text)])
    ).serialize(),
    "Response.headers, a name": lambda text: Response(
        404, "", Headers({text: "x"})
    ).serialize(),
    "Response.headers, unchecked": lambda text: Response(
        404, "", fields(("X", text))
    ).serialize(),
    "Response.headers, a name unchecked": lambda text: Response(
        404, "", fields((text, "x"))
    ).serialize(),
    "Response.status_code": lambda text: Response(f"404 {text}", "").serialize(),  # type: ignore[arg-type]
    "Headers.update": lambda text: updated(text).serialize(),
    "Headers, keywords": lambda text: Headers(X=text).serialize(),
    "Headers of unchecked Headers": lambda text: Headers(
        fields(("X", text))
    ).serialize(),
    "Headers.setdefault": lambda text: set_by_default(text).serialize(),
    "a copy of unchecked Headers": lambda text: fields(("X", text)).copy().serialize(),
    "packed unchecked Headers": lambda text: packed(text).serialize(),
    "refuse, headers": lambda text: handshake.refuse(
        403, "no", headers={"X": text}
    ).serialize(),
    "refuse, date": lambda text: handshake.refuse(403, "no", date=text).serialize(),
    "refuse, status": lambda text: handshake.refuse(f"403 {text}", "no").serialize(),  # type: ignore[arg-type]
    "build_response, subprotocol": lambda text: handshake.build_response(
        "key", subprotocol=text
    ).serialize(),
    "build_response, extensions": lambda text: handshake.build_response(
        "key", extensions_header=text
    ).serialize(),
    "build_response, server": lambda text: handshake.build_response(
        "key", server=text
    ).serialize(),
    "build_request, key": lambda text: handshake.build_request(
        HERE, key=text
    ).serialize(),
    "build_request, origin": lambda text: request(origin=text),
    "build_request, subprotocols": lambda text: request(subprotocols=[text]),
    "build_request, extensions": lambda text: request(extensions_header=text),
    "build_request, user agent": lambda text: request(user_agent=text),
    "build_request, additional headers": lambda text: request(
        additional_headers=[("X", text)]
    ),
    "build_request, host": lambda text: request(WebSocketURI(False, text, 80, "/", "")),
    "build_request, path": lambda text: request(
        WebSocketURI(False, "x", 80, f"/{text}", "")
    ),
    "build_request, query": lambda text: request(
        WebSocketURI(False, "x", 80, "/", text)
    ),
    "build_request, user name": lambda text: request(
        WebSocketURI(False, "x", 80, "/", "", text, "secret")
    ),
    "build_request, password": lambda text: request(
        WebSocketURI(False, "x", 80, "/", "", "user", text)
    ),
    "build_connect, host": lambda text: build_connect(
        Proxy("http", "proxy", 80), WebSocketURI(False, text, 80, "/", ""), None
    ),
    "build_connect, user agent": lambda text: build_connect(
        Proxy("http", "proxy", 80), HERE, text
    ),
    "build_connect, user name": lambda text: build_connect(
        Proxy("http", "proxy", 80, text, "secret"), HERE, None
    ),
    "build_connect, password": lambda text: build_connect(
        Proxy("http", "proxy", 80, "user", text), HERE, None
    ),
    "build_authorization_basic": lambda text: build_authorization_basic(
        "user", text
    ).encode(),
    "build_www_authenticate_basic": lambda text: build_www_authenticate_basic(
        text
    ).encode(),
    "parse_uri, host": lambda text: request(parse_uri(f"ws://{text}/")),
    "parse_uri, path": lambda text: request(parse_uri(f"ws://x/{text}")),
    "parse_uri, query": lambda text: request(parse_uri(f"ws://x/?{text}")),
    "parse_uri, password": lambda text: request(parse_uri(f"ws://u:{text}@x/")),
    "connect, uri": lambda text: asked(f"ws://example.com/{text}"),
    "connect, origin": lambda text: asked(origin=text),
    "connect, subprotocols": lambda text: asked(subprotocols=[text]),
    "connect, additional_headers": lambda text: asked(additional_headers={"X": text}),
    "connect, additional_headers unchecked": lambda text: asked(
        additional_headers=fields(("X", text))
    ),
    "connect, a name in additional_headers": lambda text: asked(
        additional_headers={text: "x"}
    ),
    "connect, user_agent_header": lambda text: asked(user_agent_header=text),
    "connect, proxy": lambda text: asked(proxy=f"http://u:{text}@proxy:3128"),
    "connect, host": lambda text: asked(proxy="http://proxy", network={"host": text}),
    "serve, server_header": lambda text: answered(server_header=text),
    "serve, subprotocols": lambda text: answered(subprotocols=[text]),
    "basic_auth, realm": lambda text: (basic_auth(text, ("user", "pass")), b"")[1],
}
AT_ONCE = {
    "longwire.connect, origin": lambda text: longwire.connect("ws://x", origin=text),
    "longwire.connect, headers": lambda text: longwire.connect(
        "ws://x", additional_headers={"X": text}
    ),
    "longwire.connect, user agent": lambda text: longwire.connect(
        "ws://x", user_agent_header=text
    ),
    "longwire.connect, subprotocols": lambda text: longwire.connect(
        "ws://x", subprotocols=[text]
    ),
    "longwire.connect, proxy": lambda text: longwire.connect(
        "ws://x", proxy=f"http://user:{percent(text)}@proxy"
    ),
    "longwire.connect, uri": lambda text: longwire.connect(
        f"ws://user:{percent(text)}@x"
    ),
    "longwire.serve, server_header": lambda text: longwire.serve(
        print, server_header=text
    ),
    "longwire.serve, subprotocols": lambda text: longwire.serve(
        print, subprotocols=[text]
    ),
    "Response": lambda text: Response(404, f"No {text}"),
    "Request": lambda text: Request(f"/{text}", Headers()),
    "Headers": lambda text: Headers({"X": text}),
}


def updated(text: str) -> Headers:
    headers = Headers()
    headers.update({"X": text})
    return headers


def set_by_default(text: str) -> Headers:
    headers = Headers()
    headers.setdefault("X", text)
    return headers


def packed(text: str) -> Headers:
    headers = fields(("X", text))
    headers.pack()
    return headers


REFUSALS = (ValueError, TypeError, InvalidURI, InvalidProxy)


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("name", WRITES)
def test_a_text_stays_what_it_is_or_is_refused(name: str, evil: str) -> None:
    refusal = None
    try:
        written = WRITES[name](EVIL[evil])
    except REFUSALS as exc:
        refusal, written = exc, b""
    if refusal is not None:
        assert str(refusal).isprintable()

    for line in written.split(b"\r\n"):
        assert not {*b"\r\n\0"} & {*line}
        assert not line.startswith((b"X-Evil", b"<html>"))


@pytest.mark.parametrize("evil", ENCODED)
@pytest.mark.parametrize("name", AT_ONCE)
def test_a_control_character_is_refused_before_anything_is_sent(
    name: str, evil: str
) -> None:
    with pytest.raises(REFUSALS) as caught:
        AT_ONCE[name](EVIL[evil])

    assert str(caught.value).isprintable()


def test_the_tables_write_what_is_harmless() -> None:
    # Else a text could be "refused" for what has nothing to do with it.
    for name, write in WRITES.items():
        if name in NOT_ANY_TOKEN:
            continue
        assert write("token") is not None, name
    for make in AT_ONCE.values():
        make("token")


NOT_ANY_TOKEN = {"Request.protocol", "Response.status_code", "refuse, status"}


# --- what a response may be ------------------------------------------------------


@pytest.mark.parametrize("status", [100, 101, 200, 404, 599])
@pytest.mark.parametrize(
    ("phrase", "line"),
    [
        ("", b""),
        ("Not Found", b"Not Found"),
        ("a\tb", b"a\tb"),
        ("Zu groß", "Zu groß".encode()),
        ("\udcff", b"\xff"),
    ],
)
def test_a_status_line_has_three_digits_and_any_text(
    status: int, phrase: str, line: bytes
) -> None:
    written = Response(status, phrase, Headers()).serialize()

    assert written == b"HTTP/1.1 %d " % status + line + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"status_code": 99}, ValueError, "HTTP status 99; 100 to 599 are allowed"),
        ({"status_code": 600}, ValueError, "HTTP status 600; 100 to 599 are allowed"),
        ({"status_code": 4040}, ValueError, "HTTP status 4040; 100 to 599 are allowed"),
        ({"status_code": "404"}, TypeError, "status_code must be an int, not str"),
        ({"status_code": None}, TypeError, "status_code must be an int, not NoneType"),
        ({"reason_phrase": b"OK"}, TypeError, "reason_phrase must be a str, not bytes"),
        (
            {"reason_phrase": "a\nb"},
            ValueError,
            r"invalid reason phrase: 'a\nb'; "
            "text without control characters is allowed",
        ),
        ({"headers": {"X": "y"}}, TypeError, "headers must be Headers, not dict"),
        ({"headers": None}, TypeError, "headers must be Headers, not NoneType"),
        ({"body": "text"}, TypeError, "body must be bytes, not str"),
    ],
)
def test_a_response_says_what_is_allowed(
    changes: dict[str, Any], kind: type, text: str
) -> None:
    good = {
        "status_code": 200,
        "reason_phrase": "OK",
        "headers": Headers(),
        "body": b"",
    }

    with pytest.raises(kind) as made:
        Response(**{**good, **changes})
    response = Response(**good)  # type: ignore[arg-type]
    for name, value in changes.items():
        setattr(response, name, value)
    with pytest.raises(kind) as written:
        response.serialize()

    assert str(made.value) == str(written.value) == text


@pytest.mark.parametrize(
    ("status", "text", "kind", "words"),
    [
        (99, "no", ValueError, "HTTP status 99; 100 to 599 are allowed"),
        ("404", "no", TypeError, "status_code must be an int, not str"),
        (404, 404, TypeError, "text must be a str or bytes, not int"),
        (404, None, TypeError, "text must be a str or bytes, not NoneType"),
    ],
)
def test_respond_says_what_is_allowed(
    status: Any, text: Any, kind: type, words: str
) -> None:
    with pytest.raises(kind) as caught:
        longwire.ServerConnection.respond(None, status, text)  # type: ignore[arg-type]

    assert str(caught.value) == words


def test_a_name_of_the_peer_in_a_reason_phrase_does_not_split_the_response() -> None:
    path = "/\r\nSet-Cookie: evil=1\r\n\r\n<script>"

    with pytest.raises(ValueError, match="invalid reason phrase: 'No /"):
        Response(404, f"No {path}", Headers())


def test_a_host_has_its_zone_left_out() -> None:
    assert build_host("fe80::1%eth0\r\nX: y", 80, False) == "[fe80::1]"
