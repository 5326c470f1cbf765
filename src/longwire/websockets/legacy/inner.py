"""The connections of longwire's that work for those of former editions.

An object of an old protocol class has one of these inside, and nothing else of
longwire's: its attributes and methods are those of its edition and of its subclass, in
which every other name is free. What the engine tells a connection goes through here to
the methods that a subclass may have overridden.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ... import connection as contract
from ...asyncio import server_connection
from ...asyncio.driver import Stream, run
from ...errors import InvalidHandshake
from ...http.extensions import split
from ...http.headers import Headers
from ...http.heads import Request, Response
from ...messages import Cause, Close, Opcode
from ...opening import server_plan as accepting
from ...opening.server_plan import Refused
from ...opening.steps import Opened
from ...session.leaving import Outcome
from .. import closed
from ..asyncio.client import ClientConnection
from ..asyncio.connection import Connection
from ..asyncio.server import ServerConnection
from ..driving import DrivenWire
from . import opening

__all__ = [
    "InnerClientConnection",
    "InnerConnection",
    "InnerServerConnection",
    "agreement",
]

# Stand for a handshake that another program's server has done.
_UNKNOWN = Request("/", Headers()), Response(101, "", Headers())

_LATER = 2.0
"""Seconds after the time limit of an opening handshake, which sees to itself, at which
one that a program does in its own way is over."""

# Ends that are somebody's failure, and what they are failed with.
_FAILURES = frozenset(
    {Cause.PEER_ERROR, Cause.LIMIT, Cause.KEEPALIVE, Cause.HANDLER, Cause.NETWORK}
)


def agreement(extensions: Sequence[Any], subprotocol: str | None) -> Opened:
    """Return the result of an opening handshake that somebody else has done."""
    request, response = _UNKNOWN
    return Opened(request, response, subprotocol, *split(extensions))


class InnerConnection(Connection):
    """What works for a :class:`WebSocketCommonProtocol`."""

    _outer: Any
    """The connection of a former edition that this works for."""
    _frames_are_read = False
    """Control frames, too, are read by steps of ``_outer``."""
    _unanswered: tuple[int, str] | None = None
    """The peer's close frame, while a step is answering it."""
    _failed = False
    _fails_halves = False

    @property
    def _driven(self) -> Any:
        return self._outer

    @property
    def _is_told(self) -> bool:
        return bool(self._outer._is_told)

    @property
    def _own_close(self) -> bool:
        return "close" in self._outer._own

    @property
    def logger(self) -> contract.ConnectionLogger:
        """The logger of this side; its records carry the outer connection."""
        if self._adapter is None:
            self._adapter = contract.ConnectionLogger(self._plain_logger, self._outer)
        return self._adapter

    # --- the life of an open connection ------------------------------------------

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection, by ``connection_open()``."""
        if self._session is None:
            self._agreed = opened
            self._outer.connection_open()
        if self._session is None:
            name = type(self._outer).__name__
            raise RuntimeError(
                f"{name}.connection_open() must call super().connection_open()"
            )

    def begin(self, *, by_frames: bool) -> None:
        """Begin with messages; ``by_frames`` if steps read control frames, too."""
        agreed = self._agreed
        assert agreed is not None
        self._frames_are_read = by_frames
        super().opened(agreed)
        self._live.kinds = closed.KINDS
        self._live.intake.raw_control = by_frames
        self._live.intake.finishes = True
        if agreed.request is _UNKNOWN[0]:
            self.request = self.response = None

    async def until_ended(self) -> None:
        """Wait until no more data is exchanged: the end of the connection is sure."""
        session = self._live
        while not session.is_over:
            await self._wait_for_state()

    def _hang_up(self, ending: int) -> None:
        super()._hang_up(ending)
        self._tell_of_failure()

    def _tell_of_failure(self) -> None:
        """Have an overridden ``fail_connection()`` know that the connection failed."""
        report = self.close_report
        if report is None or self._failed or report.cause not in _FAILURES:
            return
        self._failed = True
        if "fail_connection" in self._outer._own:
            sent = report.sent or Close(1006)
            self._outer.fail_connection(sent.code, sent.reason)

    def lost(self, exc: BaseException | None) -> None:
        """TCP is gone."""
        super().lost(exc)
        self._tell_of_failure()
        self._outer.abort_pings()

    def _end_of_stream(self) -> EOFError:
        # What a StreamReader raises that is to read the header of a frame.
        return asyncio.IncompleteReadError(b"", 2)

    def _fail_fragmented(self, exc: BaseException) -> None:
        self._outer.fail_connection(1011)

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection, as its program does."""
        await self._outer.close(code, reason)

    # --- control frames, by steps ------------------------------------------------

    def take_control(self, opcode: int, payload: Any) -> None:
        """Do what a control frame asks for."""
        self._live.take_control(int(opcode), payload, self._now())
        self._react()

    def take_close(self) -> None:
        """Take the peer's close frame, unless that was done; answer it."""
        close, self._unanswered = self._unanswered, None
        if close is not None:
            self.take_control(Opcode.CLOSE, close)

    def send_close(self, code: int | None, reason: str) -> None:
        """Send a close frame: the answer to the peer's, or the first."""
        if self._unanswered is not None:
            self.take_close()
        else:
            self._start_close(code, reason)

    def send_ping(self, payload: bytes) -> None:
        """Send a ping that nobody waits for, or that a waiter is known of."""
        self._live.protocol.send_ping(payload)
        self._live.flags |= 2  # OUTPUT


