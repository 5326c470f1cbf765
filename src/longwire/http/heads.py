"""Heads: HTTP/1.1 requests and responses (RFC 9112), read and written.

Readers are fed any split of the stream and return whole messages; limits hold while
a line is still incomplete, and time is linear however the bytes come. Nothing here
knows of WebSocket: what a message must say for that is decided in ``handshake``.
"""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
import warnings
from collections.abc import Generator

from ..errors import (
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidMethod,
    InvalidProtocol,
    RequestLineTooLong,
    StatusLineTooLong,
)
from ..escaping import quote
from .fields import TOKEN, combined, is_token, is_valid_host, lower
from .headers import Headers
from .lines import FIELDS, Reader, content_length

__all__ = ["Request", "RequestReader", "Response", "ResponseReader"]

# What a request line can hold without becoming another one (RFC 9112 section 3).
_TARGET = re.compile(r"[!-~]+")
# RFC 9112 section 4: reason-phrase = 1*( HTAB / SP / VCHAR / obs-text ), and it may be
# missing. Text beyond ASCII goes out as UTF-8 or as the bytes it came in; the other
# surrogates have no bytes.
_PHRASE = re.compile(r"[\t\x20-\x7e\x80-\ud7ff\udc80-\udcff\ue000-\U0010ffff]*")
_VERSION = re.compile(r"HTTP/([0-9])\.[0-9]")
# RFC 9112 section 3.2: "Recipients of an invalid request-line SHOULD respond with
# either a 400 (Bad Request) error or a 301". RFC 3986 forbids more, but browsers send
# ^ ` { | } and a bare % as they were typed, so only what could be mistaken for
# something else is refused: # begins a fragment, which is never sent, and " < > end a
# URI in running text.
_ORIGIN_FORM = re.compile(r"/[!$-;=?-~]*")
_ABSOLUTE_FORM = re.compile(
    r"(?:https?|wss?)://(?P<host>[!$-.0-;=@-~]*)(?P<path>[/?][!$-;=?-~]*)?",
    re.IGNORECASE | re.ASCII,
)
# A whole request as nearly all are: what it matches, the strict reader reads so, too.
_USUAL_REQUEST = re.compile(rb"GET (/[!$-;=?-~]*) HTTP/1\.1\r\n" + FIELDS + rb"\r\n")
# RFC 9112 section 4: the space behind the status is there without a phrase, too.
_STATUS_LINE = re.compile(
    rb"HTTP/([0-9])\.([0-9]) ([1-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)"
)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*(;[\t\x20-\x7e\x80-\xff]*))?")

# RFC 8446 section 5.1: a TLS record begins with its type; 22 is a handshake.
_TLS_HANDSHAKE = 22
_IS_TLS = ": the client speaks TLS; give serve() ssl=context, or the client ws://"

# Bytes of a reason phrase that are kept: RFC 9112 section 4, "A client SHOULD ignore
# the reason-phrase content". As text it may take four times as much, for as long as
# the connection is open.
_MAX_PHRASE = 256
# Provisional responses before the final one; nobody sends more than a few.
_MAX_PROVISIONAL = 16


