"""An open connection, either side: events, turns, closing, counters."""

import os
from random import Random

import pytest

from longwire.core.deflate import Codec
from longwire.core.protocol import Protocol
from longwire.errors import (
    InvalidState,
    PayloadTooBig,
    ProtocolError,
    UsageError,
)
from longwire.messages import Deflate, State
from tests.core.wires import NO_MASK, RFC_KEY, client, frame, server, zeros

HELLO_FROM_CLIENT = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"


# --- events ---


def test_nothing_comes_of_nothing():
    protocol = server()

    assert protocol.next_event() is None
    protocol.receive(b"")
    assert protocol.next_event() is None
    assert protocol.bytes_received == 0


def test_events_are_read_one_by_one():
    protocol = server()
    protocol.receive(HELLO_FROM_CLIENT * 3)

    assert protocol.buffered == 33
    assert protocol.next_event() == (1, "Hello", True)
    assert protocol.buffered == 22
    protocol.receive(HELLO_FROM_CLIENT)
    assert protocol.buffered == 33
    assert [protocol.next_event() for _ in range(4)] == [
        *[(1, "Hello", True)] * 3,
        None,
    ]
    assert protocol.buffered == 0


def test_input_may_pile_up_while_events_are_not_read():
    protocol = server()
    wire = HELLO_FROM_CLIENT * 100
    for i in range(0, len(wire), 7):
        protocol.receive(wire[i : i + 7])

    assert protocol.buffered == len(wire)
    assert [protocol.next_event() for _ in range(100)] == [(1, "Hello", True)] * 100
    assert protocol.next_event() is None


def test_input_that_waits_comes_before_what_comes_later():
    protocol = client()
    first = b"\x82\x7e\x13\x88" + bytes(5000)
    protocol.receive(first)
    protocol.receive(b"\x81\x01b")  # more than is worth a copy lies unread before it
    assert protocol.next_event() == (2, bytes(5000), True)
    protocol.receive(b"\x81\x01c")  # all before the second was read

    assert [protocol.next_event() for _ in range(3)] == [
        (1, "b", True),
        (1, "c", True),
        None,
    ]


@pytest.mark.parametrize("seed", range(30))
def test_messages_come_in_order_however_input_and_reading_take_turns(seed):
    random = Random(seed)
    payloads = [
        random.randbytes(random.choice([0, 1, 5, 125, 126, 900, 5000, 70000]))
        for _ in range(60)
    ]
    wire = b"".join(frame(0x82, payload, RFC_KEY) for payload in payloads)
    ends = [0]
    for payload in payloads:
        ends.append(ends[-1] + len(frame(0x82, payload, RFC_KEY)))
    protocol, at, read = server(), 0, []

    while len(read) < len(payloads):
        for _ in range(random.randrange(5)):
            # Often up to the end of a frame, as peers write.
            later = [end for end in ends if end > at] or [at]
            step = random.choice([later[0] - at, later[0] - at, random.randrange(9000)])
            protocol.receive(wire[at : at + step])
            at = min(at + step, len(wire))
        for _ in range(random.randrange(4)):
            if (event := protocol.next_event()) is not None:
                read.append(event[1])

    assert read == payloads


def test_a_message_under_way_is_told(read):
    protocol = client()
    assert not protocol.mid_message
    read(protocol, b"\x01\x01a")
    assert protocol.mid_message
    read(protocol, b"\x89\x00")
    assert protocol.mid_message
    read(protocol, b"\x80\x01b")
    assert not protocol.mid_message


def test_counters_count_bytes_and_whole_messages():
    protocol = server()
    wire = frame(0x01, b"a", NO_MASK) + frame(0x80, b"b", NO_MASK) + HELLO_FROM_CLIENT
    protocol.receive(wire)
    while protocol.next_event():
        pass
    protocol.send_message(1, "a", False)
    protocol.send_message(0, "b")
    protocol.send_message(2, b"c")
    protocol.send_ping(b"")

    assert protocol.bytes_received == len(wire)
    assert protocol.messages_received == 2
    assert protocol.messages_sent == 2
    assert protocol.bytes_sent == 0
    assert protocol.output_size == 3 + 3 + 3 + 2
    assert len(protocol.take_output()) == 11
    assert (protocol.bytes_sent, protocol.output_size) == (11, 0)


