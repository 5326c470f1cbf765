"""``longwire hub``: follow a topic of a hub from a shell, and publish."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
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
from .input import stdin_lines
from .rpc import print_json, value_of

if TYPE_CHECKING:
    from ..hub import HubClient, Message

__all__ = ["hub_group"]

MAX_ANSWER = 16 << 20
"""Bytes of an inspector's answer at most."""
MAX_POSITION = 64
"""Characters of a position at most: more in a file is something else."""


@longwire.group("hub")
def hub_group() -> None:
    """Publish and subscribe: follow topics of a server, publish messages."""


def _connecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how to connect."""
    for add in (
        click.option("-k", "--insecure", is_flag=True, help="Trust any certificate."),
        click.option(
            "-H",
            "--header",
            "headers",
            type=header,
            metavar="NAME:VALUE",
            multiple=True,
            help="Send this header, too; may be repeated.",
        ),
        click.option(
            "--prefix",
            default="hub",
            show_default=True,
            help="That of the server's hub.",
        ),
        click.option(
            "--timeout",
            type=seconds,
            default=60,
            show_default=True,
            help="Seconds to wait for the first connection and answer; 0 for ever.",
        ),
    ):
        command = add(command)
    return command


@asynccontextmanager
async def _hub_at(
    uri: str,
    headers: Sequence[tuple[str, str]],
    insecure: bool,
    prefix: str,
    **more: Any,
) -> AsyncIterator[HubClient]:
    from .. import rpc
    from ..hub import HubClient

    if insecure and uri.lower().startswith("wss:"):
        more["ssl"] = insecure_context()
    async with (
        rpc.Client(uri, additional_headers=list(headers), **more) as client,
        HubClient(client, prefix=prefix) as hub,
    ):
        yield hub


# --- tail ------------------------------------------------------------------------


@hub_group.command("tail")
@click.argument("uri")
@click.argument("topic")
@click.option("--since", metavar="POSITION", help="Go on after this position.")
@click.option(
    "--last",
    type=click.IntRange(0, 500),
    default=0,
    show_default=True,
    help="Without a position, begin with so many of the newest messages.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the position in this file, and go on from there the next time.",
)
@click.option(
    "--count", type=click.IntRange(min=1), help="Stop after so many messages."
)
@click.option("--token", help="Where the topic asks for one.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print position, time and publisher, too: an object for each message.",
)
@_connecting
def tail_command(
    uri: str,
    topic: str,
    since: str | None,
    last: int,
    state: Path | None,
    count: int | None,
    token: str | None,
    as_json: bool,
    timeout: float,
    **connecting: Any,
) -> None:
    """Print the messages of TOPIC of the server at URI, a line of JSON for each.

    Goes on through lost connections. Where messages are missing, a line on stderr says
    so. Exit status 1, and one line on stderr, if the topic cannot be followed.
    """
    if since is not None and state is not None:
        raise click.UsageError("--since and --state exclude each other.")

    def gap(gap: Any) -> None:
        print_json(
            {"gap": gap.reason, "missed": gap.missed, "position": gap.position},
            err=True,
        )
        _keep(state, gap.position)

    async def run() -> None:
        place = since if state is None else _kept(state)

        def subscribed(answer: dict[str, Any]) -> None:
            nonlocal place
            if place is None and not last:
                # The next time begins here, though there may be no message until then.
                place = answer["position"]
                _keep(state, place)

        async with _hub_at(uri, **connecting) as hub:
            sub = hub.subscribe(
                topic,
                since=place,
                last=last,
                token=token,
                on_gap=gap,
                on_subscribed=subscribed,
            )
            async with asyncio.timeout(timeout or None) as patience, sub:
                patience.reschedule(None)
                left = count
                async for message in sub:
                    print_json(_shown(message) if as_json else message.data)
                    _keep(state, message.position)
                    left = None if left is None else left - 1
                    if left == 0:
                        return

    with one_line_for_failures(f"cannot follow {escape(topic)}"):
        try:
            asyncio.run(run())
        except TimeoutError:
            raise TimeoutError(f"no answer within {timeout:g} seconds") from None


def _shown(message: Message) -> dict[str, Any]:
    return {name: value for name, value in message._asdict().items() if value}


def _kept(state: Path) -> str | None:
    """Return the position that a file has; None if there is no file yet."""
    try:
        with state.open(encoding="utf-8") as file:
            text = file.read(MAX_POSITION + 2).strip()
    except FileNotFoundError:
        return None
    return text or None


def _keep(state: Path | None, position: str | None) -> None:
    """Keep a position; whoever is interrupted finds this one, or the one before."""
    if state is None or position is None:
        return
    new = state.with_name(f"{state.name}.{os.getpid()}.new")
    new.write_text(position + "\n", encoding="utf-8")
    new.replace(state)


# --- inspect ---------------------------------------------------------------------


@hub_group.command("inspect")
@click.argument("url")
@click.argument("topic", required=False)
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Topics, or subscribers and entries of one, at most.",
)
@click.option("-k", "--insecure", is_flag=True, help="Trust any certificate.")
@click.option(
    *("-H", "--header", "headers"),
    type=header,
    metavar="NAME:VALUE",
    multiple=True,
    help="Send this header, too; may be repeated.",
)
@click.option("--timeout", type=seconds, default=10, show_default=True)
def inspect_command(
    url: str,
    topic: str | None,
    limit: int,
    insecure: bool,
    headers: Sequence[tuple[str, str]],
    timeout: float,
) -> None:
    """Print what a hub has, or has of TOPIC, by the http address of its inspector.

    Which address that is the server's program says: see "Operating the hub". Exit
    status 1, and one line on stderr, for an error.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise click.UsageError("URL is the http:// or https:// address of an inspector")
    query = {"limit": str(limit), **({} if topic is None else {"topic": topic})}
    request = urllib.request.Request(f"{url}?{urllib.parse.urlencode(query)}")
    for name, value in headers:
        request.add_header(name, value)
    context = insecure_context() if insecure else None
    with one_line_for_failures(f"cannot inspect {escape(url)}"):
        try:
            with urllib.request.urlopen(
                request, timeout=timeout or None, context=context
            ) as answer:
                text = answer.read(MAX_ANSWER)
        except urllib.error.HTTPError as exc:
            exc.close()  # it is the answer, too
            raise OSError(f"the server answers {exc.code}") from None
        try:
            found = json.loads(text)
        except ValueError:
            raise OSError("what answers there is no inspector") from None
        click.echo(json.dumps(found, indent=2))


