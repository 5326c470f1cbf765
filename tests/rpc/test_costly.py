"""Frames made to be read slowly, or not at all: no wire takes long, and none raises."""

from __future__ import annotations

import dataclasses
import decimal
import functools
import json
import math
import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.needs import needs

needs("msgspec")  # which is not there on every Python

import msgspec

from longwire import rpc
from longwire.rpc import costly
from longwire.rpc.codecs import UNREADABLE, Json, MessagePack
from longwire.rpc.envelope import Bad, Call, JsonRpc, Wire
from longwire.rpc.routes import Caller
from longwire.rpc.signatures import Signature
from longwire.rpc.wsrpc import Wsrpc, Wsrpc1

pytestmark = pytest.mark.once

WIRES: list[Wire] = [
    JsonRpc(Json()),
    JsonRpc(MessagePack()),
    Wsrpc(Json()),
    Wsrpc1(Json()),
]
TEXT = [wire for wire in WIRES if wire.codec.is_text]
every_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
every_text = pytest.mark.parametrize("wire", TEXT, ids=lambda wire: wire.name)

SIZE = 256 * 1024


def filled(part: str, size: int = SIZE) -> str:
    """A JSON array of ``part`` as often as ``size`` has room for it."""
    return "[" + ",".join([part] * (size // (len(part) + 1))) + "]"


def seconds(work: Callable[[], object], times: int = 2) -> float:
    """The CPU time of ``work``, the best of so many times."""
    best = math.inf
    for _ in range(times):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return best


# --- time ------------------------------------------------------------------------

BENIGN = {
    "numbers": filled("1.5"),
    "texts": filled('"hello world"'),
    "objects": filled('{"item":"tea","count":1}'),
}
COSTLY = {
    "near the end of the range": filled("1e308"),
    "with a sign": filled("1E+308"),
    "with a fraction": filled("1.5e300"),
    "the largest": filled("1.7976931348623157e308"),
    "with leading zeros": filled("1e0000308"),
    "an exponent of many zeros": filled("1e" + "0" * 200 + "308"),
    "the smallest": filled("5e-324"),
    "between the two smallest": filled("2.4703282292062327208e-324"),
    "denormals": filled("2.2250738585072011e-308"),
    "between two": filled("9007199254740993.0"),
    "1e23": filled("1e23"),
    "long mantissas": filled("0." + "123456789" * 100),
    "zeros before an end": filled("0." + "0" * 300 + "1"),
    "long integers": filled("1" * 4300),
    "one integer": "[" + "9" * (SIZE - 2) + "]",
    "one fraction": "[0." + "9" * (SIZE - 4) + "]",
    "nested lists": "[" * (SIZE // 2) + "]" * (SIZE // 2),
    "nested objects": '{"a":' * (SIZE // 6) + "1" + "}" * (SIZE // 6),
    "empty lists": filled("[]"),
    "empty objects": filled("{}"),
    "many keys": "{" + ",".join(f'"{n}":0' for n in range(SIZE // 9)) + "}",
    "escapes": '["' + "\\u0041" * (SIZE // 6 - 1) + '"]',
    "surrogate pairs": '["' + "\\ud83d\\ude00" * (SIZE // 12 - 1) + '"]',
    "quotes": '["' + '\\"' * (SIZE // 2 - 2) + '"]',
    "spaces": "[1" + " " * (SIZE - 3) + "]",
    "an emoji in every part": filled('"\U0001f600"', SIZE // 2),
    "what looks like exponents": '["' + "0e000" * (SIZE // 5 - 1) + '"]',
    "what looks like numbers": filled('"1e308"'),
}

PLACES = {
    "params": lambda part, name: {"params": part},
    "id": lambda part, name: {"id": part, "serial": part},
    "method": lambda part, name: {"method": part, "call": part},
    "jsonrpc": lambda part, name: {"jsonrpc": part},
    "stream": lambda part, name: {"stream": part},
    "error": lambda part, name: {"error": part, "method": None, "type": "error"},
    "result": lambda part, name: {"result": part, "method": None},
    "of no name": lambda part, name: {"something": part},
}


def framed(part: str, place: str) -> str:
    """A call with JSON ``part`` in it somewhere, on all wires of text at once."""
    members: dict[str, str | None] = {
        "jsonrpc": '"2.0"',
        "id": "1",
        "serial": "1",
        "method": '"x"',
        "call": '"x"',
        **PLACES[place](part, place),
    }
    inner = (f'"{key}":{value}' for key, value in members.items() if value is not None)
    return "{" + ",".join(inner) + "}"


def taken(wire: Wire, frame: str | bytes, function: Any = None) -> None:
    """Read a frame, and the arguments or whatever else of it somebody wants."""
    signature = Signature(function or variadic, bound=False, peer_type=Caller)
    for message in wire.read(frame):
        repr(message)
        if isinstance(message, Call):
            try:
                signature.bind(message.params, wire.codec, None)
            except (rpc.InvalidParams, rpc.InvalidRequest):
                pass
        elif hasattr(message, "error") and not isinstance(message, Bad):
            wire.error_of(message)


def variadic(*values, **named):  # type: ignore[no-untyped-def]
    pass


@functools.cache
def benign_seconds(wire: Wire) -> float:
    return max(
        seconds(functools.partial(taken, wire, framed(text, "params")))
        for text in BENIGN.values()
    )


@every_text
@pytest.mark.parametrize("name", COSTLY)
def test_no_frame_takes_much_longer_than_others_of_its_size(wire, name):
    # By msgspec's own way 1e308 takes a hundred times as long.
    most = 12 * benign_seconds(wire)
    for place in PLACES:
        work = functools.partial(taken, wire, framed(COSTLY[name], place))
        # Once is enough, unless it seems to take too long.
        assert seconds(work, 1) < most or seconds(work) < most, place


def floats(values: list[float]) -> None: ...
def float_texts(values: dict[str, float]) -> None: ...
def numbers(values: list[int | float]) -> None: ...
def many_floats(*values: float) -> None: ...
def many_lists(*values: list[float]) -> None: ...
def decimals(values: list[decimal.Decimal]) -> None: ...


@dataclasses.dataclass
class Reading:
    value: float = 0.0


def readings(values: list[Reading]) -> None: ...


TYPED = {
    "floats": (floats, lambda part: f"[{filled(part)}]"),
    "a dict of floats": (
        float_texts,
        lambda part: "[{" + ",".join(f'"{n}":{part}' for n in range(SIZE // 12)) + "}]",
    ),
    "int or float": (numbers, lambda part: f"[{filled(part)}]"),
    "*floats": (many_floats, filled),
    "*lists": (many_lists, lambda part: filled(f"[{part}]")),
    "dataclasses": (
        readings,
        lambda part: "[" + filled('{"value":' + part + "}") + "]",
    ),
    "decimals": (decimals, lambda part: f"[{filled(part)}]"),
}


@pytest.mark.parametrize("name", TYPED)
def test_annotated_numbers_take_no_longer_than_others(name):
    wire = WIRES[0]
    function, make = TYPED[name]
    benign, costly_frame = (framed(make(part), "params") for part in ("1.5", "1e308"))

    fair = seconds(lambda: taken(wire, benign, function))
    spent = seconds(lambda: taken(wire, costly_frame, function))

    assert spent < 12 * max(fair, 0.002)


def colliding(count: int) -> list[int]:
    """Integers whose slots in a dict of their number are one long chain."""
    bits = (3 * count).bit_length()
    mask = (1 << bits) - 1
    slot, chain = 1234 & mask, []
    for _ in range(count // 2):
        chain.append(slot)
        slot = (5 * slot + 1) & mask
    places = {slot: number for number, slot in enumerate(chain)}
    found, number = list(chain), 0
    while len(found) < count:
        number += 1
        key = number << bits | chain[0]
        slot, perturb = key & mask, key
        while perturb:
            perturb >>= 5
            slot = (5 * slot + perturb + 1) & mask
        if places.get(slot, count) < count // 8:
            found.append(key)
    return found


def keyed(values: dict[int, int]) -> None: ...


@pytest.mark.parametrize("function", [variadic, keyed])
def test_keys_that_collide_do_not_take_square_time(function):
    wire = WIRES[1]
    keys = colliding(20_000)
    call = {"jsonrpc": "2.0", "id": 1, "method": "x"}
    frame = wire.codec.encode({**call, "params": [dict.fromkeys(keys, 0)]})
    texts = {f"{key:x}": 0 for key in keys}
    fair = wire.codec.encode({**call, "params": [texts]})

    spent = seconds(lambda: taken(wire, frame, function))

    assert spent < 10 * seconds(lambda: taken(wire, fair, variadic))


def test_a_large_dict_with_texts_as_keys_is_read():
    codec = MessagePack()
    wanted = {str(number): number for number in range(20_000)}

    assert codec.decode(codec.encode({"a": [wanted, {1: 2}]})) == {
        "a": [wanted, {1: 2}]
    }
    with pytest.raises(msgspec.ValidationError, match="keys that are not texts"):
        codec.decode(codec.encode({"a": [dict.fromkeys(range(20_000))]}))


ODD_KEYS = st.recursive(
    st.none()
    | st.integers(-300, 70_000)
    | st.text(max_size=40)
    | st.binary(max_size=9)
    | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.integers().filter(lambda n: abs(n) < 2**63) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


LARGE = MessagePack().encode(dict.fromkeys(range(4200)))
LARGE_TEXTS = MessagePack().encode(dict.fromkeys(map(str, range(4200))))


@settings(max_examples=60, deadline=None)
@given(values=st.lists(ODD_KEYS, max_size=5), cut=st.integers(1, 5))
def test_looking_for_such_keys_sees_what_the_decoder_sees(values, cut):
    """Whatever stands around it, a large dict with odd keys is found, and no other."""
    codec = MessagePack()
    around = codec.encode(values)

    assert codec.decode(codec.array([around, LARGE_TEXTS, around]))[2] == values
    with pytest.raises(msgspec.ValidationError, match="keys that are not texts"):
        codec.decode(codec.array([around, codec.array([LARGE]), around]))
    with pytest.raises(UNREADABLE):
        codec.decode(codec.array([around, LARGE_TEXTS])[:-cut])


# --- what is read stays what it was ----------------------------------------------

NUMBERS = [
    *("1e308", "1.5e300", "-1e299", "1E+290", "5e-324", "1.7976931348623157e308"),
    *("2.4703282292062327208e-324", "1e-400", "0e999", "1e0000001", "123e-0000002"),
]


@pytest.mark.parametrize("number", NUMBERS)
def test_extreme_numbers_are_read_as_they_are(number):
    codec = Json()
    frame = f'[{number}, {{"a": {number}, "b": "1e308"}}, 5, "text", null]'.encode()

    assert costly.has_extreme_number(frame)
    assert codec.decode(frame) == json.loads(frame)
    value = float(number)
    assert codec.decoder(float)(number.encode()) == value
    assert codec.decoder(list[float])(f"[{number}]".encode()) == [value]
    assert codec.decoder(dict[int, float])(f'{{"5":{number}}}'.encode()) == {5: value}
    reading = f'{{"value":{number}}}'.encode()
    assert codec.decoder(Reading)(reading) == Reading(value)
    with pytest.raises(msgspec.ValidationError, match="Expected `int`"):
        codec.decoder(list[int])(f"[{number}]".encode())
    with pytest.raises(msgspec.ValidationError, match=r"Expected `str \| array`"):
        codec.decoder(dict[str, str | list[float]])(f'{{"a":{number}}}'.encode())


def test_decimals_keep_their_digits():
    codec = Json()
    text = "[12345678901234567890.123, 1e300, 1.10]"

    found = codec.decoder(list[decimal.Decimal])(text.encode())

    assert found == [decimal.Decimal(part) for part in text[1:-1].split(", ")]


@dataclasses.dataclass
class Price:
    amount: decimal.Decimal
    rate: float


def test_decimals_beside_floats_keep_their_digits_and_are_bounded():
    decode = Json().decoder(list[Price])
    price = '{"amount":12345678901234567890.123,"rate":1e300}'

    assert decode(filled(price, 5_000).encode())[0] == Price(
        decimal.Decimal("12345678901234567890.123"), 1e300
    )
    with pytest.raises(msgspec.ValidationError, match="More than 1000 numbers"):
        decode(filled(price).encode())


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_as_it_was_written(value):
    codec = Json()
    for text in (repr(value), f"{value:.25e}", f"{value:.3e}"):
        try:
            found = codec.decode(f"[{text}]".encode())
        except UNREADABLE:
            assert math.isinf(float(text))
        else:
            assert found == [float(text)]


# --- nothing raises --------------------------------------------------------------

UNREADABLE_PARTS = [
    *("1e400", "-1e400", "[1e999]", "9" * 5000, "-" + "9" * 5000, '{"a":1e400}'),
    *('"\\ud800"', '"\\udc00\\ud800"', '"half \\ud83d"', "NaN", "Infinity", "01"),
    *("1.", ".5", "+1", '"\x01"', '"\\x41"', "tr", "[1,]", '{"a"}', "{,}", "'a'"),
    *("[" * 5000, '{"a":' * 5000, "[" * 5000 + "]" * 5000),
    *("18446744073709551616", "-9223372036854775809", "1" + "0" * 400),
    *('"' + "x" * 1000 + '"', "[1e308,1e308]", "1e308", "1.5", "true", "null", "{}"),
]


@every_text
@pytest.mark.parametrize("place", PLACES)
def test_whatever_stands_anywhere_in_a_frame_nothing_is_raised(wire, place):
    for part in UNREADABLE_PARTS:
        for frame in (framed(part, place), part, f"[{framed(part, place)}]"):
            taken(wire, frame)
            taken(wire, frame.encode("utf-8", "surrogatepass"))


@every_wire
@pytest.mark.parametrize(
    "frame",
    [
        *(
            "",
            " ",
            "\ud800",
            "{\ud800}",
            '{"id":"\udce9"}',
            "\ufeff{}",
            "\x00",
            "ü" * 9,
        ),
        *('{"jsonrpc":"2.0","id":1,"method":"x","params":["\udce9"]}',),
    ],
    ids=ascii,
)
def test_a_text_that_is_no_utf8_is_an_error_of_the_peers(wire, frame):
    if not wire.codec.is_text:
        frame = frame.encode("utf-8", "surrogatepass")
    for message in wire.read(frame):
        assert isinstance(message, Bad)


@pytest.mark.parametrize(
    "value",
    [
        b"\xca\x7f\x80\x00\x00",  # infinity
        b"\xcb" + struct.pack(">d", math.nan),
        b"\xcf" + b"\xff" * 8,
        b"\xd3" + b"\x80" + b"\x00" * 7,
        b"\xa2\xff\xff",  # no UTF-8
        b"\xc1",
        b"\xd6\xff\x00\x00\x00\x01",  # a timestamp
        b"\xc7\x0c\xff" + b"\xff" * 12,  # one that is out of range
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\x91" * 5000 + b"\xc0",
        b"\x81\x90\x01",  # a list as a key
        b"\x81\x80\x01",
    ],
    ids=lambda value: value[:6].hex(),
)
@pytest.mark.parametrize("key", ["params", "id", "method", "stream", "error", "x"])
def test_whatever_stands_in_messagepack_nothing_is_raised(value, key):
    wire = WIRES[1]
    members = {"jsonrpc": "2.0", "id": 1, "method": "x"}
    members.pop(key, None)
    parts = [wire.codec.encode(part) for pair in members.items() for part in pair]
    parts += [wire.codec.encode(key), value]
    frame = bytes([0x80 + len(parts) // 2]) + b"".join(parts)

    taken(wire, frame)
    taken(wire, b"\x91" + frame)


# --- ids ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "id",
    [
        "5",
        '"five"',
        '"' + "x" * 256 + '"',
        "-9223372036854775808",
        "18446744073709551615",
    ],
)
def test_an_id_comes_back_as_it_came(id):
    wire = JsonRpc(Json())
    (call,) = wire.read(f'{{"jsonrpc":"2.0","id":{id},"method":"x"}}')

    assert isinstance(call, Call)
    assert f'"id":{id}' in wire.result(call.id, None).decode()


@pytest.mark.parametrize(
    "id",
    [
        *("null", "true", "1.5", "1e3", "[1]", "{}", "18446744073709551616", "1e400"),
        *("-9223372036854775809", '"' + "x" * 257 + '"', '"' + "x" * 900_000 + '"'),
        *("9" * 900_000, filled("1e308")),
    ],
    ids=lambda id: id[:20],
)
def test_what_is_no_id_is_an_invalid_request(id):
    (bad,) = JsonRpc(Json()).read(f'{{"jsonrpc":"2.0","id":{id},"method":"x"}}')

    assert isinstance(bad, Bad)
    assert bad.id is None
    assert bad.error.code == rpc.InvalidRequest.code


# --- memory while reading ------------------------------------------------------------


def test_an_emoji_does_not_make_us_hold_four_times_the_frame():
    wire = WIRES[0]
    frame = framed('["' + "x" * (1 << 20) + '\U0001f600"]', "params")
    tracemalloc.start()
    try:
        messages = wire.read(frame)
        del frame
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(messages) == 1
    assert held < 1.2 * (1 << 20)
