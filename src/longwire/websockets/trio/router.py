"""``Router`` and ``route`` for trio: longwire's own.

As for ``serve``, logger, variable and log are this API's.
"""

from __future__ import annotations

import functools
from typing import Any

from ...trio import router as engine
from ...trio.router import Router
from ..aliases import give_aliases
from .server import serve

__all__ = ["Router", "route"]


@functools.wraps(engine.route)
async def route(url_map: Any, *args: Any, **kwargs: Any) -> None:
    await engine.route_with(serve, url_map, args, kwargs)


give_aliases(globals())
