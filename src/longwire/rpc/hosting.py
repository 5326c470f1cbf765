"""Hosting: what a server of any front end decides; no I/O.

Which wire is spoken, who may connect, what is said to all clients at once.
"""

from __future__ import annotations

import contextlib
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from ..errors import InvalidHandshake
from ..escaping import one_line
from ..hints import give_own_hints
from ..opening.arguments import check_callback
from ..opening.origins import check_origins, check_pages
from .callbacks import INFO, WARNING, log
from .calling import as_params
from .codecs import Codec
from .envelope import JsonRpc
from .errors import NotAuthorised, RpcError
from .link import Link
from .mounted import spread
from .routes import Routes
from .settings import SUBPROTOCOLS, Settings
from .signals import Signals
from .texts import escaped, text_of

__all__ = [
    "MAX_SIZE",
    "Authorize",
    "Host",
    "Origins",
    "as_own_serve",
    "not_allowed",
]

P = TypeVar("P", bound=Link)

Authorize = Callable[[Any, Any], Any]
Origins = Sequence[str | re.Pattern[str] | None] | str | None

MAX_SIZE = 256 * 1024
"""Largest message that a server takes, in bytes, unless ``max_size`` says."""
_MAX_REASON = 200


class Host(Generic[P]):
    """The peers of a WebSocket server, and what they may call."""

    ROUTES: ClassVar[Routes | Mapping[str, Any]] = {}

    _settings_class: type[Settings] = Settings
    _how_to_serve = "server.serve('localhost', 8765)"
    _spread: Callable[[list[Any], bytes, bool], None] = staticmethod(spread)

    def _begin_host(
        self,
        routes: Routes | Mapping[str, Any] | None,
        origins: Origins,
        authorize: Authorize | None,
        *,
        enc_hook: Any,
        dec_hook: Any,
        **options: Any,
    ) -> None:
        may_await = self._settings_class.may_await
        check_callback("authorize", authorize, ("connection", "request"), may_await)
        origins = check_origins(origins)
        check_pages(origins)
        if self.ROUTES:
            make = self._settings_class.routes_class
            own = make(enc_hook=enc_hook, dec_hook=dec_hook)
            own.include(self.ROUTES)
            own.include(make.of(routes, enc_hook=enc_hook, dec_hook=dec_hook))
            routes = own
        self.settings = self._settings_class(
            routes, enc_hook=enc_hook, dec_hook=dec_hook, **options
        )
        self.peers: set[P] = set()
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

    def _complete(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Check what ``serve`` was given, and add what it needs of ours.

        Returns its ``process_request``, which is asked before ``authorize``. Raises
        TypeError for what cannot be given: a handler, for one, for that is the server.
        """
        if "handler" in kwargs or (args and callable(args[0])):
            raise TypeError(
                "serve() takes no handler, for that is this server itself: write "
                f"{self._how_to_serve}"
            )
        first = kwargs.pop("process_request", None)
        may_await = self._settings_class.may_await
        check_callback("process_request", first, ("connection", "request"), may_await)
        kwargs.setdefault("select_subprotocol", self.select_subprotocol)
        kwargs.setdefault("origins", self.origins)
        if kwargs.get("limits") is None:
            kwargs.setdefault("max_size", MAX_SIZE)
        return first

    def select_subprotocol(self, connection: Any, offered: Sequence[str]) -> str | None:
        """Return the wire that is spoken; None for a client that asks for none of them.

        For ``serve(select_subprotocol=...)``.
        """
        for subprotocol in SUBPROTOCOLS:
            if subprotocol in offered:
                return subprotocol
        return None

    def _check_origin(self, connection: Any) -> str | None:
        """Return why the page that connects may not, where ``serve`` was not ours."""
        settings = _settings_of(connection)
        if settings is not None and settings.origins is not None:
            return None  # whoever serves has looked at it already
        from ..http.handshake import check_origin

        try:
            check_origin(connection.request, self.origins)
        except InvalidHandshake as exc:
            log(INFO, "connection refused: %s", one_line(exc))
            return "origin not allowed"
        return None

    def _announce_limits(self, peer: P) -> None:
        """Tell a client that asked for one of our wires how much it may send."""
        settings = _settings_of(peer.connection)
        limit = None if settings is None else settings.limits.message
        if isinstance(peer.wire, JsonRpc) and peer.connection.subprotocol and limit:
            peer.post(peer.wire.limits(limit))

    def _add(self, peer: P) -> None:
        """A connection is served from now on."""
        self._announce_limits(peer)
        with self.settings.lock:
            self.peers.add(peer)
        if hasattr(peer.connection, "on_drain"):
            peer.connection.on_drain = peer.drain

    def _remove(self, peer: P) -> None:
        """It is served no more."""
        with self.settings.lock:
            self.peers.discard(peer)
        if hasattr(peer.connection, "on_drain"):
            peer.connection.on_drain = None

    # --- all clients -------------------------------------------------------------

    def notify(
        self,
        method: str,
        /,
        *args: Any,
        peers: Iterable[P] | None = None,
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
                    log(WARNING, text, peer, one_line(exc))
                else:
                    self._spread([peer.connection], frame, codec.is_text)
                continue
            if codec not in frames:
                frames[codec] = peer.notification(method, params)
            groups.setdefault(codec, []).append(peer.connection)
        for codec, connections in groups.items():
            self._spread(connections, frames[codec], codec.is_text)

    def emit(self, event: Any, *, peers: Iterable[P] | None = None) -> None:
        """Send an event to all clients that speak the wire ``wsrpc``, or to ``peers``.

        Does not wait for any of them, as ``notify``. See :meth:`Peer.emit`; clients on
        other wires, which have no events, are left out.
        """
        connections = [peer for peer in self._open(peers) if peer.wire.name == "wsrpc"]
        if connections:
            frame = connections[0].wire.event(event)
            self._spread([peer.connection for peer in connections], frame, True)

    def _open(self, peers: Iterable[P] | None) -> list[P]:
        return [peer for peer in self._chosen(peers) if peer.is_open]

    def _chosen(self, peers: Iterable[P] | None) -> list[P]:
        """Return ``peers`` as a list; all that are connected if None."""
        if peers is not None:
            return list(peers)
        with self.settings.lock:
            return list(self.peers)

    def _raise_unexpected(self, results: Iterable[Any]) -> None:
        """Raise the first of ``results`` that no peer's answer can be the cause of."""
        expected: tuple[type[BaseException], ...]
        expected = (RpcError, *self.settings.errors.classes)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, expected):
                raise result

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self.peers)} peers>"


