"""permessage-deflate as the documents offer it: frame by frame, and by factories."""

import zlib

import pytest

import longwire
from longwire.http.permessage_deflate import (
    ServerPerMessageDeflateFactory as OwnServerFactory,
)
from longwire.messages import Deflate
from longwire.websockets.exceptions import (
    NegotiationError,
    PayloadTooBig,
    ProtocolError,
)
from longwire.websockets.extensions import Extension, ServerExtensionFactory
from longwire.websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
    enable_client_permessage_deflate,
    enable_server_permessage_deflate,
)
from longwire.websockets.frames import Frame, Opcode

# RFC 7692 section 7.2.3.1: "Hello" in one block with fixed codes.
HELLO = bytes.fromhex("f248cdc9c90700")


def plain():
    return PerMessageDeflate(False, False, 15, 15)


def test_base_classes_are_those_of_longwire():
    assert Extension is longwire.Extension
    assert ServerExtensionFactory is longwire.ServerExtensionFactory
    assert issubclass(PerMessageDeflate, Extension)


def test_the_message_of_the_rfc_is_compressed_as_the_rfc_does():
    frame = plain().encode(Frame(Opcode.TEXT, b"Hello"))

    assert frame == Frame(Opcode.TEXT, HELLO, rsv1=True)


def test_the_message_of_the_rfc_is_decompressed():
    frame = plain().decode(Frame(Opcode.TEXT, HELLO, rsv1=True))

    assert frame == Frame(Opcode.TEXT, b"Hello")


def test_fragments_are_one_stream_and_only_the_first_is_marked():
    extension = plain()
    sent = [
        extension.encode(Frame(Opcode.BINARY, b"abc" * 100, fin=False)),
        extension.encode(Frame(Opcode.CONT, b"abc" * 100)),
    ]

    received = [extension.decode(frame) for frame in sent]

    assert [frame.rsv1 for frame in sent] == [True, False]
    assert [frame.data for frame in received] == [b"abc" * 100] * 2
    assert not any(frame.rsv1 for frame in received)


def test_a_message_that_is_not_compressed_passes_as_it_is():
    frames = [Frame(Opcode.TEXT, b"a", fin=False), Frame(Opcode.CONT, b"b")]
    extension = plain()

    assert [extension.decode(frame) for frame in frames] == frames


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CLOSE])
def test_control_frames_pass_as_they_are(opcode):
    frame = Frame(opcode, b"")

    assert plain().encode(frame) is frame
    assert plain().decode(frame) is frame


def test_too_large_a_message_is_refused_while_it_is_inflated():
    bomb = plain().encode(Frame(Opcode.BINARY, b"\x00" * 10_000_000))

    with pytest.raises(PayloadTooBig) as caught:
        plain().decode(bomb, max_size=1_000_000)

    assert caught.value.max_size == 1_000_000


def test_a_message_of_exactly_max_size_is_read():
    frame = plain().encode(Frame(Opcode.BINARY, b"\x00" * 1000))

    assert len(plain().decode(frame, max_size=1000).data) == 1000


def test_corrupt_data_is_a_protocol_error():
    with pytest.raises(ProtocolError):
        plain().decode(Frame(Opcode.TEXT, b"\xff\xff\xff", rsv1=True))


def test_a_continuation_may_not_be_marked_as_compressed():
    with pytest.raises(ProtocolError):
        plain().decode(Frame(Opcode.CONT, HELLO, rsv1=True))


def test_without_context_takeover_messages_are_alike():
    extension = PerMessageDeflate(False, True, 15, 15)

    first, second = (extension.encode(Frame(Opcode.TEXT, b"Hello")) for _ in range(2))

    assert first.data == second.data == HELLO


@pytest.mark.parametrize("bits", [(7, 15), (16, 15), (15, 7), (15, 16)])
def test_windows_have_the_bits_that_the_rfc_allows(bits):
    with pytest.raises(ValueError):
        PerMessageDeflate(False, False, *bits)


def test_what_a_window_of_8_bits_cannot_hold_is_not_referred_to():
    """RFC 7692 section 7.1.2.1: 8 bits are 256 bytes, less than zlib itself makes."""
    extension = PerMessageDeflate(False, False, 15, 8)
    text = bytes(range(255)) + b"again" + bytes(range(255))

    first, second = (extension.encode(Frame(Opcode.TEXT, text)) for _ in range(2))

    window = zlib.decompressobj(-15)
    assert window.decompress(first.data + b"\0\0\xff\xff") == text
    # From here on, all that a reader with such a window knows.
    window = zlib.decompressobj(-15, text[-256:])
    assert window.decompress(second.data + b"\0\0\xff\xff") == text


def test_further_settings_go_to_the_compressor():
    settings = {"level": 9, "memLevel": 9, "strategy": zlib.Z_HUFFMAN_ONLY}
    extension = PerMessageDeflate(False, False, 15, 15, settings)

    repeated = extension.encode(Frame(Opcode.TEXT, b"a" * 1000))

    assert len(repeated.data) > 100  # Huffman alone finds no repetitions
    assert plain().decode(repeated).data == b"a" * 1000


def test_the_window_is_not_a_setting_of_the_compressor():
    with pytest.raises(ValueError, match="wbits"):
        ClientPerMessageDeflateFactory(compress_settings={"wbits": 12})


def test_what_is_agreed_shows_the_parameters_of_both_directions():
    assert repr(PerMessageDeflate(True, False, 12, 15)) == (
        "PerMessageDeflate(remote_no_context_takeover=True, "
        "local_no_context_takeover=False, remote_max_window_bits=12, "
        "local_max_window_bits=15)"
    )


