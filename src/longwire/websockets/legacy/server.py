"""The old server: ``serve`` and ``WebSocketServer``.

Turns old keywords and handlers into those of longwire's server, which does the work.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import logging
import os
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from typing import Any, NoReturn, Self

from ...asyncio import server as engine
from ...asyncio import server_connection
from ...asyncio.listening import Listening
from ...http.extensions import ServerExtensionFactory
from ...opening.origins import Origins
from ...opening.server_plan import ServerSettings
from ..aliases import give_aliases
from ..asyncio import server as today
from ..datastructures import Headers
from ..http11 import SERVER as SERVER_HEADER
from ..loggers import SERVER
from ..typing import LoggerLike
from ..variables import compression_of, interval_of
from .adapting import OldCall, adapt_handler, headers_from, spell_out
from .behaviour import Behaviour
from .inner import InnerConnection
from .opening import HTTPResponse
from .protocol import WebSocketCommonProtocol, broadcast
from .server_protocol import (
    ExtraHeaders,
    Prepared,
    WebSocketServerProtocol,
    WsHandler,
    origins_today,
)

__all__ = [
    "HTTPResponse",
    "Serve",
    "WebSocketServer",
    "WebSocketServerProtocol",
    "broadcast",
    "serve",
    "unix_serve",
]


class WebSocketServer(today.Server):
    """A server, as the old ``serve`` returns it; it is an asyncio one's double.

    Made by hand, it takes connections of :class:`WebSocketServerProtocol` from an
    :class:`asyncio.Server` that it was told of by :meth:`wrap`.
    """

    _prepared: Prepared | None = None

    def __init__(self, logger: LoggerLike | None = None) -> None:
        logger = logger or logging.getLogger(SERVER)
        super().__init__(_nobody_listens, _handle, logger)

    def __iter__(self) -> Generator[Any, None, Self]:
        """For ``yield from serve(...)``."""
        return self.__await__()

    @property
    def websockets(self) -> set[Any]:
        """The open connections; ``connections`` today."""
        return self.connections

    @property
    def connections(self) -> set[Any]:
        """The open connections, in a new set."""
        return {_outer(ws) for ws in super().connections}

    def wrap(self, server: asyncio.Server) -> None:
        """Take ``server``, which makes connections that belong here."""
        self._server = Listening(server)

    def register(self, protocol: WebSocketServerProtocol) -> None:
        """Close ``protocol`` when the server is closed."""
        self._open.add(_inner(protocol))

    def unregister(self, protocol: WebSocketServerProtocol) -> None:
        """Leave ``protocol`` alone."""
        self._open.discard(_inner(protocol))

    def _close_one(
        self, ws: server_connection.ServerConnection, code: int, reason: str
    ) -> None:
        super()._close_one(_inner(ws), code, reason)


def _outer(ws: Any) -> Any:
    return ws._outer if isinstance(ws, InnerConnection) else ws


def _inner(ws: Any) -> Any:
    return ws._connection if isinstance(ws, WebSocketCommonProtocol) else ws


async def _nobody_listens(server: object) -> NoReturn:
    raise RuntimeError("this server does not listen: call wrap(), or use serve()")


def _handle(connection: Any) -> Awaitable[Any]:
    """Run the handler that the connection was made with."""
    outer = connection._outer
    return outer.ws_handler(outer)  # type: ignore[no-any-return]


def _check_extra_headers(value: Any) -> ExtraHeaders | None:
    """Raise TypeError or ValueError for what can never be headers."""
    return value if callable(value) else headers_from(value)


def _check_origins(origins: Sequence[str | None] | None) -> Origins | None:
    """Return ``origins`` as they are written today; warn of how 2.6 wrote them."""
    if origins is not None and "" in origins:
        text = "use None instead of '' in origins"
        warnings.warn(text, DeprecationWarning, stacklevel=3)
    return origins_today(origins)


# --- serve -----------------------------------------------------------------------


class serve:
    """A server as former editions start it; ``longwire.serve`` is today's.

    Await it for a :class:`WebSocketServer`, or enter it with ``async with``, which
    also closes it. No loop has to run to make one. ``ws_handler`` takes the connection
    or, as before 10.1, the connection and the path.

    ``create_protocol`` is a subclass of :class:`WebSocketServerProtocol` or a factory;
    ``extra_headers`` are headers or a function of path and request headers;
    ``process_request(path, headers)`` and ``select_subprotocol(client, server)`` are
    described there. ``loop``, ``timeout`` and ``klass`` are deprecated. All others
    are as for ``longwire.serve``, or go to the loop's ``create_server()``.
    """

    _legacy_recv = False

    def __init__(
        self,
        ws_handler: WsHandler,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        create_protocol: Callable[..., Any] | None = None,
        logger: LoggerLike | str | None = None,
        compression: str | None = "deflate",
        origins: Sequence[str | None] | None = None,
        extensions: Sequence[ServerExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        extra_headers: ExtraHeaders | None = None,
        server_header: str | None = SERVER_HEADER,
        process_request: Callable[[str, Headers], Any] | None = None,
        select_subprotocol: Callable[[Sequence[str], Sequence[str]], Any] | None = None,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = None,
        max_size: int | None = 2**20,
        max_queue: int | None = 2**5,
        read_limit: int = 2**16,
        write_limit: int = 2**16,
        **kwargs: Any,
    ) -> None:
        call = OldCall(
            "serve",
            kwargs,
            _known(bool(kwargs.get("unix"))),
            create_protocol=create_protocol,
            default_protocol=WebSocketServerProtocol,
            close_timeout=close_timeout,
            legacy_recv=self._legacy_recv,
            logger=logger,
            default_logger=SERVER,
        )
        self._running = call.running
        # For longwire's server to check; each connection turns them into its own.
        shared: dict[str, Any] = {
            "open_timeout": open_timeout,
            "ping_interval": interval_of(ping_interval),
            "ping_timeout": ping_timeout,
            "close_timeout": call.close_timeout,
            "max_size": max_size,
            "max_queue": max_queue,
            "write_limit": write_limit,
            "logger": call.logger,
            "subprotocols": subprotocols,
            "server_header": server_header,
            "process_request": process_request,
            "select_subprotocol": select_subprotocol,
        }
        keywords: dict[str, Any] = {
            **shared,
            "host": host if isinstance(host, str) else None,
            "port": port,
            "secure": kwargs.get("ssl") is not None,
            "read_limit": read_limit,
            "legacy_recv": call.legacy_recv,
            "origins": origins,
            "extra_headers": _check_extra_headers(extra_headers),
        }
        behaving = {
            name: value for name, value in keywords.items() if name in _BEHAVING
        }
        prepared = Prepared.of(ws_handler, behaving)
        self.ws_server: WebSocketServer = engine.serve(  # type: ignore[assignment, call-arg]
            _handle,
            host,
            port,
            **shared,
            compression=compression_of(compression),
            origins=_check_origins(origins),
            extensions=extensions,
            create_connection=_maker(call.factory, prepared.handler, keywords),
            make_server=WebSocketServer._made,
            **kwargs,
        )
        keywords["extensions"] = list(self.ws_server._settings.extensions)
        self.ws_server._prepared = prepared
        self.logger = call.logger

    async def _start(self) -> WebSocketServer:
        self._running.check()
        return await self.ws_server

    async def __await_impl__(self) -> WebSocketServer:
        """Start listening; return the server: what awaiting the object does."""
        return await self._start()

    def __await__(self) -> Generator[Any, None, WebSocketServer]:
        """Start listening; return the server."""
        return self.__await_impl__().__await__()

    __iter__ = __await__  # for `yield from serve(...)`

    async def __aenter__(self) -> WebSocketServer:
        """Start listening; return the server. Leaving the block closes it."""
        return await self

    async def __aexit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        await self.ws_server.__aexit__(exc_type, exc, traceback)


Serve = serve


def unix_serve(
    ws_handler: WsHandler, path: str | os.PathLike[str] | None = None, **kwargs: Any
) -> serve:
    """Return a server as :class:`serve` does, on the Unix socket at ``path``."""
    if path is not None:
        kwargs["path"] = os.fspath(path)
    return serve(ws_handler, unix=True, **kwargs)


spell_out(unix_serve, serve, "host", "port")


def _maker(
    factory: Callable[..., Any], ws_handler: WsHandler, keywords: dict[str, Any]
) -> Callable[..., server_connection.ServerConnection]:
    """Return what makes a connection of the server for each client."""
    by_name = _takes_names(factory, (*keywords, "extensions"))

    def make(
        settings: ServerSettings, server: WebSocketServer, **_: Any
    ) -> server_connection.ServerConnection:
        try:
            if by_name:
                made = factory(ws_handler=ws_handler, ws_server=server, **keywords)
            else:
                made = factory(ws_handler, server, **keywords)
            if not isinstance(made, WebSocketServerProtocol):
                kind = type(made).__name__
                raise TypeError(
                    f"create_protocol returned {kind}; WebSocketServerProtocol expected"
                )
        except Exception as exc:
            return _failing(settings, server, exc)
        return made._connection

    return make


def _failing(
    settings: ServerSettings, server: WebSocketServer, exc: Exception
) -> server_connection.ServerConnection:
    """Return a connection that is answered with 500, and logged with ``exc``.

    asyncio would drop it without a word.
    """

    def process_request(*_: Any) -> NoReturn:
        raise exc

    failing = dataclasses.replace(settings, process_request=process_request)
    return server_connection.ServerConnection(failing, server)


# The keywords of a connection that say how it behaves.
_BEHAVING = frozenset(
    {field.name for field in dataclasses.fields(Behaviour)} | {"logger"}
)


def _takes_names(factory: Callable[..., Any], keywords: Iterable[str]) -> bool:
    """Return whether ``ws_handler=`` and ``ws_server=`` can be given by name.

    A ``functools.partial`` with an argument of its own in front needs them so; a
    factory that calls them something else gets them by place.
    """
    options = dict.fromkeys(keywords)
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(ws_handler=None, ws_server=None, **options)
    except TypeError:
        pass
    else:
        return True
    try:
        signature.bind(None, None, **options)
    except TypeError:
        return True  # wrong either way: the names make the better error
    return False


def _known(unix: bool) -> set[str]:
    """Return the keywords of :class:`serve` and of the loop's ``create_server()``."""
    create = getattr(
        asyncio.SelectorEventLoop, "create_unix_server" if unix else "create_server"
    )
    names = {
        *inspect.signature(create).parameters,
        *inspect.signature(serve).parameters,
    }
    names -= {"self", "protocol_factory", "kwargs", "ws_handler"}
    if unix:
        return (names - {"host", "port"}) | {"unix", "path"}
    return names


# What this module calls things in the documented package.
HeadersLikeOrCallable = ExtraHeaders
remove_path_argument = adapt_handler

give_aliases(globals())
