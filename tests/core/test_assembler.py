"""Messages out of frames: order, text, limits."""

import pytest

from longwire.core.assembler import Assembler
from longwire.errors import PayloadTooBig, ProtocolError, TooManyFragments
from longwire.messages import Deflate
from tests.core.wires import NO_MASK, client, frame, server

LIMITS = [2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**70]


# --- the order of frames ---


def test_a_continuation_without_a_message_is_refused(read):
    [fault] = read(client(), b"\x80\x01a")

    assert fault.code == 1002
    assert "without a message to continue" in str(fault)


def test_a_continuation_after_a_whole_message_is_refused(read):
    message, fault = read(client(), b"\x82\x01a" + b"\x80\x01b")

    assert message == (2, b"a", True)
    assert "without a message to continue" in str(fault)


def test_a_new_message_inside_a_message_is_refused(read):
    piece, fault = read(client(), b"\x02\x01a" + b"\x82\x01b")

    assert piece == (2, b"a", False)
    assert fault.code == 1002
    assert "before the last one is finished" in str(fault)


def test_control_frames_come_between_fragments(read):
    wire = b"\x01\x01a" + b"\x89\x01p" + b"\x00\x00" + b"\x8a\x00" + b"\x80\x01b"

    assert read(client(), wire) == [
        (1, "a", False),
        (9, b"p", True),
        (1, "", False),
        (10, b"", True),
        (1, "b", True),
    ]


def test_fragments_tell_the_kind_of_their_message(read):
    wire = b"\x02\x01a" + b"\x00\x01b" + b"\x80\x01c"

    assert read(client(), wire) == [(2, b"a", False), (2, b"b", False), (2, b"c", True)]


def test_the_first_frame_after_a_message_begins_another(read):
    wire = b"\x01\x01a" + b"\x80\x01b" + b"\x82\x01c"

    assert read(client(), wire)[-1] == (2, b"c", True)


# --- text ---

EURO = b"\xe2\x82\xac"


@pytest.mark.parametrize("cut", range(4))
def test_a_piece_of_text_never_ends_inside_a_character(read, cut):
    head = frame(0x01, EURO[:cut], NO_MASK)
    wire = head + frame(0x80, EURO[cut:] + b"!", NO_MASK)
    first = "€" if cut == 3 else ""

    assert read(server(), wire) == [(1, first, False), (1, "€!"[len(first) :], True)]


def test_a_character_may_be_spread_over_many_fragments(read):
    wire = b"\x01\x01\xf0" + b"\x00\x00" + b"\x00\x01\x9d" + b"\x00\x01\x84"

    assert read(client(), wire + b"\x80\x01\x9e") == [
        (1, "", False),
        (1, "", False),
        (1, "", False),
        (1, "", False),
        (1, "𝄞", True),
    ]


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"ok\x80",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"a" * 3000 + b"\xe2\x28\xa1",
    ],
)
@pytest.mark.parametrize("key", [None, NO_MASK])
def test_a_text_that_is_not_utf8_is_refused(read, payload, key):
    [fault] = read(server() if key else client(), frame(0x81, payload, key))

    assert isinstance(fault, ProtocolError)
    assert fault.code == 1007


# Each is bad from its last byte on, and not before.
FIRST_BAD_BYTES = [
    b"\x80",
    b"\xc0",
    b"\xc1",
    b"\xf5",
    b"\xfe",
    b"\xc3\x28",
    b"\xe0\x9f",
    b"\xed\xa0",
    b"\xed\xbf",
    b"\xf0\x8f",
    b"\xf4\x90",
    b"\xe2\x82\x28",
    b"\xed\x9f\xc0",
    b"\xf0\x90\x28",
    b"\xf0\x9d\x84\x28",
]


@pytest.mark.parametrize("bad", FIRST_BAD_BYTES)
def test_a_frame_fails_at_its_first_bad_byte(bad):
    protocol = server()
    protocol.receive(b"\x81\xfe\x01\x00" + NO_MASK + b"good")
    protocol.receive("é".encode() + bad[:-1])
    assert protocol.next_event() is None

    protocol.receive(bad[-1:])

    with pytest.raises(ProtocolError, match="not UTF-8") as info:
        protocol.next_event()
    assert info.value.code == 1007


