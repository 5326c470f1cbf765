"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import ssl
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TextIO

import click
from prompt_toolkit.patch_stdout import patch_stdout
from rich.console import Console
from rich.text import Text

from .. import (
    Server,
    ServerConnection,
    WebSocketException,
    __version__,
    build,
    connect,
    serve,
)
from ..escaping import escape, one_line
from ..options import PROFILES
from ..workers.logs import configure
from .client import InputError, converse
from .input import given_lines, prompt_lines, stdin_lines
from .output import JsonOutput, LineOutput, Output, TerminalOutput
from .serving import CannotListen, serve_until_stopped, url

__all__ = [
    "header",
    "insecure_context",
    "listening",
    "log_level",
    "longwire",
    "one_line_for_failures",
    "seconds",
]

PORT = 8765
MAX_SIZE = 16 << 20
"""Largest message that ``connect`` takes, in bytes: people look at what comes."""


class _Port(click.IntRange):
    """A TCP port; what is none is told the range, which click does not do."""

    name = "number from 0 to 65535"


def seconds(value: str | float) -> float:
    """Return a number of seconds, 0 or more; ``inf`` is one."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not number >= 0:
        raise click.BadParameter(f"{value!r} is not a number of seconds.")
    return number


def header(value: str | tuple[str, str]) -> tuple[str, str]:
    """Return name and value of a header line."""
    if isinstance(value, tuple):
        return value  # converted before
    name, colon, content = value.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"{value!r} is not NAME:VALUE.")
    return name.strip(), content.strip()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(f"{__version__} ({build.described()})", prog_name="longwire")
def longwire() -> None:
    """WebSocket tools: clients, servers, RPC and the hub."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            # A character that a terminal cannot show is no reason to stop.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


# --- connect ---------------------------------------------------------------------


_FILE = click.Path(exists=True, dir_okay=False)


@longwire.command("connect")
@click.argument("uri")
@click.option(
    "-x",
    "--execute",
    "messages",
    metavar="MESSAGE",
    multiple=True,
    help="Send this and no input, print what comes, and close; may be repeated.",
)
@click.option(
    "-l",
    "--listen",
    is_flag=True,
    help="Read no input: print what comes until the connection ends.",
)
@click.option(
    "--slash",
    is_flag=True,
    help="Take lines that begin with / for commands: /ping [DATA], /pong [DATA], "
    "/close [CODE [REASON]]; // begins a message with /.",
)
@click.option("-t", "--timestamps", is_flag=True, help="Show when messages come.")
@click.option(
    "-v",
    "--verbose",
    count=True,
    help="Show the opening handshake; twice: every frame, too, on stderr.",
)
@click.option(
    "-H",
    "--header",
    "headers",
    type=header,
    metavar="NAME:VALUE",
    multiple=True,
    help="Send this header, too; may be repeated.",
)
@click.option(
    "-s",
    "--subprotocol",
    "subprotocols",
    multiple=True,
    help="Offer this subprotocol; may be repeated, the preferred one first.",
)
@click.option("--origin", help="Send this Origin header.")
@click.option("-k", "--insecure", is_flag=True, help="Trust any TLS certificate.")
@click.option("--ca", type=_FILE, help="PEM file of the authorities to trust.")
@click.option("--cert", type=_FILE, help="PEM file with our own certificate.")
@click.option("--key", type=_FILE, help="PEM file with its key, if it has none.")
@click.option(
    "--proxy",
    metavar="URL",
    help="Connect through this proxy, or with 'none' directly; else as the environment "
    "says.",
)
@click.option(
    "--compression",
    type=click.Choice([*PROFILES, "none"]),
    default="deflate",
    show_default=True,
    help="What to offer.",
)
@click.option(
    "--ping-interval",
    type=seconds,
    default=20,
    show_default=True,
    help="Seconds between keepalive pings; 0 sends none.",
)
@click.option(
    "--max-size",
    type=click.IntRange(min=1),
    default=MAX_SIZE,
    show_default=True,
    help="Largest message to accept, in bytes.",
)
@click.option("--binary", is_flag=True, help="Send lines as binary messages.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object for each event: open, message, close.",
)
@click.option(
    "--wait",
    type=seconds,
    default=1,
    show_default=True,
    help="Close when the input has ended and this many seconds were quiet.",
)
def connect_command(
    uri: str,
    binary: bool,
    as_json: bool,
    wait: float,
    messages: Sequence[str],
    listen: bool,
    slash: bool,
    timestamps: bool,
    verbose: int,
    **options: Any,
) -> None:
    """Connect to URI: send each line of the input, print each message.

    URI may go without its scheme: localhost:8765/path is ws://localhost:8765/path. In a
    terminal, lines are typed at a prompt with history; Ctrl-D closes. In a pipe, stdin
    is sent line by line, messages go to stdout, everything else to stderr. Control
    characters in what is received are shown as escapes. Exit status 0 means that the
    connection was closed properly, 1 that it was not, or never opened.
    """
    uri = _with_scheme(uri)
    if listen:
        wait = math.inf
    reads = not (messages or listen)
    terminal = _is_terminal(sys.stdout) and not as_json
    interactive = reads and terminal and _is_terminal(sys.stdin)
    with one_line_for_failures(f"cannot connect to {escape(uri)}"):
        opening = _opening(uri, **options)
    if verbose > 1:
        _log(0)
        logging.getLogger("longwire").setLevel(logging.DEBUG)

    async def run() -> bool:
        shown = {"heads": verbose == 1, "times": timestamps}
        if interactive:
            with patch_stdout(raw=True):
                output: Output = TerminalOutput(**shown)
                lines = prompt_lines()
                return await converse(
                    uri, opening, lines, output, binary=binary, slash=slash
                )
        output = JsonOutput(times=timestamps) if as_json else LineOutput(**shown)
        lines = stdin_lines() if reads else given_lines(messages)
        return await converse(
            uri, opening, lines, output, binary=binary, wait=wait, slash=slash
        )

    with one_line_for_failures(f"cannot connect to {escape(uri)}"):
        if not asyncio.run(run()):
            sys.exit(1)


