"""One connection under an ASGI application: events to verbs, and back.

The application runs in the connection's one task. What it sends before the connection
is open answers the opening handshake; afterwards each event is one call of the
connection's own verbs.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import Coroutine, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from ..asyncio import native
from ..asyncio.driver import Stream, run
from ..asyncio.server_connection import ServerConnection
from ..errors import ConnectionClosed
from ..escaping import excerpt
from ..http.heads import Response
from ..messages import Cause
from ..opening.server_plan import CLOSING, Refused
from ..session.leaving import Outcome, outcome_of
from ..session.session import HALF_CLOSE, check_close
from .acceptor import Opening
from .events import (
    ClientDisconnected,
    Event,
    body_of,
    close_of,
    disconnect,
    headers_of,
    message_of,
    received,
    scope_of,
    status_of,
    unexpected,
)

if TYPE_CHECKING:
    from .uvicorn import Host

__all__ = ["AsgiConnection"]


SERVICE_RESTART = 1012
"""Close code of a server that ends (registered with IANA)."""
HANDLER = Cause.HANDLER


class Phase(enum.Enum):
    """Where the application is with its connection: what it may send there."""

    CONNECTING = (
        "'websocket.accept', 'websocket.close' or 'websocket.http.response.start'"
    )
    OPEN = "'websocket.send' or 'websocket.close'"
    DENYING = "'websocket.http.response.body'"
    OVER = ""


class AsgiConnection(ServerConnection):
    """A client's connection whose handler is an ASGI application."""

    _logger_name = "uvicorn.error"

    server: Host
    entry: Any = None
    """What uvicorn knows the connection by."""

    _starts_at_once = True  # the request is here: uvicorn has read it
    _phase = Phase.CONNECTING
    _shut_down = False  # by the server, and not by the application
    _told = False  # the application has received websocket.connect
    _scope: dict[str, Any]
    _state: Mapping[str, Any]
    # The opening handshake, until it is over; the response that refuses, as it comes.
    _acceptance: Opening | None = None
    _denial: Response | None = None
    _chunked = False
    _decided: asyncio.Event

    # --- the task ----------------------------------------------------------------

    def _serve(self) -> Coroutine[Any, Any, None]:
        """Return the coroutine of the connection's one task."""
        return self._run()

    async def _run(self) -> None:
        self._decided = asyncio.Event()
        try:
            if await self._read_request():
                await self._run_application()
        finally:
            self._left()

    async def _read_request(self) -> bool:
        """Read the request and refuse what is none; return whether it is one."""
        wire = self.wire
        assert wire is not None
        host = self.server
        self._acceptance = opening = Opening(
            self._settings,
            self,
            self._why_unavailable,
            date=host.date,
            secure=wire.is_tls or None,
        )
        opening.default_headers = host.default_headers(self.entry.state.default_headers)
        try:
            async with asyncio.timeout_at(self._ends_at()) as self._opening:
                refused = await run(opening.reading(), Stream(wire))
        except TimeoutError:
            refused, answer = opening.interrupted(self._interrupted)
            wire.write(answer)
        finally:
            self._opening = None
        if refused is None:
            return True
        self._log_refusal(refused)
        self._phase = Phase.OVER
        await self._linger(refused)
        return False

    async def _run_application(self) -> None:
        """Call the application, and end the connection for how it ended."""
        assert self.request is not None and self._acceptance is not None
        assert self.wire is not None
        host = self.server
        self._scope = scope_of(
            self.request,
            secure=self.wire.is_tls,
            server=self.local_address,
            client=self.remote_address,
            root_path=host.root_path,
            subprotocols=self._acceptance.subprotocols,
            state=self._state,
            asgi_version=host.asgi_version,
        )
        exc: BaseException | None = None
        try:
            result = await host.application(self._scope, self.receive, self.send_event)
        except BaseException as failure:
            exc = failure
        else:
            if result is not None:
                self.logger.error(
                    "ASGI callable should return None, but returned %s",
                    excerpt(repr(result)),
                )
        self.entry.application_ended()
        if self._session is not None:
            await self._leave(exc)
        else:
            await self._leave_unopened(exc)

    async def _leave(self, exc: BaseException | None) -> None:
        """The application has ended: end the connection, if it did not.

        Then TCP ends without a close frame, so that the client sees 1006: uvicorn
        promises that, and its users' clients come again for it.
        """
        session = self._live
        outcome = outcome_of(exc, session, from_outside=self._is_stopped(exc))
        if outcome is Outcome.STOPPED:
            assert exc is not None
            raise exc  # the task's; _left() closes without waiting
        self._log_outcome(outcome, exc)
        if session.can_send:
            text = "the application returned without 'websocket.close'"
            cause = Cause.LOCAL
            if outcome is Outcome.FAILED:
                text, cause = f"the application raised {type(exc).__name__}", HANDLER
            session.abort(cause, text, self._now(), HALF_CLOSE)
            self._react()
        await self.wait_closed()

    async def _leave_unopened(self, exc: BaseException | None) -> None:
        """The application has ended without accepting the client."""
        if exc is not None:
            if self._is_stopped(exc):
                raise exc
            self._log_outcome(Outcome.FAILED, exc)
        elif self._phase is Phase.CONNECTING and not self._left_early:
            self.logger.error(
                "ASGI callable returned without sending 'websocket.accept'"
            )
        elif self._phase is Phase.DENYING:
            self.logger.error("ASGI callable returned without completing the response")
        opening = self._acceptance
        assert opening is not None
        if self._left_early or self._phase is Phase.OVER:
            return
        if self._denial is not None:  # only its body is missing
            await self._deny({"type": "websocket.http.response.body"})
        elif self._phase is Phase.CONNECTING:
            await self._refuse_with(*opening.refuse(500, "Internal Server Error"))

    def _log_outcome(self, outcome: Outcome, exc: BaseException | None) -> None:
        if outcome is Outcome.FAILED:
            self.logger.error("Exception in ASGI application\n", exc_info=exc)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._acceptance = None
        super()._task_ended(task)
        entry, self.entry = self.entry, None
        entry.connection_ended()

    # --- what the application receives -------------------------------------------

    async def receive(self) -> dict[str, Any]:
        """Return the next event; after the end, ``websocket.disconnect`` again."""
        if self._session is None:
            early = await self._receive_early()
            if early is not None:
                return early
        try:
            return received(await self.recv())
        except ConnectionClosed as closed:
            return disconnect(closed, self._shut_down)

    async def _receive_early(self) -> dict[str, Any] | None:
        """Return an event of a connection that is not open; None once it is."""
        if not self._told:
            self._told = True
            return {"type": "websocket.connect"}
        wire = self.wire
        assert wire is not None
        if not (wire.got_eof or wire.lost):
            await self._decided.wait()
        return disconnect() if self._session is None else None

    def peer_left(self) -> None:
        """Have the application know that its client has gone before it was accepted."""
        self._left_early = True
        super().peer_left()
        self._decided.set()

    # --- what the application sends ----------------------------------------------

    async def send_event(self, event: Event) -> None:
        """Do what ``event`` says.

        Raises ClientDisconnected where the client has gone, RuntimeError for an event
        that has no place now, TypeError or ValueError for one that says nonsense.
        """
        kind = event["type"]
        if kind == "websocket.send" and self._phase is Phase.OPEN:
            try:
                await self.send(message_of(event))
            except ConnectionClosed as closed:
                raise ClientDisconnected(str(closed)) from closed
            return
        await self._send_rarely(kind, event)

    async def _send_rarely(self, kind: str, event: Event) -> None:
        match kind, self._phase:
            case "websocket.accept", Phase.CONNECTING:
                self._check_client()
                self._accept(event)
            case "websocket.close", Phase.CONNECTING:
                self._check_client()
                await self._forbid()
            case "websocket.close", Phase.OPEN:
                code, reason = close_of(event)
                check_close(code, reason)
                self._phase = Phase.OVER
                if not self._live.can_send:
                    raise ClientDisconnected("the connection has ended")
                self._start_close(code, reason)
            case "websocket.http.response.start", Phase.CONNECTING:
                self._check_client()
                self._begin_denial(event)
            case "websocket.http.response.body", Phase.DENYING:
                await self._deny(event)
            case _:
                phase = self._phase
                raise unexpected(kind, phase.value)

    def _check_client(self) -> None:
        if self._left_early:
            raise ClientDisconnected("the client has gone")

    def _accept(self, event: Event) -> None:
        opening, wire = self._acceptance, self.wire
        assert opening is not None and wire is not None
        opened = opening.accept(event.get("subprotocol"), headers_of(event))
        self.wire = wire = native.adopt(wire, self)
        wire.write(opened.response.serialize())
        self._phase = Phase.OPEN
        self._log_answer("[accepted]")
        self.opened(opened)
        self._acceptance = None
        self._decided.set()
        self.server._has_opened(self)

    async def _forbid(self) -> None:
        """Refuse with 403: what 'websocket.close' means before the connection."""
        opening = self._acceptance
        assert opening is not None
        self._log_answer("403")
        await self._refuse_with(*opening.refuse(403, ""))

    async def _refuse_with(self, refused: Refused, data: bytes) -> None:
        wire = self.wire
        assert wire is not None
        self._phase = Phase.OVER
        wire.write(data)
        self._decided.set()
        await self._linger(refused)

    def _log_answer(self, what: str) -> None:
        client = self._scope.get("client")
        self.logger.info(
            '%s - "WebSocket %s" %s',
            "" if client is None else f"{client[0]}:{client[1]}",
            excerpt(self._scope["path"]),
            what,
        )

    # --- a response in place of a connection -------------------------------------

    def _begin_denial(self, event: Event) -> None:
        status, headers = status_of(event), headers_of(event)
        headers["Connection"] = "close"
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        self._denial = Response(status, phrase, headers)
        self._phase = Phase.DENYING
        self._log_answer(str(status))

    async def _deny(self, event: Event) -> None:
        """Write a piece of the body; the first one with the head before it."""
        opening, wire = self._acceptance, self.wire
        assert opening is not None and wire is not None
        body, more = body_of(event)
        response, self._denial = self._denial, None
        if response is not None:
            self._frame_denial(response, body, more)
            wire.write(opening.answer(response)[1])
        if self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"" if more else b"0\r\n\r\n"
        if body:
            wire.write(body)
        if more:
            await wire.drain()
            self._check_client()
            return
        self._phase = Phase.OVER
        assert self.response is not None
        self._decided.set()
        await self._linger(Refused(self.response))

    def _frame_denial(self, response: Response, body: bytes, more: bool) -> None:
        """Say where the body ends (RFC 9112 section 6.3)."""
        headers = response.headers
        headers.pop("Transfer-Encoding", None)
        if "Content-Length" in headers or response.status_code in (204, 304):
            return
        if more:
            headers["Transfer-Encoding"] = "chunked"
            self._chunked = True
        else:
            headers["Content-Length"] = str(len(body))

    # --- the end of the server ---------------------------------------------------

    def shut_down(self) -> None:
        """Close, for the server ends: with 1012, or an error while opening."""
        session = self._session
        if session is not None:
            if session.can_send:
                self._shut_down = True
                self._start_close(SERVICE_RESTART, "")
            else:  # no longer waits for the peer's close frame
                text = "the server ended"
                session.abort(Cause.LOCAL, text, self._now(), HALF_CLOSE)
                self._react()
        elif self._opening is not None:
            self._interrupt(CLOSING)
        elif self._phase is Phase.CONNECTING and self._acceptance is not None:
            wire = self.wire
            assert wire is not None
            # 500, as uvicorn promises.
            wire.write(self._acceptance.refuse(500, "Internal Server Error")[1])
            wire.close()
            self._left_early = True
            self._decided.set()
        elif self.wire is not None:
            self.wire.close()  # the client has its answer

    def _who(self) -> str:
        """Return the client, as the application knows it, and the path."""
        scope = self.__dict__.get("_scope")
        if scope is None:
            return super()._who()
        client = scope.get("client")
        where = "a Unix socket" if client is None else f"{client[0]}:{client[1]}"
        return f"from {where}, {excerpt(scope['path'])}"

    @property
    def awaits_close(self) -> float | None:
        """When the peer's answer to our close frame has to be there, if it is due."""
        session = self._session
        if session is None or session.can_send or session.is_over:
            return None
        return session.next_deadline()

    def set_close_timeout(self, seconds: float | None) -> None:
        """Wait so long for it; to be set before the connection is open."""
        self._timeouts = dataclasses.replace(self._timeouts, close=seconds)

    def _name_handler(self) -> str:
        application = cast(Any, self.server.application)
        return getattr(application, "__qualname__", type(application).__name__)
