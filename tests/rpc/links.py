"""Two ends in one process: a connection whose frames a test writes and reads itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from longwire import Cause, Close, CloseReport, ConnectionClosedError, Side

LOST = CloseReport(cause=Cause.NETWORK, closed_by=None, code=1006, reason="")


class Line:
    """Stands for a connection; the other end is the test.

    ``put`` is what the peer sends, ``sent`` gives what we sent, ``lose`` cuts it.
    """

    subprotocol: str | None
    request = None

    def __init__(self, subprotocol: str | None = "longwire.jsonrpc") -> None:
        self.subprotocol = subprotocol
        self.close_report: CloseReport | None = None
        self.closed_with: int | None = None
        self._in: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._out: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self.quiet = asyncio.Event()

    async def recv(self) -> str | bytes:
        self._check()
        if self._in.empty():
            self.quiet.set()
        frame = await self._in.get()
        if frame is None:
            self.close_report = self.close_report or LOST
            self._check()
        assert frame is not None
        return frame

    async def send(self, frame: str | bytes, text: bool | None = None) -> None:
        await self.open_gate.wait()
        self._check()
        if text and isinstance(frame, bytes):
            frame = frame.decode()
        self._out.put_nowait(frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed_with = code
        self.close_report = CloseReport(
            cause=Cause.LOCAL,
            closed_by=Side.SERVER,
            code=code,
            reason=reason,
            sent=Close(code, reason),
        )
        self._in.put_nowait(None)

    def _check(self) -> None:
        if self.close_report is not None:
            raise ConnectionClosedError(None, None, None, self.close_report)

    def put(self, frame: object) -> None:
        """The peer sends a frame: an object as JSON, str and bytes as they are."""
        self.quiet.clear()
        plain = isinstance(frame, (str, bytes))
        self._in.put_nowait(frame if plain else json.dumps(frame))  # type: ignore[arg-type]

    def lose(self) -> None:
        """The network fails."""
        self.close_report = LOST
        self._in.put_nowait(None)

    def end(self) -> None:
        """The connection ends behind what was put."""
        self._in.put_nowait(None)

    async def frame(self) -> str | bytes:
        """The next frame that we sent, as it is."""
        async with asyncio.timeout(5):
            return await self._out.get()

    async def sent(self) -> Any:
        """The next frame that we sent, as a value."""
        return json.loads(await self.frame())

    async def settled(self) -> list[Any]:
        """What we have sent and nobody looked at, once all that came is dealt with."""
        async with asyncio.timeout(5):
            await self.quiet.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        frames = []
        while not self._out.empty():
            frames.append(json.loads(self._out.get_nowait()))
        return frames

    async def settled_or_closed(self) -> None:
        """Wait until all that came is dealt with, or we have closed."""
        async with asyncio.timeout(5):
            while self.closed_with is None and not self.quiet.is_set():
                await asyncio.sleep(0.001)
