"""Echo on trio: CPU for each message and memory of idle connections, side by side.

Usage: python bench/trio_echo.py [ROUNDS [CONNECTIONS]]

The raw stream is trio's own: it answers each read with a ready frame, which is the
least that anything on trio can cost. Each serves in a process of its own; one client in
plain sockets talks to all of them in turns, so that what else the machine does is
shared. Prints the server's CPU in microseconds for each message of 64 bytes, and KiB
for each idle connection.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time

import psutil

MESSAGE = b"x" * 64
FRAME = b"\x82\xc0\x00\x00\x00\x00" + MESSAGE
TURN = 50  # rounds of all connections to one server before the next has its turn
KINDS = ("longwire.trio", "raw stream", "websockets.trio", "trio-websocket")


async def echo(ws: object) -> None:
    """The handler of longwire and websockets."""
    async for message in ws:  # type: ignore[attr-defined]
        await ws.send(message)  # type: ignore[attr-defined]


async def answer(stream: object) -> None:
    """Answer each read of a raw stream with the same frame."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some()  # type: ignore[attr-defined]
    await stream.send_all(b"HTTP/1.1 101 \r\n\r\n")  # type: ignore[attr-defined]
    while await stream.receive_some(65536):  # type: ignore[attr-defined]
        await stream.send_all(b"\x82\x40" + MESSAGE)  # type: ignore[attr-defined]


async def serve(kind: str) -> None:
    """Serve by one of the libraries; print the port."""
    import trio

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    if kind == "longwire.trio":
        import longwire.trio

        await longwire.trio.serve(echo, listeners=listeners, compression=None)
    elif kind == "raw stream":
        await trio.serve_listeners(answer, listeners)
    elif kind == "websockets.trio":
        from websockets.trio.server import serve

        await serve(echo, listeners=listeners, compression=None)
    else:
        import trio_websocket as other

        async def handler(request: other.WebSocketRequest) -> None:
            ws = await request.accept()
            try:
                while True:
                    await ws.send_message(await ws.get_message())
            except other.ConnectionClosed:
                pass

        await other.WebSocketServer(handler, listeners).run()


def connect(port: int) -> socket.socket:
    """Return a raw, open connection."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16))
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: " + key + b"\r\n\r\n"
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(4096)
    return sock


def cpu(process: psutil.Process) -> float:
    """Return the seconds of CPU that a server has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Measure all in turns, and print a line for each."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    servers, socks, used, memory = {}, {}, dict.fromkeys(KINDS, 0.0), {}
    for kind in KINDS:
        command = [sys.executable, __file__, "serve", kind]
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert child.stdout is not None
        servers[kind] = child
        port = int(child.stdout.readline())
        process = psutil.Process(child.pid)
        socks[kind] = [connect(port) for _ in range(count)]
        time.sleep(0.3)
        before = process.memory_info().rss
        idle = [connect(port) for _ in range(200)]
        time.sleep(0.5)
        memory[kind] = (process.memory_info().rss - before) / len(idle) / 1024
        for sock in idle:
            sock.close()
    time.sleep(1)
    for _ in range(rounds):
        for kind in KINDS:
            process = psutil.Process(servers[kind].pid)
            begun = cpu(process)
            for _ in range(TURN):
                for sock in socks[kind]:
                    sock.sendall(FRAME)
                for sock in socks[kind]:
                    left = 66
                    while left:
                        left -= len(sock.recv(left))
            used[kind] += cpu(process) - begun
    for child in servers.values():
        child.kill()
        child.wait()
    messages = rounds * TURN * count
    base = used[KINDS[0]]
    for kind in KINDS:
        print(
            f"{kind:16} CPU {used[kind] / messages * 1e6:7.1f} us a message "
            f"({used[kind] / base:4.2f} x)   {memory[kind]:6.1f} KiB a connection"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        import trio

        trio.run(serve, sys.argv[2])
    else:
        main()
