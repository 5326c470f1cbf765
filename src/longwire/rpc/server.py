"""Server: the peers of a WebSocket server, and what they may call."""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .calling import DEFAULT, as_params
from .codecs import Codec
from .envelope import Call
from .errors import Errors, RpcError
from .limits import RpcLimits
from .peer import Peer
from .routes import Routes
from .settings import SUBPROTOCOLS, Settings
from .signals import Signals

if TYPE_CHECKING:
    from .. import Server as WebSocketServer

__all__ = ["Server"]

logger = logging.getLogger("longwire.rpc")

Authorize = Callable[[Any, Any], Awaitable[bool] | bool]


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
    * ``authorize(connection, request)``: whether a connection is let in; if not, it is
      refused with 403 in the opening handshake where ``serve`` is ours, else with 1008.
    * ``authorize_call(call)``: whether a call is allowed; may raise NotAuthorised to
      say more. Both may be coroutine functions, and None refuses, too.
    * ``threads``: the size of the pool of routes with ``threads=True``.
    * ``describe``: whether ``rpc.describe`` may be called, which lists the routes.
    * ``enc_hook``, ``dec_hook``: for types that ``msgspec`` does not know, as it has
      them.
    * ``signals``: a :class:`Signals` to hang metrics on, one of its own if None.

    ``peers`` are the clients that are connected.
    """

    ROUTES: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        routes: Routes | Mapping[str, Any] | None = None,
        *,
        wire: str = "jsonrpc",
        limits: RpcLimits | None = None,
        errors: Errors = (),
        show_errors: bool = False,
        tracebacks: bool = False,
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
            own = Routes(self.ROUTES)
            own.include(Routes.of(routes))
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
        self._authorize = authorize
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
        ``process_request`` is asked before ``authorize``.
        """
        from .. import serve

        first = kwargs.pop("process_request", None)
        kwargs.setdefault("select_subprotocol", self.select_subprotocol)

        async def process_request(connection: Any, request: Any) -> Any:
            if first is not None:
                response = first(connection, request)
                if inspect.isawaitable(response):
                    response = await response
                if response is not None:
                    return response
            if await self._allows(connection, request):
                return None
            return connection.respond(403, "Forbidden\n")

        if first is not None or self._authorize is not None:
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

    async def _allows(self, connection: Any, request: Any) -> bool:
        if self._authorize is None:
            return True
        allowed = self._authorize(connection, request)
        if inspect.isawaitable(allowed):
            allowed = await allowed
        if not allowed:
            return False
        self._let_in.add(connection)
        return True

    async def __call__(self, connection: Any) -> None:
        """Serve one connection to its end: this is the handler."""
        if connection not in self._let_in and not await self._allows(
            connection, connection.request
        ):
            await connection.close(1008, "not authorised")
            return
        peer = self.make_peer(connection)
        self.peers.add(peer)
        try:
            await peer.run()
        finally:
            self.peers.discard(peer)
        await connection.close()

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
        from .. import broadcast

        params = as_params(args, kwargs)
        frames: dict[Codec, bytes] = {}
        groups: dict[Codec, list[Any]] = {}
        for peer in list(self.peers if peers is None else peers):
            if not peer.is_open:
                continue
            if not peer.wire.extended:
                try:
                    peer.post_notification(method, params)
                except RpcError as exc:
                    logger.warning("a notification left %r out: %s", peer, exc)
                continue
            codec = peer.wire.codec
            if codec not in frames:
                frames[codec] = peer.wire.notification(method, params)
            groups.setdefault(codec, []).append(peer.connection)
        for codec, connections in groups.items():
            broadcast(connections, frames[codec], text=codec.is_text)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self.peers)} peers>"
