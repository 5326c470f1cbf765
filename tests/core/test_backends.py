"""Every backend of permessage-deflate: what one makes the other reads, limits alike."""

import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire.core import backends
from longwire.core.deflate import TAIL, Codec
from longwire.errors import PayloadTooBig, ProtocolError
from longwire.messages import Deflate
from tests.core.test_deflate import raw_deflate

BACKENDS = ["zlib"] if backends.zlib_ng is None else ["zlib", "zlib-ng"]
PAIRS = list(itertools.product(BACKENDS, repeat=2))

each_backend = pytest.mark.parametrize("backend", BACKENDS)

payloads = st.one_of(
    st.binary(max_size=200),
    st.builds(bytes.__mul__, st.binary(max_size=20), st.integers(0, 2000)),
)


def codec(backend, client=False, **agreed):
    return Codec(Deflate(backend=backend, **agreed), client)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@given(
    messages=st.lists(st.lists(payloads, min_size=1, max_size=3), max_size=5),
    level=st.integers(0, 9),
    bits=st.integers(9, 15),
    mem_level=st.integers(1, 9),
    takeover=st.booleans(),
)
def test_one_reads_what_another_made(
    ours, theirs, messages, level, bits, mem_level, takeover
):
    agreed = {
        "server_max_window_bits": bits,
        "server_no_context_takeover": not takeover,
    }
    sender = codec(ours, level=level, mem_level=mem_level, **agreed)
    receiver = codec(theirs, True, **agreed)
    for fragments in messages:
        for i, payload in enumerate(fragments, 1):
            fin = i == len(fragments)
            data = sender.compress(payload, fin)

            assert receiver.decompress(data, fin, len(payload)) == payload


@each_backend
@pytest.mark.parametrize("limit", [0, 1, 2, 255, 256, 16384, 65536, 100_000])
@pytest.mark.parametrize("payload", [b"x", bytes(range(256))])
def test_the_limit_is_exact(backend, limit, payload):
    whole = (payload * (limit + 1))[: limit + 1]

    data = raw_deflate(whole[:limit])[:-4]
    assert codec(backend, True).decompress(data, True, limit) == whole[:limit]

    data = raw_deflate(whole)[:-4]
    with pytest.raises(PayloadTooBig):
        codec(backend, True).decompress(data, True, limit)


@each_backend
@pytest.mark.parametrize("limit", [-1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_huge_limit_and_none_are_fine(backend, limit):
    data = raw_deflate(b"x" * 1000)[:-4]

    assert codec(backend, True).decompress(data, True, limit) == b"x" * 1000


@each_backend
def test_the_limit_is_exact_in_every_fragment(backend):
    data = raw_deflate(b"y" * 1000)[:-4]
    inflating = codec(backend, True)
    out = b""
    for at in range(0, len(data), 3):
        out += inflating.decompress(data[at : at + 3], False, 1000 - len(out))
    out += inflating.decompress(b"", True, 1000 - len(out))

    assert out == b"y" * 1000


@each_backend
def test_a_window_of_8_bits_is_read(backend):
    inflating = codec(backend, True, server_max_window_bits=8)

    assert inflating.decompress(raw_deflate(b"Hello")[:-4], True, 5) == b"Hello"


@each_backend
@pytest.mark.parametrize("takeover", [True, False])
def test_a_message_may_end_its_deflate_stream_early(backend, takeover):
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = deflater.compress(b"Hello, hello") + deflater.flush()
    inflating = codec(backend, True, server_no_context_takeover=not takeover)

    for _ in range(2):
        assert inflating.decompress(data + b"\x00", True, 12) == b"Hello, hello"


@each_backend
@pytest.mark.parametrize("data", [b"\x07", b"\xff" * 20, b"\x04\x00\xfe\xff"])
def test_corrupt_data_has_a_code(backend, data):
    with pytest.raises(ProtocolError) as caught:
        codec(backend, True).decompress(data, True, 1000)

    assert caught.value.code == 1007


def verdict(backend, data, fin):
    try:
        return codec(backend, True).decompress(data, fin, 1000)
    except PayloadTooBig:
        return PayloadTooBig
    except ProtocolError:
        return ProtocolError


@given(st.binary(max_size=60), st.binary(max_size=3), st.integers(0, 60))
def test_all_judge_damaged_data_alike(payload, damage, at):
    data = bytearray(raw_deflate(payload * 3)[:-4])
    data[at : at + len(damage)] = damage

    verdicts = [verdict(backend, bytes(data), True) for backend in BACKENDS]

    assert all(each == verdicts[0] for each in verdicts)


@each_backend
@pytest.mark.parametrize("size", [0, 1, 120, 5000])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_a_message_without_context_can_be_read_by_itself(backend, size, bits):
    """Compressors are used again: nothing of one message may show in the next."""
    agreed = {"server_max_window_bits": bits, "server_no_context_takeover": True}
    secret = bytes(i * 7 & 0xFF for i in range(size))
    sizes = set()
    for _ in range(3):
        # Two connections, since they take their compressors from one pool.
        data = codec(backend, **agreed).compress(secret, True)
        sizes.add(len(data))

        assert zlib.decompressobj(-bits).decompress(data + TAIL) == secret
    assert len(sizes) == 1


@each_backend
def test_messages_in_fragments_of_two_connections_do_not_mix(backend):
    agreed = {"server_no_context_takeover": True}
    senders = [codec(backend, **agreed) for _ in range(3)]
    receivers = [codec(backend, True, **agreed) for _ in range(3)]
    for fin in (False, False, True):
        for sender, receiver, payload in zip(
            senders, receivers, (b"one " * 50, b"two " * 50, b"six " * 50), strict=True
        ):
            data = sender.compress(payload, fin)
            assert receiver.decompress(data, fin, -1) == payload


def test_auto_is_zlib_ng_where_that_costs_little_memory():
    if backends.zlib_ng is None:
        expected = [(zlib.compressobj, zlib.decompressobj)] * 2
    else:
        ng = backends.zlib_ng
        expected = [
            (ng.compressobj, ng.decompressobj),
            (zlib.compressobj, ng.decompressobj),
        ]

    assert [backends.makers("auto", level) for level in (1, 6)] == expected


def test_an_unknown_backend_is_an_error():
    with pytest.raises(ValueError, match="brotli"):
        Codec(Deflate(backend="brotli"), True)
