"""Admin: health and metrics of all workers together, by HTTP, from the supervisor.

Answers ``GET /healthz``, ``/readyz`` and ``/metrics``, on a place of its own; never
waits for anybody. Workers that do not answer within a second are left out.
"""

from __future__ import annotations

import contextlib
import logging
import re
import selectors
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .process import Process
    from .supervisor import Supervisor

__all__ = ["Admin", "merged"]

logger = logging.getLogger("longwire.workers")

_PATIENCE = 1.0
"""Seconds that workers have to give their metrics."""
_MAX_HEAD = 8192
_TIME = 5.0
"""Seconds that a client may take for its request and our answer."""
_MAX_CLIENTS = 64
_NO_ROOM = 1.0
"""Seconds until the next look at clients when the system has no descriptor left."""
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}

_SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (.+)")


class Admin:
    """The HTTP server of a supervisor, on a listening socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._clients: dict[socket.socket, _Client] = {}
        self._scrapes: dict[int, _Scrape] = {}
        self._number = 0
        self._accepts_at: float | None = None  # accepting failed: not before that

    def begin(self, selector: selectors.BaseSelector, supervisor: Supervisor) -> None:
        """Answer from now on, for ``supervisor``."""
        self._selector = selector
        self._supervisor = supervisor
        selector.register(self._sock, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Answer no more."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._sock.close()

    def deadline(self, now: float) -> float:
        """Return when ``tick()`` has something to do."""
        times = [client.by for client in self._clients.values()]
        times += [scrape.by for scrape in self._scrapes.values()]
        if self._accepts_at is not None:
            times.append(self._accepts_at)
        return min(times, default=now + _TIME * 10)

    def tick(self, now: float) -> None:
        """Do what is due."""
        for number, scrape in list(self._scrapes.items()):
            if not scrape.waiting or now >= scrape.by:
                del self._scrapes[number]
                self._answer_metrics(scrape)
        for client in list(self._clients.values()):
            if now >= client.by:
                self._drop(client)
        if self._accepts_at is not None and now >= self._accepts_at:
            self._accepts_at = None
            self._selector.register(self._sock, selectors.EVENT_READ, self._accept)

    # --- clients -----------------------------------------------------------------

    def _accept(self, now: float) -> None:
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone meanwhile
        except OSError as exc:
            # It would be reported again at once, and again.
            logger.warning(
                "cannot accept a connection at the address of --admin: %s", exc
            )
            self._selector.unregister(self._sock)
            self._accepts_at = now + _NO_ROOM
            return
        sock.setblocking(False)
        client = _Client(sock, now + _TIME)
        if len(self._clients) >= _MAX_CLIENTS:
            with contextlib.suppress(OSError):
                sock.send(_response(client, 503, "too many requests at once\n"))
            sock.close()
            return
        self._clients[sock] = client
        self._listen(client)

    def _listen(self, client: _Client) -> None:
        """Write the answer of a client, or read on where there is none."""
        event, do = selectors.EVENT_READ, self._read
        if client.output:
            event, do = selectors.EVENT_WRITE, self._write
        try:
            self._selector.register(client.sock, event, lambda now: do(client, now))
        except OSError:  # the kernel has no room to watch it
            self._drop(client)

    def _read(self, client: _Client, now: float) -> None:
        try:
            data = client.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if client.answered or not data:
            if not data:  # before its request was whole, or after our answer
                self._drop(client)
            return
        client.head += data
        # A client may end its side when it has asked: it is not read any more.
        if b"\r\n\r\n" in client.head:
            self._selector.unregister(client.sock)
            self._request(client, now)
        elif len(client.head) > _MAX_HEAD:
            self._selector.unregister(client.sock)
            self._answer(client, 431, f"more than {_MAX_HEAD} bytes\n")

    def _request(self, client: _Client, now: float) -> None:
        line = bytes(client.head).split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        method, path = (
            (line[0], line[1].partition("?")[0]) if len(line) == 3 else ("", "")
        )
        client.without_body = method == "HEAD"
        if not method:
            self._answer(client, 400, "no request of HTTP\n")
        elif method not in ("GET", "HEAD"):
            self._answer(client, 405, "only GET and HEAD\n")
        elif path == "/healthz":
            self._answer(client, 200, "OK\n")
        elif path == "/readyz":
            why = self._supervisor.why_not_ready()
            self._answer(client, 200 if why is None else 503, f"{why or 'OK'}\n")
        elif path == "/metrics":
            self._scrape(client, now)
        else:
            self._answer(client, 404, "there is /healthz, /readyz, /metrics\n")

    def _scrape(self, client: _Client, now: float) -> None:
        self._number += 1
        ready = [p for _, p in self._supervisor.workers() if p is not None]
        scrape = _Scrape(client, {p.pid for p in ready}, now + _PATIENCE)
        self._scrapes[self._number] = scrape
        for process in ready:
            process.ask_for_metrics(self._number)

    def got_metrics(self, process: Process, message: dict[str, Any]) -> None:
        """A worker has answered: its metrics, or why they are missing."""
        number = message.get("id")
        scrape = self._scrapes.get(number) if isinstance(number, int) else None
        if scrape is None or process.pid not in scrape.waiting:
            return
        scrape.waiting.discard(process.pid)
        text = message["metrics"]
        if isinstance(text, str):
            scrape.texts[process.slot] = text
        elif not process.lacks_metrics:
            process.lacks_metrics = True  # said once
            logger.warning("no metrics of %s: %s", process, message.get("why"))

    def _answer_metrics(self, scrape: _Scrape) -> None:
        own = "".join(_own_lines(self._supervisor, scrape.texts))
        kind = "text/plain; version=0.0.4; charset=utf-8"
        self._answer(scrape.client, 200, own + merged(scrape.texts), kind)

    def _answer(
        self, client: _Client, status: int, text: str, kind: str = "text/plain"
    ) -> None:
        client.output = memoryview(_response(client, status, text, kind))
        if client.sock in self._clients:
            self._listen(client)

    def _write(self, client: _Client, now: float) -> None:
        try:
            sent = client.sock.send(client.output)
            client.output = client.output[sent:]
            if client.output:
                return
            # Closed with unread input, TCP would reset and take the answer away.
            client.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        client.answered = True
        self._selector.unregister(client.sock)
        self._listen(client)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.sock, None) is not None:
            if client.sock in self._selector.get_map():
                self._selector.unregister(client.sock)
            client.sock.close()


class _Client:
    """One connection: a request, an answer, the end."""

    def __init__(self, sock: socket.socket, by: float) -> None:
        self.sock = sock
        self.by = by
        self.head = bytearray()
        self.output = memoryview(b"")
        self.answered = self.without_body = False


class _Scrape:
    """A request for metrics, and whom it waits for."""

    def __init__(self, client: _Client, waiting: set[int], by: float) -> None:
        self.client = client
        self.waiting = waiting
        self.by = by
        self.texts: dict[int, str] = {}


def _response(
    client: _Client, status: int, text: str, kind: str = "text/plain"
) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if client.without_body else body)


def _own_lines(supervisor: Supervisor, texts: dict[int, str]) -> Iterator[str]:
    """Yield the metrics of the supervisor itself."""
    yield "# HELP longwire_worker_up Whether the slot's worker takes connections.\n"
    yield "# TYPE longwire_worker_up gauge\n"
    for number, process in supervisor.workers():
        yield f'longwire_worker_up{{worker="{number}"}} {int(process is not None)}\n'
    name = "longwire_worker_metrics_missing"
    yield f"# HELP {name} Whether the metrics of a worker that is up are not here.\n"
    yield f"# TYPE {name} gauge\n"
    for number, process in supervisor.workers():
        missing = process is not None and number not in texts
        yield f'{name}{{worker="{number}"}} {int(missing)}\n'
    name = "longwire_worker_restarts_total"
    yield f"# HELP {name} Times that the slot's worker was started after a death.\n"
    yield f"# TYPE {name} counter\n"
    for number, count in supervisor.restarts().items():
        yield f'{name}{{worker="{number}"}} {count}\n'


def merged(texts: dict[int, str]) -> str:
    """Return the metrics of all workers as one text; ``worker`` says whose each is.

    Lines of one metric stand together, as the format wants it.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for slot, text in sorted(texts.items()):
        family = ""
        for line in text.splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                family = line.split(" ", 3)[2]
                known = heads.setdefault(family, [])
                if len(known) < 2 and line not in known:
                    known.append(line)
            elif match := _SAMPLE.fullmatch(line):
                name, labels, value = match.groups()
                labels = f'worker="{slot}"' + (f",{labels}" if labels else "")
                lines = samples.setdefault(family or name, [])
                lines.append(f"{name}{{{labels}}} {value}")
    return "".join(
        "\n".join([*heads.get(family, []), *lines]) + "\n"
        for family, lines in samples.items()
    )
