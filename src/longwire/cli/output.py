"""What ``longwire connect`` shows of a connection: for people, pipes and programs.

Each output has the same three methods: the connection opened, a message came, the
connection ended. None of them decides anything.
"""

from __future__ import annotations

import base64
import datetime
import json
import sys
from typing import Any, Protocol, TextIO

from .. import ClientConnection, Close, ConnectionClosed
from ..escaping import escape

__all__ = ["JsonOutput", "LineOutput", "Output", "TerminalOutput"]


class Output(Protocol):
    """Where the events of one connection go."""

    def opened(self, uri: str, ws: ClientConnection) -> None:
        """The connection is open."""

    def message(self, message: str | bytes) -> None:
        """A message came."""

    def closed(self, closed: ConnectionClosed, normal: bool) -> None:
        """The connection has ended; nothing comes after this."""


class _Console:
    """A stream that shows styles where rich is installed and somebody looks."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rich: Any = None
        try:
            from rich.console import Console
        except ModuleNotFoundError:
            return  # python -m longwire.websockets does without
        self._rich = Console(file=stream, highlight=False, soft_wrap=True)

    def print(self, *parts: tuple[str, str]) -> None:
        """Print one line of texts, each with its style."""
        if self._rich is None:
            print("".join(text for text, _ in parts), file=self._stream, flush=True)
            return
        from rich.text import Text

        self._rich.print(Text.assemble(*parts))


class LineOutput:
    """Messages on stdout, one in each line; everything else on stderr.

    ``heads`` shows the opening handshake, ``times`` when each message came.
    """

    def __init__(self, *, heads: bool = False, times: bool = False) -> None:
        self._status = _Console(sys.stderr)
        self._heads = heads
        self._times = times

    def opened(self, uri: str, ws: ClientConnection) -> None:
        """Say so."""
        for line in _heads(ws) if self._heads else ():
            self._status.print((line, "dim"))
        self._status.print((f"Connected to {escape(uri)}.", "dim"))

    def message(self, message: str | bytes) -> None:
        """Print it at once: whoever reads the pipe may be waiting."""
        print(_now() * self._times + readable(message), flush=True)

    def closed(self, closed: ConnectionClosed, normal: bool) -> None:
        """Say how it ended."""
        self._status.print((describe_end(closed), "dim" if normal else "red"))


class TerminalOutput:
    """Everything in a terminal, above the prompt; the keywords are LineOutput's."""

    def __init__(self, *, heads: bool = False, times: bool = False) -> None:
        # sys.stdout is prompt_toolkit's while the prompt is shown.
        self._console = _Console(sys.stdout)
        self._heads = heads
        self._times = times

    def opened(self, uri: str, ws: ClientConnection) -> None:
        """Say so, and what was agreed on."""
        for line in _heads(ws) if self._heads else ():
            self._console.print((line, "dim"))
        self._console.print((f"Connected to {escape(uri)}.", "green"))
        if ws.subprotocol is not None:
            self._console.print((f"Subprotocol: {escape(ws.subprotocol)}", "dim"))

    def message(self, message: str | bytes) -> None:
        """Print it behind a mark that tells it from what was typed."""
        time = _now() * self._times
        self._console.print((time, "dim"), ("< ", "cyan"), (readable(message), ""))

    def closed(self, closed: ConnectionClosed, normal: bool) -> None:
        """Say how it ended."""
        self._console.print((describe_end(closed), "green" if normal else "red"))


class JsonOutput:
    """One JSON object in each line of stdout, ``event`` saying what it is about.

    ``open`` has ``uri``, ``subprotocol``, ``status`` and ``headers``; ``message`` has
    ``text`` or ``base64``; ``close`` has ``code``, ``reason``, ``normal`` and what the
    close report counted. ``times`` adds ``time`` to each, in UTC.
    """

    def __init__(self, *, times: bool = False) -> None:
        self._times = times

    def opened(self, uri: str, ws: ClientConnection) -> None:
        """Print ``open``."""
        response = ws.response
        headers = [] if response is None else list(response.headers.raw_items())
        self._print(
            event="open",
            uri=uri,
            subprotocol=ws.subprotocol,
            status=None if response is None else response.status_code,
            headers=headers,
        )

    def message(self, message: str | bytes) -> None:
        """Print ``message``."""
        if isinstance(message, str):
            self._print(event="message", text=message)
        else:
            data = base64.b64encode(message).decode("ascii")
            self._print(event="message", base64=data)

    def closed(self, closed: ConnectionClosed, normal: bool) -> None:
        """Print ``close``."""
        self._print(
            event="close",
            code=closed.code,
            reason=closed.reason,
            normal=normal,
            **_counted(closed),
        )

    def _print(self, **event: Any) -> None:
        if self._times:
            event["time"] = datetime.datetime.now(datetime.UTC).isoformat()
        # ASCII only, so no control character gets through.
        print(json.dumps(event), flush=True)


def _now() -> str:
    """Return the time of day to the millisecond, and a blank."""
    return f"{datetime.datetime.now().time().isoformat('milliseconds')} "


def _heads(ws: ClientConnection) -> list[str]:
    """Return the lines of the opening handshake, as they went over the wire."""
    lines = []
    for mark, head in ((">", ws.request), ("<", ws.response)):
        if head is not None:
            text = head.serialize().partition(b"\r\n\r\n")[0].decode("latin-1")
            lines += [f"{mark} {escape(line)}" for line in text.split("\r\n")]
    return lines


def _counted(closed: ConnectionClosed) -> dict[str, Any]:
    report = closed.report
    if report is None:
        return {}
    return {
        "cause": report.cause.value,
        "detail": report.detail,
        "bytes_received": report.bytes_received,
        "bytes_sent": report.bytes_sent,
        "messages_received": report.messages_received,
        "messages_sent": report.messages_sent,
        "duration": round(report.duration, 6),
    }


def readable(message: str | bytes) -> str:
    """Return a message as one line: text escaped, binary as hexadecimal digits."""
    if isinstance(message, str):
        return escape(message, prose=True)
    return f"binary, {len(message)} bytes: {message.hex(' ')}"


def describe_end(closed: ConnectionClosed) -> str:
    """Return how the connection ended, in one line.

    Code and reason are the peer's, or ours where the peer never answered.
    """
    report = closed.report
    end = closed.rcvd or Close(1006)
    text = f"Connection closed: {end}."
    if closed.rcvd is None and report is not None:
        text += f" {report}."
    return text
