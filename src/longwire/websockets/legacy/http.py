"""Heads of requests and responses, read from a stream, as in editions 4 to 13.

longwire's readers decide what is valid; nothing after the head is taken.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol, cast, overload

from ...errors import InvalidHandshake, LimitExceeded, SecurityError
from ...http import headers as engine
from ...http.heads import Request, RequestReader, Response, ResponseReader
from ..aliases import give_aliases
from ..datastructures import Headers, OldHeaders
from ..negotiating import OneDotOne

__all__ = ["read_request", "read_response"]

MAX_LINE = 8192
MAX_HEADERS = 128


class Lines(Protocol):
    """What is read from: an :class:`asyncio.StreamReader` is one."""

    async def readline(self) -> bytes:
        """Return the next line with its end, what is left of it at the end."""


class Incomplete(EOFError, ValueError):
    """The stream ends before the head does."""


class _RequestHead(RequestReader):
    @staticmethod
    def _check_host(headers: engine.Headers, protocol: str) -> None:
        """Host is the caller's to check."""


class _ResponseHead(OneDotOne):
    def _body(
        self, minor: int, status: int, headers: engine.Headers
    ) -> Generator[None, None, None]:
        """The body, if any, stays in the stream."""
        yield from ()


async def read_request(
    stream: Lines, *, max_line: int = MAX_LINE, max_headers: int = MAX_HEADERS
) -> tuple[str, Headers]:
    """Return path and headers of a request; it is taken to have no body.

    Raises ValueError unless it is GET and HTTP/1.1 and well formed, SecurityError
    when it is too long, EOFError when the stream ends in it.
    """
    reader = _RequestHead(max_line, max_headers, max_line * (max_headers + 1))
    request = await _read(reader, stream)
    if request.method != "GET":
        raise ValueError(f"unsupported HTTP method: {request.method}")
    if request.protocol != "HTTP/1.1":
        raise ValueError(f"unsupported HTTP version: {request.protocol}")
    return request.path, cast(Headers, request.headers)


async def read_response(
    stream: Lines, *, max_line: int = MAX_LINE, max_headers: int = MAX_HEADERS
) -> tuple[int, str, Headers]:
    """Return status, reason and headers of a response; a body is left in the stream.

    Raises what ``read_request`` raises.
    """
    reader = _ResponseHead(max_line, max_headers, max_line * (max_headers + 1), 0)
    response = await _read(reader, stream)
    headers = cast(Headers, response.headers)
    return response.status_code, response.reason_phrase, headers


async def read_headers(
    stream: Lines, *, max_line: int = MAX_LINE, max_headers: int = MAX_HEADERS
) -> Headers:
    """Return the headers up to the empty line, both taken from the stream.

    Raises what ``read_request`` raises.
    """
    reader = _RequestHead(max_line, max_headers, max_line * (max_headers + 1))
    reader.feed(b"GET / HTTP/1.1\r\n")
    return cast(Headers, (await _read(reader, stream)).headers)


async def read_line(stream: Lines, *, max_line: int = MAX_LINE) -> bytes:
    """Return the next line without its end, which is CRLF.

    Raises EOFError where it has another, or none, and SecurityError when it is longer
    than ``max_line`` bytes.
    """
    line = await stream.readline()
    if len(line) > max_line:
        raise SecurityError("line too long")
    if not line.endswith(b"\r\n"):
        raise EOFError("line without CRLF")
    return line[:-2]


def d(value: bytes) -> str:
    """Return ``value`` as text, for messages."""
    return value.decode(errors="backslashreplace")


@overload
async def _read(reader: RequestReader, stream: Lines) -> Request: ...


@overload
async def _read(reader: ResponseReader, stream: Lines) -> Response: ...


async def _read(
    reader: RequestReader | ResponseReader, stream: Lines
) -> Request | Response:
    while True:
        line = await stream.readline()
        if not line.endswith(b"\n"):
            raise Incomplete("connection closed while reading HTTP headers")
        try:
            head = reader.feed(line)
        except LimitExceeded:
            raise  # a SecurityError, too
        except InvalidHandshake as exc:
            raise ValueError(str(exc)) from exc
        if head is not None:
            head.headers = OldHeaders.received(head.headers)
            return head


give_aliases(globals())
