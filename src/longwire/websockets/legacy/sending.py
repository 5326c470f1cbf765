"""Sending as former editions did it, step by step, where a subclass has a step.

``send()``, ``ping()``, ``pong()`` and ``close()`` are made of ``ensure_open()``,
``write_frame()``, ``write_frame_sync()``, ``drain()`` and ``write_close_frame()``.
Elsewhere the engine sends, and who calls one of them gets what it promises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ...asyncio.connection import items_of
from ...connection import BytesLike, check_fragments, control_payload, opcode_for
from ...core.frames import parse_close, serialize_close
from ...errors import ConnectionClosed, ProtocolError
from ...messages import Opcode, State
from ..asyncio import connection as documented
from ..frames import Close

if TYPE_CHECKING:
    from .inner import InnerConnection

__all__ = ["SENDING", "Sending"]

SENDING = frozenset(
    {"ensure_open", "write_frame", "write_frame_sync", "drain", "write_close_frame"}
)


class Sending:
    """Sending, step by step; see the module's docstring."""

    _own: ClassVar[frozenset[str]]
    _connection: InnerConnection

    _turn: asyncio.Lock | None = None

    if TYPE_CHECKING:
        # What the other parts of the class have.
        state: State
        legacy_recv: bool

        def connection_closed_exc(self) -> ConnectionClosed: ...
        def fail_connection(self, code: int = 1006, reason: str = "") -> None: ...
        async def wait_closed(self) -> None: ...

    @property
    def _steps_to_send(self) -> bool:
        return bool(self._own & SENDING)

    # --- the verbs ---------------------------------------------------------------

    async def _send(self, message: Any, text: bool | None, compress: bool) -> None:
        if not self._steps_to_send:
            try:
                await self._connection.send(message, text, compress=compress)
            except ConnectionClosed as exc:
                self._tell_end(exc)
                raise
            return
        await self.ensure_open()
        if self._turn is None:
            self._turn = asyncio.Lock()
        async with self._turn:
            if isinstance(message, (str, *BytesLike)):
                opcode = opcode_for(message, text)
                await self.write_frame(True, opcode, _bytes(message))
            elif isinstance(message, Mapping):
                raise TypeError("a message cannot be a mapping: send its JSON")
            else:
                check_fragments(message)
                await self._send_fragments(message, text)

    async def _send_fragments(self, message: Any, text: bool | None) -> None:
        opcode: int | None = None
        try:
            async for item in items_of(message):
                if opcode is None:
                    kind = str if isinstance(item, str) else BytesLike
                    opcode = opcode_for(item, text)
                elif not isinstance(item, kind):
                    found = type(item).__name__
                    raise TypeError(f"all fragments must be of one type; found {found}")
                else:
                    opcode = Opcode.CONT
                await self.write_frame(False, opcode, _bytes(item))
            if opcode is not None:
                await self.write_frame(True, Opcode.CONT, b"")
        except BaseException:
            if opcode is not None and self._connection._live.can_send:
                # The peer holds half a message that nobody will finish.
                self.fail_connection(1011)
            raise

    async def _ping(self, data: str | bytes | None) -> Awaitable[float]:
        inner = self._connection
        if not self._steps_to_send:
            try:
                return await inner.ping(data)
            except ConnectionClosed as exc:
                self._tell_end(exc)
                raise
        await self.ensure_open()
        payload = None if data is None else control_payload(data)
        waiter = inner.loop.create_future()
        beat = inner._live.heartbeat
        sent = beat.choose(payload)
        beat.add(sent, waiter, inner._now())
        await self.write_frame(True, Opcode.PING, sent)
        return asyncio.shield(waiter)

    async def _pong(self, data: str | bytes) -> None:
        if not self._steps_to_send:
            try:
                await self._connection.pong(data)
            except ConnectionClosed as exc:
                self._tell_end(exc)
                raise
            return
        await self.ensure_open()
        await self.write_frame(True, Opcode.PONG, control_payload(data))

    def _tell_end(self, exc: ConnectionClosed) -> None:
        if "connection_closed_exc" in self._own:
            raise self.connection_closed_exc() from exc.__cause__

    async def _close(self, code: int, reason: str) -> None:
        inner = self._connection
        if not self._steps_to_send:
            await documented.Connection.close(inner, code, reason)
            return
        if inner._live.can_send:
            await self.write_close_frame(Close(code, reason))
        await self.wait_closed()

    # --- the steps ---------------------------------------------------------------

    async def ensure_open(self) -> None:
        """Raise ConnectionClosed unless the connection is open.

        Waits for its end while it is closing.
        """
        session = self._connection._live
        if session.can_send:
            return
        try:
            await self._connection._raise_closed(session)
        except ConnectionClosed as exc:
            self._tell_end(exc)
            raise

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
        await self.drain()

    def write_frame_sync(self, fin: bool, opcode: int, data: bytes) -> None:
        """Send one frame, without waiting for a slow peer.

        Data frames may be fragments; control frames are checked as ``ping()``,
        ``pong()`` and ``close()`` check them.
        """
        inner, kind, payload = self._connection, Opcode(opcode), bytes(data)
        session = inner._live
        if kind < Opcode.CLOSE:
            session.send(kind, payload, fin, True)
        elif not fin:
            raise ProtocolError("control frame is fragmented")
        elif kind is Opcode.CLOSE:
            code, reason = parse_close(payload)
            inner.send_close(None if code == 1005 else code, reason)
        elif kind is Opcode.PING:
            inner.send_ping(control_payload(payload))
        else:
            session.pong(control_payload(payload))
        inner._react()

    async def drain(self) -> None:
        """Wait while the peer is slow."""
        inner = self._connection
        if not inner._live.writable:
            await inner._drain(inner._live)

    async def write_close_frame(self, close: Close, data: bytes | None = None) -> None:
        """Send a close frame, if none was sent; ``data`` is its payload if given."""
        if not self._connection._live.can_send:
            return
        if data is None:
            code = None if close.code == 1005 else int(close.code)
            data = serialize_close(code, close.reason)
        await self.write_frame(True, Opcode.CLOSE, data)


def _bytes(message: Any) -> bytes:
    return message.encode() if isinstance(message, str) else bytes(message)
