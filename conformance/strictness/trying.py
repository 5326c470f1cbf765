"""Tries cases on one library: raw sockets on our side, its program on the other.

A verdict is "yes", or why not: an HTTP status, a close code, "closed" for an end of TCP
without either, "silent" where nothing came in time.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .case import Case
from .frames import CLOSE, COMPRESSED, TEXT, Frame, to_bytes
from .requests import request

ROOT = Path(__file__).resolve().parents[2]
NODE_MODULES = ROOT / ".tools" / "node" / "node_modules"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PATIENCE = 3.0
"""Seconds in which a library has to answer; what does not is "silent"."""
PROBE = b"is anybody there?"
ANSWERED = ("a message behind a close frame", "a close reason of 123 bytes")
"""Cases whose frames are taken by answering the close frame in them."""


class Library(NamedTuple):
    """A library, and how its programs are started."""

    name: str
    command: tuple[str, ...]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
        path = [str(ROOT / "src"), str(ROOT)]
        environment["PYTHONPATH"] = os.pathsep.join(path)
        return subprocess.Popen(
            [*self.command, *arguments],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def version(self) -> str:
        """Return the version that is installed."""
        if self.name == "longwire":
            return ""
        if self.name == "ws":
            package = json.loads((NODE_MODULES / "ws" / "package.json").read_text())
            node = subprocess.run(["node", "--version"], capture_output=True, text=True)
            return f"{package['version']} on Node {node.stdout.strip()}"
        from importlib.metadata import version

        return version(self.name)


def python(name: str) -> Library:
    return Library(name, (sys.executable, "-m", "conformance.strictness.agents", name))


NODE = Library("ws", ("node", str(Path(__file__).with_name("agent.js"))))
LIBRARIES = (python("longwire"), python("websockets"), python("aiohttp"), NODE)


@contextlib.contextmanager
def running(library: Library, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = library.start(*arguments)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


# --- the raw side ----------------------------------------------------------------


class Raw:
    """A socket that reads heads and frames."""

    def __init__(self, sock: socket.socket, to_server: bool) -> None:
        self.sock = sock
        self.to_server = to_server
        self.data = b""
        self.inflate = zlib.decompressobj(-15)
        sock.settimeout(PATIENCE)

    def send(self, data: bytes) -> None:
        # Whoever does not want it has gone, and says so in what it sent before.
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.data += data

    def head(self) -> bytes:
        """Return the next head of HTTP."""
        while b"\r\n\r\n" not in self.data:
            self._more()
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        return head

    def _take(self, size: int) -> bytes:
        while len(self.data) < size:
            self._more()
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        first, second = self._take(2)
        size = second & 0x7F
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(self._take(width), "big")
        key = self._take(4) if second & 0x80 else b""
        payload = self._take(size)
        if key:
            stream = (key * (size // 4 + 1))[:size]
            payload = bytes(a ^ b for a, b in zip(payload, stream, strict=True))
        if first & 0x40:
            payload = self.inflate.decompress(payload + b"\0\0\xff\xff")
        return first & 0x0F, payload

    def verdict(self) -> str:
        """Return "yes" when the probe comes back, or why it does not."""
        try:
            while True:
                opcode, payload = self.frame()
                if payload == PROBE:
                    return "yes"
                if opcode == CLOSE:
                    code = struct.unpack("!H", payload[:2])[0] if payload else None
                    return "closed" if code is None else str(code)
        except TimeoutError:
            return "silent"
        except (EOFError, OSError):
            return "closed"

    def reset_when_done(self) -> None:
        """Leave no connection behind that waits for us."""
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()


def probe(case: Case, raw: Raw) -> str:
    """Send a case's frames, then one that is echoed; return what comes of it."""
    raw.send(case.data)
    if case.name.startswith("close code") or "close frame without" in case.name:
        return _closing(case, raw)
    raw.send(to_bytes([Frame(TEXT, PROBE)], raw.to_server))
    verdict = raw.verdict()
    if case.name in ANSWERED and verdict == "1000":
        return "yes"
    return verdict


