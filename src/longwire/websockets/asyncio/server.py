"""``serve``, ``unix_serve``, their servers and connections: longwire's own.

Only the logger's name is this API's: ``websockets.server``.
"""

from __future__ import annotations

from ...asyncio import server as engine
from ...asyncio.auth import basic_auth
from ...asyncio.broadcast import broadcast
from ...asyncio.server import Server
from ...asyncio.server_connection import ServerConnection
from ..loggers import SERVER, logging_to

__all__ = [
    "Server",
    "ServerConnection",
    "basic_auth",
    "broadcast",
    "serve",
    "unix_serve",
]

serve = logging_to(SERVER, engine.serve)
unix_serve = logging_to(SERVER, engine.unix_serve)
