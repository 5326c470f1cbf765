"""Frames in and out: RFC 6455 section 5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire.core import frames
from longwire.errors import ProtocolError, UsageError
from tests.core.wires import RFC_KEY, client, frame, server

LONGEST = 2**63 - 1


# --- what is read ---


def test_an_unmasked_text_is_read_by_a_client(read):
    assert read(client(), b"\x81\x05\x48\x65\x6c\x6c\x6f") == [(1, "Hello", True)]


def test_a_masked_text_is_read_by_a_server(read):
    wire = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"

    assert read(server(), wire) == [(1, "Hello", True)]


def test_a_fragmented_text_is_read_in_pieces(read):
    wire = b"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f"

    assert read(client(), wire) == [(1, "Hel", False), (1, "lo", True)]


def test_a_ping_and_its_masked_pong_are_read(read):
    assert read(client(), b"\x89\x05\x48\x65\x6c\x6c\x6f") == [(9, b"Hello", True)]
    pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
    assert read(server(), pong) == [(10, b"Hello", True)]


def test_a_message_of_256_bytes_has_a_16_bit_length(read):
    payload = bytes(range(256))

    assert read(client(), b"\x82\x7e\x01\x00" + payload) == [(2, payload, True)]


def test_a_message_of_64_kib_has_a_64_bit_length(read):
    payload = bytes(range(256)) * 256
    wire = b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + payload

    assert read(client(), wire) == [(2, payload, True)]


@pytest.mark.parametrize("size", [0, 1, 2, 125, 126, 127, 1000, 65535])
@pytest.mark.parametrize("kind", [1, 2, 9, 10])
def test_every_size_is_read_masked(read, kind, size):
    if kind > 8 and size > 125:
        size = 124
    wire = frame(0x80 | kind, b"a" * size, RFC_KEY)
    payload = "a" * size if kind == 1 else b"a" * size

    assert read(server(), wire) == [(kind, payload, True)]


# --- what is refused ---

SERVER_FAULTS = [
    (b"\xc1\x80\x00\x00\x00\x00", "reserved bits must be 0; got 100"),
    (b"\xa1\x80\x00\x00\x00\x00", "reserved bits must be 0; got 010"),
    (b"\x91\x80\x00\x00\x00\x00", "reserved bits must be 0; got 001"),
    (b"\xc9\x80\x00\x00\x00\x00", "reserved bits must be 0; got 100"),
    (b"\x83\x80\x00\x00\x00\x00", "reserved opcode 0x3"),
    (b"\x87\x80\x00\x00\x00\x00", "reserved opcode 0x7"),
    (b"\x8b\x80\x00\x00\x00\x00", "reserved opcode 0xb"),
    (b"\x8f\x80\x00\x00\x00\x00", "reserved opcode 0xf"),
    (b"\x08\x80\x00\x00\x00\x00", "control frame is fragmented"),
    (b"\x09\x80\x00\x00\x00\x00", "control frame is fragmented"),
    (b"\x0a\x80\x00\x00\x00\x00", "control frame is fragmented"),
    (b"\x81\x01a", "frame from the client is not masked"),
    (b"\x88\x00", "frame from the client is not masked"),
    (b"\x89\xfe\x00\x7e\x00\x00\x00\x00", "control frame is longer than 125 bytes"),
    (b"\x88\xff" + bytes(12), "control frame is longer than 125 bytes"),
    (b"\x82\xfe\x00\x7d\x00\x00\x00\x00", "length 125 is not in its shortest form"),
    (b"\x82\xfe\x00\x00\x00\x00\x00\x00", "length 0 is not in its shortest form"),
    (b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff" + bytes(4), "length 65535 is not in"),
    (b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x7d" + bytes(4), "length 125 is not in"),
    (b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00" + bytes(4), "highest bit set"),
    (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" + bytes(4), "highest bit set"),
]


@pytest.mark.parametrize(("wire", "text"), SERVER_FAULTS)
def test_a_fault_of_a_client_is_refused(read, wire, text):
    [fault] = read(server(), wire)

    assert isinstance(fault, ProtocolError)
    assert fault.code == 1002
    assert text in str(fault)


def test_a_masked_frame_of_a_server_is_refused(read):
    [fault] = read(client(), b"\x81\x81\x00\x00\x00\x00a")

    assert "frame from the server is masked" in str(fault)


def test_a_bad_first_byte_is_refused_before_the_length_is_there():
    protocol = server()
    protocol.receive(b"\x83\xff")

    with pytest.raises(ProtocolError, match="reserved opcode"):
        protocol.next_event()


def test_messages_before_a_fault_are_read_first(read):
    wire = b"\x81\x82\x00\x00\x00\x00ok" + b"\x83\x80\x00\x00\x00\x00"

    message, fault = read(server(), wire)

    assert message == (1, "ok", True)
    assert isinstance(fault, ProtocolError)


# --- what is held ---


def test_a_declared_length_allocates_nothing():
    protocol = client()
    protocol.receive(b"\x82\x7f" + LONGEST.to_bytes(8, "big") + b"abc")

    assert protocol.next_event() is None
    assert protocol.buffered == 3


def test_input_is_not_read_before_it_is_asked_for():
    reader = frames.FrameReader(True, 0)

    reader.feed(b"\x81\x01a")
    reader.feed(b"\x81\x01b" * 100)
    reader.feed(b"\x81\x01c")

    assert reader.unread() == 306
    texts = []
    while reader.read_header():
        assert reader.is_whole()
        texts.append(reader.take_text())
    assert texts == ["a", *"b" * 100, "c"]
    assert reader.unread() == 0


def test_a_payload_is_completed_by_later_input():
    reader = frames.FrameReader(False, 0)
    wire = frame(0x82, b"0123456789" * 30, RFC_KEY)

    reader.feed(frame(0x82, b"first", RFC_KEY) + wire[:200])
    reader.feed(wire[200:])

    assert reader.read_header()
    assert reader.take() == b"first"
    assert reader.read_header()
    assert reader.is_whole()
    assert reader.take() == b"0123456789" * 30


@pytest.mark.parametrize("there", [0, 1, 3])
def test_a_payload_may_be_awaited_whole(there):
    wire = b"\x81\x85" + RFC_KEY + b"\x7f\x9f\x4d\x51\x58"
    reader = frames.FrameReader(False, 0)
    reader.feed(wire[: 6 + there])
    assert reader.read_header()

    assert not reader.is_whole()
    reader.feed(wire[6 + there :])

    assert reader.is_whole()
    assert reader.take_text() == "Hello"


def test_a_payload_is_taken_as_it_comes():
    reader = frames.FrameReader(False, 0)
    wire = frame(0x82, b"0123456789", RFC_KEY)

    reader.feed(wire[:6])
    assert reader.read_header()
    assert (reader.size, reader.remaining) == (10, 10)
    assert reader.take() == b""
    reader.feed(wire[6:9])
    assert reader.take() == b"012"
    assert not reader.is_whole()
    reader.feed(wire[9:] + b"\x82")
    assert reader.is_whole()
    assert reader.take() == b"3456789"
    assert reader.remaining == 0
    assert reader.unread() == 1


def test_forgotten_input_is_gone():
    reader = frames.FrameReader(True, 0)
    reader.feed(b"\x81\x01a")

    reader.clear()

    assert reader.unread() == 0
    assert not reader.read_header()


# --- what we send ---


def test_the_examples_of_the_rfc_are_encoded():
    assert frames.encode(1, b"Hello", True, 0, None) == b"\x81\x05\x48\x65\x6c\x6c\x6f"
    assert frames.encode(1, b"Hel", False, 0, None) == b"\x01\x03\x48\x65\x6c"
    assert frames.encode(0, b"lo", True, 0, None) == b"\x80\x02\x6c\x6f"
    masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
    assert frames.encode(1, b"Hello", True, 0, RFC_KEY) == masked


@pytest.mark.parametrize(("rsv", "first"), [(4, 0xC2), (2, 0xA2), (1, 0x92)])
def test_reserved_bits_are_encoded(rsv, first):
    assert frames.encode(2, b"", True, rsv, None) == bytes([first, 0])
    assert frames.header(2, 0, True, rsv, RFC_KEY) == bytes([first, 0x80]) + RFC_KEY


@pytest.mark.parametrize("size", [2**31, LONGEST])
def test_the_header_of_a_huge_payload_is_encoded(size):
    head = b"\x82\x7f" + size.to_bytes(8, "big")

    assert frames.header(2, size, True, 0, None) == head


# --- reading that is put off ---


@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(1, 600), st.integers(0, 4)), max_size=12),
)
def test_input_is_read_in_order_however_long_it_waits(sizes, steps):
    payloads = [bytes([n]) * size for n, size in enumerate(sizes)]
    wire = b"".join(frame(0x82, payload) for payload in payloads)
    protocol = client()
    got = []

    for size, reads in steps:
        protocol.receive(wire[:size])
        wire = wire[size:]
        for _ in range(reads):
            got.append(protocol.next_event())
    protocol.receive(wire)
    while (event := protocol.next_event()) is not None:
        got.append(event)

    assert [event[1] for event in got if event is not None] == payloads


def test_input_that_waited_comes_before_what_came_later():
    first = frame(0x82, b"1") + frame(0x82, b"2" * 200)
    protocol = client()
    protocol.receive(first)
    protocol.next_event()
    protocol.receive(frame(0x82, b"3"))
    protocol.next_event()

    protocol.receive(frame(0x82, b"4"))

    assert [protocol.next_event()[1] for _ in range(2)] == [b"3", b"4"]


# --- close frames ---

GOOD_CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
BAD_CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("code", GOOD_CODES)
def test_a_good_close_code_goes_both_ways(read, code):
    payload = code.to_bytes(2, "big") + b"bye"

    assert frames.serialize_close(code, "bye") == payload
    assert frames.parse_close(payload) == (code, "bye")
    assert read(client(), b"\x88\x05" + payload) == [(8, (code, "bye"), True)]


@pytest.mark.parametrize("code", BAD_CODES)
def test_a_bad_close_code_is_refused_both_ways(read, code):
    with pytest.raises(UsageError, match=f"close code {code} cannot be sent; 1000 to"):
        frames.serialize_close(code, "")

    [fault] = read(client(), b"\x88\x02" + code.to_bytes(2, "big"))

    assert fault.code == 1002
    assert str(fault) == f"close code {code} is not allowed"


@pytest.mark.parametrize("code", [-1, 2**16 + 1000, 2**31, 2**63, 2**64 - 1])
def test_a_close_code_that_is_no_code_is_not_sent(code):
    assert not frames.is_sendable_code(code)
    assert not frames.is_receivable_code(code)
    with pytest.raises(UsageError):
        frames.serialize_close(code, "")


def test_a_close_frame_may_be_empty(read):
    assert frames.serialize_close(None, "") == b""
    assert read(client(), b"\x88\x00") == [(8, (1005, ""), True)]


def test_a_close_payload_of_one_byte_is_refused(read):
    [fault] = read(client(), b"\x88\x01\x03")

    assert fault.code == 1002
    assert "close payload of 1 byte" in str(fault)


def test_a_close_reason_that_is_not_utf8_is_refused_with_1007(read):
    [fault] = read(client(), b"\x88\x03\x03\xe8\xff")

    assert fault.code == 1007
    assert "close reason is not UTF-8" in str(fault)


def test_a_reason_needs_a_code():
    with pytest.raises(UsageError, match="needs a close code"):
        frames.serialize_close(None, "bye")


def test_a_close_reason_has_at_most_123_bytes():
    assert len(frames.serialize_close(1000, "é" * 61)) == 124
    with pytest.raises(UsageError, match="124 bytes; 123 are allowed"):
        frames.serialize_close(1000, "é" * 62)