class InnerClientConnection(InnerConnection, ClientConnection):
    """What works for a :class:`WebSocketClientProtocol`."""


class InnerServerConnection(InnerConnection, ServerConnection):
    """What works for a :class:`WebSocketServerProtocol`."""

    _outcome: Opened | None = None
    _tls_is_done = False
    _starts_at_once = True  # handler_task is there from connection_made() on
    # What steps of the handshake that are overridden have agreed on.
    granted: tuple[str | None, Sequence[Any]] | None = None
    chosen: str | None = None

    # --- the server's one task ---------------------------------------------------

    def wire_made(self) -> None:
        """Begin: the socket is accepted."""
        self._outer._register("register")
        super().wire_made()

    def _serve(self) -> Coroutine[Any, Any, None]:
        return self._outer.handler()  # type: ignore[no-any-return]

    def serve(self) -> Coroutine[Any, Any, None]:
        """Return what the task does: open, run the handler, close."""
        return super()._serve()

    def _name_handler(self) -> str:
        handler = self._outer.ws_handler
        return getattr(handler, "__qualname__", type(handler).__name__)

    def _task_ended(self, task: Any) -> None:
        vars(self._outer).setdefault("handler_task", task)
        super()._task_ended(task)
        self._outer._register("unregister")

    @property
    def _fails_by_itself(self) -> bool:
        return True

    async def _fail_by_itself(self) -> None:
        self._outer.fail_connection(1011)
        await self.wait_closed()

    async def _leave_block(self, outcome: Outcome, exc: BaseException | None) -> None:
        if exc is None:
            await super()._leave_block(outcome, exc)
        else:
            await self._fail_by_itself()

    def _hang_up(self, ending: int) -> None:
        super()._hang_up(ending)
        report = self.close_report
        if report is not None and report.cause is Cause.KEEPALIVE:
            self._wire.close()  # no use in waiting for who does not answer

    # --- the opening handshake ---------------------------------------------------

    @property
    def _acceptor(self) -> Callable[..., accepting.Acceptor]:  # type: ignore[override]
        own = self._outer._own
        return opening.Acceptor if own & opening.EXCHANGING else opening.PlainAcceptor

    async def _open(self) -> Opened | None:
        """Return what the opening handshake agreed on, None if it was refused."""
        if "handshake" not in self._outer._own:
            return await self.shake_hands()
        try:
            return await self._open_by_handshake()
        finally:
            self._outer._acceptor_now = None

    async def shake_hands(self) -> Opened | None:
        """Do the opening handshake as the attributes of the outer connection say."""
        self._settings = self._outer._settings_now()
        try:
            self._outcome = await super()._open()
        finally:
            self._outer._acceptor_now = None
        return self._outcome

    async def _open_by_handshake(self) -> Opened | None:
        outer = self._outer
        given = {
            "origins": outer.origins,
            "available_extensions": outer.available_extensions,
            "available_subprotocols": outer.available_subprotocols,
            "extra_headers": outer.extra_headers,
        }
        arguments = opening.accepted_arguments(outer.handshake, given)
        deadline = self._ends_at()
        if deadline is not None:
            deadline += _LATER
        try:
            async with asyncio.timeout_at(deadline):
                await self._start_tls()
                await outer.handshake(**arguments)
        except Exception as exc:
            await self._handshake_failed(exc)
            return None
        return self._outcome

    async def _start_tls(self) -> None:
        if not self._tls_is_done:
            self._tls_is_done = True
            await super()._start_tls()

    async def _handshake_failed(self, exc: Exception) -> None:
        """An overridden ``handshake()`` has raised ``exc``: answer, if nobody did."""
        if self._refused is not None and isinstance(exc, InvalidHandshake):
            return  # the client was told
        if self._session is not None:
            self._live.abort(Cause.HANDLER, str(exc), self._now())
            self._react()
        refused = Refused(None, exc, ours=not isinstance(exc, InvalidHandshake))
        if self._outcome is None and self._refused is None:
            acceptor = opening.Acceptor(
                self._settings,
                self,
                self._why_unavailable,
                date=server_connection.date,
            )
            assert self.wire is not None
            refused = await run(acceptor.refusing(exc), Stream(self.wire))
        self._log_refusal(refused)
        await self._linger(refused)

    async def _linger(self, refused: Refused) -> None:
        wire = self.wire
        if not isinstance(wire, DrivenWire):
            await super()._linger(refused)
        elif refused.response is not None:
            # Its transport is somebody else's, who may want to write to it, too.
            await wire.drain()
            wire.close()

    def _why_unavailable(self) -> str | None:
        if not self._outer._is_wanted():
            return accepting.CLOSING
        return super()._why_unavailable()

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection, as its steps have agreed."""
        if self._session is None:
            if self.granted is not None:
                agreed = agreement(self.granted[1], None)
                opened = dataclasses.replace(
                    opened, deflate=agreed.deflate, extensions=agreed.extensions
                )
            # What an override of write_http_response() has sent is what counts.
            opened = dataclasses.replace(
                opened,
                response=self.response,
                subprotocol=self.chosen or opened.subprotocol,
            )
        super().opened(opened)