def _closing(case: Case, raw: Raw) -> str:
    """Return "yes" where a close frame is answered with the code that it had."""
    try:
        while True:
            opcode, payload = raw.frame()
            if opcode == CLOSE:
                break
    except TimeoutError:
        return "silent"
    except (EOFError, OSError):
        return "closed"
    sent = b"" if "without" in case.name else _payload_of(case, raw)
    # Some answer a close frame without a code with 1000.
    if payload[:2] == sent or (not sent and payload[:2] == b"\x03\xe8"):
        return "yes"
    code = struct.unpack("!H", payload[:2])[0] if payload else None
    return "closed" if code is None else str(code)


def _payload_of(case: Case, raw: Raw) -> bytes:
    code = int(case.name.rpartition(" ")[2])
    return struct.pack("!H", code)


# --- a server is tried -----------------------------------------------------------


def try_server(library: Library, cases: list[Case]) -> list[str]:
    """Return the verdict of a library's server on requests and on frames to it."""
    with running(library, "server") as process:
        port = json.loads(process.stdout.readline())["port"]  # type: ignore[union-attr]
        return [_try_server(port, case) for case in cases]


def _try_server(port: int, case: Case) -> str:
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    raw = Raw(sock, to_server=True)
    try:
        if case.kind == "request":
            raw.send(case.data)
            return _status(raw)
        deflate = b"Sec-WebSocket-Extensions: permessage-deflate"
        raw.send(request(*[deflate] * case.name.startswith(COMPRESSED)))
        if _status(raw) != "yes":
            raise AssertionError(f"no connection for {case.name}")
        return probe(case, raw)
    finally:
        raw.reset_when_done()


def _status(raw: Raw) -> str:
    try:
        status = raw.head().split(b" ")[1].decode()
        if status == "100":
            status = raw.head().split(b" ")[1].decode()
    except TimeoutError:
        return "silent"
    except (EOFError, OSError, IndexError):
        return "closed"
    return "yes" if status == "101" else status


# --- a client is tried -----------------------------------------------------------


def try_client(library: Library, cases: list[Case]) -> list[str]:
    """Return the verdict of a library's client on responses and on frames to it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE * 4)
        port = listening.getsockname()[1]
        uri = f"ws://127.0.0.1:{port}/"
        plan = "".join("s" if "subprotocol" in case.name else "-" for case in cases)
        verdicts = []
        with running(library, "client", uri, plan) as process:
            for case in cases:
                raw = Raw(listening.accept()[0], to_server=False)
                try:
                    verdict = _try_client(raw, case)
                finally:
                    raw.reset_when_done()
                said = json.loads(process.stdout.readline())  # type: ignore[union-attr]
                if case.kind == "response":
                    verdict = "yes" if "open" in said else "no"
                verdicts.append(verdict)
        return verdicts


def _try_client(raw: Raw, case: Case) -> str:
    accept = _accept(raw.head())
    if case.kind == "response":
        data = case.data.replace(b"@ACCEPT@", accept).replace(
            b"@LOWER@", accept.lower()
        )
        raw.send(data)
        # The end of the stream, so that what is incomplete is not waited for.
        with contextlib.suppress(OSError):
            raw.send(to_bytes([Frame(CLOSE, b"\x03\xe8")], False))
            raw.sock.shutdown(socket.SHUT_WR)
            while raw.sock.recv(65536):
                pass
        return ""
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept,
    ]
    if case.name.startswith(COMPRESSED):
        lines.append(b"Sec-WebSocket-Extensions: permessage-deflate")
    raw.send(b"\r\n".join(lines) + b"\r\n\r\n")
    return probe(case, raw)


def _accept(head: bytes) -> bytes:
    key = next(
        line.partition(b":")[2].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    )
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def try_all(library: Library, cases: list[Case]) -> dict[tuple[str, str], str]:
    """Return the verdict of a library on each case, by kind and name."""
    to_servers = [case for case in cases if case.kind in ("request", "to server")]
    to_clients = [case for case in cases if case.kind in ("response", "to client")]
    found = zip(to_servers, try_server(library, to_servers), strict=True)
    verdicts = {(case.kind, case.name): verdict for case, verdict in found}
    found = zip(to_clients, try_client(library, to_clients), strict=True)
    return verdicts | {(case.kind, case.name): verdict for case, verdict in found}
