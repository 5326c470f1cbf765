"""Servers on trio with a route for each path: names only, see ``absent``."""

from __future__ import annotations

from ..absent import AbsentClass, absent
from ..aliases import give_aliases

__all__ = ["Router", "route"]

route = absent(__name__, "route")


class Router(
    AbsentClass,
    methods="get_server_name handler not_found redirect route_request",
):
    """Not there yet: making one raises RuntimeError."""


give_aliases(globals())
