"""Mounted: a connection that an ASGI server holds, as peers see connections.

One task writes what was sent, for a server may wait in ``send`` for its own reasons;
what waits for that task is bounded.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    LimitExceeded,
)
from ..http.heads import Request
from ..messages import Cause, Close, CloseReport, Side
from .callbacks import begin_later

__all__ = ["Mounted", "spread"]

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

WRITE_LIMIT = 32768
"""Bytes that wait for the server above which ``send()`` waits."""
UNSENT = 1 << 20
"""Bytes that wait for the server at which a slow client is given up."""
_CLOSE_TIMEOUT = 10.0
_MAX_REASON = 120
"""Characters of a close reason of ours, which are ASCII: 123 bytes fill its frame."""
_FRAME = 100
"""Bytes that a frame takes besides what it carries."""


class Mounted:
    """A connection of which an ASGI server hands on events."""

    response = None
    on_drain: Callable[[int, str], None] | None = None
    close_report: CloseReport | None = None

    def __init__(
        self,
        request: Request,
        subprotocol: str | None,
        receive: Receive,
        send: Send,
        *,
        max_size: int,
        origins: Any,
    ) -> None:
        self.request = request
        self.subprotocol = subprotocol
        # What it was opened with, where our own connections have it.
        self.protocol = SimpleNamespace(
            origins=origins,
            limits=SimpleNamespace(message=max_size, unsent_bytes=UNSENT),
        )
        self._receive = receive
        self._send = send
        self._max_size = max_size
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._queue: collections.deque[dict[str, Any]] = collections.deque()
        self._size = 0
        self._writer: asyncio.Task[None] | None = None
        self._room: asyncio.Event = asyncio.Event()
        self._sent_close: Close | None = None
        self._closing: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[Any] | None = None
        self._interrupted = False

    # --- receiving ---------------------------------------------------------------

    async def recv(self, decode: bool | None = None) -> str | bytes:
        """Return the next message; raise ConnectionClosed at the end."""
        if self.close_report is not None or self._sent_close is not None:
            raise self._closed()
        self._reader = asyncio.current_task()
        try:
            event = await self._receive()
        except asyncio.CancelledError:
            if not self._interrupted or self._reader is None:
                raise
            # By ourselves, as asyncio.timeout() does it.
            self._interrupted = False
            self._reader.uncancel()
            raise self._closed() from None
        finally:
            self._reader = None
        if event["type"] != "websocket.receive":
            code, reason = event.get("code"), event.get("reason")
            self._end(1005 if code is None else code, reason or "")
            raise self._closed()
        message: Any = event.get("text")
        if message is None:
            message = event.get("bytes", b"")
        if self._is_too_big(message):
            await self.close(1009, f"over size limit ({self._max_size} bytes)")
            raise self._closed()
        return message  # type: ignore[no-any-return]

    def _is_too_big(self, message: str | bytes) -> bool:
        most = self._max_size
        if isinstance(message, str) and len(message) * 4 > most:
            return len(message.encode(errors="surrogatepass")) > most
        return len(message) > most

    # --- sending -----------------------------------------------------------------

    async def send(self, message: str | bytes, text: bool | None = None) -> None:
        """Send a message; wait while many bytes wait for the server."""
        self._put(message, text)
        while self._size > WRITE_LIMIT and self.close_report is None:
            self._room.clear()
            await self._room.wait()

    def offer(self, message: str | bytes, text: bool | None) -> None:
        """Send a message for many; give the connection up where it is too slow."""
        if self.close_report is not None or self._sent_close is not None:
            return
        if self._size + len(message) > UNSENT:
            self._end(1006, "", Cause.LIMIT, f"slow consumer: {self._size} bytes wait")
            return
        self._put(message, text)

    def _put(self, message: str | bytes, text: bool | None) -> None:
        if self.close_report is not None or self._sent_close is not None:
            raise self._closed()
        kind, data = "bytes", message
        if text or (text is None and isinstance(message, str)):
            kind = "text"
            data = message if isinstance(message, str) else message.decode()
        self._queue.append({"type": "websocket.send", kind: data})
        self._size += len(message) + _FRAME
        self._write()

    def _write(self) -> None:
        if self._writer is None:
            self._writer = self._loop.create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            while self._queue:
                event = self._queue.popleft()
                await self._send(event)
                data = event.get("text") or event.get("bytes") or b""
                self._size = max(0, self._size - len(data) - _FRAME)
                self._room.set()
            self._size = 0
        except Exception as exc:
            # Servers raise what they like for a client that has gone.
            self._end(1006, "", Cause.NETWORK, f"sending failed: {exc}", exc)
        finally:
            self._writer = None

    # --- the end -----------------------------------------------------------------

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close after what was sent before, and wait until the server has it."""
        if self.close_report is not None:
            return
        if self._sent_close is None:
            self._sent_close = Close(code, reason)
            self._queue.append(
                {"type": "websocket.close", "code": code, "reason": reason}
            )
            self._write()
        writer = self._writer
        if writer is not None:
            await asyncio.wait([writer], timeout=_CLOSE_TIMEOUT)
        self._end(1006, "", Cause.LOCAL)

    def close_for(self, error: LimitExceeded) -> None:
        """Close with the code of ``error``, before what waits; wait for nothing."""
        if self.close_report is None and self._sent_close is None:
            self._queue.clear()
            closing = self.close(error.code, str(error)[:_MAX_REASON])
            self._closing = begin_later(closing, self._loop)

    async def wait_closed(self) -> None:
        """Wait until the end is known: to who receives, or cannot send."""
        await asyncio.shield(self._ended)

    def leave(self) -> None:
        """Stop writing: the server takes nothing more."""
        if self._writer is not None:
            self._writer.cancel()

    def _end(
        self,
        code: int,
        reason: str,
        cause: Cause = Cause.PEER,
        detail: str = "",
        error: BaseException | None = None,
    ) -> None:
        if self.close_report is not None:
            return
        sent = self._sent_close
        rcvd = None if code == 1006 else Close(code, reason)
        side = None if rcvd is None else Side.CLIENT
        self.close_report = CloseReport(
            cause=cause,
            closed_by=side if sent is None else Side.SERVER,
            code=code,
            reason=reason,
            rcvd=rcvd,
            sent=sent,
            detail=detail,
            error=error,
        )
        self._ended.set_result(None)
        if self._reader is not None:
            self._interrupted = self._reader.cancel()
        self._room.set()
        self._queue.clear()

    def _closed(self) -> ConnectionClosed:
        report = self.close_report
        if report is None:
            return ConnectionClosedOK(None, self._sent_close)
        kind = ConnectionClosedError
        if report.rcvd is not None and report.rcvd.code in (1000, 1001, 1005):
            kind = ConnectionClosedOK  # type: ignore[assignment]
        return kind(report.rcvd, report.sent, None, report)


def spread(connections: list[Any], message: bytes, text: bool) -> None:
    """Send ``message`` to many, whichever kind of connection each of them is."""
    from .. import broadcast

    own = []
    for connection in connections:
        if isinstance(connection, Mounted):
            connection.offer(message, text)
        else:
            own.append(connection)
    if own:
        broadcast(own, message, text=text)
