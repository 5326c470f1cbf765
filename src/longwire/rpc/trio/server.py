"""Server on trio: the peers of a WebSocket server, and what they may call."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import trio

from ...broadcasting import cast
from ...hints import explained
from ...opening.chaining import chain_async
from ...options import check_timeout
from ..calling import DEFAULT, as_params
from ..coroutines import AsyncHost
from ..envelope import Call
from ..errors import Errors
from ..hosting import Authorize, Origins, as_own_serve
from ..limits import RpcLimits
from ..routes import Routes
from ..signals import Signals
from .peer import Peer
from .settings import Settings

if TYPE_CHECKING:
    from longwire.trio import Server as WebSocketServer

__all__ = ["Server"]


def _spread(connections: list[Any], message: bytes, text: bool) -> None:
    """Send ``message`` to many, without waiting."""
    from longwire.trio import Connection

    cast(
        connections,
        Connection,
        message,
        text,
        raise_exceptions=False,
        slow=None,
        key=None,
    )


class Server(AsyncHost[Peer]):
    """The handler of a WebSocket server on trio whose clients call ``routes``.

    ::

        server = rpc.trio.Server({"add": add, "chat": Chat})

        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, 8765)

    It is a handler itself: ``longwire.trio.serve(server, ...)`` works as well, with
    ``select_subprotocol=server.select_subprotocol``. A subclass may have its routes in
    ``ROUTES``; those of ``routes`` are added.

    The keywords are those of :class:`longwire.rpc.Server`. Receivers of ``signals`` are
    plain functions. A call runs in a task of its connection's nursery, and is cancelled
    there.

    ``peers`` are the clients that are connected.
    """

    settings: Settings
    _settings_class = Settings
    _how_to_serve = "server.serve(8765, host='localhost')"
    _spread = staticmethod(_spread)

    @explained("rpc.trio.Server({'add': add}, name=value, ...)")
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

    async def serve(
        self,
        *args: Any,
        task_status: trio.TaskStatus[WebSocketServer] = trio.TASK_STATUS_IGNORED,
        **kwargs: Any,
    ) -> None:
        """Serve until it is cancelled, as :func:`longwire.trio.serve` does.

        Takes what that takes, after the handler. Subprotocols are agreed on by us;
        ``process_request`` is asked before ``authorize``. ``origins`` is that of this
        server and ``max_size`` 256 KiB, unless they are given.
        """
        from longwire.trio import serve

        first = self._complete(args, kwargs)
        kwargs["process_request"] = chain_async(first, self._admit)

        with as_own_serve():
            await serve(self, *args, task_status=task_status, **kwargs)

    async def __call__(self, connection: Any) -> None:
        """Serve one connection to its end: this is the handler."""
        refusal = await self._why_not(connection)
        if refusal is not None:
            await connection.aclose(1008, refusal)
            return
        peer = self.make_peer(connection)
        self._add(peer)
        try:
            await peer.run()
        finally:
            self._remove(peer)
        await connection.aclose()

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
        results: dict[Peer, Any] = {}

        async def call(peer: Peer) -> None:
            ask = functools.partial(peer.call_with, timeout=timeout, returns=returns)
            try:
                results[peer] = await ask(method, params)
            except Exception as exc:
                results[peer] = exc

        async with trio.open_nursery() as nursery:
            for peer in called:
                nursery.start_soon(call, peer)
        self._raise_unexpected(results.values())
        return {peer: results[peer] for peer in called}
