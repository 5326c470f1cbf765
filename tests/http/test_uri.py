"""WebSocket URIs: RFC 6455 section 3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire import errors
from longwire.http.handshake import build_request
from longwire.http.heads import RequestReader
from longwire.http.uri import WebSocketURI, parse_uri

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("ws://localhost/", (False, "localhost", 80, "/", "")),
        ("wss://localhost/", (True, "localhost", 443, "/", "")),
        ("WSS://LOCALHOST", (True, "localhost", 443, "", "")),
        ("ws://localhost:8001/path", (False, "localhost", 8001, "/path", "")),
        ("ws://localhost/path?query", (False, "localhost", 80, "/path", "query")),
        ("ws://localhost?query", (False, "localhost", 80, "", "query")),
        ("ws://localhost:/a;b", (False, "localhost", 80, "/a;b", "")),
        ("ws://[::1]:81/", (False, "::1", 81, "/", "")),
        ("ws://[fe80::1%25eth0]/", (False, "fe80::1%eth0", 80, "/", "")),
        ("ws://127.0.0.1/", (False, "127.0.0.1", 80, "/", "")),
        ("ws://münchen.example/", (False, "xn--mnchen-3ya.example", 80, "/", "")),
        ("ws://a/ü?ö=€", (False, "a", 80, "/%C3%BC", "%C3%B6=%E2%82%AC")),
        # As a redirect's Location comes that is in Latin-1.
        ("ws://a/\udce9?\udcff", (False, "a", 80, "/%E9", "%FF")),
        ('ws://a/"<>"', (False, "a", 80, "/%22%3C%3E%22", "")),
        ("ws://a/%2F%20?a=b%26c", (False, "a", 80, "/%2F%20", "a=b%26c")),
    ],
)
def test_a_uri_is_taken_apart(uri, parts):
    assert parse_uri(uri) == WebSocketURI(*parts)


@pytest.mark.parametrize(
    ("user_info", "name", "password"),
    [
        ("user:pass", "user", "pass"),
        ("%C3%BCser:p%40%3Ass", "üser", "p@:ss"),
        ("üser:pass", "üser", "pass"),
        ("user:", "user", ""),
        (":pass", "", "pass"),
        ("a:b:c", "a", "b:c"),
        ("%FF:%FE", "\udcff", "\udcfe"),
    ],
)
def test_user_name_and_password_are_plain_text(user_info, name, password):
    uri = parse_uri(f"ws://{user_info}@localhost/")

    assert (uri.username, uri.password) == (name, password)
    assert uri.user_info == (name, password)
    assert uri.host == "localhost"


def test_a_uri_without_user_name_has_no_user_info():
    assert parse_uri("ws://localhost/").user_info is None


@pytest.mark.parametrize(
    ("uri", "resource_name"),
    [
        ("ws://a", "/"),
        ("ws://a/", "/"),
        ("ws://a?q", "/?q"),
        ("ws://a/b/c?d=e&f", "/b/c?d=e&f"),
        ("ws://a/?", "/"),
    ],
)
def test_the_resource_name_is_path_and_query(uri, resource_name):
    assert parse_uri(uri).resource_name == resource_name


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("http://localhost/", "scheme is 'http'; ws and wss are allowed"),
        ("https://localhost/", "scheme is 'https'"),
        ("localhost:8001", "scheme is"),
        ("//localhost/", "scheme is missing"),
        ("", "scheme is missing"),
        ("ws://localhost/#top", "fragment"),
        ("ws://localhost/#", "fragment"),
        ("ws:///path", "hostname isn't provided"),
        ("ws://", "hostname isn't provided"),
        ("ws://:80/", "hostname isn't provided"),
        ("ws://user@localhost/", "without password"),
        ("ws://a%3Ab:c@localhost/", "username contains a colon"),
        ("ws://localhost:0/", "port isn't a number from 1 to 65535"),
        ("ws://localhost:65536/", "port isn't a number"),
        ("ws://localhost:http/", "port isn't a number"),
        ("ws://localhost:-1/", "port isn't a number"),
        ("ws://[::1/", "invalid ipv6"),
        ("ws://[localhost]/", "isn't a valid URI"),
        ("ws://ü" + "x" * 64 + "/", "domain name"),
        ("ws://localhost/a b", "white space"),
        (" ws://localhost/", "white space"),
        ("ws://localhost/\r\nX: y", "white space"),
        ("ws://local\thost/", "white space"),
        ("ws://localhost/\ud800", "surrogates are no characters"),
    ],
)
def test_an_invalid_uri_is_refused_with_the_reason(uri, text):
    with pytest.raises(errors.InvalidURI, match=text):
        parse_uri(uri)


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs"]), max_size=20)


@given(TEXT, TEXT)
def test_whatever_path_and_query_the_request_can_be_read(path, query):
    uri = parse_uri(
        f"ws://example.com/{path}?{query}".replace("#", "").replace("\\", "")
    )
    request = build_request(uri, key="key")

    read = RequestReader(8192, 128, 65536).feed(request.serialize())

    assert read.path == uri.resource_name
