"""Frames that stand for those of compiled code, which has none.

Who looks at a coroutine (a debugger, ``Task.print_stack()``, ``inspect``) goes by its
frame: these have a name and a place in a file, and never run.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

__all__ = ["frame_of", "recv", "send", "serving"]


async def recv() -> None:
    """Stands for ``Connection.recv()``; see ``messaging.pyx``."""


async def send() -> None:
    """Stands for ``Connection.send()``; see ``messaging.pyx``."""


async def serving() -> None:
    """Stands for the one task of a server's connection; see ``serving.pyx``."""


def frame_of(function: Callable[[], Coroutine[Any, Any, None]]) -> FrameType:
    """Return a frame of ``function``, which has ended before it began."""
    coroutine: Any = function()
    frame: FrameType = coroutine.cr_frame
    coroutine.close()
    return frame
