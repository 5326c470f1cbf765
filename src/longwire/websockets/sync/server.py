"""``serve``, ``unix_serve``, their servers and connections for threads: longwire's own.

The logger's name is this API's, ``websockets.server``, and so are the variables, which
begin with ``WEBSOCKETS_``; and a handler that lets the loss of its connection through
is in the log with it, as documented.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

from ...errors import ConnectionClosedError
from ...http.heads import Response
from ...messages import Side
from ...session.leaving import Outcome
from ...sync import server as engine
from ...sync.auth import basic_auth
from ...sync.broadcast import broadcast
from .. import variables
from ..aliases import give_aliases
from ..datastructures import Headers
from ..heads import Acceptor
from ..http11 import SERVER as SERVER_HEADER
from ..loggers import SERVER
from .connection import Connection, View

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


class ServerConnection(Connection, engine.ServerConnection):
    __doc__ = engine.ServerConnection.__doc__

    _acceptor = Acceptor

    def respond(self, status: int, text: str | bytes, **options: Any) -> Response:
        """Return a response for ``process_request``, as longwire's own does."""
        response = super().respond(status, text, **options)
        response.headers = Headers.made(response.headers)
        return response

    def _log_outcome(self, outcome: Outcome, exc: BaseException | None) -> None:
        # longwire says at INFO how each connection ended, and leaves it at that.
        if outcome is Outcome.ENDED and isinstance(exc, ConnectionClosedError):
            outcome = Outcome.FAILED
        super()._log_outcome(outcome, exc)


class Server(engine.Server):
    __doc__ = engine.Server.__doc__

    SHUTDOWN_POLLING_INTERVAL = 0.1
    """Seconds between two looks for a shutdown, where a system has nothing to wait on.
    Here ``serve_forever()`` is woken at once."""

    def _warn_if_one_shot(self, ws: engine.ServerConnection) -> None:
        """Programs watch their logs for warnings, and none is documented for this."""


WebSocketServer = Server  # as edition 11 calls it


def as_documented(listen: Callable[P, engine.Server]) -> Callable[P, Server]:
    """Return ``listen``, one of longwire's ways to make a server, as this API's."""

    @functools.wraps(listen)
    def make(*args: P.args, **kwargs: P.kwargs) -> Server:
        keywords: dict[str, Any] = kwargs
        if keywords.get("logger") is None:
            keywords["logger"] = SERVER
        keywords.setdefault("server_header", SERVER_HEADER)
        keywords.setdefault("make_server", Server)
        if "ping_interval" in keywords:
            interval = variables.interval_of(keywords["ping_interval"])
            keywords["ping_interval"] = interval
        create = keywords.get("create_connection")
        keywords["create_connection"] = _maker(create)
        server: Server = listen(*args, **keywords)  # type: ignore[assignment]
        server._settings = variables.as_documented(server._settings, keywords)
        return server

    return make


def _maker(create: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return what makes a connection of a server."""
    if create is None:
        return ServerConnection
    if not callable(create):
        return create  # which longwire refuses

    def make(wire: Any, settings: Any, server: Any, **keywords: Any) -> Any:
        return create(wire, View(settings, Side.SERVER), server, **keywords)

    return make


serve = as_documented(engine.serve)
unix_serve = as_documented(engine.unix_serve)


give_aliases(globals())
