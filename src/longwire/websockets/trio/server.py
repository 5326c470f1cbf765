"""``serve``, its server and connections for trio: longwire's own.

The logger's name is this API's, ``websockets.server``, and so are the variables, which
begin with ``WEBSOCKETS_``; and a handler that lets the loss of its connection through
is in the log with it, as documented.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from ...trio import server as engine
from ...trio.auth import basic_auth
from ...trio.broadcast import broadcast
from .. import variables
from ..aliases import give_aliases
from ..linked import LinkedServer, of_server
from .connection import Connection

__all__ = ["Server", "ServerConnection", "basic_auth", "broadcast", "serve"]


class ServerConnection(LinkedServer, Connection, engine.ServerConnection):
    __doc__ = engine.ServerConnection.__doc__


class Server(engine.Server):
    __doc__ = engine.Server.__doc__

    def _warn_if_one_shot(self, ws: engine.ServerConnection) -> None:
        """Programs watch their logs for warnings, and none is documented for this."""


@functools.wraps(engine.serve)
async def serve(*args: Any, **kwargs: Any) -> None:
    keywords = of_server(kwargs, ServerConnection)
    given = inspect.signature(engine.serve).bind(*args, **keywords)
    given.apply_defaults()

    def make(*args: Any, settings: Any, **others: Any) -> Server:
        settings = variables.as_documented(settings, keywords)
        return Server(*args, settings=settings, **others)

    await engine.serve_with(make, given.arguments)


give_aliases(globals())
