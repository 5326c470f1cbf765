"""Inflating with an allowance: what comes out is the same, in as many turns as needed.

Also what a message costs: inflated bytes, and early ends of a deflate block.
"""

from __future__ import annotations

import random
import zlib
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire.errors import LimitExceeded, PayloadTooBig, ProtocolError
from longwire.messages import Deflate
from tests.core.wires import frame
from tests.support.twins import builds

DEFLATES = builds("core.deflate")
PROTOCOLS = builds("core.protocol")
TAIL = b"\x00\x00\xff\xff"

pytestmark = pytest.mark.once

each_build = pytest.mark.parametrize("build", DEFLATES)


def deflated(data: bytes, mode: int = zlib.Z_SYNC_FLUSH) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(data) + squeeze.flush(mode)


def message(*parts: bytes) -> bytes:
    """A compressed message; every part but the last ends its deflate stream early."""
    *early, last = parts
    ends = [deflated(part, zlib.Z_FINISH) for part in early]
    return b"".join(ends) + deflated(last).removesuffix(TAIL)


def inflate(
    codec: Any, data: bytes, fin: bool, most: int, allowance: int
) -> tuple[bytes, int]:
    """Return what comes out, and in how many turns."""
    turns = 1
    codec.allowance = allowance
    out: bytes = codec.decompress(data, fin, most)
    while codec.pending:
        assert codec.allowance == 0
        turns += 1
        codec.allowance = allowance
        more = codec.go_on(most - len(out) if most >= 0 else -1)
        assert len(more) <= allowance, "more than a turn allows"
        out += more
    return out, turns


@each_build
@pytest.mark.parametrize("allowance", [1, 7, 1000, 99_999, 100_000, 100_001])
def test_no_turn_has_more_than_it_allows(build: str, allowance: int) -> None:
    codec = DEFLATES[build].Codec(Deflate(), True)
    data = bytes(100_000)

    out, turns = inflate(codec, message(data), True, -1, allowance)

    assert out == data
    assert turns >= 100_000 // allowance


@each_build
@given(
    st.lists(st.binary(max_size=50), min_size=1, max_size=8),
    st.integers(1, 300),
    st.integers(1, 5000),
    st.lists(st.integers(0, 10_000), max_size=5),
)
def test_turns_change_nothing_of_what_comes_out(
    build: str, parts: list[bytes], times: int, allowance: int, cuts: list[int]
) -> None:
    whole = b"".join(part * times for part in parts)
    wire = message(*(part * times for part in parts))
    cuts = sorted(cut for cut in cuts if cut < len(wire))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    codec = DEFLATES[build].Codec(Deflate(), True)

    for _ in range(2):  # the context goes on
        out = b""
        for at, piece in enumerate(pieces):
            fin = at == len(pieces) - 1
            out += inflate(codec, piece, fin, len(whole) - len(out), allowance)[0]
        assert out == whole


@each_build
@pytest.mark.parametrize("allowance", [-1, 1, 10, 10_000])
def test_the_limit_is_exact_whatever_a_turn_allows(build: str, allowance: int) -> None:
    data = bytes(1000)
    codec = DEFLATES[build].Codec(Deflate(), True)
    assert inflate(codec, message(data), True, 1000, allowance)[0] == data

    codec = DEFLATES[build].Codec(Deflate(), True)
    with pytest.raises(PayloadTooBig):
        inflate(codec, message(data), True, 999, allowance)


@each_build
def test_an_early_end_costs_as_much_as_the_text_inflated_in_that_time(
    build: str,
) -> None:
    codec = DEFLATES[build].Codec(Deflate(), True)

    _, turns = inflate(codec, message(*[b""] * 16), True, -1, 4096)

    assert turns > 4


@each_build
def test_corrupt_data_is_found_in_a_later_turn(build: str) -> None:
    codec = DEFLATES[build].Codec(Deflate(), True)
    data = deflated(bytes(5000))[:-4] + b"\xff\xff\xff"

    with pytest.raises(ProtocolError, match="corrupt"):
        inflate(codec, data, True, -1, 1000)


# --- in frames ---


def make(build: str, **limits: int) -> Any:
    module: ModuleType = PROTOCOLS[build]
    codec = DEFLATES[build].Codec(Deflate(), True)
    return module.Protocol(True, codec=codec, random_bytes=bytes, **limits)


def read(protocol: Any, allowance: int) -> list[Any]:
    """Return all events, and the exception that is the last; in turns."""
    events = []
    while True:
        protocol.codec.allowance = allowance
        try:
            while (event := protocol.next_event()) is not None:
                events.append(event)
        except (ProtocolError, LimitExceeded) as exc:
            return [*events, (type(exc), str(exc))]
        if not protocol.is_inflating:
            return events


WORDS = random.Random(7).choices(["one", "zwei", "trois", "чотири", "五", "🙂"], k=3000)
TEXT = " ".join(WORDS)


