"""Routing: one server, a handler for each URL pattern.

Patterns are werkzeug's ``Map`` and ``Rule``; ``opening/routing.py`` decides what they
mean. Needs werkzeug (``pip install '.[router]'``).
"""

from __future__ import annotations

import os
import ssl as ssl_module
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from ..opening import routing
from ..opening.chaining import chain
from .server import Server, ServerConnection, serve, unix_serve

if TYPE_CHECKING:
    from werkzeug.routing import Map

__all__ = ["Router", "route", "unix_route"]


class Router(routing.Router):
    __doc__ = routing.Router.__doc__

    def handler(self, connection: ServerConnection) -> None:
        """Run the handler chosen for the connection."""
        connection.handler(connection, **connection.handler_kwargs)


def route(
    url_map: Map,
    *args: Any,
    server_name: str | None = None,
    ssl: ssl_module.SSLContext | Literal[True] | None = None,
    create_router: Callable[..., Router] | None = None,
    **kwargs: Any,
) -> Server:
    """Return a server that passes each connection to the handler of its URL.

    ::

        url_map = Map([Rule("/channel/<uuid:channel_id>", endpoint=handle_channel)])

        with route(url_map, "localhost", 8765) as server:
            server.serve_forever()

    Takes the arguments of :func:`serve` after the URL map. ``ssl=True``
    says that a reverse proxy does TLS: redirects then lead to ``wss://``.
    ``create_router`` makes the :class:`Router`. A ``process_request`` is asked first.
    """
    kwargs.update(server_name=server_name, ssl=ssl, create_router=create_router)
    return routing.listen_routed(serve, Router, chain, url_map, args, kwargs)


def unix_route(
    url_map: Map, path: str | os.PathLike[str] | None = None, **kwargs: Any
) -> Server:
    """Return a server as :func:`route` does, on a Unix socket."""
    return routing.listen_routed(unix_serve, Router, chain, url_map, (path,), kwargs)
