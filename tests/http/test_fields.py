"""Reading and writing the values of header fields: RFC 9110 section 5.6."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire import errors
from longwire.http.headers import (
    build_authorization_basic,
    build_extension,
    build_host,
    build_subprotocol,
    build_www_authenticate_basic,
    parse_authorization_basic,
    parse_connection,
    parse_extension,
    parse_subprotocol,
    parse_upgrade,
    validate_subprotocols,
)

pytestmark = pytest.mark.once

TOKENS = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=10)


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("Upgrade", ["Upgrade"]),
        ("keep-alive, Upgrade", ["keep-alive", "Upgrade"]),
        ("a,b\t,\tc", ["a", "b", "c"]),
        (",, a ,,\t, b,", ["a", "b"]),
        ("", []),
        (" , ", []),
    ],
)
def test_lists_are_read_and_empty_elements_ignored(value, options):
    assert parse_connection(value) == options
    assert parse_subprotocol(value) == options
    assert parse_upgrade(value) == options


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "expected comma at 2 in a b"),
        ("a; b", "expected comma at 1 in a; b"),
        ("a, (", "expected token at 3 in a, ("),
        ('"a"', 'expected token at 0 in "a"'),
        ("ü", "expected token at 0 in ü"),
    ],
)
@pytest.mark.parametrize(
    ("parse", "name"),
    [
        (parse_connection, "Connection"),
        (parse_upgrade, "Upgrade"),
        (parse_subprotocol, "Sec-WebSocket-Protocol"),
    ],
)
def test_lists_that_are_none_are_refused_with_the_place(parse, name, value, text):
    with pytest.raises(errors.InvalidHeaderFormat) as caught:
        parse(value)

    assert str(caught.value) == f"invalid {name} header: {text}"


def test_a_protocol_to_upgrade_to_may_have_a_version():
    assert parse_upgrade("HTTP/2.0, websocket") == ["HTTP/2.0", "websocket"]


@pytest.mark.parametrize("value", ["websocket/", "/1", "a/b/c", "a /b"])
def test_malformed_protocols_are_refused(value):
    with pytest.raises(errors.InvalidHeaderFormat):
        parse_upgrade(value)


@pytest.mark.parametrize(
    ("value", "extensions"),
    [
        ("foo", [("foo", [])]),
        ("foo, bar", [("foo", []), ("bar", [])]),
        ("foo; name", [("foo", [("name", None)])]),
        ("foo;a=1 ; b = 2", [("foo", [("a", "1"), ("b", "2")])]),
        ('foo; a="1"; b="x\\y"', [("foo", [("a", "1"), ("b", "xy")])]),
        ("foo; a=1; a=2, foo", [("foo", [("a", "1"), ("a", "2")]), ("foo", [])]),
        (", foo ,, bar; x,", [("foo", []), ("bar", [("x", None)])]),
        ("", []),
    ],
)
def test_extensions_are_read_with_their_parameters(value, extensions):
    assert parse_extension(value) == extensions


@pytest.mark.parametrize(
    "value",
    [
        "foo bar",
        "foo;",
        "foo; ;",
        "foo; =1",
        "foo; a=",
        "foo; a=, bar",
        'foo; a="1',
        'foo; a="',
        'foo; a=""',
        'foo; a="b c"',
        'foo; a="b,c"',
        'foo; a="b"c',
        'foo; a="b\\"',
        'foo; a="b\\ü"',
        "foo; a=b=c",
        "foo=1",
        "föö",
    ],
)
def test_malformed_extensions_are_refused(value):
    with pytest.raises(errors.InvalidHeaderFormat):
        parse_extension(value)


PARAMETERS = st.lists(st.tuples(TOKENS, st.none() | TOKENS), max_size=4)


@given(st.lists(st.tuples(TOKENS, PARAMETERS), max_size=4))
def test_extensions_are_read_as_they_were_written(extensions):
    assert parse_extension(build_extension(extensions)) == extensions


@given(st.lists(TOKENS, max_size=5))
def test_subprotocols_are_read_as_they_were_written(names):
    validate_subprotocols(names)

    assert parse_subprotocol(build_subprotocol(names)) == names


@given(st.text('ab ,;="\\\t/', max_size=30))
def test_any_value_is_read_or_refused(value):
    for parse in (parse_connection, parse_upgrade, parse_subprotocol, parse_extension):
        try:
            items = parse(value)
        except errors.InvalidHeaderFormat:
            continue
        assert isinstance(items, list)


@pytest.mark.parametrize("names", ["chat", b"chat", [b"chat"], [5]])
def test_subprotocols_must_be_a_list_of_str(names):
    with pytest.raises(TypeError, match="subprotocols must be a list of str"):
        validate_subprotocols(names)


@pytest.mark.parametrize("name", ["", "a b", "a,b", "ü", "a\n"])
def test_subprotocols_must_be_tokens(name):
    with pytest.raises(ValueError, match="invalid subprotocol"):
        validate_subprotocols(["chat", name])


# --- Basic authentication --------------------------------------------------------


def test_the_example_of_rfc_7617_is_read_and_written():
    value = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="

    assert build_authorization_basic("Aladdin", "open sesame") == value
    assert parse_authorization_basic(value) == ("Aladdin", "open sesame")


def test_credentials_are_utf_8():
    # RFC 7617 section 2.1: "test" and "123£".
    assert build_authorization_basic("test", "123£") == "Basic dGVzdDoxMjPCow=="


# RFC 7617 section 2: no control characters, no colon in a user name.
CREDENTIAL = st.characters(
    min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=["Cs"]
)


@given(st.text(CREDENTIAL.filter(":".__ne__)), st.text(CREDENTIAL))
def test_credentials_are_read_as_they_were_written(username, password):
    value = build_authorization_basic(username, password)

    assert parse_authorization_basic(value) == (username, password)


@pytest.mark.parametrize("text", ["\0", "a\r\nb", "\t", "\x7f"])
def test_credentials_have_no_control_characters(text):
    with pytest.raises(ValueError, match="control characters"):
        build_authorization_basic(text, "secret")
    with pytest.raises(ValueError, match="control characters"):
        build_authorization_basic("user", text)
    for pair in (f"{text}:secret", f"user:{text}"):
        value = f"Basic {base64.b64encode(pair.encode()).decode()}"
        with pytest.raises(errors.InvalidHeaderValue, match="control character"):
            parse_authorization_basic(value)


def test_credentials_that_are_not_utf_8_come_through():
    value = "Basic " + base64.b64encode(b"\xff:\xfe").decode()

    assert parse_authorization_basic(value) == ("\udcff", "\udcfe")
    assert build_authorization_basic("\udcff", "\udcfe") == value


def test_only_the_first_colon_ends_the_user_name():
    value = "basic   " + base64.b64encode(b"a:b:c").decode()

    assert parse_authorization_basic(value) == ("a", "b:c")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Bearer abc", "unsupported scheme: Bearer"),
        ("Digest username=x", "unsupported scheme: Digest"),
        ("Basic", "expected space"),
        ("Basic ", "expected base64"),
        ("Basic\tYTpi", "expected space"),
        ("Basic YTpi YTpi", "expected base64"),
        ("Basic ====", "expected base64"),
        ("Basic YTpiY", "expected base64-encoded"),
        ("Basic a-_~", "expected base64-encoded"),
        ("Basic YWI=", "expected username:password"),
        ("", "expected token"),
    ],
)
def test_other_credentials_are_refused(value, text):
    with pytest.raises(errors.InvalidHeader, match=text):
        parse_authorization_basic(value)


def test_a_colon_in_a_user_name_cannot_be_written():
    with pytest.raises(ValueError, match="colon"):
        build_authorization_basic("a:b", "c")


@pytest.mark.parametrize(
    ("realm", "value"),
    [
        ("", 'Basic realm="", charset="UTF-8"'),
        ("my site", 'Basic realm="my site", charset="UTF-8"'),
        ('a"b\\c', 'Basic realm="a\\"b\\\\c", charset="UTF-8"'),
    ],
)
def test_the_realm_is_quoted(realm, value):
    assert build_www_authenticate_basic(realm) == value


@pytest.mark.parametrize("realm", ["ü", "a\r\nb", "\0"])
def test_a_realm_is_printable_ascii(realm):
    with pytest.raises(ValueError, match="not printable ASCII"):
        build_www_authenticate_basic(realm)


# --- Host ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "port", "secure", "value"),
    [
        ("a", 80, False, "a"),
        ("a", 443, True, "a"),
        ("a", 443, False, "a:443"),
        ("a", 80, True, "a:80"),
        ("::1", 80, False, "[::1]"),
        ("::1", 81, False, "[::1]:81"),
        ("fe80::1%eth0", 81, False, "[fe80::1]:81"),
    ],
)
def test_a_host_shows_its_port_unless_it_is_the_default(host, port, secure, value):
    assert build_host(host, port, secure) == value


def test_a_host_can_show_its_port_always():
    assert build_host("a", 443, True, always_include_port=True) == "a:443"
