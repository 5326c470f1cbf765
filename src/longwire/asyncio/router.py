"""Routing: one server, a handler for each URL pattern.

Patterns are werkzeug's ``Map`` and ``Rule``; this module decides what a request that
matches none of them, or asks for a redirect, is answered with. Needs werkzeug
(``pip install longwire[router]``).
"""

from __future__ import annotations

import inspect
import os
import ssl as ssl_module
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

from ..escaping import excerpt
from ..http.heads import Request, Response
from .server import Server, ServerConnection, serve, unix_serve

if TYPE_CHECKING:
    from werkzeug.routing import Map

__all__ = ["Router", "route", "unix_route"]

ProcessRequest = Callable[
    [ServerConnection, Request], Awaitable[Response | None] | Response | None
]


class Router:
    """Finds the handler of each request in a URL map.

    A rule's ``endpoint`` is the handler; it gets the connection and, as keywords,
    what the pattern captured. ``server_name`` is the server's name as clients see
    it, for redirects; by default it is what the client's Host header says.
    """

    def __init__(
        self, url_map: Map, server_name: str | None = None, url_scheme: str = "ws"
    ) -> None:
        _import_werkzeug()
        self.url_map = url_map
        self.server_name = server_name
        self.url_scheme = url_scheme
        for rule in self.url_map.iter_rules():
            rule.websocket = True

    def get_server_name(self, connection: ServerConnection, request: Request) -> str:
        """Return the server's name as this client sees it."""
        if self.server_name is not None:
            return self.server_name
        # Only HTTP/1.0 can do without, and gets no connection anyway.
        return request.headers.get("Host", "localhost")

    def redirect(self, connection: ServerConnection, url: str) -> Response:
        """Return the response that sends the client to ``url``."""
        response = connection.respond(302, f"Found at {excerpt(url)}\n")
        response.headers["Location"] = url
        return response

    def not_found(self, connection: ServerConnection) -> Response:
        """Return the response to a request that matches no rule."""
        return connection.respond(404, "Not Found\n")

    def route_request(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        """Choose the connection's handler; return a response if there is none."""
        from werkzeug.exceptions import HTTPException, NotFound
        from werkzeug.routing import RequestRedirect

        # Always in origin-form: the reader of requests has seen to that.
        path, _, query = request.path.partition("?")
        try:
            adapter = self.url_map.bind(
                server_name=self.get_server_name(connection, request),
                url_scheme=self.url_scheme,
            )
            handler, kwargs = adapter.match(
                path_info=urllib.parse.unquote(path), query_args=query
            )
        except RequestRedirect as redirect:
            return self.redirect(connection, redirect.new_url)
        except NotFound:
            return self.not_found(connection)
        except HTTPException as exc:
            return connection.respond(exc.code or 400, f"{exc.name}\n")
        connection.handler, connection.handler_kwargs = handler, kwargs
        return None

    async def handler(self, connection: ServerConnection) -> None:
        """Run the handler chosen for the connection."""
        await connection.handler(connection, **connection.handler_kwargs)


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

        async with route(url_map, "localhost", 8765) as server:
            await server.serve_forever()

    Takes the arguments of :func:`~longwire.serve` after the URL map. ``ssl=True``
    says that a reverse proxy does TLS: redirects then lead to ``wss://``.
    ``create_router`` makes the :class:`Router`. A ``process_request`` is asked first.
    """
    return _route(
        serve,
        *(url_map, args, server_name, ssl, create_router, kwargs),
    )


def unix_route(
    url_map: Map, path: str | os.PathLike[str] | None = None, **kwargs: Any
) -> Server:
    """Return a server as :func:`route` does, on a Unix socket."""
    server_name = kwargs.pop("server_name", None)
    ssl = kwargs.pop("ssl", None)
    create_router = kwargs.pop("create_router", None)
    return _route(
        unix_serve,
        *(url_map, (path,), server_name, ssl, create_router, kwargs),
    )


def _route(
    listen: Callable[..., Server],
    url_map: Map,
    args: tuple[Any, ...],
    server_name: str | None,
    ssl: ssl_module.SSLContext | Literal[True] | None,
    create_router: Callable[..., Router] | None,
    kwargs: dict[str, Any],
) -> Server:
    if ssl is not None and ssl is not True:
        kwargs["ssl"] = ssl
    scheme = "ws" if ssl is None else "wss"
    router = (create_router or Router)(url_map, server_name, scheme)
    kwargs["process_request"] = _chain(kwargs.get("process_request"), router)
    return listen(router.handler, *args, **kwargs)


def _chain(first: ProcessRequest | None, router: Router) -> ProcessRequest:
    """Return a ``process_request`` that asks ``first``, then ``router``."""
    if first is None:
        return router.route_request
    if not callable(first):
        kind = type(first).__name__
        raise TypeError(f"process_request must be a function or None, not {kind}")

    async def process_request(
        connection: ServerConnection, request: Request
    ) -> Response | None:
        response = first(connection, request)
        if inspect.isawaitable(response):
            response = await response
        if response is not None:
            return response
        return router.route_request(connection, request)

    return process_request


def _import_werkzeug() -> None:
    try:
        import werkzeug.routing  # noqa: F401
    except ImportError as exc:
        raise ImportError(
            "route() and unix_route() need werkzeug: install longwire[router]"
        ) from exc
