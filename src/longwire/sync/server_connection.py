"""One connection of a server, from the accepted socket to the end of its thread.

Carries out what ``opening/server_plan.py`` decides, runs the handler, and makes sure
that a peer's fault is one line in the log while a handler's is a traceback.
"""

from __future__ import annotations

import socket
import ssl as ssl_module
import time
from typing import TYPE_CHECKING, Any

from ..hosting import LINGER, LINGER_READS, Hosted
from ..link import with_keywords
from ..opening.server_plan import CLOSING, Refused, ServerSettings
from ..opening.steps import Opened, StartTls
from ..session.leaving import Outcome, outcome_of
from .connection import Connection
from .driver import OutOfTime, Stream, run

if TYPE_CHECKING:
    from .server import Server

__all__ = ["ServerConnection"]


class ServerConnection(Connection, Hosted):
    """A client's connection, as handlers get it.

    ``server`` is the :class:`Server` it belongs to, ``username`` is set by
    :func:`basic_auth`; ``request`` and ``response`` are those of the opening handshake.
    """

    _stream: Stream | None = None

    @with_keywords
    def __init__(
        self, sock: Any, protocol: ServerSettings, server: Server, **keywords: Any
    ) -> None:
        super().__init__(sock, protocol, **keywords)
        self._join(server)

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
            self.server._has_ended(self)

    def _close_after_handler(self, exc: BaseException | None) -> None:
        """The handler has returned, or raised ``exc``: close for how it ended."""
        outcome = outcome_of(exc, self._live, from_outside=False)
        if outcome is Outcome.RETURNED and self._live.can_send:
            self.server._warn_if_one_shot(self)
        self._log_outcome(outcome, exc)
        self._leave_block(outcome, exc)

    # --- opening -----------------------------------------------------------------

    def _open(self) -> Opened | None:
        """Return what the opening handshake agreed on, None if it was refused."""
        tls = self.server._tls
        acceptor = self._make_acceptor()
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

    def _interrupt(self, why: str = CLOSING) -> None:
        self._interrupted = why
        stream = self._stream
        if stream is not None and self._session is None:
            stream.interrupted = True
            try:
                # Wakes the thread that waits for the request.
                self.wire.sock.shutdown(socket.SHUT_RD)
            except OSError:
                pass  # the peer has gone

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
            for _ in range(LINGER_READS):
                left = max(0.0, ends_at - time.monotonic())
                if wire.ended or not wire.receive(left):
                    break
                wire.take()
        except OSError:
            pass  # gone, or still talking: it had its answer
