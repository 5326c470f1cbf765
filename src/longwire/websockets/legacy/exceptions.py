"""The exceptions that only former editions have, in longwire's one tree."""

from __future__ import annotations

import http

from .. import datastructures
from ..exceptions import (
    AbortHandshake,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatusCode,
    RedirectHandshake,
    WebSocketProtocolError,
)
from ..typing import StatusLike

__all__ = [
    "AbortHandshake",
    "InvalidHandshake",
    "InvalidMessage",
    "InvalidStatusCode",
    "RedirectHandshake",
    "StatusLike",
    "WebSocketProtocolError",
    "datastructures",
    "http",
]
