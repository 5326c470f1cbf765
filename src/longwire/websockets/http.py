"""Heads of requests and responses, read from a stream, as in edition 2.6."""

from __future__ import annotations

from ..errors import LimitExceeded
from ..settings import PRODUCT
from .aliases import give_aliases
from .datastructures import Headers, MultipleValuesError
from .legacy import http as later

__all__ = [
    "USER_AGENT",
    "Headers",
    "MultipleValuesError",
    "read_request",
    "read_response",
]

USER_AGENT = PRODUCT

MAX_LINE = 4096
MAX_HEADERS = 256


async def read_request(stream: later.Lines) -> tuple[str, Headers]:
    """Return path and headers of a request; it is taken to have no body.

    Raises ValueError unless it is GET and HTTP/1.1, with at most 256 headers in lines
    of at most 4096 bytes.
    """
    try:
        return await later.read_request(
            stream, max_line=MAX_LINE, max_headers=MAX_HEADERS
        )
    except LimitExceeded as exc:
        raise ValueError(str(exc)) from exc


async def read_response(stream: later.Lines) -> tuple[int, Headers]:
    """Return status and headers of a response; a body is left in the stream.

    Raises ValueError unless it is HTTP/1.1, within the same limits.
    """
    try:
        status, _, headers = await later.read_response(
            stream, max_line=MAX_LINE, max_headers=MAX_HEADERS
        )
    except LimitExceeded as exc:
        raise ValueError(str(exc)) from exc
    return status, headers


give_aliases(globals())