def _with_scheme(uri: str) -> str:
    """Return ``uri``; a host and port alone get ws://, as people type them."""
    host = uri.partition("/")[0]
    port = host.rpartition(":")[2].partition("?")[0]
    if "://" in uri or not (port.isdecimal() or host == "localhost"):
        return uri
    return f"ws://{'localhost' if host.startswith(':') else ''}{uri}"


def _is_terminal(stream: TextIO | None) -> bool:
    """Return whether a person is there; a process may have been given no stream."""
    return stream is not None and stream.isatty()


def _opening(
    uri: str,
    *,
    headers: Sequence[tuple[str, str]],
    subprotocols: Sequence[str],
    origin: str | None,
    insecure: bool,
    compression: str,
    ping_interval: float,
    max_size: int,
    ca: str | None,
    cert: str | None,
    key: str | None,
    proxy: str | None,
) -> connect:
    """Return the connection that the options ask for, not opened yet."""
    network: dict[str, Any] = {}
    if uri.lower().startswith("wss:"):
        if insecure or ca or cert:
            network["ssl"] = _client_context(insecure, ca, cert, key)
    elif ca or cert:
        raise click.UsageError("--ca and --cert are for wss://.")
    if key and not cert:
        raise click.UsageError("--key needs --cert.")
    if insecure and ca:
        raise click.UsageError("--insecure trusts any certificate: leave out --ca.")
    if proxy is not None:
        network["proxy"] = None if proxy == "none" else proxy
    return connect(
        uri,
        additional_headers=list(headers),
        subprotocols=list(subprotocols) or None,
        origin=origin,
        compression=None if compression == "none" else compression,
        ping_interval=ping_interval if 0 < ping_interval < math.inf else None,
        max_size=max_size,
        **network,
    )


def _client_context(
    insecure: bool, ca: str | None, cert: str | None, key: str | None
) -> ssl.SSLContext:
    """Return the context that the options ask for; UsageError for other files."""
    context = insecure_context() if insecure else ssl.create_default_context()
    try:
        if ca is not None:
            what = f"--ca {ca}: a PEM file with certificates is needed"
            context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            what = f"--cert {cert}: a PEM file with certificate and key is needed, or "
            what += "--key FILE for the key"
            context.load_cert_chain(cert, key)
    except ssl.SSLError as exc:
        raise click.UsageError(f"{what} ({exc.reason or exc})") from exc
    return context


