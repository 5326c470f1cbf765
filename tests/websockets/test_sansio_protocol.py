"""The sans-I/O protocol, open: bytes in, frames out; and how it ends."""

import logging
import uuid

import pytest

from longwire.websockets.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    PayloadTooBig,
    ProtocolError,
)
from longwire.websockets.extensions import Extension
from longwire.websockets.extensions.permessage_deflate import PerMessageDeflate
from longwire.websockets.frames import Close, Frame, Opcode
from longwire.websockets.protocol import SEND_EOF, Protocol, Side, State


def server(**keywords):
    return Protocol(Side.SERVER, **keywords)


def client(**keywords):
    return Protocol(Side.CLIENT, **keywords)


def masked(wire):
    """A short frame as a client sends it: masked, with a key of zeros."""
    return bytes((wire[0], wire[1] | 0x80)) + b"\x00\x00\x00\x00" + wire[2:]


def payload_sent(data):
    """The payload of a short frame of a client."""
    key = data[2:6]
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(data[6:]))


@pytest.fixture(params=["whole", "byte by byte"])
def feed(request):
    """Give a protocol the bytes of a client, whole or one at a time."""

    def feed(protocol, *frames):
        data = b"".join(frames)
        step = 1 if request.param == "byte by byte" else max(len(data), 1)
        for at in range(0, len(data), step):
            protocol.receive_data(data[at : at + step])

    return feed


# --- what is known before anything happens ---------------------------------------


def test_a_connection_is_open_unless_it_says_otherwise():
    assert server().state is State.OPEN
    assert server(state=State.CONNECTING).state is State.CONNECTING


def test_connections_have_ids_and_the_documented_loggers():
    one, other = server(), client()

    assert isinstance(one.id, uuid.UUID)
    assert one.id != other.id
    assert one.logger is logging.getLogger("websockets.server")
    assert other.logger is logging.getLogger("websockets.client")
    assert server(logger=logging.getLogger("mine")).logger.name == "mine"


def test_before_the_end_there_is_no_close_code_and_no_exception():
    protocol = server()

    assert protocol.close_code is None
    assert protocol.close_reason is None
    assert protocol.handshake_exc is None
    with pytest.raises(AssertionError):
        _ = protocol.close_exc


# --- receiving -------------------------------------------------------------------


def test_messages_arrive_as_frames_with_their_fragments(feed):
    protocol = server()

    feed(
        protocol,
        masked(b"\x01\x02ab"),
        masked(b"\x89\x01!"),
        masked(b"\x80\x01c"),
        masked(b"\x82\x00"),
    )

    assert protocol.events_received() == [
        Frame(Opcode.TEXT, b"ab", fin=False),
        Frame(Opcode.PING, b"!"),
        Frame(Opcode.CONT, b"c"),
        Frame(Opcode.BINARY, b""),
    ]
    assert protocol.events_received() == []


def test_a_client_receives_frames_that_are_not_masked(feed):
    protocol = client()

    feed(protocol, b"\x81\x05Hello", b"\x82\x7e\x00\x80" + b"x" * 128)

    assert protocol.events_received() == [
        Frame(Opcode.TEXT, b"Hello"),
        Frame(Opcode.BINARY, b"x" * 128),
    ]


def test_a_ping_is_answered_at_once(feed):
    protocol = server()

    feed(protocol, masked(b"\x89\x03now"))

    assert protocol.data_to_send() == [b"\x8a\x03now"]
    assert protocol.data_to_send() == []


def test_a_pong_is_an_event_and_nothing_else(feed):
    protocol = server()

    feed(protocol, masked(b"\x8a\x01!"))

    assert protocol.events_received() == [Frame(Opcode.PONG, b"!")]
    assert protocol.data_to_send() == []


@pytest.mark.parametrize(
    "wire",
    [
        b"\x81\x00",  # not masked
        masked(b"\xc1\x00"),  # RSV1
        masked(b"\x83\x00"),  # reserved opcode
        masked(b"\x09\x00"),  # fragmented ping
        masked(b"\x80\x00"),  # nothing to continue
        masked(b"\x01\x00") + masked(b"\x81\x00"),  # not continued
        masked(b"\x88\x01x"),  # half a code
        masked(b"\x88\x02\x03\xed"),  # 1005
    ],
)
def test_a_fault_fails_the_connection_with_1002(wire, feed):
    protocol = server()

    feed(protocol, wire, masked(b"\x81\x04late"))

    close, end = protocol.data_to_send()
    assert close[:1] == b"\x88"
    assert Close.parse(close[2:]).code == 1002
    assert end == SEND_EOF
    assert isinstance(protocol.parser_exc, ProtocolError)
    assert protocol.state is State.CLOSING
    assert protocol.close_expected()
    assert all(event.data != b"late" for event in protocol.events_received())


