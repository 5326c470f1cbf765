"""What both sides of a sans-I/O handshake do alike."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidHandshake, InvalidMessage
from ..escaping import excerpt
from ..http.extension_base import Agreed
from ..http.heads import Request, Response
from ..messages import Deflate
from .extensions.base import Extension
from .extensions.permessage_deflate import PerMessageDeflate
from .typing import LoggerLike


def as_extensions(agreed: Sequence[Agreed], *, client: bool) -> list[Extension]:
    """Return extensions that can be used frame by frame."""
    return [
        PerMessageDeflate.of(item, client=client) if isinstance(item, Deflate) else item
        for item in agreed
    ]


def ended_early(exc: InvalidHandshake) -> InvalidHandshake:
    """Return the fault of a head that the end of the stream cut off, with its cause."""
    if isinstance(exc, InvalidMessage):
        exc.__cause__ = EOFError(str(exc))
    return exc


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
        logger.debug("%s [body] [%d bytes]", arrow, len(head.body))
