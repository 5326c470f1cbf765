"""Frames and close frames that check, write, read and show themselves."""

import pytest

import longwire
from longwire.websockets.exceptions import PayloadTooBig, ProtocolError
from longwire.websockets.frames import Close, CloseCode, Frame, Opcode
from longwire.websockets.streams import StreamReader


def read(data, *, at_a_time=None, **keywords):
    """What ``Frame.parse`` makes of ``data``; the frame and what is left."""
    stream = StreamReader()
    reading = Frame.parse(stream.read_exact, **keywords)
    step = at_a_time or len(data)
    fed = 0
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            return stop.value, data[fed:]
        stream.feed_data(data[fed : fed + step])
        fed += step


# --- frames ----------------------------------------------------------------------


def test_a_frame_has_the_documented_defaults():
    frame = Frame(Opcode.TEXT, b"hi")

    assert (frame.fin, frame.rsv1, frame.rsv2, frame.rsv3) == (True, *[False] * 3)


def test_opcodes_and_close_codes_are_those_of_longwire():
    assert Opcode is longwire.Opcode
    assert CloseCode is longwire.CloseCode


@pytest.mark.parametrize(
    ("frame", "wire"),
    [
        (Frame(Opcode.TEXT, b"Hello"), b"\x81\x05Hello"),
        (Frame(Opcode.TEXT, b"Hel", fin=False), b"\x01\x03Hel"),
        (Frame(Opcode.CONT, b"lo"), b"\x80\x02lo"),
        (Frame(Opcode.BINARY, bytearray(b"\x00" * 126)), b"\x82~\x00~" + b"\x00" * 126),
        (Frame(Opcode.PING, memoryview(b"!")), b"\x89\x01!"),
        (Frame(Opcode.CLOSE, b"\x03\xe8"), b"\x88\x02\x03\xe8"),
    ],
)
def test_a_frame_is_serialized_as_the_rfc_says(frame, wire):
    assert frame.serialize(mask=False) == wire


def test_a_client_masks_each_frame_with_a_key_of_its_own():
    frame = Frame(Opcode.TEXT, b"Hello")

    first, second = frame.serialize(mask=True), frame.serialize(mask=True)

    assert first[:2] == b"\x81\x85"
    key = first[2:6]
    assert bytes(b ^ key[i % 4] for i, b in enumerate(first[6:])) == b"Hello"
    assert first[2:6] != second[2:6]


@pytest.mark.parametrize(
    "frame",
    [
        Frame(Opcode.TEXT, b"", rsv1=True),
        Frame(Opcode.TEXT, b"", rsv2=True),
        Frame(Opcode.TEXT, b"", rsv3=True),
        Frame(Opcode.PING, b"x" * 126),
        Frame(Opcode.CLOSE, b"", fin=False),
    ],
)
def test_an_impossible_frame_is_neither_accepted_nor_sent(frame):
    with pytest.raises(ProtocolError):
        frame.check()
    with pytest.raises(ProtocolError):
        frame.serialize(mask=False)


@pytest.mark.parametrize("at_a_time", [None, 1, 2, 3])
@pytest.mark.parametrize(
    ("wire", "mask", "frame"),
    [
        (b"\x81\x05Hello", False, Frame(Opcode.TEXT, b"Hello")),
        (b"\x82\x00", False, Frame(Opcode.BINARY, b"")),
        (b"\x01\x83\x00\x00\x00\x00abc", True, Frame(Opcode.TEXT, b"abc", fin=False)),
        (b"\x89\x81\x01\x02\x03\x04`", True, Frame(Opcode.PING, b"a")),
        (b"\x8a\x00", False, Frame(Opcode.PONG, b"")),
        (b"\x82~\x01\x00" + b"x" * 256, False, Frame(Opcode.BINARY, b"x" * 256)),
        (
            b"\x82\xff"
            + (65536).to_bytes(8, "big")
            + b"\x00\x00\x00\x00"
            + b"x" * 65536,
            True,
            Frame(Opcode.BINARY, b"x" * 65536),
        ),
    ],
)
def test_a_frame_is_parsed_however_its_bytes_come(wire, mask, frame, at_a_time):
    if at_a_time and len(wire) > 1000:
        at_a_time *= 1000

    found, _ = read(wire, mask=mask, at_a_time=at_a_time)

    assert found == frame


def test_parsing_takes_nothing_of_the_next_frame():
    stream = StreamReader()
    stream.feed_data(b"\x81\x01a\x81\x01b")

    with pytest.raises(StopIteration):
        next(Frame.parse(stream.read_exact, mask=False))
    with pytest.raises(StopIteration) as second:
        next(Frame.parse(stream.read_exact, mask=False))

    assert second.value.value == Frame(Opcode.TEXT, b"b")


