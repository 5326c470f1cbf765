"""What both sides of a sans-I/O handshake do alike."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidMessage
from ..escaping import excerpt
from ..http.extension_base import Agreed
from ..http.heads import Request, Response, ResponseReader
from ..messages import Deflate
from .extensions.base import Extension
from .extensions.permessage_deflate import PerMessageDeflate
from .typing import LoggerLike


class OneDotOne(ResponseReader):
    """Reads responses of HTTP/1.1 and no other version."""

    @staticmethod
    def _parse_line(line: bytes) -> tuple[int, int, str]:
        minor, status, reason = ResponseReader._parse_line(line)
        if minor != 1:
            raise InvalidMessage(f"unsupported HTTP version: HTTP/1.{minor}")
        return minor, status, reason


def no_response(exc: Exception) -> InvalidMessage:
    """Return what tells that ``exc`` came in place of the head of a response.

    Its text is the documented one. The cause is what programs look at: ValueError for
    what is no HTTP, SecurityError for what is too long, and an end of the stream.
    """
    cause: Exception = exc
    if isinstance(exc, InvalidMessage):
        found = exc.__cause__
        cause = found if isinstance(found, EOFError) else ValueError(str(exc))
    unreadable = InvalidMessage("did not receive a valid HTTP response")
    unreadable.__cause__ = cause
    return unreadable


def as_extensions(agreed: Sequence[Agreed], *, client: bool) -> list[Extension]:
    """Return extensions that can be used frame by frame."""
    return [
        PerMessageDeflate.of(item, client=client) if isinstance(item, Deflate) else item
        for item in agreed
    ]


def invalid_message(exc: InvalidMessage, what: str, ended: bool) -> InvalidMessage:
    """Return the documented exception for a head that is no valid ``what``.

    Its cause says what is wrong: an EOFError where the stream ``ended`` too early, else
    a ValueError.
    """
    documented = InvalidMessage(f"did not receive a valid HTTP {what}")
    cause = EOFError if ended else ValueError
    documented.__cause__ = cause(str(exc)).with_traceback(exc.__traceback__)
    return documented


def log_head(logger: LoggerLike, arrow: str, head: Request | Response) -> None:
    """Log a request or response line by line, at DEBUG."""
    if isinstance(head, Request):
        line = f"{head.method} {head.path} {head.protocol}"
    else:
        line = f"HTTP/1.1 {head.status_code:d} {head.reason_phrase}"
    logger.debug("%s %s", arrow, excerpt(line))
    for name, value in head.headers.raw_items():
        logger.debug("%s %s", arrow, excerpt(f"{name}: {value}"))
    if isinstance(head, Response) and head.body:
        logger.debug("%s [body] (%d bytes)", arrow, len(head.body))
