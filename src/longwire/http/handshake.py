"""The opening handshake: RFC 6455 section 4, both sides, without I/O.

Decides what a request and a response must say to open a connection, and which HTTP
answer each fault gets. How messages are read is decided in ``heads``, what extensions
agree on in ``extensions``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus

from ..errors import (
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderValue,
    InvalidMethod,
    InvalidOrigin,
    InvalidProtocol,
    InvalidStatus,
    InvalidUpgrade,
    NegotiationError,
)
from ..escaping import excerpt, one_line, quote
from .fields import combined, lower, split_host
from .headers import (
    Headers,
    HeadersLike,
    build_authorization_basic,
    build_host,
    build_subprotocol,
    parse_connection,
    parse_subprotocol,
    parse_upgrade,
)
from .heads import Request, Response
from .uri import WebSocketURI

__all__ = [
    "accept_token",
    "build_request",
    "build_response",
    "check_origin",
    "check_request",
    "check_response",
    "confirm_subprotocol",
    "make_key",
    "offered_subprotocols",
    "refusal_for",
    "refuse",
    "respond",
    "select_subprotocol",
]

# RFC 6455 section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = "13"
# Section 4.2.1: a "base64-encoded value that, when decoded, is 16 bytes in length". The
# last character has four bits to spare; RFC 6455 says nothing of them, and its own
# example on page 19 has some set.
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
# How nearly everybody writes Upgrade and Connection: lists of one element.
_USUAL = frozenset({"websocket", "WebSocket", "Upgrade", "upgrade"})

# Fields of a request that are ours to write; the others can be set by the caller.
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    }
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def make_key(random16: bytes) -> str:
    """Return the Sec-WebSocket-Key made of 16 random bytes."""
    if len(random16) != 16:
        raise ValueError(f"{len(random16)} random bytes for a key; 16 are needed")
    return base64.b64encode(random16).decode()


def accept_token(key: str) -> str:
    """Return the Sec-WebSocket-Accept that answers ``key`` (section 4.2.2)."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


# The values of the fields of a head, by name in lower case.
_Values = Mapping[str, list[str]]
_LOWER = {
    name: lower(name)
    for name in (
        *("Connection", "Origin", "Upgrade", "Sec-WebSocket-Accept"),
        *("Sec-WebSocket-Key", "Sec-WebSocket-Version"),
    )
}


def _single(fields: _Values, name: str) -> str:
    """Return the one value of a field; raise InvalidHeader unless there is one."""
    values = fields.get(_LOWER[name])
    if not values:
        raise InvalidHeader(name)
    if len(values) > 1:
        raise InvalidHeader(name, "multiple values")
    return values[0]


def _listed(fields: _Values, name: str, parse: Callable[[str], list[str]]) -> list[str]:
    """Return the elements of a list field, in lower case, over all its lines."""
    values = fields.get(_LOWER[name], [])
    if len(values) == 1 and values[0] in _USUAL:
        return [lower(values[0])]
    return [lower(item) for item in parse(combined(values))]


def _shown(fields: _Values, name: str) -> str | None:
    """Return a list field for an error message."""
    values = fields.get(_LOWER[name])
    return ", ".join(values) if values else None


def _check_upgrade(fields: _Values, *, exactly: bool) -> None:
    """Raise InvalidUpgrade unless the fields ask for, or grant, a WebSocket."""
    upgrade = _listed(fields, "Upgrade", parse_upgrade)
    if "websocket" not in upgrade or (exactly and len(upgrade) > 1):
        raise InvalidUpgrade("Upgrade", _shown(fields, "Upgrade"))
    if "upgrade" not in _listed(fields, "Connection", parse_connection):
        raise InvalidUpgrade("Connection", _shown(fields, "Connection"))


# --- server ----------------------------------------------------------------------


