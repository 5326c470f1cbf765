"""Routing: which handler a request is for, and what it is answered with if none is.

Patterns are werkzeug's ``Map`` and ``Rule``. A front end adds how handlers run.
"""

from __future__ import annotations

import ssl as ssl_module
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..escaping import excerpt
from ..http.heads import Request, Response
from .chaining import ProcessRequest

if TYPE_CHECKING:
    from werkzeug.routing import Map

__all__ = ["AsyncRouter", "Router", "listen_routed"]

S = TypeVar("S")


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
        if not callable(getattr(url_map, "iter_rules", None)):
            kind = type(url_map).__name__
            raise TypeError(
                f"url_map must be a werkzeug.routing.Map, not {kind}: write "
                "Map([Rule('/chat', endpoint=handler)])"
            )
        self.url_map = url_map
        self.server_name = server_name
        self.url_scheme = url_scheme
        for rule in self.url_map.iter_rules():
            rule.websocket = True

    def get_server_name(self, connection: Any, request: Request) -> str:
        """Return the server's name as this client sees it."""
        if self.server_name is not None:
            return self.server_name
        # Only HTTP/1.0 can do without, and gets no connection anyway.
        return request.headers.get("Host", "localhost")

    def redirect(self, connection: Any, url: str) -> Response:
        """Return the response that sends the client to ``url``."""
        response: Response = connection.respond(302, f"Found at {excerpt(url)}\n")
        response.headers["Location"] = url
        return response

    def not_found(self, connection: Any) -> Response:
        """Return the response to a request that matches no rule."""
        response: Response = connection.respond(404, "Not Found\n")
        return response

    def route_request(self, connection: Any, request: Request) -> Response | None:
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
            refusal: Response = connection.respond(exc.code or 400, f"{exc.name}\n")
            return refusal
        connection.handler, connection.handler_kwargs = handler, kwargs
        return None


class AsyncRouter(Router):
    __doc__ = Router.__doc__

    async def handler(self, connection: Any) -> None:
        """Run the handler chosen for the connection."""
        await connection.handler(connection, **connection.handler_kwargs)


def listen_routed(
    listen: Callable[..., S],
    make_router: Callable[..., Any],
    chain: Callable[[Any, ProcessRequest], ProcessRequest],
    url_map: Map,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> S:
    """Return the server of ``listen`` whose handlers a router chooses.

    ``kwargs`` are the keywords of ``route()``; ``chain`` is one of ``chaining.py``.
    """
    server_name: str | None = kwargs.pop("server_name", None)
    ssl: ssl_module.SSLContext | Literal[True] | None = kwargs.pop("ssl", None)
    create = kwargs.pop("create_router", None) or make_router
    if ssl is not None and ssl is not True:
        kwargs["ssl"] = ssl
    router = create(url_map, server_name, "ws" if ssl is None else "wss")
    first = _check_first(kwargs.get("process_request"))
    kwargs["process_request"] = chain(first, router.route_request)
    return listen(router.handler, *args, **kwargs)


def _check_first(first: Any) -> Any:
    """Return ``process_request`` as given; raise TypeError if it cannot be called."""
    if first is not None and not callable(first):
        kind = type(first).__name__
        raise TypeError(f"process_request must be a function or None, not {kind}")
    return first


def _import_werkzeug() -> None:
    try:
        import werkzeug.routing  # noqa: F401
    except ImportError as exc:
        raise ImportError(
            "route() and unix_route() need werkzeug; in a checkout: "
            "pip install '.[router]'"
        ) from exc
