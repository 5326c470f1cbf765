"""longwire's asyncio front end under the names of the documented API.

The modules need no import line of their own.
"""

from __future__ import annotations

from ..imports import lazy_modules

lazy_modules(
    globals(),
    *("async_timeout", "client", "compatibility", "connection", "router", "server"),
)
