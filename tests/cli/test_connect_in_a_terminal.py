"""`longwire connect` in a terminal: a prompt, what comes above it, history."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import struct
import subprocess
import time

import pytest

import longwire
from tests.support.commands import command, environment
from tests.support.needs import needs

pytestmark = pytest.mark.once

CTRL_C, CTRL_D, UP, ENTER = b"\x03", b"\x04", b"\x1b[A", b"\r"
SECONDS = 15.0


class Terminal:
    """The command in a pseudo-terminal: keys go in, the screen's text comes out."""

    def __init__(self, process: subprocess.Popen[bytes], keyboard: int) -> None:
        self.process = process
        self._keyboard = keyboard
        self._shown = b""

    @property
    def text(self) -> str:
        """What was shown so far, without the sequences that colour and move."""
        text = self._shown.decode("utf-8", "replace")
        text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[=>]", "", text)
        return text.replace("\r", "")

    @property
    def raw(self) -> bytes:
        """What was shown so far, as it came."""
        return self._shown

    async def until(self, text: str) -> None:
        """Wait until ``text`` was shown."""
        deadline = time.monotonic() + SECONDS
        while text not in self.text:
            assert time.monotonic() < deadline, f"no {text!r} in {self.text!r}"
            await asyncio.sleep(0.02)
            self._read()

    def press(self, keys: bytes) -> None:
        os.write(self._keyboard, keys)

    async def end(self) -> int:
        """Wait for the end of the command; return its exit status."""
        deadline = time.monotonic() + SECONDS
        while (status := self.process.poll()) is None:
            assert time.monotonic() < deadline, f"still running: {self.text!r}"
            self._read()
            await asyncio.sleep(0.02)
        self._read()
        return status

    def _read(self) -> None:
        # BlockingIOError: nothing there; OSError: the other end has been closed.
        with contextlib.suppress(OSError):
            while chunk := os.read(self._keyboard, 65536):
                self._shown += chunk
                # A terminal says where its cursor is when asked.
                if b"\x1b[6n" in chunk:
                    os.write(self._keyboard, b"\x1b[1;1R")


@contextlib.contextmanager
def terminal(server, home, *arguments):
    needs("pty")
    import fcntl
    import pty
    import termios

    keyboard, screen = pty.openpty()
    os.set_blocking(keyboard, False)
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    port = server.sockets[0].getsockname()[1]
    process = subprocess.Popen(
        command("connect", f"ws://localhost:{port}/", *arguments),
        stdin=screen,
        stdout=screen,
        stderr=screen,
        env=environment(TERM="xterm", XDG_STATE_HOME=str(home)),
        start_new_session=True,
    )
    os.close(screen)
    try:
        yield Terminal(process, keyboard)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(keyboard)


def serve(handler):
    return longwire.serve(handler, "localhost", 0)


async def greet(ws):
    async for message in ws:
        await ws.send(f"Hello {message}!")


async def test_a_session_with_a_prompt(tmp_path):
    async with serve(greet) as server:
        with terminal(server, tmp_path) as tty:
            await tty.until("Connected to ws://localhost:")
            await tty.until("\n>")
            tty.press(b"Ada" + ENTER)
            await tty.until("< Hello Ada!")
            tty.press(CTRL_D)

            status = await tty.end()

    assert "Connection closed: 1000 (OK)." in tty.text
    assert status == 0


async def test_ctrl_c_at_the_prompt_closes_properly(tmp_path):
    codes = []

    async def note(ws):
        await ws.wait_closed()
        codes.append(ws.close_code)

    async with serve(note) as server:
        with terminal(server, tmp_path) as tty:
            await tty.until("\n>")
            tty.press(CTRL_C)

            status = await tty.end()

    assert codes == [1000]
    assert status == 0
    assert "Traceback" not in tty.text


async def test_sigterm_at_the_prompt_closes_properly(tmp_path):
    async with serve(greet) as server:
        with terminal(server, tmp_path) as tty:
            await tty.until("\n>")
            tty.process.send_signal(signal.SIGTERM)

            status = await tty.end()

    assert "Connection closed: 1000 (OK)." in tty.text
    assert status == 0


async def test_the_server_s_end_ends_the_prompt(tmp_path):
    async def refuse(ws):
        await ws.recv()
        await ws.close(1011, "authentication failed")

    async with serve(refuse) as server:
        with terminal(server, tmp_path) as tty:
            await tty.until("\n>")
            tty.press(b"token" + ENTER)

            status = await tty.end()

    ended = "Connection closed: 1011 (internal error) authentication failed."
    assert ended in tty.text
    assert status == 1


async def test_escape_sequences_of_a_message_do_not_reach_the_terminal(tmp_path):
    async def paint(ws):
        await ws.send("\x1b]0;owned\x07\x1b[31mred")
        await ws.wait_closed()

    async with serve(paint) as server:
        with terminal(server, tmp_path) as tty:
            await tty.until(r"< \x1b]0;owned\x07\x1b[31mred")
            await tty.until("\n>")
            tty.press(CTRL_D)
            await tty.end()

    assert b"\x1b]0;" not in tty.raw


async def test_history_goes_on_in_the_next_session_and_is_private(tmp_path):
    async with serve(greet) as server:
        with terminal(server, tmp_path) as tty:
            await tty.until("\n>")
            tty.press(b"Grace" + ENTER)
            await tty.until("< Hello Grace!")
            tty.press(CTRL_D)
            await tty.end()

        with terminal(server, tmp_path) as tty:
            await tty.until("\n>")
            tty.press(UP)
            await tty.until("Grace")
            tty.press(ENTER)
            await tty.until("< Hello Grace!")
            tty.press(CTRL_D)
            await tty.end()

    file = tmp_path / "longwire" / "history"
    assert "Grace" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_place_for_history_that_cannot_be_used_does_no_harm(tmp_path):
    home = tmp_path / "file"
    home.write_text("")
    async with serve(greet) as server:
        with terminal(server, home) as tty:
            await tty.until("\n>")
            tty.press(b"Ada" + ENTER)
            await tty.until("< Hello Ada!")
            tty.press(CTRL_D)

            assert await tty.end() == 0


async def test_json_in_a_terminal_has_no_prompt(tmp_path):
    async with serve(greet) as server:
        with terminal(server, tmp_path, "--json", "--wait", "0.5") as tty:
            await tty.until('"event": "open"')
            tty.press(b"Ada\n")
            await tty.until('{"event": "message", "text": "Hello Ada!"}')
            tty.press(CTRL_D)

            assert await tty.end() == 0
    assert ">" not in tty.text
