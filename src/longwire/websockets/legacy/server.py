"""The old server: ``serve``, ``WebSocketServer`` and ``WebSocketServerProtocol``.

Turns old keywords, hooks and handlers into those of longwire's server, which does all
the work.
"""

from __future__ import annotations

import asyncio
import dataclasses
import http
import inspect
import logging
import os
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Sequence,
)
from typing import Any, ClassVar, NoReturn, Self

from ...accepting import Origins, Refused, ServerSettings, server_settings
from ...asyncio import server as engine
from ...asyncio import server_connection
from ...asyncio.driver import Stream, run
from ...asyncio.listening import Listening
from ...asyncio.transport import Wire
from ...errors import InvalidHandshake, InvalidState
from ...http.extensions import ServerExtensionFactory, grant
from ...http.handshake import check_origin, offered_subprotocols
from ...http.headers import Headers, HeadersLike
from ...http.heads import Request, Response
from ...messages import Deflate
from ...settings import PRODUCT
from ...steps import Opened
from ..loggers import SERVER
from ..old_names import ServerConnection
from ..typing import LoggerLike
from . import opening
from .adapting import OldCall, adapt_handler, headers_from, spell_out
from .opening import HTTPResponse
from .protocol import Behaviour, WebSocketCommonProtocol, broadcast
from .steps import overridden

__all__ = [
    "WebSocketServer",
    "WebSocketServerProtocol",
    "broadcast",
    "serve",
    "unix_serve",
]


ExtraHeaders = HeadersLike | Callable[[str, Headers], HeadersLike]
WsHandler = Callable[..., Awaitable[Any]]


class WebSocketServer(engine.Server):
    """A server, as the old ``serve`` returns it; it is an asyncio one's double.

    Made by hand, it takes connections of :class:`WebSocketServerProtocol` from an
    :class:`asyncio.Server` that it was told of by :meth:`wrap`.
    """

    def __init__(self, logger: LoggerLike | None = None) -> None:
        logger = logger or logging.getLogger(SERVER)
        super().__init__(_nobody_listens, _handle, logger)

    @classmethod
    def _made(cls, *args: Any, **kwargs: Any) -> Self:
        """Return a server as longwire's ``serve`` makes one."""
        server = cls.__new__(cls)
        engine.Server.__init__(server, *args, **kwargs)
        return server

    def __iter__(self) -> Generator[Any, None, Self]:
        """For ``yield from serve(...)``."""
        return self.__await__()

    @property
    def websockets(self) -> set[server_connection.ServerConnection]:
        """The open connections; ``connections`` today."""
        return self.connections

    def wrap(self, server: asyncio.Server) -> None:
        """Take ``server``, which makes connections that belong here."""
        self._server = Listening(server)

    def register(self, protocol: WebSocketServerProtocol) -> None:
        """Close ``protocol`` when the server is closed."""
        self._open.add(protocol)

    def unregister(self, protocol: WebSocketServerProtocol) -> None:
        """Leave ``protocol`` alone."""
        self._open.discard(protocol)


async def _nobody_listens(server: object) -> NoReturn:
    raise RuntimeError("this server does not listen: call wrap(), or use serve()")


def _handle(connection: Any) -> Awaitable[Any]:
    """Run the handler that the connection was made with."""
    return connection.ws_handler(connection)  # type: ignore[no-any-return]


