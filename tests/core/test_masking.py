"""The XOR of RFC 6455 section 5.3, and whole frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire.core import masking

KEY = b"\x37\xfa\x21\x3d"
SIZES = [*range(40), 125, 126, 1023, 1024, 1025, 4096, 65535, 65536]


def xor(data, key, offset=0):
    return bytes(b ^ key[(i + offset) % 4] for i, b in enumerate(data))


def test_the_example_of_the_rfc_is_masked():
    assert masking.apply_mask(b"Hello", KEY) == b"\x7f\x9f\x4d\x51\x58"


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_masked(size):
    data = bytes(i * 7 & 0xFF for i in range(size))

    assert masking.apply_mask(data, KEY) == xor(data, KEY)


@given(
    st.binary(max_size=300),
    st.binary(min_size=4, max_size=4),
    st.integers(0, 2**40),
)
def test_a_piece_is_masked_by_its_place_in_the_payload(data, key, offset):
    assert masking.apply_mask(data, key, offset) == xor(data, key, offset)


@given(st.binary(max_size=99), st.binary(max_size=99))
def test_unmask_takes_the_key_before_the_payload(payload, around):
    buf = around + KEY + xor(payload, KEY) + around

    start = len(around) + 4

    assert masking.unmask(buf, start, len(payload)) == payload


@pytest.mark.parametrize("size", SIZES)
def test_ascii_text_is_unmasked(size):
    text = "longwire"[: size % 9] * (size // 8 + 1)
    data = text.encode()

    assert masking.unmask_text(KEY + xor(data, KEY), 4, len(data)) == text


@given(st.text(max_size=50), st.integers(0, 3000))
def test_text_is_unmasked_wherever_its_first_wide_character_is(text, before):
    text = "a" * before + text
    data = text.encode()

    assert masking.unmask_text(KEY + xor(data, KEY), 4, len(data)) == text


@pytest.mark.parametrize("data", [b"\xff", b"abc\xc3", b"a" * 2000 + b"\xed\xa0\x80"])
def test_text_that_is_not_utf8_is_refused(data):
    with pytest.raises(UnicodeDecodeError):
        masking.unmask_text(KEY + xor(data, KEY), 4, len(data))

    with pytest.raises(UnicodeDecodeError):
        masking.read_text(data, 0, len(data))


def test_unmasked_text_is_read_from_the_middle():
    assert masking.read_text("--é--".encode(), 2, 2) == "é"


HEADERS = [
    (0, b"\x82\x00"),
    (1, b"\x82\x01"),
    (125, b"\x82\x7d"),
    (126, b"\x82\x7e\x00\x7e"),
    (65535, b"\x82\x7e\xff\xff"),
    (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    (2**31, b"\x82\x7f\x00\x00\x00\x00\x80\x00\x00\x00"),
    (2**63 - 1, b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"),
]


@pytest.mark.parametrize(("size", "head"), HEADERS)
def test_a_header_has_the_shortest_length(size, head):
    assert masking.build_header(0x82, size, b"", -1) == head


@pytest.mark.parametrize(("size", "head"), HEADERS)
def test_a_masked_header_has_the_mask_bit_and_the_key(size, head):
    masked = bytes([head[0], head[1] | 0x80]) + head[2:] + KEY

    assert masking.build_header(0x82, size, b"--" + KEY + b"--", 2) == masked


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_frame_is_header_and_payload(size):
    payload = b"x" * size
    head = masking.build_header(0x82, size, b"", -1)

    assert masking.build_frame(0x82, payload, b"", -1) == head + payload


@pytest.mark.parametrize("text", ["", "Hello", "é", "𝄞" * 40, "a" * 70000])
def test_a_str_becomes_utf8(text):
    data = text.encode()
    plain = masking.build_header(0x81, len(data), b"", -1)
    masked = masking.build_header(0x81, len(data), KEY, 0)

    assert masking.build_frame(0x81, text, b"", -1) == plain + data
    assert masking.build_frame(0x81, text, KEY, 0) == masked + xor(data, KEY)


def test_a_lone_surrogate_is_not_sent():
    with pytest.raises(UnicodeEncodeError):
        masking.build_frame(0x81, "\ud800", b"", -1)