@pytest.mark.parametrize("bad", FIRST_BAD_BYTES)
def test_a_fragment_fails_at_its_first_bad_byte(read, bad):
    head = frame(0x01, b"good" + bad[:-1])

    piece, fault = read(client(), head + b"\x00\x01" + bad[-1:])

    assert piece == (1, "good", False)
    assert fault.code == 1007


@pytest.mark.parametrize("bad", [b"\xe2\x82", b"\xf0\x9d\x84", b"\xc3"])
def test_a_message_must_not_end_inside_a_character(read, bad):
    piece, fault = read(client(), frame(0x01, b"good" + bad) + b"\x80\x00")

    assert piece == (1, "good", False)
    assert fault.code == 1007


def test_binary_is_not_checked(read):
    assert read(client(), b"\x82\x02\xff\xfe") == [(2, b"\xff\xfe", True)]


def test_a_tail_does_not_reach_into_the_next_message(read):
    wire = b"\x01\x01\xc3" + b"\x80\x01\xa9" + b"\x81\x01a"

    assert read(client(), wire) == [(1, "", False), (1, "é", True), (1, "a", True)]


# --- limits ---


def test_a_message_of_the_limit_is_read_and_one_more_byte_refused(read):
    whole = frame(0x82, b"x" * 200)
    assert read(client(max_message=200), whole) == [(2, b"x" * 200, True)]

    [fault] = read(client(max_message=199), whole)

    assert isinstance(fault, PayloadTooBig)
    assert (fault.size, fault.max_size, fault.current_size) == (200, 199, 0)
    assert (fault.limit, fault.limit_value, fault.code) == ("message", 199, 1009)


def test_fragments_count_together(read):
    wire = b"\x01\x03abc" + b"\x00\x02de" + b"\x80\x01f"
    assert len(read(client(max_message=6), wire)) == 3

    *pieces, fault = read(client(max_message=5), wire)

    assert pieces == [(1, "abc", False), (1, "de", False)]
    assert (fault.size, fault.max_size, fault.current_size) == (1, 5, 5)


def test_text_is_counted_in_bytes(read):
    [fault] = read(client(max_message=5), frame(0x81, "€€".encode()))

    assert isinstance(fault, PayloadTooBig)


def test_each_message_has_the_whole_limit(read):
    wire = frame(0x82, b"abc") * 3

    assert len(read(client(max_message=3), wire)) == 3


def test_one_fragment_has_a_limit_of_its_own(read):
    wire = frame(0x02, b"abc") + frame(0x00, b"abc") + frame(0x80, b"abcd")

    *pieces, fault = read(client(max_fragment=3), wire)

    assert pieces == [(2, b"abc", False), (2, b"abc", False)]
    assert (fault.limit, fault.limit_value, fault.code) == ("fragment", 3, 1009)


def test_a_limit_of_zero_is_a_limit(read):
    assert read(client(max_message=0), b"\x82\x00") == [(2, b"", True)]

    [fault] = read(client(max_message=0), b"\x82\x01a")

    assert isinstance(fault, PayloadTooBig)


@pytest.mark.parametrize("size", [2**31, 2**62, 2**63 - 1])
def test_a_huge_frame_is_refused_by_its_header(size):
    for limits in ({"max_message": 2**31 - 1}, {"max_fragment": 2**31 - 1}):
        protocol = client(**limits)
        protocol.receive(b"\x82\x7f" + size.to_bytes(8, "big"))

        with pytest.raises(PayloadTooBig) as info:
            protocol.next_event()

        assert info.value.size == size
        assert protocol.buffered == 0


@pytest.mark.parametrize("limit", LIMITS)
def test_a_huge_limit_is_a_limit(limit):
    protocol = client(max_message=limit, max_fragment=limit, max_fragments=limit)
    protocol.receive(b"\x02\x00")
    protocol.receive(b"\x80\x7f" + (2**31).to_bytes(8, "big"))

    assert protocol.next_event() == (2, b"", False)
    assert protocol.next_event() is None


def test_sizes_near_the_top_do_not_wrap(read):
    wire = b"\x02\x7f" + (2**63 - 1).to_bytes(8, "big")
    protocol = client(max_message=2**63 - 2)

    [fault] = read(protocol, wire)

    assert isinstance(fault, PayloadTooBig)


def test_empty_fragments_are_counted(read):
    wire = b"\x02\x00" + b"\x00\x00" * 4 + b"\x80\x00"
    assert len(read(client(max_fragments=6), wire)) == 6

    *pieces, fault = read(client(max_fragments=5), wire)

    assert len(pieces) == 5
    assert isinstance(fault, TooManyFragments)
    assert (fault.limit, fault.limit_value, fault.code) == ("fragments", 5, 1009)