# --- the end of input ---


def test_after_a_fault_nothing_is_read():
    protocol = server()
    protocol.receive(HELLO_FROM_CLIENT + b"\x83\x80" + HELLO_FROM_CLIENT)

    assert protocol.next_event() == (1, "Hello", True)
    with pytest.raises(ProtocolError):
        protocol.next_event()
    assert protocol.next_event() is None
    protocol.receive(HELLO_FROM_CLIENT)
    assert protocol.next_event() is None
    assert protocol.buffered == 0
    assert protocol.bytes_received == 2 * 11 + 2 + 11
    assert protocol.state == State.OPEN


def test_after_a_limit_nothing_is_read():
    protocol = server(max_message=4)
    protocol.receive(HELLO_FROM_CLIENT)

    with pytest.raises(PayloadTooBig):
        protocol.next_event()
    assert protocol.next_event() is None


def test_after_a_close_frame_nothing_is_read():
    protocol = client()
    protocol.receive(b"\x81\x01a" + b"\x88\x02\x03\xe8" + b"\x81\x01b" + b"\x83")

    assert protocol.next_event() == (1, "a", True)
    assert protocol.next_event() == (8, (1000, ""), True)
    assert protocol.next_event() is None
    protocol.receive(b"\x81\x01c")
    assert protocol.next_event() is None
    assert protocol.buffered == 0


def test_a_close_frame_ends_a_message_under_way(read):
    events = read(client(), b"\x01\x01a" + b"\x88\x00")

    assert events == [(1, "a", False), (8, (1005, ""), True)]


# --- closing ---


def test_the_peer_closes_first():
    protocol = client()
    protocol.receive(b"\x88\x05\x03\xe9bye")
    protocol.next_event()

    assert protocol.state == State.CLOSING
    assert protocol.close_received == (1001, "bye")
    assert protocol.close_sent is None
    assert protocol.close_received_first

    protocol.send_message(1, "still allowed")
    protocol.send_pong(b"")
    protocol.send_close(1001, "")

    assert protocol.close_sent == (1001, "")
    assert protocol.close_received_first
    assert protocol.state == State.CLOSING


def test_we_close_first():
    protocol = server()
    protocol.send_close(4000, "enough")

    assert protocol.take_output() == b"\x88\x08\x0f\xa0enough"
    assert protocol.state == State.CLOSING
    assert protocol.close_sent == (4000, "enough")

    protocol.receive(HELLO_FROM_CLIENT + frame(0x88, b"\x0f\xa0", RFC_KEY))
    assert protocol.next_event() == (1, "Hello", True)
    assert protocol.next_event() == (8, (4000, ""), True)

    assert not protocol.close_received_first
    assert protocol.state == State.CLOSING


def test_a_close_frame_may_be_empty():
    protocol = server()
    protocol.send_close(None, "")

    assert protocol.take_output() == b"\x88\x00"
    assert protocol.close_sent == (1005, "")


def test_nothing_but_pongs_follows_our_close_frame():
    protocol = server()
    protocol.send_close(1000, "")
    protocol.take_output()

    for send in (
        lambda: protocol.send_message(1, "a"),
        lambda: protocol.send_message(0, "a"),
        lambda: protocol.send_encoded(b"\x81\x00"),
        lambda: protocol.send_ping(b""),
        lambda: protocol.send_close(1000, ""),
    ):
        with pytest.raises(InvalidState):
            send()
    protocol.send_pong(b"p")
    assert protocol.take_output() == b"\x8a\x01p"


def test_no_pong_follows_both_close_frames():
    protocol = client()
    protocol.receive(b"\x88\x00")
    protocol.next_event()
    protocol.send_close(None)

    with pytest.raises(InvalidState, match="while closing"):
        protocol.send_pong(b"")


