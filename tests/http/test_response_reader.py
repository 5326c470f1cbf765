"""Reading responses: RFC 9112 sections 4, 6 and 7, and the limits."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire import errors
from longwire.http.headers import Headers
from longwire.http.heads import Response, ResponseReader

from .feeding import BEHIND, bytewise, every_way, faults, fed, halves, whole

pytestmark = pytest.mark.once

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def reader(line=8192, headers=128, size=65536, body=1 << 20, tunnel=False):
    return ResponseReader(line, headers, size, body, tunnel=tunnel)


def answer(status: bytes, fields: bytes = b"", body: bytes = b"") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + fields + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    return answer(b"403 Forbidden", b"Transfer-Encoding: chunked\r\n", body)


# --- heads -----------------------------------------------------------------------


@every_way
def test_an_upgrade_is_read_and_what_comes_behind_is_kept(feed):
    r = reader()

    response = fed(r, UPGRADE + BEHIND, feed)

    headers = Headers([("Upgrade", "websocket")])
    assert response == Response(101, "Switching Protocols", headers, b"")
    assert r.rest == BEHIND


@every_way
@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 3\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: many\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\nContent-Length: 3\r\n",
    ],
)
def test_an_upgrade_has_no_body_whatever_its_fields_say(feed, fields):
    r = reader()

    response = fed(r, answer(b"101 x", fields, BEHIND), feed)

    assert response.body == b""
    assert r.rest == BEHIND


@every_way
@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 204 ", 204, ""),
        (b"HTTP/1.1 204 No\tContent", 204, "No\tContent"),
        (b"HTTP/1.0 204 \xc3\xbc", 204, "ü"),
        (b"HTTP/1.1 599 \xff", 599, "\udcff"),
    ],
)
def test_status_lines_are_read(feed, line, status, reason):
    r = reader()

    fed(r, line + b"\r\n\r\n", feed)
    response = r.feed_eof()

    assert (response.status_code, response.reason_phrase) == (status, reason)


@every_way
@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 101",
        b"HTTP/1.1  101 x",
        b"HTTP/1.1 0101 x",
        b"HTTP/1.1 +10 x",
        b"HTTP/1.1 099 x",
        b"HTTP/1.1 600 x",
        b"HTTP/1.1 1o1 x",
        b"HTTP/1.1 101 a\x00b",
        b"HTTP/1.1 101 a\x1bb",
        b"HTTP/1.1\t101\tx",
        b"HTTP/11 101 x",
        b"HELLO",
    ],
)
def test_a_status_line_must_be_exact(feed, line):
    fault = faults(reader(), line + b"\r\n\r\n", feed)

    assert isinstance(fault, errors.InvalidMessage)


@every_way
@pytest.mark.parametrize("line", [b"HTTP/1.0 101 x", b"HTTP/2.0 200 OK"])
def test_no_upgrade_comes_from_another_version(feed, line):
    fault = faults(reader(), line + b"\r\n\r\n", feed)

    assert isinstance(fault, errors.InvalidProtocol)


@pytest.mark.parametrize("first", [b"\x15", b"\x16", b"S", b"h", b"\r", b"\n", b" "])
def test_what_is_no_http_is_noticed_at_the_first_byte(first):
    with pytest.raises(errors.InvalidMessage, match="a response begins with HTTP"):
        reader().feed(first)


@every_way
@pytest.mark.parametrize(
    ("lines", "fields"),
    [
        (b"A: b\r\n c\r\n", [("A", "b c")]),
        (b"A: b\r\n\tc\r\n", [("A", "b c")]),
        (b"A: b \r\n \t c\r\nD: e\r\n", [("A", "b  c"), ("D", "e")]),
        (b"A:\r\n b\r\n", [("A", "b")]),
        (b"A: b\r\n \r\nC: d\r\n", [("A", "b"), ("C", "d")]),
        (b"A: b\r\n c\r\n d\r\n", [("A", "b c d")]),
        (b"A: b\r\n C: d\r\n", [("A", "b C: d")]),
        (b"A: b\r\n Content-Length: 5\r\n", [("A", "b Content-Length: 5")]),
    ],
)
def test_a_folded_value_is_one_value(feed, lines, fields):
    # RFC 9112 section 5.2: a user agent replaces each fold with a space.
    response = fed(reader(), b"HTTP/1.1 101 x\r\n" + lines + b"\r\n" + BEHIND, feed)

    assert list(response.headers.raw_items()) == fields


@every_way
def test_folded_lines_count_as_lines(feed):
    r = reader(headers=3)

    fault = faults(r, b"HTTP/1.1 101 x\r\nA: b\r\n c\r\n d\r\n e\r\n\r\n", feed)

    assert isinstance(fault, errors.TooManyHeaders)


@every_way
@pytest.mark.parametrize(
    "data",
    [
        UPGRADE.replace(b"\r\n", b"\n"),
        b"HTTP/1.1 101 x\r\nA: b\nC: d\r\n\r\n",
        b"HTTP/1.1 101 x\r\nA: b\rC: d\r\n\r\n",
        b"HTTP/1.1 101 x\r\nA : b\r\n\r\n",
        b"HTTP/1.1 101 x\r\n A: b\r\n\r\n",
        b"HTTP/1.1 101 x\r\n\tb\r\nA: b\r\n\r\n",
        b"HTTP/1.1 101 x\r\nA: b\r\n c\0\r\n\r\n",
        b"HTTP/1.1 101 x\r\nA: \x00\r\n\r\n",
        b"HTTP/1.1 101 x\r\nA\r\n\r\n",
    ],
)
def test_malformed_fields_are_refused(feed, data):
    assert isinstance(faults(reader(), data, feed), errors.InvalidMessage)


@every_way
def test_provisional_responses_are_skipped(feed):
    data = answer(b"100 Continue") + answer(b"103 Early Hints", b"Link: x\r\n")

    response = fed(reader(), data + UPGRADE, feed)

    assert response.status_code == 101
    assert "Link" not in response.headers


@every_way
def test_provisional_responses_are_limited(feed):
    ok = fed(reader(), answer(b"102 x") * 16 + UPGRADE, feed)
    fault = faults(reader(), answer(b"102 x") * 17, feed)

    assert ok.status_code == 101
    assert "more than 16 provisional responses" in str(fault)


# --- bodies ----------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("status", [b"200 OK", b"302 Found", b"404 No", b"500 Oh"])
def test_a_body_of_known_length_is_read(feed, status):
    r = reader()

    response = fed(r, answer(status, b"Content-Length: 5\r\n", b"Sorry") + BEHIND, feed)

    assert response.body == b"Sorry"
    assert r.rest == BEHIND


@every_way
@pytest.mark.parametrize("value", [b"5, 5", b"5\r\nContent-Length: 5", b"5 ,5"])
def test_a_length_that_is_repeated_is_read(feed, value):
    data = answer(b"403 x", b"Content-Length: " + value + b"\r\n", b"Sorry")

    assert fed(reader(), data, feed).body == b"Sorry"


@every_way
@pytest.mark.parametrize(
    "value",
    [
        b"5, 6",
        b"5\r\nContent-Length: 6",
        b"",
        b"-5",
        b"+5",
        b"5.0",
        b"0x5",
        b"5 5",
        b"\xd9\xa5",
        b"1" * 19,
        b"five",
    ],
)
def test_a_length_that_is_no_number_is_refused(feed, value):
    data = answer(b"403 x", b"Content-Length: " + value + b"\r\n", b"Sorry")

    fault = faults(reader(), data, feed)

    assert isinstance(fault, errors.InvalidHeader)
    assert fault.name == "Content-Length"


@every_way
def test_a_body_without_length_ends_with_the_stream(feed):
    r = reader()

    assert fed(r, answer(b"403 x", b"", b"Sorry"), feed) is None
    assert r.feed_eof().body == b"Sorry"


@every_way
@pytest.mark.parametrize("status", [b"204 x", b"304 x"])
def test_some_statuses_have_no_body(feed, status):
    response = fed(reader(), answer(status, b"Content-Length: 5\r\n"), feed)

    assert response.body == b""


@every_way
@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Content-Length: 1000000\r\n", b"x" * 20),
        (b"", b"x" * 20),
        (b"Transfer-Encoding: chunked\r\n", b"14\r\n" + b"x" * 20),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nxxxxx\r\nffffffff\r\nxxxxxxx"),
    ],
)
def test_no_more_of_a_body_is_kept_than_allowed(feed, fields, body):
    response = fed(reader(body=10), answer(b"403 x", fields, body), feed)

    assert response.body == b"x" * 10


def test_a_compressed_body_stays_compressed():
    body = gzip.compress(b"Sorry")
    fields = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(body)

    assert reader().feed(answer(b"403 x", fields, body)).body == body


@every_way
@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nSorry\r\n0\r\n\r\n",
        b"2\r\nSo\r\n3\r\nrry\r\n0\r\n\r\n",
        b"00005\r\nSorry\r\n000\r\n\r\n",
        b"5;name=value;x\r\nSorry\r\n0;y\r\n\r\n",
        b'5 ;a="b"\r\nSorry\r\n0\r\n\r\n',
        b"5\r\nSorry\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n",
    ],
)
def test_a_chunked_body_is_put_together(feed, body):
    r = reader()

    response = fed(r, chunked(body) + BEHIND, feed)

    assert response.body == b"Sorry"
    assert r.rest == BEHIND


def test_chunk_sizes_are_hexadecimal():
    body = b"1A\r\n" + b"x" * 26 + b"\r\n1b\r\n" + b"y" * 27 + b"\r\n0\r\n\r\n"

    assert reader().feed(chunked(body)).body == b"x" * 26 + b"y" * 27


@every_way
@pytest.mark.parametrize(
    "body",
    [
        b"\r\n",
        b"-5\r\nSorry\r\n",
        b"+5\r\nSorry\r\n",
        b"0x5\r\nSorry\r\n",
        b" 5\r\nSorry\r\n",
        b"5 \r\nSorry\r\n",
        b"5\nSorry\r\n",
        b"5;\x00\r\nSorry\r\n",
        b"5;a\rb\r\nSorry\r\n",
        b"g\r\n",
        b"1" * 16 + b"\r\n",
        b"5\r\nSorry0\r\n\r\n",
        b"5\r\nSorry\n0\r\n\r\n",
        b"4\r\nSorry\r\n",
        b"5\r\nSorry\r\n0\r\nno trailer\r\n\r\n",
    ],
)
def test_malformed_chunks_are_refused(feed, body):
    assert isinstance(faults(reader(), chunked(body), feed), errors.InvalidMessage)


@every_way
@pytest.mark.parametrize(
    "coding", [b"gzip, chunked", b"identity", b"chunked, chunked", b"", b"xchunked"]
)
def test_other_transfer_codings_are_refused(feed, coding):
    data = answer(b"403 x", b"Transfer-Encoding: " + coding + b"\r\n")

    fault = faults(reader(), data, feed)

    assert isinstance(fault, errors.InvalidHeader)
    assert fault.name == "Transfer-Encoding"


@every_way
@pytest.mark.parametrize(
    "data",
    [
        answer(b"403 x", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        b"HTTP/1.0 403 x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_body_with_two_ends_is_refused(feed, data):
    fault = faults(reader(), data, feed)

    assert "Transfer-Encoding" in str(fault)


@every_way
def test_trailers_and_chunk_extensions_are_limited(feed):
    trailers = chunked(b"0\r\n" + b"X: y\r\n" * 5)
    extensions = chunked((b"1;" + b"x" * 40 + b"\r\ny\r\n") * 20)

    too_many = faults(reader(headers=4), trailers, feed)
    too_long = faults(reader(size=400), extensions, feed)

    assert isinstance(too_many, errors.TooManyHeaders)
    assert isinstance(too_long, errors.HeaderLineTooLong)


@every_way
def test_the_size_of_many_small_chunks_is_not_counted_as_overhead(feed):
    body = b"1\r\ny\r\n" * 500 + b"0\r\n\r\n"

    response = fed(reader(size=200), chunked(body), feed)

    assert response.body == b"y" * 500


# --- the end of the stream -------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 10",
        UPGRADE[:-1],
        answer(b"403 x", b"Content-Length: 5\r\n", b"Sorr"),
        chunked(b"5\r\nSorr"),
        chunked(b"5\r\nSorry"),
        chunked(b"5\r\nSorry\r\n0\r\n"),
        answer(b"100 Continue"),
    ],
)
def test_an_end_in_the_middle_of_a_response_is_an_error(data):
    r = reader()
    r.feed(data)

    with pytest.raises(errors.InvalidMessage, match="closed before the end"):
        r.feed_eof()


def test_a_refusal_that_ends_too_early_still_tells_its_status():
    r = reader()
    r.feed(answer(b"503 x", b"Content-Length: 5\r\n", b"Sorr"))

    with pytest.raises(errors.InvalidMessage, match="body of an HTTP 503 response"):
        r.feed_eof()


def test_an_end_after_a_response_changes_nothing():
    r = reader()
    response = r.feed(UPGRADE)

    assert r.feed_eof() is response


# --- tunnels ---------------------------------------------------------------------


@every_way
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        answer(b"200 OK", b"Content-Length: 5\r\n"),
        answer(b"299 OK", b"Transfer-Encoding: chunked\r\n"),
    ],
)
def test_success_of_connect_has_no_body(feed, data):
    r = reader(tunnel=True)

    response = fed(r, data + BEHIND, feed)

    assert response.body == b""
    assert r.rest == BEHIND


@every_way
def test_a_proxys_refusal_has_its_body(feed):
    data = answer(b"407 x", b"Content-Length: 5\r\n", b"Sorry")

    assert fed(reader(tunnel=True), data, feed).body == b"Sorry"


# --- limits ----------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_long_status_line_is_refused_before_its_end(feed, end):
    line = b"HTTP/1.1 403 " + b"x" * 88

    fault = faults(reader(line=100), line + end, feed)

    assert isinstance(fault, errors.StatusLineTooLong)
    assert fault.limit_value == 100


@every_way
def test_header_lines_are_limited_in_length_number_and_sum(feed):
    fields = b"X: y\r\n" * 4

    too_long = faults(reader(line=20), answer(b"403 x", b"X: " + b"y" * 18), feed)
    too_many = faults(reader(headers=3), answer(b"403 x", fields), feed)
    too_much = faults(reader(size=40), answer(b"403 x", fields), feed)

    assert isinstance(too_long, errors.HeaderLineTooLong)
    assert isinstance(too_many, errors.TooManyHeaders)
    assert isinstance(too_much, errors.HeaderLineTooLong)
    assert too_much.limit == "handshake_bytes"


STARTS = [b"", b"HTTP/1.1 101 x\r\n", answer(b"403 x"), chunked(b"")]


@given(st.sampled_from(STARTS), st.binary(max_size=100), st.integers(0, 40))
def test_how_bytes_are_split_never_changes_what_comes_of_them(start, tail, body):
    outcomes = []
    for feed in (whole, bytewise, halves):
        r = reader(line=60, headers=3, size=90, body=body)
        try:
            response = fed(r, start + tail, feed) or r.feed_eof()
            # What is behind a body that was cut off is of no use to anyone.
            outcomes.append((response, response.status_code == 101 and r.rest))
        except errors.InvalidHandshake as exc:
            outcomes.append((type(exc), str(exc)))

    assert outcomes[0] == outcomes[1] == outcomes[2]


@given(st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=10))
def test_a_body_in_any_chunks_is_put_together(body, sizes):
    data, start = b"", 0
    for size in [*sizes, 200]:
        if part := body[start : start + size]:
            data += b"%x\r\n" % len(part) + part + b"\r\n"
        start += size

    assert reader().feed(chunked(data + b"0\r\n\r\n")).body == body


@given(st.integers(400, 599), st.text("abc ü", max_size=20), st.binary(max_size=100))
def test_a_response_is_read_as_it_was_written(status, reason, body):
    headers = Headers([("Content-Length", str(len(body))), ("X", "ü")])
    response = Response(status, reason, headers, body)

    assert reader().feed(response.serialize()) == response
