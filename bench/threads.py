"""A blocking client's round trip: CPU and median time, beside a raw socket's.

Usage: .venv-bench/bin/python bench/threads.py [ROUNDS]

One echo server in a process of its own, in plain Python on blocking sockets, serves all
clients alike. They take turns in one process, so that what else the machine does is
shared by all. Prints microseconds of CPU (of the client's process) and of time for each
round trip, and what they are to the raw socket's.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MESSAGE = b"x" * 64
TURN = 500  # round trips of one client before the next has its turn

Trip = Callable[[], object]


def accept(sock: socket.socket) -> None:
    """Serve one client: answer each read with the same frames, unmasked."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(65536)
    key = next(
        line.partition(b":")[2].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key")
    )
    token = base64.b64encode(hashlib.sha1(key + GUID).digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + token + b"\r\n\r\n"
    )
    while data := sock.recv(65536):
        if data[0] == 0x88:
            sock.sendall(b"\x88\x00")
            return
        # 64 bytes: a head of two, and four of the mask.
        sock.sendall(bytes([data[0], 64]) + MESSAGE)


def stay_on(core: int) -> None:
    """Keep this process on one core, as far as the system can.

    Who happens to be on the core of the server has its answer in a third of the time.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})


def serve() -> None:
    """Serve clients one after the other in threads; print the port."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            sock, _ = listening.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=accept, args=(sock,), daemon=True).start()


def raw(port: int) -> Trip:
    """A blocking socket with framing in plain Python, as little as there can be."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: " + b"x" * 22 + b"==\r\n\r\n")
    sock.recv(65536)

    def trip() -> bytes:
        key = os.urandom(4)
        stream = int.from_bytes(key * 16, "big")
        payload = (int.from_bytes(MESSAGE, "big") ^ stream).to_bytes(64, "big")
        sock.sendall(b"\x82\xc0" + key + payload)
        data = sock.recv(65536)
        return data[2 : 2 + (data[1] & 0x7F)]

    return trip


def ours(port: int) -> Trip:
    """longwire.sync."""
    from longwire.sync import connect

    # The server knows no pings.
    uri, options = f"ws://127.0.0.1:{port}/", {"proxy": None, "compression": None}
    ws = connect(uri, ping_interval=None, **options)

    def trip() -> object:
        ws.send(MESSAGE)
        return ws.recv()

    return trip


def other(port: int) -> Trip:
    """websockets.sync."""
    from websockets.sync.client import connect

    uri, options = f"ws://127.0.0.1:{port}/", {"proxy": None, "compression": None}
    ws = connect(uri, ping_interval=None, legacy=True, **options)

    def trip() -> object:
        ws.send(MESSAGE)
        return ws.recv()

    return trip


def client(port: int) -> Trip:
    """websocket-client."""
    from websocket import ABNF, create_connection

    ws = create_connection(f"ws://127.0.0.1:{port}/")

    def trip() -> object:
        ws.send(MESSAGE, ABNF.OPCODE_BINARY)
        return ws.recv()

    return trip


def measure(port: int, rounds: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return the seconds of CPU of each client, and those of its round trips."""
    clients = {
        "raw socket": raw,
        "longwire.sync": ours,
        "websockets.sync": other,
        "websocket-client": client,
    }
    trips = {name: make(port) for name, make in clients.items()}
    cpu = dict.fromkeys(trips, 0.0)
    times: dict[str, list[float]] = {name: [] for name in trips}
    for _ in range(rounds):
        for name, trip in trips.items():
            begun = time.process_time()
            for _ in range(TURN):
                before = time.perf_counter()
                trip()
                times[name].append(time.perf_counter() - before)
            cpu[name] += time.process_time() - begun
    return cpu, times


def main() -> None:
    """Measure all in turns, and print a line for each."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        stay_on(0)
        try:
            assert server.stdout is not None
            cpu, times = measure(int(server.stdout.readline()), rounds)
        finally:
            server.kill()
    base_cpu, base_time = cpu["raw socket"], statistics.median(times["raw socket"])
    for name in cpu:
        each = cpu[name] / rounds / TURN * 1e6
        middle = statistics.median(times[name])
        print(
            f"{name:16} CPU {each:7.1f} us ({cpu[name] / base_cpu:4.2f} x)   "
            f"p50 {middle * 1e6:7.1f} us ({middle / base_time:4.2f} x)"
        )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        stay_on(1)
        serve()
    else:
        main()
