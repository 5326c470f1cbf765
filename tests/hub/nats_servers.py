"""NATS servers that a test starts for itself, on ports of their own, and may hurt."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.needs import needs
from tests.support.ports import free_port


class NatsServer:
    """One server with JetStream; ``ask`` asks its API, blocking."""

    def __init__(self, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="hub-nats-")
        self.process: subprocess.Popen[bytes] | None = None
        self.is_stopped = False

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> NatsServer:
        command = [
            needs("nats-server"),
            *("-a", "127.0.0.1", "-p", str(self.port)),
            *("-js", "-sd", str(Path(self.folder, "store"))),
            *self.options,
        ]
        with Path(self.folder, "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self

    def wait(self, seconds: float = 20.0) -> NatsServer:
        """Wait until JetStream answers."""
        until = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, ValueError):
                if "error" not in self.ask("INFO"):
                    return self
            if time.monotonic() > until:
                log = Path(self.folder, "log").read_text(errors="replace")
                raise TimeoutError(f"nats-server does not answer:\n{log[-2000:]}")
            time.sleep(0.02)

    def ask(self, what: str, question: Any = None, timeout: float = 5.0) -> Any:
        """Ask JetStream's API, by a connection of its own."""
        data = self.request(f"$JS.API.{what}", question, timeout)
        return json.loads(data)

    def request(self, subject: str, question: Any, timeout: float = 5.0) -> bytes:
        """Send a request and return its answer."""
        body = b"" if question is None else json.dumps(question).encode()
        with socket.create_connection(("127.0.0.1", self.port), timeout) as sock:
            sock.settimeout(timeout)
            stream = sock.makefile("rwb")
            stream.readline()  # INFO
            stream.write(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
            stream.write(b"SUB inbox 1\r\n")
            stream.write(b"PUB %b inbox %d\r\n" % (subject.encode(), len(body)))
            stream.write(body + b"\r\n")
            stream.flush()
            while line := stream.readline():
                if line.startswith(b"MSG "):
                    return stream.read(int(line.split()[-1]))
                if line.startswith(b"PING"):
                    stream.write(b"PONG\r\n")
                    stream.flush()
        raise ConnectionResetError("closed by the server")

    def streams(self) -> list[str]:
        found: list[str] = self.ask("STREAM.NAMES")["streams"] or []
        return sorted(found)

    # --- what may happen to it ---------------------------------------------------

    def kill(self) -> None:
        """End it at once, as a power failure of its process."""
        if self.process is not None:
            if self.is_stopped:
                self.resume()
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self, *, empty: bool = False) -> None:
        self.kill()
        if empty:
            shutil.rmtree(Path(self.folder, "store"), ignore_errors=True)
        self.start().wait()

    def stop(self) -> None:
        """Freeze it: its sockets stay open, and nothing answers."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        self.is_stopped = True

    def resume(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)
        self.is_stopped = False

    def save(self) -> str:
        """Return a copy of what it has stored, as a backup; it must not run."""
        copy = tempfile.mkdtemp(dir=self.folder)
        shutil.copytree(Path(self.folder, "store"), copy, dirs_exist_ok=True)
        return copy

    def restore(self, copy: str) -> None:
        """Replace what it has stored; it must not run."""
        shutil.rmtree(Path(self.folder, "store"))
        shutil.copytree(copy, Path(self.folder, "store"))

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def nats_server(*options: str, **more: Any) -> Iterator[NatsServer]:
    server = NatsServer(*options, **more)
    try:
        yield server.start().wait()
    finally:
        server.close()


@contextlib.contextmanager
def nats_cluster(count: int = 3) -> Iterator[list[NatsServer]]:
    """Servers that know each other, and choose a leader for each stream."""
    routes = [free_port() for _ in range(count)]
    urls = ",".join(f"nats://127.0.0.1:{port}" for port in routes)
    servers = [
        NatsServer(
            *("--cluster_name", "hub", "--cluster", f"nats://127.0.0.1:{port}"),
            *("--routes", urls, "--name", f"n{index}"),
        )
        for index, port in enumerate(routes)
    ]
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait(40)
        yield servers
    finally:
        for server in servers:
            server.close()
