"""``WebSocketCommonProtocol``: what old programs call a connection, on either side.

The methods of former editions that were steps of a task of theirs have nothing to do
in longwire's engine; ``NOT_PROVIDED`` names them. Who asks for one is told why it is
missing, and who overrides one that it is never called.
"""

from __future__ import annotations

import asyncio
import dataclasses
import warnings
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...asyncio import connection
from ...asyncio.broadcast import broadcast as _broadcast
from ...connection import Data, control_payload
from ...core.frames import parse_close
from ...errors import ConnectionClosed, ProtocolError
from ...messages import Cause, Close, Opcode, State
from ...options import Keepalive, Limits, Timeouts
from ...settings import limits_from
from ..old_names import OldNames
from .adapting import Running, check_keywords, timeout_from

__all__ = ["NOT_PROVIDED", "Behaviour", "WebSocketCommonProtocol", "broadcast"]

_READ = "bytes are parsed as they arrive, by one decoder that is not to be called"
_OPENING = "the opening handshake is one plan, not a step of the connection"
_TIMERS = "one timer of the loop does this for all connections"

NOT_PROVIDED: Mapping[str, str] = {
    "abort_pings": _TIMERS,
    "close_connection": "no task is in charge of closing; use close()",
    "close_transport": "no task is in charge of closing; use fail_connection()",
    "connection_open": _OPENING,
    # This one is of connect.
    "handle_redirect": "redirects are followed within; set MAX_REDIRECTS_ALLOWED",
    "handler": "the server runs handlers; override ws_handler, or pass another",
    "keepalive_ping": f"{_TIMERS}; set ping_interval and ping_timeout",
    "process_extensions": f"{_OPENING}; pass extensions=",
    "process_origin": f"{_OPENING}; pass origins=",
    "process_subprotocol": f"{_OPENING}; override select_subprotocol()",
    "read_data_frame": _READ,
    "read_frame": _READ,
    "read_http_request": _OPENING,
    "read_http_response": _OPENING,
    "read_message": f"{_READ}; use recv()",
    "transfer_data": _READ,
    "write_http_request": _OPENING,
    "write_http_response": _OPENING,
}
"""Internals of former editions that are not here, and why."""


@dataclasses.dataclass(kw_only=True)
class Behaviour:
    """The keywords that every protocol class takes, and what they stand for."""

    logger: Any = None
    open_timeout: float | None = 10
    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    close_timeout: float | None = None
    max_size: int | tuple[int | None, int | None] | None = 2**20
    max_queue: int | tuple[int | None, int | None] | None = 2**5
    read_limit: int = 2**16
    write_limit: int | tuple[int, int | None] = 2**16
    host: str | None = None
    port: int | None = None
    secure: bool | None = None
    legacy_recv: bool = False
    loop: asyncio.AbstractEventLoop | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        self.close_timeout = timeout_from(self.close_timeout, self.timeout)
        self.timeout = self.close_timeout
        Running(self.loop)

    @property
    def limits(self) -> Limits:
        """Limits; ``read_limit`` has none: buffers hold what was read, no more."""
        return limits_from(
            max_size=self.max_size,
            max_queue=self.max_queue,
            write_limit=self.write_limit,
        )

    @property
    def timeouts(self) -> Timeouts:
        """Times for opening and closing."""
        return Timeouts(open=self.open_timeout, close=self.close_timeout)

    @property
    def keepalive(self) -> Keepalive:
        """Times for pings."""
        return Keepalive(interval=self.ping_interval, timeout=self.ping_timeout)

    @classmethod
    def of(cls, owner: object, keywords: Mapping[str, Any]) -> Behaviour:
        """Return what ``keywords`` of the class of ``owner`` say."""
        known = {field.name for field in dataclasses.fields(cls)}
        check_keywords(type(owner).__name__, keywords, known)
        return cls(**keywords)