def frames_of(text: str, sizes: list[int]) -> bytes:
    """The text compressed, in frames; ``sizes`` are those of the compressed pieces."""
    data = message(text.encode())
    wire = b""
    first = 0xC1
    for size in sizes:
        wire += frame(first & 0x7F, data[:size])
        data = data[size:]
        first = 0x80
    return wire + frame(first, data)


@each_build
@pytest.mark.parametrize("chunk", [1, 100, 10**6])
@pytest.mark.parametrize("sizes", [[], [5], [1, 700, 0, 3]])
@pytest.mark.parametrize("allowance", [50, 3000, 10**6])
def test_a_text_is_the_same_in_any_turns_and_reads(
    build: str, chunk: int, sizes: list[int], allowance: int
) -> None:
    wire = frames_of(TEXT, sizes) + frame(0x81, b"next")
    protocol = make(build)

    events = []
    for at in range(0, len(wire), chunk):
        protocol.receive(wire[at : at + chunk])
        events += read(protocol, allowance)

    assert "".join(data for _, data, _ in events[:-1]) == TEXT
    assert [fin for _, _, fin in events] == [False] * len(sizes) + [True, True]
    assert events[-1] == (1, "next", True)
    assert protocol.buffered == 0 and protocol.partial() == 0


@each_build
def test_memory_of_what_is_half_inflated_is_told(build: str) -> None:
    protocol = make(build)
    protocol.receive(frame(0xC2, message(bytes(500_000))))
    protocol.codec.allowance = 300_000

    assert protocol.next_event() is None

    assert 300_000 <= protocol.partial() <= protocol.memory() < 700_000


@each_build
@pytest.mark.parametrize("sizes", [[], [5]])
def test_text_that_is_none_is_found_in_any_turn(build: str, sizes: list[int]) -> None:
    protocol = make(build)
    data = message(b"a" * 5000 + b"\xff" + b"a" * 5000)
    protocol.receive(frame(0xC1, data))

    assert read(protocol, 1000)[-1][0] is ProtocolError


@each_build
@pytest.mark.parametrize("limits", [{"max_message": 9999}, {"max_fragment": 9999}])
def test_a_message_too_big_is_found_in_any_turn(
    build: str, limits: dict[str, int]
) -> None:
    protocol = make(build, **limits)
    protocol.receive(frame(0xC2, message(bytes(10_000))))

    assert read(protocol, 1000)[-1][0] is PayloadTooBig
    assert protocol.next_event() is None and not protocol.is_inflating


# --- what is passed over ---


@each_build
def test_messages_nobody_wants_are_passed_over_and_not_inflated(build: str) -> None:
    protocol = make(build)
    wire = frame(0xC2, message(bytes(10**6))) + frame(0x01, b"a") + frame(0x80, b"b")
    protocol.receive(wire + frame(0x89, b"ping") + frame(0x88, b"\x03\xe8"))
    protocol.codec.allowance = 1000
    assert protocol.next_event() is None  # begun, and not finished

    protocol.skip_messages()

    assert protocol.partial() == 0
    assert [protocol.next_event() for _ in range(6)] == [
        (2, b"", True),
        (2, b"", False),
        (2, b"", True),
        (9, b"ping", True),
        (8, (1000, ""), True),
        None,
    ]
    assert protocol.messages_received == 2


WHOLE = frame(0x82, b"whole")
ENDS = {
    "nothing": (b"", 0),
    "whole messages": (WHOLE * 3, 3),
    "a message in fragments": (frame(0x02, b"a") + frame(0x80, b"b"), 1),
    "half a message": (WHOLE + frame(0x02, b"a"), 1),
    "half a frame": (WHOLE + frame(0x82, b"whole")[:-1], 1),
    "half a header": (WHOLE + b"\x82", 1),
    "control frames": (frame(0x89, b"") + WHOLE + frame(0x8A, b""), 1),
    "a close frame": (WHOLE + frame(0x88, b"\x03\xe8") + WHOLE, 1),
    "a fault": (WHOLE + b"\x83\x00" + WHOLE, 1),
    "a bad close frame": (WHOLE + frame(0x88, b"\x03") + WHOLE, 1),
    "one to inflate": (frame(0xC2, message(bytes(10**6))), 1),
    "nonsense to inflate": (frame(0xC2, b"\xff\xff"), 1),
}


@each_build
@pytest.mark.parametrize(("wire", "whole"), ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("begun", [False, True])
def test_whole_messages_that_are_left_are_counted(
    build: str, wire: bytes, whole: int, begun: bool
) -> None:
    protocol = make(build)
    protocol.codec.allowance = 1
    if begun:
        protocol.receive(frame(0x02, b"the beginning of a message"))
        assert protocol.next_event() is not None
        wire = frame(0x80, b"its end") + wire
        whole += 1
    protocol.receive(wire)

    assert protocol.end_input() == whole
    assert protocol.end_input() == 0
    assert protocol.next_event() is None and protocol.memory() == 0
