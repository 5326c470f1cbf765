import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.needs import needs

needs("msgspec")

import msgspec

from longwire.hub.errors import TooLarge
from longwire.hub.payloads import (
    MAX_DEPTH,
    Payload,
    Unreadable,
    check_headers,
    encode_value,
    key_of,
    pack,
    unpack,
)
from longwire.rpc.codecs import Json, MessagePack

JSON, MSGPACK = Json(), MessagePack()

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
    | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner)
    ),
)


@given(VALUES)
def test_every_value_comes_back_by_messagepack_and_can_be_written_as_json(value):
    payload = unpack(pack(Payload(*encode_value(value))))

    assert MSGPACK.decode(payload.data_in(MSGPACK)) == value
    JSON.decode(payload.data_in(JSON))


def test_values_are_json_unless_they_have_bytes_in_them():
    assert encode_value({"a": [1, "x", None]}) == ("json", b'{"a":[1,"x",null]}')
    assert encode_value(b"x")[0] == "msgpack"
    assert encode_value({"a": [{"b": bytearray(b"x")}]})[0] == "msgpack"


def test_what_msgspec_can_write_is_written():
    class Point(msgspec.Struct):
        x: int

    value = {"at": datetime.date(2026, 1, 2), "p": Point(1), "t": (1, 2), "s": {3}}

    assert encode_value(value) == (
        "json",
        b'{"at":"2026-01-02","p":{"x":1},"t":[1,2],"s":[3]}',
    )


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1 << 64, ValueError, "beyond 64 bits"),
        (-(1 << 63) - 1, ValueError, "beyond 64 bits"),
        ([10**400], ValueError, "beyond 64 bits"),
        ("\ud800", ValueError, "surrogate"),
        ({"\udc00": 1}, ValueError, "surrogate"),
        (object(), TypeError, "object"),
        (lambda: 1, TypeError, "function"),
        (msgspec.msgpack.Ext(1, b""), TypeError, "Ext"),
    ],
)
def test_what_not_every_client_can_read_is_refused(value, error, text):
    with pytest.raises(error, match=text):
        encode_value(value)


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_values_are_nested_64_levels_at_most():
    encode_value(nested(MAX_DEPTH))

    with pytest.raises(ValueError, match="deeper than 64 levels"):
        encode_value(nested(MAX_DEPTH + 1))
    with pytest.raises((ValueError, RecursionError)):
        encode_value(nested(100_000))


def test_data_has_a_limit_that_is_exact():
    assert encode_value("x" * 8, 10) == ("json", b'"xxxxxxxx"')

    with pytest.raises(TooLarge, match="data of 11 bytes; 10 are allowed"):
        encode_value("x" * 9, 10)


def test_headers_are_texts_and_have_a_limit():
    check_headers(None, 10)
    check_headers({"ab": "cdé"}, 6)

    with pytest.raises(TooLarge, match="headers of 6 bytes; 5 are allowed"):
        check_headers({"ab": "cdé"}, 5)
    with pytest.raises(TypeError, match="mapping of str to str"):
        check_headers({"a": 1}, 10)
    with pytest.raises(TypeError, match="not list"):
        check_headers([("a", "b")], 10)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_head_is_stored_with_the_value(codec):
    data = (JSON if codec == "json" else MSGPACK).encode([1])
    payload = Payload(codec, data, "ann", {"trace": "1"}, "k")

    assert unpack(pack(payload)) == payload
    assert key_of(pack(payload)) == "k"
    assert key_of(pack(Payload(codec, data))) is None


@given(st.binary())
def test_whatever_a_broker_has_is_read_or_unreadable(stored):
    try:
        payload = unpack(stored)
    except Unreadable:
        key_of(stored)
        return
    for codec in (JSON, MSGPACK):
        try:
            payload.data_in(codec)
        except Unreadable:
            pass


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"j",
        b"x1",
        b"\x80\x04K\x01.",  # a pickle
        b"J",
        b"J\x00",
        b"J\x00\x02{}",
        b"J\xff\xff{}1",
        b"J\x00\x02[]1",
        b'J\x00\x0a{"from":1}1',
    ],
)
def test_what_is_no_message_is_unreadable(stored):
    with pytest.raises(Unreadable):
        unpack(stored)


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        ("msgpack", b"\xc1"),
        ("msgpack", b"\xd4\x01\x00"),
        ("msgpack", b"\x91" * 10_000 + b"\x01"),
        ("json", b"[" * 10_000),
        ("json", b"1e999999"),
        ("json", b'"\\ud800"'),
        ("json", str(1 << 70).encode()),
    ],
)
def test_an_entry_that_cannot_be_written_another_way_is_unreadable(codec, data):
    other = MSGPACK if codec == "json" else JSON

    with pytest.raises(Unreadable):
        Payload(codec, data).data_in(other)
