"""The steps of an open connection, which former editions ran in tasks of its own.

The engine reads, pings and closes for all connections at once, so none of this is on
the way of a message. Where a subclass overrides a step, its connection takes the steps:
it has the task that the step was of, and what the method does has its effect.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ...asyncio.timers import Timers
from ...errors import ConnectionClosed
from ...messages import Cause, State
from ...options import Keepalive
from ..overriding import Known
from .reading import FRAMES, READING, Reading
from .sending import SENDING, Sending

__all__ = ["HOOKS", "ON_THE_WAY_IN", "ON_THE_WAY_OUT", "Steps"]

_CLOSING = frozenset(
    {"close_connection", "close_transport", "wait_for_connection_lost"}
)
_PINGING = frozenset({"keepalive_ping", "ping"})
# Where one of these is overridden, control frames are read by steps, too.
_BY_FRAMES = FRAMES | SENDING | {"pong"}
_BY_STEPS = READING | _BY_FRAMES

HOOKS = tuple(
    sorted(
        READING
        | SENDING
        | _CLOSING
        | _PINGING
        | {"abort_pings", "close", "connection_closed_exc", "connection_open"}
        | {"fail_connection", "pong", "recv", "send", "wait_closed"}
    )
)
"""The methods of an open connection that are called where they are overridden."""

ON_THE_WAY_IN = _BY_STEPS | {"connection_closed_exc", "recv"}
ON_THE_WAY_OUT = SENDING | {"connection_closed_exc", "send"}


class Steps(Reading, Sending):
    """Reading, pinging and closing, step by step; see the module's docstring."""

    if TYPE_CHECKING:
        logger: Any
        ping_interval: float | None
        ping_timeout: float | None
        close_timeout: float | None
        is_client: bool

        async def ping(self, data: Any = None) -> Any: ...

    @property
    def _steps_to_read(self) -> bool:
        return bool(self._own & _BY_STEPS)

    def _begin_steps(self) -> None:
        """Begin with messages, and with the tasks of the steps that are overridden."""
        inner, own = self._connection, self._own
        pinging = bool(own & (_PINGING | SENDING))
        if pinging:
            inner._keepalive = Keepalive(interval=None, timeout=None)
        inner.begin(by_frames=bool(own & _BY_FRAMES))
        mine = vars(self)
        if self._steps_to_read:
            self.messages = deque()
            task = self._run_step("transfer_data", self._transfer())
            mine["transfer_data_task"] = task
        if pinging:
            task = self._run_step("keepalive_ping", self.keepalive_ping())
            mine["keepalive_ping_task"] = task
        if own & _CLOSING:
            task = self._run_step("close_connection", self.close_connection())
            mine["close_connection_task"] = task

    def _run_step(
        self, name: str, step: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        """Run an overridden step; what it raises is in the log."""

        async def run() -> None:
            try:
                await step
            except ConnectionClosed:
                pass  # how the connection ended is told to who uses it
            except Exception as exc:
                self.logger.error("%s failed", name, exc_info=exc)

        return asyncio.get_running_loop().create_task(run())

    # --- the tasks of old, for who looks for them --------------------------------

    def _task(self, name: str, step: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Return a task that does what that of a connection of old did."""
        if self._connection._session is None:
            step.close()
            raise AttributeError(f"{name} is there once the connection is open")
        task = vars(self)[name] = self._connection.loop.create_task(step)
        return task

    @Known
    def transfer_data_task(self) -> asyncio.Task[None]:
        """A task that is done when no more messages are read."""
        return self._task("transfer_data_task", self._connection.until_ended())

    @Known
    def close_connection_task(self) -> asyncio.Task[None]:
        """A task that is done when TCP has ended."""
        return self._task("close_connection_task", self._connection.wait_closed())

    @Known
    def keepalive_ping_task(self) -> asyncio.Task[None]:
        """A task that is done when no more pings are sent."""
        return self._task("keepalive_ping_task", self._connection.until_ended())

    @Known
    def worker(self) -> asyncio.Task[None]:
        """A task that is done when the connection has ended, as in 2.6."""
        return self._task("worker", self._connection.wait_closed())

    # --- pinging -----------------------------------------------------------------

    async def keepalive_ping(self) -> None:
        """Send pings every ``ping_interval`` seconds until the connection ends.

        A pong that is missing after ``ping_timeout`` ends it, with 1011. The engine's
        timer does both, unless ``ping()`` or a step of sending is overridden. Run in
        a task where it is overridden: there are then no pings but those sent here.
        """
        if self.ping_interval is None:
            return
        if self._own & (SENDING | {"ping"}):
            await self._ping_by_steps(self.ping_interval)
            return
        inner = self._connection
        session = inner._live
        beat = session.heartbeat
        if beat.interval is None and session.can_send:
            beat.interval, beat.timeout = self.ping_interval, self.ping_timeout
            beat.ping_at = inner._now() + self.ping_interval
            Timers.of(inner._loop).arm(inner)
        await inner.until_ended()

    async def _ping_by_steps(self, interval: float) -> None:
        ended = asyncio.ensure_future(self._connection.until_ended())
        try:
            while True:
                await asyncio.wait({ended}, timeout=interval)
                if ended.done() or self._connection.state is not State.OPEN:
                    return
                waiter = await self.ping()
                if self.ping_timeout is None:
                    continue
                try:
                    await asyncio.wait_for(waiter, self.ping_timeout)
                except TimeoutError:
                    self.fail_connection(1011, "keepalive ping timeout")
                    return
        finally:
            ended.cancel()

    def abort_pings(self) -> None:
        """Raise ConnectionClosed in who waits for a pong; no pong will end that.

        Called when TCP has ended; calling it again does nothing.
        """
        session = self._connection._live
        for future in session.heartbeat.take_waiters():
            if not future.done():
                future.set_exception(self.connection_closed_exc())
                # Who does not wait for the pong need not be told.
                future.exception()

    # --- closing -----------------------------------------------------------------

    def connection_closed_exc(self) -> ConnectionClosed:
        """Return a new exception that says how the connection ended."""
        return self._connection._live.exception()

    def fail_connection(self, code: int = 1006, reason: str = "") -> None:
        """End the connection without waiting for the peer's close frame.

        A close frame is sent unless ``code`` is 1006. A server then closes TCP; a
        client waits for the server to do so, for ``close_timeout`` seconds at most.
        Called, too, when the connection fails: because of what the peer has sent, or
        of a handler that raised.
        """
        inner = self._connection
        session, now = inner._live, inner._now()
        if session.ended is None:
            if code == 1006:
                session.abort(Cause.LOCAL, "fail_connection() was called", now)
            else:
                session.close(int(code), reason, now)
            inner._react()
        elif session.tcp_lost:
            return
        if not self.is_client:
            inner._flush()
            inner._wire.close()

    async def close_connection(self) -> None:
        """Wait for the end of the data, then for that of TCP.

        Run in a task where it, ``close_transport()`` or ``wait_for_connection_lost()``
        is overridden.
        """
        await self._connection.until_ended()
        if self.is_client:
            await self.wait_for_connection_lost()  # the server closes TCP
        await self.close_transport()

    async def close_transport(self) -> None:
        """Close TCP, without a closing handshake if there was none, and wait for it.

        Once there was one, TCP ends by itself, or after ``close_timeout``.
        """
        inner = self._connection
        session = inner._live
        if session.ended is None:
            text = "close_transport() was called"
            session.abort(Cause.LOCAL, text, inner._now())
            inner._react()
        if not await self.wait_for_connection_lost():
            inner.transport.abort()
            await inner.wait_closed()

    async def wait_for_connection_lost(self) -> bool:
        """Return whether TCP ended within ``close_timeout`` from now."""
        try:
            async with asyncio.timeout(self.close_timeout):
                await self._connection.wait_closed()
        except TimeoutError:
            return False
        return True
