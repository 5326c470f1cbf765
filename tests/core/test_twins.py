"""Both builds do the same with the same input, whatever it is."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longwire.errors import LimitExceeded, ProtocolError, UsageError
from longwire.messages import Deflate
from tests.core.wires import frame
from tests.support.twins import twins

pytestmark = pytest.mark.once

EDGES = [0, 1, 125, 126, 127, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**63 - 1]
EDGES += [2**63, 2**64 - 1]
COUNTERS = [
    "buffered",
    "mid_message",
    "output_size",
    "state",
    "close_sent",
    "close_received",
    "close_received_first",
    "bytes_received",
    "bytes_sent",
    "messages_received",
    "messages_sent",
]


def pseudo_random(size):
    return hashlib.shake_128(b"longwire").digest(size)


def make(build, client, deflate, limits):
    codec = None
    if deflate is not None:
        codec = getattr(twins("core.deflate"), build).Codec(deflate, client)
    protocol = getattr(twins("core.protocol"), build).Protocol
    return protocol(client, codec=codec, random_bytes=pseudo_random, **limits)


def outcome(call, *args):
    """What a call gives or raises, to be compared."""
    try:
        return call(*args)
    except (ProtocolError, LimitExceeded, UsageError, ValueError, TypeError) as exc:
        facts = {k: v for k, v in vars(exc).items() if k != "__notes__"}
        return type(exc), str(exc), getattr(exc, "code", None), facts


def numbers(protocol):
    return {name: getattr(protocol, name) for name in COUNTERS}


def read_all(protocol, chunks):
    seen = []
    for chunk in chunks:
        protocol.receive(chunk)
        while (event := outcome(protocol.next_event)) is not None:
            seen.append(event)
        seen.append(numbers(protocol))
    return seen


def compare(client, deflate, limits, chunks):
    pure = read_all(make("pure", client, deflate, limits), chunks)
    compiled = read_all(make("compiled", client, deflate, limits), chunks)

    assert pure == compiled


# --- inputs ---

first_bytes = st.integers(0, 255) | st.sampled_from(
    [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8A, 0xC1, 0x41, 0xC2]
)
payloads = st.binary(max_size=140) | st.text(max_size=60).map(str.encode)
keys = st.binary(min_size=4, max_size=4)


@st.composite
def wires(draw, client):
    """Mostly frames, mostly right, sometimes noise or a header that lies."""
    parts = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.integers(0, 9))
        if kind == 0:
            parts.append(draw(st.binary(max_size=20)))
        elif kind == 1:
            length = draw(st.sampled_from(EDGES)).to_bytes(8, "big")
            flag = 0x7F if client else 0xFF
            parts.append(bytes([draw(first_bytes), flag]) + length + bytes(4))
        else:
            key = None if client else draw(keys)
            parts.append(frame(draw(first_bytes), draw(payloads), key))
    return b"".join(parts)


@st.composite
def chunked(draw, client):
    wire = draw(wires(client))
    cuts = sorted(draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    ends = [*cuts, len(wire)]
    return [wire[a:b] for a, b in zip([0, *cuts], ends, strict=True)]


limits = st.fixed_dictionaries(
    {},
    optional={
        "max_message": st.integers(-1, 200) | st.sampled_from(EDGES),
        "max_fragment": st.integers(-1, 200) | st.sampled_from(EDGES),
        "max_fragments": st.integers(-1, 5) | st.sampled_from(EDGES),
    },
)
agreements = st.none() | st.builds(
    Deflate,
    server_no_context_takeover=st.booleans(),
    client_no_context_takeover=st.booleans(),
    server_max_window_bits=st.integers(9, 15),
    client_max_window_bits=st.integers(9, 15),
)


@given(chunked(False), agreements, limits)
@settings(max_examples=400)
def test_both_builds_read_alike_as_a_server(chunks, deflate, limits):
    compare(False, deflate, limits, chunks)


@given(chunked(True), agreements, limits)
@settings(max_examples=400)
def test_both_builds_read_alike_as_a_client(chunks, deflate, limits):
    compare(True, deflate, limits, chunks)


commands = st.one_of(
    st.tuples(
        st.just("send_message"),
        st.integers(0, 3),
        st.text(max_size=99) | st.binary(max_size=99) | st.none(),
        st.booleans(),
        st.booleans(),
    ),
    st.tuples(st.just("send_encoded"), st.binary(max_size=9), st.integers(0, 3)),
    st.tuples(st.just("send_ping"), st.binary(max_size=130)),
    st.tuples(st.just("send_pong"), st.binary(max_size=130)),
    st.tuples(
        st.just("send_close"),
        st.none() | st.integers(990, 5010) | st.sampled_from(EDGES),
        st.text(max_size=70),
    ),
    st.tuples(st.just("take_output")),
    st.tuples(st.just("receive"), st.sampled_from([b"\x88\x00", b"\x81\x01a"])),
    st.tuples(st.just("next_event")),
    st.tuples(st.just("lost")),
)


@given(st.lists(commands, max_size=12), agreements, st.booleans())
@settings(max_examples=400)
def test_both_builds_obey_alike(steps, deflate, client):
    pure = make("pure", client, deflate, {})
    compiled = make("compiled", client, deflate, {})

    for name, *args in [*steps, ("take_output",)]:
        assert outcome(getattr(pure, name), *args) == outcome(
            getattr(compiled, name), *args
        )
        assert numbers(pure) == numbers(compiled)


# --- limits, at the widths of C types ---


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("limit", [*EDGES, 2**64, 2**70, -1])
@pytest.mark.parametrize("name", ["max_message", "max_fragment", "max_fragments"])
def test_both_builds_hold_a_limit_alike(name, limit, size):
    wire = b"\x02\x7f" + size.to_bytes(8, "big")

    compare(True, None, {name: limit}, [b"\x02\x01a", b"\x80\x01b", wire])


@pytest.mark.parametrize("size", EDGES)
def test_both_builds_write_the_same_header(size):
    pure, compiled = twins("core.masking")
    ours, theirs = twins("core.frames")

    for key in (b"", b"abcd"):
        at = len(key) // 4 - 1
        head = pure.build_header(0x82, size, key, at)
        assert head == compiled.build_header(0x82, size, key, at)
        assert head == ours.header(2, size, True, 0, key or None)
        assert head == theirs.header(2, size, True, 0, key or None)


@given(st.binary(max_size=130))
def test_both_builds_parse_a_close_frame_alike(payload):
    pure, compiled = twins("core.frames")

    assert outcome(pure.parse_close, payload) == outcome(compiled.parse_close, payload)


@given(st.binary(max_size=99), keys, st.integers(0, 2**62))
def test_both_builds_mask_alike(data, key, offset):
    pure, compiled = twins("core.masking")

    assert pure.apply_mask(data, key, offset) == compiled.apply_mask(data, key, offset)


@given(st.binary(max_size=99), keys)
def test_both_builds_unmask_text_alike(data, key):
    pure, compiled = twins("core.masking")
    buf = key + data

    assert outcome(pure.unmask_text, buf, 4, len(data)) == outcome(
        compiled.unmask_text, buf, 4, len(data)
    )


@pytest.mark.parametrize("name", ["unmask", "unmask_text"])
@pytest.mark.parametrize(("start", "size"), [(3, 1), (4, 5), (4, -1), (9, 0), (-1, 1)])
def test_the_kernel_never_reads_outside_of_its_buffer(name, start, size):
    kernel = twins("core.masking").compiled

    with pytest.raises(IndexError):
        getattr(kernel, name)(b"keyabcde", start, size)


def test_the_kernel_takes_only_whole_keys():
    kernel = twins("core.masking").compiled

    with pytest.raises(IndexError):
        kernel.build_frame(0x82, b"", b"12345", 2)
    with pytest.raises(IndexError):
        kernel.build_header(0x82, 0, b"", 0)
    with pytest.raises(ValueError, match="4 bytes"):
        kernel.apply_mask(b"a", b"123")
    with pytest.raises(IndexError):
        kernel.read_text(b"abc", 2, 2)
