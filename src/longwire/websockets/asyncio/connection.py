"""``Connection`` and ``broadcast``: longwire's own, as programs know them.

What is different from longwire's on every front end is in ``documented.py``; what is so
on asyncio alone is said here, once for both sides. ``old_names`` adds what former
editions call the parts of a connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from ...asyncio import connection as engine
from ...asyncio.broadcast import broadcast
from ...messages import Cause, State
from ...opening.steps import Opened
from ...session.closing_table import FAULT
from ..aliases import give_aliases
from ..documented import Documented
from ..driving import METHODS, Driven
from ..overriding import Known, overridden, refuse

__all__ = ["Connection", "broadcast"]

# Methods of the documented class that its own loop of reading and writing is made of.
_INTERNALS = (
    *("abort_pings", "acknowledge_pings", "close_transport", "drain", "keepalive"),
    *("process_event", "send_context", "send_data", "set_connection_exc"),
    *("set_recv_exc", "start_keepalive", "terminate_pending_pings"),
)


class Connection(Documented, engine.Connection, Driven):
    __doc__ = engine.Connection.__doc__

    # What a subclass has of its own: methods of the transport's, and of a server's.
    _own_driving: ClassVar[bool] = False
    _own_closing: ClassVar[bool] = False

    _closed_early = False  # by process_request
    # Closing while a message in fragments is being sent fails the connection.
    _fails_halves = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse(cls, _INTERNALS, "override send(), recv(), ping(), pong() or close()")
        cls._own_driving = bool(overridden(cls, METHODS))
        cls._own_closing = bool(overridden(cls, ("close",)))

    # --- opening -----------------------------------------------------------------

    @property
    def _connection(self) -> Connection:
        return self

    @property
    def _driven(self) -> Any:
        """The protocol whose methods a subclass may have overridden."""
        return self

    @property
    def _is_told(self) -> bool:
        """Whether the transport's calls have to go to the protocol's methods."""
        return self._own_driving

    @property
    def _own_close(self) -> bool:
        """Whether ``close()`` is how the program wants it closed."""
        return self._own_closing

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection."""
        super().opened(opened)
        self._live.ends_with_tcp = True

    @property
    def transport(self) -> asyncio.Transport:
        """The transport; AttributeError before ``connection_made()``."""
        if self.wire is None:
            raise AttributeError("transport is known only after connection_made()")
        return super().transport

    # --- the end of TCP ----------------------------------------------------------

    def eof(self) -> None:
        """The peer sends nothing more."""
        self._note_end_of_stream()
        super().eof()

    def lost(self, exc: BaseException | None) -> None:
        """TCP is gone."""
        if exc is None:
            self._note_end_of_stream()
        super().lost(exc)

    def _note_end_of_stream(self) -> None:
        """Have a ConnectionClosed know its cause where no close frame came."""
        session = self._session
        if session is not None:
            session.note_loss(self._end_of_stream())

    def _end_of_stream(self) -> EOFError:
        return EOFError("unexpected end of stream")

    # --- what programs read ------------------------------------------------------

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection and wait until TCP has ended.

        Where a close frame was sent before, code and reason do not matter: it only
        waits. In ``process_request`` there is nothing to wait for: TCP ends at once.
        """
        if self._session is None and self.wire is not None:
            self._closed_early = True
            self.wire.abort()
            return
        session = self._session
        if session is not None and (not session.can_send or session.fragmenting):
            code, reason = 1000, ""
        await super().close(code, reason)

    def _start_close(
        self,
        code: int | None,
        reason: str,
        error: BaseException | None = None,
        cause: Cause = Cause.LOCAL,
    ) -> None:
        session = self._live
        half_sent = session.fragmenting and session.can_send
        if self._fails_halves and half_sent and not error:
            # 1000 would tell the peer that half a message is all there was to say.
            text = "close during fragmented message"
            session.end(FAULT, self._now(), Cause.LOCAL, 1011, text, text)
            self._react()
        else:
            super()._start_close(code, reason, error, cause)

    async def _send_elsewhere(
        self, message: Any, text: bool | None, compress: bool
    ) -> None:
        """Send from another event loop than the connection's, which does it.

        Programs that run ``send()`` in a loop of another thread rely on that.
        """
        loop = self._loop
        if asyncio._get_running_loop() is None or not loop.is_running():
            await super()._send_elsewhere(message, text, compress)

        async def send() -> None:
            await self.send(message, text, compress=compress)

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(send(), loop))

    @Known
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connection."""
        return asyncio.get_running_loop() if self.wire is None else self.wire.loop

    @Known
    def paused(self) -> bool:
        """Whether ``send()`` waits for a slow peer."""
        session = self._session
        return session is not None and not (session.writable or session.tcp_lost)

    @Known
    def connection_lost_waiter(self) -> asyncio.Future[None]:
        """A future that is done when TCP has ended."""
        if self._gone is None:
            self._gone = self.loop.create_future()
            if self.state is State.CLOSED:
                self._gone.set_result(None)
        return self._gone

    if TYPE_CHECKING:
        wire: Any


give_aliases(globals())