# --- factories -------------------------------------------------------------------


def test_a_client_offers_the_documented_default():
    factory = ClientPerMessageDeflateFactory()

    assert factory.name == "permessage-deflate"
    assert factory.get_request_params() == [("client_max_window_bits", None)]


def test_a_peer_may_be_asked_for_the_smallest_window_of_the_rfc():
    client = ClientPerMessageDeflateFactory(server_max_window_bits=8)
    assert ("server_max_window_bits", "8") in client.get_request_params()
    agreed = client.process_response_params([("server_max_window_bits", "8")], [])
    assert agreed.remote_max_window_bits == 8
    assert agreed.decode(Frame(Opcode.TEXT, HELLO, rsv1=True)).data == b"Hello"

    server = ServerPerMessageDeflateFactory(client_max_window_bits=8)
    answer, agreed = server.process_request_params(
        [("client_max_window_bits", None)], []
    )
    assert ("client_max_window_bits", "8") in answer
    assert agreed.remote_max_window_bits == 8
    assert agreed.decode(Frame(Opcode.TEXT, HELLO, rsv1=True)).data == b"Hello"


def test_a_window_of_8_bits_is_agreed_to_on_either_side():
    # That library refuses to compress so, for zlib cannot; the codec here can.
    params = [("client_max_window_bits", "8"), ("server_max_window_bits", "8")]
    _, server = ServerPerMessageDeflateFactory().process_request_params(params, [])
    client = ClientPerMessageDeflateFactory().process_response_params(params, [])
    assert server.remote_max_window_bits == client.remote_max_window_bits == 8
    message = Frame(Opcode.TEXT, b"Hello, " * 1000)
    for sender, receiver in ((server, client), (client, server)):
        assert receiver.decode(sender.encode(message)).data == message.data


def test_a_window_that_no_rfc_has_is_refused():
    for factory in (ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory):
        for name in ("client_max_window_bits", "server_max_window_bits"):
            for bits in (7, 16):
                with pytest.raises(ValueError, match="8 to 15 are allowed"):
                    factory(**{name: bits})


def test_a_server_answers_with_parameters_and_an_extension():
    factory = ServerPerMessageDeflateFactory(
        server_no_context_takeover=True, client_max_window_bits=10
    )

    answer, extension = factory.process_request_params(
        [("client_max_window_bits", None), ("server_max_window_bits", "11")], []
    )

    assert sorted(answer) == [
        ("client_max_window_bits", "10"),
        ("server_max_window_bits", "11"),
        ("server_no_context_takeover", None),
    ]
    assert extension.local_no_context_takeover is True
    assert extension.remote_no_context_takeover is False
    assert extension.local_max_window_bits == 11
    assert extension.remote_max_window_bits == 10


def test_a_client_takes_the_answer_the_other_way_round():
    factory = ClientPerMessageDeflateFactory()

    extension = factory.process_response_params(
        [("client_max_window_bits", "10"), ("server_no_context_takeover", None)], []
    )

    assert extension.local_max_window_bits == 10
    assert extension.remote_no_context_takeover is True


def test_an_answer_that_was_not_asked_for_is_refused():
    factory = ClientPerMessageDeflateFactory(client_max_window_bits=None)

    with pytest.raises(NegotiationError):
        factory.process_response_params([("client_max_window_bits", "10")], [])


def test_both_sides_of_one_agreement_understand_each_other():
    answer, server = ServerPerMessageDeflateFactory(
        client_max_window_bits=9
    ).process_request_params([("client_max_window_bits", None)], [])
    client = ClientPerMessageDeflateFactory().process_response_params(answer, [])
    text = b"longwire " * 1000

    for _ in range(3):
        for a, b in ((client, server), (server, client)):
            assert b.decode(a.encode(Frame(Opcode.TEXT, text))).data == text


def test_what_is_agreed_is_what_longwire_agrees_on():
    _, extension = ServerPerMessageDeflateFactory(
        server_max_window_bits=12, compress_settings={"memLevel": 5}
    ).process_request_params([], [])
    _, own = OwnServerFactory(
        server_max_window_bits=12, compress_settings={"memLevel": 5}
    ).process_request_params([], [])

    assert isinstance(extension, Deflate)
    assert extension.server_max_window_bits == own.server_max_window_bits == 12
    assert extension.mem_level == own.mem_level == 5


@pytest.mark.parametrize(
    "enable", [enable_client_permessage_deflate, enable_server_permessage_deflate]
)
@pytest.mark.parametrize("extensions", [None, []])
def test_compression_is_added_with_small_contexts(enable, extensions):
    (factory,) = enable(extensions)

    assert factory.compress_settings == {"memLevel": 5}


def test_a_server_keeps_windows_small_by_default():
    (factory,) = enable_server_permessage_deflate(None)

    assert factory.server_max_window_bits == 12
    assert factory.client_max_window_bits == 12


def test_compression_is_not_added_twice():
    mine = ServerPerMessageDeflateFactory()

    assert enable_server_permessage_deflate([mine]) == [mine]


async def test_these_factories_serve_connections_too():
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    server_factories = enable_server_permessage_deflate(None)
    client_factories = enable_client_permessage_deflate(None)
    async with longwire.serve(
        echo, "localhost", 0, compression=None, extensions=server_factories
    ) as server:
        port = server.sockets[0].getsockname()[1]
        async with longwire.connect(
            f"ws://localhost:{port}/", compression=None, extensions=client_factories
        ) as connection:
            await connection.send("a" * 100_000)
            assert await connection.recv() == "a" * 100_000

    assert connection.close_report.bytes_received < 10_000
    assert connection.close_report.bytes_sent < 10_000
