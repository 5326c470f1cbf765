"""Admin: health and metrics of all workers together, by HTTP, from the supervisor.

Answers ``GET /healthz``, ``/readyz`` and ``/metrics``, on a place of its own; never
waits for anybody. Workers that do not answer within a second are left out.
"""

from __future__ import annotations

import re
import selectors
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .process import Process
    from .supervisor import Supervisor

__all__ = ["Admin", "merged"]

_PATIENCE = 1.0
"""Seconds that workers have to give their metrics."""
_MAX_HEAD = 8192
_TIME = 5.0
"""Seconds that a client may take for its request and our answer."""
_MAX_CLIENTS = 64

_SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (.+)")


class Admin:
    """The HTTP server of a supervisor, on a listening socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._clients: dict[socket.socket, _Client] = {}
        self._scrapes: dict[int, _Scrape] = {}
        self._number = 0

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

    # --- clients -----------------------------------------------------------------

    def _accept(self, now: float) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return
        if len(self._clients) >= _MAX_CLIENTS:
            sock.close()
            return
        sock.setblocking(False)
        client = self._clients[sock] = _Client(sock, now + _TIME)
        self._selector.register(
            sock, selectors.EVENT_READ, lambda now: self._read(client, now)
        )

    def _read(self, client: _Client, now: float) -> None:
        try:
            data = client.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.head += data
        if not data or len(client.head) > _MAX_HEAD:
            self._drop(client)
        elif not client.asked and b"\r\n\r\n" in client.head:
            client.asked = True
            self._request(client, now)

    def _request(self, client: _Client, now: float) -> None:
        line = bytes(client.head).split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        method, path = (
            (line[0], line[1].partition("?")[0]) if len(line) == 3 else ("", "")
        )
        client.without_body = method == "HEAD"
        if method not in ("GET", "HEAD"):
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

    def got_metrics(self, process: Process, number: int, text: str) -> None:
        """A worker has answered."""
        scrape = self._scrapes.get(number)
        if scrape is not None:
            scrape.waiting.discard(process.pid)
            scrape.texts[process.slot] = text

    def _answer_metrics(self, scrape: _Scrape) -> None:
        own = "".join(_own_lines(self._supervisor))
        kind = "text/plain; version=0.0.4; charset=utf-8"
        self._answer(scrape.client, 200, own + merged(scrape.texts), kind)

    def _answer(
        self, client: _Client, status: int, text: str, kind: str = "text/plain"
    ) -> None:
        body = text.encode()
        reason = {200: "OK", 404: "Not Found", 405: "Method Not Allowed"}
        head = (
            f"HTTP/1.1 {status} {reason.get(status, 'Service Unavailable')}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            f"Connection: close\r\n\r\n"
        )
        client.output = head.encode() + (b"" if client.without_body else body)
        if client.sock in self._clients:
            self._selector.modify(
                client.sock, selectors.EVENT_WRITE, lambda now: self._write(client)
            )

    def _write(self, client: _Client) -> None:
        try:
            sent = client.sock.send(client.output)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        client.output = client.output[sent:]
        if not client.output:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.sock, None) is not None:
            self._selector.unregister(client.sock)
            client.sock.close()


class _Client:
    """One connection: a request, an answer, the end."""

    def __init__(self, sock: socket.socket, by: float) -> None:
        self.sock = sock
        self.by = by
        self.head = bytearray()
        self.output = b""
        self.asked = self.without_body = False


class _Scrape:
    """A request for metrics, and whom it waits for."""

    def __init__(self, client: _Client, waiting: set[int], by: float) -> None:
        self.client = client
        self.waiting = waiting
        self.by = by
        self.texts: dict[int, str] = {}


def _own_lines(supervisor: Supervisor) -> Iterator[str]:
    """Yield the metrics of the supervisor itself."""
    yield "# HELP longwire_worker_up Whether the slot's worker takes connections.\n"
    yield "# TYPE longwire_worker_up gauge\n"
    for number, process in supervisor.workers():
        yield f'longwire_worker_up{{worker="{number}"}} {int(process is not None)}\n'
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
            if line.startswith("# "):
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
