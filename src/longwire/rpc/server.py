"""Server: the peers of a WebSocket server, and what they may call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..hints import explained
from ..opening.chaining import chain_async
from ..options import check_timeout
from .calling import DEFAULT, as_params
from .coroutines import AsyncHost
from .envelope import Call
from .errors import Errors
from .hosting import MAX_SIZE, Authorize, Origins, as_own_serve
from .limits import RpcLimits
from .peer import Peer
from .routes import Routes
from .signals import Signals

if TYPE_CHECKING:
    from .. import Server as WebSocketServer

__all__ = ["MAX_SIZE", "Server"]


class Server(AsyncHost[Peer]):
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

    @explained("rpc.Server({'add': add}, name=value, ...)")
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
        self._begin_host(
            routes,
            origins,
            authorize,
            enc_hook=enc_hook,
            dec_hook=dec_hook,
            wire=wire,
            limits=limits,
            errors=errors,
            show_errors=show_errors,
            tracebacks=tracebacks,
            authorize_call=authorize_call,
            threads=threads,
            describe=describe,
            signals=signals,
        )

    # --- connections -------------------------------------------------------------

    def serve(self, *args: Any, **kwargs: Any) -> WebSocketServer:
        """Return a server that is not started yet, as :func:`longwire.serve` does.

        Takes what that takes, after the handler. Subprotocols are agreed on by us;
        ``process_request`` is asked before ``authorize``. ``origins`` is that of this
        server and ``max_size`` 256 KiB, unless they are given.
        """
        from .. import serve

        first = self._complete(args, kwargs)
        kwargs["process_request"] = chain_async(first, self._admit)

        with as_own_serve():
            return serve(self, *args, **kwargs)

    async def __call__(self, connection: Any) -> None:
        """Serve one connection to its end: this is the handler."""
        refusal = await self._why_not(connection)
        if refusal is not None:
            await connection.close(1008, refusal)
            return
        peer = self.make_peer(connection)
        self._add(peer)
        try:
            await peer.run()
        finally:
            self._remove(peer)
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
        check_timeout(timeout)
        params = as_params(args, kwargs)
        called = self._chosen(peers)
        results = await asyncio.gather(
            *(
                peer.call_with(method, params, timeout=timeout, returns=returns)
                for peer in called
            ),
            return_exceptions=True,
        )
        self._raise_unexpected(results)
        return dict(zip(called, results, strict=True))
