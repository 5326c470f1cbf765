"""``asyncio.timeout`` under the names that editions 13.1 to 16 give."""

from __future__ import annotations

from asyncio import Timeout, timeout, timeout_at

__all__ = ["Timeout", "timeout", "timeout_at"]