def test_after_a_fault_the_end_of_tcp_ends_it_with_the_fault_as_cause():
    protocol = server()
    protocol.receive_data(b"\x81\x00")
    protocol.receive_data(b"whatever comes")

    protocol.receive_eof()

    assert protocol.state is State.CLOSED
    assert protocol.close_code == 1006
    assert isinstance(protocol.close_exc, ConnectionClosedError)
    assert protocol.close_exc.sent.code == 1002
    assert protocol.close_exc.__cause__ is protocol.parser_exc


def test_a_close_reason_that_is_not_utf8_fails_it_with_1007(feed):
    protocol = server()

    feed(protocol, masked(b"\x88\x03\x03\xe8\xff"))

    assert Close.parse(protocol.data_to_send()[0][2:]).code == 1007


@pytest.mark.parametrize(
    ("max_size", "wire"),
    [
        (3, masked(b"\x82\x04abcd")),
        (3, masked(b"\x02\x02ab") + masked(b"\x80\x02cd")),
        ((3, None), masked(b"\x02\x02ab") + masked(b"\x80\x02cd")),
        ((None, 3), masked(b"\x82\x04abcd")),
        ((100, 3), masked(b"\x02\x04abcd")),
    ],
)
def test_too_large_a_message_fails_it_with_1009(max_size, wire, feed):
    protocol = server(max_size=max_size)

    feed(protocol, wire)

    assert Close.parse(protocol.data_to_send()[0][2:]).code == 1009
    assert isinstance(protocol.parser_exc, PayloadTooBig)


