"""Edition 2.6: ``serve`` and ``connect`` whose ``recv()`` returns None at the end.

The same as ``legacy_recv=True`` for the functions of ``legacy``, for programs with many
calls to change::

    from longwire.websockets import compat26 as websockets
"""

from __future__ import annotations

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