def check_request(request: Request) -> str:
    """Return the key of a request that asks for a WebSocket (section 4.2.1).

    Raises the InvalidHandshake that says what is wrong; ``status`` is the answer's.
    """
    fields = request.headers._by_name()
    if request.method != "GET":
        raise InvalidMethod(request.method)
    if request.protocol == "HTTP/1.0":
        raise InvalidProtocol(request.protocol)
    _check_upgrade(fields, exactly=False)
    version = _single(fields, "Sec-WebSocket-Version")
    if version != _VERSION:
        fault = InvalidHeaderValue("Sec-WebSocket-Version", version)
        fault.status = 426  # section 4.4: with the version we do speak
        raise fault
    key = _single(fields, "Sec-WebSocket-Key")
    if _KEY.fullmatch(key) is None:
        raise InvalidHeaderValue("Sec-WebSocket-Key", key)
    if "origin" in fields:
        _check_ascii(_single(fields, "Origin"))
    return key


def _check_ascii(origin: str) -> None:
    """Raise InvalidOrigin unless ``origin`` can be one.

    RFC 6455 section 4.1: "the ASCII serialization of origin" (RFC 6454 section 6.2).
    Text beyond it may equal a name that is allowed as soon as somebody folds its case,
    or normalizes it: U+212A is taken for a k.
    """
    if not origin.isascii():
        raise InvalidOrigin(origin)


def check_origin(
    request: Request,
    origins: Sequence[str | re.Pattern[str] | None] | str | None,
    *,
    secure: bool | None = None,
) -> None:
    """Raise InvalidOrigin unless the request's Origin is one of ``origins``.

    ``origins`` is None for any, or a list of values, compiled patterns that match the
    whole of it, and None if it may be missing. ``"same"``, alone or in the list,
    stands for the request's own Host, port included; alone it also lets requests
    without Origin pass, which no browser sends. ``secure`` says whether the request
    came over TLS, so that the schemes are compared too; behind a proxy that does TLS
    it cannot be known: None.
    """
    if origins is None:
        return
    values = request.headers.get_all("Origin")
    if len(values) > 1:
        raise InvalidHeader("Origin", "multiple values")
    origin = values[0] if values else None
    if origin is not None:
        _check_ascii(origin)
    if isinstance(origins, str):
        if origins != "same":
            raise TypeError('origins must be a list of values or "same"')
        origins = ("same", None)
    for allowed in origins:
        if allowed is None or origin is None:
            matches = allowed is origin
        elif isinstance(allowed, re.Pattern):
            matches = allowed.fullmatch(origin) is not None
        elif allowed == "same":
            matches = _is_same_origin(origin, request.headers, secure)
        else:
            matches = allowed == origin
        if matches:
            return
    raise InvalidOrigin(origin)


def _is_same_origin(origin: str, headers: Headers, secure: bool | None) -> bool:
    """Return whether a page of ``origin`` came from the host it now connects to."""
    scheme, separator, authority = origin.partition("://")
    scheme = lower(scheme)
    port = _DEFAULT_PORTS.get(scheme)
    if not separator or port is None:
        return False
    if secure is not None and secure != (scheme == "https"):
        return False
    host = headers.get("Host")
    if host is None:
        return False
    # Only for a page of the same scheme is the Host's default port this one.
    theirs, ours = _host_and_port(authority, port), _host_and_port(host, port)
    return theirs is not None and theirs == ours


def _host_and_port(authority: str, default: int) -> tuple[str, int] | None:
    found = split_host(authority)
    if found is None:
        return None
    host, port = found
    return host, default if port is None else port


def offered_subprotocols(headers: Headers) -> list[str]:
    """Return what Sec-WebSocket-Protocol has, over all its lines, in order."""
    values = headers._by_name().get("sec-websocket-protocol")
    return parse_subprotocol(combined(values)) if values else []


