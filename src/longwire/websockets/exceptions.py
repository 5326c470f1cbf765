"""All exceptions of the documents: longwire's own tree, and names of former editions.

``WebSocketProtocolError`` is what ProtocolError was called; ``InvalidStatusCode`` is an
InvalidStatus; ``AbortHandshake`` and ``RedirectHandshake`` steered the opening
handshakes of the ``legacy`` modules.
"""

from __future__ import annotations

import http

from ..errors import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    DuplicateParameter,
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderFormat,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidMethod,
    InvalidOrigin,
    InvalidParameterName,
    InvalidParameterValue,
    InvalidProtocol,
    InvalidProxy,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidState,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    NegotiationError,
    PayloadTooBig,
    ProtocolError,
    ProxyError,
    RequestLineTooLong,
    SecurityError,
    StatusLineTooLong,
    TooManyFragments,
    TooManyHeaders,
    WebSocketException,
)
from ..escaping import excerpt
from ..http.heads import Response
from .aliases import give_aliases
from .datastructures import Headers, HeadersLike, OldHeaders
from .typing import StatusLike

__all__ = [
    "AbortHandshake",
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DuplicateParameter",
    "HeaderLineTooLong",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidHeaderFormat",
    "InvalidHeaderValue",
    "InvalidMessage",
    "InvalidMethod",
    "InvalidOrigin",
    "InvalidParameterName",
    "InvalidParameterValue",
    "InvalidProtocol",
    "InvalidProxy",
    "InvalidProxyMessage",
    "InvalidProxyStatus",
    "InvalidState",
    "InvalidStatus",
    "InvalidStatusCode",
    "InvalidURI",
    "InvalidUpgrade",
    "NegotiationError",
    "PayloadTooBig",
    "ProtocolError",
    "ProxyError",
    "RedirectHandshake",
    "RequestLineTooLong",
    "SecurityError",
    "StatusLineTooLong",
    "TooManyFragments",
    "TooManyHeaders",
    "WebSocketException",
    "WebSocketProtocolError",
]

WebSocketProtocolError = ProtocolError


class InvalidStatusCode(InvalidStatus):
    """The server refused the handshake with ``status_code`` and ``headers``.

    ``response`` is its whole answer, as far as that is known.
    """

    def __init__(
        self, status_code: int, headers: Headers, response: Response | None = None
    ) -> None:
        if response is None:
            response = Response(int(status_code), _phrase(status_code), headers)
        super().__init__(response)
        self.args = (status_code, headers, response)
        self.status_code = status_code
        self.headers = headers

    @classmethod
    def of(cls, exc: InvalidStatus) -> InvalidStatusCode:
        """Return ``exc`` as what clauses of all editions catch."""
        response = exc.response
        return cls(response.status_code, response.headers, response)


class AbortHandshake(InvalidHandshake):
    """A hook raises it to answer with ``status``, ``headers`` and ``body``."""

    def __init__(
        self, status: StatusLike, headers: HeadersLike, body: bytes = b""
    ) -> None:
        super().__init__(status, headers, body)
        self.status = http.HTTPStatus(status)
        self.headers: Headers = OldHeaders(headers)
        self.body = body

    def __str__(self) -> str:
        counts = f"{len(self.headers)} headers, {len(self.body)} bytes"
        return f"HTTP {int(self.status)}, {counts}"


class RedirectHandshake(InvalidHandshake):
    """The server sends the client to ``uri``."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.uri = uri

    def __str__(self) -> str:
        return f"redirect to {excerpt(self.uri)}"


def _phrase(status_code: int) -> str:
    try:
        return http.HTTPStatus(status_code).phrase
    except ValueError:
        return ""


give_aliases(globals())
