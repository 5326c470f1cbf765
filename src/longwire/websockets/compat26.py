"""Edition 2.6: ``serve`` and ``connect`` whose ``recv()`` returns None at the end.

The same as ``legacy_recv=True`` for the functions of ``legacy``, for programs with many
calls to change::

    from longwire.websockets import compat26 as websockets
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

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


def serve(
    ws_handler: Callable[..., Awaitable[Any]],
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    **kwargs: Any,
) -> server.serve:
    """Return the old server, with ``legacy_recv=True``."""
    return server.serve(ws_handler, host, port, **{"legacy_recv": True, **kwargs})


def connect(uri: str, **kwargs: Any) -> client.connect:
    """Return the old client, with ``legacy_recv=True``."""
    return client.connect(uri, **{"legacy_recv": True, **kwargs})
