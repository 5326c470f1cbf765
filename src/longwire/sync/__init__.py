"""longwire for threads: the same server and client, without an event loop.

``connect``, ``serve`` and the others block the calling thread and are used with
``with`` and ``for``; any method of a connection may be called from any thread.
"""

from __future__ import annotations

from .auth import basic_auth
from .broadcast import BroadcastResult, broadcast
from .client import (
    ClientConnection,
    connect,
    reconnect,
    unix_connect,
    unix_reconnect,
)
from .connection import Connection, Pong
from .router import Router, route, unix_route
from .server import Server, ServerConnection, serve, unix_serve

__all__ = [
    "BroadcastResult",
    "ClientConnection",
    "Connection",
    "Pong",
    "Router",
    "Server",
    "ServerConnection",
    "basic_auth",
    "broadcast",
    "connect",
    "reconnect",
    "route",
    "serve",
    "unix_connect",
    "unix_reconnect",
    "unix_route",
    "unix_serve",
]