def test_fragments_are_counted_for_each_message(read):
    wire = (b"\x02\x00" + b"\x80\x00") * 3

    assert len(read(client(max_fragments=2), wire)) == 6


@pytest.mark.parametrize(
    ("message", "fragment", "left"),
    [(-1, -1, None), (10, -1, 10), (-1, 7, 7), (10, 7, 7), (0, -1, 0)],
)
def test_an_extension_is_told_what_the_limits_leave(message, fragment, left):
    assembler = Assembler(message, fragment)

    assembler.begin(2, False, 0)

    assert assembler.budget() == left


# --- compressed messages ---

HELLO = b"\xf2\x48\xcd\xc9\xc9\x07\x00"


def test_the_inflated_size_is_limited_exactly(read):
    wire = frame(0xC1, HELLO)
    assert read(client(Deflate(), max_message=5), wire) == [(1, "Hello", True)]

    [fault] = read(client(Deflate(), max_message=4), wire)

    assert isinstance(fault, PayloadTooBig)
    assert (fault.size, fault.max_size, fault.limit) == (None, 4, "message")


def test_a_frame_longer_than_what_it_inflates_to_is_not_too_big(read):
    wire = frame(0xC2, b"\x00\x05\x00\xfa\xffHello\x00")

    assert read(client(Deflate(), max_message=5), wire) == [(2, b"Hello", True)]


def test_inflated_fragments_count_together(read):
    wire = frame(0x41, HELLO[:3]) + frame(0x80, HELLO[3:])
    assert (
        "".join(e[1] for e in read(client(Deflate(), max_message=5), wire)) == "Hello"
    )

    fault = read(client(Deflate(), max_message=4), wire)[-1]

    assert isinstance(fault, PayloadTooBig)


def test_a_budget_of_zero_is_not_no_limit(read):
    wire = frame(0x42, b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff")
    wire += frame(0x80, b"\x02\x13\x00\x00")

    *pieces, fault = read(client(Deflate(), max_message=5), wire)

    assert b"".join(data for _, data, _ in pieces) == b"Hello"
    assert isinstance(fault, PayloadTooBig)


def test_the_inflated_size_of_one_fragment_is_limited(read):
    wire = frame(0xC1, HELLO)
    assert read(client(Deflate(), max_fragment=5), wire) == [(1, "Hello", True)]

    [fault] = read(client(Deflate(), max_fragment=4), wire)

    assert (fault.max_size, fault.limit) == (4, "fragment")


def test_inflated_text_is_checked(read):
    wire = frame(0xC1, b"\x00\x02\x00\xfd\xff\xc3\x28\x00")

    [fault] = read(client(Deflate()), wire)

    assert fault.code == 1007


def test_a_frame_compressed_and_incomplete_is_checked_as_it_comes():
    protocol = client(Deflate())
    protocol.receive(b"\xc1\x7e\x01\x00" + b"\x00\x02\x00\xfd\xff\xc3\x28")

    with pytest.raises(ProtocolError, match="not UTF-8"):
        protocol.next_event()


def test_a_continuation_does_not_say_that_it_is_compressed(read):
    wire = frame(0x41, HELLO[:3]) + frame(0xC0, HELLO[3:])

    fault = read(client(Deflate()), wire)[-1]

    assert fault.code == 1002
    assert "continuation" in str(fault)


# --- what is held ---


def test_what_is_held_is_counted():
    protocol = client()

    protocol.receive(b"\x01\x04abc\xe2" + b"\x80\x04\x82\xac")
    assert protocol.buffered == 10
    assert protocol.next_event() == (1, "abc", False)
    assert protocol.buffered == 1 + 4  # the tail of a character, then raw input
    assert protocol.next_event() is None
    assert protocol.buffered == 3
    protocol.receive(b"de" + b"\x81")
    assert protocol.buffered == 6
    assert protocol.next_event() == (1, "\u20acde", True)
    assert protocol.buffered == 1
    assert protocol.next_event() is None
    assert protocol.buffered == 1


def test_dribbled_bytes_are_held_as_one_object():
    protocol = client()
    protocol.receive(b"\x82\x7e\xff\xff")
    for _ in range(1000):
        protocol.receive(b"x")
        assert protocol.next_event() is None

    assert protocol.buffered == 1000
