"""``longwire rpc``: calls from a shell, and TypeScript declarations of routes."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..escaping import escape
from .commands import (
    header,
    insecure_context,
    longwire,
    one_line_for_failures,
    seconds,
)

if TYPE_CHECKING:
    from ..rpc import Client

__all__ = ["print_json", "rpc_group", "value_of"]

_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


@longwire.group("rpc")
def rpc_group() -> None:
    """Remote procedure calls: call a server, describe one."""


@rpc_group.command("types")
@click.argument("routes", metavar="MODULE:ROUTES")
@click.option(
    "--name", default="Routes", show_default=True, help="Name of the table of routes."
)
def types_command(routes: str, name: str) -> None:
    """Write TypeScript declarations of routes to stdout.

    ROUTES is an attribute of MODULE: a rpc.Routes, a dict of routes, or a rpc.Server.
    The JavaScript client is checked by what is written: new Rpc<Routes>(...).
    """
    from ..rpc.describing import described
    from ..rpc.typescript import declarations

    if not name.isidentifier():
        raise click.BadParameter(f"{name!r} is not a name.", param_hint="--name")
    with one_line_for_failures(f"cannot describe {escape(routes)}"):
        text = declarations(described(_load(routes)), name)
    click.echo(text, nl=False)


def _load(path: str) -> Any:
    """Return the routes that ``module:attribute`` names."""
    from ..rpc import Routes, Server

    module, colon, attribute = path.partition(":")
    if not colon or not attribute:
        raise click.BadParameter(f"{path!r} is not MODULE:ROUTES.")
    # What python -m does: modules are looked for here, too.
    sys.path.insert(0, "")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(f"module {module} has no {attribute}")
        found = getattr(found, part)
    if inspect.isclass(found) and issubclass(found, Server):
        found = found.ROUTES
    elif isinstance(found, Server):
        found = found.routes
    return Routes.of(found)


@rpc_group.command("call")
@click.argument("uri")
@click.argument("name")
@click.argument("args", nargs=-1)
@click.option("--stream", is_flag=True, help="Print a stream's items, a line each.")
@click.option("--notify", is_flag=True, help="Want no answer.")
@click.option(
    "--timeout",
    type=seconds,
    default=60,
    show_default=True,
    help="Seconds to wait for a connection and the answer.",
)
@click.option(
    "--wire",
    type=click.Choice(["jsonrpc", "msgpack", "wsrpc", "wsrpc.1"]),
    default="jsonrpc",
    show_default=True,
    help="What is spoken.",
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
@click.option("-k", "--insecure", is_flag=True, help="Trust any TLS certificate.")
def call_command(
    uri: str,
    name: str,
    args: Sequence[str],
    stream: bool,
    notify: bool,
    timeout: float,
    wire: str,
    headers: Sequence[tuple[str, str]],
    insecure: bool,
) -> None:
    """Call NAME of the server at URI with ARGS; print the result as JSON.

    An argument that is JSON is that, any other a text. NAME=VALUE, for all of them,
    gives arguments by name. Exit status 1, and one line on stderr, for an error.
    """
    from .. import rpc

    if stream and notify:
        raise click.UsageError("--stream and --notify exclude each other.")
    params = _params(args)
    options: dict[str, Any] = {}
    if insecure and uri.lower().startswith("wss:"):
        options["ssl"] = insecure_context()

    waiting_for = f"{escape(name)} was not sent: no connection"

    async def run() -> None:
        nonlocal waiting_for
        client = rpc.Client(
            uri,
            wire=wire,
            additional_headers=list(headers),
            reconnect_delays=lambda: (),  # a failed attempt is the last
            **options,
        )
        async with client, asyncio.timeout(timeout or None) as patience:
            await client.connected()
            waiting_for = "no answer"
            if stream:
                patience.reschedule(None)
                await _print_items(client, name, params)
            elif notify:
                await client._notify(name, params)
            else:
                print_json(await client.call_with(name, params, timeout=None))

    with one_line_for_failures(f"call of {escape(name)} failed"):
        try:
            asyncio.run(run())
        except TimeoutError:
            raise TimeoutError(f"{waiting_for} within {timeout:g} seconds") from None


async def _print_items(client: Client, name: str, params: Any) -> None:
    async with client._stream(name, params, None, Any) as stream:
        async for item in stream:
            print_json(item)


def print_json(value: Any, err: bool = False) -> None:
    """Print a value as one line of JSON; what a terminal obeys is escaped."""
    text = json.dumps(value, ensure_ascii=False, default=_as_text)
    if not text.isprintable():
        text = json.dumps(value, default=_as_text)
    click.echo(text, err=err)
    (sys.stderr if err else sys.stdout).flush()


def _as_text(value: Any) -> str:
    """Return what MessagePack has and JSON has not."""
    return value.hex() if isinstance(value, bytes) else str(value)


def _params(args: Sequence[str]) -> list[Any] | dict[str, Any] | None:
    """Return arguments by name, if all of them are, or else by position."""
    named = [_NAMED.fullmatch(arg) for arg in args]
    if any(named):
        if not all(named):
            raise click.UsageError(
                "Arguments go by position or by name, not both; a text with a = in it "
                "is written as JSON: '\"a=b\"'."
            )
        return {match[1]: value_of(match[2]) for match in named if match is not None}
    return [value_of(arg) for arg in args] or None


def value_of(text: str) -> Any:
    """Return what a text says as JSON, or itself if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
