"""Names of the wire are ASCII: nothing beyond it is taken for a letter of theirs.

`str.lower()` makes a "k" of U+212A, the sign of kelvin; other ways of comparing without
case, or of normalizing, make "s", "i" or digits of others.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import longwire
from longwire import errors
from longwire.http import handshake
from longwire.http.fields import is_valid_host, lower, split_host
from longwire.http.headers import (
    Headers,
    parse_authorization_basic,
    parse_connection,
    parse_extension,
    parse_subprotocol,
    parse_upgrade,
    validate_subprotocols,
)
from longwire.http.heads import Request, RequestReader, ResponseReader
from longwire.http.proxy import parse_proxy
from longwire.http.uri import parse_uri
from longwire.opening.client_settings import client_settings
from longwire.opening.server_plan import server_settings
from longwire.options import Keepalive, Limits, Timeouts

pytestmark = pytest.mark.once

KELVIN, LONG_S, DOTTED_I, FULL_K = "\u212a", "\u017f", "\u0130", "\uff4b"
ODD = {
    "kelvin": "\u212aelvin.com",
    "fullwidth": "\uff4belvin.com",
    "small letter dotless i": "kelv\u0131n.com",
    "capital i with dot": "kelv\u0130n.com",
    "ligature": "kelvin.c\u01c9m",
    "soft hyphen": "kelvin\xad.com",
    "zero width space": "kelvin\u200b.com",
    "ideographic full stop": "kelvin\u3002com",
    "combining accent": "kelvin\u0301.com",
    "a byte": "kelvin.com\udcff",
    "arabic digit": "kelvin.com:\u0668\u0660",
}


def request(origin: str | None = None, host: str = "kelvin.com", **more) -> Request:
    headers = Headers()
    for name, value in {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Origin": origin,
        **more,
    }.items():
        if value is not None:
            headers.set_insecure(name.replace("_", "-"), value)
    return Request("/", headers)


ALLOWING = {
    "same": "same",
    "same in a list": ["same"],
    "a value": ["http://kelvin.com"],
    "the value itself": [f"http://{name}" for name in ODD.values()],
    "a pattern": [re.compile(r"http://kelvin\.com", re.IGNORECASE)],
    "any pattern": [re.compile(r".*", re.DOTALL)],
}


@pytest.mark.parametrize("allowed", ALLOWING)
@pytest.mark.parametrize("name", ODD)
def test_an_origin_that_is_not_ascii_is_refused_whatever_is_allowed(name, allowed):
    asked = request(origin=f"http://{ODD[name]}")

    with pytest.raises(errors.InvalidOrigin) as caught:
        handshake.check_origin(asked, ALLOWING[allowed])

    assert caught.value.status == 403


@pytest.mark.parametrize("name", ODD)
def test_an_origin_that_is_not_ascii_is_refused_also_where_any_is_allowed(name):
    with pytest.raises(errors.InvalidOrigin) as caught:
        handshake.check_request(request(origin=f"http://{ODD[name]}"))

    assert caught.value.status == 403
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "origin", ["http://kelvin.com", "http://KELVIN.com:80", "null"]
)
def test_an_origin_of_ascii_is_read(origin):
    assert handshake.check_request(request(origin=origin))


@pytest.mark.parametrize("name", ODD)
def test_a_host_that_is_not_ascii_is_no_host(name):
    head = f"GET / HTTP/1.1\r\nHost: {ODD[name]}\r\n\r\n"

    assert not is_valid_host(ODD[name])
    with pytest.raises(errors.InvalidHeader, match="invalid Host header"):
        RequestReader(8192, 128, 16384).feed(head.encode(errors="surrogateescape"))


@pytest.mark.parametrize("name", ODD)
def test_a_host_that_is_not_ascii_has_no_same_origin(name):
    # For who reads requests in another way, and does not look at Host.
    asked = request(origin="http://kelvin.com", host=ODD[name])

    with pytest.raises(errors.InvalidOrigin):
        handshake.check_origin(asked, "same")


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("Example.COM", ("example.com", None)),
        ("example.com:", ("example.com", None)),
        ("example.com:0", ("example.com", 0)),
        ("example.com:08080", ("example.com", 8080)),
        ("[::1]:80", ("::1", 80)),
        ("[0:0::0:1]", ("::1", None)),
        ("[FE80::A]", ("fe80::a", None)),
        ("127.0.0.1", ("127.0.0.1", None)),
        ("[::g]", None),
        ("::1", None),
        ("a b", None),
        ("user@a", None),
        ("a:65536", None),
        ("a:-1", None),
        ("", None),
    ],
)
def test_a_host_is_split_as_it_is_compared(host, found):
    assert split_host(host) == found


def test_the_same_address_may_be_spelled_in_two_ways():
    asked = request(origin="http://[::1]:8765", host="[0:0:0:0:0:0:0:1]:8765")

    handshake.check_origin(asked, "same")


# --- tokens ----------------------------------------------------------------------

PARSERS = [parse_connection, parse_upgrade, parse_subprotocol, parse_extension]


@pytest.mark.parametrize("text", [f"{KELVIN}eep-alive", f"web{LONG_S}ocket", DOTTED_I])
@pytest.mark.parametrize("parse", PARSERS)
def test_a_token_is_ascii(parse, text):
    with pytest.raises(errors.InvalidHeaderFormat):
        parse(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": f"websoc{KELVIN}et"},
        {"Upgrade": f"web{LONG_S}ocket"},
        {"Connection": f"{KELVIN}eep-alive, Upgrade"},
        {"Sec_WebSocket_Version": "\uff11\uff13"},
        {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=\uff1d"},
        {"Sec_WebSocket_Key": f"{KELVIN}GhlIHNhbXBsZSBub25jZQ=="},
    ],
)
def test_a_request_of_look_alikes_is_refused(changes):
    with pytest.raises(errors.InvalidHandshake):
        handshake.check_request(request(**changes))


@pytest.mark.parametrize(
    "value", [f"chun{KELVIN}ed", f"CHUN{KELVIN}ED", "chun\uff4bed", f"chunked{LONG_S}"]
)
def test_a_transfer_coding_that_looks_like_chunked_is_not_read_as_that(value):
    head = f"HTTP/1.1 403 No\r\nTransfer-Encoding: {value}\r\n\r\n0\r\n\r\n"

    with pytest.raises(errors.InvalidHeader, match="Transfer-Encoding"):
        ResponseReader(8192, 128, 16384, 100).feed(head.encode())


@pytest.mark.parametrize("value", ["\u0661", "\uff11", "\xb2", "1\u0660"])
def test_a_length_in_other_digits_is_none(value):
    head = f"HTTP/1.1 403 No\r\nContent-Length: {value}\r\n\r\n"

    with pytest.raises(errors.InvalidHeader, match="Content-Length"):
        ResponseReader(8192, 128, 16384, 100).feed(head.encode())


def test_an_authentication_scheme_is_ascii():
    with pytest.raises(errors.InvalidHeader):
        parse_authorization_basic(f"ba{LONG_S}ic dTpw")


def test_subprotocols_are_compared_as_they_are():
    assert handshake.select_subprotocol(["kafka", "KAFKA"], ["KAFKA"]) == "KAFKA"
    with pytest.raises(errors.NegotiationError):
        handshake.select_subprotocol(["kafka"], ["Kafka"])
    with pytest.raises(ValueError, match="a token is needed"):
        validate_subprotocols([f"{KELVIN}afka"])


# --- names of fields -------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_names_of_fields_fold_ascii_alone(packed):
    headers = Headers({"X-Key": "1", "TOKEN": "2"})
    if packed:
        headers.pack()

    assert headers["x-KEY"] == headers["X-key"] == "1"
    assert headers.get_all("token") == ["2"]
    for name in (f"X-{KELVIN}ey", f"to{KELVIN}en", f"TO{KELVIN}EN"):
        assert name not in headers
        assert headers.get(name) is None
        assert headers.get_all(name) == []
        with pytest.raises(KeyError):
            del headers[name]
        with pytest.raises(ValueError, match="a token is needed"):
            headers[name] = "3"


def test_a_field_whose_name_is_not_ascii_is_no_field():
    head = f"GET / HTTP/1.1\r\nHost: a\r\nTo{KELVIN}en: x\r\n\r\n"

    with pytest.raises(errors.InvalidMessage, match="invalid header line"):
        RequestReader(8192, 128, 16384).feed(head.encode())


@pytest.mark.parametrize(
    ("text", "lowered"),
    [
        ("ABCxyz-[]", "abcxyz-[]"),
        (f"A{KELVIN}", f"a{KELVIN}"),
        ("ÄÖ", "ÄÖ"),
        ("İ", "İ"),
    ],
)
def test_only_letters_of_ascii_become_small(text, lowered):
    assert lower(text) == lowered


# --- addresses -------------------------------------------------------------------


@pytest.mark.parametrize("uri", [f"w{LONG_S}://a/", f"w{LONG_S}s://a/", "ｗｓ://a/"])
def test_a_scheme_is_ascii(uri):
    with pytest.raises(errors.InvalidURI, match="scheme is missing"):
        parse_uri(uri)
    with pytest.raises(errors.InvalidProxy, match="scheme is missing"):
        parse_proxy(uri.replace("w", "http", 1))


@pytest.mark.parametrize("uri", ["ws://a:\u0668\u0660/", "ws://a:８０/"])
def test_a_port_is_of_ascii_digits(uri):
    with pytest.raises(errors.InvalidURI):
        parse_uri(uri)


def test_a_host_name_beyond_ascii_is_what_dns_knows_it_by():
    # What browsers do too: the address is then that of the ASCII name, for everybody.
    assert parse_uri("ws://\u212aelvin.com/").host == "kelvin.com"
    assert parse_uri("ws://bücher.example/").host == "xn--bcher-kva.example"


OPTIONS = {"limits": Limits(), "timeouts": Timeouts(), "keepalive": Keepalive()}


def test_a_client_sends_no_origin_that_is_not_ascii():
    with pytest.raises(ValueError, match=f"origin is 'http://{KELVIN}"):
        client_settings("ws://a/", **OPTIONS, origin=f"http://{KELVIN}elvin.com")
    with pytest.raises(ValueError, match="ASCII is allowed"):
        client_settings("ws://a/", **OPTIONS, additional_headers={"Origin": "http://ü"})


def test_origins_may_still_be_listed_in_any_way():
    server_settings(**OPTIONS, origins=["http://kelvin.com", None, re.compile("x")])


# --- the sources -----------------------------------------------------------------

PACKAGE = Path(longwire.__file__).parent
WIRE = sorted((PACKAGE / "http").glob("*.py"))
WIRE += sorted((PACKAGE / "opening").glob("*.py"))


@pytest.mark.parametrize("path", WIRE, ids=lambda path: path.stem)
def test_nothing_of_the_wire_is_folded_in_another_way(path):
    calls = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("lower", "upper", "casefold", "title")
    ]

    # The words of an exception; the name of a field that was read, which is a token;
    # and the one function that looks at its argument first.
    allowed = {"str(exc).lower()", "text.lower()"}
    assert set(calls) <= allowed | (
        {"name.lower()"} if path.stem == "headers" else set()
    )
    assert ("text.lower()" in calls) == (path.stem == "fields")
