"""Clients in threads: names only, see ``absent``."""

from __future__ import annotations

from ..absent import AbsentClass, absent
from ..aliases import give_aliases
from .connection import Connection

__all__ = ["ClientConnection", "connect", "reconnect", "unix_connect", "unix_reconnect"]

connect = absent(__name__, "connect")
unix_connect = absent(__name__, "unix_connect")
unix_reconnect = absent(__name__, "unix_reconnect")


class reconnect(AbsentClass, methods="__enter__ __iter__"):
    """Not there yet: making one raises RuntimeError."""


class ClientConnection(Connection):
    """Not there yet: making one raises RuntimeError."""


give_aliases(globals())
