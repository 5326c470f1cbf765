"""Echo on trio or in threads: CPU of a message and memory of a connection.

Usage: .venv-bench/bin/python bench/echo_servers.py trio|threads [ROUNDS [CONNECTIONS]]

The raw stream is trio's own, the raw socket has a thread for each connection: they
answer each read with a ready frame, which is the least that anything there can cost.
Each serves in a process of its own; one client in plain sockets talks to all of them in
turns, so that what else the machine does is shared. Prints the server's CPU in
microseconds for each message of 64 bytes, and KiB for each idle connection.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from adapter import cpu_of, open_connection

MESSAGE = b"x" * 64
FRAME = b"\x82\xc0\x00\x00\x00\x00" + MESSAGE
TURN = 50  # rounds of all connections to one server before the next has its turn
KINDS = {
    "trio": ("longwire.trio", "raw stream", "websockets.trio", "trio-websocket"),
    "threads": ("longwire.sync", "raw socket", "websockets.sync"),
}


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


def serve_threads(kind: str) -> None:
    """Serve in threads by one of the libraries; print the port."""
    if kind == "raw socket":
        import threads

        threads.serve()
        return
    if kind == "longwire.sync":
        from longwire.sync import serve
    else:
        from websockets.sync.server import serve

    def echo(ws: object) -> None:
        for message in ws:  # type: ignore[attr-defined]
            ws.send(message)  # type: ignore[attr-defined]

    with serve(echo, "127.0.0.1", 0, compression=None) as server:
        print(server.socket.getsockname()[1], flush=True)
        server.serve_forever()


async def serve(kind: str) -> None:
    """Serve on trio by one of the libraries; print the port."""
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


def resident(pid: int) -> int:
    """Return the bytes that a server has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf(
        "SC_PAGE_SIZE"
    )


def main() -> None:
    """Measure all in turns, and print a line for each."""
    kinds = KINDS[sys.argv[1]]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 16
    servers, socks, used, memory = {}, {}, dict.fromkeys(kinds, 0.0), {}
    for kind in kinds:
        command = [sys.executable, __file__, "serve", kind]
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert child.stdout is not None
        servers[kind] = child
        port = int(child.stdout.readline())
        socks[kind] = [open_connection(port) for _ in range(count)]
        time.sleep(0.3)
        before = resident(child.pid)
        idle = [open_connection(port) for _ in range(200)]
        time.sleep(0.5)
        memory[kind] = (resident(child.pid) - before) / len(idle) / 1024
        for sock in idle:
            sock.close()
    time.sleep(1)
    for _ in range(rounds):
        for kind in kinds:
            pid = servers[kind].pid
            begun = cpu_of(pid)
            for _ in range(TURN):
                for sock in socks[kind]:
                    sock.sendall(FRAME)
                for sock in socks[kind]:
                    left = 66
                    while left:
                        left -= len(sock.recv(left))
            used[kind] += cpu_of(pid) - begun
    for child in servers.values():
        child.kill()
        child.wait()
    messages = rounds * TURN * count
    base = used[kinds[0]]
    for kind in kinds:
        print(
            f"{kind:16} CPU {used[kind] / messages * 1e6:7.1f} us a message "
            f"({used[kind] / base:4.2f} x)   {memory[kind]:6.1f} KiB a connection"
        )


if __name__ == "__main__":
    if sys.argv[1:2] != ["serve"]:
        main()
    elif sys.argv[2] in KINDS["threads"]:
        serve_threads(sys.argv[2])
    else:
        import trio

        trio.run(serve, sys.argv[2])
