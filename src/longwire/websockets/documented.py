"""What connections of the documented API have in common, on every front end.

``protocol`` is the sans-I/O side of the connection, the end is told of when TCP has
ended, and frames are in the log. Also the defaults that ``connect`` and ``serve`` have
there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, ClassVar

from .. import connection
from ..errors import ConnectionClosed, ConnectionClosedError
from ..hosting import Hosted
from ..http.heads import Response
from ..messages import Side, State
from ..opening.server_plan import Acceptor as AnyAcceptor
from ..opening.steps import Opened
from ..session.leaving import Outcome
from . import closed_today, variables
from .asyncio.view import View
from .client import backoff, process_exception
from .datastructures import Headers
from .extensions.base import Extension
from .heads import Acceptor
from .http11 import SERVER as SERVER_HEADER
from .http11 import USER_AGENT
from .loggers import CLIENT, SERVER
from .negotiating import as_extensions
from .overriding import Known

__all__ = ["Documented", "DocumentedServer", "of_client", "of_server"]


class Documented(connection.Connection):
    """A connection as programs know it; a front end's own comes behind it."""

    # Lines of the log are as documented.
    _is_named = False
    _asks_about_lists = False

    _view_class: ClassVar[type[View]] = View
    _given: Any = None
    _view: View | None = None
    _agreed: Opened | None = None
    _handshake_exc: BaseException | None = None
    _extensions_now: list[Extension] | None = None

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection."""
        self._agreed = opened
        if self._plain_logger.isEnabledFor(logging.DEBUG):
            from .frame_log import log_frames, log_heads

            log_heads(self, opened)
            self._taps = log_frames(self, opened)
        super().opened(opened)  # type: ignore[misc]
        self._session.kinds = closed_today.KINDS  # type: ignore[union-attr]

    def _log_open(self, opened: Opened) -> None:
        self._note("connection open")

    @property
    def protocol(self) -> Any:
        """The connection's sans-I/O side: what was agreed on, and the state."""
        if self._view is None:
            side = Side.CLIENT if self._client else Side.SERVER
            self._view = self._view_class(self._given, side)
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
        session: Any = self._session
        exc: ConnectionClosed = session.exception()
        return exc

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


class DocumentedServer(Documented, Hosted):
    """The server's end."""

    _acceptor: Callable[..., AnyAcceptor] = Acceptor

    def respond(self, status: int, text: str | bytes, **options: Any) -> Response:
        """Return a response for ``process_request``, as longwire's own does."""
        response = super().respond(status, text, **options)
        response.headers = Headers.made(response.headers)
        return response

    def _log_outcome(self, outcome: Outcome, exc: BaseException | None) -> None:
        # longwire says at INFO how each connection ended, and leaves it at that.
        if outcome is Outcome.ENDED and isinstance(exc, ConnectionClosedError):
            outcome = Outcome.FAILED
        super()._log_outcome(outcome, exc)


def of_client(keywords: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of ``connect`` with this API's defaults."""
    if keywords.get("logger") is None:
        keywords["logger"] = CLIENT
    keywords.setdefault("user_agent_header", USER_AGENT)
    keywords.setdefault("process_exception", process_exception)
    keywords.setdefault("reconnect_delays", backoff)
    return _of_both(keywords)


def of_server(keywords: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of ``serve`` with this API's defaults."""
    if keywords.get("logger") is None:
        keywords["logger"] = SERVER
    keywords.setdefault("server_header", SERVER_HEADER)
    return _of_both(keywords)


def _of_both(keywords: dict[str, Any]) -> dict[str, Any]:
    if "ping_interval" in keywords:
        interval = variables.interval_of(keywords["ping_interval"])
        keywords["ping_interval"] = interval
    variables.compression_of(keywords.get("compression"))
    return keywords
