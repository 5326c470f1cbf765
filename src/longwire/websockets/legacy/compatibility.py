"""Names that editions 10.4 and 12 give for Pythons older than longwire runs on."""

from __future__ import annotations

import asyncio
from asyncio import timeout as asyncio_timeout
from typing import Any

__all__ = ["asyncio_timeout", "loop_if_py_lt_38"]


def loop_if_py_lt_38(loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """Return the keywords that name the loop to use: none, since Python 3.8."""
    return {}
