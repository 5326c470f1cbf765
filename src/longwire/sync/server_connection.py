"""One connection of a server, from the accepted socket to the end of its thread.

Carries out what ``opening/server_plan.py`` decides, runs the handler, and makes sure
that a peer's fault is one line in the log while a handler's is a traceback.
"""

from __future__ import annotations

import email.utils
import socket
import ssl as ssl_module
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from ..connection import client_named
from ..escaping import excerpt, one_line
from ..http import handshake
from ..http.headers import HeadersLike
from ..http.heads import Request, Response
from ..messages import Cause
from ..opening.server_plan import (
    CLOSING,
    CROWDED,
    Acceptor,
    Refused,
    ServerSettings,
)
from ..opening.settings import (
    CLOSE_TIMEOUT,
    MAX_QUEUE,
    PING_INTERVAL,
    PING_TIMEOUT,
    WRITE_LIMIT,
)
from ..opening.steps import Opened, StartTls
from ..session.leaving import Outcome, outcome_of
from .connection import Connection
from .driver import OutOfTime, Stream, run

if TYPE_CHECKING:
    from .server import Server

__all__ = ["LINGER", "ServerConnection"]

LINGER = 1.0
"""Seconds that a refused peer gets to read its answer and close."""
_LINGER_READS = 64
_CROWDED_TIME = 2.0
"""Seconds in which a connection over a limit has to ask, to be told so."""


class ServerConnection(Connection):
    """A client's connection, as handlers get it.

    ``server`` is the :class:`Server` it belongs to, ``username`` is set by
    :func:`basic_auth`; ``request`` and ``response`` are those of the opening handshake.
    """

    _client = False
    _logger_name = "longwire.server"

    request: Request = cast(Request, None)
    """The opening handshake's request, which a handler always has."""
    username: str | None = None
    on_drain: Callable[[int, str], None] | None = None
    """Called with code and reason in place of closing, when the server is drained."""

    handler: Callable[..., None]
    """The handler that a :class:`Router` chose, and its keywords."""
    handler_kwargs: Mapping[str, Any]

    _crowded = False
    _interrupted = ""
    _stream: Stream | None = None
    _acceptor: Callable[..., Acceptor] = Acceptor

    def __init__(
        self,
        sock: Any,
        protocol: ServerSettings,
        server: Server,
        *,
        ping_interval: float | None = PING_INTERVAL,
        ping_timeout: float | None = PING_TIMEOUT,
        close_timeout: float | None = CLOSE_TIMEOUT,
        max_queue: int | tuple[int | None, int | None] | None = MAX_QUEUE,
        write_limit: int | tuple[int, int | None] = WRITE_LIMIT,
    ) -> None:
        super().__init__(
            sock,
            protocol,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
            write_limit=write_limit,
        )
        self.server = server
        self._settings = server._settings
        self._accepted_at = time.monotonic()
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

    def _who(self) -> str:
        return client_named(self.remote_address, self.request)

    # --- the connection's thread -------------------------------------------------

    def _run(self) -> None:
        """Open, handle, close; raises nothing."""
        try:
            opened = self._open()
            if opened is None:
                return
            self.opened(opened)
            self.server._has_opened(self)
            exc: BaseException | None = None
            try:
                self.server.handler(self)
            except BaseException as raised:
                exc = raised
            self._close_after_handler(exc)
        except Exception:
            self.logger.exception("connection thread failed")
        finally:
            if self._session is None:
                self.failed_to_open()
            elif not self._live.is_gone:
                self._start_close(1001, "")
            self.server._thread_ended(self)

    def _close_after_handler(self, exc: BaseException | None) -> None:
        """The handler has returned, or raised ``exc``: close for how it ended."""
        with self._lock:
            outcome = outcome_of(exc, self._live, from_outside=False)
        if outcome is Outcome.RETURNED and self._live.is_open:
            self.server._warn_if_one_shot(self)
        self._log_outcome(outcome, exc)
        self._leave_block(outcome, exc)

    def _log_outcome(self, outcome: Outcome, exc: BaseException | None) -> None:
        if outcome is Outcome.FAILED:
            self.logger.error("connection handler failed", exc_info=exc)
        elif outcome is Outcome.ENDED:
            self.logger.debug("connection handler ended with the connection")

    def _name_handler(self) -> str:
        """Return what the handler of this connection is called, for the log."""
        handler = vars(self).get("handler", self.server.handler)
        return getattr(handler, "__qualname__", type(handler).__name__)

    # --- opening -----------------------------------------------------------------

    def _open(self) -> Opened | None:
        """Return what the opening handshake agreed on, None if it was refused."""
        tls = self.server._tls
        acceptor = self._acceptor(
            self._settings,
            self,
            self._why_unavailable,
            date=_date,
            # Without TLS here, a proxy may do it for us.
            secure=True if tls else None,
        )
        outcome: Opened | Refused
        self._stream = stream = Stream(self.wire, self._ends_at())
        stream.interrupted = bool(self._interrupted)
        try:
            if tls is not None:
                stream.start_tls(StartTls(tls, None), server_side=True)
            outcome = run(acceptor.plan(), stream)
        except OutOfTime:
            outcome, answer = acceptor.interrupted(self._interrupted)
            if self.wire.is_tls or tls is None:
                self.wire.write(answer)
        except (OSError, ssl_module.SSLError) as exc:
            outcome = Refused(None, exc)
        finally:
            self._stream = None
        if isinstance(outcome, Opened):
            return outcome
        self._log_refusal(outcome)
        if outcome.response is not None:
            self._linger()
        return None

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
        self._interrupted = CLOSING
        stream = self._stream
        if stream is not None and self._session is None:
            stream.interrupted = True
            try:
                # Wakes the thread that waits for the request.
                self.wire.sock.shutdown(socket.SHUT_RD)
            except OSError:
                pass  # the peer has gone

    def _cut_off(self) -> None:
        """End at once, for the server has waited long enough."""
        if self._session is None:
            self._interrupt()
            return
        with self._lock:
            self._live.abort(Cause.LOCAL, "the server was drained", time.monotonic())
            self._react()

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

    def _linger(self) -> None:
        """Close so that the peer gets to see the answer.

        Closing a socket with unread data resets it, and the peer may lose what we
        sent (RFC 9112 section 9.6): so send the end, and read on for a moment.
        """
        ends_at = time.monotonic() + LINGER
        wire = self.wire
        try:
            wire.drain(ends_at)
            wire.half_close()
            for _ in range(_LINGER_READS):
                if not wire.receive(max(0.0, ends_at - time.monotonic())):
                    break
        except OSError:
            pass  # gone, or still talking: it had its answer


def _date() -> str:
    return email.utils.formatdate(usegmt=True)
