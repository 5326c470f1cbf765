"""Worker: the process that serves connections, under a supervisor.

Run by ``python -m longwire.workers.worker FD``: the descriptor is its end of the
channel, on which the first line says what to serve and at which sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import logging
import os
import signal
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

from ..escaping import one_line
from ..messages import CloseCode
from .apps import App, AppError, entered, hub_metrics, make, serving_function
from .channel import MAX_LINE
from .logs import configure
from .orphan import Watch
from .settings import Settings, stages_of

if TYPE_CHECKING:
    from .. import Server

__all__ = ["FAILED", "main"]

FAILED = 3
"""Exit status of a worker whose application cannot be served."""
BEAT = 1.0
"""Seconds between two signs of life."""

logger = logging.getLogger("longwire.workers")


class Worker:
    """One process: its servers, from their start to the end of their connections."""

    def __init__(
        self, sock: socket.socket, first: dict[str, Any], watch: Watch
    ) -> None:
        self._settings = Settings.from_json(first["settings"])
        self._descriptors: list[int] = first["sockets"]
        self._sock = sock
        self._watch = watch
        self._stop = asyncio.Event()
        self._cut = asyncio.Event()
        self._code: int = CloseCode.SERVICE_RESTART
        self._listens_on = False
        self._servers: list[Server] = []
        self._metrics: Any = None
        self._app: App | None = None

    async def run(self) -> int:
        """Serve until told to end; return the exit status."""
        self._sock.setblocking(False)
        reader, self._writer = await asyncio.open_connection(
            sock=self._sock, limit=MAX_LINE
        )
        listening = asyncio.create_task(self._obey(reader))
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._on_term)
        try:
            app = await make(self._settings)
            async with contextlib.AsyncExitStack() as stack:
                await self._enter(app, stack)
                await self._start(app)
                beating = asyncio.create_task(self._beat())
                stack.callback(beating.cancel)
                await self._stop.wait()
                await self._drain()
        except AppError as exc:
            self._tell(failed=str(exc))
            return FAILED
        finally:
            listening.cancel()
            with contextlib.suppress(OSError):
                await self._writer.drain()
            self._writer.close()
        return 0

    # --- starting ----------------------------------------------------------------

    async def _enter(self, app: App, stack: contextlib.AsyncExitStack) -> None:
        """Enter the lifespan of the application."""
        if app.lifespan is None:
            return
        try:
            await stack.enter_async_context(entered(app.lifespan))
        except AppError:
            raise
        except Exception as exc:
            logger.error("the lifespan of %s failed", self._settings.app, exc_info=exc)
            kind = type(exc).__name__
            text = f"the lifespan of {self._settings.app} failed: {kind}"
            raise AppError(f"{text}: {one_line(exc)}") from exc

    async def _start(self, app: App) -> None:
        settings = self._settings
        make_server = serving_function(app, settings)
        network: dict[str, Any] = {}
        if settings.ssl_cert is not None:
            network["ssl"] = _tls(settings.ssl_cert, settings.ssl_key)
        if settings.health and "health" not in app.options:
            network["health"] = {"/healthz": None, "/readyz": _check_of(app)}
        if settings.metrics:
            self._metrics = _metrics()
            _watch_calls(self._metrics, app.handler)
        for descriptor in self._descriptors:
            sock = socket.socket(fileno=descriptor)
            server = make_server(sock=sock, **network)
            if self._metrics is not None:
                self._metrics.watch(server)
            await server
            self._servers.append(server)
        self._app = app
        logger.info("ready")
        self._tell(ready=True)

    # --- the supervisor ----------------------------------------------------------

    async def _obey(self, reader: asyncio.StreamReader) -> None:
        """Do what the supervisor asks for, until it or we have ended."""
        # A write that failed is raised here, too.
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self._do(json.loads(line))
        self._watch.noticed()
        if not self._stop.is_set():
            logger.error("the supervisor is gone: closing connections")
            self._leave(CloseCode.GOING_AWAY, False)

    def _do(self, message: dict[str, Any]) -> None:
        what = message["do"]
        if what == "drain":
            self._leave(message["code"], message["listen"])
        elif what == "cut":
            self._cut.set()
            self._stop.set()
        elif what == "metrics":
            self._tell_metrics(message["id"])

    def _tell_metrics(self, number: int) -> None:
        """Answer a question for metrics, whatever the application makes of it."""
        try:
            text = self._read_metrics()
        except Exception as exc:
            logger.error("reading metrics failed", exc_info=exc)
            self._tell(metrics=None, id=number, why=f"{type(exc).__name__}, see above")
            return
        line = _line(metrics=text, id=number)
        if len(line) <= MAX_LINE:
            self._write(line)
            return
        why = f"they take {len(line)} bytes; at most {MAX_LINE} are allowed"
        self._tell(metrics=None, id=number, why=why)

    def _read_metrics(self) -> str:
        if self._metrics is None or self._app is None:
            return ""
        text: str = self._metrics.text()
        return text + hub_metrics(self._app)

    def _leave(self, code: int, listens_on: bool) -> None:
        if not self._stop.is_set():
            self._code, self._listens_on = code, listens_on
            self._stop.set()

    def _on_term(self) -> None:
        """Somebody ends this process alone, or with all others of its group."""
        if not self._stop.is_set():
            self._tell(leaving=True)
        self._leave(CloseCode.SERVICE_RESTART, False)

    def _tell(self, **message: Any) -> None:
        self._write(_line(**message))

    def _write(self, line: bytes) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write(line)

    async def _beat(self) -> None:
        """Give signs of life: a loop that stands still gives none."""
        while True:
            self._tell(beat=self._count())
            await asyncio.sleep(BEAT)

    def _count(self) -> int:
        return sum(len(server.connections) for server in self._servers)

    # --- ending ------------------------------------------------------------------

    async def _drain(self) -> None:
        """Close all connections in stages; cut off what is left in the end."""
        timeout = self._settings.drain_timeout
        count = self._count()
        logger.info("draining: %d connections, at most %g seconds", count, timeout)
        draining = asyncio.create_task(self._drain_all())
        cut = asyncio.create_task(self._cut.wait())
        await asyncio.wait({draining, cut}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            logger.warning("cutting off %d connections", self._count())
            for server in self._servers:
                await server.drain(timeout=0, keep_listening=True)
        cut.cancel()
        await draining
        logger.info("ended")

    async def _drain_all(self) -> None:
        await asyncio.gather(*map(self._drain_one, self._servers))

    async def _drain_one(self, server: Server) -> None:
        timeout = self._settings.drain_timeout
        batch, interval = stages_of(len(server.connections), timeout)
        await server.drain(
            batch=batch,
            interval=interval,
            timeout=timeout,
            code=self._code,
            keep_listening=self._listens_on,
        )


def _line(**message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _check_of(app: App) -> Any:
    """Return the function behind ``/readyz``."""

    def check() -> str | None:
        answer = True if app.ready is None else app.ready()
        if answer is True:
            return None
        return answer if isinstance(answer, str) and answer else "not ready"

    return check


def _tls(cert: str, key: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as exc:
        raise AppError(f"cannot use the certificate: {one_line(exc)}") from exc
    return context


def _metrics() -> Any:
    from ..metrics import Metrics

    try:
        metrics = Metrics()
        metrics.text()  # what it needs is imported by that
    except ModuleNotFoundError as exc:
        raise AppError(
            f"--metrics needs {exc.name}; install it with: pip install '.[metrics]'"
        ) from exc
    return metrics


def _watch_calls(metrics: Any, handler: Any) -> None:
    """Count the calls of an rpc.Server, too."""
    if hasattr(handler, "signals"):
        metrics.watch_calls(handler)


def _read_first(sock: socket.socket) -> dict[str, Any]:
    """Return the first message, which says what to serve."""
    line = b""
    while not line.endswith(b"\n"):
        # Byte by byte: what follows is for the loop to read.
        data = sock.recv(1)
        if not data:
            raise SystemExit(FAILED)  # the supervisor has ended meanwhile
        line += data
    first: dict[str, Any] = json.loads(line)
    return first


def main(arguments: list[str]) -> int:
    """Run a worker; return its exit status."""
    # A terminal's Ctrl-C goes to all processes, and the supervisor tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    faulthandler.enable()  # SIGABRT shows where a worker hangs
    sock = socket.socket(fileno=int(arguments[1]))
    first = _read_first(sock)
    who = f"worker {first['slot']} [{os.getpid()}]"
    configure(first["settings"]["log_level"], "longwire.workers", who)
    if directory := first["settings"]["app_dir"]:
        sys.path.insert(0, directory)

    # From here on the application's code runs, which may stand still.
    watch = Watch(sock, first["settings"]["drain_timeout"], FAILED)

    async def run() -> int:
        return await Worker(sock, first, watch).run()

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main(sys.argv))
