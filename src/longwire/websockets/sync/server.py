"""Servers in threads: names only, see ``absent``."""

from __future__ import annotations

from ..absent import AbsentClass, absent
from ..aliases import give_aliases
from .connection import Connection, broadcast

__all__ = [
    "Server",
    "ServerConnection",
    "basic_auth",
    "broadcast",
    "serve",
    "unix_serve",
]

serve = absent(__name__, "serve")
unix_serve = absent(__name__, "unix_serve")
basic_auth = absent(__name__, "basic_auth")


class ServerConnection(Connection, methods="respond"):
    """Not there yet: making one raises RuntimeError."""


class Server(
    AbsentClass,
    methods="__enter__ __exit__ serve_forever shutdown fileno",
):
    """Not there yet: making one raises RuntimeError."""


WebSocketServer = Server  # as edition 11 calls it

give_aliases(globals())
