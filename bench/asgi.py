"""What an ASGI application costs under uvicorn: CPU per echoed message.

    python bench/asgi.py [--rounds 9] [--messages 40000] [--bare]

A Starlette endpoint that echoes, under uvicorn with each class that speaks WebSocket
for it: its own three and longwire's. Each is a process of its own on one core, the load
on another: 64 connections with one message of 32 bytes in flight each, then 16 with 64;
every round measures each in turn. A figure is the median of the rounds, CPU that of the
server's process, kernel included. ``--bare`` has the application do without Starlette,
which costs as much with each of them.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import adapter

KINDS = {
    "websockets": "websockets",
    "websockets-sansio": "websockets-sansio",
    "wsproto": "wsproto",
    "longwire": "longwire.asgi:Protocol",
}


def starlette_application() -> Any:
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_bytes(await websocket.receive_bytes())
        except WebSocketDisconnect:
            pass

    return Starlette(routes=[WebSocketRoute("/", echo)])


async def bare_application(
    scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]
) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": event["bytes"]})


def serve(kind: str, bare: bool) -> None:
    """Echo until ended; print the port first."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        bare_application if bare else starlette_application(),
        ws=KINDS[kind],
        lifespan="off",
        log_level="critical",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        loop="asyncio",
    )
    config.load()
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listening])


class Server(adapter.Server):
    """The process of one server."""

    def __init__(self, kind: str, core: int, *options: str) -> None:
        self.kind = kind
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", kind, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        os.sched_setaffinity(self._process.pid, {core})


def kinds() -> list[str]:
    """Return those of the classes that this uvicorn has; newer ones have not all."""
    import uvicorn

    there = []
    for kind, name in KINDS.items():
        try:
            uvicorn.Config(bare_application, ws=name).load()
        except Exception as exc:
            print(f"{kind}: left out, {type(exc).__name__}: {exc}")
        else:
            there.append(kind)
    return there


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.bare)
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    found: dict[tuple[str, int], list[float]] = {}
    options = ["--bare"] * arguments.bare
    servers = [Server(kind, cores[0], *options) for kind in kinds()]
    try:
        for _ in range(arguments.rounds):
            for connections, flight in adapter.SCENARIOS:
                messages = arguments.messages * (4 if flight > 1 else 1)
                for server in servers:
                    cost = adapter.measure(server, connections, flight, messages)
                    found.setdefault((server.kind, flight), []).append(cost)
    finally:
        for server in servers:
            server.stop()
    print(f"{'us CPU per message':22} {'64 x 1':>16} {'16 x 64':>16}")
    for server in servers:
        cells = []
        for _, flight in adapter.SCENARIOS:
            cost = statistics.median(found[server.kind, flight])
            ours = statistics.median(found["longwire", flight])
            cells.append(f"{cost:9.2f} {cost / ours:5.2f}x")
        print(f"{server.kind:22} " + " ".join(cells))


if __name__ == "__main__":
    main()
