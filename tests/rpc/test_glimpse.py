"""Messages that cannot be read: whoever waits for an answer is told all the same."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.needs import needs

needs("msgspec")

from longwire import rpc
from longwire.rpc import glimpse
from longwire.rpc.codecs import Json, MessagePack
from longwire.rpc.envelope import Answer, Bad, Failure, JsonRpc
from longwire.rpc.wsrpc import Wsrpc, Wsrpc1
from tests.rpc.links import Line

WIRES = {
    wire.name: wire
    for wire in (
        JsonRpc(Json()),
        JsonRpc(MessagePack()),
        Wsrpc(Json()),
        Wsrpc1(Json()),
    )
}
# Python 3.13 reads ten times as deep as 3.11.
DEPTH = 100_000
DEEP = "[" * DEPTH + "]" * DEPTH

# Wire, a call, an answer: what is between them cannot be read.
CALLS = [
    ("longwire.jsonrpc", '{"jsonrpc":"2.0","id":5,"method":"x","params":', "}"),
    ("longwire.jsonrpc", ' {"id" : 5,\n"jsonrpc":"2.0","method":"x","params":[', "]}"),
    ("longwire.jsonrpc", '{"jsonrpc":"2.0","method":"x","params":', ',"id":5}'),
    ("longwire.jsonrpc", '{"params":', ', "method" : "x", "jsonrpc":"2.0","id":5 } \n'),
    ("wsrpc", '{"id":5,"method":"x","params":{"a":', "}}"),
    ("wsrpc.1", '{"serial":5,"type":"call","call":"x","arguments":', "}"),
    ("wsrpc.1", '{"call":"x","arguments":', ',"serial":5}'),
]
ANSWERS = [
    ("longwire.jsonrpc", '{"jsonrpc":"2.0","id":5,"result":', "}"),
    ("longwire.jsonrpc", '{"jsonrpc":"2.0","error":{"data":', '},"id":5}'),
    ("longwire.jsonrpc", '{"id":5,"jsonrpc":"2.0","error":null,"result":', "}"),
    ("longwire.jsonrpc", '{"result":', ', "id": 5 }'),
    ("wsrpc", '{"id":5,"result":[1,', "]}"),
    ("wsrpc", '{"error":', ',"id":5}'),
    ("wsrpc.1", '{"serial":5,"type":"callback","data":', "}"),
    ("wsrpc.1", '{"data":', ',"type":"error","serial":5}'),
]
NOT_JSON = ["NaN", '"\\ud800"', '"\\udc00 \\ud800"', "tru", "1.", "[1,]", "'a'"]


def read(name: str, frame: str | bytes) -> Any:
    (message,) = WIRES[name].read(frame)
    return message


@pytest.mark.parametrize(("name", "head", "tail"), CALLS)
def test_a_call_that_is_nested_too_deep_is_answered_with_its_id(name, head, tail):
    for frame in (head + DEEP + tail, (head + DEEP + tail).encode()):
        message = read(name, frame)

        assert type(message) is Bad
        assert message.id == 5
        assert message.error.code == rpc.ParseError.code
        assert message.error.message == "json nested too deep"


@pytest.mark.parametrize(("name", "head", "tail"), CALLS)
@pytest.mark.parametrize("part", NOT_JSON)
def test_a_call_that_is_not_json_is_answered_with_id_null(name, head, tail, part):
    """As JSON-RPC 2.0 has it, section 5."""
    message = read(name, head + part + tail)

    assert type(message) is Bad
    assert message.id is None
    assert message.error.code == rpc.ParseError.code


@pytest.mark.parametrize(("name", "head", "tail"), ANSWERS)
@pytest.mark.parametrize("part", [*NOT_JSON, DEEP], ids=lambda part: part[:9])
def test_an_answer_that_cannot_be_read_ends_the_call_that_it_names(
    name, head, tail, part
):
    message = read(name, head + part + tail)

    assert type(message) is Failure
    assert message.id == 5
    assert WIRES[name].error_of(message).code == rpc.ParseError.code


def packed(members: dict[str, Any], broken: str, value: bytes) -> bytes:
    encode = MessagePack().encode
    parts = [encode(part) for pair in members.items() for part in pair]
    parts += [encode(broken), value]
    return bytes([0x80 + len(parts) // 2]) + b"".join(parts)


@pytest.mark.parametrize(
    "id", [5, 0, 127, 128, 70_000, -1, -(2**63), "five", "ü" * 256]
)
def test_messagepack_that_cannot_be_read_is_answered_likewise(id):
    deep = b"\x91" * DEPTH + b"\xc0"
    head = {"jsonrpc": "2.0", "id": id}

    call = read("longwire.msgpack", packed({**head, "method": "x"}, "params", deep))
    assert (type(call), call.id) == (Bad, id)

    for value in (deep, b"\xc1", b"\xdb\xff\xff\xff\xff"):
        answer = read("longwire.msgpack", packed(head, "result", value))
        assert (type(answer), answer.id) == (Failure, id)


@pytest.mark.parametrize(
    "id",
    [
        *("null", "true", "1.5", "[1]", "18446744073709551616", "1e400", '"\udce9"'),
        *('"' + "x" * 257 + '"', '"\\u0035"', "9" * 30, "DEEP"),
    ],
    ids=lambda id: id[:12],
)
def test_what_is_no_id_is_not_taken_for_one(id):
    frame = f'{{"jsonrpc":"2.0","id":{id},"method":"x","params":{DEEP}}}'
    message = read("longwire.jsonrpc", frame.replace("DEEP", DEEP))

    assert type(message) is Bad
    assert message.id is None
    WIRES["longwire.jsonrpc"].failure(message.id, message.error)


@pytest.mark.parametrize(
    "frame",
    [
        '{"jsonrpc":"2.0","id":5,' + DEEP,
        f'{{"jsonrpc":"2.0","method":"x","params":{DEEP}}}',
        f'{{"a":{{"method":"x","params":{DEEP},"id":5}}}}',
        f'[{{"jsonrpc":"2.0","id":5,"method":"x","params":{DEEP}}}]',
        DEEP,
    ],
    ids=["nothing else", "a notification", "inside", "a batch", "an array"],
)
def test_where_no_call_can_be_seen_the_id_is_null(frame):
    message = read("longwire.jsonrpc", frame)

    assert type(message) is Bad
    assert message.id is None


@pytest.mark.parametrize("name", WIRES)
async def test_a_call_that_is_too_deep_is_settled_and_the_next_one_works(name):
    """Deep values come from our own clients, too: what they write, nobody may read."""
    wire = WIRES[name]
    if wire.codec.is_text:
        head = wire.call(5, "echo", [1]).decode().removesuffix("[1]}")
        frame: str | bytes = f"{head}[{DEEP}]}}"
    else:
        frame = wire.call(5, "echo", [1]).removesuffix(b"\x91\x01")
        frame += b"\x91" * DEPTH + b"\xc0"
    line = Line(name)
    async with rpc.Peer(line, {"echo": lambda value: value}):
        line.put(frame)
        (answer,) = wire.read(await line.frame())
        assert isinstance(answer, Failure)
        assert answer.id == 5

        following = wire.call(6, "echo", [1])
        line.put(following.decode() if wire.codec.is_text else following)
        (answer,) = wire.read(await line.frame())
        assert isinstance(answer, Answer)
        assert answer.id == 6


@pytest.mark.parametrize("name", [name for name in WIRES if name != "longwire.msgpack"])
async def test_our_call_whose_answer_cannot_be_read_fails(name):
    line = Line(name)
    async with rpc.Peer(line) as peer:
        calling = asyncio.ensure_future(peer.call("x"))
        sent = await line.sent()
        id = sent.get("id", sent.get("serial"))
        head = peer.wire.result(id, 1).decode().removesuffix("1}")

        line.put(f"{head}{DEEP}}}")

        with pytest.raises(rpc.ParseError, match="nested too deep"):
            await calling


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_whatever_is_looked_at_nothing_is_raised(frame):
    assert isinstance(glimpse.in_json(frame), dict)
    if isinstance(frame, bytes):
        decode = MessagePack().decode
        assert isinstance(glimpse.in_msgpack(frame, decode), dict)
        found = glimpse.in_msgpack(b"\x8f" + frame, decode)
        assert all(isinstance(name, str) for name in found)


@given(
    st.dictionaries(
        st.from_regex(r"\A[a-z]{1,9}\Z"),
        st.integers(-(2**63), 2**63)
        | st.booleans()
        | st.none()
        | st.text("aü:,}", max_size=9),
        max_size=6,
    )
)
def test_what_can_be_read_is_seen_as_it_is(members):
    frame = json.dumps({**members, "Last": []}, ensure_ascii=False)
    assert glimpse.in_json(frame.encode()) == {**members, "Last": ...}
    packed = MessagePack().encode({**members, "Last": [1]})
    found = glimpse.in_msgpack(packed, MessagePack().decode)
    assert found == {**members, "Last": ...}
