"""CPU per echoed message of a server, beside other libraries in the same run.

    python bench/echo.py [--rounds 5] [--messages 50000] [--only longwire,websockets]

64 connections with one message of 32 bytes in flight each, then 16 with 64 in flight.
Every library has a server process of its own, pinned to one core, the load to another;
in every round each is measured in turn. A figure is the median over the rounds; CPU is
that of the server's process, kernel included, by /proc/PID/stat.
"""

from __future__ import annotations

import argparse
import base64
import os
import select
import socket
import statistics
import time

from servers import LIBRARIES, Server

PAYLOAD = 32
FRAME = b"\x82\xa0\x01\x02\x03\x04" + b"x" * PAYLOAD
REPLY = 2 + PAYLOAD
SCENARIOS = ((64, 1), (16, 64))


def open_connection(port: int, deflate: bool = False) -> socket.socket:
    """Return a socket after its opening handshake."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16))
    offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        + key
        + b"\r\n"
        + (offer if deflate else b"")
        + b"\r\n"
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += sock.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    return sock


def measure(
    server: Server, connections: int, flight: int, messages: int
) -> tuple[float, float]:
    """Return (microseconds of CPU per message, messages per second)."""
    socks = {}
    poll = select.epoll()
    for _ in range(connections):
        sock = open_connection(server.port)
        socks[sock.fileno()] = sock
        poll.register(sock.fileno(), select.EPOLLIN)
    burst, expected = FRAME * flight, REPLY * flight
    received = dict.fromkeys(socks, 0)
    cpu, start, done = server.cpu(), time.perf_counter(), 0
    for sock in socks.values():
        sock.sendall(burst)
    while done < messages:
        for fd, _ in poll.poll():
            received[fd] += len(socks[fd].recv(1 << 16))
            if received[fd] >= expected:
                received[fd] -= expected
                done += flight
                socks[fd].sendall(burst)
    seconds, cpu = time.perf_counter() - start, server.cpu() - cpu
    for sock in socks.values():
        sock.close()
    return cpu / done * 1e6, done / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=50000)
    parser.add_argument("--only", default=",".join(LIBRARIES))
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    servers = [Server(name, core=cores[0]) for name in arguments.only.split(",")]
    try:
        results: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for _ in range(arguments.rounds):
            for server in servers:
                for connections, flight in SCENARIOS:
                    figures = measure(server, connections, flight, arguments.messages)
                    results.setdefault((server.library, flight), []).append(figures)
    finally:
        for server in servers:
            server.stop()
    print(f"{'':12} {'64 x 1':>22} {'16 x 64':>22}")
    print(f"{'':12} {'us CPU':>10} {'msg/s':>11} {'us CPU':>10} {'msg/s':>11}")
    for server in servers:
        cells = []
        for _, flight in SCENARIOS:
            pairs = results[server.library, flight]
            cells.append(f"{statistics.median(p[0] for p in pairs):10.2f}")
            cells.append(f"{statistics.median(p[1] for p in pairs):11,.0f}")
        print(f"{server.library:12} " + " ".join(cells))


if __name__ == "__main__":
    main()