def test_too_large_a_message_is_refused_at_its_header():
    protocol = server(max_size=1000)

    protocol.receive_data(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00")

    assert isinstance(protocol.parser_exc, PayloadTooBig)


@pytest.mark.parametrize("max_size", [4, (4, None), (None, 4), (4, 4), None])
def test_a_message_of_exactly_the_limit_is_received(max_size, feed):
    protocol = server(max_size=max_size)

    feed(protocol, masked(b"\x82\x04abcd"), masked(b"\x82\x04efgh"))

    assert [frame.data for frame in protocol.events_received()] == [b"abcd", b"efgh"]


def test_data_after_the_end_is_an_eof_error():
    protocol = server()
    protocol.receive_eof()

    with pytest.raises(EOFError):
        protocol.receive_data(b"")
    protocol.receive_eof()  # comes once

    assert protocol.data_to_send() == [SEND_EOF]


# --- sending ---------------------------------------------------------------------


def test_messages_and_fragments_are_sent_as_frames():
    protocol = server()

    protocol.send_text(b"Hello")
    protocol.send_binary(bytearray(b"ab"), fin=False)
    protocol.send_continuation(memoryview(b"cd"), fin=False)
    protocol.send_ping(b"!")
    protocol.send_continuation(b"", fin=True)
    protocol.send_pong(b"")

    assert protocol.data_to_send() == [
        b"\x81\x05Hello",
        b"\x02\x02ab",
        b"\x00\x02cd",
        b"\x89\x01!",
        b"\x80\x00",
        b"\x8a\x00",
    ]
    assert protocol.data_to_send() == []


def test_a_client_masks_what_it_sends():
    protocol = client()

    protocol.send_text(b"Hello")

    (data,) = protocol.data_to_send()
    assert data[:2] == b"\x81\x85"
    assert payload_sent(data) == b"Hello"


def test_a_continuation_needs_a_message_under_way():
    with pytest.raises(ProtocolError):
        server().send_continuation(b"", fin=True)


@pytest.mark.parametrize("method", ["send_text", "send_binary"])
def test_a_message_may_not_begin_within_another(method):
    protocol = server()
    protocol.send_text(b"", fin=False)

    with pytest.raises(ProtocolError):
        getattr(protocol, method)(b"")


@pytest.mark.parametrize("method", ["send_text", "send_binary", "send_ping"])
def test_text_has_to_be_encoded(method):
    with pytest.raises(TypeError, match="bytes-like, not str"):
        getattr(server(), method)("text")


def test_a_control_frame_has_at_most_125_bytes():
    protocol = server()

    protocol.send_ping(b"x" * 125)
    with pytest.raises(ProtocolError):
        protocol.send_ping(b"x" * 126)


@pytest.mark.parametrize(
    "close", [(1005,), (999,), (None, "reason"), (1000, "x" * 124)]
)
def test_an_impossible_close_is_a_protocol_error_and_changes_nothing(close):
    protocol = server()

    with pytest.raises(ProtocolError):
        protocol.send_close(*close)

    assert protocol.state is State.OPEN
    assert protocol.data_to_send() == []


@pytest.mark.parametrize("state", [State.CONNECTING, State.CLOSING, State.CLOSED])
def test_messages_are_sent_on_open_connections_only(state):
    protocol = server(state=state)

    with pytest.raises(InvalidState, match=state.name.lower()):
        protocol.send_text(b"")
    with pytest.raises(InvalidState):
        protocol.send_close()


# --- closing ---------------------------------------------------------------------


def test_a_server_answers_a_close_and_ends_tcp(feed):
    protocol = server()

    feed(protocol, masked(b"\x88\x05\x03\xe9bye"), masked(b"\x81\x04late"))

    assert protocol.events_received() == [Frame(Opcode.CLOSE, b"\x03\xe9bye")]
    assert protocol.data_to_send() == [b"\x88\x05\x03\xe9bye", SEND_EOF]
    assert protocol.state is State.CLOSING
    assert protocol.close_expected()
    assert protocol.close_code is None


def test_a_connection_the_peer_closed_ends_with_its_code():
    protocol = server()
    protocol.receive_data(masked(b"\x88\x05\x03\xe9bye"))

    protocol.receive_eof()

    assert protocol.state is State.CLOSED
    assert not protocol.close_expected()
    assert (protocol.close_code, protocol.close_reason) == (1001, "bye")
    error = protocol.close_exc
    assert isinstance(error, ConnectionClosedOK)
    assert error.rcvd == error.sent == Close(1001, "bye")
    assert error.rcvd_then_sent is True


def test_a_client_answers_a_close_and_waits_for_the_server_to_end_tcp(feed):
    protocol = client()

    feed(protocol, b"\x88\x02\x03\xe8")

    (answer,) = protocol.data_to_send()
    assert payload_sent(answer) == b"\x03\xe8"
    assert protocol.close_expected()

    protocol.receive_eof()

    assert protocol.data_to_send() == [SEND_EOF]
    assert protocol.close_code == 1000


def test_a_close_of_ours_ends_with_the_answer(feed):
    protocol = server()

    protocol.send_close(1001, "bye")

    assert protocol.data_to_send() == [b"\x88\x05\x03\xe9bye"]
    assert protocol.state is State.CLOSING
    assert protocol.close_expected()

    feed(protocol, masked(b"\x82\x01x"), masked(b"\x88\x02\x03\xe9"))
    protocol.receive_eof()

    assert protocol.events_received()[0] == Frame(Opcode.BINARY, b"x")
    assert protocol.data_to_send() == [SEND_EOF]
    assert protocol.close_exc.rcvd_then_sent is False


def test_an_empty_close_is_1005():
    protocol = server()

    protocol.send_close()
    protocol.receive_data(masked(b"\x88\x00"))
    protocol.receive_eof()

    assert protocol.data_to_send() == [b"\x88\x00", SEND_EOF]
    assert (protocol.close_code, protocol.close_reason) == (1005, "")
    assert isinstance(protocol.close_exc, ConnectionClosedOK)


def test_a_ping_is_answered_while_our_close_waits(feed):
    protocol = server()
    protocol.send_close()
    protocol.data_to_send()

    feed(protocol, masked(b"\x89\x01!"))

    assert protocol.data_to_send() == [b"\x8a\x01!"]


@pytest.mark.parametrize("begun", [b"", b"\x81", masked(b"\x02\x04ab")])
def test_tcp_that_ends_without_a_close_is_1006(begun):
    protocol = server()
    protocol.receive_data(begun)

    protocol.receive_eof()

    assert protocol.data_to_send() == [SEND_EOF]
    assert (protocol.close_code, protocol.close_reason) == (1006, "")
    assert str(protocol.close_exc) == "no close frame received or sent"
    assert isinstance(protocol.close_exc.__cause__, EOFError)


def test_failing_a_connection_closes_it_and_reads_no_more():
    protocol = server()

    protocol.fail(1011, "oops")
    protocol.fail(1002)
    protocol.receive_data(masked(b"\x81\x04late"))

    assert protocol.data_to_send() == [b"\x88\x06\x03\xf3oops", SEND_EOF]
    assert protocol.events_received() == []
    assert protocol.close_expected()


def test_a_client_that_fails_waits_for_the_server_to_end_tcp():
    protocol = client()

    protocol.fail(1002)

    (close,) = protocol.data_to_send()
    assert payload_sent(close) == b"\x03\xea"
    assert protocol.close_expected()


def test_failing_with_a_bad_code_is_a_protocol_error():
    protocol = server()

    with pytest.raises(ProtocolError):
        protocol.fail(1006)

    assert protocol.state is State.OPEN


def test_failing_a_closed_connection_does_nothing():
    protocol = server()
    protocol.receive_eof()
    protocol.data_to_send()

    protocol.fail(1000)

    assert protocol.data_to_send() == []


# --- extensions ------------------------------------------------------------------


class Reversed(Extension):
    """Turns payloads around, and marks them with RSV2."""

    name = "x-reversed"

    def encode(self, frame):
        return Frame(frame.opcode, frame.data[::-1], frame.fin, frame.rsv1, True)

    def decode(self, frame, *, max_size=None):
        assert frame.rsv2
        return Frame(frame.opcode, frame.data[::-1], frame.fin, frame.rsv1)


def test_frames_pass_through_the_extensions_and_back(feed):
    sender, receiver = client(), server(max_size=1000)
    for protocol in (sender, receiver):
        protocol.extensions = [PerMessageDeflate(False, False, 15, 15), Reversed()]

    sender.send_text(b"a" * 500, fin=False)
    sender.send_continuation(b"b" * 500, fin=True)
    data = sender.data_to_send()
    feed(receiver, *data)

    assert [frame[0] >> 4 & 7 for frame in data] == [0b110, 0b010]
    assert receiver.events_received() == [
        Frame(Opcode.TEXT, b"a" * 500, fin=False),
        Frame(Opcode.CONT, b"b" * 500),
    ]


def test_control_frames_pass_through_the_extensions_too(feed):
    protocol = server()
    protocol.extensions = [Reversed()]

    feed(protocol, masked(b"\xa9\x02ba"))
    protocol.send_close(1000)

    assert protocol.events_received() == [Frame(Opcode.PING, b"ab")]
    assert protocol.data_to_send() == [b"\xaa\x02ba", b"\xa8\x02\xe8\x03"]


def test_a_compressed_message_over_the_limit_fails_it_with_1009(feed):
    sender, receiver = client(), server(max_size=1000)
    for protocol in (sender, receiver):
        protocol.extensions = [PerMessageDeflate(False, False, 15, 15)]

    sender.send_binary(b"a" * 600, fin=False)
    sender.send_continuation(b"a" * 401, fin=True)
    feed(receiver, *sender.data_to_send())

    assert len(receiver.events_received()) == 1
    assert Close.parse(receiver.data_to_send()[0][2:]).code == 1009


def test_an_extension_that_breaks_fails_the_connection_with_1011(caplog):
    class Broken(Reversed):
        def decode(self, frame, *, max_size=None):
            raise LookupError("broken")

    protocol = server()
    protocol.extensions = [Broken()]

    protocol.receive_data(masked(b"\x81\x01a"))

    assert protocol.close_sent == Close(1011, "broken")
    assert isinstance(protocol.parser_exc, LookupError)
    assert caplog.messages == ["parser failed"]


# --- logs ------------------------------------------------------------------------


def test_frames_are_logged_at_debug(caplog):
    caplog.set_level(logging.DEBUG, "websockets.server")
    protocol = server()

    protocol.receive_data(masked(b"\x81\x02hi"))
    protocol.send_close(1000)

    assert caplog.messages == [
        "= connection is OPEN",
        "< TEXT 'hi' [2 bytes]",
        "> CLOSE 1000 (OK) [2 bytes]",
        "= connection is CLOSING",
    ]
