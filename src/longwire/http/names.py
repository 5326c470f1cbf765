"""Names for the types of arguments: plain values, told apart by type checkers only."""

from __future__ import annotations

import http
from typing import NewType

from .fields import ExtensionParameter
from .headers import HeadersLike

__all__ = [
    "ExtensionName",
    "ExtensionParameter",
    "HeadersLike",
    "Origin",
    "StatusLike",
    "Subprotocol",
]

ExtensionName = NewType("ExtensionName", str)
"""The name of an extension, as in ``Sec-WebSocket-Extensions``."""

Origin = NewType("Origin", str)
"""The value of an ``Origin`` header."""

StatusLike = http.HTTPStatus | int
"""What stands for an HTTP status."""

Subprotocol = NewType("Subprotocol", str)
"""The name of a subprotocol, as in ``Sec-WebSocket-Protocol``."""
