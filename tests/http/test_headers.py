"""The Headers mapping."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire import errors
from longwire.http.headers import Headers, MultipleValuesError

pytestmark = pytest.mark.once


@pytest.fixture
def headers() -> Headers:
    return Headers([("Connection", "Upgrade"), ("Server", "longwire")])


@pytest.fixture
def cookies() -> Headers:
    return Headers([("Set-Cookie", "a=b"), ("Server", "x"), ("set-cookie", "c=d")])


def test_names_are_compared_without_case(headers):
    assert headers["SERVER"] == headers["server"] == "longwire"
    assert "connection" in headers
    assert "Upgrade" not in headers


def test_a_missing_header_is_a_key_error(headers):
    with pytest.raises(KeyError):
        headers["Upgrade"]
    with pytest.raises(KeyError):
        del headers["Upgrade"]
    assert headers.get("Upgrade") is None


def test_what_is_no_name_is_not_in_headers(headers):
    assert 5 not in headers


def test_setting_a_header_adds_a_value(headers):
    headers["server"] = "other"

    assert headers.get_all("Server") == ["longwire", "other"]


def test_several_values_cannot_be_read_as_one(cookies):
    with pytest.raises(MultipleValuesError):
        cookies["Set-Cookie"]
    with pytest.raises(MultipleValuesError):
        cookies.get("set-cookie")


def test_all_values_of_a_missing_header_are_none(headers):
    assert headers.get_all("Upgrade") == []


def test_the_list_of_values_is_a_copy(cookies):
    cookies.get_all("Set-Cookie").clear()

    assert cookies.get_all("Set-Cookie") == ["a=b", "c=d"]


def test_deleting_removes_all_values(cookies):
    del cookies["SET-COOKIE"]

    assert cookies == Headers(Server="x")
    assert list(cookies.raw_items()) == [("Server", "x")]


def test_iterating_gives_distinct_names_in_lower_case(cookies):
    assert list(cookies) == ["set-cookie", "server"]
    assert len(cookies) == 2


def test_raw_items_are_the_fields_as_they_were_written(cookies):
    assert list(cookies.raw_items()) == [
        ("Set-Cookie", "a=b"),
        ("Server", "x"),
        ("set-cookie", "c=d"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        {"A": "1", "B": "2"},
        [("A", "1"), ("B", "2")],
        Headers([("A", "1"), ("B", "2")]),
        iter([("a", "1"), ("b", "2")]),
    ],
)
def test_headers_are_made_like_a_dict(source):
    assert Headers(source) == Headers(A="1", B="2")


def test_headers_made_of_headers_keep_every_value(cookies):
    assert list(Headers(cookies).raw_items()) == list(cookies.raw_items())


def test_headers_take_one_source_only():
    with pytest.raises(TypeError):
        Headers({}, {})


def test_updating_adds_to_what_is_there(headers):
    headers.update({"Server": "other"}, Date="today")

    assert headers.get_all("Server") == ["longwire", "other"]
    assert headers["Date"] == "today"


def test_updating_with_itself_ends(headers):
    headers.update(headers)

    assert headers.get_all("Server") == ["longwire", "longwire"]


def test_setdefault_leaves_what_is_there(headers):
    assert headers.setdefault("server", "other") == "longwire"
    assert headers.setdefault("Date", "today") == "today"


def test_a_copy_is_independent(headers):
    other = headers.copy()
    also = copy.copy(headers)
    other["Date"] = "today"

    assert "Date" not in headers
    assert other != headers
    assert also == headers


def test_clearing_removes_everything(headers):
    headers.clear()

    assert len(headers) == 0
    assert str(headers) == "\r\n"


def test_equality_ignores_the_case_and_order_of_names(headers):
    assert headers == Headers([("server", "longwire"), ("connection", "Upgrade")])
    assert headers != Headers([("Server", "longwire")])
    assert headers != {"connection": "Upgrade", "server": "longwire"}


def test_the_wire_form_ends_with_an_empty_line(headers):
    assert str(headers) == "Connection: Upgrade\r\nServer: longwire\r\n\r\n"
    assert headers.serialize() == b"Connection: Upgrade\r\nServer: longwire\r\n\r\n"


def test_the_representation_shows_all_fields(headers):
    assert repr(headers) == (
        "Headers([('Connection', 'Upgrade'), ('Server', 'longwire')])"
    )


def test_values_go_out_as_utf_8_or_as_the_bytes_they_were():
    headers = Headers(A="ü", B="\udcff")

    assert headers.serialize() == b"A: \xc3\xbc\r\nB: \xff\r\n\r\n"


@pytest.mark.parametrize(
    "value", ["a\r\nB: c", "a\rb", "a\nb", "\0", "\x1b[0m", "\x7f"]
)
def test_values_with_control_characters_are_refused(headers, value):
    with pytest.raises(ValueError, match="control character"):
        headers["X"] = value
    with pytest.raises(ValueError, match="control character"):
        Headers(X=value)
    assert "X" not in headers


def test_the_refusal_of_a_value_is_the_documented_one_too(headers):
    with pytest.raises(errors.InvalidHeaderValue) as caught:
        headers["X"] = "a\r\nB: c"

    assert (caught.value.name, caught.value.value) == ("X", "a\r\nB: c")


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ü", " a", "a\0"])
def test_names_that_are_no_tokens_are_refused(headers, name):
    with pytest.raises(ValueError, match="invalid header name"):
        headers[name] = "x"


def test_values_that_have_no_bytes_are_refused(headers):
    with pytest.raises(ValueError):
        headers["X"] = "\ud800"


@pytest.mark.parametrize(
    ("name", "value"), [("X", 5), (5, "x"), ("X", b"x"), ("X", None)]
)
def test_names_and_values_are_text(headers, name, value):
    with pytest.raises(TypeError, match="must be str"):
        headers[name] = value


def test_a_tab_is_allowed_in_a_value(headers):
    headers["X"] = "a\tb"

    assert headers["X"] == "a\tb"


def test_set_insecure_checks_nothing(headers):
    headers.set_insecure("X", "a\r\nb")

    assert headers["x"] == "a\r\nb"


def test_headers_cannot_be_hashed(headers):
    with pytest.raises(TypeError):
        hash(headers)


@given(st.lists(st.tuples(st.sampled_from("aAbBcC"), st.text("xyz")), max_size=12))
def test_both_views_of_the_fields_agree(fields):
    headers = Headers(fields)

    assert list(headers.raw_items()) == fields
    for name in "abc":
        values = [value for key, value in fields if key.lower() == name]
        assert headers.get_all(name) == values
        assert (name in headers) == bool(values)