@dataclasses.dataclass
class Request:
    """An HTTP request.

    ``path`` is the request target: path and query, as they were sent. ``headers``
    are the :class:`~longwire.Headers`. Raises ValueError for a part that would be more
    than itself on the wire, such as a path with a space or a line break in it.
    """

    path: str
    headers: Headers
    method: str = "GET"
    protocol: str = "HTTP/1.1"
    _exception: Exception | None = dataclasses.field(
        default=None, repr=False, compare=False
    )

    @property
    def query(self) -> dict[str, list[str]]:
        """The values of each name in the query, decoded; a new dict each time.

        For one that is there once: ``request.query.get("token", [""])[0]``.
        """
        text = self.path.partition("?")[2]
        return urllib.parse.parse_qs(text, keep_blank_values=True)

    @classmethod
    def checked(cls, path: str, headers: Headers) -> Request:
        """Return a GET request; ``path`` must be known to be one."""
        request = cls.__new__(cls)
        request.path = path
        request.headers = headers
        request.method = "GET"
        request.protocol = "HTTP/1.1"
        request._exception = None
        return request

    def __post_init__(self) -> None:
        self._check()

    def _check(self) -> None:
        """Raise unless the request line is one (RFC 9112 section 3)."""
        try:
            fine = (
                _TARGET.fullmatch(self.path)
                and TOKEN.fullmatch(self.method)
                and _VERSION.fullmatch(self.protocol)
            )
        except TypeError:
            fine = None
        if not fine:
            self._complain()

    def _complain(self) -> None:
        for name, pattern, allowed in (
            ("method", TOKEN, "a token"),
            ("path", _TARGET, "visible ASCII"),
            ("protocol", _VERSION, "HTTP/1.1"),
        ):
            value = getattr(self, name)
            if not isinstance(value, str):
                kind = type(value).__name__
                raise TypeError(f"{name} must be a str, not {kind}")
            if pattern.fullmatch(value) is None:
                raise ValueError(f"invalid {name}: {quote(value)}; {allowed} is needed")

    @property
    def exception(self) -> Exception | None:
        """Deprecated: the fault that a sans-I/O server found in it, if any."""
        _warn("Request.exception is deprecated; use ServerProtocol.handshake_exc")
        return self._exception

    def serialize(self) -> bytes:
        """Return the bytes on the wire. Raises what the constructor raises."""
        self._check()
        line = f"{self.method} {self.path} {self.protocol}\r\n"
        return line.encode("ascii") + self.headers.serialize()


