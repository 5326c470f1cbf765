"""Hosting: what a server and its connections decide, for front ends without asyncio.

Listens to nothing and waits for nothing: who is let in, what is logged, what happens
when memory is short or the server ends. ``opening/server_plan.py``, ``admission.py``,
``budget.py`` and ``session/leaving.py`` decide most of it.
"""

from __future__ import annotations

import contextlib
import email.utils
import os
import random
import socket
import ssl as ssl_module
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from .admission import Admission
from .budget import LATEST, Budget
from .connection import client_named
from .errors import LimitExceeded
from .escaping import excerpt, one_line
from .http import handshake
from .http.headers import HeadersLike
from .http.heads import Request, Response
from .link import Link
from .opening.server_plan import CLOSING, CROWDED, Acceptor, Refused, ServerSettings
from .options import LoggerLike
from .session.leaving import Outcome
from .session.session import check_close

__all__ = [
    "ACCEPT_PAUSE",
    "LINGER",
    "LINGER_READS",
    "Host",
    "Hosted",
    "check_drain",
    "listen_unix",
    "name_of",
]

LINGER = 1.0
"""Seconds that a refused peer gets to read its answer and close."""
LINGER_READS = 64
"""Reads of what a refused peer still sends, for the same purpose."""
ACCEPT_PAUSE = 1.0
"""Seconds without accepting after the process has run out of what that takes."""
_CROWDED_TIME = 2.0
"""Seconds in which a connection over a limit has to ask, to be told so."""

C = TypeVar("C", bound="Hosted")


class Hosted(Link):
    """A client's connection, as far as nothing has to be waited for."""

    _client = False
    _logger_name = "longwire.server"

    request: Request = cast(Request, None)
    """The opening handshake's request, which a handler always has."""
    username: str | None = None
    on_drain: Callable[[int, str], None] | None = None
    """Called with code and reason in place of closing, when the server is drained."""
    handler: Callable[..., Any]
    """The handler that a :class:`Router` chose, and its keywords."""
    handler_kwargs: Mapping[str, Any]

    server: Any
    _crowded = False
    _interrupted = ""  # why the opening handshake was ended
    _acceptor: Callable[..., Acceptor] = Acceptor

    def _join(self, server: Host[Any]) -> None:
        """Belong to ``server``, from now on."""
        self.server = server
        self._settings = server._settings
        self._accepted_at = self._now()
        peer = self.remote_address
        # "" where there is none, as on Unix sockets.
        self._address = str(peer[0]) if isinstance(peer, tuple) and peer else ""

    def respond(
        self,
        status: int,
        text: str | bytes,
        *,
        content_type: str | None = None,
        headers: HeadersLike = (),
    ) -> Response:
        """Return a response for ``process_request``: a refusal, or a page.

        ``text`` is the body, and plain text in UTF-8 unless ``content_type`` says what
        it is; ``headers`` are added, or replace those of the same name. Headers may be
        changed before the response is returned.
        """
        return handshake.respond(
            status, text, content_type=content_type, headers=headers
        )

    # --- opening -----------------------------------------------------------------

    def _make_acceptor(self) -> Acceptor:
        """Return the plan of the opening handshake."""
        return self._acceptor(
            self._settings,
            self,
            self._why_unavailable,
            date=_date,
            # Without TLS here, a proxy may do it for us.
            secure=True if self.server._tls else None,
        )

    def _ends_at(self) -> float | None:
        """Return when the opening handshake has to be over."""
        seconds = self._timeouts.open
        if self._crowded:
            # Few may be told at one time: who says nothing must not keep out the rest.
            seconds = _CROWDED_TIME if seconds is None else min(seconds, _CROWDED_TIME)
        return None if seconds is None else self._accepted_at + seconds

    def _why_unavailable(self) -> str | None:
        if self._crowded:
            return CROWDED
        return CLOSING if self.server.is_leaving else None

    def _interrupt(self) -> None:
        """Answer 503 if the opening handshake is still under way."""
        raise AssertionError("a front end does")

    def _cut_off(self) -> None:
        """End at once, for the server has waited long enough."""
        if self._session is None:
            self._interrupt()
        else:
            self._abort("the server was drained")

    # --- log ---------------------------------------------------------------------

    def _who(self) -> str:
        """Return the client's address and the path that it asked for."""
        return client_named(self.remote_address, self.request)

    def _log_refusal(self, refused: Refused) -> None:
        response, exc = refused.response, refused.exc
        if refused.quiet:
            return
        if refused.ours:
            self.logger.error("opening handshake failed", exc_info=exc)
        elif exc is not None:
            self.logger.info(
                "opening handshake failed: %s (%s)", one_line(exc), self._who()
            )
        elif response is not None:
            self.logger.info(
                "connection rejected (%d %s) (%s)"
                if response.status_code >= 400
                else "HTTP response sent (%d %s) (%s)",
                response.status_code,
                excerpt(response.reason_phrase),
                self._who(),
            )

    def _log_outcome(self, outcome: Outcome, exc: BaseException | None) -> None:
        if outcome is Outcome.FAILED:
            self.logger.error("connection handler failed", exc_info=exc)
        elif outcome is Outcome.ENDED:
            self.logger.debug("connection handler ended with the connection")

    def _name_handler(self) -> str:
        """Return what the handler of this connection is called, for the log."""
        handler = vars(self).get("handler", self.server.handler)
        return getattr(handler, "__qualname__", type(handler).__name__)