@pytest.mark.parametrize(
    ("wire", "mask"),
    [
        (b"\x81\x00", True),
        (b"\x81\x80\x00\x00\x00\x00", False),
        (b"\xc1\x00", False),
        (b"\x83\x00", False),
        (b"\x09\x00", False),
        (b"\x89~", False),
        (b"\x82~\x00\x01", False),
    ],
)
def test_a_frame_that_breaks_the_rfc_is_a_protocol_error(wire, mask):
    with pytest.raises(ProtocolError):
        read(wire, mask=mask)


def test_a_frame_over_max_size_is_refused_before_its_payload_came():
    with pytest.raises(PayloadTooBig):
        read(b"\x82\x04", mask=False, max_size=3)


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        (Frame(Opcode.TEXT, b"Hello"), "TEXT 'Hello' [5 bytes]"),
        (Frame(Opcode.TEXT, b"a", fin=False), "TEXT 'a' [1 byte, continued]"),
        (Frame(Opcode.TEXT, "\N{EURO SIGN}".encode()[:2], fin=False), "TEXT '\ufffd' "),
        (Frame(Opcode.CONT, "\N{EURO SIGN}x".encode()[1:]), "CONT '\ufffd\ufffdx' ["),
        (Frame(Opcode.BINARY, b"\x00\xff"), "BINARY 00 ff [2 bytes]"),
        (Frame(Opcode.BINARY, b"a\n"), "BINARY 'a\\n' [text, 2 bytes]"),
        (Frame(Opcode.TEXT, b"\x1b[0m"), "TEXT 1b 5b 30 6d [binary, 4 bytes]"),
        (Frame(Opcode.PING, b"a\n"), "PING 'a\\n' [text, 2 bytes]"),
        (Frame(Opcode.PING, b"\xc3\xa9"), "PING c3 a9 [binary, 2 bytes]"),
        (Frame(Opcode.TEXT, b"x" * 74), f"TEXT '{47 * 'x'}...{23 * 'x'}' [74 bytes]"),
        (Frame(Opcode.BINARY, b"\0" * 26), f"BINARY {16 * '00 '}...{8 * ' 00'} [26 "),
        (Frame(Opcode.PING, b"now"), "PING 'now' [text, 3 bytes]"),
        (Frame(Opcode.PONG, b"\x01\x02"), "PONG 01 02 [binary, 2 bytes]"),
        (Frame(Opcode.CLOSE, b"\x03\xe9bye"), "CLOSE 1001 (going away) bye [5 bytes]"),
        (Frame(Opcode.CLOSE, b"\x00"), "CLOSE 00 [binary, 1 byte]"),
    ],
)
def test_a_frame_shows_itself_in_one_line(frame, shown):
    assert str(frame).startswith(shown)


@pytest.mark.parametrize("payload", [b"x" * 10_000, b"\x00" * 10_000])
def test_a_large_payload_is_shown_shortened(payload):
    shown = str(Frame(Opcode.BINARY, payload))

    assert "..." in shown
    assert len(shown) < 2 * Frame.MAX_LOG_SIZE


# --- close frames ----------------------------------------------------------------


def test_a_close_is_parsed_and_serialized():
    assert Close.parse(b"\x03\xe8bye") == Close(1000, "bye")
    assert Close(CloseCode.GOING_AWAY, "").serialize() == b"\x03\xe9"


def test_an_empty_close_payload_is_1005():
    assert Close.parse(b"") == Close(1005, "")


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xe7", b"\x03\xed", b"\x13\x88"])
def test_a_bad_close_payload_is_a_protocol_error(payload):
    with pytest.raises(ProtocolError) as caught:
        Close.parse(payload)

    assert caught.value.code == 1002


def test_a_close_reason_that_is_not_utf8_is_a_1007():
    with pytest.raises(ProtocolError) as caught:
        Close.parse(b"\x03\xe8\xff")

    assert caught.value.code == 1007


@pytest.mark.parametrize("code", [999, 1004, 1005, 1006, 1015, 1016, 5000])
def test_a_code_that_may_not_be_sent_is_a_protocol_error(code):
    with pytest.raises(ProtocolError):
        Close(code, "").check()
    with pytest.raises(ProtocolError):
        Close(code, "").serialize()


def test_a_close_equals_that_of_an_exception():
    found = longwire.ConnectionClosedOK(longwire.Close(1000, "bye"), None).rcvd

    assert found == Close(1000, "bye")
    assert Close(1000, "bye") == found
    assert found != Close(1001, "bye")
    assert Close(1000, "bye") != (1000, "bye")


@pytest.mark.parametrize(
    ("close", "shown"),
    [
        (Close(1000, ""), "1000 (OK)"),
        (Close(1001, "bye"), "1001 (going away) bye"),
        (Close(3000, ""), "3000 (registered)"),
        (Close(4000, "x"), "4000 (private use) x"),
        (Close(2999, ""), "2999 (unknown)"),
    ],
)
def test_a_close_shows_its_meaning(close, shown):
    assert str(close) == shown
