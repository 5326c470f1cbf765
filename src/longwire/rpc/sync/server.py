"""Server for threads: the peers of a WebSocket server, and what they may call."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...hints import explained
from ...opening.chaining import chain
from ...options import check_timeout
from ..callbacks import cannot_await
from ..calling import DEFAULT, as_params
from ..envelope import Call
from ..errors import Errors, NotAuthorised
from ..hosting import Host, Origins, as_own_serve, not_allowed
from ..limits import RpcLimits
from ..routes import Routes as AnyRoutes
from ..signals import Signals
from .peer import Peer
from .routes import Settings

if TYPE_CHECKING:
    from longwire.sync import Server as WebSocketServer

__all__ = ["Server"]


def _spread(connections: list[Any], message: bytes, text: bool) -> None:
    """Send ``message`` to many, without waiting."""
    from longwire.sync import broadcast

    broadcast(connections, message, text=text)


class Server(Host[Peer]):
    """The handler of a WebSocket server for threads whose clients call ``routes``.

    ::

        server = rpc.sync.Server({"add": add, "chat": Chat})

        with server.serve("localhost", 8765) as listening:
            listening.serve_forever()

    It is a handler itself: ``longwire.sync.serve(server, ...)`` works as well, with
    ``select_subprotocol=server.select_subprotocol``. A subclass may have its routes in
    ``ROUTES``; those of ``routes`` are added.

    The keywords are those of :class:`longwire.rpc.Server`, with functions instead of
    coroutines. ``threads`` is the size of the pool that all calls run in, half of it
    for one client at most; a stream has a thread of its own. A call that waits for one
    of its own lets others have its thread.

    ``peers`` are the clients that are connected.
    """

    settings: Settings
    _settings_class = Settings
    _spread = staticmethod(_spread)

    @explained("rpc.sync.Server({'add': add}, name=value, ...)")
    def __init__(
        self,
        routes: AnyRoutes | Mapping[str, Any] | None = None,
        *,
        wire: str = "jsonrpc",
        limits: RpcLimits | None = None,
        errors: Errors = (),
        show_errors: bool = False,
        tracebacks: bool = False,
        origins: Origins = "same",
        authorize: Callable[[Any, Any], bool] | None = None,
        authorize_call: Callable[[Call], bool] | None = None,
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
        """Return a server that listens, as :func:`longwire.sync.serve` does.

        Takes what that takes, after the handler. Subprotocols are agreed on by us;
        ``process_request`` is asked before ``authorize``. ``origins`` is that of this
        server and ``max_size`` 256 KiB, unless they are given.
        """
        from longwire.sync import serve

        first = self._complete(args, kwargs)

        kwargs["process_request"] = chain(first, self._admit)
        with as_own_serve():
            return serve(self, *args, **kwargs)

    def _admit(self, connection: Any, request: Any) -> Any:
        """Let a connection in, or return the answer that refuses it."""
        refusal = self._refusal(connection, request)
        if refusal is None:
            with self.settings.lock:
                self._let_in.add(connection)
            return None
        return connection.respond(403, refusal)

    def _refusal(self, connection: Any, request: Any) -> str | None:
        """Return why a connection is not let in, for its client to read; or None."""
        if self._authorize is None:
            return None
        try:
            allowed = self._authorize(connection, request)
        except NotAuthorised as exc:
            return not_allowed(exc)
        if inspect.isawaitable(allowed):
            raise cannot_await(allowed, "authorize")
        return None if allowed else not_allowed()

    def __call__(self, connection: Any) -> None:
        """Serve one connection to its end: this is the handler."""
        if connection not in self._let_in:
            refusal = self._check_origin(connection)
            if refusal is None and self._refusal(connection, connection.request):
                refusal = "not authorised"
            if refusal is not None:
                connection.close(1008, refusal)
                return
        peer = self.make_peer(connection)
        self._add(peer)
        try:
            peer.run()
        finally:
            self._remove(peer)
        connection.close()

    def make_peer(self, connection: Any) -> Peer:
        """Return the peer of a connection; a subclass may make another."""
        return Peer(connection, settings=self.settings)

    def _announce_limits(self, peer: Peer) -> None:
        with peer.guard:
            super()._announce_limits(peer)

    # --- all clients -------------------------------------------------------------

    def broadcast(
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
        if timeout is DEFAULT:
            timeout = self.settings.limits.timeout
        ends_at = None if timeout is None else time.monotonic() + timeout
        called = self._chosen(peers)
        begun = [(peer, _outcome(peer.begin_call, method, params)) for peer in called]
        results: dict[Peer, Any] = {}
        try:
            for peer, call in begun:
                results[peer] = call
                if not isinstance(call, Exception):
                    results[peer] = _outcome(
                        peer.end_call, call, method, timeout, ends_at, returns
                    )
        finally:
            for peer, call in begun[len(results) :]:
                if not isinstance(call, Exception):
                    peer.give_up(call)
        self._raise_unexpected(results.values())
        return results


def _outcome(function: Callable[..., Any], *args: Any) -> Any:
    """Return what ``function`` returns, or the exception that it raises."""
    try:
        return function(*args)
    except Exception as exc:
        return exc
