"""``Connection`` for threads: longwire's own, as programs know it.

``ping()`` returns a plain event; what else is different is in ``linked.py``.
"""

from __future__ import annotations

import threading
from typing import Any

from ...sync import connection as engine
from ..aliases import give_aliases
from ..linked import Linked, View
from ..overriding import refuse

__all__ = ["Connection", "View"]

# Methods of the documented class that its own loop of reading and writing is made of.
_INTERNALS = (
    *("acknowledge_pings", "close_socket", "keepalive", "process_event"),
    *("recv_events", "send_context", "send_data", "set_connection_exc"),
    *("start_keepalive", "terminate_pending_pings"),
)


class _Event(engine.Pong):
    """What ``ping()`` returns: set at the pong, and at the end if it was asked for."""

    def __init__(self, ack_on_close: bool) -> None:
        super().__init__()
        self._ack_on_close = ack_on_close

    def fail(self, error: BaseException) -> None:
        """Tell who waits that no pong will come, if that is wanted."""
        if self._ack_on_close:
            self.set()


class Connection(Linked, engine.Connection):
    __doc__ = engine.Connection.__doc__

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse(cls, _INTERNALS, "override send(), recv(), ping(), pong() or close()")

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
        if not self._session.can_send:
            code, reason = 1000, ""
        super().close(code, reason)


give_aliases(globals())