def select_subprotocol(
    offered: Sequence[str], supported: Sequence[str] | None
) -> str | None:
    """Return the subprotocol that a server supporting ``supported`` chooses.

    It is the first of ``supported`` that is also in ``offered``: the server's order
    of preference decides. A server that supports none goes on without, whatever is
    offered; one that supports some refuses a client with which it shares none:
    raises NegotiationError.
    """
    if not supported:
        return None
    for subprotocol in supported:
        if subprotocol in offered:
            return subprotocol
    names = ", ".join(supported)
    if not offered:
        raise NegotiationError(f"missing subprotocol; expected one of {names}")
    found = excerpt(", ".join(offered))
    raise NegotiationError(
        f"unsupported subprotocols: {found}; expected one of {names}"
    )


def build_response(
    key: str,
    *,
    subprotocol: str | None = None,
    extensions_header: str | None = None,
    server: str | None = None,
    date: str | None = None,
) -> Response:
    """Return the 101 that opens the connection.

    ``date`` is the time in the form of RFC 9110 section 5.6.7: no clock here.
    """
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_token(key)),
    ]
    if date is None:
        headers = Headers._made(fields)
    else:
        headers = Headers({"Date": date})
        for name, value in fields:
            headers.set_insecure(name, value)
    if extensions_header is not None:
        headers["Sec-WebSocket-Extensions"] = extensions_header
    if subprotocol is not None:
        headers["Sec-WebSocket-Protocol"] = subprotocol
    if server is not None:
        headers["Server"] = server
    return Response(101, "Switching Protocols", headers)


# --- refusing --------------------------------------------------------------------


def refuse(
    status: int,
    text: str | bytes,
    *,
    headers: HeadersLike = (),
    date: str | None = None,
) -> Response:
    """Return a plain text response after which the connection is closed.

    ``text`` is the body: plain text in UTF-8, or bytes of any kind.

    ``headers`` are added to, or replace, those that every refusal has. ``date`` is
    the time in the form of RFC 9110 section 5.6.7. A status that has no body (RFC
    9110 section 6.4.1) gets none. Raises TypeError or ValueError for what cannot be
    sent.
    """
    if not isinstance(text, (str, bytes)):
        raise TypeError(f"text must be a str or bytes, not {type(text).__name__}")
    kind = "application/octet-stream"
    if isinstance(text, str):
        kind = "text/plain; charset=utf-8"
        text = text.encode(errors="backslashreplace")
    try:
        known = HTTPStatus(status)
        status, reason = known.value, known.phrase
    except ValueError:
        reason = ""  # Response says so if there is no such status
    fields = Headers()
    if date is not None:
        fields["Date"] = date
    fields["Connection"] = "close"
    body = b""
    if isinstance(status, int) and status >= 200 and status not in (204, 304):
        body = text
        fields["Content-Length"] = str(len(body))
        fields["Content-Type"] = kind
    extra = Headers(headers)
    for name in extra:
        fields.pop(name, None)
    fields.update(extra)
    return Response(status, reason, fields, body)


def respond(
    status: int,
    text: str | bytes,
    *,
    content_type: str | None = None,
    headers: HeadersLike = (),
) -> Response:
    """Return a response as :func:`refuse`, of the kind that ``content_type`` says.

    Raises ValueError for headers that give the body another length.
    """
    fields = Headers(headers)
    if content_type is not None:
        fields.pop("Content-Type", None)
        fields["Content-Type"] = content_type
    response = refuse(status, text, headers=fields)
    found = response.headers.get_all("Content-Length")
    # RFC 9112 section 6.3: by these a client finds the end of the body.
    if "Transfer-Encoding" in fields:
        raise ValueError("headers have Transfer-Encoding; the body is sent as it is")
    if response.body and found != [str(len(response.body))]:
        raise ValueError(
            f"headers have Content-Length: {', '.join(found)}; "
            f"the body has {len(response.body)} bytes"
        )
    return response


