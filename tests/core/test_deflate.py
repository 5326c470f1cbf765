"""permessage-deflate: RFC 7692 section 7."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire.core.deflate import Codec
from longwire.errors import PayloadTooBig, ProtocolError
from longwire.messages import Deflate
from tests.core.wires import client, frame, server

TAIL = b"\x00\x00\xff\xff"
NO_TAKEOVER = Deflate(server_no_context_takeover=True, client_no_context_takeover=True)


def inflating(**agreed):
    return Codec(Deflate(**agreed), True)


def raw_deflate(data, mode=zlib.Z_SYNC_FLUSH, bits=15, history=b""):
    deflater = zlib.compressobj(6, zlib.DEFLATED, -bits, 8, 0, history)
    return deflater.compress(data) + deflater.flush(mode)


# --- the examples of section 7.2.3 ---


def test_one_compressed_frame_is_read(read):
    wire = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"

    assert read(client(Deflate()), wire) == [(1, "Hello", True)]


def test_compressed_fragments_are_read(read):
    wire = b"\x41\x03\xf2\x48\xcd" + b"\x80\x04\xc9\xc9\x07\x00"

    *_, last = events = read(client(Deflate()), wire)

    assert "".join(text for _, text, _ in events) == "Hello"
    assert last[2]


def test_a_second_message_refers_to_the_first(read):
    wire = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00" + b"\xc1\x05\xf2\x00\x11\x00\x00"

    assert read(client(Deflate()), wire) == [(1, "Hello", True)] * 2


def test_a_second_message_cannot_refer_to_a_dropped_context(read):
    wire = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00" + b"\xc1\x05\xf2\x00\x11\x00\x00"

    message, fault = read(client(NO_TAKEOVER), wire)

    assert message == (1, "Hello", True)
    assert isinstance(fault, ProtocolError)
    assert fault.code == 1007


def test_a_block_without_compression_is_read(read):
    wire = b"\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"

    assert read(client(Deflate()), wire) == [(1, "Hello", True)]


def test_a_block_with_bfinal_is_read(read):
    wire = b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00"

    assert read(client(Deflate()), wire * 3) == [(1, "Hello", True)] * 3


def test_two_blocks_in_one_message_are_read(read):
    wire = b"\xc1\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"

    assert read(client(Deflate()), wire) == [(1, "Hello", True)]


def test_an_empty_message_is_one_byte_both_ways(read):
    protocol = server(Deflate())
    protocol.send_message(1, "")

    assert protocol.take_output() == b"\xc1\x01\x00"
    assert read(client(Deflate()), b"\xc1\x01\x00") == [(1, "", True)]


def test_the_text_of_the_examples_is_compressed_as_in_them():
    protocol = server(Deflate(mem_level=8))
    protocol.send_message(1, "Hello")
    protocol.send_message(1, "Hello")

    assert protocol.take_output() == (
        b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00" + b"\xc1\x05\xf2\x00\x11\x00\x00"
    )


# --- what is compressed ---


def test_an_uncompressed_message_comes_between_compressed_ones(read):
    hello = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"
    wire = hello + b"\x81\x05plain" + b"\xc1\x05\xf2\x00\x11\x00\x00"

    texts = [text for _, text, _ in read(client(Deflate()), wire)]

    assert texts == ["Hello", "plain", "Hello"]


def test_control_frames_are_never_compressed(read):
    [fault] = read(client(Deflate()), b"\xc9\x00")

    assert "reserved bits" in str(fault)


def test_only_the_first_frame_of_a_message_says_that_it_is_compressed(read):
    wire = b"\x41\x03\xf2\x48\xcd" + b"\xc0\x04\xc9\xc9\x07\x00"

    fault = read(client(Deflate()), wire)[-1]

    assert fault.code == 1002
    assert "continuation" in str(fault)


@pytest.mark.parametrize("first", [0xA1, 0x91, 0xE1])
def test_other_reserved_bits_are_refused(read, first):
    [fault] = read(client(Deflate()), bytes([first, 0]))

    assert fault.code == 1002


@pytest.mark.parametrize("codec", [Codec(Deflate(min_size=10), False)])
@pytest.mark.parametrize(("size", "answer"), [(0, False), (9, False), (10, True)])
def test_short_messages_are_not_worth_it(codec, size, answer):
    assert codec.should_compress(size) is answer


def test_the_size_that_counts_is_the_one_in_bytes():
    protocol = server(Deflate(min_size=6))
    protocol.send_message(1, "€")
    assert protocol.take_output()[0] == 0x81

    protocol.send_message(1, "€€")

    assert protocol.take_output()[0] == 0xC1


def test_compression_is_chosen_for_each_message():
    protocol = server(Deflate())
    protocol.send_message(1, "Hello", True, False)
    assert protocol.take_output() == b"\x81\x05Hello"

    protocol.send_message(1, "Hello")

    assert protocol.take_output()[0] == 0xC1


def test_compression_is_chosen_for_all_of_a_message():
    protocol = server(Deflate())
    protocol.send_message(1, "Hel", False, False)
    protocol.send_message(0, "lo", True, True)

    assert protocol.take_output() == b"\x01\x03Hel" + b"\x80\x02lo"


def test_a_message_in_fragments_is_worth_it_whatever_its_first_has():
    protocol = server(Deflate(min_size=100))
    protocol.send_message(1, "", False)
    protocol.send_message(0, "x" * 100)

    assert protocol.take_output()[0] == 0x41


# --- both directions ---

PARAMETERS = [
    {},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    *({"server_max_window_bits": bits} for bits in range(9, 16)),
    *({"client_max_window_bits": bits} for bits in range(9, 16)),
    {"level": 0},
    {"level": 1, "mem_level": 1},
    {"level": 9, "mem_level": 9},
]


@pytest.mark.parametrize("agreed", PARAMETERS)
@pytest.mark.parametrize("from_client", [True, False])
def test_messages_of_all_kinds_arrive(agreed, from_client):
    sender = (client if from_client else server)(Deflate(**agreed))
    receiver = (server if from_client else client)(Deflate(**agreed))
    noise = random.Random(1).randbytes(70000)
    payloads = [b"", b"a", b"", noise, noise[:5000] * 9, b"x" * 100000, b"end"]

    for payload in payloads:
        sender.send_message(2, payload)
    receiver.receive(sender.take_output())

    assert [receiver.next_event() for _ in payloads] == [
        (2, payload, True) for payload in payloads
    ]


@pytest.mark.parametrize("agreed", [Deflate(), NO_TAKEOVER])
def test_fragments_of_all_sizes_arrive(agreed):
    sender, receiver = client(agreed), server(agreed)
    pieces = [b"", b"a", b"", b"", b"bcd" * 5000, b"", b"e"]

    for _ in range(2):
        sender.send_message(2, b"", False)
        for piece in pieces:
            sender.send_message(0, piece, False)
        sender.send_message(0, b"")
    receiver.receive(sender.take_output())

    got = b""
    while (event := receiver.next_event()) is not None:
        got += event[1]
    assert got == b"".join(pieces) * 2


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=8), st.booleans())
def test_any_fragments_arrive(pieces, takeover):
    agreed = Deflate(client_no_context_takeover=not takeover)
    sender, receiver = Codec(agreed, True), Codec(agreed, False)

    for _ in range(3):
        for i, piece in enumerate(pieces):
            last = i == len(pieces) - 1
            wire = sender.compress(piece, last)
            assert receiver.decompress(wire, last, len(piece)) == piece


def test_each_side_compresses_with_its_own_parameters():
    agreed = Deflate(
        server_no_context_takeover=True,
        server_max_window_bits=10,
        client_max_window_bits=12,
    )

    ours, theirs = Codec(agreed, False), Codec(agreed, True)

    assert (ours.our_bits, ours.peer_bits) == (10, 12)
    assert (theirs.our_bits, theirs.peer_bits) == (12, 10)
    assert (ours.keeps_ours, ours.keeps_theirs) == (False, True)
    assert (theirs.keeps_ours, theirs.keeps_theirs) == (True, False)


def test_a_window_of_8_bits_is_read():
    codec = Codec(Deflate(server_max_window_bits=8), True)

    assert codec.decompress(b"\xf2\x48\xcd\xc9\xc9\x07\x00", True, -1) == b"Hello"


def test_a_window_of_8_bits_is_read_from_a_peer_whose_zlib_makes_it_9():
    codec = Codec(Deflate(server_max_window_bits=8), True)
    noise = random.Random(5).randbytes(250)
    data = raw_deflate(noise + bytes(200), bits=9)[:-4]
    again = raw_deflate(noise, bits=9, history=noise + bytes(200))[:-4]

    assert codec.decompress(data, True, -1) == noise + bytes(200)
    assert codec.decompress(again, True, -1) == noise


def inflate_bytewise(data, bits):
    """Inflate one byte at a time: zlib then has its window to look back at, no more."""
    inflater = zlib.decompressobj(-bits)
    out = bytearray()
    while True:
        piece = inflater.decompress(data, 1)
        data = inflater.unconsumed_tail
        out += piece
        if not piece and not data:
            return bytes(out)


def noisy(seed):
    """What tempts a compressor to look back as far as it can."""
    dice = random.Random(seed)
    sizes = (60, 200, 249, 250, 251, 255, 256, 257, 260, 300, 511, 512)
    blocks = [dice.randbytes(size) for size in sizes]
    return b"".join(dice.choice(blocks) * 2 for _ in range(40))


@pytest.mark.parametrize("bits", range(8, 16))
@pytest.mark.parametrize("level", [1, 5, 6, 9])
@pytest.mark.parametrize("takeover", [True, False])
def test_no_window_but_the_agreed_one_is_used(bits, level, takeover):
    agreed = Deflate(
        server_max_window_bits=bits,
        server_no_context_takeover=not takeover,
        level=level,
        mem_level=9,
    )
    codec = Codec(agreed, False)
    messages = [noisy(seed) for seed in range(4)]

    sent = [codec.compress(message, True) + TAIL for message in messages]

    if takeover:
        assert inflate_bytewise(b"".join(sent), bits) == b"".join(messages)
    else:
        assert [inflate_bytewise(each, bits) for each in sent] == messages


def test_the_check_of_windows_finds_a_larger_one():
    data = raw_deflate(random.Random(6).randbytes(300) * 4, bits=10)

    with pytest.raises(zlib.error, match="too far back"):
        inflate_bytewise(data, 8)


@pytest.mark.parametrize("bits", [0, 7, 16, 255])
def test_other_windows_are_refused(bits):
    with pytest.raises(ValueError, match=f"{bits} bits"):
        Codec(Deflate(client_max_window_bits=bits), False)


class Counting:
    """Makes contexts as zlib does, and counts them."""

    def __init__(self, make):
        self.make = make
        self.calls = []

    def __call__(self, *args):
        self.calls.append(args)
        return self.make(*args)


@pytest.mark.parametrize(("agreed", "contexts"), [(Deflate(), 1), (NO_TAKEOVER, 3)])
def test_contexts_are_made_on_first_use_and_dropped_when_not_kept(agreed, contexts):
    deflaters = Counting(zlib.compressobj)
    inflaters = Counting(zlib.decompressobj)
    codec = Codec(agreed, False, deflaters, inflaters)
    assert (deflaters.calls, inflaters.calls) == ([], [])

    for _ in range(3):
        assert codec.decompress(codec.compress(b"Hello", True), True, 5) == b"Hello"

    assert len(deflaters.calls) == contexts
    assert len(inflaters.calls) == contexts


def test_the_settings_reach_the_compressor():
    deflaters = Counting(zlib.compressobj)
    codec = Codec(
        Deflate(client_max_window_bits=11, level=3, mem_level=4), True, deflaters
    )

    codec.compress(b"x", True)

    assert deflaters.calls == [(3, zlib.DEFLATED, -11, 4)]


# --- limits ---


@pytest.mark.parametrize("limit", [0, 1, 5, 100, 65536])
def test_the_limit_is_exact(limit):
    data = raw_deflate(b"x" * limit)[:-4]
    assert inflating().decompress(data, True, limit) == b"x" * limit

    data = raw_deflate(b"x" * (limit + 1))[:-4]
    with pytest.raises(PayloadTooBig):
        inflating().decompress(data, True, limit)


@pytest.mark.parametrize("limit", [-1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_huge_limit_and_none_are_fine(limit):
    data = raw_deflate(b"x" * 1000)[:-4]

    assert inflating().decompress(data, True, limit) == b"x" * 1000


def test_a_bomb_is_not_inflated():
    bomb = raw_deflate(bytes(50_000_000))[:-4]
    sizes = []

    class Watching:
        eof = False

        def __init__(self, *args):
            self.inner = zlib.decompressobj(*args)

        def decompress(self, data, limit):
            out = self.inner.decompress(data, limit)
            sizes.append(len(out))
            return out

    codec = Codec(Deflate(), True, zlib.compressobj, Watching)

    with pytest.raises(PayloadTooBig):
        codec.decompress(bomb, True, 1000)
    assert sizes == [1001]


# --- the deflate stream ends early ---


def final(data, history=b""):
    return raw_deflate(data, zlib.Z_FINISH, history=history)


@pytest.mark.parametrize("end", [b"\x00", b""])
def test_a_finished_stream_is_read_with_and_without_an_empty_block(end):
    codec = inflating()

    for text in (b"one", b"", b"three"):
        assert codec.decompress(final(text) + end, True, 100) == text


def test_what_follows_an_early_end_is_read():
    data = final(b"one ") + final(b"two ") + raw_deflate(b"three")[:-4]

    assert inflating().decompress(data, True, 100) == b"one two three"


def test_what_follows_an_early_end_may_refer_to_what_came_before():
    first = random.Random(2).randbytes(40000)
    data = final(first) + raw_deflate(first[-20000:], history=first[-32768:])[:-4]

    assert len(data) < 41000
    assert inflating().decompress(data, True, 60000) == first + first[-20000:]


def test_the_next_message_may_refer_to_one_that_ended_early():
    codec = inflating()
    first, second = b"a message of some words", b"another message of some words"
    both = first + second

    assert codec.decompress(final(first) + b"\x00", True, 99) == first
    data = final(second, first) + b"\x00"
    assert codec.decompress(data, True, 99) == second
    data = raw_deflate(both, history=both)[:-4]
    assert codec.decompress(data, True, 99) == both
    data = raw_deflate(both, history=both * 2)
    assert len(data) < 20
    # The context goes on, too, where the last message did not end early.
    plain = raw_deflate(both)[:-4]
    assert codec.decompress(plain, True, 99) == both


def test_what_ended_early_is_forgotten_where_contexts_are_not_kept():
    codec = Codec(NO_TAKEOVER, True)
    first = b"a message of some words"

    assert codec.decompress(final(first) + b"\x00", True, 99) == first
    with pytest.raises(ProtocolError):
        codec.decompress(raw_deflate(first, history=first)[:-4], True, 99)


@pytest.mark.parametrize("end", [b"\x00", b""])
def test_an_early_end_is_read_byte_by_byte(end):
    codec = inflating()
    wire = final(b"one ") + final(b"two ", b"one ") + end

    for _ in range(2):
        out = b"".join(
            codec.decompress(wire[i : i + 1], False, 8) for i in range(len(wire))
        )
        out += codec.decompress(b"", True, 8)
        assert out == b"one two "


def test_fragments_end_early_too():
    codec = inflating()

    for i, text in enumerate((b"one ", b"two ", b"three")):
        assert codec.decompress(final(text), i == 2, 8) == text


def test_only_as_much_as_the_window_is_remembered():
    codec = inflating(server_max_window_bits=9)
    text = random.Random(4).randbytes(400)
    noise = [random.Random(i).randbytes(700) for i in range(5)]

    for part in [*noise, text]:
        stored = raw_deflate(part, bits=9)
        assert codec.decompress(stored, False, 700) == part
    assert codec.decompress(final(b""), False, 0) == b""

    assert len(codec.decompress(final(text, text) + b"\x00", True, 400)) == 400


def test_the_limit_holds_across_early_ends():
    data = final(b"x" * 50) + final(b"y" * 50) + b"\x00"
    assert len(inflating().decompress(data, True, 100)) == 100
    assert len(inflating().decompress(data, True, -1)) == 100

    with pytest.raises(PayloadTooBig):
        inflating().decompress(data, True, 99)


def test_the_limit_may_be_reached_at_an_early_end():
    data = final(b"x" * 50) + final(b"") + b"\x00"

    assert len(inflating().decompress(data, True, 50)) == 50


def test_early_ends_are_bounded():
    fine = final(b"x") * 16
    assert inflating().decompress(fine, True, 16) == b"x" * 16

    with pytest.raises(ProtocolError, match="ends more than 16 times"):
        inflating().decompress(final(b"") * 17, True, 10)


def test_early_ends_are_bounded_for_each_message():
    codec = inflating()

    for _ in range(3):
        assert codec.decompress(final(b"") * 12, True, 10) == b""


def test_early_ends_are_bounded_in_all_fragments_together():
    codec = inflating()

    for _ in range(16):
        codec.decompress(final(b""), False, 10)
    with pytest.raises(ProtocolError, match="ends more than 16 times"):
        codec.decompress(final(b"") * 2, False, 10)


def test_a_long_stream_after_an_early_end_is_read():
    long = random.Random(3).randbytes(20000)
    data = final(b"one") + raw_deflate(long)[:-4]

    assert inflating().decompress(data, True, 99999) == b"one" + long


# --- corrupt data ---


@pytest.mark.parametrize(
    "data", [b"\xff", b"\x06", b"\x00\x05\x00\x00\x00", b"\xf3\x48\xcd\xc9\xc9\x07\xff"]
)
def test_corrupt_data_is_refused_with_1007(data):
    with pytest.raises(ProtocolError, match="compressed data is corrupt") as info:
        inflating().decompress(data, True, 100)

    assert info.value.code == 1007


def test_a_reference_before_the_beginning_is_refused(read):
    [fault] = read(client(Deflate()), frame(0xC1, b"\xf2\x00\x11\x00\x00"))

    assert fault.code == 1007
