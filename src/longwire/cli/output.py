"""What ``longwire connect`` shows of a connection: for people, pipes and programs.

Each output has the same three methods: the connection opened, a message came, the
connection ended. None of them decides anything.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

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


class LineOutput:
    """Messages on stdout, one in each line; everything else on stderr."""

    def __init__(self) -> None:
        self._status = Console(stderr=True, highlight=False, soft_wrap=True)

    def opened(self, uri: str, ws: ClientConnection) -> None:
        """Say so."""
        self._status.print(Text(f"Connected to {escape(uri)}.", "dim"))

    def message(self, message: str | bytes) -> None:
        """Print it at once: whoever reads the pipe may be waiting."""
        print(readable(message), flush=True)

    def closed(self, closed: ConnectionClosed, normal: bool) -> None:
        """Say how it ended."""
        self._status.print(Text(describe_end(closed), "dim" if normal else "red"))


class TerminalOutput:
    """Everything in a terminal, above the prompt."""

    def __init__(self) -> None:
        # sys.stdout is prompt_toolkit's while the prompt is shown.
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)

    def opened(self, uri: str, ws: ClientConnection) -> None:
        """Say so, and what was agreed on."""
        self._console.print(Text(f"Connected to {escape(uri)}.", "green"))
        if ws.subprotocol is not None:
            self._console.print(Text(f"Subprotocol: {escape(ws.subprotocol)}", "dim"))

    def message(self, message: str | bytes) -> None:
        """Print it behind a mark that tells it from what was typed."""
        mark = Text("< ", "cyan")
        self._console.print(mark.append(readable(message), "default"))

    def closed(self, closed: ConnectionClosed, normal: bool) -> None:
        """Say how it ended."""
        colour = "green" if normal else "red"
        self._console.print(Text(describe_end(closed), colour))


class JsonOutput:
    """One JSON object in each line of stdout, ``event`` saying what it is about.

    ``open`` has ``uri``, ``subprotocol``, ``status`` and ``headers``; ``message`` has
    ``text`` or ``base64``; ``close`` has ``code``, ``reason``, ``normal`` and what the
    close report counted.
    """

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
        # ASCII only, so no control character gets through.
        print(json.dumps(event), flush=True)


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