def insecure_context() -> ssl.SSLContext:
    """Return a TLS context for clients that trusts any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def one_line_for_failures(what: str) -> Iterator[None]:
    """Turn the failures of a command into one line on stderr and exit status 1."""
    try:
        yield
    except BrokenPipeError:
        raise  # who read our output has gone; click ends us quietly
    except (InputError, CannotListen) as exc:
        raise click.ClickException(one_line(exc)) from None
    except (
        OSError,
        EOFError,
        ImportError,
        TypeError,
        ValueError,
        WebSocketException,
    ) as exc:
        raise click.ClickException(f"{what}: {one_line(exc)}") from None


# --- servers ---------------------------------------------------------------------


def listening(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where to listen and how much to log."""
    for option in (
        click.option(
            "-v", "--verbose", count=True, help="Log connections; twice: everything."
        ),
        click.option(
            "--port",
            type=_Port(0, 65535),
            metavar="NUMBER",
            default=PORT,
            envvar="PORT",
            show_default=True,
            show_envvar=True,
            help="Port to listen at; 0 takes any that is free.",
        ),
        click.option(
            "--host",
            default="localhost",
            show_default=True,
            help="Host to listen at; '' is all of this machine.",
        ),
    ):
        command = option(command)
    return command


@longwire.command("echo")
@listening
@click.option(
    "--ssl-cert",
    type=click.Path(exists=True, dir_okay=False),
    help="PEM file with the certificate chain; makes it a wss:// server.",
)
@click.option(
    "--ssl-key",
    type=click.Path(exists=True, dir_okay=False),
    help="PEM file with the private key, if the chain's has none.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    help="Let pages of this origin connect, too, or with 'any' all; may be repeated.",
)
def echo_command(
    host: str,
    port: int,
    ssl_cert: str | None,
    ssl_key: str | None,
    origins: Sequence[str],
    verbose: int,
) -> None:
    """Run a server that sends every message back.

    Programs may connect, and pages that come from this host and port; others are
    refused, for a browser lets any page connect. SIGTERM or Ctrl-C closes its
    connections and ends it.
    """
    if ssl_key is not None and ssl_cert is None:
        raise click.UsageError("--ssl-key needs --ssl-cert.")
    _log(verbose)
    with one_line_for_failures("cannot use the certificate"):
        context = _server_context(ssl_cert, ssl_key)

    def make_server(addresses: Sequence[str], port: int) -> Server:
        return serve(_echo, addresses, port, ssl=context, origins=_allowed(origins))

    scheme = "ws" if context is None else "wss"

    def ready(port: int) -> None:
        _announce("echo", url(scheme, host, port))

    _run_server(serve_until_stopped(make_server, host, port, ready))


@longwire.command("demo")
@listening
def demo_command(host: str, port: int, verbose: int) -> None:
    """Run a server with a page to open in several tabs.

    They share a counter and a chat. SIGTERM or Ctrl-C closes its connections and ends
    it; the page comes back by itself when it is started again.
    """
    try:
        from .demo.server import Demo
    except ImportError as exc:  # RPC needs msgspec, which is not there on every Python
        raise click.ClickException(str(exc)) from None
    _log(verbose)
    logging.getLogger("longwire.demo").setLevel(logging.INFO)

    def ready(port: int) -> None:
        _announce("demo", url("http", host, port))

    _run_server(serve_until_stopped(Demo().make_server, host, port, ready))


async def _echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


def _allowed(origins: Sequence[str]) -> list[str | None] | None:
    """Return what ``serve`` is to accept: None is everything, in a list no Origin."""
    return None if "any" in origins else ["same", None, *origins]


def _server_context(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    if cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context


def _announce(name: str, where: str) -> None:
    """Say where a server listens, in a form that a script can read, too."""
    line = Text(f"longwire {name} listening on ").append(where, "bold cyan")
    console = Console(highlight=False, soft_wrap=True)
    console.print(line)
    if console.is_terminal:
        console.print(Text("Ctrl-C stops it.", "dim"))


def log_level(verbose: int) -> int:
    """Return the level of what is logged where -v was given so many times."""
    return (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]


def _log(verbose: int) -> None:
    # Why a server has not ended yet is always of interest.
    configure(log_level(verbose), "longwire.cli")


def _run_server(server: Coroutine[Any, Any, None]) -> None:
    with one_line_for_failures("the server failed"):
        asyncio.run(server)
