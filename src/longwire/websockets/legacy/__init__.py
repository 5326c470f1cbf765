"""The API of the editions up to 13: protocol classes, ``(path, headers)`` hooks.

Names and signatures only: every connection is one of longwire's own. The modules need
no import line of their own.
"""

from __future__ import annotations

from ..imports import lazy_modules

lazy_modules(
    globals(),
    *("async_timeout", "auth", "client", "compatibility", "exceptions", "framing"),
    *("handshake", "http", "protocol", "server"),
)
