"""Where ``longwire connect`` gets the messages it sends: a prompt, or stdin.

Both are asynchronous iterators of lines that end where the input does.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History

__all__ = ["given_lines", "prompt_lines", "stdin_lines"]

_CHUNK = 65536
_CHUNKS_AHEAD = 16
"""Chunks read and not sent yet at which reading stops."""


async def stdin_lines(descriptor: int = 0) -> AsyncIterator[bytes]:
    """Yield the lines of stdin without their ends, the last one even unfinished.

    None if the process was started without a stdin: its number may be a socket's by
    now. A thread reads, because a loop can wait for a pipe but not for a file. It reads
    the descriptor: ``sys.stdin`` would stay locked when the process ends first.
    """
    if sys.stdin is None:
        return
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue()
    room = threading.Semaphore(_CHUNKS_AHEAD)

    def read() -> None:
        chunk = b"."
        while chunk:
            room.acquire()
            try:
                chunk = os.read(descriptor, _CHUNK)
            except OSError:
                chunk = b""  # a terminal that has gone
            try:
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            except RuntimeError:
                return  # the loop is closed: nobody wants it

    threading.Thread(target=read, name="longwire-stdin", daemon=True).start()
    begun: list[bytes] = []
    while chunk := await chunks.get():
        room.release()
        *ended, rest = chunk.split(b"\n")
        for end in ended:
            begun.append(end)
            yield b"".join(begun).removesuffix(b"\r")
            begun.clear()
        if rest:
            begun.append(rest)
    if begun:
        yield b"".join(begun)


async def given_lines(lines: Iterable[str]) -> AsyncIterator[bytes]:
    """Yield the lines of a command's arguments."""
    for line in lines:
        yield line.encode("utf-8", "surrogateescape")


async def prompt_lines() -> AsyncIterator[bytes]:
    """Yield lines typed at a prompt with history, until Ctrl-D or Ctrl-C."""
    from prompt_toolkit import PromptSession

    session: PromptSession[str] = PromptSession("> ", history=_history())
    while True:
        try:
            line = await session.prompt_async()
        except (EOFError, KeyboardInterrupt):
            return
        # What a terminal could not decode goes out as it came in.
        yield line.encode("utf-8", "surrogateescape")


def _history() -> History:
    """Return the history of former sessions, or one for this session alone."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    path = history_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What people type may be secret, so the file is theirs alone.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def history_path() -> pathlib.Path:
    """Return where typed lines are kept."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return pathlib.Path(state).expanduser() / "longwire" / "history"
