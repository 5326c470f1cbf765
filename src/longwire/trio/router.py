"""Routing: one server, a handler for each URL pattern.

Patterns are werkzeug's ``Map`` and ``Rule``; ``opening/routing.py`` decides what they
mean. Needs werkzeug (``pip install '.[router]'``).
"""

from __future__ import annotations

import inspect
import os
import ssl as ssl_module
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import trio

from ..http.heads import Request, Response
from ..opening import routing
from .server import ServerConnection, serve, unix_serve

if TYPE_CHECKING:
    from werkzeug.routing import Map

__all__ = ["Router", "route", "unix_route"]


class Router(routing.Router):
    __doc__ = routing.Router.__doc__

    async def handler(self, connection: ServerConnection) -> None:
        """Run the handler chosen for the connection."""
        await connection.handler(connection, **connection.handler_kwargs)


async def route(
    url_map: Map,
    *args: Any,
    server_name: str | None = None,
    ssl: ssl_module.SSLContext | Literal[True] | None = None,
    create_router: Callable[..., Router] | None = None,
    task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
    **kwargs: Any,
) -> None:
    """Serve as :func:`serve` does, each connection with the handler of its URL.

    ::

        url_map = Map([Rule("/channel/<uuid:channel_id>", endpoint=handle_channel)])

        server = await nursery.start(route, url_map, 8765)

    Takes the arguments of :func:`serve` after the URL map. ``ssl=True``
    says that a reverse proxy does TLS: redirects then lead to ``wss://``.
    ``create_router`` makes the :class:`Router`. A ``process_request`` is asked first.
    """
    kwargs.update(server_name=server_name, ssl=ssl, create_router=create_router)
    await route_with(serve, url_map, args, {**kwargs, "task_status": task_status})


async def unix_route(
    url_map: Map, path: str | os.PathLike[str] | None = None, **kwargs: Any
) -> None:
    """Serve as :func:`route` does, on a Unix socket."""
    await route_with(unix_serve, url_map, (path,), kwargs)


async def route_with(
    listen: Callable[..., Any],
    url_map: Map,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Serve by ``listen``, each connection with the handler of its URL."""
    await routing.listen_routed(listen, Router, _chain, url_map, args, kwargs)


def _chain(first: Callable[..., Any], router: Router) -> Callable[..., Any]:
    """Return a ``process_request`` that asks ``first``, then ``router``."""

    async def process_request(
        connection: ServerConnection, request: Request
    ) -> Response | None:
        response = first(connection, request)
        if inspect.isawaitable(response):
            response = await response
        if response is not None:
            return response  # type: ignore[no-any-return]
        return router.route_request(connection, request)

    return process_request