def refusal_for(exc: Exception, *, date: str | None = None) -> Response:
    """Return the HTTP answer to a fault in the handshake.

    An InvalidHandshake is answered with its ``status`` and what was wrong; anything
    else is our own fault and gets a 500 that says no more.
    """
    if not isinstance(exc, InvalidHandshake):
        text = "Failed to open a WebSocket connection: internal error.\n"
        return refuse(500, text, date=date)
    text = f"Failed to open a WebSocket connection: {one_line(exc)}.\n"
    headers: list[tuple[str, str]] = []
    if exc.status == 405:
        headers.append(("Allow", "GET"))
    elif exc.status == 426:
        # RFC 9110 section 7.8: who sends Upgrade also names it in Connection.
        headers += [("Connection", "close"), ("Connection", "Upgrade")]
        headers.append(("Upgrade", "websocket"))
        headers.append(("Sec-WebSocket-Version", _VERSION))
        if isinstance(exc, InvalidUpgrade) and exc.value is None:
            text += (
                "\nThis address is for WebSocket clients; "
                "there is nothing here that a browser could show.\n"
            )
    return refuse(exc.status, text, headers=headers, date=date)


# --- client ----------------------------------------------------------------------


def build_request(
    uri: WebSocketURI,
    *,
    key: str,
    origin: str | None = None,
    subprotocols: Iterable[str] | None = None,
    extensions_header: str | None = None,
    additional_headers: HeadersLike | None = None,
    user_agent: str | None = None,
) -> Request:
    """Return the request that asks for a WebSocket (section 4.1).

    User name and password of the URI become Basic credentials. ``additional_headers``
    replace Host, Origin, Authorization and User-Agent and are added otherwise; they
    may not have fields that make the handshake, nor of a body: ValueError. So is an
    Origin that is not ASCII.
    """
    headers = Headers()
    headers["Host"] = build_host(uri.host, uri.port, uri.secure)
    headers["Upgrade"] = "websocket"
    headers["Connection"] = "Upgrade"
    headers["Sec-WebSocket-Key"] = key
    headers["Sec-WebSocket-Version"] = _VERSION
    if extensions_header is not None:
        headers["Sec-WebSocket-Extensions"] = extensions_header
    if subprotocols:
        headers["Sec-WebSocket-Protocol"] = build_subprotocol(subprotocols)
    if uri.user_info is not None:
        headers["Authorization"] = build_authorization_basic(*uri.user_info)
    if origin is not None:
        headers["Origin"] = origin
    if user_agent is not None:
        headers["User-Agent"] = user_agent
    extra = Headers(additional_headers or ())
    for name in extra:
        if name in _OURS:
            raise ValueError(
                f"additional_headers has {name}, which longwire sets itself"
            )
        headers.pop(name, None)
    headers.update(extra)
    for value in headers.get_all("Origin"):
        if not value.isascii():
            raise ValueError(f"origin is {quote(value)}; ASCII is allowed")
    return Request(uri.resource_name, headers)


def check_response(response: Response, key: str) -> None:
    """Raise an InvalidHandshake unless ``response`` opens the connection (section 4.1).

    Content-Length and Transfer-Encoding say nothing there: a 1xx "is always terminated
    by the first empty line after the header fields, regardless of the header fields
    present in the message" (RFC 9112 section 6.3).
    Subprotocol and extensions are for whoever knows what was offered.
    """
    fields = response.headers._by_name()
    if response.status_code != 101:
        raise InvalidStatus(response)
    _check_upgrade(fields, exactly=True)
    accept = _single(fields, "Sec-WebSocket-Accept")
    if accept != accept_token(key):
        raise InvalidHeaderValue("Sec-WebSocket-Accept", accept)


def confirm_subprotocol(headers: Headers, offered: Iterable[str] | None) -> str | None:
    """Return the subprotocol that the server's response chooses; None for none.

    Raises NegotiationError unless it is one that was offered.
    """
    chosen = offered_subprotocols(headers)
    if not chosen:
        return None
    if len(chosen) > 1:
        found = excerpt(", ".join(chosen))
        raise NegotiationError(f"multiple subprotocols: {found}")
    offered = list(offered or ())
    if chosen[0] not in offered:
        names = ", ".join(offered) or "none"
        raise NegotiationError(
            f"unsupported subprotocol: {excerpt(chosen[0])}; offered: {names}"
        )
    return chosen[0]
