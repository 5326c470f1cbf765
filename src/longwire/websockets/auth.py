"""Basic authentication by protocol class: where editions 8 to 13 have it."""

from __future__ import annotations

from .legacy.auth import BasicAuthWebSocketServerProtocol, basic_auth_protocol_factory

__all__ = ["BasicAuthWebSocketServerProtocol", "basic_auth_protocol_factory"]
