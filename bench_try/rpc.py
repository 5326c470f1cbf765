"""CPU of a server per remote call, beside wsrpc-aiohttp and a raw echo in one run.

    python bench/rpc.py [--rounds 5] [--calls 20000] [--only longwire,wsrpc-aiohttp]

``add(2, 3)`` over 1 connection and over 64, one call in flight on each. The load speaks
the wire by itself, so that all servers get the same work; every server has a process
of its own, pinned to one core, the load to another, and in every round each is measured
in turn. A figure is the median over the rounds; CPU is that of the server's process,
kernel included, by /proc/PID/stat.

``echo`` is longwire without RPC, sending the same frames back: the floor.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import logging
import multiprocessing
import os
import re
import select
import socket
import statistics
import time
from multiprocessing.connection import Connection as Pipe
from typing import Any

CONNECTIONS = (1, 64)
JSONRPC = b'{"jsonrpc":"2.0","id":1,"method":"add","params":[2,3]}'
WSRPC = b'{"id":2,"method":"add","params":[2,3]}'
PING = re.compile(rb'"id": ?(\d+), ?"method": ?"ping"')


# --- the servers -----------------------------------------------------------------


def add(a: int, b: int) -> int:
    return a + b


async def add_async(a: int, b: int) -> int:
    return a + b


async def serve_longwire(ready: Pipe, wire: str, function: Any) -> None:
    from longwire import rpc

    server = rpc.Server({"add": function}, wire=wire)
    async with server.serve("127.0.0.1", 0, compression=None) as listening:
        ready.send(listening.sockets[0].getsockname()[1])
        await listening.serve_forever()


async def serve_echo(ready: Pipe) -> None:
    import longwire

    async def echo(connection: longwire.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with longwire.serve(echo, "127.0.0.1", 0, compression=None) as server:
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()


async def serve_wsrpc_aiohttp(ready: Pipe) -> None:
    import aiohttp.web
    import wsrpc_aiohttp

    async def add_there(peer: Any, a: int, b: int) -> int:
        return a + b

    wsrpc_aiohttp.WebSocketAsync.add_route("add", add_there)
    app = aiohttp.web.Application()
    app.router.add_get("/", wsrpc_aiohttp.WebSocketAsync)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    sock = socket.create_server(("127.0.0.1", 0))
    await aiohttp.web.SockSite(runner, sock).start()
    ready.send(sock.getsockname()[1])
    await asyncio.Event().wait()


# For each name: what makes the server, its arguments, and a call on its wire.
SERVERS: dict[str, tuple[Any, tuple[Any, ...], bytes]] = {
    "echo": (serve_echo, (), JSONRPC),
    "longwire": (serve_longwire, ("jsonrpc", add), JSONRPC),
    "longwire async": (serve_longwire, ("jsonrpc", add_async), JSONRPC),
    "longwire wsrpc": (serve_longwire, ("wsrpc", add), WSRPC),
    "wsrpc-aiohttp": (serve_wsrpc_aiohttp, (), WSRPC),
}


def run(name: str, core: int, ready: Pipe) -> None:
    """Serve until the process is ended."""
    os.sched_setaffinity(0, {core})
    # What a server says of clients that leave without a word is not measured here.
    logging.disable()
    make, args, _ = SERVERS[name]
    asyncio.run(make(ready, *args))


class Server:
    """A server in a process of its own."""

    def __init__(self, name: str, core: int) -> None:
        self.name = name
        self.call = SERVERS[name][2]
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(
            target=run, args=(name, core, theirs), daemon=True
        )
        self._process.start()
        self.port: int = ours.recv()

    def cpu(self) -> float:
        """Seconds of CPU its process has used."""
        with open(f"/proc/{self._process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.join()


# --- the load --------------------------------------------------------------------


def open_connection(port: int) -> socket.socket:
    """Return a socket after its opening handshake."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16))
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        + key
        + b"\r\n\r\n"
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += sock.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101"), answer
    return sock


def frame(text: bytes) -> bytes:
    """Return a masked text frame of less than 126 bytes."""
    mask = b"\x01\x02\x03\x04"
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
    return bytes([0x81, 0x80 | len(text)]) + mask + masked


def measure(server: Server, connections: int, calls: int) -> tuple[float, float]:
    """Return (microseconds of CPU per call, calls per second)."""
    message = frame(server.call)
    socks = {}
    poll = select.epoll()
    for _ in range(connections):
        sock = open_connection(server.port)
        socks[sock.fileno()] = sock
        poll.register(sock.fileno(), select.EPOLLIN)
    cpu, start, done = server.cpu(), time.perf_counter(), 0
    for sock in socks.values():
        sock.sendall(message)
    while done < calls:
        for fd, _ in poll.poll():
            answer = socks[fd].recv(4096)
            for ping in PING.finditer(answer):
                # How wsrpc-aiohttp keeps connections; not counted.
                socks[fd].sendall(frame(b'{"id":%b,"result":{}}' % ping[1]))
            if server.name != "echo" and b"result" not in answer:
                continue
            if done < connections:  # the first of each is looked at
                assert server.name == "echo" or b"5}" in answer or b"5," in answer
            done += 1
            socks[fd].sendall(message)
    seconds, cpu = time.perf_counter() - start, server.cpu() - cpu
    for sock in socks.values():
        sock.close()
    return cpu / done * 1e6, done / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20000)
    parser.add_argument("--only", default=",".join(SERVERS))
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    servers = [Server(name, core=cores[0]) for name in arguments.only.split(",")]
    results: dict[tuple[str, int], list[tuple[float, float]]] = {}
    try:
        for _ in range(arguments.rounds):
            for server in servers:
                for connections in CONNECTIONS:
                    figures = measure(server, connections, arguments.calls)
                    results.setdefault((server.name, connections), []).append(figures)
    finally:
        for server in servers:
            server.stop()
    print(f"{'':16} {'1 connection':>22} {'64 connections':>22}")
    print(f"{'':16} {'us CPU':>10} {'calls/s':>11} {'us CPU':>10} {'calls/s':>11}")
    for server in servers:
        cells = []
        for connections in CONNECTIONS:
            pairs = results[server.name, connections]
            cells.append(f"{statistics.median(p[0] for p in pairs):10.1f}")
            cells.append(f"{statistics.median(p[1] for p in pairs):11,.0f}")
        print(f"{server.name:16} " + " ".join(cells))


if __name__ == "__main__":
    main()
