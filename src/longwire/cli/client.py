"""``longwire connect``: one connection, its input and its output.

Sends each line of the input, shows each message, closes when the input has ended and
no answer has come for a while, when the peer closes, or on a signal.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

from .. import (
    ClientConnection,
    ConnectionClosed,
    ConnectionClosedOK,
    ProtocolError,
    UsageError,
    connect,
)
from ..escaping import one_line
from .output import Output
from .signals import stopping

__all__ = ["InputError", "converse"]


class InputError(Exception):
    """A line of the input cannot be sent."""


async def converse(
    uri: str,
    opening: connect,
    lines: AsyncIterator[bytes],
    output: Output,
    *,
    binary: bool = False,
    wait: float = 0.0,
    slash: bool = False,
) -> bool:
    """Run a connection to its end; return whether it was closed properly.

    ``lines`` are sent as text, or as binary messages. Closes once they have ended and
    nothing was sent or received for ``wait`` seconds. Raises what ``connect`` raises
    when there is no connection, InputError for a line that is not UTF-8. With ``slash``
    lines that begin with / are commands: /ping, /pong, /close.
    """
    ws = await opening
    conversation = _Conversation(ws, output)
    output.opened(uri, ws)
    with stopping() as stop:
        receiving = asyncio.create_task(conversation.receive())
        sending = asyncio.create_task(conversation.send(lines, binary, wait, slash))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait(
                {receiving, sending, stopped}, return_when=asyncio.FIRST_COMPLETED
            )
            # Answers that come before the peer's close frame are still shown.
            await ws.close()
            closed = await receiving
        finally:
            for task in (receiving, sending, stopped):
                task.cancel()
            # The prompt has a terminal to put back in order.
            await asyncio.gather(receiving, sending, stopped, return_exceptions=True)
    normal = isinstance(closed, ConnectionClosedOK)
    output.closed(closed, normal)
    if not sending.cancelled():
        sending.result()  # raises what was wrong with the input
    return normal


class _Conversation:
    """Both directions of one connection, and when it was last used."""

    def __init__(self, ws: ClientConnection, output: Output) -> None:
        self._ws = ws
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()

    async def receive(self) -> ConnectionClosed:
        """Show what comes; return how the connection ended."""
        try:
            while True:
                message = await self._ws.recv()
                self._last = self._loop.time()
                self._output.message(message)
        except ConnectionClosed as closed:
            return closed

    async def send(
        self, lines: AsyncIterator[bytes], binary: bool, wait: float, slash: bool
    ) -> None:
        """Send each line; return when they have ended and all has been quiet."""
        number = 0
        try:
            async for line in lines:
                number += 1
                if slash and line.startswith(b"/"):
                    await self._obey(_text(line, number))
                else:
                    await self._ws.send(line if binary else _text(line, number))
                self._last = self._loop.time()
        except ConnectionClosed:
            return  # receive() knows how
        while (left := self._last + wait - self._loop.time()) > 0:
            await asyncio.sleep(min(left, 3600))  # wait may be infinite

    async def _obey(self, line: str) -> None:
        """Do what a line says that begins with a slash; say what is wrong with it."""
        name, _, rest = line[1:].partition(" ")
        if line.startswith("//"):
            await self._ws.send(line[1:])
            return
        try:
            if name == "ping":
                await self._ws.ping(rest)
            elif name == "pong":
                await self._ws.pong(rest)
            elif name == "close":
                code, _, reason = rest.partition(" ")
                await self._ws.close(int(code or 1000), reason)
            else:
                raise ValueError(f"/{name} is none of /ping, /pong, /close")
        except (UsageError, ProtocolError, ValueError) as exc:
            hint = "// begins a message that begins with /"
            print(f"{one_line(exc)}; {hint}", file=sys.stderr)


def _text(line: bytes, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as exc:
        raise InputError(
            f"line {number} is not UTF-8 at byte {exc.start + 1}; "
            "use --binary to send bytes"
        ) from None
