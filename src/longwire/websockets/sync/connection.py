"""``Connection`` for threads: longwire's own, as programs know it.

``protocol`` is the sans-I/O side of the connection, ``ping()`` returns a plain event,
the end is told of when TCP has ended, and frames are in the log.
"""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import Any

from ...errors import ConnectionClosed
from ...messages import Opcode, Side, State
from ...opening.steps import Opened
from ...sync import connection as engine
from ..aliases import give_aliases
from ..asyncio import view
from ..extensions.base import Extension
from ..negotiating import as_extensions
from ..overriding import Known, refuse
from ..typing import BytesLike

__all__ = ["Connection"]

# Methods of the documented class that its own loop of reading and writing is made of.
_INTERNALS = (
    *("acknowledge_pings", "close_socket", "keepalive", "process_event"),
    *("recv_events", "send_context", "send_data", "set_connection_exc"),
    *("start_keepalive", "terminate_pending_pings"),
)


class View(view.View):
    """The sans-I/O side of a connection that several threads use."""

    _connection: Any

    def _send(self, opcode: Opcode, data: BytesLike, fin: bool) -> None:
        connection = self._open_connection()
        with connection._lock:
            connection._live.send(opcode, bytes(data), fin, True)
            connection._react()

    def send_ping(self, data: BytesLike) -> None:
        """Send a Ping frame."""
        self._open_connection().ping(data)

    def send_pong(self, data: BytesLike) -> None:
        """Send a Pong frame."""
        self._open_connection().pong(data)

    def fail(self, code: int, reason: str = "") -> None:
        """Fail the connection: send a Close frame, and listen no more.

        Raises ProtocolError for a code that may not be sent.
        """
        connection = self._connection
        if connection is None:
            super().fail(code, reason)
            return
        connection._now = monotonic
        with connection._lock:
            super().fail(code, reason)

    def _open_connection(self) -> Any:
        return super()._open_connection()


class _Event(engine.Pong):
    """What ``ping()`` returns: set at the pong, and at the end if it was asked for."""

    def __init__(self, ack_on_close: bool) -> None:
        super().__init__()
        self._ack_on_close = ack_on_close

    def fail(self, error: BaseException) -> None:
        """Tell who waits that no pong will come, if that is wanted."""
        if self._ack_on_close:
            self.set()


class Connection(engine.Connection):
    __doc__ = engine.Connection.__doc__
    _asks_about_lists = False

    _given: Any = None
    _view: View | None = None
    _agreed: Opened | None = None
    _handshake_exc: BaseException | None = None
    _is_named = False
    _extensions_now: list[Extension] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse(cls, _INTERNALS, "override send(), recv(), ping(), pong() or close()")

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection."""
        self._agreed = opened
        if self._plain_logger.isEnabledFor(logging.DEBUG):
            from ..frame_log import log_frames, log_heads

            log_heads(self, opened)
            self._taps = log_frames(self, opened)
        super().opened(opened)

    def _log_open(self, opened: Opened) -> None:
        self._note("connection open")

    def _prepare(self, session: Any) -> None:
        session.ends_with_tcp = True

    @property
    def protocol(self) -> Any:
        """The connection's sans-I/O side: what was agreed on, and the state."""
        if self._view is None:
            side = Side.CLIENT if self._client else Side.SERVER
            self._view = View(self._given, side)
            self._view.join(self)  # type: ignore[arg-type]
        return self._view

    @protocol.setter
    def protocol(self, given: Any) -> None:
        if isinstance(given, View):
            self._view = given
            given.join(self)  # type: ignore[arg-type]
            given = given.settings
        self._given = given

    @property
    def _extensions(self) -> list[Extension]:
        """What was agreed on, as objects that could do it."""
        agreed = self._agreed
        if agreed is None:
            return []
        if self._extensions_now is None:
            deflate = [] if agreed.deflate is None else [agreed.deflate]
            both = [*deflate, *agreed.extensions]
            self._extensions_now = as_extensions(both, client=self._client)
        return self._extensions_now

    def ping(  # type: ignore[override]
        self, data: Any = None, *, ack_on_close: bool = False
    ) -> threading.Event:
        """Send a ping; return an event that is set when its pong has come.

        With ``ack_on_close`` it is set, too, when the connection has ended.
        """
        return self._ping(data, _Event(ack_on_close))

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection and wait until TCP has ended.

        Where a close frame was sent before, code and reason do not matter: it only
        waits. In ``process_request`` there is nothing to wait for: TCP ends at once.
        """
        if self._session is None:
            self.wire.close(in_use=False)
            return
        if not self._session.is_open:
            code, reason = 1000, ""
        super().close(code, reason)

    @property
    def close_code(self) -> int | None:
        """The close code received, 1006 if none was; None while not CLOSED."""
        if self.state is not State.CLOSED:
            return None
        report = self.close_report
        return 1006 if report is None else report.code

    @property
    def close_reason(self) -> str | None:
        """The close reason received, "" if none was; None while not CLOSED."""
        if self.state is not State.CLOSED:
            return None
        report = self.close_report
        return "" if report is None else report.reason

    @property
    def close_exc(self) -> ConnectionClosed:
        """The exception that tells how the connection ended.

        Raises AssertionError while it is not CLOSED: that is not known then.
        """
        if self.state is not State.CLOSED:
            raise AssertionError("connection isn't closed yet")
        return self._live.exception()

    @Known
    def ping_interval(self) -> float | None:
        """Seconds between pings."""
        return self._keepalive.interval

    @Known
    def ping_timeout(self) -> float | None:
        """Seconds that a pong may take."""
        return self._keepalive.timeout

    @Known
    def close_timeout(self) -> float | None:
        """Seconds that each step of closing may take."""
        return self._timeouts.close

    @Known
    def debug(self) -> bool:
        """Whether frames are logged."""
        return bool(self._plain_logger.isEnabledFor(logging.DEBUG))


give_aliases(globals())
