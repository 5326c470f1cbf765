"""Serving: what the one task of a server's connection does, from the first byte on.

This is the reference; ``serving.pyx`` does the same with two frames less to keep for
each connection, and to go through for each message.
"""

from __future__ import annotations

from typing import Any

__all__ = ["serving"]


async def serving(connection: Any) -> None:
    """Open, handle, leave: the one task of a server's connection."""
    try:
        handling = await connection._come_in()
        if handling is None:
            return
        try:
            await handling
        except BaseException as exc:
            await connection._leave(exc)
        else:
            await connection._leave(None)
    finally:
        connection._left()
