"""The interactive client: ``python -m longwire.websockets ws://localhost:8765/``.

Prints ``Connected to …``, each message behind ``< ``, and how the connection ended;
what is typed at the prompt ``> `` is sent. ``longwire connect`` has more options; its
modules do the work. Without the extra ``cli`` the prompt has no history and no colours.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from collections.abc import Sequence
from typing import Any

from .. import WebSocketException, __version__
from .aliases import give_aliases
from .asyncio.client import connect

__all__ = ["main"]

WAIT = 1.0
"""Seconds without a message after which the end of piped input closes."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the client on ``argv``, by default the process's own; ends the process.

    Exit status: 0 after a connection, however it ended; 1 when there was none, or what
    was typed could not be sent; 2 when the arguments were not understood.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.version:
        print(f"longwire.websockets {__version__}")
        sys.exit(0)
    if arguments.uri is None:
        parser.print_usage()
        sys.exit(2)
    sys.exit(0 if _run(arguments.uri, arguments.insecure) else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m longwire.websockets",
        description="Interactive WebSocket client.",
    )
    parser.add_argument("uri", nargs="?", metavar="<uri>", help="what to connect to")
    parser.add_argument("--insecure", action="store_true", help="trust any certificate")
    parser.add_argument("--version", action="store_true", help="print the version")
    return parser


def _run(uri: str, insecure: bool) -> bool:
    """Talk to ``uri`` until either side ends it; return whether it could be done."""
    from ..cli.client import InputError
    from ..escaping import escape, one_line

    try:
        asyncio.run(_talk(uri, insecure))
        return True
    except (OSError, EOFError, ValueError, WebSocketException) as exc:
        print(f"Failed to connect to {escape(uri)}: {one_line(exc)}.")
    except InputError as exc:
        print(f"Cannot send: {one_line(exc)}.")
    return False


async def _talk(uri: str, insecure: bool) -> bool:
    from ..cli.client import converse
    from ..cli.input import prompt_lines, stdin_lines
    from ..cli.output import TerminalOutput

    class Output(TerminalOutput):
        def message(self, message: str | bytes) -> None:
            if isinstance(message, bytes):
                message = f"(binary) {message.hex()}"
            super().message(message)

    network: dict[str, Any] = {}
    if insecure and uri.lower().startswith("wss:"):
        network["ssl"] = ssl.create_default_context()
        network["ssl"].check_hostname = False
        network["ssl"].verify_mode = ssl.CERT_NONE
    opening = connect(uri, **network)
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        return await converse(uri, opening, stdin_lines(), Output(), wait=WAIT)
    try:
        from prompt_toolkit.patch_stdout import patch_stdout
    except ModuleNotFoundError:
        return await converse(uri, opening, stdin_lines(), Output())
    with patch_stdout(raw=True):
        return await converse(uri, opening, prompt_lines(), Output())


give_aliases(globals())