class WebSocketCommonProtocol(OldNames):
    """A connection as former editions documented it.

    Made by the old ``serve`` and ``connect``. ``legacy_recv=True`` is the way of 2.6:
    ``recv()`` returns None at the end. ``read_limit`` is accepted, and of no use:
    nothing is read ahead but what ``max_queue`` allows.
    """

    ping_interval: float | None
    ping_timeout: float | None
    close_timeout: float | None
    timeout: float | None
    max_size: int | tuple[int | None, int | None] | None
    max_queue: int | tuple[int | None, int | None] | None
    read_limit: int
    write_limit: int | tuple[int, int | None]
    legacy_recv: bool

    def __init__(self, **kwargs: Any) -> None:
        behaviour = Behaviour.of(self, kwargs)
        connection.Connection.__init__(self, behaviour)
        self._behave(behaviour)

    def _behave(self, behaviour: Behaviour) -> None:
        """Keep what the attributes of old are asked for."""
        for name in _ATTRIBUTES:
            setattr(self, name, getattr(behaviour, name))
        self._host, self._port = behaviour.host, behaviour.port
        self._secure = behaviour.secure
        if behaviour.legacy_recv:
            self.recv = self._recv_or_none  # type: ignore[method-assign,assignment]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in NOT_PROVIDED.keys() & vars(cls).keys():
            text = f"{cls.__name__}.{name} is never called: {NOT_PROVIDED[name]}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)

    if not TYPE_CHECKING:  # to a type checker it would promise every name

        def __getattr__(self, name: str) -> Any:
            if name in NOT_PROVIDED:
                kind = type(self).__name__
                raise AttributeError(f"{kind} has no {name}: {NOT_PROVIDED[name]}")
            # Again, for the words of a property that has no value yet.
            return object.__getattribute__(self, name)

    # --- receiving ---------------------------------------------------------------

    async def _recv_or_none(self, decode: bool | None = None) -> Data | None:
        """Return the next message, or None at the end, as in 2.6."""
        try:
            return await super().recv(decode)
        except ConnectionClosed:
            return None

    def __aiter__(self) -> AsyncIterator[Data]:
        """Iterate over messages; ends when the connection is closed properly."""
        if self.legacy_recv:
            return self._until_none()
        return super().__aiter__()

    async def _until_none(self) -> AsyncIterator[Data]:
        async for message in super().__aiter__():
            if message is None:
                return
            yield message

    # --- what internals of old can be in this engine ------------------------------

    async def ensure_open(self) -> None:
        """Raise ConnectionClosed unless the connection is open."""
        if not self._live.is_open:
            await self._raise_closed(self._live)

    def connection_closed_exc(self) -> ConnectionClosed:
        """Return a new exception that says how the connection ended."""
        return self._live.exception()

    def fail_connection(self, code: int = 1006, reason: str = "") -> None:
        """End the connection without waiting for the peer.

        A close frame is sent unless ``code`` is 1006.
        """
        session, now = self._live, self._now()
        if code != 1006:
            session.close(code, reason, now)
        self._react()
        session.abort(Cause.LOCAL, f"failed with {code}", now)
        self._react()

    async def wait_for_connection_lost(self) -> bool:
        """Return whether TCP ended within ``close_timeout`` from now."""
        try:
            async with asyncio.timeout(self.close_timeout):
                await self.wait_closed()
        except TimeoutError:
            return False
        return True

    @property
    def worker(self) -> asyncio.Task[None]:
        """A task that is done when the connection has ended, as in 2.6."""
        task: asyncio.Task[None] | None = vars(self).get("_worker")
        if task is None:
            task = asyncio.get_running_loop().create_task(self.wait_closed())
            self._worker = task
        return task

    def write_frame_sync(self, fin: bool, opcode: int, data: bytes) -> None:
        """Send one frame, without waiting for a slow peer.

        Data frames may be fragments; control frames are checked as ``ping()``,
        ``pong()`` and ``close()`` check them.
        """
        session, now = self._live, self._now()
        kind = Opcode(opcode)
        if kind in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            session.send(kind, bytes(data), fin, True)
        elif not fin:
            raise ProtocolError("control frame is fragmented")
        elif kind is Opcode.CLOSE:
            code, reason = parse_close(bytes(data))
            session.close(None if code == 1005 else code, reason, now)
        elif kind is Opcode.PING:
            future = asyncio.get_running_loop().create_future()
            session.ping(control_payload(data), future, now)
        else:
            session.pong(control_payload(data))
        self._react()

    async def write_frame(
        self, fin: bool, opcode: int, data: bytes, *, _state: State = State.OPEN
    ) -> None:
        """Send one frame; waits while the peer is slow.

        Raises RuntimeError unless the connection is in ``_state``.
        """
        if self.state is not _state:
            raise RuntimeError(
                f"cannot write to a WebSocket in the {self.state.name} state"
            )
        self.write_frame_sync(fin, opcode, data)
        if not self._live.writable:
            await self._drain(self._live)

    async def write_close_frame(self, close: Close, data: bytes | None = None) -> None:
        """Send a close frame, if none was sent; ``data`` is its payload if given."""
        code, reason = (close.code, close.reason) if data is None else parse_close(data)
        self._start_close(None if code == 1005 else code, reason)


_ATTRIBUTES = tuple(
    name for name in WebSocketCommonProtocol.__annotations__ if name != "NOT_PROVIDED"
)


def broadcast(
    websockets: Iterable[connection.Connection],
    message: Data | bytearray | memoryview,
    raise_exceptions: bool = False,
    *,
    text: bool | None = None,
) -> None:
    """Send ``message`` to all of ``websockets`` that are open, without waiting.

    Any iterable will do. A connection that fails does not keep the message from the
    others: that is logged or, with ``raise_exceptions``, raised at the end.
    """
    _broadcast(websockets, message, text=text, raise_exceptions=raise_exceptions)
