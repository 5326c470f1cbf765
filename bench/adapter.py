"""What the documented API costs: CPU per message and connection, beside longwire's own.

    python bench/adapter.py [--rounds 9] [--messages 100000] [--visits 2000]

Servers by ``longwire.serve``, by ``longwire.websockets.serve`` and by the old
``longwire.websockets.legacy.server.serve``, each in a process of its own on one core,
the load on another. 64 connections with one message of 32 bytes in flight each, then
16 with 64, then connections that open and close properly, one after the other; every
round measures each server in turn. A figure is the median of the rounds, CPU that of
the server's process, kernel included.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import logging
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

from servers import echo

KINDS = ("longwire", "longwire.websockets", "legacy")
SCENARIOS = ((64, 1), (16, 64))
PAYLOAD = 32
FRAME = b"\x82\xa0\x01\x02\x03\x04" + b"x" * PAYLOAD
REPLY = 2 + PAYLOAD
CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe8"


async def serve(kind: str) -> None:
    """Echo until ended; print the port first."""
    listen: Any
    if kind == "longwire":
        from longwire import serve as listen
    elif kind == "longwire.websockets":
        from longwire.websockets import serve as listen
    else:
        from longwire.websockets.legacy.server import serve as listen
    server = await listen(echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Server:
    """The process of one server."""

    def __init__(self, kind: str, core: int) -> None:
        self.kind = kind
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", kind],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        os.sched_setaffinity(self._process.pid, {core})

    def cpu(self) -> float:
        """Return the seconds of CPU that it has used."""
        return cpu_of(self._process.pid)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used (Linux)."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_connection(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16))
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: " + key + b"\r\n\r\n"
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += sock.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    return sock


def measure(server: Server, connections: int, flight: int, messages: int) -> float:
    """Return the microseconds of CPU per message."""
    socks = [open_connection(server.port) for _ in range(connections)]
    by_number = {sock.fileno(): sock for sock in socks}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    burst, expected = FRAME * flight, REPLY * flight
    received = dict.fromkeys(by_number, 0)
    time.sleep(0.05)  # the opening handshakes are over
    cpu, done = server.cpu(), 0
    for sock in socks:
        sock.sendall(burst)
    while done < messages:
        for number, _ in poll.poll():
            received[number] += len(by_number[number].recv(1 << 16))
            if received[number] >= expected:
                received[number] -= expected
                done += flight
                by_number[number].sendall(burst)
    cpu = server.cpu() - cpu
    poll.close()
    for sock in socks:
        sock.close()
    return cpu / done * 1e6


def measure_visits(server: Server, visits: int) -> float:
    """Return the microseconds of CPU per connection that is opened and closed."""
    cpu = server.cpu()
    for _ in range(visits):
        with open_connection(server.port) as sock:
            sock.sendall(CLOSE)
            while sock.recv(4096):
                pass
    return (server.cpu() - cpu) / visits * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--visits", type=int, default=2_000)
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        # The load ends its connections without a close frame, which is logged.
        logging.disable()
        asyncio.run(serve(arguments.serve))
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    columns = [f"{connections} x {flight}" for connections, flight in SCENARIOS]
    columns.append("opened")
    found: dict[tuple[str, str], list[float]] = {}
    servers = [Server(kind, cores[0]) for kind in KINDS]
    try:
        for _ in range(arguments.rounds):
            for column, (connections, flight) in zip(columns, SCENARIOS, strict=False):
                messages = arguments.messages * (8 if flight > 1 else 1)
                for server in servers:
                    cost = measure(server, connections, flight, messages)
                    found.setdefault((server.kind, column), []).append(cost)
            for server in servers:
                cost = measure_visits(server, arguments.visits)
                found.setdefault((server.kind, "opened"), []).append(cost)
    finally:
        for server in servers:
            server.stop()
    print(f"{'us CPU of the server':22} " + " ".join(f"{x:>16}" for x in columns))
    for kind in KINDS:
        cells = []
        for column in columns:
            cost = statistics.median(found[kind, column])
            ratio = cost / statistics.median(found[KINDS[0], column])
            cells.append(f"{cost:9.3f} {ratio:5.2f}x")
        print(f"{kind:22} " + " ".join(cells))


if __name__ == "__main__":
    main()
