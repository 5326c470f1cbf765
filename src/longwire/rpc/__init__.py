"""Remote procedure calls over WebSocket connections, in both directions.

``Server`` is where to begin, ``Client`` is its other end, ``Peer`` either of them on
any connection. Functions and classes are called by name, arguments are checked against
their annotations, async generators are streams, exceptions cross the wire. Needs
msgspec: ``pip install '.[rpc]'``.
"""

from __future__ import annotations

from pathlib import Path

try:
    import msgspec as _msgspec  # noqa: F401
except ImportError as exc:
    raise ImportError(
        "longwire.rpc needs msgspec; in a checkout: pip install '.[rpc]'"
    ) from exc

from .calling import Calling, Proxy
from .client import Client
from .envelope import Call
from .errors import (
    ApplicationError,
    CallTimeout,
    Cancelled,
    DeadlineExceeded,
    Disconnected,
    InternalError,
    InvalidParams,
    InvalidRequest,
    InvalidResult,
    MethodNotFound,
    NotAuthorised,
    ParseError,
    RemoteError,
    RpcError,
    StreamMismatch,
    TooBusy,
)
from .limits import RpcLimits
from .mounting import Application, asgi
from .peer import Peer
from .performing import current
from .routes import Routes, Service, method
from .server import Server
from .settings import SUBPROTOCOLS
from .signals import Signal, Signals
from .streams import Stream

__all__ = [
    "STATIC",
    "SUBPROTOCOLS",
    "Application",
    "ApplicationError",
    "Call",
    "CallTimeout",
    "Calling",
    "Cancelled",
    "Client",
    "DeadlineExceeded",
    "Disconnected",
    "InternalError",
    "InvalidParams",
    "InvalidRequest",
    "InvalidResult",
    "MethodNotFound",
    "NotAuthorised",
    "ParseError",
    "Peer",
    "Proxy",
    "RemoteError",
    "Routes",
    "RpcError",
    "RpcLimits",
    "Server",
    "Service",
    "Signal",
    "Signals",
    "Stream",
    "StreamMismatch",
    "TooBusy",
    "asgi",
    "current",
    "method",
]

STATIC = Path(__file__).parent / "static"
"""The folder with the JavaScript client: longwire.js, longwire.min.js, the classic
script longwire.classic.js and their types, for a server to hand out."""
