"""``WebSocketCommonProtocol``: what old programs call a connection, on either side.

Its keywords, and methods that were internals once and are documented all the same. The
steps that its tasks were made of are in ``steps.py``.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from ...asyncio import connection
from ...asyncio.broadcast import broadcast as _broadcast
from ...connection import Data, control_payload
from ...core.frames import parse_close
from ...errors import ConnectionClosed, ProtocolError
from ...messages import Cause, Close, Opcode, State
from ...options import Keepalive, Limits, Timeouts
from ...settings import limits_from
from ..variables import limits_of
from .adapting import Running, check_keywords, spell_out, timeout_from
from .steps import Steps

__all__ = ["Behaviour", "WebSocketCommonProtocol", "broadcast"]


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
        return limits_of(
            limits_from(
                max_size=self.max_size,
                max_queue=self.max_queue,
                write_limit=self.write_limit,
            )
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


class WebSocketCommonProtocol(Steps):
    """A connection as former editions documented it.

    Made by the old ``serve`` and ``connect``. ``legacy_recv=True`` is the way of 2.6:
    ``recv()`` returns None at the end. ``read_limit`` is accepted, and of no use:
    nothing is read ahead but what ``max_queue`` allows.
    """

    timeout: float | None
    read_limit: int
    write_limit: int | tuple[int, int | None]

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


spell_out(WebSocketCommonProtocol.__init__, Behaviour, "open_timeout")

# What connections keep of their keywords, by the same names.
_ATTRIBUTES = (
    *("ping_interval", "ping_timeout", "close_timeout", "timeout", "max_size"),
    *("max_queue", "read_limit", "write_limit", "legacy_recv"),
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
