"""``Connection`` and ``broadcast``: longwire's own."""

from __future__ import annotations

from ...asyncio.broadcast import broadcast
from ...asyncio.connection import Connection

__all__ = ["Connection", "broadcast"]
