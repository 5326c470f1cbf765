"""Servers on trio: names only, see ``absent``."""

from __future__ import annotations

from ..absent import AbsentClass, absent
from ..aliases import give_aliases
from .connection import Connection, broadcast

__all__ = ["Server", "ServerConnection", "basic_auth", "broadcast", "serve"]

serve = absent(__name__, "serve")
basic_auth = absent(__name__, "basic_auth")


class ServerConnection(Connection, methods="respond"):
    """Not there yet: making one raises RuntimeError."""


class Server(
    AbsentClass,
    methods="__aenter__ __aexit__ serve_forever aclose",
):
    """Not there yet: making one raises RuntimeError."""


give_aliases(globals())
