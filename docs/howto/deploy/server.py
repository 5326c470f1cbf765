"""A server for systemd, Docker and Kubernetes: it drains at SIGTERM."""

import asyncio
import logging
import os
import signal
import socket

from longwire import serve


async def handler(websocket):
    async for message in websocket:
        await websocket.send(message)


def inherited():
    """Return the listening socket that systemd has passed, None without one."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    return socket.socket(fileno=3)


async def main():
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    options = {"health": "/healthz"}
    sock = inherited()
    if sock is not None:
        server = serve(handler, sock=sock, **options)
    else:
        port = int(os.environ.get("PORT", "8765"))
        server = serve(handler, os.environ.get("HOST", ""), port, **options)
    async with server:
        await stop.wait()
        # With systemd's socket, or another server on the port, others take new clients.
        await server.drain(timeout=30, keep_listening=sock is None)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