def test_a_bad_close_changes_nothing():
    protocol = server()

    with pytest.raises(UsageError):
        protocol.send_close(1005, "")
    with pytest.raises(UsageError):
        protocol.send_close(1000, "x" * 124)

    assert protocol.state == State.OPEN
    assert protocol.close_sent is None
    assert protocol.take_output() == b""


def test_the_end_of_tcp_closes_in_every_state():
    protocol = server()
    protocol.receive(HELLO_FROM_CLIENT)

    protocol.lost()
    protocol.lost()

    assert protocol.state == State.CLOSED
    assert protocol.next_event() is None
    with pytest.raises(InvalidState):
        protocol.send_message(1, "a")
    with pytest.raises(InvalidState):
        protocol.send_pong(b"")
    with pytest.raises(InvalidState):
        protocol.send_close(1000, "")


# --- sending ---


def test_a_server_sends_unmasked_frames():
    protocol = server()
    protocol.send_message(1, "Hello")
    protocol.send_message(2, b"Hello")
    protocol.send_ping(b"Hello")
    protocol.send_pong(b"Hello")

    assert protocol.take_output() == (
        b"\x81\x05Hello" + b"\x82\x05Hello" + b"\x89\x05Hello" + b"\x8a\x05Hello"
    )
    assert protocol.take_output() == b""


def test_a_client_masks_every_frame_with_a_key_of_its_own():
    asked = []

    def random_bytes(size):
        asked.append(size)
        return (RFC_KEY + b"\x01\x02\x03\x04" + bytes(size))[:size]

    protocol = client(random_bytes=random_bytes)
    protocol.send_message(1, "Hello")
    protocol.send_ping(b"\x01\x02\x03\x04\x05")

    assert protocol.take_output() == (
        HELLO_FROM_CLIENT + b"\x89\x85\x01\x02\x03\x04\x00\x00\x00\x00\x04"
    )
    assert len(asked) == 1


def test_a_masking_key_is_used_once():
    protocol = client(random_bytes=os.urandom)
    keys = []
    for _ in range(3000):
        protocol.send_message(2, b"")
        keys.append(protocol.take_output()[2:])

    assert len(set(keys)) > 2990


def test_a_server_needs_no_random_bytes():
    def random_bytes(size):
        raise AssertionError("a server masks nothing")

    protocol = Protocol(False, random_bytes=random_bytes)
    protocol.send_message(1, "a")

    assert protocol.take_output() == b"\x81\x01a"


class Text(str):
    pass


class Data(bytes):
    pass


PAYLOADS = [
    ("é", "é".encode()),
    (b"ab", b"ab"),
    (bytearray(b"ab"), b"ab"),
    (memoryview(b"ab"), b"ab"),
    (memoryview(b"a-b-")[::2], b"ab"),
    (memoryview(b"abcd").cast("H"), b"abcd"),
    (Text("ab"), b"ab"),
    (Data(b"ab"), b"ab"),
]


@pytest.mark.parametrize(("payload", "wire"), PAYLOADS)
@pytest.mark.parametrize("deflate", [None, Deflate()])
def test_every_kind_of_payload_is_sent(payload, wire, deflate):
    sender, receiver = server(deflate), client(deflate)
    sender.send_message(2, payload)
    receiver.receive(sender.take_output())

    assert receiver.next_event() == (2, wire, True)


@pytest.mark.parametrize("payload", [None, 5, [b"a"], object()])
def test_other_payloads_are_refused(payload):
    protocol = server()

    with pytest.raises(TypeError, match="str or bytes-like"):
        protocol.send_message(2, payload)
    assert protocol.take_output() == b""


@pytest.mark.parametrize("deflate", [None, Deflate()])
def test_a_text_that_has_no_utf8_leaves_the_turn_free(deflate):
    protocol = server(deflate)

    with pytest.raises(UnicodeEncodeError):
        protocol.send_message(1, "\ud800", False)

    protocol.send_message(1, "ok", True, False)
    assert protocol.take_output() == b"\x81\x02ok"


