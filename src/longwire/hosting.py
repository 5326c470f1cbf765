"""Hosting: what a server and its connections decide, on every front end.

Listens to nothing and waits for nothing: who is let in, what is logged, what happens
when memory is short or the server ends. ``opening/server_plan.py``, ``admission.py``,
``budget.py`` and ``session/leaving.py`` decide most of it.
"""

from __future__ import annotations

import email.utils
import functools
import os
import random
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from .admission import Admission
from .budget import LATEST, Watch
from .connection import Connection, client_named
from .departed import Departed
from .errors import LimitExceeded
from .escaping import excerpt, one_line
from .hints import explained, give_own_hints, numbered, without_hints
from .http import handshake
from .http.headers import HeadersLike
from .http.heads import Request, Response
from .messages import Cause
from .opening.server_plan import CLOSING, CROWDED, Acceptor, Refused, ServerSettings
from .opening.settings import connection_keywords
from .options import LoggerLike, check_count, check_seconds, check_timeout
from .session.deadlines import shed
from .session.leaving import Outcome
from .session.session import CORK, check_close

__all__ = [
    "LINGER",
    "LINGER_READS",
    "PATIENCE",
    "Host",
    "Hosted",
    "address_of",
    "check_drain",
    "date",
    "listen_unix",
    "name_of",
    "place_of",
]

LINGER = 1.0
"""Seconds that a refused peer gets to read its answer and close."""
LINGER_READS = 64
"""Reads of what a refused peer still sends, for the same purpose."""
PATIENCE = 2.0
"""Seconds in which handlers may return when their server closes, before the log says
which of them have not."""
_CROWDED_TIME = 2.0
"""Seconds in which a connection over a limit has to ask, to be told so."""
_SHARE = 50
"""A look at the memory of all connections is followed by a pause of so many times what
it took, up to `LATEST`: 10,000 connections are looked at in 5 ms, and for 2 % of the
time."""

C = TypeVar("C", bound="Hosted")


