"""The headers of the opening handshake, as edition 2.6 builds and checks them.

For use with any HTTP library: ``get_header(name)`` returns a header or "",
``set_header(name, value)`` sets one. A mapping does in place of the former.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import InvalidHandshake
from .datastructures import Headers
from .legacy import handshake as later

__all__ = [
    "InvalidHandshake",
    "build_request",
    "build_response",
    "check_request",
    "check_response",
]

SetHeader = Callable[[str, str], object]
GetHeader = Callable[[str], str | None] | Mapping[str, str]


def build_request(set_header: SetHeader) -> str:
    """Set the headers that ask for a WebSocket; return the key."""
    headers = Headers()
    key = later.build_request(headers)
    # The word in its capitals: every server has to take it so.
    headers.pop("Upgrade")
    set_header("Upgrade", "WebSocket")
    for name, value in headers.raw_items():
        set_header(name, value)
    return key


def check_request(get_header: GetHeader) -> str:
    """Return the key of a request; raise InvalidHandshake unless it is valid.

    Method, HTTP version, Host and Origin are the caller's to check.
    """
    return later.check_request(_headers(get_header, *later._REQUEST))


def build_response(set_header: SetHeader, key: str) -> None:
    """Set the headers that answer ``key``."""
    headers = Headers()
    later.build_response(headers, key)
    for name, value in headers.raw_items():
        set_header(name, value)


def check_response(get_header: GetHeader, key: str) -> None:
    """Raise InvalidHandshake unless the headers answer ``key``.

    The status is the caller's to check.
    """
    later.check_response(_headers(get_header, *later._RESPONSE), key)


def _headers(get_header: GetHeader, *names: str) -> Headers:
    get = get_header if callable(get_header) else get_header.get
    headers = Headers()
    for name in names:
        try:
            value = get(name)
        except KeyError:  # of a mapping's __getitem__
            continue
        if value:
            headers[name] = value
    return headers