@pytest.mark.parametrize("size", [0, 125, 126, 16383, 16384, 65535, 65536])
@pytest.mark.parametrize("make", [client, server])
def test_large_payloads_are_sent_like_small_ones(size, make):
    protocol = make()
    payload = b"x" * size
    protocol.send_message(2, payload)
    protocol.send_message(2, b"next")

    key = NO_MASK if protocol.client else None
    expected = frame(0x82, payload, key) + frame(0x82, b"next", key)
    assert protocol.output_size == len(expected)
    assert protocol.take_output() == expected


def test_fragments_take_turns():
    protocol = server()
    with pytest.raises(InvalidState, match="no message to continue"):
        protocol.send_message(0, "a")

    protocol.send_message(1, "a", False)
    for opcode in (1, 2):
        with pytest.raises(InvalidState, match="not finished"):
            protocol.send_message(opcode, "b")
    with pytest.raises(InvalidState, match="not finished"):
        protocol.send_encoded(b"\x81\x00")
    protocol.send_ping(b"")
    protocol.send_message(0, b"", False)
    protocol.send_message(0, "c")
    with pytest.raises(InvalidState, match="no message to continue"):
        protocol.send_message(0, "d")

    assert protocol.take_output() == (
        b"\x01\x01a" + b"\x89\x00" + b"\x00\x00" + b"\x80\x01c"
    )


@pytest.mark.parametrize("opcode", [-1, 3, 8, 9, 10, 15, 16, 2**31 - 1])
def test_only_messages_are_sent_as_messages(opcode):
    with pytest.raises(UsageError, match=f"opcode {opcode} "):
        server().send_message(opcode, b"")


def test_a_frame_encoded_elsewhere_is_sent_as_it_is():
    protocol = server()
    protocol.send_message(1, "a")
    protocol.send_encoded(b"\x81\x01b")
    protocol.send_encoded(b"\x81\x01c\x81\x01d", 2)

    assert protocol.take_output() == b"\x81\x01a\x81\x01b\x81\x01c\x81\x01d"
    assert protocol.messages_sent == 4


@pytest.mark.parametrize("name", ["send_ping", "send_pong"])
def test_a_control_frame_has_at_most_125_bytes(name):
    protocol = server()
    getattr(protocol, name)(bytearray(125))
    assert len(protocol.take_output()) == 127

    with pytest.raises(UsageError, match="126 bytes; 125 are allowed"):
        getattr(protocol, name)(bytes(126))


# --- extensions other than permessage-deflate ---


class Reverse:
    """Turns payloads around and marks them with RSV2."""

    def __init__(self, mark="rsv2", log=None):
        self.mark = mark
        self.log = [] if log is None else log

    def encode(self, frame):
        self.log.append(("encode", self.mark, frame.opcode))
        frame.data = bytes(frame.data)[::-1]
        setattr(frame, self.mark, True)
        return frame

    def decode(self, frame, *, max_size=None):
        self.log.append(("decode", self.mark, max_size))
        if not getattr(frame, self.mark):
            assert frame.opcode >= 8
            return frame
        setattr(frame, self.mark, False)
        frame.data = bytes(frame.data)[::-1]
        return frame


class Grow:
    """Makes three bytes of each one that is received."""

    def decode(self, frame, *, max_size=None):
        frame.data = bytes(frame.data) * 3
        return frame


def test_an_extension_sees_whole_frames(read):
    wire = frame(0x21, b"leH", NO_MASK) + frame(0xA0, b"ol", NO_MASK)

    events = read(server(extensions=[Reverse()]), wire)

    assert events == [(1, "Hel", False), (1, "lo", True)]


def test_an_extension_encodes_frames_of_all_kinds():
    protocol = server(extensions=[Reverse()])
    protocol.send_message(1, "Hel", False)
    protocol.send_ping(b"ab")
    protocol.send_message(0, b"lo")

    assert protocol.take_output() == b"\x21\x03leH" + b"\xa9\x02ba" + b"\xa0\x02ol"


