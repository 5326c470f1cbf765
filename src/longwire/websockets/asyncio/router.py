"""``Router``, ``route`` and ``unix_route``: longwire's own, with werkzeug's rules.

Only the logger's name is this API's: ``websockets.server``.
"""

from __future__ import annotations

from ...asyncio import router as engine
from ...asyncio.router import Router
from ..loggers import SERVER, logging_to

__all__ = ["Router", "route", "unix_route"]

route = logging_to(SERVER, engine.route)
unix_route = logging_to(SERVER, engine.unix_route)