class WebSocketServerProtocol(WebSocketCommonProtocol, ServerConnection):
    """A client's connection, as the handlers of former editions get it.

    Subclass it and pass it as ``create_protocol`` to override ``process_request()``
    or ``select_subprotocol()``. The other keywords are those of
    :class:`WebSocketCommonProtocol`.
    """

    _acceptor = opening.Acceptor
    _acceptor_now: opening.Acceptor | None = None
    _own_negotiation: ClassVar[frozenset[str]] = frozenset()
    _granted: tuple[str | None, Sequence[Any]] | None = None

    def __init__(
        self,
        ws_handler: WsHandler,
        ws_server: WebSocketServer,
        *,
        logger: LoggerLike | None = None,
        origins: Sequence[str | None] | None = None,
        extensions: Sequence[ServerExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        extra_headers: ExtraHeaders | None = None,
        server_header: str | None = PRODUCT,
        process_request: Callable[[str, Headers], Any] | None = None,
        select_subprotocol: Callable[[Sequence[str], Sequence[str]], Any] | None = None,
        open_timeout: float | None = 10,
        **kwargs: Any,
    ) -> None:
        logger = logger or logging.getLogger(SERVER)
        behaviour = Behaviour.of(
            self, {**kwargs, "open_timeout": open_timeout, "logger": logger}
        )
        self.origins = origins
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self.server_header = server_header
        settings = self._ask_for(behaviour)
        server_connection.ServerConnection.__init__(self, settings, ws_server)
        self._behave(behaviour)
        self.ws_handler = adapt_handler(ws_handler)
        self.ws_server = ws_server
        self.open_timeout = open_timeout
        self.extra_headers = _check_extra_headers(extra_headers)
        self._process_request = process_request
        self._select_subprotocol = select_subprotocol
        self._outcome: Opened | None = None
        self._refused: Refused | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = "process_origin", "process_extensions"
        cls._own_negotiation = overridden(cls, WebSocketServerProtocol, *names)

    def _ask_for(self, behaviour: Behaviour | ServerSettings) -> ServerSettings:
        """Return what longwire's server is to do for this connection.

        What a subclass does itself is not done twice.
        """
        own = self._own_negotiation
        return server_settings(
            limits=behaviour.limits,
            timeouts=behaviour.timeouts,
            keepalive=behaviour.keepalive,
            logger=behaviour.logger,
            origins=None if "process_origin" in own else _origins(self.origins),
            extensions=None
            if "process_extensions" in own
            else self.available_extensions,
            subprotocols=self.available_subprotocols,
            select_subprotocol=opening.negotiate,
            process_request=opening.process_request,
            process_response=opening.add_headers,
            server_header=self.server_header,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin on a transport that is not of ``serve``: see WebSocketServer.wrap."""
        self.wire = Wire(self)
        self._accepted_at = self.wire.loop.time()
        transport.set_protocol(self.wire)
        self.wire.connection_made(transport)

    # --- hooks -------------------------------------------------------------------

    async def process_request(
        self, path: str, request_headers: Headers
    ) -> HTTPResponse | None:
        """Return (status, headers, body) to answer with, or None to go on.

        Override it, or pass a function as ``process_request``.
        """
        if self._process_request is None:
            return None
        result = self._process_request(path, request_headers)
        if inspect.isawaitable(result):
            result = await result
        else:
            opening.warn_of_plain(self._process_request)
        return result  # type: ignore[no-any-return]

    def select_subprotocol(
        self, client_subprotocols: Sequence[str], server_subprotocols: Sequence[str]
    ) -> str | None:
        """Return the subprotocol to use, None for none.

        It is the one in common whose places in both lists have the least sum, unless
        a function was passed as ``select_subprotocol``. May be overridden.
        """
        if self._select_subprotocol is not None:
            return self._select_subprotocol(  # type: ignore[no-any-return]
                client_subprotocols, server_subprotocols
            )
        ours, theirs = list(server_subprotocols), list(client_subprotocols)
        common = [name for name in theirs if name in ours]
        if not common:
            return None
        return min(common, key=lambda name: ours.index(name) + theirs.index(name))

    @staticmethod
    def process_origin(
        headers: Headers, origins: Sequence[str | None] | None = None
    ) -> str | None:
        """Return the request's Origin; raise InvalidOrigin if it is not allowed.

        An override is called in place of longwire's own check.
        """
        check_origin(Request("/", headers), _origins(origins))
        return headers.get("Origin")

    @staticmethod
    def process_extensions(
        headers: Headers, available_extensions: Sequence[ServerExtensionFactory] | None
    ) -> tuple[str | None, list[Any]]:
        """Return the Sec-WebSocket-Extensions to answer, and what it agrees on.

        An override is called in place of longwire's own negotiation.
        """
        offers = headers.get_all("Sec-WebSocket-Extensions")
        return grant(offers, available_extensions or ())

    def process_subprotocol(
        self, headers: Headers, available_subprotocols: Sequence[str] | None
    ) -> str | None:
        """Return the subprotocol to use, of those the client offers; None for none.

        Asks ``select_subprotocol()`` when both sides have any.
        """
        offered = offered_subprotocols(headers)
        if not offered or not available_subprotocols:
            return None
        return self.select_subprotocol(offered, available_subprotocols)

    # --- the opening handshake ---------------------------------------------------

    async def read_http_request(self) -> tuple[str, Headers]:
        """Return path and headers of the request, which then is in ``request``.

        Called once in the opening handshake. An override may return others, or raise
        AbortHandshake. Raises what is wrong with the request: an InvalidHandshake.
        """
        acceptor, wire = self._acceptor_now, self.wire
        if acceptor is None or wire is None:
            raise InvalidState("no opening handshake is under way")
        self.request = await run(acceptor.reading(), Stream(wire))
        return self.request.path, self.request.headers

    def write_http_response(
        self,
        status: http.HTTPStatus | int,
        headers: Headers,
        body: bytes | None = None,
    ) -> None:
        """Answer the request; what is sent is then in ``response``.

        Called once in the opening handshake, whatever the answer is.
        """
        acceptor, wire = self._acceptor_now, self.wire
        if acceptor is None or wire is None:
            raise InvalidState("no opening handshake is under way")
        known, content = self.response, body or b""
        if (
            known is None
            or known.headers is not headers
            or (known.status_code, known.body) != (status, content)
        ):
            phrase = opening.phrase_of(status)
            known = Response(int(status), phrase, Headers(headers), content)
        self.response = known
        wire.write(acceptor.serialize(known))

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection."""
        if self._granted is not None:
            deflate = [x for x in self._granted[1] if isinstance(x, Deflate)]
            others = [x for x in self._granted[1] if not isinstance(x, Deflate)]
            opened = dataclasses.replace(
                opened,
                deflate=deflate[0] if deflate else None,
                extensions=tuple(others),
            )
        # What an override of write_http_response() has sent is what counts.
        super().opened(dataclasses.replace(opened, response=self.response))

    async def handshake(
        self,
        origins: Sequence[str | None] | None = None,
        available_extensions: Sequence[ServerExtensionFactory] | None = None,
        available_subprotocols: Sequence[str] | None = None,
        extra_headers: ExtraHeaders | None = None,
        *,
        subprotocols: Sequence[str] | None = None,
    ) -> str:
        """Do the opening handshake; return the path that was asked for.

        Called by the server, once; a subclass may do more here, before or after.
        ``subprotocols`` is what 2.6 calls ``available_subprotocols``. Raises
        InvalidHandshake when the client was refused, and answered so.
        """
        self.origins = origins
        self.available_extensions = available_extensions
        self.available_subprotocols = available_subprotocols or subprotocols
        self._settings = self._ask_for(self._settings)
        self.extra_headers = _check_extra_headers(extra_headers)
        self._outcome = await super()._open()
        if self._outcome is None:
            exc = None if self._refused is None else self._refused.exc
            raise InvalidHandshake("the client was refused") from exc
        return self.path

    async def _open(self) -> Opened | None:
        """Return what the opening handshake agreed on, None if it was refused."""
        try:
            return await self._open_by_handshake()
        finally:
            self._acceptor_now = None

    async def _open_by_handshake(self) -> Opened | None:
        if type(self).handshake is WebSocketServerProtocol.handshake:
            return await super()._open()
        given = {
            "origins": self.origins,
            "available_extensions": self.available_extensions,
            "available_subprotocols": self.available_subprotocols,
            "extra_headers": self.extra_headers,
        }
        try:
            await self.handshake(**opening.accepted_arguments(self.handshake, given))
        except Exception as exc:
            await self._handshake_failed(exc)
            return None
        return self._outcome

    async def _handshake_failed(self, exc: Exception) -> None:
        """An overridden ``handshake()`` has raised ``exc``: answer, if nobody did."""
        told = self._refused is not None and isinstance(exc, InvalidHandshake)
        if told:
            return
        ours = not isinstance(exc, InvalidHandshake)
        refused = Refused(None, exc, ours)
        if self._outcome is None and self._refused is None:
            acceptor = self._acceptor(
                self._settings,
                self,
                self._why_unavailable,
                date=server_connection._date,
            )
            assert self.wire is not None
            refused = await run(acceptor.refusing(exc), Stream(self.wire))
        self._log_refusal(refused)
        await self._linger(refused)

    def _serve(self) -> Coroutine[Any, Any, None]:
        return self.handler()

    def handler(self) -> Coroutine[Any, Any, None]:
        """Do all that is to be done for the client: open, run the handler, close.

        The one task of a connection runs this; a subclass may do more, before or
        after.
        """
        return super()._serve()

    def _name_handler(self) -> str:
        handler = self.ws_handler
        return getattr(handler, "__qualname__", type(handler).__name__)

    def _log_refusal(self, refused: Refused) -> None:
        self._refused = refused
        super()._log_refusal(refused)


def _origins(origins: Sequence[str | None] | None) -> Origins | None:
    """Return ``origins`` as they are written today: 2.6 has "" for a missing one."""
    if origins is None or isinstance(origins, str):
        return origins
    return tuple(origin or None for origin in origins)


def _check_extra_headers(value: Any) -> ExtraHeaders | None:
    """Raise TypeError or ValueError for what can never be headers."""
    return value if callable(value) else headers_from(value)


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
        server_header: str | None = PRODUCT,
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
            "ping_interval": ping_interval,
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
        handler = adapt_handler(ws_handler)
        self.ws_server: WebSocketServer = engine.serve(  # type: ignore[assignment]
            _handle,
            host,
            port,
            **shared,
            compression=compression,
            origins=_origins(origins),
            extensions=extensions,
            create_connection=_maker(call.factory, handler, keywords),
            make_server=WebSocketServer._made,
            **kwargs,
        )

    async def _start(self) -> WebSocketServer:
        self._running.check()
        return await self.ws_server

    def __await__(self) -> Generator[Any, None, WebSocketServer]:
        """Start listening; return the server."""
        return self._start().__await__()

    __iter__ = __await__  # for `yield from serve(...)`

    async def __aenter__(self) -> WebSocketServer:
        """Start listening; return the server. Leaving the block closes it."""
        return await self._start()

    async def __aexit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        await self.ws_server.__aexit__(exc_type, exc, traceback)


def unix_serve(
    ws_handler: WsHandler, path: str | os.PathLike[str] | None = None, **kwargs: Any
) -> serve:
    """Return a server as :class:`serve` does, on the Unix socket at ``path``."""
    if path is not None:
        kwargs["path"] = os.fspath(path)
    return serve(ws_handler, unix=True, **kwargs)


spell_out(WebSocketServerProtocol.__init__, Behaviour)
spell_out(unix_serve, serve, "host", "port")


def _maker(
    factory: Callable[..., Any], ws_handler: WsHandler, keywords: dict[str, Any]
) -> Callable[..., server_connection.ServerConnection]:
    """Return what makes a connection of the server for each client."""
    by_name = _takes_names(factory, (*keywords, "extensions"))

    def make(
        settings: ServerSettings, server: WebSocketServer, **_: Any
    ) -> server_connection.ServerConnection:
        # What compression= stands for is among them by now.
        options = {**keywords, "extensions": list(settings.extensions)}
        try:
            if by_name:
                made = factory(ws_handler=ws_handler, ws_server=server, **options)
            else:
                made = factory(ws_handler, server, **options)
            if not isinstance(made, server_connection.ServerConnection):
                kind = type(made).__name__
                raise TypeError(
                    f"create_protocol returned {kind}; WebSocketServerProtocol expected"
                )
        except Exception as exc:
            return _failing(settings, server, exc)
        return made

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
