"""Routing: one server, a handler for each URL pattern.

Patterns are werkzeug's ``Map`` and ``Rule``; ``opening/routing.py`` decides what they
mean. Needs werkzeug (``pip install '.[router]'``).
"""

from __future__ import annotations

import os
import ssl as ssl_module
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import trio

from ..opening import routing
from ..opening.chaining import chain_async
from .server import serve, unix_serve

if TYPE_CHECKING:
    from werkzeug.routing import Map

__all__ = ["Router", "route", "unix_route"]


class Router(routing.AsyncRouter):
    __doc__ = routing.Router.__doc__


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
    await routing.listen_routed(listen, Router, chain_async, url_map, args, kwargs)
