"""The low-level API of edition 2.6, and the modules that followed it."""

from __future__ import annotations

import asyncio

import pytest
from websockets.frames import Frame as PeerFrame
from websockets.frames import Opcode as PeerOpcode

from longwire.websockets import framing, handshake, http
from longwire.websockets.datastructures import Headers
from longwire.websockets.exceptions import (
    InvalidHandshake,
    PayloadTooBig,
    ProtocolError,
    SecurityError,
)
from longwire.websockets.legacy import framing as later_framing
from longwire.websockets.legacy import handshake as later_handshake
from longwire.websockets.legacy import http as later_http

KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
REQUEST = {
    "Upgrade": "WebSocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
RESPONSE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Accept": ACCEPT,
}


# --- handshake -------------------------------------------------------------------


def test_a_request_sets_four_headers_that_pass_the_check():
    headers = {}

    key = handshake.build_request(headers.__setitem__)

    assert list(headers) == list(REQUEST)
    assert headers["Upgrade"] == "WebSocket"
    assert headers["Sec-WebSocket-Key"] == key
    assert handshake.check_request(headers.get) == key


def test_two_requests_have_different_keys():
    first, second = (handshake.build_request(lambda *_: None) for _ in range(2))

    assert first != second


def test_a_response_answers_the_key_of_the_rfc():
    headers = {}

    handshake.build_response(headers.__setitem__, KEY)

    assert headers == RESPONSE
    handshake.check_response(headers.get, KEY)


@pytest.mark.parametrize(
    "get_header",
    [lambda name: REQUEST.get(name, ""), REQUEST.get, REQUEST],
    ids=["the empty string if absent", "None if absent", "a mapping"],
)
def test_headers_may_be_asked_for_in_any_way(get_header):
    assert handshake.check_request(get_header) == KEY


@pytest.mark.parametrize("missing", list(REQUEST))
def test_a_request_without_one_of_its_headers_is_refused(missing):
    headers = {name: value for name, value in REQUEST.items() if name != missing}

    with pytest.raises(InvalidHandshake, match=missing):
        handshake.check_request(headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Upgrade", "h2c"),
        ("Connection", "close"),
        ("Sec-WebSocket-Key", "c2hvcnQ="),
        ("Sec-WebSocket-Key", "*"),
        ("Sec-WebSocket-Version", "8"),
    ],
)
def test_a_request_with_a_wrong_header_is_refused(name, value):
    with pytest.raises(InvalidHandshake, match=name):
        handshake.check_request({**REQUEST, name: value})


@pytest.mark.parametrize("name", list(RESPONSE))
def test_a_response_with_a_wrong_header_is_refused(name):
    with pytest.raises(InvalidHandshake, match=name):
        handshake.check_response({**RESPONSE, name: "wrong"}, KEY)


def test_the_later_form_works_on_headers():
    request, response = Headers(), Headers()

    key = later_handshake.build_request(request)
    later_handshake.build_response(response, key)

    assert later_handshake.check_request(request) == key
    later_handshake.check_response(response, key)
    response["Sec-WebSocket-Accept"] = ACCEPT
    with pytest.raises(InvalidHandshake):
        later_handshake.check_response(response, key)


# --- framing ---------------------------------------------------------------------


def reader_of(data):
    """A coroutine that reads exactly so many bytes, and the rest of them."""
    left = bytearray(data)

    async def read(size):
        taken = bytes(left[:size])
        del left[:size]
        return taken

    read.left = left
    return read


HELLO = b"\x81\x05Hello"
MASKED_HELLO = bytes.fromhex("818537fa213d7f9f4d5158")


@pytest.mark.parametrize(("data", "mask"), [(HELLO, False), (MASKED_HELLO, True)])
async def test_a_frame_of_the_rfc_is_read_and_nothing_after_it(data, mask):
    read = reader_of(data + b"trailing")

    frame = await framing.read_frame(read, mask)

    assert frame == framing.Frame(True, framing.OP_TEXT, b"Hello")
    assert (frame[0], frame[1], frame[2]) == (True, 1, b"Hello")
    assert bytes(read.left) == b"trailing"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
@pytest.mark.parametrize("mask", [False, True])
async def test_frames_of_every_form_of_length_come_back(size, mask):
    written = []
    frame = framing.Frame(False, framing.OP_BINARY, b"x" * size)

    framing.write_frame(frame, written.append, mask)

    assert len(written) == 1
    assert await framing.read_frame(reader_of(written[0]), mask) == frame


@pytest.mark.parametrize("mask", [False, True])
async def test_a_frame_of_another_library_is_read(mask):
    data = PeerFrame(PeerOpcode.PING, b"are you there").serialize(mask=mask)

    frame = await framing.read_frame(reader_of(data), mask)

    assert frame == (True, framing.OP_PING, b"are you there")


@pytest.mark.parametrize(
    ("data", "mask"),
    [
        (b"\xc1\x00", False),
        (b"\x83\x00", False),
        (b"\x09\x00", False),
        (b"\x89\x7e\x00\x7e", False),
        (HELLO, True),
        (MASKED_HELLO, False),
    ],
    ids=[
        "a reserved bit",
        "a reserved opcode",
        "a fragmented ping",
        "a ping of 126 bytes",
        "not masked",
        "masked",
    ],
)
async def test_a_frame_that_breaks_a_rule_is_refused(data, mask):
    with pytest.raises(framing.WebSocketProtocolError):
        await framing.read_frame(reader_of(data), mask)


