"""``serve``, ``unix_serve``, their servers and connections: longwire's own.

The logger's name is this API's, ``websockets.server``, and so is the variable
``WEBSOCKETS_MAX_FRAGMENTS``; and a handler that lets the loss of its connection through
is in the log with it, as documented.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

from ...asyncio import server as engine
from ...asyncio.auth import basic_auth
from ...asyncio.broadcast import broadcast
from ...asyncio.server import Server
from ...asyncio.server_connection import ServerConnection
from ...errors import ConnectionClosedError
from ...leaving import Outcome
from .. import variables
from ..loggers import SERVER

__all__ = [
    "LoggedServerConnection",
    "Server",
    "ServerConnection",
    "as_documented",
    "basic_auth",
    "broadcast",
    "serve",
    "unix_serve",
]

P = ParamSpec("P")


class LoggedServerConnection(ServerConnection):
    """A client's connection whose loss is in the log if the handler lets it through.

    longwire says at INFO how each connection ended, and leaves it at that.
    """

    def _log_outcome(self, outcome: Outcome, exc: BaseException | None) -> None:
        if outcome is Outcome.ENDED and isinstance(exc, ConnectionClosedError):
            outcome = Outcome.FAILED
        super()._log_outcome(outcome, exc)


def as_documented(listen: Callable[P, Server]) -> Callable[P, Server]:
    """Return ``listen``, one of longwire's ways to make a server, as this API's."""

    @functools.wraps(listen)
    def make(*args: P.args, **kwargs: P.kwargs) -> Server:
        if kwargs.get("logger") is None:
            kwargs["logger"] = SERVER
        if kwargs.get("create_connection") is None:
            kwargs["create_connection"] = LoggedServerConnection
        server = listen(*args, **kwargs)
        server._settings = variables.fragments_limited(
            server._settings,
            kwargs.get("limits"),  # type: ignore[arg-type]
        )
        return server

    return make


serve = as_documented(engine.serve)
unix_serve = as_documented(engine.unix_serve)
