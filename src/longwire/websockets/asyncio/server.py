"""``serve``, ``unix_serve``, their servers and connections: longwire's own.

The logger's name is this API's, ``websockets.server``, and so are the variables, which
begin with ``WEBSOCKETS_``; and a handler that lets the loss of its connection through
is in the log with it, as documented.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import socket
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, ParamSpec, Self

from ...asyncio import server as engine
from ...asyncio import server_connection, transport
from ...asyncio.auth import basic_auth
from ...asyncio.broadcast import broadcast
from ...asyncio.listening import Listening
from ...messages import Cause, Side
from ...opening.server_plan import LEFT, Refused, ServerSettings
from ...opening.steps import Opened
from ...session.leaving import Outcome
from .. import variables
from ..aliases import give_aliases
from ..documented import DocumentedServer, of_server
from ..driving import TellingWire
from ..http11 import SERVER as SERVER_HEADER
from ..overriding import overridden
from .connection import Connection
from .view import View

__all__ = [
    "Server",
    "ServerConnection",
    "as_documented",
    "basic_auth",
    "broadcast",
    "serve",
    "unix_serve",
]

P = ParamSpec("P")


_LATER = 2.0
"""Seconds after the time limit of an opening handshake, which sees to itself, at which
one that a subclass does in its own way is over."""


class ServerConnection(
    DocumentedServer, Connection, server_connection.ServerConnection
):
    __doc__ = server_connection.ServerConnection.__doc__

    _own_handshake: ClassVar[bool] = False
    _refused: Refused | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._own_handshake = bool(overridden(cls, ("handshake",)))

    # --- the opening handshake ---------------------------------------------------

    async def handshake(
        self,
        process_request: Callable[..., Any] | None = None,
        process_response: Callable[..., Any] | None = None,
        server_header: str | None = SERVER_HEADER,
    ) -> None:
        """Do the opening handshake; called where a subclass overrides it.

        Where the client was refused it has its answer, and ``state`` is not OPEN.
        """
        self._settings = dataclasses.replace(
            self._settings,
            process_request=process_request,
            process_response=process_response,
            server_header=server_header,
        )
        opened = await super()._open()
        if opened is not None:
            self.opened(opened)

    async def _open(self) -> Opened | None:
        """Return what the opening handshake agreed on, None if it was refused."""
        if not self._own_handshake:
            return await super()._open()
        settings, deadline = self._settings, self._ends_at()
        if deadline is not None:
            deadline += _LATER
        try:
            async with asyncio.timeout_at(deadline):
                await self.handshake(
                    settings.process_request,
                    settings.process_response,
                    settings.server_header,
                )
            if self._session is None and self._refused is None:
                name = type(self).__name__
                raise RuntimeError(f"{name}.handshake() must call super().handshake()")
        except Exception as exc:
            self._log_refusal(Refused(None, exc, ours=True))
            if self._session is not None:
                self._live.abort(Cause.HANDLER, str(exc), self._now())
                self._react()
            return None
        return None if self._session is None else self._agreed

    def _log_refusal(self, refused: Refused) -> None:
        self._refused = refused
        self._handshake_exc = refused.exc
        super()._log_refusal(refused)

    def opened(self, opened: Opened) -> None:
        """Begin the life of an open connection, unless ``handshake()`` did that."""
        if self._session is None:
            super().opened(opened)

    def _why_unavailable(self) -> str | None:
        return LEFT if self._closed_early else super()._why_unavailable()

    async def _leave_block(self, outcome: Outcome, exc: BaseException | None) -> None:
        if outcome is Outcome.FAILED and self._live.can_send and self._fails_by_itself:
            await self._fail_by_itself()
        else:
            await super()._leave_block(outcome, exc)

    @property
    def _fails_by_itself(self) -> bool:
        """Whether a handler that failed is not longwire's to end the connection for."""
        return self._own_close

    async def _fail_by_itself(self) -> None:
        await self.close(1011)


class Server(engine.Server):
    __doc__ = engine.Server.__doc__

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        """No warning is documented of a server that was never started."""

    @property
    def server(self) -> Listening | None:
        """What listens, with the methods of an :class:`asyncio.Server`."""
        return self._server

    def _warn_if_one_shot(self, ws: server_connection.ServerConnection) -> None:
        """Programs watch their logs for warnings, and none is documented for this."""

    @classmethod
    def _made(cls, *args: Any, **kwargs: Any) -> Self:
        """Return a server as longwire's ``serve`` makes one."""
        server = cls.__new__(cls)
        engine.Server.__init__(server, *args, **kwargs)
        return server

    def _close_one(
        self, ws: server_connection.ServerConnection, code: int, reason: str
    ) -> None:
        if isinstance(ws, Connection) and ws._own_close:
            self._run(ws.loop, ws._driven.close(code, reason))
        else:
            super()._close_one(ws, code, reason)

    # --- connections whose subclass is told what their transport does ------------

    def make_wire(self) -> transport.Wire:
        """Return the protocol of one more connection; for ``create_server``."""
        ws = self._make_connection()
        if not _is_told(ws):
            ws.wire = wire = transport.Wire(ws)
            return wire
        ws.wire = wire = TellingWire(ws._driven, tls_first=self._starts_tls)  # type: ignore[attr-defined]
        return wire

    def _attach(
        self, ws: server_connection.ServerConnection, fd: int, peername: Any
    ) -> None:
        if not _is_told(ws):
            super()._attach(ws, fd, peername)
            return
        loop, sock = asyncio.get_running_loop(), socket.socket(fileno=fd)
        ws.wire = wire = TellingWire(ws._driven)  # type: ignore[attr-defined]
        self._run(loop, loop.connect_accepted_socket(lambda: wire, sock))

    def _run(
        self, loop: asyncio.AbstractEventLoop, what: Coroutine[Any, Any, object]
    ) -> None:
        """Run ``what`` in a task."""
        task = loop.create_task(what)
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)


# What keeps tasks that nobody waits for until they are done.
_tasks: set[asyncio.Task[Any]] = set()


def _is_told(ws: server_connection.ServerConnection) -> bool:
    return isinstance(ws, Connection) and ws._is_told


def as_documented(listen: Callable[P, engine.Server]) -> Callable[P, Server]:
    """Return ``listen``, one of longwire's ways to make a server, as this API's."""

    @functools.wraps(listen)
    def make(*args: P.args, **kwargs: P.kwargs) -> Server:
        keywords: dict[str, Any] = kwargs
        of_server(keywords).setdefault("make_server", Server._made)
        create = keywords.get("create_connection")
        keywords["create_connection"] = _maker(create)
        server: Server = listen(*args, **keywords)  # type: ignore[assignment]
        server._settings = variables.as_documented(server._settings, keywords)
        return server

    return make


def _maker(create: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return what makes a connection of a server."""
    if create is None:
        return ServerConnection
    if getattr(create, "__init__", None) is ServerConnection.__init__:
        return create  # it looks at nothing that it is given
    if not callable(create):
        return create  # which longwire refuses

    def make(settings: ServerSettings, server: Any, **keywords: Any) -> Any:
        made = create(View(settings, Side.SERVER), server, **keywords)
        made._settings = settings
        return made

    return make


serve = as_documented(engine.serve)
unix_serve = as_documented(engine.unix_serve)


give_aliases(globals())
