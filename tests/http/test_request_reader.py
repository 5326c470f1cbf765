"""Reading requests: RFC 9112 sections 2, 3, 5 and 6, and the limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longwire import errors
from longwire.http.headers import Headers
from longwire.http.heads import Request, RequestReader

from .feeding import BEHIND, bytewise, every_way, faults, fed, halves, whole

pytestmark = pytest.mark.once

SIMPLE = b"GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\n\r\n"


def reader(line=8192, headers=128, size=65536):
    return RequestReader(line, headers, size)


def with_target(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: example.com\r\n\r\n"


def with_field(field: bytes, method: bytes = b"GET") -> bytes:
    return method + b" / HTTP/1.1\r\nHost: example.com\r\n" + field + b"\r\n\r\n"


# --- what is accepted ------------------------------------------------------------


@every_way
def test_a_request_is_read_with_its_target_and_fields(feed):
    request = fed(reader(), SIMPLE, feed)

    headers = Headers([("Host", "example.com")])
    assert request == Request("/chat?room=1", headers, "GET", "HTTP/1.1")


def test_there_is_no_request_before_its_last_byte():
    r = reader()

    results = [r.feed(bytes([byte])) for byte in SIMPLE]

    assert results[:-1] == [None] * (len(SIMPLE) - 1)
    assert results[-1] is not None


@every_way
def test_what_comes_behind_a_request_is_kept(feed):
    r = reader()

    fed(r, SIMPLE + BEHIND, feed)

    assert r.rest == BEHIND


@every_way
def test_empty_lines_before_a_request_are_skipped(feed):
    request = fed(reader(), b"\r\n\r\n" + SIMPLE, feed)

    assert request.path == "/chat?room=1"


@every_way
def test_white_space_around_a_value_is_no_part_of_it(feed):
    request = fed(reader(), with_field(b"A: \t b  c\t \r\nB:\r\nC:d"), feed)

    assert list(request.headers.raw_items())[1:] == [
        ("A", "b  c"),
        ("B", ""),
        ("C", "d"),
    ]


@every_way
def test_fields_that_repeat_are_all_kept_in_order(feed):
    request = fed(reader(), with_field(b"a: 1\r\nb: 2\r\nA: 3"), feed)

    assert request.headers.get_all("A") == ["1", "3"]


@every_way
@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("ü€".encode(), "ü€"),
        (b"M\xfcnchen", "M\udcfcnchen"),
        (b"\xff\xfe", "\udcff\udcfe"),
    ],
)
def test_bytes_beyond_ascii_are_readable_and_go_out_as_they_came(feed, raw, text):
    request = fed(reader(), with_field(b"X: " + raw), feed)

    assert request.headers["X"] == text
    assert b"X: " + raw + b"\r\n" in request.serialize()


@every_way
@pytest.mark.parametrize("value", [b"0", b"00", b"0, 0", b"0\r\nContent-Length: 0"])
def test_a_content_length_of_zero_is_tolerated(feed, value):
    assert fed(reader(), with_field(b"Content-Length: " + value), feed) is not None


@every_way
@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"PUT", b"!#$%&'*+-.^_`|~"])
def test_other_methods_are_left_for_the_caller_to_refuse(feed, method):
    request = fed(reader(), with_field(b"X: y", method), feed)

    assert request.method == method.decode()


@every_way
def test_http_1_0_without_host_is_left_for_the_caller_to_refuse(feed):
    request = fed(reader(), b"GET / HTTP/1.0\r\n\r\n", feed)

    assert request.protocol == "HTTP/1.0"


@every_way
@pytest.mark.parametrize(
    "target",
    [b"/", b"//", b"/a/../b;c=d", b"/?", b"/%20?q={a|b}^`[]%&\\'", b"/" + b"x" * 999],
)
def test_every_target_that_browsers_send_is_read_as_it_is(feed, target):
    assert fed(reader(), with_target(target), feed).path == target.decode()


@every_way
@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        (b"http://other.example/a?b", "other.example", "/a?b"),
        (b"ws://other.example:81", "other.example:81", "/"),
        (b"WSS://[::1]:81?q", "[::1]:81", "/?q"),
        (b"https://other.example/", "other.example", "/"),
    ],
)
def test_an_absolute_target_takes_the_place_of_host(feed, target, host, path):
    request = fed(reader(), with_target(target), feed)

    assert request.path == path
    assert request.headers.get_all("Host") == [host]


@every_way
def test_an_absolute_target_leaves_the_other_fields_alone(feed):
    data = b"GET ws://b/ HTTP/1.1\r\nX: y\r\nHost: a\r\nZ: z\r\n\r\n"

    request = fed(reader(), data, feed)

    assert list(request.headers.raw_items()) == [("Host", "b"), ("X", "y"), ("Z", "z")]


@every_way
def test_a_later_minor_version_is_read_as_http_1_1_is(feed):
    # RFC 9110 section 2.5.
    request = fed(reader(), b"GET / HTTP/1.9\r\nHost: a\r\n\r\n", feed)

    assert request.protocol == "HTTP/1.9"


@every_way
@pytest.mark.parametrize(
    "host",
    [
        b"a",
        b"a.example:8080",
        b"a:",
        b"1.2.3.4",
        b"[::1]",
        b"[::ffff:1.2.3.4]:80",
        b"under_score",
        b"%41",
        b"xn--exmple-cua.com",
    ],
)
def test_valid_hosts_are_accepted(feed, host):
    data = b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"

    assert fed(reader(), data, feed).headers["Host"] == host.decode()


# --- what is refused -------------------------------------------------------------


@every_way
@pytest.mark.parametrize(
    "line",
    [
        b"GARBAGE",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET\t/\tHTTP/1.1",
        b"G(T / HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/1",
        b"GET / HTTP/1.10",
        b"GET / HTTP/\xb2.1",
        b"GET / HTP/1.1",
        b"GET /\xfc HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"G\xc3\x89T / HTTP/1.1",
    ],
)
def test_a_request_line_must_be_exact(feed, line):
    fault = faults(reader(), line + b"\r\nHost: example.com\r\n\r\n", feed)

    assert isinstance(fault, errors.InvalidMessage)
    assert fault.status == 400


@every_way
@pytest.mark.parametrize(
    "target",
    [
        b"chat",
        b"*",
        b"example.com:443",
        b"/#top",
        b'/"',
        b"/<b>",
        b"ftp://a/",
        b"?q",
        b"/\x7f",
        b"http:///a",
        b"http://user@example.com/",
        b"http://a b/",
        b"ws:/a",
        b"http://[::1/",
        b"http://a:99999/",
    ],
)
def test_an_invalid_target_is_refused(feed, target):
    fault = faults(reader(), with_target(target), feed)

    assert isinstance(fault, errors.InvalidMessage)
    assert fault.status == 400


@every_way
@pytest.mark.parametrize(
    "line", [b"OPTIONS * HTTP/1.1", b"CONNECT example.com:443 HTTP/1.1"]
)
def test_targets_of_other_methods_are_refused_for_the_method(feed, line):
    fault = faults(reader(), line + b"\r\nHost: example.com\r\n\r\n", feed)

    assert isinstance(fault, errors.InvalidMethod)


@every_way
@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/9.9"])
def test_another_major_version_is_not_supported(feed, version):
    fault = faults(reader(), b"GET / " + version + b"\r\n\r\n", feed)

    assert isinstance(fault, errors.InvalidProtocol)
    assert fault.status == 505


@every_way
@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"Host: a\r\nHost: a\r\n",
        b"Host: a\r\nhost: b\r\n",
        b"Host: a b\r\n",
        b"Host: a, b\r\n",
        b"Host: user@a\r\n",
        b"Host: a/\r\n",
        b"Host: a:x\r\n",
        b"Host: a:99999\r\n",
        b"Host: a:0000065536\r\n",
        b"Host: :80\r\n",
        b"Host: a\r\nHost:\r\n",
        b"Host: ::1\r\n",
        b"Host: [::1\r\n",
        b"Host: [1.2.3.4]\r\n",
        b"Host: [::1%eth0]\r\n",
        b"Host: %4\r\n",
        b"Host: \xc3\xbc\r\n",
    ],
)
def test_there_must_be_one_valid_host(feed, fields):
    fault = faults(reader(), b"GET / HTTP/1.1\r\n" + fields + b"\r\n", feed)

    assert isinstance(fault, errors.InvalidHeader)
    assert (fault.name, fault.status) == ("Host", 400)


@every_way
@pytest.mark.parametrize(
    ("value", "host"),
    [
        (b"", ""),  # RFC 9112 section 3.2: sent where a URI has no authority
        (b"a:", "a:"),
        (b"a:00080", "a:00080"),
        (b"a:000080", "a:000080"),
        (b"a.", "a."),
        (b"my_host", "my_host"),
        (b"%41", "%41"),
        (b"[::1]:80", "[::1]:80"),
    ],
)
def test_a_host_may_be_written_in_many_ways(feed, value, host):
    request = fed(reader(), b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n", feed)

    assert request.headers["Host"] == host


@every_way
def test_an_absolute_target_does_not_excuse_an_invalid_host(feed):
    fault = faults(reader(), b"GET http://a/ HTTP/1.1\r\n\r\n", feed)

    assert str(fault) == "missing Host header"


@every_way
@pytest.mark.parametrize(
    "data",
    [
        SIMPLE.replace(b"\r\n", b"\n"),
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_lines_end_with_cr_lf_and_nothing_else(feed, data):
    fault = faults(reader(), data, feed)

    assert isinstance(fault, errors.InvalidMessage)
    assert "without" in str(fault)


@every_way
@pytest.mark.parametrize(
    "field",
    [
        b"X : y",
        b" X: y",
        b"X: y\r\n folded",
        b"X: y\r\n\tfolded",
        b": y",
        b"X",
        b"X Y: z",
        b"X(: y",
        b"\xc3\xbc: y",
        b"X: \x00",
        b"X: a\x01b",
        b"X: \x1b[0m",
        b"X: \x7f",
    ],
)
def test_a_malformed_field_is_refused(feed, field):
    fault = faults(reader(), with_field(field), feed)

    assert isinstance(fault, errors.InvalidMessage)
    assert "invalid header line" in str(fault)


@every_way
@pytest.mark.parametrize(
    "field",
    [
        b"Content-Length: 1",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Content-Length: 0\r\nTransfer-Encoding: chunked",
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_body_on_a_get_is_refused(feed, field, method):
    fault = faults(reader(), with_field(field, method), feed)

    assert isinstance(fault, errors.InvalidMessage)
    assert "request with a body" in str(fault)


@every_way
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"-0",
        b"+0",
        b"0x0",
        b"0 0",
        b"0, 1",
        b"0\r\nContent-Length: 1",
        b"0,",
        b"\xd9\xa0",
        b"1" * 19,
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_an_invalid_content_length_is_refused(feed, value, method):
    fault = faults(reader(), with_field(b"Content-Length: " + value, method), feed)

    assert isinstance(fault, errors.InvalidHeader)
    assert fault.name == "Content-Length"


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (
            b"\x16",
            "a request begins with a method, but b'\\x16' came: the client speaks TLS; "
            "give serve() ssl=context, or the client ws://",
        ),
        (b"\x00", "a request begins with a method, but b'\\x00' came"),
    ],
)
def test_tls_on_a_plain_port_is_noticed_at_the_first_byte(first, text):
    with pytest.raises(errors.InvalidMessage) as caught:
        reader().feed(first)

    assert str(caught.value) == text


def test_text_in_error_messages_is_bounded():
    fault = faults(reader(), b"x" * 8000 + b"\r\n", whole)

    assert len(str(fault)) < 150


# --- the end of the stream -------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 20, len(SIMPLE) - 1])
def test_an_end_in_the_middle_of_a_request_is_an_error(size):
    r = reader()
    r.feed(SIMPLE[:size])

    with pytest.raises(errors.InvalidMessage, match="closed before the end"):
        r.feed_eof()


def test_an_end_after_a_request_is_none():
    r = reader()
    r.feed(SIMPLE)

    r.feed_eof()

    assert r.rest == b""


# --- limits ----------------------------------------------------------------------


def request_line(size: int) -> bytes:
    return b"GET /" + b"x" * (size - 14) + b" HTTP/1.1"


@every_way
def test_a_request_line_at_the_limit_is_read(feed):
    data = request_line(100) + b"\r\nHost: a\r\n\r\n"

    assert fed(reader(line=100), data, feed) is not None


@every_way
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\nHost: a\r\n\r\n"])
def test_a_request_line_over_the_limit_is_refused_before_its_end(feed, end):
    fault = faults(reader(line=100), request_line(101) + end, feed)

    assert isinstance(fault, errors.RequestLineTooLong)
    assert (fault.limit, fault.limit_value, fault.status) == (
        "handshake_line",
        100,
        414,
    )


@every_way
@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_header_line_over_the_limit_is_refused_before_its_end(feed, end):
    field = b"X: " + b"y" * 98

    fault = faults(reader(line=100), SIMPLE[:-2] + field + end, feed)

    assert isinstance(fault, errors.HeaderLineTooLong)
    assert (fault.limit, fault.limit_value, fault.status) == (
        "handshake_line",
        100,
        431,
    )


@every_way
def test_a_header_line_at_the_limit_is_read(feed):
    assert fed(reader(line=100), with_field(b"X: " + b"y" * 97), feed) is not None


@every_way
def test_header_lines_are_counted(feed):
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 4

    request = fed(reader(headers=5), data + b"\r\n", feed)
    fault = faults(reader(headers=4), data, feed)

    assert len(request.headers.get_all("X")) == 4
    assert isinstance(fault, errors.TooManyHeaders)
    assert (fault.limit, fault.limit_value, fault.status) == (
        "handshake_headers",
        4,
        431,
    )


@every_way
def test_the_whole_head_is_limited(feed):
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 4 + b"\r\n"

    request = fed(reader(size=len(data)), data, feed)
    fault = faults(reader(size=len(data) - 1), data, feed)

    assert request is not None
    assert isinstance(fault, errors.HeaderLineTooLong)
    assert (fault.limit, fault.limit_value) == ("handshake_bytes", len(data) - 1)


@every_way
def test_empty_lines_before_a_request_are_limited(feed):
    fault = faults(reader(size=100), b"\r\n" * 51, feed)

    assert isinstance(fault, errors.SecurityError)


@given(st.binary(max_size=200), st.integers(0, 60), st.integers(0, 4))
def test_how_bytes_are_split_never_changes_what_comes_of_them(tail, line, count):
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + tail + b"\r\n\r\n"

    outcomes = []
    for feed in (whole, bytewise, halves):
        r = reader(line=line, headers=count, size=150)
        try:
            outcomes.append((fed(r, data, feed), r.rest))
        except errors.InvalidHandshake as exc:
            outcomes.append((type(exc), str(exc)))

    assert outcomes[0] == outcomes[1] == outcomes[2]


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_a_status(data):
    status = 200
    try:
        reader().feed(data)
    except errors.InvalidHandshake as exc:
        status = exc.status

    assert status in (200, 400, 405, 505)


TOKENS = st.text("abcXYZ019-_", min_size=1, max_size=20)
VALUES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=40
).map(lambda text: text.strip(" \t"))


@given(st.lists(st.tuples(TOKENS.map("X-{}".format), VALUES), max_size=10))
def test_a_request_is_read_as_it_was_written(fields):
    request = Request("/path?query", Headers([("Host", "a"), *fields]))

    assert reader().feed(request.serialize()) == request


def test_time_is_linear_when_a_head_is_dribbled():
    # Counted, not timed: each byte is looked at once for a line end.
    looked_at = 0

    class Counting(bytearray):
        def find(self, sub, start=0):
            nonlocal looked_at
            looked_at += len(self) - start
            return super().find(sub, start)

    r = reader()
    r._data = Counting()
    data = b"GET /" + b"x" * 8000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"

    assert fed(r, data, bytewise) is not None
    assert looked_at < 3 * len(data)
