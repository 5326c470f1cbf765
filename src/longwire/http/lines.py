"""Lines and fields: what requests and responses have in common (RFC 9112).

A reader is fed any split of the stream. Its limits hold while a line is still
incomplete, and its time is linear however the bytes come.
"""

from __future__ import annotations

import re
from collections.abc import Generator

from ..errors import (
    HeaderLineTooLong,
    InvalidHeader,
    InvalidMessage,
    RequestLineTooLong,
    StatusLineTooLong,
    TooManyHeaders,
)
from ..escaping import quote
from .fields import MAX_ELEMENTS, combined
from .headers import Headers

__all__ = ["FIELDS", "Reader", "content_length"]

TooLong = type[RequestLineTooLong | StatusLineTooLong | HeaderLineTooLong]

# RFC 9112 section 5: no space before the colon, no line that begins with a space.
_FIELD_LINE = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*"
_FIELD = re.compile(_FIELD_LINE)
FIELDS = rb"((?:%s\r\n)+)" % _FIELD_LINE
"""The pattern of one or more whole field lines; what it matches needs no other look."""
# Section 5.2: obs-fold, the line end and the white space behind it.
_FOLDED = re.compile(rb"[\t ][\t\x20-\x7e\x80-\xff]*")
_FOLD = re.compile(rb"\r\n[\t ]+")


class Reader:
    """What both readers do: lines and fields within limits.

    The methods that wait for input are generators: they yield when they need more
    and are resumed by ``feed`` or ``feed_eof``. What waits is bytes, about as many as
    came: lines are checked where they lie in the buffer, and become text when the head
    is whole.
    """

    what = "message"
    unfolds = False
    """Whether a line that begins with white space goes on with the one before."""

    def __init__(self, max_line: int, max_headers: int, max_bytes: int) -> None:
        self._max_line = max_line
        self._max_headers = max_headers
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._data = bytearray()
        self._start = 0  # of the line being read
        self._scanned = 0  # up to here there is no line feed
        self._eof = False

    @property
    def rest(self) -> bytes:
        """What came after the message."""
        with memoryview(self._data) as view:
            return bytes(view[self._start :])

    def _wait(self, reading: str) -> Generator[None, None, None]:
        """Wait for more input; ``reading`` is what would be incomplete without."""
        if self._eof:
            raise InvalidMessage(f"connection closed before the end of the {reading}")
        yield

    def _head_again(self) -> None:
        """Let what follows have the whole allowance of a head."""
        self._left = self._max_bytes

    def _forget(self) -> None:
        """Drop what has been read."""
        del self._data[: self._start]
        self._start = self._scanned = 0

    def _line_ends(self, too_long: TooLong) -> Generator[None, None, tuple[int, int]]:
        """Return where the next line begins, and where it ends without its end.

        It may have a CR inside, which is for the caller to refuse.
        """
        data, start = self._data, self._start
        allowed = min(self._max_line, self._left - 2)
        while True:
            end = data.find(b"\n", self._scanned)
            stop = len(data) if end < 0 else end
            # The last byte may be the carriage return of the line's end.
            has_cr = stop > start and data[stop - 1] == 0x0D
            if stop - start - has_cr > allowed:
                raise self._too_long(too_long)
            if end >= 0:
                break
            self._scanned = stop
            yield from self._wait(self.what)
        stop = end - has_cr
        if not has_cr:
            # RFC 9112 section 2.2 lets a lenient reader take a bare LF for a line
            # end; where two readers differ in that, requests can be smuggled.
            line = quote(bytes(data[start:stop]))
            raise InvalidMessage(f"LF without CR in the {self.what}: {line}")
        self._left -= end + 1 - start
        self._start = self._scanned = end + 1
        return start, stop

    def _line(self, too_long: TooLong) -> Generator[None, None, bytes]:
        """Return the next line without its end."""
        start, stop = yield from self._line_ends(too_long)
        line = bytes(self._data[start:stop])
        self._check_no_cr(line)
        return line

    def _check_no_cr(self, line: bytes) -> None:
        if b"\r" in line:  # section 2.2: "A sender MUST NOT generate a bare CR"
            raise InvalidMessage(f"CR without LF in the {self.what}: {quote(line)}")

    def _too_long(self, too_long: TooLong) -> Exception:
        if self._max_line <= self._left - 2:
            return too_long(self._max_line)
        if too_long is HeaderLineTooLong:
            return HeaderLineTooLong(self._max_bytes, total=True)
        return too_long(self._max_bytes)

    def _headers(self) -> Generator[None, None, Headers]:
        """Return the fields up to the empty line, their values not judged."""
        self._forget()
        data, count, folded = self._data, 0, False
        while True:
            start, stop = yield from self._line_ends(HeaderLineTooLong)
            if start == stop:
                break
            count += 1
            if count > self._max_headers:
                raise TooManyHeaders(self._max_headers)
            if _FIELD.fullmatch(data, start, stop) is not None:
                continue
            if (
                count == 1
                or not self.unfolds
                or not _FOLDED.fullmatch(data, start, stop)
            ):
                line = bytes(data[start:stop])
                self._check_no_cr(line)
                raise InvalidMessage(f"invalid header line: {quote(line)}")
            folded = True
        block = bytes(data[:start])
        self._forget()
        return Headers.parse(_FOLD.sub(b" ", block) if folded else block)


def content_length(headers: Headers) -> int | None:
    """Return what Content-Length says, None if it is missing.

    RFC 9112 section 6.3: the same number may be repeated, in a list or in several
    fields; anything else makes the length unknowable.
    """
    values = headers.get_all("Content-Length")
    if not values:
        return None
    value = combined(values)
    if value.count(",") >= MAX_ELEMENTS:
        raise InvalidHeader("Content-Length", f"more than {MAX_ELEMENTS} elements")
    numbers = {number.strip(" \t") for number in value.split(",")}
    number = numbers.pop()
    # 18 digits: below 2**63 in every language between us and the sender.
    if numbers or not number.isascii() or not number.isdigit() or len(number) > 18:
        raise InvalidHeader("Content-Length", value)
    return int(number)
