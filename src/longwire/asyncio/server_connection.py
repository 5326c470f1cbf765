"""One connection of a server, from the accepted socket to the end of its handler.

Carries out what ``opening/server_plan.py`` decides, runs the handler, and makes sure
that a peer's fault is one line in the log while a handler's is a traceback.
"""

from __future__ import annotations

import asyncio
import email.utils
import functools
import inspect
import ssl as ssl_module
import time
from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, cast

from ..connection import client_named
from ..escaping import excerpt, one_line
from ..http import handshake
from ..http.headers import HeadersLike
from ..http.heads import Request, Response
from ..opening.server_plan import (
    CLOSING,
    CROWDED,
    LEFT,
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
from ..opening.steps import Opened
from ..session.leaving import Outcome, outcome_of
from .connection import Connection
from .driver import Stream, run
from .serving import serving
from .usage import is_from_outside

if TYPE_CHECKING:
    from .server import Server

__all__ = ["ServerConnection", "date"]

_LINGER = 1.0
"""Seconds that a refused peer gets to read its answer and close."""
_LEFT_GRACE = 1.0
"""Seconds that callbacks of the opening handshake may still take when the client has
gone: a client that has only ended its own direction may yet read the answer."""
_CROWDED_TIME = 2.0
"""Seconds in which a connection over a limit has to ask, to be told so."""
_LINGER_READS = 64
"""Reads of what a refused peer still sends, for the same purpose."""


class ServerConnection(Connection):
    """A client's connection, as handlers get it.

    ``server`` is the :class:`Server` it belongs to, ``username`` is set by
    :func:`basic_auth`; ``request`` and ``response`` are those of the opening handshake.
    See :func:`serve` for the other parameters.
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

    _crowded = False
    _accepted_at = 0.0
    # The peer's network address; "" where there is none, as on Unix sockets.
    _address = ""
    _opening: asyncio.Timeout | None = None
    _interrupted = ""
    # What decides on the opening handshake; longwire.websockets has it ask methods.
    _acceptor: Callable[..., Acceptor] = Acceptor

    handler: Callable[..., Awaitable[None]]
    """The handler that a :class:`~longwire.Router` chose, and its keywords."""
    handler_kwargs: Mapping[str, Any]

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

    def wire_made(self) -> None:
        """Come in: the socket is accepted."""
        super().wire_made()
        peer = self.remote_address
        if isinstance(peer, tuple) and peer:
            self._address = str(peer[0])
        self.server._admit(self)

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

    def _interrupt(self, why: str) -> None:
        """Answer 503 if the opening handshake is still under way."""
        assert self.wire is not None
        self._interrupted = why
        loop = self.wire.loop
        if _get_running_loop() is loop:
            self._end_opening()
        else:  # between two runs of the loop
            loop.call_soon(self._end_opening)

    def _end_opening(self) -> None:
        if self._opening is not None and not self._opening.expired():
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

    async def _open(self) -> Opened | None:
        """Return what the opening handshake agreed on, None if it was refused."""
        settings = self._settings
        acceptor = self._acceptor(
            settings,
            self,
            self._why_unavailable,
            date=date,
            # Without TLS here, a proxy may do it for us.
            secure=True if self.server._tls else None,
        )
        wire = self.wire
        assert wire is not None
        outcome: Opened | Refused
        try:
            async with asyncio.timeout_at(self._deadline()) as self._opening:
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

    def _seconds(self) -> float:
        """Return how long the opening handshake has taken so far."""
        return asyncio.get_running_loop().time() - self._accepted_at

    def _log_end(self) -> None:
        super()._log_end()
        if self.server.observer is not None and self.close_report is not None:
            self.server.observer.ended(self, self.close_report)

    def _deadline(self) -> float | None:
        """Return when the opening handshake has to be over."""
        if self._interrupted:
            # The server closed before this task had its first turn.
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

    def _who(self) -> str:
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
            async with asyncio.timeout(_LINGER):
                await wire.drain()
                wire.half_close()
                for _ in range(_LINGER_READS):
                    if not await wire.read():
                        break
        except OSError:
            pass  # gone, or still talking: it had its answer

    # --- handling ----------------------------------------------------------------

    def _name_handler(self) -> str:
        """Return what the handler of this connection is called, for the log."""
        handler = vars(self).get("handler", self.server.handler)
        return getattr(handler, "__qualname__", type(handler).__name__)

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

    def _log_outcome(self, outcome: Outcome, exc: BaseException | None) -> None:
        """Say that the handler failed, if it did."""
        if outcome is Outcome.FAILED:
            self.logger.error("connection handler failed", exc_info=exc)
        elif outcome is Outcome.ENDED:
            self.logger.debug("connection handler ended with the connection")


async def _wait_for(result: Awaitable[None]) -> None:
    await result


async def _raise(exc: BaseException) -> None:
    raise exc


def date() -> str:
    """Return the time in the form of RFC 9110 section 5.6.7."""
    return _date_of(int(time.time()))


@functools.lru_cache(maxsize=1)
def _date_of(second: int) -> str:
    return email.utils.formatdate(second, usegmt=True)
