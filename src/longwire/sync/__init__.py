"""longwire for threads: the same server and client, without an event loop.

``connect``, ``serve`` and the others block the calling thread and are used with
``with`` and ``for``; any method of a connection may be called from any thread.
"""

from __future__ import annotations

from .client import (
    ClientConnection,
    connect,
    reconnect,
    unix_connect,
    unix_reconnect,
)
from .connection import Connection, Pong

__all__ = [
    "ClientConnection",
    "Connection",
    "Pong",
    "connect",
    "reconnect",
    "unix_connect",
    "unix_reconnect",
]
