"""Clients on trio: names only, see ``absent``."""

from __future__ import annotations

from ..absent import AbsentClass, absent
from ..aliases import give_aliases
from .connection import Connection

__all__ = ["ClientConnection", "connect", "unix_connect"]

unix_connect = absent(__name__, "unix_connect")


class connect(AbsentClass, methods="__aenter__ __aexit__ __aiter__"):
    """Not there yet: making one raises RuntimeError."""


class ClientConnection(Connection):
    """Not there yet: making one raises RuntimeError."""


give_aliases(globals())
