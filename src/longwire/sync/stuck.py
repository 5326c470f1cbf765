"""Handlers that keep a server from ending: where their threads wait."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

__all__ = ["where_it_waits"]

_PACKAGE = str(Path(__file__).parents[1])


def where_it_waits(thread: threading.Thread) -> str:
    """Return file and line at which a handler's ``thread`` is, "" if unknown."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and _is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    return "" if frame is None else f"at {frame.f_code.co_filename}:{frame.f_lineno}"


def _is_ours(file: str) -> bool:
    return file.startswith(_PACKAGE) or file == threading.__file__
