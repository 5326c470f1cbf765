"""Names that editions 13.1 to 16 give for Pythons older than longwire runs on."""

from __future__ import annotations

from asyncio import timeout as asyncio_timeout
from asyncio import timeout_at as asyncio_timeout_at
from builtins import TimeoutError, aiter, anext

__all__ = ["TimeoutError", "aiter", "anext", "asyncio_timeout", "asyncio_timeout_at"]