def test_extensions_decode_in_the_reverse_order_of_encoding():
    log = []
    both = [Reverse("rsv2", log), Reverse("rsv3", log)]
    sender, receiver = client(extensions=both), server(extensions=both)

    sender.send_message(2, b"abc")
    receiver.receive(sender.take_output())

    assert receiver.next_event() == (2, b"abc", True)
    assert [entry[:2] for entry in log] == [
        ("encode", "rsv2"),
        ("encode", "rsv3"),
        ("decode", "rsv3"),
        ("decode", "rsv2"),
    ]


@pytest.mark.parametrize("first", [0xC2, 0x92, 0xB2])
def test_reserved_bits_that_no_extension_took_are_refused(read, first):
    class Idle:
        def decode(self, frame, *, max_size=None):
            return frame

    [fault] = read(server(extensions=[Idle()]), frame(first, b"a", NO_MASK))

    assert isinstance(fault, ProtocolError)
    assert fault.code == 1002


def test_an_extension_decodes_control_frames_too(read):
    close = frame(0xA8, b"ob\xe8\x03", NO_MASK)
    wire = frame(0xA9, b"ba", NO_MASK) + close

    events = read(server(extensions=[Reverse()]), wire)

    assert events == [(9, b"ab", True), (8, (1000, "bo"), True)]


def test_reserved_bits_of_control_frames_have_to_be_an_extensions(read):
    for extensions, deflate in (((), None), ((), Deflate()), ([Reverse()], Deflate())):
        protocol = server(deflate, extensions=extensions)

        [fault] = read(protocol, frame(0xC9, b"", NO_MASK))

        assert fault.code == 1002


def test_a_close_frame_goes_out_through_the_extensions():
    protocol = server(extensions=[Reverse()])

    protocol.send_close(1000, "bo")

    assert protocol.take_output() == b"\xa8\x04ob\xe8\x03"
    assert protocol.close_sent == (1000, "bo")


def test_an_extension_and_compression_work_together(read):
    agreed = Deflate()
    sender = client(agreed, extensions=[Reverse()])
    sender.send_message(1, "Hello Hello Hello", False)
    sender.send_message(0, "Hello")
    sender.send_message(1, "plain", True, False)
    wire = sender.take_output()
    assert wire[0] == 0x61

    events = read(server(agreed, extensions=[Reverse()]), wire)

    assert events == [
        (1, "Hello Hello Hello", False),
        (1, "Hello", True),
        (1, "plain", True),
    ]


def test_limits_hold_before_and_after_an_extension(read):
    limits = {"extensions": [Grow()], "max_message": 6}
    assert read(server(**limits), frame(0x82, b"ab", NO_MASK)) == [(2, b"ababab", True)]

    [fault] = read(server(**limits), frame(0x82, b"abc", NO_MASK))
    assert isinstance(fault, PayloadTooBig)
    [fault] = read(server(**limits), frame(0x82, b"abcdefg", NO_MASK))
    assert (fault.size, fault.max_size) == (7, 6)


@pytest.mark.parametrize(
    ("limits", "told"),
    [({}, None), ({"max_message": 9}, 9), ({"max_message": 9, "max_fragment": 5}, 5)],
)
def test_an_extension_is_told_the_limit(limits, told):
    extension = Reverse()
    protocol = server(extensions=[extension], **limits)
    protocol.receive(frame(0xA2, b"abc", NO_MASK))
    protocol.next_event()

    assert extension.log == [("decode", "rsv2", told)]


def test_an_incomplete_frame_for_an_extension_is_counted():
    protocol = server(extensions=[Reverse()])
    protocol.receive(frame(0xA2, b"abcd", NO_MASK)[:-1])

    assert protocol.next_event() is None
    assert protocol.buffered == 3


def test_an_error_of_an_extension_ends_the_input():
    class Broken:
        def decode(self, frame, *, max_size=None):
            raise RuntimeError("broken")

    protocol = server(extensions=[Broken()])
    protocol.receive(frame(0x82, b"a", NO_MASK) * 2)

    with pytest.raises(RuntimeError, match="broken"):
        protocol.next_event()
    assert protocol.next_event() is None


def test_the_codec_is_seen():
    codec = Codec(Deflate(), False)

    assert Protocol(False, codec=codec, random_bytes=zeros).codec is codec
