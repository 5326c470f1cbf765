"""``WebSocketServerProtocol``: a client's connection, on servers of former editions.

``serve`` makes one for each client; so may another program's server, which hands it its
transport. The hooks of the opening handshake are methods: each is called where a
subclass overrides it, and what it does then has its effect.
"""

from __future__ import annotations

import asyncio
import http
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, cast

from ...asyncio import server as engine
from ...asyncio.driver import Stream, run
from ...errors import InvalidHandshake, InvalidState
from ...http.extensions import ServerExtensionFactory, grant
from ...http.handshake import check_origin, offered_subprotocols
from ...http.heads import Request, Response
from ...opening.origins import Origins
from ...opening.server_plan import ServerSettings, server_settings
from ..datastructures import Headers, HeadersLike, OldHeaders
from ..http11 import SERVER as SERVER_HEADER
from ..loggers import SERVER
from ..overriding import Known
from ..typing import LoggerLike
from . import opening
from .adapting import adapt_handler, spell_out
from .behaviour import Behaviour
from .inner import InnerServerConnection
from .opening import HTTPResponse
from .protocol import WebSocketCommonProtocol
from .steps import HOOKS

if TYPE_CHECKING:
    from .server import WebSocketServer

__all__ = [
    "ExtraHeaders",
    "Prepared",
    "WebSocketServerProtocol",
    "WsHandler",
    "origins_today",
]

ExtraHeaders = HeadersLike | Callable[[str, Headers], HeadersLike]
WsHandler = Callable[..., Awaitable[Any]]

_OUR_SERVER = "longwire.websockets.legacy.server"
_NEGOTIATING = frozenset({"process_subprotocol", "select_subprotocol"})


class Prepared:
    """What connections that are made with the same keywords share.

    Made once by ``serve``; a connection that is made with anything else has its own.
    """

    def __init__(self, handler: WsHandler, keywords: dict[str, Any]) -> None:
        self.given_handler = handler
        self.handler = adapt_handler(handler)
        self.keywords = keywords
        self.behaviour: Behaviour | None = None
        # The settings of the last connection, and what it asked for.
        self.asked: tuple[Any, ...] | None = None
        self.settings: ServerSettings | None = None

    def is_for(self, handler: WsHandler, keywords: dict[str, Any]) -> bool:
        """Return whether the arguments of a connection are those prepared."""
        mine = self.keywords
        return (
            (handler is self.given_handler or handler is self.handler)
            and keywords.keys() == mine.keys()
            and all(keywords[name] is mine[name] for name in mine)
        )

    @classmethod
    def of(cls, handler: WsHandler, keywords: dict[str, Any]) -> Prepared:
        """Return what is prepared for ``keywords``, their behaviour checked."""
        prepared = cls(handler, keywords)
        logger = keywords.get("logger") or logging.getLogger(SERVER)
        known = {**keywords, "logger": logger}
        prepared.behaviour = Behaviour.of(WebSocketServerProtocol, known)
        return prepared


