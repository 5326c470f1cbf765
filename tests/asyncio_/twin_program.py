"""Random use of a connection; prints what came of it, for both builds to agree on.

python -m tests.asyncio_.twin_program SEED COUNT
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import AsyncIterator
from typing import Any

import longwire

OPEN = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(first: int, payload: bytes) -> bytes:
    """A masked frame of less than 64 KiB; the key is zero."""
    size = len(payload)
    head = bytes([first, 0x80 | min(size, 126)])
    return head + (size.to_bytes(2, "big") if size > 125 else b"") + bytes(4) + payload


async def settle() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


class Run:
    """One connection; what each call gave is in ``results``, in the order of calls."""

    def __init__(self, dice: random.Random, ws: Any, reader: Any, writer: Any) -> None:
        self.dice = dice
        self.ws = ws
        self.reader = reader
        self.writer = writer
        self.tasks: list[asyncio.Task[Any]] = []
        self.messages = 0
        self.closing = False

    def start(self, work: Any) -> None:
        async def call() -> Any:
            return await work

        self.tasks.append(asyncio.ensure_future(call()))

    async def step(self, number: int) -> None:
        dice, ws = self.dice, self.ws
        kind = dice.choice(("hear", "hear", "recv", "recv", "send", "stream", "other"))
        if kind == "hear" and not self.closing:
            await self.hear(number)
        elif kind == "recv":
            self.start(ws.recv(dice.choice((None, None, True, False))))
        elif kind == "send":
            payload = dice.choice(("text", b"binary", "\u00e9" * 40, bytearray(300), 3))
            text = dice.choice((None, None, True, False))
            self.start(ws.send(payload, text))
        elif kind == "stream":
            count = dice.randrange(4)
            # What nothing is sent of raises once TCP has ended, and when a server ends
            # that is the engine's own affair.
            self.start(ws.send(self.pieces(count or self.closing)))
        else:
            await self.other()
        await settle()

    async def pieces(self, count: int) -> AsyncIterator[str]:
        for piece in range(count):
            await asyncio.sleep(0)
            yield f"piece {piece}"

    async def hear(self, number: int) -> None:
        payload = f"message {number} ".encode() * self.dice.choice((1, 20, 300))
        self.writer.write(frame(self.dice.choice((0x81, 0x82)), payload))
        self.messages += 1
        protocol = self.ws._live.protocol
        async with asyncio.timeout(10):
            while (
                protocol.messages_received < self.messages
                and self.ws.close_report is None
                and self.ws._live.wants_reading
            ):
                await asyncio.sleep(0.001)

    async def other(self) -> None:
        what = self.dice.randrange(12)
        if what < 4 and self.tasks:
            self.dice.choice(self.tasks).cancel()
        elif what < 8:
            self.start(self.ws.pong(b"unasked"))
        elif what == 8 and not self.closing:
            self.closing = True
            self.writer.write(frame(0x88, b"\x03\xe8over"))
            await asyncio.sleep(0.02)
        elif what == 9 and not self.closing:
            self.closing = True
            self.start(self.ws.close(4000, "enough"))

    async def results(self) -> list[Any]:
        self.writer.write(frame(0x88, b"\x03\xe9") if not self.closing else b"")
        self.writer.write_eof()
        async with asyncio.timeout(10):
            sent = await self.reader.read()
            await self.ws.wait_closed()
            await asyncio.wait(self.tasks) if self.tasks else None
        report = self.ws.close_report
        told = [report.cause.name, report.code, report.reason, report.messages_received]
        return [[shown(task) for task in self.tasks], sent.hex(), told]


def shown(task: asyncio.Task[Any]) -> str:
    if task.cancelled():
        return "cancelled"
    exc = task.exception()
    if exc is None:
        return repr(task.result())
    return f"{type(exc).__name__}: {exc}"


async def run(seed: int) -> list[Any]:
    dice = random.Random(seed)
    arrived: asyncio.Queue[Any] = asyncio.Queue()

    async def hold(ws: longwire.ServerConnection) -> None:
        arrived.put_nowait(ws)
        with contextlib.suppress(Exception):
            await ws.wait_closed()

    options: dict[str, Any] = {"ping_interval": None, "close_timeout": 5}
    async with longwire.serve(
        hold, "127.0.0.1", 0, compression=None, server_header=None, **options
    ) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(OPEN)
        await reader.readuntil(b"\r\n\r\n")
        one = Run(dice, await arrived.get(), reader, writer)
        for number in range(30):
            await one.step(number)
        results = await one.results()
        writer.close()
    return results


def main() -> None:
    first, count = map(int, sys.argv[1:])
    for seed in range(first, first + count):
        print(json.dumps([seed, *asyncio.run(run(seed))]))


if __name__ == "__main__":
    main()
