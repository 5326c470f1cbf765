"""The small modules: HTTP messages, types, utils, imports, streams, version."""

import base64
import logging
import socket
import sys
import warnings

import pytest

import longwire
from longwire.websockets import (
    datastructures,
    headers,
    http11,
    imports,
    proxy,
    typing,
    uri,
    utils,
    version,
)
from longwire.websockets.datastructures import Headers
from longwire.websockets.exceptions import RequestLineTooLong
from longwire.websockets.streams import StreamReader

# --- the same objects as longwire's ----------------------------------------------


def test_headers_requests_and_responses_are_those_of_longwire():
    assert issubclass(datastructures.Headers, longwire.Headers)
    assert datastructures.MultipleValuesError is longwire.MultipleValuesError
    assert http11.Request is longwire.Request
    assert http11.Response is longwire.Response


def test_the_product_is_longwire_on_this_python():
    product = "Python/{}.{} longwire/".format(*sys.version_info[:2])

    assert http11.USER_AGENT.startswith(product)
    assert http11.SERVER == http11.USER_AGENT


@pytest.mark.parametrize("message", [http11.Request("/", Headers()), None])
def test_the_exception_of_a_message_is_none_and_deprecated(message):
    message = message or http11.Response(200, "OK", Headers())

    with pytest.warns(DeprecationWarning, match="handshake_exc"):
        assert message.exception is None


def test_a_message_shows_and_compares_what_was_sent():
    request = http11.Request("/", Headers(host="a"))

    assert request == http11.Request("/", Headers(host="a"), _exception=OSError())
    assert "exception" not in repr(request)


def test_types_of_arguments_are_those_of_the_documents():
    assert typing.Origin("https://a") == "https://a"
    assert typing.Subprotocol("chat") == "chat"
    assert typing.ExtensionName("x") == "x"
    assert isinstance("text", typing.Data)
    assert isinstance(b"data", typing.Data)
    assert isinstance(logging.getLogger("x"), typing.LoggerLike)
    assert isinstance(404, typing.StatusLike)


def test_header_values_are_parsed_and_built():
    value = "permessage-deflate; client_max_window_bits=12, other"

    parsed = headers.parse_extension(value)

    assert parsed == [
        ("permessage-deflate", [("client_max_window_bits", "12")]),
        ("other", []),
    ]
    assert headers.build_extension(parsed) == value


def test_a_tunnel_is_asked_of_a_proxy():
    request = proxy.prepare_connect_request(
        proxy.parse_proxy("http://user:pass@localhost:3128"),
        uri.parse_uri("wss://example.com/"),
        "me/1",
    )

    assert request.startswith(b"CONNECT example.com:443 HTTP/1.1\r\n")
    assert b"\r\nUser-Agent: me/1\r\n" in request
    assert b"\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n" in request


def test_the_version_is_that_of_the_documents():
    assert version.version == version.tag == version.commit
    assert tuple(map(int, version.version.split("."))) >= (14, 0)


# --- utils -----------------------------------------------------------------------


def test_the_key_of_the_rfc_is_accepted_as_the_rfc_does():
    accept = utils.accept_key("dGhlIHNhbXBsZSBub25jZQ==")

    assert accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_keys_are_16_bytes_and_differ():
    keys = {utils.generate_key() for _ in range(10)}

    assert len(keys) == 10
    assert all(len(base64.b64decode(key)) == 16 for key in keys)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_masking_twice_gives_the_original(kind):
    mask = b"\x01\x02\x03\x04"

    masked = utils.apply_mask(kind(b"Hello"), mask)

    assert masked == bytes(byte ^ mask[i % 4] for i, byte in enumerate(b"Hello"))
    assert utils.apply_mask(masked, mask) == b"Hello"


def test_a_mask_has_four_bytes():
    with pytest.raises(ValueError, match="mask of 3 bytes"):
        utils.apply_mask(b"Hello", b"abc")


def test_the_name_of_a_socket_is_its_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))

        name = utils.get_socket_name(listener)

        assert name == f"127.0.0.1:{listener.getsockname()[1]}"


# --- imports ---------------------------------------------------------------------


def namespace(**names):
    return {"__name__": "here", "__package__": "longwire.websockets", **names}


