"""The documented API of every edition, on longwire's engine.

A program written for it runs with its import line changed::

    from longwire import websockets

Names are imported when they are first used, and so are the modules: ``exceptions``,
``server``, ``handshake`` and the others need no import line of their own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import version as _version

__version__ = _version.version

if TYPE_CHECKING:
    from .asyncio.client import (
        ClientConnection,
    )
    from .asyncio.router import (
        Router,
        route,
        unix_route,
    )
    from .asyncio.server import (
        Server,
        ServerConnection,
        basic_auth,
    )
    from .auth import (
        BasicAuthWebSocketServerProtocol,
        basic_auth_protocol_factory,
    )
    from .choosing import (
        broadcast,
        connect,
        serve,
        unix_connect,
        unix_serve,
    )
    from .client import (
        ClientProtocol,
    )
    from .datastructures import (
        Headers,
        HeadersLike,
        MultipleValuesError,
    )
    from .exceptions import (
        AbortHandshake,
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
        InvalidStatusCode,
        InvalidUpgrade,
        InvalidURI,
        NegotiationError,
        PayloadTooBig,
        ProtocolError,
        ProxyError,
        RedirectHandshake,
        RequestLineTooLong,
        SecurityError,
        StatusLineTooLong,
        TooManyFragments,
        TooManyHeaders,
        WebSocketException,
        WebSocketProtocolError,
    )
    from .frames import (
        Close,
        CloseCode,
        Frame,
        Opcode,
    )
    from .http11 import (
        Request,
        Response,
    )
    from .legacy.client import (
        WebSocketClientProtocol,
    )
    from .legacy.protocol import (
        WebSocketCommonProtocol,
    )
    from .legacy.server import (
        WebSocketServer,
        WebSocketServerProtocol,
    )
    from .protocol import (
        Protocol,
        Side,
        State,
    )
    from .server import (
        ServerProtocol,
    )
    from .typing import (
        Data,
        ExtensionHeader,
        ExtensionName,
        ExtensionParameter,
        LoggerLike,
        Origin,
        StatusLike,
        Subprotocol,
    )
    from .uri import (
        WebSocketURI,
        parse_uri,
    )

# Module by module, what is taken from it at its first use.
_HOMES = {
    "auth": "BasicAuthWebSocketServerProtocol basic_auth_protocol_factory",
    "asyncio.client": "ClientConnection",
    "asyncio.router": "Router route unix_route",
    "asyncio.server": "Server ServerConnection basic_auth",
    "choosing": "broadcast connect serve unix_connect unix_serve",
    "client": "ClientProtocol",
    "datastructures": "Headers HeadersLike MultipleValuesError",
    "exceptions": (
        "AbortHandshake ConcurrencyError ConnectionClosed ConnectionClosedError "
        "ConnectionClosedOK DuplicateParameter HeaderLineTooLong InvalidHandshake "
        "InvalidHeader InvalidHeaderFormat InvalidHeaderValue InvalidMessage "
        "InvalidMethod InvalidOrigin InvalidParameterName InvalidParameterValue "
        "InvalidProtocol InvalidProxy InvalidProxyMessage InvalidProxyStatus "
        "InvalidState InvalidStatus InvalidStatusCode InvalidUpgrade InvalidURI "
        "NegotiationError PayloadTooBig ProtocolError ProxyError RedirectHandshake "
        "RequestLineTooLong SecurityError StatusLineTooLong TooManyFragments "
        "TooManyHeaders WebSocketException WebSocketProtocolError"
    ),
    "frames": "Close CloseCode Frame Opcode",
    "http11": "Request Response",
    "legacy.client": "WebSocketClientProtocol",
    "legacy.protocol": "WebSocketCommonProtocol",
    "legacy.server": "WebSocketServer WebSocketServerProtocol",
    "protocol": "Protocol Side State",
    "server": "ServerProtocol",
    "typing": (
        "Data ExtensionHeader ExtensionName ExtensionParameter LoggerLike Origin "
        "StatusLike Subprotocol"
    ),
    "uri": "WebSocketURI parse_uri",
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

_MODULES = frozenset(
    {
        *("asyncio", "auth", "cli", "client", "compat26", "connection"),
        "datastructures",
        *("exceptions", "extensions", "frames", "framing", "handshake", "headers"),
        *("http", "http11", "imports", "legacy", "protocol", "proxy", "server"),
        *("streams", "sync", "trio", "typing", "uri", "utils", "version"),
    }
)

# Written out, for type checkers read no expressions; a test compares it to the table.
__all__ = [
    "AbortHandshake",
    "BasicAuthWebSocketServerProtocol",
    "ClientConnection",
    "ClientProtocol",
    "Close",
    "CloseCode",
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "Data",
    "DuplicateParameter",
    "ExtensionHeader",
    "ExtensionName",
    "ExtensionParameter",
    "Frame",
    "HeaderLineTooLong",
    "Headers",
    "HeadersLike",
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
    "LoggerLike",
    "MultipleValuesError",
    "NegotiationError",
    "Opcode",
    "Origin",
    "PayloadTooBig",
    "Protocol",
    "ProtocolError",
    "ProxyError",
    "RedirectHandshake",
    "Request",
    "RequestLineTooLong",
    "Response",
    "Router",
    "SecurityError",
    "Server",
    "ServerConnection",
    "ServerProtocol",
    "Side",
    "State",
    "StatusLike",
    "StatusLineTooLong",
    "Subprotocol",
    "TooManyFragments",
    "TooManyHeaders",
    "WebSocketClientProtocol",
    "WebSocketCommonProtocol",
    "WebSocketException",
    "WebSocketProtocolError",
    "WebSocketServer",
    "WebSocketServerProtocol",
    "WebSocketURI",
    "basic_auth",
    "basic_auth_protocol_factory",
    "broadcast",
    "connect",
    "parse_uri",
    "route",
    "serve",
    "unix_connect",
    "unix_route",
    "unix_serve",
]


if not TYPE_CHECKING:  # to a type checker it would promise every name

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f".{name}", __name__)
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f".{home}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