async def test_a_frame_over_the_limit_is_refused_before_its_payload_is_read():
    read = reader_of(b"\x82\x7e\x01\x00")

    with pytest.raises(PayloadTooBig, match="256 bytes exceeds the limit of 255"):
        await framing.read_frame(read, False, max_size=255)


@pytest.mark.parametrize("size", range(len(MASKED_HELLO)))
async def test_bytes_that_end_inside_a_frame_are_an_eof(size):
    with pytest.raises(EOFError):
        await framing.read_frame(reader_of(MASKED_HELLO[:size]), True)


@pytest.mark.parametrize(
    "frame",
    [
        framing.Frame(True, 3, b""),
        framing.Frame(False, framing.OP_PING, b""),
        framing.Frame(True, framing.OP_PING, b"x" * 126),
    ],
)
def test_a_frame_that_may_not_be_on_the_wire_is_not_written(frame):
    written = []

    with pytest.raises(framing.WebSocketProtocolError):
        framing.write_frame(frame, written.append, False)
    assert written == []


def test_close_payloads_are_parsed_and_serialized():
    assert framing.parse_close(b"") == (1005, "")
    assert framing.parse_close(b"\x03\xe8bye") == (1000, "bye")
    assert framing.serialize_close(1001, "é") == b"\x03\xe9\xc3\xa9"


@pytest.mark.parametrize("data", [b"\x03", b"\x03\xee", b"\x00\x01"])
def test_a_close_payload_that_breaks_a_rule_is_refused(data):
    with pytest.raises(framing.WebSocketProtocolError):
        framing.parse_close(data)


def test_a_close_reason_that_is_not_utf_8_is_a_unicode_error():
    with pytest.raises(UnicodeDecodeError):
        framing.parse_close(b"\x03\xe8\xff")


def test_a_close_code_that_may_not_be_sent_is_refused():
    with pytest.raises(framing.WebSocketProtocolError):
        framing.serialize_close(1006, "")


def test_the_constants_are_those_of_the_rfc():
    codes = (framing.OP_CONT, framing.OP_TEXT, framing.OP_BINARY)
    controls = (framing.OP_CLOSE, framing.OP_PING, framing.OP_PONG)

    assert codes + controls == (0, 1, 2, 8, 9, 10)
    assert framing.CLOSE_CODES[1001] == "going away"


async def test_the_later_frame_reads_and_writes_itself():
    written = []
    frame = later_framing.Frame(True, 1, b"Hello")

    frame.write(written.append, mask=False)

    assert written == [HELLO]
    assert await later_framing.Frame.read(reader_of(HELLO), mask=False) == frame
    assert str(frame) == str(frame.new_frame) == "TEXT 'Hello' [5 bytes]"
    with pytest.raises(ProtocolError):
        frame._replace(rsv2=True).check()


@pytest.mark.parametrize(
    ("data", "opcode", "payload"),
    [("é", 1, b"\xc3\xa9"), (b"x", 2, b"x"), (bytearray(b"x"), 2, b"x")],
)
def test_the_later_helpers_encode_data(data, opcode, payload):
    assert later_framing.prepare_data(data) == (opcode, payload)
    assert later_framing.prepare_ctrl(data) == payload
    assert later_framing.encode_data(data) == payload


@pytest.mark.parametrize("function", ["prepare_data", "prepare_ctrl", "encode_data"])
def test_the_later_helpers_refuse_other_types(function):
    with pytest.raises(TypeError):
        getattr(later_framing, function)(42)


# --- http ------------------------------------------------------------------------


def stream_of(data):
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return stream


async def test_a_request_is_read_and_nothing_after_it():
    stream = stream_of(b"GET /chat?x HTTP/1.1\r\nUpgrade: websocket\r\n\r\nrest")

    path, headers = await http.read_request(stream)

    assert (path, headers["Upgrade"]) == ("/chat?x", "websocket")
    assert await stream.read() == b"rest"


async def test_a_response_is_read_and_its_body_left():
    stream = stream_of(b"HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nrest")

    status, headers = await http.read_response(stream)

    assert (status, headers["Content-Length"]) == (403, "4")
    assert await stream.read() == b"rest"


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\n\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
        b"GET / HT",
        b"",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 257 + b"\r\n",
        b"GET / HTTP/1.1\r\na: " + b"b" * 4096 + b"\r\n\r\n",
    ],
    ids=lambda data: data[:30].decode(),
)
async def test_a_request_that_is_not_well_formed_is_a_value_error(data):
    with pytest.raises(ValueError):
        await http.read_request(stream_of(data))


async def test_as_many_headers_as_allowed_are_read():
    data = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 256 + b"\r\n"

    _, headers = await http.read_request(stream_of(data))

    assert len(headers.get_all("a")) == 256


@pytest.mark.parametrize("data", [b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
async def test_a_response_that_is_not_well_formed_is_a_value_error(data):
    with pytest.raises(ValueError):
        await http.read_response(stream_of(data))


async def test_the_later_form_gives_the_reason_too():
    stream = stream_of(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n")

    status, reason, headers = await later_http.read_response(stream)

    assert (status, reason, headers["a"]) == (101, "Switching Protocols", "b")


async def test_the_later_form_has_a_security_error_for_what_is_too_long():
    data = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 129 + b"\r\n"

    with pytest.raises(SecurityError):
        await later_http.read_request(stream_of(data))


def test_the_user_agent_names_python_and_us():
    assert http.USER_AGENT.startswith("Python/3.")
    assert "longwire/" in http.USER_AGENT