class WebSocketServerProtocol(WebSocketCommonProtocol):
    """A client's connection, as the handlers of former editions get it.

    Subclass it and pass it as ``create_protocol`` to override ``process_request()``
    or ``select_subprotocol()``. The other keywords are those of
    :class:`WebSocketCommonProtocol`.
    """

    is_client = False
    side = "server"

    _hooks = (*HOOKS, "handler", *opening.SERVER_HOOKS)
    _connection: InnerServerConnection
    _acceptor_now: opening.Acceptor | None = None

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
        server_header: str | None = SERVER_HEADER,
        process_request: Callable[[str, Headers], Any] | None = None,
        select_subprotocol: Callable[[Sequence[str], Sequence[str]], Any] | None = None,
        open_timeout: float | None = 10,
        **kwargs: Any,
    ) -> None:
        given = {**kwargs, "open_timeout": open_timeout, "logger": logger}
        prepared: Prepared | None = getattr(ws_server, "_prepared", None)
        if prepared is None or not prepared.is_for(ws_handler, given):
            prepared = Prepared.of(ws_handler, given)
        assert prepared.behaviour is not None
        self._prepared = prepared
        self._behaviour = prepared.behaviour
        self.ws_handler = prepared.handler
        self.ws_server = ws_server
        self.open_timeout = open_timeout
        self.origins = origins
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self.extra_headers = extra_headers
        self.server_header = server_header
        self._process_request = process_request
        self._select_subprotocol = select_subprotocol
        home: Any = ws_server
        if not isinstance(home, engine.Server):
            from .server import WebSocketServer

            home = WebSocketServer(self._behaviour.logger)
        self._connection = inner = InnerServerConnection(self._settings_now(), home)
        inner._outer = self

    def _settings_now(self) -> ServerSettings:
        """Return what longwire's server is to do for this connection.

        As the attributes say, which a subclass may have set. What it does itself is
        not done twice, and what it has nothing of is not asked for.
        """
        prepared, own = self._prepared, self._own
        asked = (
            type(self),
            _copied(self.origins),
            _copied(self.available_extensions),
            _copied(self.available_subprotocols),
            self.server_header,
            self._process_request,
            self._select_subprotocol,
            self.extra_headers is None,
        )
        if asked == prepared.asked:
            assert prepared.settings is not None
            return prepared.settings
        behaviour = self._behaviour
        hooks = "process_request" in own or self._process_request is not None
        choosing = (
            bool(own & (_NEGOTIATING | {"process_origin", "process_extensions"}))
            or self._select_subprotocol is not None
            or bool(self.available_subprotocols)
        )
        plain = type(self) is WebSocketServerProtocol and self.extra_headers is None
        settings = server_settings(
            limits=behaviour.limits,
            timeouts=behaviour.timeouts,
            keepalive=behaviour.keepalive,
            logger=behaviour.logger,
            origins=None if "process_origin" in own else origins_today(self.origins),
            extensions=None
            if "process_extensions" in own
            else self.available_extensions,
            subprotocols=self.available_subprotocols,
            select_subprotocol=opening.negotiate if choosing else None,
            process_request=opening.process_request if hooks else None,
            process_response=None if plain and not choosing else opening.add_headers,
            server_header=self.server_header,
        )
        prepared.asked, prepared.settings = asked, settings
        return settings

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin on ``transport``: read the request, and go on from there."""
        inner = self._connection
        if not inner._accepted_at:
            inner._accepted_at = asyncio.get_running_loop().time()
        super().connection_made(transport)

    def _register(self, what: str) -> None:
        """Have a server of another program's, or an overridden method, know of us."""
        server = self.ws_server
        known = getattr(type(server), what, None)
        if getattr(known, "__module__", None) != _OUR_SERVER:
            getattr(server, what)(self)

    def _is_wanted(self) -> bool:
        """Return whether the server, which may be another program's, takes clients."""
        server = self.ws_server
        if isinstance(server, engine.Server):
            return True  # longwire's looks to that itself
        return bool(server.is_serving())

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
        check_origin(Request("/", headers), origins_today(origins))
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

    def handler(self) -> Coroutine[Any, Any, None]:
        """Do all that is to be done for the client: open, run the handler, close.

        The one task of a connection runs this; a subclass may do more, before or
        after.
        """
        return self._connection.serve()

    @Known
    def handler_task(self) -> asyncio.Task[None]:
        """The task that runs ``handler()``."""
        inner = self._connection
        task: asyncio.Task[None] | None = inner.server._runs.get(inner)
        if task is None:
            raise AttributeError("handler_task is there from connection_made() on")
        return task

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

        Called by the server, once; a subclass may do more here, before or after: the
        connection is open when this returns. ``subprotocols`` is what 2.6 calls
        ``available_subprotocols``. Raises InvalidHandshake when the client was
        refused, and answered so.
        """
        self.origins = origins
        self.available_extensions = available_extensions
        self.available_subprotocols = available_subprotocols or subprotocols
        self.extra_headers = extra_headers
        inner = self._connection
        opened = await inner.shake_hands()
        if opened is None:
            exc = None if inner._refused is None else inner._refused.exc
            raise InvalidHandshake("the client was refused") from exc
        inner.opened(opened)
        return self.path

    async def read_http_request(self) -> tuple[str, Headers]:
        """Return path and headers of the request, which then are attributes.

        Called once in the opening handshake. An override may return others, or raise
        AbortHandshake. Raises what is wrong with the request: an InvalidHandshake.
        """
        acceptor, inner = self._acceptor_now, self._connection
        if acceptor is None or inner.wire is None:
            raise InvalidState("no opening handshake is under way")
        inner.request = await run(acceptor.reading(), Stream(inner.wire))
        return inner.request.path, cast(Headers, inner.request.headers)

    def write_http_response(
        self,
        status: http.HTTPStatus | int,
        headers: Headers,
        body: bytes | None = None,
    ) -> None:
        """Answer the request; ``response_headers`` are then what is sent.

        Called once in the opening handshake, whatever the answer is.
        """
        acceptor, inner = self._acceptor_now, self._connection
        if acceptor is None or inner.wire is None:
            raise InvalidState("no opening handshake is under way")
        known, content = inner.response, body or b""
        if (
            known is None
            or known.headers is not headers
            or (known.status_code, known.body) != (status, content)
        ):
            phrase = opening.phrase_of(status)
            known = Response(int(status), phrase, OldHeaders(headers), content)
        inner.response = known
        inner.wire.write(acceptor.serialize(known))


spell_out(WebSocketServerProtocol.__init__, Behaviour)


def _copied(values: Any) -> Any:
    """Return what a list holds now: a program may change it."""
    return tuple(values) if isinstance(values, list) else values


def origins_today(origins: Sequence[str | None] | None) -> Origins | None:
    """Return ``origins`` as they are written today: 2.6 has "" for a missing one."""
    if origins is None or isinstance(origins, str):
        return origins
    return tuple(origin or None for origin in origins)
