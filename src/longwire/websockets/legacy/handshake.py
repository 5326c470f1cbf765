"""The headers of the opening handshake, as editions 4 to 13 build and check them."""

from __future__ import annotations

from ...http import handshake
from ...http.heads import Request, Response
from ...http.uri import WebSocketURI
from ..aliases import give_aliases
from ..datastructures import Headers
from ..utils import accept_key, generate_key

__all__ = ["build_request", "build_response", "check_request", "check_response"]

accept = accept_key

_NOWHERE = WebSocketURI(False, "localhost", 80, "/", "")
_REQUEST = ("Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
_RESPONSE = ("Upgrade", "Connection", "Sec-WebSocket-Accept")


def build_request(headers: Headers) -> str:
    """Add to ``headers`` what asks for a WebSocket; return the key."""
    key = generate_key()
    request = handshake.build_request(_NOWHERE, key=key)
    for name in _REQUEST:
        headers[name] = request.headers[name]
    return key


def check_request(headers: Headers) -> str:
    """Return the key of a request; raise InvalidHandshake unless it is valid.

    Method, HTTP version, Host and Origin are the caller's to check.
    """
    return handshake.check_request(Request("/", headers))


def build_response(headers: Headers, key: str) -> None:
    """Add to ``headers`` what answers ``key``."""
    response = handshake.build_response(key)
    for name in _RESPONSE:
        headers[name] = response.headers[name]


def check_response(headers: Headers, key: str) -> None:
    """Raise InvalidHandshake unless ``headers`` answer ``key``.

    The status is the caller's to check.
    """
    handshake.check_response(Response(101, "", headers), key)


give_aliases(globals())
