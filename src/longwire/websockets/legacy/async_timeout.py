"""``asyncio.timeout`` under the names that edition 12 gives."""

from __future__ import annotations

from asyncio import Timeout, timeout, timeout_at

__all__ = ["Timeout", "timeout", "timeout_at"]