_ADD = "write @server.routes.route, or server.routes.add(name, function)"
_NEEDS_NO_MORE = (
    "write 'async with server.serve('localhost', 8765) as listening', in threads "
    "without async; listening is what runs and ends"
)

# Names that others have for what these do.
give_own_hints(
    Host,
    {
        "route add register method rpc expose add_method register_function": _ADD,
        "run start listen run_forever serve_forever": _NEEDS_NO_MORE,
        "close stop shutdown drain wait_closed": _NEEDS_NO_MORE,
        "call request": "one client is called by peer.call(...), all of them by "
        "server.broadcast(method, ...)",
        "send publish": "write server.notify(method, ...)",
        "clients connections": "write server.peers",
    },
)


def not_allowed(exc: NotAuthorised | None = None) -> str:
    """Return what a client is told that ``authorize`` does not let in."""
    if exc is None:
        return "Forbidden\n"
    return f"Forbidden: {escaped(text_of(exc.message))[:_MAX_REASON]}\n"


def _settings_of(connection: Any) -> Any:
    """Return the settings that a server's connection was opened with, if it has any."""
    settings = getattr(connection, "protocol", None)
    is_ours = hasattr(settings, "origins") and hasattr(settings, "limits")
    return settings if is_ours else None


@contextlib.contextmanager
def as_own_serve() -> Iterator[None]:
    """Have errors of ``serve(handler, ...)`` say how that of a server is called."""
    try:
        yield
    except (TypeError, ValueError) as exc:
        text = str(exc)
        if "serve(handler, " not in text:
            raise
        error = type(exc)(text.replace("serve(handler, ", "server.serve("))
    else:
        return
    raise error from None
