"""Keeping: what a client tells calls that are made while it has no connection.

Which of them wait, for how long, and what the others raise; no I/O and no clock. The
clients of the front ends connect, and wait.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from ..escaping import one_line
from ..hints import give_own_hints, keyword_error
from ..messages import CloseReport
from ..opening.retry import process_exception
from .callbacks import INFO, log
from .errors import Disconnected, TooBusy
from .link import Link
from .routes import Routes
from .settings import WIRES, Settings
from .signals import Signals
from .texts import escaped, text_of

__all__ = ["PATIENCE", "Keeper", "connect_with"]

P = TypeVar("P", bound=Link)

PATIENCE = 2.0
"""Seconds that a call waits for a connection where connecting fails: a server that
restarts is back by then, one that is not there will not be."""
_MAX_REASON = 200

OPTIONS = (
    "limits",
    "errors",
    "show_errors",
    "tracebacks",
    "authorize_call",
    "threads",
    "describe",
    "enc_hook",
    "dec_hook",
    "signals",
)


class Keeper(Generic[P]):
    """What is known of a client's connection, and what waits for one."""

    _settings_class: type[Settings] = Settings

    def _begin_keeper(
        self,
        uri: str,
        routes: Any,
        wire: str,
        offline: str,
        max_queued: int,
        options: dict[str, Any],
    ) -> None:
        """Check the keywords; take those that are not for ``connect`` out."""
        if offline not in ("queue", "keep", "reject"):
            raise ValueError(
                f'offline is {offline!r}; "queue", "keep" or "reject" is allowed'
            )
        if isinstance(max_queued, bool) or not isinstance(max_queued, int):
            kind = type(max_queued).__name__
            raise TypeError(f"max_queued must be an int, not {kind}")
        own = {name: options.pop(name) for name in OPTIONS if name in options}
        own.setdefault("describe", False)
        self.settings = self._settings_class(routes, wire=wire, **own)
        if not wire.startswith("wsrpc"):
            options.setdefault("subprotocols", [WIRES[wire]])
        self._process_exception: Callable[[Exception], Exception | None] = options.pop(
            "process_exception", process_exception
        )
        if not callable(self._process_exception):
            raise TypeError("process_exception must be a function")
        self.uri = uri
        self.offline = offline
        self.max_queued = max_queued
        self.peer: P | None = None
        # Those that wait for a connection, with the time since when they do.
        self._waiting: dict[Any, float] = {}
        self._queued = 0  # of those waiting, the calls
        self._final: Exception | None = None
        # Why the last attempt to connect failed; None while there is a connection.
        self._failure: Exception | None = None
        self._report: CloseReport | None = None

    @property
    def routes(self) -> Routes:
        """What the server may call here."""
        return self.settings.routes

    @property
    def signals(self) -> Signals:
        """``opened`` and ``closed`` for each connection, and the server's calls."""
        return self.settings.signals

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self.peer is not None and self.peer.is_open

    @property
    def is_closed(self) -> bool:
        """Whether it has ended for good: closed, or connecting has failed for ever."""
        return self._final is not None

    # --- the connection ----------------------------------------------------------

    def _refuse(self, waiter: Any, error: Exception) -> None:
        """Have what waits raise ``error``."""
        waiter.set_exception(error)

    def _failed_at(self, exc: Exception, now: float) -> Exception | None:
        """An attempt to connect has failed: tell the calls that have waited enough.

        Returns what ``process_exception`` makes of it.
        """
        self._failure = exc
        for waiter, since in list(self._waiting.items()):
            if now - since >= PATIENCE:
                self._give_up(waiter)
        return self._process_exception(exc)

    def _give_up(self, waiter: Any) -> None:
        """Let a call wait no longer, if connecting has failed; else until it does."""
        if self._failure is not None and not waiter.done():
            self._refuse(waiter, Disconnected(self._report, self._not_connected()))

    def _not_connected(self, method: str = "") -> str:
        """Return that there is no connection, and why."""
        text = f"not connected to {without_credentials(self.uri)}"
        if self._failure is not None:
            text = f"{text} ({_reason(self._failure)})"
        return f"{text}; {method} was not sent" if method else text

    def _came(self, peer: P) -> None:
        """There is a connection: those that wait have it."""
        self.peer = peer
        self._failure = None
        waiting, self._waiting = self._waiting, {}
        # In the order they were made: each goes on when it has its turn.
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(peer)

    def _has_failed(self, exc: Exception) -> None:
        """Connecting has failed for ever."""
        log(INFO, "the client gives up: %s", one_line(exc))
        self._final = exc

    def _refuse_waiting(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if not waiter.done():
                self._refuse(waiter, self._why())

    def _why(self, method: str = "") -> Exception:
        """Return why there is no connection, anew: it gets a traceback of its own."""
        if self._final is None:
            return Disconnected(self._report, self._not_connected(method))
        if isinstance(self._final, Disconnected):
            return Disconnected(self._final.report, self._final.message)
        return self._final

    def _open_peer(self) -> P | None:
        """Return the peer; None where there is no connection now."""
        peer = self.peer
        return peer if peer is not None and peer.is_open else None

    def _check_may_wait(self, started: bool, method: str, how: str) -> None:
        """Raise unless a call of ``method`` may wait for a connection, "" for others"""
        if self._final is not None:
            raise self._why()
        if not started:
            raise RuntimeError(f"the client was not started: {how}")
        if method and self.offline == "reject":
            raise self._why(method)
        if method and self._queued >= self.max_queued:
            raise TooBusy(f"{self.max_queued} calls wait for a connection already")

    def _told(self, exc: Disconnected, method: str) -> Disconnected:
        """Return what a call raises that has waited in vain."""
        if self._final is None:
            # The same for all that waited, but for their names.
            return Disconnected(exc.report, self._not_connected(method))
        return exc


# Names that others have for what a client does.
give_own_hints(
    Keeper,
    {
        "request invoke send rpc call_method call_async": "write "
        "client.call(method, ...), or client.proxy.method(...)",
        "add": "write client.call('add', ...), or client.proxy.add(...); routes of the "
        "client's own are client.routes",
        "recv receive subscribe": "write client.stream(method, ...) for many values; "
        "what the server calls is a route: Client(uri, routes)",
        "on on_notification register": "what the server calls is a route: "
        "Client(uri, {'name': function})",
        "connect open": "write 'async with Client(uri) as client', in threads without "
        "async",
        "disconnect stop": "write client.close(), or leave its block",
    },
)


def connect_with(connect: Any, uri: str, options: dict[str, Any]) -> Any:
    """Return ``connect(uri, **options)``; for a wrong keyword, suggest ours as well."""
    try:
        connecting = connect(uri, **options)
    except TypeError as exc:
        wrong: str | None = getattr(exc, "keyword", None)
        if wrong is None:
            raise
        known: Iterable[str] = exc.known  # type: ignore[attr-defined]
    else:
        connecting._unused = False  # used as soon as the client is
        return connecting
    own = ("routes", "wire", "offline", "max_queued", *OPTIONS)
    raise keyword_error("Client", wrong, {*known, *own})


def without_credentials(uri: str) -> str:
    """Return ``uri`` as it may stand in a log."""
    return re.sub(r"(?<=//)[^/?#@]*@", "", uri)


def _reason(exc: Exception) -> str:
    """Return in a few words why connecting failed."""
    text = text_of(exc)
    # An error of TLS, which names a library, has a number that is none of errno's; so
    # has one of name resolution, where it is negative.
    if isinstance(exc, OSError) and not hasattr(exc, "library"):
        # asyncio's text has the number where there were several addresses.
        found = re.search(r"\[Errno (\d+)\]", text)
        number = exc.errno or (int(found[1]) if found else 0)
        if number > 0:
            return os.strerror(number)
    text = escaped(text)[:_MAX_REASON]
    return text or type(exc).__name__
