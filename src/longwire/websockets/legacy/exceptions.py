"""The exceptions that only former editions have, in longwire's one tree.

``InvalidStatusCode`` is an ``InvalidStatus``, so clauses of either kind catch what a
refused client gets.
"""

from __future__ import annotations

import http

from ...errors import InvalidHandshake, InvalidMessage, InvalidStatus
from ...errors import ProtocolError as WebSocketProtocolError
from ...http.headers import Headers, HeadersLike
from ...http.heads import Response
from .. import datastructures

__all__ = [
    "AbortHandshake",
    "InvalidHandshake",
    "InvalidMessage",
    "InvalidStatusCode",
    "RedirectHandshake",
    "StatusLike",
    "WebSocketProtocolError",
    "datastructures",
    "http",
]

StatusLike = http.HTTPStatus | int


class InvalidStatusCode(InvalidStatus):
    """The server refused the handshake with ``status_code`` and ``headers``."""

    def __init__(self, status_code: int, headers: Headers, body: bytes = b"") -> None:
        super().__init__(
            Response(int(status_code), _phrase(status_code), headers, body)
        )
        self.args = (status_code, headers)
        self.status_code = status_code
        self.headers = headers

    def __reduce__(self) -> tuple[type, tuple[int, Headers, bytes]]:
        return type(self), (self.status_code, self.headers, self.response.body)


class AbortHandshake(InvalidHandshake):
    """A hook raises it to answer with ``status``, ``headers`` and ``body``."""

    def __init__(
        self, status: StatusLike, headers: HeadersLike, body: bytes = b""
    ) -> None:
        super().__init__(status, headers, body)
        self.status = http.HTTPStatus(status)
        self.headers = Headers(headers)
        self.body = body

    def __str__(self) -> str:
        return (
            f"HTTP {int(self.status)}, {len(self.headers)} headers, "
            f"{len(self.body)} bytes"
        )


class RedirectHandshake(InvalidHandshake):
    """The server sends the client to ``uri``."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri

    def __str__(self) -> str:
        return f"redirect to {self.uri}"


def _phrase(status_code: int) -> str:
    try:
        return http.HTTPStatus(status_code).phrase
    except ValueError:
        return ""
