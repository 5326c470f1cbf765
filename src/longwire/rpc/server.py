"""Server: the peers of a WebSocket server, and what they may call."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import InvalidHandshake
from ..escaping import one_line
from .callbacks import log
from .calling import DEFAULT, as_params
from .codecs import Codec
from .envelope import Call, JsonRpc
from .errors import Errors, NotAuthorised, RpcError
from .limits import RpcLimits
from .mounted import spread
from .peer import Peer
from .routes import Routes
from .settings import SUBPROTOCOLS, Settings
from .signals import Signals
from .texts import escaped, text_of

if TYPE_CHECKING:
    from .. import Server as WebSocketServer

__all__ = ["Server"]

logger = logging.getLogger("longwire.rpc")

Authorize = Callable[[Any, Any], Awaitable[bool] | bool]
Origins = Sequence[str | re.Pattern[str] | None] | str | None

MAX_SIZE = 256 * 1024
"""Largest message that a server takes, in bytes, unless ``max_size`` says."""
_MAX_REASON = 200


class Server:
    """The handler of a WebSocket server whose clients call ``routes``.

    ::

        server = rpc.Server({"add": add, "chat": Chat})

        async with server.serve("localhost", 8765) as listening:
            await listening.serve_forever()

    It is a handler itself: ``longwire.serve(server, ...)`` works as well, with
    ``select_subprotocol=server.select_subprotocol``. A subclass may have its routes in
    ``ROUTES``; those of ``routes`` are added.

    * ``wire``: what is spoken with a client that asks for no subprotocol:
      ``"jsonrpc"``, ``"msgpack"``, ``"wsrpc"`` or ``"wsrpc.1"``.
    * ``limits``: :class:`RpcLimits`, the bounds of everything.
    * ``errors``: exception classes that the client sees by type and message, and that
      are raised here when the client answers with one of that name. Subclasses of
      :class:`ApplicationError` are always shown. All others are InternalError with an
      id, and the rest in our log; ``show_errors=True`` shows type and message of all,
      ``tracebacks=True`` the tracebacks, too: for development.
    * ``origins``: the web pages that may connect, as :func:`longwire.serve` has it. By
      default those of the same host and port: ``"same"``. Programs that send no Origin
      may connect, too. A list allows others, None all pages of the web.
    * ``authorize(connection, request)``: whether a connection is let in; if not, it is
      refused with 403 in the opening handshake where ``serve`` is ours, else with 1008.
    * ``authorize_call(call)``: whether a call is allowed. Both may raise NotAuthorised
      to say more, and may be coroutine functions; None refuses, too.
    * ``threads``: the size of the pool of routes with ``threads=True``.
    * ``describe``: whether ``rpc.describe`` may be called, which lists the routes.
    * ``enc_hook``, ``dec_hook``: for types that ``msgspec`` does not know, as it has
      them.
    * ``signals``: a :class:`Signals` to hang metrics on, one of its own if None.

    ``peers`` are the clients that are connected.
    """

    ROUTES: ClassVar[Routes | Mapping[str, Any]] = {}

    def __init__(
        self,
        routes: Routes | Mapping[str, Any] | None = None,
        *,
        wire: str = "jsonrpc",
        limits: RpcLimits | None = None,
        errors: Errors = (),
        show_errors: bool = False,
        tracebacks: bool = False,
        origins: Origins = "same",
        authorize: Authorize | None = None,
        authorize_call: Callable[[Call], Awaitable[bool] | bool] | None = None,
        threads: int = 8,
        describe: bool = True,
        enc_hook: Callable[[Any], Any] | None = None,
        dec_hook: Callable[[Any, Any], Any] | None = None,
        signals: Signals | None = None,
    ) -> None:
        if authorize is not None and not callable(authorize):
            raise TypeError("authorize must be a function or None")
        if self.ROUTES:
            own = Routes(enc_hook=enc_hook, dec_hook=dec_hook)
            own.include(self.ROUTES)
            own.include(Routes.of(routes, enc_hook=enc_hook, dec_hook=dec_hook))
            routes = own
        self.settings = Settings(
            routes,
            wire=wire,
            limits=limits,
            errors=errors,
            show_errors=show_errors,
            tracebacks=tracebacks,
            authorize_call=authorize_call,
            threads=threads,
            describe=describe,
            enc_hook=enc_hook,
            dec_hook=dec_hook,
            signals=signals,
        )
        self.peers: set[Peer] = set()
        self.origins = origins
        self._authorize = authorize
        # Connections whose opening handshake we have seen.
        self._let_in: weakref.WeakSet[Any] = weakref.WeakSet()

    @property
    def routes(self) -> Routes:
        """What clients may call; routes may be added and removed at any time."""
        return self.settings.routes

    @property
    def signals(self) -> Signals:
        """Where to hang metrics and logs on."""
        return self.settings.signals

    # --- connections -------------------------------------------------------------

    def serve(self, *args: Any, **kwargs: Any) -> WebSocketServer:
        """Return a server that is not started yet, as :func:`longwire.serve` does.

        Takes what that takes, after the handler. Subprotocols are agreed on by us;
        ``process_request`` is asked before ``authorize``. ``origins`` is that of this
        server and ``max_size`` 256 KiB, unless they are given.
        """
        from .. import serve

        first = kwargs.pop("process_request", None)
        kwargs.setdefault("select_subprotocol", self.select_subprotocol)
        kwargs.setdefault("origins", self.origins)
        if kwargs.get("limits") is None:
            kwargs.setdefault("max_size", MAX_SIZE)

        async def process_request(connection: Any, request: Any) -> Any:
            if first is not None:
                response = first(connection, request)
                if inspect.isawaitable(response):
                    response = await response
                if response is not None:
                    return response
            refusal = await self._refusal(connection, request)
            if refusal is None:
                self._let_in.add(connection)
                return None
            return connection.respond(403, refusal)

        kwargs["process_request"] = process_request
        return serve(self, *args, **kwargs)

    def select_subprotocol(self, connection: Any, offered: Sequence[str]) -> str | None:
        """Return the wire that is spoken; None for a client that asks for none of them.

        For ``serve(select_subprotocol=...)``.
        """
        for subprotocol in SUBPROTOCOLS:
            if subprotocol in offered:
                return subprotocol
        return None

    async def _refusal(self, connection: Any, request: Any) -> str | None:
        """Return why a connection is not let in, for its client to read; or None."""
        if self._authorize is None:
            return None
        try:
            allowed = self._authorize(connection, request)
            if inspect.isawaitable(allowed):
                allowed = await allowed
        except NotAuthorised as exc:
            return f"Forbidden: {escaped(text_of(exc.message))[:_MAX_REASON]}\n"
        return None if allowed else "Forbidden\n"

    def _check_origin(self, connection: Any) -> str | None:
        """Return why the page that connects may not, where ``serve`` was not ours."""
        settings = _settings_of(connection)
        if settings is not None and settings.origins is not None:
            return None  # whoever serves has looked at it already
        from ..http.handshake import check_origin

        try:
            check_origin(connection.request, self.origins)
        except InvalidHandshake as exc:
            logger.info("connection refused: %s", one_line(exc))
            return "origin not allowed"
        return None

    async def __call__(self, connection: Any) -> None:
        """Serve one connection to its end: this is the handler."""
        if connection not in self._let_in:
            refusal = self._check_origin(connection)
            if refusal is None and await self._refusal(connection, connection.request):
                refusal = "not authorised"
            if refusal is not None:
                await connection.close(1008, refusal)
                return
        peer = self.make_peer(connection)
        self.peers.add(peer)
        self._announce_limits(peer)
        if hasattr(connection, "on_drain"):
            connection.on_drain = peer.drain
        try:
            await peer.run()
        finally:
            self.peers.discard(peer)
            if hasattr(connection, "on_drain"):
                connection.on_drain = None
        await connection.close()

    def _announce_limits(self, peer: Peer) -> None:
        """Tell a client that asked for one of our wires how much it may send."""
        settings = _settings_of(peer.connection)
        limit = None if settings is None else settings.limits.message
        if isinstance(peer.wire, JsonRpc) and peer.connection.subprotocol and limit:
            peer.post(peer.wire.limits(limit))

    def make_peer(self, connection: Any) -> Peer:
        """Return the peer of a connection; a subclass may make another."""
        return Peer(connection, settings=self.settings)

    # --- all clients -------------------------------------------------------------

    async def broadcast(
        self,
        method: str,
        /,
        *args: Any,
        timeout: float | None = DEFAULT,
        returns: Any = Any,
        peers: Iterable[Peer] | None = None,
        **kwargs: Any,
    ) -> dict[Peer, Any]:
        """Call ``method`` of all clients at once; return what each one answered.

        A client that fails has its exception as its result, as Peer.call would have
        raised it. ``peers`` are those to call, all if None.
        """
        params = as_params(args, kwargs)
        called = list(self.peers if peers is None else peers)
        results = await asyncio.gather(
            *(
                peer.call_with(method, params, timeout=timeout, returns=returns)
                for peer in called
            ),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(
                result, (RpcError, *self.settings.errors.classes)
            ):
                raise result
        return dict(zip(called, results, strict=True))

    def notify(
        self,
        method: str,
        /,
        *args: Any,
        peers: Iterable[Peer] | None = None,
        **kwargs: Any,
    ) -> None:
        """Notify all clients, or ``peers``, without waiting for any of them.

        The message is encoded once for all. What a slow client does not take is kept
        for it up to ``Limits.unsent_bytes``, where its connection is given up.
        """
        params = as_params(args, kwargs)
        frames: dict[Codec, bytes] = {}
        groups: dict[Codec, list[Any]] = {}
        for peer in self._open(peers):
            codec = peer.wire.codec
            if not peer.wire.extended:
                # A call with an id of its own, which nobody else can be sent.
                try:
                    frame = peer.notification(method, params)
                except RpcError as exc:
                    text = "a notification left %r out: %s"
                    log(logging.WARNING, text, peer, one_line(exc))
                else:
                    spread([peer.connection], frame, codec.is_text)
                continue
            if codec not in frames:
                frames[codec] = peer.notification(method, params)
            groups.setdefault(codec, []).append(peer.connection)
        for codec, connections in groups.items():
            spread(connections, frames[codec], codec.is_text)

    def emit(self, event: Any, *, peers: Iterable[Peer] | None = None) -> None:
        """Send an event to all clients that speak the wire ``wsrpc``, or to ``peers``.

        Does not wait for any of them, as ``notify``. See :meth:`Peer.emit`; clients on
        other wires, which have no events, are left out.
        """
        connections = [peer for peer in self._open(peers) if peer.wire.name == "wsrpc"]
        if connections:
            frame = connections[0].wire.event(event)
            spread([peer.connection for peer in connections], frame, True)

    def _open(self, peers: Iterable[Peer] | None) -> list[Peer]:
        chosen = self.peers if peers is None else peers
        return [peer for peer in list(chosen) if peer.is_open]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self.peers)} peers>"


def _settings_of(connection: Any) -> Any:
    """Return the settings that a server's connection was opened with, if it has any."""
    for name in ("settings", "protocol"):
        settings = getattr(connection, name, None)
        if hasattr(settings, "origins") and hasattr(settings, "limits"):
            return settings
    return None
