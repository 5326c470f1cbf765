"""``longwire serve``: an application in worker processes, on one port."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from ..options import PROFILES
from ..workers.admin import Admin
from ..workers.apps import AppError, check_target
from ..workers.logs import configure
from ..workers.notify import Notifier
from ..workers.settings import Settings
from ..workers.sockets import bind_slot, bind_unix, remove_unix
from ..workers.supervisor import Supervisor
from .commands import listening, log_level, longwire, one_line_for_failures, seconds
from .serving import CannotListen, find_addresses, place, url

__all__ = ["serve_command"]


class _Workers(click.IntRange):
    """A number of processes."""

    name = "whole number, such as 4"


_OPTIONS = (
    click.option(
        "-w",
        "--workers",
        type=_Workers(1, 256),
        default=1,
        envvar="WEB_CONCURRENCY",
        show_default=True,
        show_envvar=True,
        help="Processes that serve connections.",
    ),
    click.option(
        "--unix",
        type=click.Path(dir_okay=False),
        help="Listen at this Unix socket, not at a port.",
    ),
    click.option(
        "--factory", is_flag=True, help="The attribute is a function that makes it."
    ),
    click.option(
        "--app-dir",
        type=click.Path(exists=True, file_okay=False),
        help="Look for the module here; else in the current directory.",
    ),
    click.option(
        "--ssl-cert",
        type=click.Path(exists=True, dir_okay=False),
        help="PEM file with the certificate chain; makes it a wss:// server.",
    ),
    click.option(
        "--ssl-key",
        type=click.Path(exists=True, dir_okay=False),
        help="PEM file with the private key, if the chain's has none.",
    ),
    click.option(
        "--origin",
        "origins",
        multiple=True,
        help="Let pages of this origin connect beside our own, or with 'any' all.",
    ),
    click.option(
        "--compression",
        type=click.Choice([*PROFILES, "none"]),
        help="What to agree on with clients that offer it.",
    ),
    click.option(
        "--max-size", type=click.IntRange(min=1), help="Largest message, in bytes."
    ),
    click.option(
        "--max-connections",
        type=click.IntRange(min=1),
        help="Most connections of each worker and address.",
    ),
    click.option(
        "--ping-interval", type=seconds, help="Seconds between pings; 0 sends none."
    ),
    click.option(
        "--ping-timeout", type=seconds, help="Seconds to wait for a pong; 0: for ever."
    ),
    click.option(
        "--open-timeout", type=seconds, help="Seconds for the opening handshake."
    ),
    click.option(
        "--drain-timeout",
        type=seconds,
        default=30,
        show_default=True,
        help="Seconds that connections have to end at a stop or reload.",
    ),
    click.option(
        "--start-timeout",
        type=seconds,
        default=30,
        show_default=True,
        help="Seconds that a worker has to be ready.",
    ),
    click.option(
        "--hang-timeout",
        type=seconds,
        default=60,
        show_default=True,
        help="Seconds of silence after which a worker is replaced; 0: never.",
    ),
    click.option(
        "--health/--no-health",
        default=True,
        help="Whether to answer /healthz and /readyz.",
    ),
    click.option("--metrics", is_flag=True, help="Count; see --admin for where."),
    click.option(
        "--admin",
        metavar="HOST:PORT",
        help="Answer /metrics, /healthz and /readyz of all workers here.",
    ),
)


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@longwire.command("serve")
@click.argument("app", metavar="MODULE:APP")
@listening
@_with_options
def serve_command(
    app: str,
    host: str,
    port: int,
    verbose: int,
    unix: str | None,
    admin: str | None,
    app_dir: str | None,
    **options: Any,
) -> None:
    """Serve MODULE:APP in worker processes, until SIGTERM or Ctrl-C.

    APP is a handler, an rpc.Server, a Hub or a longwire.workers.App. SIGHUP replaces
    the workers one after the other by new ones with the code as it is then; a worker
    that dies is started again. Both lose no connection that nobody has accepted yet.

    Exit status 0 after SIGTERM or Ctrl-C, 3 if no worker could be started or is left.
    """
    _check(app, options, admin)
    settings = Settings(
        app=app,
        app_dir=os.path.abspath(app_dir) if app_dir else "",
        log_level=log_level(verbose),
        **options,
    )
    # Which workers started and ended is always of interest.
    configure(settings.log_level, "longwire.workers", f"supervisor [{os.getpid()}]")
    with one_line_for_failures("cannot serve"):
        status = _serve(settings, host, port, unix, admin)
    sys.exit(status)


def _check(app: str, options: dict[str, Any], admin: str | None) -> None:
    """Raise UsageError for options that say nothing sensible."""
    if os.name != "posix":
        raise click.UsageError("longwire serve needs a POSIX system")
    try:
        check_target(app)
    except AppError as exc:
        raise click.UsageError(str(exc)) from None
    if options["ssl_key"] is not None and options["ssl_cert"] is None:
        raise click.UsageError("--ssl-key needs --ssl-cert.")
    if options["metrics"] and admin is None:
        raise click.UsageError("--metrics needs --admin, where they can be read.")
    for name in ("start_timeout", "open_timeout"):
        if options[name] == 0:
            raise click.UsageError(f"--{name.replace('_', '-')} must not be 0.")
    for name, value in options.items():
        if value == float("inf"):
            raise click.UsageError(f"--{name.replace('_', '-')} must be finite.")


def _serve(
    settings: Settings, host: str, port: int, unix: str | None, admin: str | None
) -> int:
    """Run the supervisor; return the exit status."""
    bind, where = _binder(settings, host, port, unix)
    admin_at = None if admin is None else _bind_admin(admin)

    def announce(ready: int) -> None:
        count = f"{ready} worker{'s' * (ready > 1)}"
        if ready < settings.workers:
            count = f"{ready} of {settings.workers} workers"
        line = Text("longwire serve listening on ").append(where, "bold cyan")
        # The URL last, where scripts look for it.
        console = Console(highlight=False, soft_wrap=True)
        console.print(Text(f"longwire serve: {count} of {settings.app}"))
        console.print(line)

    notifier = Notifier(os.environ, os.getpid())
    endpoint = None if admin_at is None else Admin(admin_at)
    try:
        return Supervisor(settings, bind, notifier, announce, endpoint).run()
    finally:
        if unix is not None:
            remove_unix(unix)


def _binder(
    settings: Settings, host: str, port: int, unix: str | None
) -> tuple[Callable[[], list[socket.socket]], str]:
    """Return what makes the sockets of one slot, and where they are, in words."""
    if unix is not None:
        try:
            sock = bind_unix(unix)
        except OSError as exc:
            raise CannotListen(f"cannot listen at {unix}: {exc}") from None
        return (lambda: [sock.dup()]), f"unix:{unix}"
    addresses, port = find_addresses(host, port)
    scheme = "ws" if settings.ssl_cert is None else "wss"
    if sys.platform.startswith("linux"):
        # Elsewhere SO_REUSEPORT does not deal connections out.
        return (lambda: bind_slot(addresses, port)), url(scheme, host, port)
    shared = bind_slot(addresses, port)
    return (lambda: [sock.dup() for sock in shared]), url(scheme, host, port)


def _bind_admin(admin: str) -> socket.socket:
    host, colon, number = admin.rpartition(":")
    if not colon or not number.isdecimal() or int(number) > 65535:
        raise click.UsageError(f"--admin {admin!r} is not HOST:PORT.")
    host = host.strip("[]") or "localhost"
    addresses: Sequence[str]
    addresses, port = find_addresses(host, int(number))
    (sock, *others) = bind_slot(addresses[:1], port)
    assert not others
    logging.getLogger("longwire.workers").info(
        "metrics and health at http://%s/", place(*sock.getsockname()[:2])
    )
    return sock
