"""WebSocket server and client for Python: RFC 6455 and RFC 7692.

``serve`` and ``connect`` are where to begin; every name below is public. The asyncio
front end is imported when one of its names is first used.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from . import build as _build

__version__ = "0.1.0"

# Before anything of the core is imported: an imported module cannot be replaced.
if os.environ.get("LONGWIRE_PURE", "0") not in ("", "0"):
    _build.use_pure()

if TYPE_CHECKING:
    from .asyncio.auth import basic_auth
    from .asyncio.broadcast import BroadcastResult, broadcast, broadcast_wait
    from .asyncio.client import ClientConnection, connect, unix_connect
    from .asyncio.connection import Connection
    from .asyncio.router import Router, route, unix_route
    from .asyncio.server import Server, serve, unix_serve
    from .asyncio.server_connection import ServerConnection
    from .connection import Data
    from .errors import (
        ConcurrencyError,
        ConnectionClosed,
        ConnectionClosedError,
        ConnectionClosedOK,
        DuplicateParameter,
        HeaderLineTooLong,
        InvalidClose,
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
        LimitExceeded,
        NegotiationError,
        PayloadTooBig,
        PeerError,
        ProtocolError,
        ProxyError,
        RequestLineTooLong,
        SecurityError,
        StatusLineTooLong,
        TooManyFragments,
        TooManyHeaders,
        TooManyPings,
        UsageError,
        WebSocketException,
    )
    from .http.extensions import (
        ClientExtensionFactory,
        Extension,
        ServerExtensionFactory,
    )
    from .http.headers import Headers, MultipleValuesError
    from .http.heads import Request, Response
    from .http.names import (
        ExtensionName,
        ExtensionParameter,
        HeadersLike,
        Origin,
        StatusLike,
        Subprotocol,
    )
    from .messages import (
        Cause,
        Close,
        CloseCode,
        CloseReport,
        Frame,
        Opcode,
        Side,
        State,
    )
    from .opening.pages import pages
    from .options import Compression, Keepalive, Limits, LoggerLike, Timeouts

# Module by module, what is taken from it at its first use.
_HOMES = {
    "asyncio.auth": "basic_auth",
    "asyncio.broadcast": "BroadcastResult broadcast broadcast_wait",
    "asyncio.client": "ClientConnection connect unix_connect",
    "asyncio.connection": "Connection",
    "asyncio.router": "Router route unix_route",
    "asyncio.server": "Server serve unix_serve",
    "asyncio.server_connection": "ServerConnection",
    "connection": "Data",
    "errors": (
        "ConcurrencyError ConnectionClosed ConnectionClosedError ConnectionClosedOK "
        "DuplicateParameter HeaderLineTooLong InvalidClose InvalidHandshake "
        "InvalidHeader InvalidHeaderFormat InvalidHeaderValue InvalidMessage "
        "InvalidMethod InvalidOrigin InvalidParameterName InvalidParameterValue "
        "InvalidProtocol InvalidProxy InvalidProxyMessage InvalidProxyStatus "
        "InvalidState InvalidStatus InvalidURI InvalidUpgrade LimitExceeded "
        "NegotiationError PayloadTooBig PeerError ProtocolError ProxyError "
        "RequestLineTooLong SecurityError StatusLineTooLong TooManyFragments "
        "TooManyHeaders TooManyPings UsageError WebSocketException"
    ),
    "http.extensions": "ClientExtensionFactory Extension ServerExtensionFactory",
    "http.headers": "Headers MultipleValuesError",
    "http.heads": "Request Response",
    "http.names": (
        "ExtensionName ExtensionParameter HeadersLike Origin StatusLike Subprotocol"
    ),
    "messages": "Cause Close CloseCode CloseReport Frame Opcode Side State",
    "opening.pages": "pages",
    "options": "Compression Keepalive Limits LoggerLike Timeouts",
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

# Written out, for type checkers read no expressions; a test compares it to the table.
__all__ = [
    "BroadcastResult",
    "Cause",
    "ClientConnection",
    "ClientExtensionFactory",
    "Close",
    "CloseCode",
    "CloseReport",
    "Compression",
    "ConcurrencyError",
    "Connection",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "Data",
    "DuplicateParameter",
    "Extension",
    "ExtensionName",
    "ExtensionParameter",
    "Frame",
    "HeaderLineTooLong",
    "Headers",
    "HeadersLike",
    "InvalidClose",
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
    "InvalidURI",
    "InvalidUpgrade",
    "Keepalive",
    "LimitExceeded",
    "Limits",
    "LoggerLike",
    "MultipleValuesError",
    "NegotiationError",
    "Opcode",
    "Origin",
    "PayloadTooBig",
    "PeerError",
    "ProtocolError",
    "ProxyError",
    "Request",
    "RequestLineTooLong",
    "Response",
    "Router",
    "SecurityError",
    "Server",
    "ServerConnection",
    "ServerExtensionFactory",
    "Side",
    "State",
    "StatusLike",
    "StatusLineTooLong",
    "Subprotocol",
    "Timeouts",
    "TooManyFragments",
    "TooManyHeaders",
    "TooManyPings",
    "UsageError",
    "WebSocketException",
    "basic_auth",
    "broadcast",
    "broadcast_wait",
    "connect",
    "pages",
    "route",
    "serve",
    "unix_connect",
    "unix_route",
    "unix_serve",
]


if not TYPE_CHECKING:  # to a type checker it would promise every name

    def __getattr__(name: str) -> Any:
        home = _HOME_OF.get(name)
        if home is None:
            from .hints import missing_in_package

            raise missing_in_package(name, sys.modules[__name__])
        value = getattr(importlib.import_module(f".{home}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