class Host(Generic[C]):
    """A server, as far as nothing has to be waited for."""

    _awaits = ""  # what calls of this front end begin with, for log texts
    _close_name = "close"
    _now: Callable[[], float] = staticmethod(time.monotonic)
    _lock: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    _connection_class: Callable[..., C]

    def __init__(
        self,
        handler: Callable[..., Any],
        logger: LoggerLike | None,
        settings: ServerSettings | None,
        create_connection: Callable[..., C] | None,
        tls: ssl_module.SSLContext | None,
    ) -> None:
        self.handler = handler
        self._settings = settings or ServerSettings()
        self.logger = logger or self._settings.logger
        self._create_connection = create_connection
        self._tls = tls
        self._closing = False
        self._draining = False
        # All connections, with what runs each; and those whose handshake is done.
        self._runs: dict[C, Any] = {}
        self._open: set[C] = set()
        self._admission = Admission(self._settings.limits)
        most = self._settings.limits.server_memory
        self._budget: Budget[C] | None = None
        if most is not None:
            self._budget = Budget(
                most, lambda ws: ws._hold(), lambda ws: ws._release(), self._give_up
            )
        self._held = False  # some are not read from, and that was said
        # Handlers whose author was told that they serve one message only.
        self._warned: set[str] = set()

    @property
    def is_leaving(self) -> bool:
        """Whether new requests are answered with 503: closing, or being drained."""
        return self._closing or self._draining

    @property
    def connections(self) -> set[C]:
        """The open connections, in a new set."""
        with self._lock:
            return {ws for ws in self._open if ws._live.is_open}

    # --- connections -------------------------------------------------------------

    def _make_connection(self, *args: Any) -> C:
        """Return a connection made of ``args``, the settings and this server."""
        settings, create = self._settings, self._create_connection
        if create is None:
            return self._connection_class(*args, settings, self)
        limits, keepalive = settings.limits, settings.keepalive
        return create(
            *args,
            settings,
            self,
            ping_interval=keepalive.interval,
            ping_timeout=keepalive.timeout,
            close_timeout=settings.timeouts.close,
            max_queue=(limits.queued_messages, limits.queued_messages_low),
        )

    def _admit(self, ws: C, run: Any) -> bool:
        """Take in a connection, which ``run`` runs; False if there are too many."""
        admission, address = self._admission, ws._address
        with self._lock:
            limit = admission.reached(address)
            news = None if limit is None else admission.news_of(limit, address)
            admitted = True
            if limit is None:
                admission.enter(address)
            elif admission.enter_crowded():
                ws._crowded = True
            else:
                admitted = False
            if admitted:
                self._runs[ws] = run
        if news is not None:
            self.logger.warning("server refuses connections: %s", news)
        return admitted

    def _has_opened(self, ws: C) -> None:
        with self._lock:
            self._open.add(ws)
            leaving = self.is_leaving
        if leaving:
            # Closed between the answer and now.
            ws._start_close(1001, "")

    def _has_ended(self, ws: C) -> None:
        """What ran a connection has ended."""
        with self._lock:
            del self._runs[ws]
            self._open.discard(ws)
            if ws._crowded:
                self._admission.leave_crowded()
            else:
                self._admission.leave(ws._address)

    def _warn_if_one_shot(self, ws: C) -> None:
        """Say once what the handler of an open connection may have got wrong."""
        session = ws._live
        if session.protocol.messages_received != 1 or session.has_message:
            return
        name = ws._name_handler()
        if name in self._warned:
            return
        self._warned.add(name)
        iterate = "async for" if self._awaits else "for"
        self.logger.warning(
            "handler %s returned after one message, which closes the connection; "
            "to serve all messages, iterate: '%s message in websocket'; "
            "to close on purpose and without this line, '%swebsocket.%s()'",
            *(name, iterate, self._awaits, self._close_name),
        )

    # --- memory ------------------------------------------------------------------

    def _look_at_memory(self) -> float:
        """Compare what all messages take with the limit; return when to look again."""
        budget = self._budget
        if budget is None:
            return LATEST
        with self._lock:
            members = list(self._open)
        now = self._now()
        pause = budget.look({ws: ws._memory for ws in members}, now)
        if bool(budget.held) is not self._held:
            self._held = not self._held
            text = "no more from the largest" if self._held else "from all again"
            self.logger.warning(
                "server reads %s: %d held, messages take %d of %d bytes "
                "(server_memory)",
                *(text, budget.held, budget.total, budget.limit),
            )
        # At most 2 % of the time go into this.
        return max(pause, (self._now() - now) * 50)

    def _give_up(self, ws: C) -> None:
        assert self._budget is not None
        error = LimitExceeded("the server is short of memory for messages")
        error.code = 1013  # try again later
        error.limit, error.limit_value = "server_memory", self._budget.limit
        ws._shed(error)

    # --- ending ------------------------------------------------------------------

    def _close_all(self, close_connections: bool, code: int, reason: str) -> None:
        """End opening handshakes with 503, and begin to close what is open."""
        with self._lock:
            opening = [ws for ws in self._runs if ws not in self._open]
        for ws in opening:
            ws._interrupt()
        if close_connections:
            for ws in self.connections:
                ws._start_close(code, reason)

    def _close_in_batches(
        self, batch: int, interval: float, code: int, reason: str
    ) -> Iterator[float]:
        """Begin to close what is open; yield the seconds to wait in between."""
        left = list(self.connections)
        random.shuffle(left)
        while left:
            some, left = left[:batch], left[batch:]
            for ws in some:
                if ws.on_drain is None:
                    ws._start_close(code, reason)
                else:
                    ws.on_drain(code, reason)
            if left:
                yield interval * random.uniform(0.5, 1.5)

    def _cut_off_rest(self, timeout: float | None) -> None:
        with self._lock:
            left = list(self._runs)
        self.logger.warning(
            "server cut off %d connections after %s seconds of draining",
            *(len(left), timeout),
        )
        for ws in left:
            ws._cut_off()


def check_drain(batch: int, code: int, reason: str) -> None:
    """Raise ValueError or InvalidClose for what ``drain()`` cannot do."""
    if batch < 1:
        raise ValueError(f"batch is {batch}; the least allowed is 1")
    check_close(code, reason)


def name_of(sock: Any) -> str:
    """Return where ``sock`` listens, for the log."""
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return str(name)
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen_unix(path: str | None, backlog: int) -> socket.socket:
    """Return a socket that listens at ``path``, where an old one is replaced."""
    if path is None:
        raise ValueError("path or sock is needed")
    sock = socket.socket(socket.AF_UNIX)
    try:
        if not path.startswith("\0"):
            _remove_socket(path)
        sock.bind(path)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_socket(path: str) -> None:
    """Remove a socket that nobody listens on any more."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    except FileNotFoundError:
        pass


def _date() -> str:
    return email.utils.formatdate(usegmt=True)
