"""longwire for trio: the same server and client, in nurseries and cancel scopes.

``connect`` is used with ``async with`` and ``async for``, ``serve`` is started with
``nursery.start``. Needs trio (``pip install '.[trio]'``).
"""

from __future__ import annotations

try:
    import trio as _trio  # noqa: F401
except ImportError as exc:
    raise ModuleNotFoundError(
        "longwire.trio needs trio; in a checkout: pip install '.[trio]'", name="trio"
    ) from exc

from .auth import basic_auth
from .broadcast import BroadcastResult, broadcast
from .client import ClientConnection, connect, unix_connect
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
    "route",
    "serve",
    "unix_connect",
    "unix_route",
    "unix_serve",
]
