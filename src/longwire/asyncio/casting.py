"""Casting: one message to those of many connections that belong to the loop at hand.

This is the reference; ``casting.pyx`` does the same with no Python object for a
receiver that can take the message at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..session.backlog import SENT

__all__ = ["cast_here"]


def cast_here(
    connections: list[Any], casting: Any, loop: asyncio.AbstractEventLoop | None
) -> dict[asyncio.AbstractEventLoop, list[Any]]:
    """Send the message of ``casting`` to those that are open and of ``loop``.

    What became of it is in ``casting.result``. Returns the open ones of other loops.
    """
    others: dict[asyncio.AbstractEventLoop, list[Any]] = {}
    for connection in connections:
        session = connection._session
        if session is None or not session.can_send:
            casting.result.skipped += 1
        elif connection._loop is not loop:
            others.setdefault(connection._loop, []).append(connection)
        elif casting.send(connection) == SENT:
            casting.result.sent += 1
    return others
