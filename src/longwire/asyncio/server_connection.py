"""One connection of a server, from the accepted socket to the end of its handler.

Carries out what ``opening/server_plan.py`` decides, runs the handler, and makes sure
that a peer's fault is one line in the log while a handler's is a traceback.
"""

from __future__ import annotations

import asyncio
import inspect
import ssl as ssl_module
from asyncio import _get_running_loop
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any

from ..hosting import LINGER, LINGER_READS, Hosted, date
from ..opening.server_plan import CLOSING, LEFT, Refused, ServerSettings
from ..opening.settings import (
    CLOSE_TIMEOUT,
    MAX_QUEUE,
    PING_INTERVAL,
    PING_TIMEOUT,
    WRITE_LIMIT,
)
from ..opening.steps import Opened
from ..session.leaving import Outcome, outcome_of
from .connection import Connection
from .driver import Stream, run
from .serving import serving
from .timers import Timers
from .usage import is_from_outside

if TYPE_CHECKING:
    from .server import Server

__all__ = ["ServerConnection", "date"]

_LEFT_GRACE = 1.0
"""Seconds that callbacks of the opening handshake may still take when the client has
gone: a client that has only ended its own direction may yet read the answer."""


class ServerConnection(Connection, Hosted):
    """A client's connection, as handlers get it.

    ``server`` is the :class:`Server` it belongs to, ``username`` is set by
    :func:`basic_auth`; ``request`` and ``response`` are those of the opening handshake.
    See :func:`serve` for the other parameters.
    """

    server: Server
    _opening: asyncio.Timeout | None = None

    def __init__(
        self,
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
            protocol,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
            write_limit=write_limit,
        )
        self.server = server
        self._settings = protocol

    def wire_made(self) -> None:
        """Begin: the socket is accepted."""
        super().wire_made()
        self._note_address()
        self.server._begin_to_serve(self)

    # --- what the server asks for ------------------------------------------------

    def _serve(self) -> Coroutine[Any, Any, None]:
        """Return the coroutine of the connection's one task: open, handle, leave."""
        return serving(self)

    async def _come_in(self) -> Coroutine[Any, Any, None] | None:
        """Do the opening handshake; return the handler's coroutine, None if refused."""
        opened = await self._open()
        if opened is None:
            return None
        self.opened(opened)
        self.server._has_opened(self)
        return self._handle()

    def _left(self) -> None:
        """The task ends, for whatever reason."""
        wire = self.wire
        assert wire is not None
        if wire.loop.is_closed():
            return  # collected with its loop: nobody is there to carry out anything
        if self._session is None:
            wire.abort()
            self.failed_to_open()
        else:
            # Nothing left to do after a proper end; after a cancellation or an
            # interrupt, the timers see to it that TCP ends too.
            self._start_close(1001, "")

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self.server._release(self, task)

    def _interrupt(self, why: str = CLOSING) -> None:
        assert self.wire is not None
        self._interrupted = why
        loop = self.wire.loop
        if _get_running_loop() is loop:
            self._end_opening()
        else:  # between two runs of the loop
            loop.call_soon(self._end_opening)

    def _cut_off(self) -> None:
        if self.wire is not None:
            self.wire.abort()

    def _end_opening(self) -> None:
        if self._opening is None:
            if self.wire is not None:
                self.wire.begin()  # to be answered, as its time is over
        elif not self._opening.expired():
            self._opening.reschedule(asyncio.get_running_loop().time())

    def peer_left(self) -> None:
        """The client has gone during the opening handshake.

        What reads the request sees it. A callback that answers it may be waiting for
        anything: if that is the end, it is woken, and all have to be done soon.
        """
        self._wake_for_the_end()
        if self.request is not None and not self._left_early:
            self._left_early = True
            if self._opening is not None:
                loop = asyncio.get_running_loop()
                loop.call_later(_LEFT_GRACE, self._interrupt, LEFT)

    # --- opening -----------------------------------------------------------------

    _starts_at_once = False

    def _wait_for_request(self) -> bool:
        """Have the server start our task when the client says something.

        Most of what an opening handshake costs, others need not wait for where clients
        connect and say nothing. Returns whether there is time to wait.
        """
        wire = self.wire
        assert wire is not None
        if self._starts_at_once or self._arm_opening() is not None:
            return False
        wire.when_heard(self._heard)
        return True

    def _heard(self) -> None:
        assert self.wire is not None
        loop = self.wire.loop
        if loop.get_task_factory() is None:
            self.server._serve_connection(self)
        else:
            # An eager task would run below what the wire is doing now.
            loop.call_soon(self.server._serve_connection, self)

    async def _open(self) -> Opened | None:
        """Return what the opening handshake agreed on, None if it was refused."""
        acceptor = self._make_acceptor()
        wire = self.wire
        assert wire is not None
        outcome: Opened | Refused
        try:
            async with asyncio.timeout_at(self._arm_opening()) as self._opening:
                await self._start_tls()
                outcome = await run(acceptor.plan(), Stream(wire))
        except TimeoutError:
            outcome, answer = acceptor.interrupted(self._interrupted)
            if wire.is_tls or not self.server._starts_tls:
                wire.write(answer)
        except (OSError, ssl_module.SSLError) as exc:
            outcome = Refused(None, exc)
        finally:
            self._opening = None
            self._open_by = 0.0
        if isinstance(outcome, Opened):
            return outcome
        self._log_refusal(outcome)
        observer = self.server.observer
        if observer is not None and not outcome.quiet:
            refusal = outcome.response
            status = 0 if refusal is None else refusal.status_code
            observer.refused(self, self._seconds(), outcome.how, status)
        await self._linger(outcome)
        return None

    def _arm_opening(self) -> float | None:
        """Have the timers end the handshake in time; return when it is over already.

        One that is about to be over would need a timer of the loop for each connection,
        and nearly all of them are cancelled at once.
        """
        if self._open_by and not self._interrupted:
            return None  # armed already
        ends_at = self._ends_at()
        wire = self.wire
        assert wire is not None
        if ends_at is None or ends_at <= wire.loop.time():
            return ends_at
        self._open_by = ends_at
        Timers.of(wire.loop).arm(self)
        return None

    def _seconds(self) -> float:
        """Return how long the opening handshake has taken so far."""
        return asyncio.get_running_loop().time() - self._accepted_at

    def _log_end(self) -> None:
        super()._log_end()
        if self.server.observer is not None and self.close_report is not None:
            self.server.observer.ended(self, self.close_report)

    async def _start_tls(self) -> None:
        """Do the TLS handshake, if the server has TLS.

        asyncio would do it before we know of the connection: outside our limits and
        time limit, and without a word about a failure.
        """
        tls = self.server._tls
        if tls is None or not self.server._starts_tls:
            return
        wire = self.wire
        assert wire is not None
        await wire.start_tls(tls.context, server_side=True, **tls.options)

    async def _linger(self, refused: Refused) -> None:
        """Close so that the peer gets to see the answer.

        Closing a socket with unread data resets it, and the peer may lose what we
        sent (RFC 9112 section 9.6): so send the end, and read on for a moment.
        """
        wire = self.wire
        assert wire is not None
        if refused.response is None:
            return
        try:
            async with asyncio.timeout(LINGER):
                await wire.drain()
                wire.half_close()
                for _ in range(LINGER_READS):
                    if not await wire.read():
                        break
        except OSError:
            pass  # gone, or still talking: it had its answer

    # --- handling ----------------------------------------------------------------

    def _handle(self) -> Coroutine[Any, Any, None]:
        """Return the handler's coroutine, or one that raises what calling it raised."""
        try:
            result = self.server.handler(self)
        except BaseException as exc:
            return _raise(exc)
        if isinstance(result, Coroutine):
            return result
        if inspect.isawaitable(result):
            return _wait_for(result)
        kind = type(result).__name__
        return _raise(TypeError(f"handler returned {kind}; it must be a coroutine"))

    async def _leave(self, exc: BaseException | None) -> None:
        """The handler has returned, or raised ``exc``: close for how it ended."""
        session = self._live
        outcome = outcome_of(exc, session, from_outside=self._is_stopped(exc))
        if outcome is Outcome.STOPPED:
            assert exc is not None
            raise exc  # the task's; _left() closes without waiting
        if outcome is Outcome.RETURNED and session.can_send:
            self.server._warn_if_one_shot(self)
        self._log_outcome(outcome, exc)
        await self._leave_block(outcome, exc)

    def _is_stopped(self, exc: BaseException | None) -> bool:
        """Return whether the handler was cancelled, or its coroutine closed."""
        if isinstance(exc, GeneratorExit):
            # While our task runs, nobody closes its coroutine: the handler raised it.
            if _get_running_loop() is not self._loop:
                return True
            return asyncio.current_task() is not self.server._task_of(self)
        return is_from_outside(exc)


async def _wait_for(result: Awaitable[None]) -> None:
    await result


async def _raise(exc: BaseException) -> None:
    raise exc
