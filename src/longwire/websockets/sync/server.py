"""``serve``, ``unix_serve``, their servers and connections for threads: longwire's own.

The logger's name is this API's, ``websockets.server``, and so are the variables, which
begin with ``WEBSOCKETS_``; and a handler that lets the loss of its connection through
is in the log with it, as documented.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

from ...sync import server as engine
from ...sync.auth import basic_auth
from ...sync.broadcast import broadcast
from .. import variables
from ..aliases import give_aliases
from ..linked import LinkedServer, of_server
from .connection import Connection

__all__ = [
    "Server",
    "ServerConnection",
    "as_documented",
    "basic_auth",
    "broadcast",
    "serve",
    "unix_serve",
]

P = ParamSpec("P")


class ServerConnection(LinkedServer, Connection, engine.ServerConnection):
    __doc__ = engine.ServerConnection.__doc__


class Server(engine.Server):
    __doc__ = engine.Server.__doc__

    SHUTDOWN_POLLING_INTERVAL = 0.1
    """Seconds between two looks for a shutdown, where a system has nothing to wait on.
    Here ``serve_forever()`` is woken at once."""

    _warns_unserved = False  # the documented API ends without a word

    def _warn_if_one_shot(self, ws: engine.ServerConnection) -> None:
        """Programs watch their logs for warnings, and none is documented for this."""


WebSocketServer = Server  # as edition 11 calls it


def as_documented(listen: Callable[P, engine.Server]) -> Callable[P, Server]:
    """Return ``listen``, one of longwire's ways to make a server, as this API's."""

    @functools.wraps(listen)
    def make(*args: P.args, **kwargs: P.kwargs) -> Server:
        keywords: dict[str, Any] = kwargs
        of_server(keywords, ServerConnection).setdefault("make_server", Server)
        server: Server = listen(*args, **keywords)  # type: ignore[assignment]
        server._settings = variables.as_documented(server._settings, keywords)
        return server

    return make


serve = as_documented(engine.serve)
unix_serve = as_documented(engine.unix_serve)


give_aliases(globals())