class Hosted(Connection):
    """A client's connection, as far as nothing has to be waited for.

    A mixin: the class of a front end's connections comes before it.
    """

    _client = False
    _logger_name = "longwire.server"

    request: Request = cast(Request, None)
    """The opening handshake's request, which a handler always has."""
    username: str | None = None
    on_drain: Callable[[int, str], None] | None = None
    """Called with code and reason in place of closing, when the server is drained: it
    lets what is under way end and closes the connection then. :mod:`longwire.rpc` has
    one. None closes at once."""
    handler: Callable[..., Any]
    """The handler that a :class:`Router` chose, and its keywords."""
    handler_kwargs: Mapping[str, Any]

    server: Any
    _settings: ServerSettings
    _accepted_at = 0.0
    # The peer's network address; "" where there is none, as on Unix sockets.
    _address = ""
    _crowded = False
    _interrupted = ""  # why the opening handshake was ended
    # What decides on the opening handshake; longwire.websockets has it ask methods.
    _acceptor: Callable[..., Acceptor] = Acceptor

    if TYPE_CHECKING:  # what front ends have
        _live: Any
        _now: Any
        _memory: Any
        _start_close: Any
        _abort: Any

        @property
        def remote_address(self) -> Any: ...

    def _join(self, server: Host[Any]) -> None:
        """Belong to ``server``, from now on."""
        self.server = server
        self._settings = server._settings
        self._note_address()

    def _note_address(self) -> None:
        """Note what connections are counted by."""
        self._address = address_of(self.remote_address)

    @explained("connection.respond(403, 'text', content_type=..., headers=...)")
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
        if status == 101:
            raise ValueError("101 is what opens a connection: return None for that")
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
            date=date,
            # Without TLS here, a proxy may do it for us.
            secure=True if self.server._tls else None,
        )

    def _ends_at(self) -> float | None:
        """Return when the opening handshake has to be over."""
        if self._interrupted:
            # The server closed before the handshake had its first turn.
            return self._accepted_at
        seconds = self._settings.timeouts.open
        if self._crowded:
            # Few may be told at one time: who says nothing must not keep out the rest.
            seconds = _CROWDED_TIME if seconds is None else min(seconds, _CROWDED_TIME)
        return None if seconds is None else self._accepted_at + seconds

    def _why_unavailable(self) -> str | None:
        if self._crowded:
            return CROWDED
        return CLOSING if self.server.is_leaving else None

    def _interrupt(self, why: str = CLOSING) -> None:
        """Answer 503 if the opening handshake is still under way."""
        raise AssertionError("a front end does")

    def _cut_off(self) -> None:
        """End at once, for the server has waited long enough."""
        if self._session is None:
            self._interrupt()
        else:
            self._abort("the server was drained")

    # --- memory ------------------------------------------------------------------

    def _hold(self) -> None:
        """Read no more from the peer, for the server is short of memory."""
        self._soon(self._live.hold)

    def _release(self) -> None:
        """Read again."""
        self._soon(self._live.release, self._now())

    def _shed(self, error: LimitExceeded) -> None:
        """End the connection, and drop what its reader has not taken.

        Output that the peer does not take goes, too: it is what there is no room for.
        """
        self._soon(self._drop_all, error)

    def _drop_all(self, error: LimitExceeded) -> None:
        session = self._live
        dropped = shed(session, error, self._now())
        if dropped:
            text = "connection had ended; dropped %d unread messages: %s"
            self._put_off(self.logger.warning, text, dropped, error)
        self._react()
        if self._memory > CORK:
            session.abort(Cause.LIMIT, "", self._now())

    # --- log ---------------------------------------------------------------------

    def _who(self) -> str:
        """Return the client's address and the path that it asked for."""
        return client_named(self.remote_address, self.request)

    def _log_refusal(self, refused: Refused) -> None:
        if refused.quiet:
            return
        response, exc = refused.response, refused.exc
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
    _connection_class: Callable[..., C]

    def __init__(
        self,
        handler: Callable[..., Any],
        logger: LoggerLike | None,
        settings: ServerSettings | None,
        create_connection: Callable[..., C] | None,
        tls: Any,
    ) -> None:
        self.handler = handler
        self._settings = settings or ServerSettings()
        self.logger = logger or self._settings.logger
        self._create_connection = create_connection
        self._tls = tls
        # Reentrant: a signal's handler may shut down what its thread has locked. Where
        # there is but one thread, it costs less than a context without a lock.
        self._lock = threading.RLock()
        self._closing = False
        self._draining = False
        self._parting = (1001, "")  # code and reason for who opens while it leaves
        # All connections, with what runs each; and those whose handshake is done.
        self._runs: dict[C, Any] = {}
        self._open: set[C] = set()
        self._admission = Admission(self._settings.limits)
        self._departed = self._make_departed()
        most = self._settings.limits.server_memory
        self._watch: Watch | None = (
            None if most is None else Watch(most, self.logger, self._put_off)
        )
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
            return {ws for ws in self._open if ws._live.can_send}

    def __dir__(self) -> list[str]:
        """Return the names that are there, without those that are only explained."""
        return without_hints(type(self), super().__dir__())

    # --- connections -------------------------------------------------------------

    def _make_connection(self, *args: Any) -> C:
        """Return a connection made of ``args``, the settings and this server."""
        settings, create = self._settings, self._create_connection
        kind = self._connection_class
        if create is None:
            ws = kind(*args, settings, self)
        elif getattr(create, "__init__", None) is kind.__init__:
            # A subclass that asks for nothing else: one object of limits for all.
            ws = create(*args, settings, self)
        else:
            ws = create(*args, settings, self, **self._keywords_of_connections())
        # The clock of the handshake starts here, before TLS.
        ws._accepted_at = self._now()
        return ws

    def _keywords_of_connections(self) -> dict[str, Any]:
        """Return the keywords that a factory of the caller's gets."""
        return connection_keywords(self._settings)

    def _admit(self, ws: C, run: Any) -> bool:
        """Take in a connection, which ``run`` runs; False if there are too many."""
        admission, address = self._admission, ws._address
        with self._lock:
            limit = admission.reached(address)
            if limit is None:
                admission.enter(address)
            else:
                ws._crowded = admission.enter_crowded()
            if limit is None or ws._crowded:
                self._runs[ws] = run
        if limit is not None:
            self._tell_limit(limit, address)
        return limit is None or ws._crowded

    def _is_crowded(self, address: str) -> bool:
        """Return whether one more from ``address`` could not even be told why.

        Who is over a limit connects again and again, and this is asked before a
        connection is made, which takes twenty times as long.
        """
        limit = self._admission.reached(address)
        if limit is None or not self._admission.is_crowded:
            return False
        self._tell_limit(limit, address)
        return True

    def _make_departed(self) -> Departed:
        return Departed(self._admission, self._lock, self._warn)

    def _warn(self, text: str, *args: object) -> None:
        self._put_off(self.logger.warning, text, *args)

    def _serve_last(
        self, peername: Any, drop: Callable[[], None], begin: Callable[[], None]
    ) -> None:
        """Have a connection whose peer has hung up served when it is its turn."""
        address = address_of(peername)
        limit = self._admission.reached(address)
        if limit is not None:
            self._tell_limit(limit, address)
            drop()
        elif self._departed.add(address, drop, begin):
            self._begin_with_departed()

    def _begin_with_departed(self) -> None:
        """Call ``self._departed.begin_one()`` now and again until there is none."""
        raise AssertionError("a front end does")

    def _tell_limit(self, limit: str, address: str) -> None:
        """Tell the log, once, and who watches that a connection was over a limit."""
        with self._lock:
            news = self._admission.news_of(limit, address)
        if news is not None:
            text = "server refuses connections: %s"
            self._put_off(self.logger.warning, text, news)
        self._has_reached(limit)

    def _has_reached(self, limit: str) -> None:
        """A connection is over ``limit``."""

    def _has_opened(self, ws: C) -> None:
        with self._lock:
            self._open.add(ws)
            leaving, parting = self.is_leaving, self._parting
        if leaving:
            # Closed between the answer and now.
            self._close_one(ws, *parting)

    def _has_ended(self, ws: C) -> None:
        """What ran a connection has ended."""
        with self._lock:
            del self._runs[ws]
            self._open.discard(ws)
            if ws._crowded:
                self._admission.leave_crowded()
            else:
                self._admission.leave(ws._address)
            was_last = not self._open
        if was_last:
            self._forget_held()

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

    def _forget_held(self) -> None:
        """No connection is left: hold nothing of those that were not read from."""
        if self._watch is not None:
            self._watch.forget()

    def _put_off(self, log: Callable[..., object], *args: object) -> None:
        """Log by ``log(*args)``, in a thread that may wait for that."""
        log(*args)

    def _log_failure(self, exc: BaseException) -> None:
        self.logger.error("making a connection failed", exc_info=exc)

    def _look_at_memory(self) -> float:
        """Compare what all messages take with the limit.

        Returns the seconds until it has to be done again.
        """
        if self._watch is None:
            return LATEST
        with self._lock:
            members = list(self._open)
        begun = self._now()
        pause = self._watch.look({ws: ws._memory for ws in members}, begun)
        # A look may take long where the machine has stood still: not again for that.
        return min(max(pause, (self._now() - begun) * _SHARE), LATEST)

    # --- ending ------------------------------------------------------------------

    _cuts_off = ""  # how a program gets rid of stuck handlers, for the log

    def _tell_of_stuck(self) -> None:
        """Say which handlers still run though their connections were told to close."""
        with self._lock:
            left = [
                (ws, run)
                for ws, run in self._runs.items()
                # Others have not been told to end yet, or never began.
                if ws in self._open and not ws._live.can_send
            ]
        if left:
            self.logger.warning(
                "server waits for handlers whose connections are closed already: %s; "
                "they learn of it in recv() or wait_closed()%s",
                numbered(
                    f"{ws._name_handler()} {self._where_it_waits(ws, run)}".rstrip()
                    for ws, run in left
                ),
                self._cuts_off,
            )

    def _where_it_waits(self, ws: C, run: Any) -> str:
        """Return "at", file and line where what runs a handler waits, "" if unknown."""
        raise AssertionError("a front end does")

    def _close_all(self, close_connections: bool, code: int, reason: str) -> None:
        """End opening handshakes with 503, and begin to close what is open."""
        with self._lock:
            opening = [ws for ws in self._runs if ws not in self._open]
        for ws in opening:
            ws._interrupt()
        if close_connections:
            for ws in self.connections:
                self._close_one(ws, code, reason)

    def _close_one(self, ws: C, code: int, reason: str) -> None:
        """Begin to close an open connection."""
        ws._start_close(code, reason)

    def _close_in_batches(
        self, batch: int, interval: float, code: int, reason: str
    ) -> Iterator[float]:
        """Begin to close what is open; yield the seconds to wait in between."""
        with self._lock:
            left = list(self._open)
        random.shuffle(left)
        while left:
            some, left = left[:batch], left[batch:]
            for ws in some:
                if not ws._live.can_send:
                    continue
                if ws.on_drain is None:
                    self._close_one(ws, code, reason)
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


