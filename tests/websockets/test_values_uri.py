"""URIs, in the shape of every edition."""

import pytest

from longwire.websockets.exceptions import InvalidURI
from longwire.websockets.uri import WebSocketURI, parse_uri


def test_a_uri_is_taken_apart():
    uri = parse_uri("wss://user:secret@example.com/chat?room=1")

    assert uri == WebSocketURI(
        True, "example.com", 443, "/chat", "room=1", "user", "secret"
    )
    assert uri.resource_name == "/chat?room=1"
    assert uri.user_info == ("user", "secret")


def test_a_uri_without_credentials_has_no_user_info():
    assert parse_uri("ws://localhost").user_info is None
    assert parse_uri("ws://localhost").resource_name == "/"


def test_credentials_are_plain_text():
    uri = parse_uri("ws://%C3%BCser:p%3Aw@localhost/")

    assert uri.user_info == ("üser", "p:w")


def test_a_uri_can_be_used_as_the_named_tuple_it_was():
    uri = parse_uri("ws://localhost:8765/chat?room=1")

    secure, host, port, resource_name = uri

    assert (secure, host, port, resource_name) == uri
    assert uri == (False, "localhost", 8765, "/chat?room=1")
    assert uri != (True, "localhost", 8765, "/chat?room=1")
    assert uri[1] == "localhost"
    assert len(uri) == 4


def test_a_uri_can_be_made_as_the_named_tuple_was():
    made = WebSocketURI(True, "localhost", 443, "/chat?room=1")

    assert made.resource_name == "/chat?room=1"
    assert tuple(made) == (True, "localhost", 443, "/chat?room=1")


def test_uris_with_other_credentials_are_not_equal():
    assert parse_uri("ws://a:b@h/") != parse_uri("ws://a:c@h/")


@pytest.mark.parametrize(
    "uri",
    ["http://localhost/", "ws:///path", "ws://localhost/#x", "ws://user@localhost/"],
)
def test_an_invalid_uri_is_refused(uri):
    with pytest.raises(InvalidURI) as caught:
        parse_uri(uri)

    assert caught.value.uri == uri