def test_a_lazy_name_is_imported_when_it_is_asked_for():
    names = namespace()

    imports.lazy_import(names, aliases={"parse_uri": ".uri"})

    assert "parse_uri" not in names
    assert names["__getattr__"]("parse_uri") is uri.parse_uri
    assert names["parse_uri"] is uri.parse_uri
    assert "parse_uri" in names["__dir__"]()


def test_a_deprecated_lazy_name_warns():
    names = namespace()
    imports.lazy_import(names, deprecated_aliases={"parse_uri": ".uri"})

    with pytest.warns(DeprecationWarning, match=r"here\.parse_uri is deprecated"):
        found = names["__getattr__"]("parse_uri")

    assert found is uri.parse_uri


def test_a_name_that_is_not_lazy_is_missing():
    names = namespace()
    imports.lazy_import(names, aliases={"parse_uri": ".uri"})

    with pytest.raises(AttributeError, match="'here' has no attribute 'nothing'"):
        names["__getattr__"]("nothing")


def test_a_lazy_name_may_not_hide_another():
    with pytest.raises(ValueError, match="parse_uri"):
        imports.lazy_import(namespace(parse_uri=1), aliases={"parse_uri": ".uri"})
    with pytest.raises(ValueError, match="parse_uri"):
        both = {"parse_uri": ".uri"}
        imports.lazy_import(namespace(), aliases=both, deprecated_aliases=both)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("client", "connect"),
        ("client", "unix_connect"),
        ("client", "WebSocketClientProtocol"),
        ("server", "serve"),
        ("server", "WebSocketServerProtocol"),
        ("server", "broadcast"),
        ("protocol", "WebSocketCommonProtocol"),
    ],
)
def test_former_names_come_from_legacy_without_a_word(module, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = imports.import_name(
            name, f".{module}", {"__package__": "longwire.websockets"}
        )

    assert found.__module__.startswith("longwire.websockets.legacy.")


# --- streams ---------------------------------------------------------------------


def run(reading):
    """The result of a generator that does not wait."""
    with pytest.raises(StopIteration) as stop:
        next(reading)
    return stop.value.value


def waits(reading):
    return next(reading, "done") is None


def test_a_stream_gives_lines_exact_sizes_and_the_rest():
    stream = StreamReader()
    stream.feed_data(b"first\r\ntwofold\nthe ")
    stream.feed_data(b"rest")
    stream.feed_eof()

    assert run(stream.read_line(10)) == b"first\r\n"
    assert run(stream.read_exact(3)) == b"two"
    assert run(stream.read_line(10)) == b"fold\n"
    assert run(stream.at_eof()) is False
    assert run(stream.read_to_eof(10)) == b"the rest"
    assert run(stream.at_eof()) is True


def test_a_stream_waits_while_there_is_too_little():
    stream = StreamReader()
    line, exact, rest = stream.read_line(9), stream.read_exact(2), stream.read_to_eof(9)
    stream.feed_data(b"a")

    assert waits(line)
    assert waits(exact)
    assert waits(rest)
    stream.feed_data(b"\n")
    assert waits(rest)
    assert run(line) == b"a\n"
    assert waits(stream.at_eof())


def test_a_stream_that_ends_too_early_is_an_eof_error():
    stream = StreamReader()
    stream.feed_data(b"ab")
    stream.feed_eof()

    with pytest.raises(EOFError, match="2 bytes; 3 are expected"):
        next(stream.read_exact(3))
    with pytest.raises(EOFError, match="before a line end"):
        next(stream.read_line(3))


def test_too_long_a_line_is_the_error_the_caller_chose():
    stream = StreamReader()
    stream.feed_data(b"abcdef")

    with pytest.raises(RuntimeError, match="6 bytes; 5 are allowed"):
        next(stream.read_line(5))
    with pytest.raises(RequestLineTooLong, match="limit of 5 bytes"):
        next(stream.read_line(5, RequestLineTooLong))
    with pytest.raises(MemoryError):
        next(stream.read_to_eof(5, MemoryError))


def test_nothing_can_be_fed_after_the_end():
    stream = StreamReader()
    stream.feed_eof()

    with pytest.raises(EOFError):
        stream.feed_data(b"")
    with pytest.raises(EOFError):
        stream.feed_eof()


def test_what_is_discarded_is_not_read():
    stream = StreamReader()
    stream.feed_data(b"abc")

    stream.discard()
    stream.feed_data(b"d\n")

    assert run(stream.read_line(9)) == b"d\n"