_PACKAGE = str(Path(__file__).parent)


def place_of(waiting: Any) -> str:
    """Return "at", file and line at which a handler's coroutine waits, "" if unknown.

    ``waiting`` is what its task runs.
    """
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "ag_frame", None)
        if isinstance(frame, FrameType):
            file = frame.f_code.co_filename
            if not file.startswith(_PACKAGE):
                return f"at {file}:{frame.f_lineno}"
        waiting = getattr(waiting, "cr_await", None)
    return ""


def check_drain(
    batch: int, interval: float, timeout: float | None, code: int, reason: str
) -> None:
    """Raise TypeError, ValueError or InvalidClose for what ``drain()`` cannot do."""
    check_count("batch", batch)
    check_seconds("interval", interval)
    check_timeout(timeout)
    check_close(code, reason)


def address_of(peername: Any) -> str:
    """Return the network address in a socket's address, "" for Unix sockets."""
    return str(peername[0]) if isinstance(peername, tuple) and peername else ""


def name_of(sock: Any) -> str:
    """Return where ``sock`` listens, for the log."""
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return str(name)
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_TO_ALL = "write broadcast(server.connections, message)"
_TO_END = (
    "write server.close() or server.drain(), in threads server.shutdown(), "
    "on trio server.aclose()"
)
_TO_RUN = "write server.serve_forever(), awaited on an event loop"
_PLACE = (
    "write server.sockets[0].getsockname(), in threads server.socket.getsockname(), "
    "on trio server.listeners[0].socket.getsockname()"
)
_ONE_BY_ONE = "a server calls its handler for each connection"

# Names that servers of other libraries have.
give_own_hints(
    Host,
    {
        "port address host url": _PLACE,
        "socket sockets": _PLACE,
        "clients websockets sessions": "write server.connections",
        "broadcast send send_all send_message_to_all emit": _TO_ALL,
        "stop shutdown terminate disconnect close aclose": _TO_END,
        "run run_forever start listen serve": _TO_RUN,
        "accept recv on_message on on_connect set_fn_new_client": _ONE_BY_ONE,
    },
)


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


def date() -> str:
    """Return the time in the form of RFC 9110 section 5.6.7."""
    return _date_of(int(time.time()))


@functools.lru_cache(maxsize=1)
def _date_of(second: int) -> str:
    return email.utils.formatdate(second, usegmt=True)
