"""``Router``, ``route`` and ``unix_route`` for threads: longwire's own.

As for ``serve``, logger, variable and log are this API's.
"""

from __future__ import annotations

from ...sync import router as engine
from ...sync.router import Router
from ..aliases import give_aliases
from .server import as_documented

__all__ = ["Router", "route", "unix_route"]

route = as_documented(engine.route)
unix_route = as_documented(engine.unix_route)


give_aliases(globals())