@dataclasses.dataclass
class Response:
    """An HTTP response.

    ``status_code`` is from 100 to 599; ``reason_phrase`` one line of text, perhaps
    empty; ``headers`` are the :class:`~longwire.Headers`; ``body`` are bytes as they
    came: without transfer coding, but not decompressed. Raises ValueError or TypeError
    for anything else.
    """

    status_code: int
    reason_phrase: str
    headers: Headers = dataclasses.field(default_factory=Headers)
    body: bytes = b""
    _exception: Exception | None = dataclasses.field(
        default=None, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError unless this can be sent as it is.

        Attributes may have been set to anything since the response was made.
        """
        status, phrase = self.status_code, self.reason_phrase
        if not isinstance(status, int):
            raise TypeError(f"status_code must be an int, not {type(status).__name__}")
        if not 100 <= status <= 599:  # RFC 9110 section 15
            raise ValueError(f"HTTP status {status:d}; 100 to 599 are allowed")
        if not isinstance(phrase, str):
            kind = type(phrase).__name__
            raise TypeError(f"reason_phrase must be a str, not {kind}")
        if _PHRASE.fullmatch(phrase) is None:
            raise ValueError(
                f"invalid reason phrase: {quote(phrase)}; "
                "text without control characters is allowed"
            )
        if not isinstance(self.headers, Headers):
            kind = type(self.headers).__name__
            raise TypeError(f"headers must be Headers, not {kind}")
        # None is what a 101 has of the sans-I/O servers of former editions.
        if self.body is not None and not isinstance(self.body, bytes):
            raise TypeError(f"body must be bytes, not {type(self.body).__name__}")

    @property
    def exception(self) -> Exception | None:
        """Deprecated: the fault that a sans-I/O client found in it, if any."""
        _warn("Response.exception is deprecated; use ClientProtocol.handshake_exc")
        return self._exception

    def serialize(self) -> bytes:
        """Return the bytes on the wire. Raises what ``check()`` raises."""
        self.check()
        line = f"HTTP/1.1 {self.status_code:03d} {self.reason_phrase}\r\n"
        head = line.encode(errors="surrogateescape") + self.headers.serialize()
        return head + (self.body or b"")


def _warn(text: str) -> None:
    warnings.warn(text, DeprecationWarning, stacklevel=3)


# --- requests --------------------------------------------------------------------


class RequestReader(Reader):
    """Reads one request, which may have no body.

    Strict where reading in two ways would be dangerous: lines end with CR LF, the
    request line has exactly three parts, there is one valid Host and no body on a
    GET. Empty lines before the request are skipped (RFC 9112 section 2.2). A request
    for an absolute URI comes out as one for its path, with the URI's authority for
    Host, as section 3.2.2 demands. Other methods and HTTP/1.0 are for the caller to
    refuse.

    Raises RequestLineTooLong, HeaderLineTooLong, TooManyHeaders, InvalidMessage,
    InvalidMethod (for targets that only another method has), InvalidProtocol (not
    HTTP/1.x) or InvalidHeader; after that the reader is of no more use.
    """

    what = "request head"

    def __init__(self, max_line: int, max_headers: int, max_bytes: int) -> None:
        super().__init__(max_line, max_headers, max_bytes)
        self._steps = self._read()
        self._begun = False
        self._request: Request | None = None

    def feed(self, data: bytes) -> Request | None:
        """Return the request when ``data`` completes it; None: more is needed."""
        if not self._begun:
            self._begun = True
            self._request = self._usual(data)
            if self._request is not None:
                return self._request
        self._data += data
        if self._request is None:
            try:
                next(self._steps)
            except StopIteration as stop:
                self._request = stop.value
        return self._request

    def feed_eof(self) -> None:
        """Note the end of the stream: raises InvalidMessage when it comes too early."""
        self._eof = True
        if self._request is None:
            next(self._steps, None)

    def _usual(self, data: bytes) -> Request | None:
        """Return the request if all of it is here and nothing about it is unusual.

        None leaves it to ``_read()``, which is strict, limits each line and says what
        is wrong. It is slower: a request is read in steps there, which may be few bytes
        each.
        """
        match = _USUAL_REQUEST.match(data)
        if match is None:
            return None
        size, block = match.end(), match[2]
        # All of the head within the limit of one line: no line is too long.
        if size > self._max_line or size > self._max_bytes - 2:
            return None
        if block.count(b"\n") > self._max_headers:
            return None
        headers = Headers.parse(block)
        values = headers._by_name()
        if "content-length" in values or "transfer-encoding" in values:
            return None
        hosts = values.get("host", ())
        if len(hosts) != 1 or not is_valid_host(hosts[0]):
            return None
        self._data += data[size:]
        return Request.checked(match[1].decode("ascii"), headers)

    def _read(self) -> Generator[None, None, Request]:
        # The line itself is not kept while the fields are waited for.
        method, target, protocol = self._parse_line((yield from self._request_line()))
        headers = yield from self._headers()
        if target[0] != "/":
            headers, target = self._localize(headers, target, protocol)
        else:
            self._check_host(headers, protocol)
        self._check_body(method, headers)
        return Request(target, headers, method, protocol)

    def _request_line(self) -> Generator[None, None, bytes]:
        while True:
            while self._start == len(self._data):
                yield from self._wait(self.what)
            first = self._data[self._start]
            if first not in b"\r\n" and not is_token(chr(first)):
                # It will not be a request: no use waiting for a line end.
                raise InvalidMessage(
                    f"a request begins with a method, but {bytes((first,))!r} came"
                    f"{_IS_TLS if first == _TLS_HANDSHAKE else ''}"
                )
            line = yield from self._line(RequestLineTooLong)
            if line:
                return line

    @staticmethod
    def _parse_line(line: bytes) -> tuple[str, str, str]:
        """Return method, target and protocol."""
        try:
            method, target, protocol = line.decode("ascii").split(" ")
        except ValueError:
            raise InvalidMessage(f"invalid request line: {quote(line)}") from None
        version = _VERSION.fullmatch(protocol)
        if version is None:
            raise InvalidMessage(f"invalid HTTP version: {quote(protocol)}")
        if version.group(1) != "1":
            raise InvalidProtocol(protocol)
        if not is_token(method):
            raise InvalidMessage(f"invalid method: {quote(method)}")
        if _ORIGIN_FORM.fullmatch(target) or _ABSOLUTE_FORM.fullmatch(target):
            return method, target, protocol
        if (method == "OPTIONS" and target == "*") or (
            method == "CONNECT" and is_valid_host(target)
        ):
            raise InvalidMethod(method)
        raise InvalidMessage(f"invalid request target: {quote(target)}")

    @staticmethod
    def _check_host(headers: Headers, protocol: str) -> None:
        values = headers.get_all("Host")
        if not values:
            if protocol == "HTTP/1.0":
                return
            raise InvalidHeader("Host")
        if len(values) > 1:
            raise InvalidHeader("Host", "more than one value")
        # RFC 9112 section 3.2: "an empty field value", where the URI has no authority.
        if values[0] and not is_valid_host(values[0]):
            raise InvalidHeader("Host", values[0])

    def _localize(
        self, headers: Headers, target: str, protocol: str
    ) -> tuple[Headers, str]:
        """Return headers and target as if the target had been in origin-form.

        The field must be valid all the same, and is then ignored.
        """
        self._check_host(headers, protocol)
        match = _ABSOLUTE_FORM.fullmatch(target)
        assert match is not None
        host, path = match["host"], match["path"] or "/"
        if not is_valid_host(host):
            raise InvalidMessage(f"invalid host in request target: {quote(target)}")
        localized = Headers()
        localized.set_insecure("Host", host)
        for name, value in headers.raw_items():
            if lower(name) != "host":
                localized.set_insecure(name, value)
        return localized, path if path[0] == "/" else f"/{path}"

    @staticmethod
    def _check_body(method: str, headers: Headers) -> None:
        length = content_length(headers)
        if method not in ("GET", "HEAD"):
            return
        if "Transfer-Encoding" in headers:
            raise InvalidMessage(f"{method} request with a body: Transfer-Encoding")
        if length:  # devices are seen to send Content-Length: 0
            raise InvalidMessage(f"{method} request with a body of {length} bytes")


# --- responses -------------------------------------------------------------------


class ResponseReader(Reader):
    """Reads one response, with at most ``max_body`` bytes of its body.

    The body ends by Content-Length, by chunked coding or with the stream (RFC 9112
    section 6.3); when it is larger than ``max_body`` the response is complete as soon
    as that much is there. Responses with 1xx other than 101 are skipped. ``tunnel``
    says that it answers CONNECT: success then has no body, whatever its headers say.

    Raises StatusLineTooLong, HeaderLineTooLong, TooManyHeaders, InvalidMessage,
    InvalidProtocol or InvalidHeader; after that the reader is of no more use.
    """

    what = "response head"
    # RFC 9112 section 5.2: "A user agent that receives an obs-fold in a response [...]
    # MUST replace each received obs-fold with one or more SP octets"; a server MUST do
    # that or reject the request.
    unfolds = True

    def __init__(
        self,
        max_line: int,
        max_headers: int,
        max_bytes: int,
        max_body: int,
        *,
        tunnel: bool = False,
    ) -> None:
        super().__init__(max_line, max_headers, max_bytes)
        self._max_body = max_body
        self._tunnel = tunnel
        self._head: tuple[int, str, Headers] | None = None
        self._content = bytearray()
        self._steps = self._read()
        self._response: Response | None = None

    def feed(self, data: bytes) -> Response | None:
        """Return the response when ``data`` completes it; None: more is needed."""
        self._data += data
        return self._go_on()

    def feed_eof(self) -> Response | None:
        """Return the response that the end of the stream completes.

        Raises InvalidMessage when the response is incomplete.
        """
        self._eof = True
        return self._go_on()

    def so_far(self) -> Response | None:
        """Return the response with what came of its body; None while in its head.

        For who cannot wait for the rest, or need not have it.
        """
        if self._response is not None or self._head is None:
            return self._response
        return Response(*self._head, bytes(self._content))

    def _go_on(self) -> Response | None:
        if self._response is None:
            try:
                next(self._steps)
            except StopIteration as stop:
                self._response = stop.value
                self._content = bytearray()
        return self._response

    def _read(self) -> Generator[None, None, Response]:
        for _ in range(_MAX_PROVISIONAL + 1):
            self._head_again()
            minor, status, reason = self._parse_line((yield from self._status_line()))
            headers = yield from self._headers()
            if status >= 200 or status == 101:
                break
        else:
            raise InvalidMessage(f"more than {_MAX_PROVISIONAL} provisional responses")
        self._head = status, reason, headers
        yield from self._body(minor, status, headers)
        return Response(status, reason, headers, bytes(self._content))

    def _status_line(self) -> Generator[None, None, bytes]:
        while self._start == len(self._data):
            yield from self._wait(self.what)
        first = self._data[self._start]
        if first != 0x48:
            # Most likely a TLS alert: no use waiting for a line end.
            raise InvalidMessage(
                f"a response begins with HTTP/1.1, but {bytes((first,))!r} came"
            )
        return (yield from self._line(StatusLineTooLong))

    @staticmethod
    def _parse_line(line: bytes) -> tuple[int, int, str]:
        """Return the minor version of HTTP, the status and the reason phrase."""
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise InvalidMessage(f"invalid status line: {quote(line)}")
        major, minor, status, reason = match.groups()
        # An old proxy may refuse in HTTP/1.0, but there is no upgrade in it.
        if major != b"1" or (minor == b"0" and status == b"101"):
            raise InvalidProtocol(line[:8].decode())
        phrase = reason[:_MAX_PHRASE].decode(errors="surrogateescape")
        return int(minor), int(status), phrase

    # --- bodies ------------------------------------------------------------------

    def _body(
        self, minor: int, status: int, headers: Headers
    ) -> Generator[None, None, None]:
        """Read the body, by the rules of RFC 9112 section 6.3 in their order."""
        if status in (101, 204, 304) or (self._tunnel and 200 <= status < 300):
            return
        self.what = f"body of an HTTP {status} response"
        codings = headers.get_all("Transfer-Encoding")
        try:
            length = content_length(headers)
            if codings:
                self._check_codings(combined(codings), length, minor)
        except InvalidHandshake:
            # Nobody knows where it ends; so_far() has what is here.
            self._content += self._take(self._max_body)
            raise
        if codings:
            yield from self._chunked_body()
        else:
            yield from self._plain_body(length)

    @staticmethod
    def _check_codings(codings: str, length: int | None, minor: int) -> None:
        """Raise unless the body is chunked, and nothing says otherwise."""
        if length is not None or minor == 0:
            raise InvalidMessage(
                f"Transfer-Encoding: {quote(codings)} in a response "
                "with Content-Length or of HTTP/1.0"
            )
        if lower(codings.strip(" \t,")) != "chunked":
            # We said nothing of TE, so no other coding may come.
            raise InvalidHeader("Transfer-Encoding", codings)

    def _plain_body(self, length: int | None) -> Generator[None, None, None]:
        """Read ``length`` bytes of body as they come, or all up to the end."""
        left = self._max_body - len(self._content)
        if length is not None:
            left = min(left, length)
        while left:
            part = self._take(left)
            self._content += part
            left -= len(part)
            if part:
                self._forget()
            elif self._eof and length is None:
                break
            else:
                yield from self._wait(self.what)

    def _take(self, most: int) -> bytes:
        """Return what is here, but no more than ``most`` bytes."""
        with memoryview(self._data) as view:
            taken = bytes(view[self._start : self._start + most])
        self._start = self._scanned = self._start + len(taken)
        return taken

    def _chunked_body(self) -> Generator[None, None, None]:
        """Read the body of RFC 9112 section 7.1; trailers are checked and dropped."""
        self._head_again()  # for all chunk extensions together
        while True:
            self._forget()
            left = self._left
            line = yield from self._line(HeaderLineTooLong)
            match = _CHUNK_LINE.fullmatch(line)
            if match is None:
                raise InvalidMessage(f"invalid chunk size: {quote(line)}")
            self._left = left - len(match[2] or b"")
            size = int(match[1], 16)
            if size == 0:
                break
            room = self._max_body - len(self._content)
            yield from self._plain_body(size)
            if size >= room:
                return
            while len(self._data) - self._start < 2:
                yield from self._wait(self.what)
            if (end := self._take(2)) != b"\r\n":
                raise InvalidMessage(f"chunk of {size} bytes ends with {quote(end)}")
        self._head_again()
        yield from self._headers()
