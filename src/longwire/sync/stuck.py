"""Handlers that keep a server from ending: which, and where their threads wait."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..hints import numbered

if TYPE_CHECKING:
    from .server_connection import ServerConnection

__all__ = ["PATIENCE", "describe"]

PATIENCE = 2.0
"""Seconds that handlers may take to return when their server closes, unmentioned."""
_PACKAGE = str(Path(__file__).parents[1])


def describe(running: Iterable[tuple[ServerConnection, threading.Thread]]) -> str:
    """Return which handlers run in these threads, and where; "" if all begin to end.

    Handlers whose connection is still open have not been told to end yet.
    """
    frames = sys._current_frames()
    places = []
    for ws, thread in running:
        if ws._session is None or ws._live.is_open:
            continue
        frame = frames.get(thread.ident or 0)
        while frame is not None and _is_ours(frame.f_code.co_filename):
            frame = frame.f_back
        where = ""
        if frame is not None:
            where = f" at {frame.f_code.co_filename}:{frame.f_lineno}"
        places.append(ws._name_handler() + where)
    return numbered(places)


def _is_ours(file: str) -> bool:
    return file.startswith(_PACKAGE) or file == threading.__file__