# --- publish ---------------------------------------------------------------------


@hub_group.command("publish")
@click.argument("uri")
@click.argument("topic")
@click.argument("data", nargs=-1)
@click.option("--id", "id", help="A message with the same id is stored once.")
@click.option("--key", help="On topics that keep the latest of each key.")
@_connecting
def publish_command(
    uri: str,
    topic: str,
    data: Sequence[str],
    id: str | None,
    key: str | None,
    timeout: float,
    **connecting: Any,
) -> None:
    """Publish DATA, each as a message, on TOPIC of the server at URI.

    What is JSON is that, anything else a text; without DATA, each line of stdin is a
    message. Prints the positions. Exit status 1, and one line on stderr, for an error.
    """
    if id is not None and len(data) != 1:
        raise click.UsageError("--id is for one message.")

    async def run() -> None:
        # A failed attempt is the last: what is to be tried again has an id.
        options = {**connecting, "reconnect_delays": lambda: ()}
        async with _hub_at(uri, **options) as hub:
            async with asyncio.timeout(timeout or None):
                await hub.client.connected()  # type: ignore[union-attr]
            async for text in _lines(data):
                async with asyncio.timeout(timeout or None):
                    found = await hub.publish(topic, value_of(text), id=id, key=key)
                print_json(found["position"])

    with one_line_for_failures(f"cannot publish on {escape(topic)}"):
        try:
            asyncio.run(run())
        except TimeoutError:
            raise TimeoutError(f"no answer within {timeout:g} seconds") from None


async def _lines(data: Sequence[str]) -> AsyncIterator[str]:
    for text in data:
        yield text
    if not data:
        async for line in stdin_lines():
            yield line.decode(errors="replace")
