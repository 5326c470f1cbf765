"""Edition 2.6: ``serve`` and ``connect`` whose ``recv()`` returns None at the end.

The same as ``legacy_recv=True`` for the functions of ``legacy``, for programs with many
calls to change::

    from longwire.websockets import compat26 as websockets

All other names are those of the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longwire import websockets

from .legacy import client, server
from .legacy.client import WebSocketClientProtocol
from .legacy.protocol import WebSocketCommonProtocol
from .legacy.server import WebSocketServerProtocol

__all__ = [
    "WebSocketClientProtocol",
    "WebSocketCommonProtocol",
    "WebSocketServerProtocol",
    "connect",
    "serve",
]


class serve(server.serve):
    """The old server, with ``legacy_recv=True``."""

    _legacy_recv = True


class connect(client.connect):
    """The old client, with ``legacy_recv=True``."""

    _legacy_recv = True


if not TYPE_CHECKING:  # to a type checker it would promise every name

    def __getattr__(name: str) -> Any:
        return getattr(websockets, name)
