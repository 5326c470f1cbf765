"""Handlers that keep a server from ending: which, and where they wait."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..hints import numbered

if TYPE_CHECKING:
    from .server import Server

__all__ = ["PATIENCE", "tell_of_stuck", "where_it_waits"]

PATIENCE = 2.0
"""Seconds that handlers may take to return when their server closes, unmentioned."""
_PACKAGE = str(Path(__file__).parents[1])


def tell_of_stuck(server: Server) -> None:
    """Say which handlers still run though their connections were told to close."""
    left = [
        (ws, task)
        for ws, task in server._tasks.items()
        if ws in server._open and not ws._live.can_send
    ]
    if not left:
        return
    text = numbered(
        f"{ws._name_handler()} {where_it_waits(task)}".rstrip() for ws, task in left
    )
    server.logger.warning(
        "server waits for handlers whose connections are closed already: %s; they "
        "learn of it in recv() or wait_closed(); under asyncio.run(), a second Ctrl-C "
        "cuts them off",
        text,
    )


def where_it_waits(task: asyncio.Task[Any]) -> str:
    """Return file and line at which the code of a handler waits, "" if unknown."""
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "ag_frame", None)
        if isinstance(frame, FrameType):
            file = frame.f_code.co_filename
            if not file.startswith(_PACKAGE):
                return f"at {file}:{frame.f_lineno}"
        waiting = getattr(waiting, "cr_await", None)
    return ""
