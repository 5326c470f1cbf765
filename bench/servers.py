"""A server of one library, in a process of its own.

    python bench/servers.py LIBRARY[@uvloop] MODE [--tls FILE] [--keepalive SECONDS]

Prints its port, then serves until it is ended. Libraries are at their defaults, and
each is used as its documentation does. Modes, the same as those of c/server.c:

    echo       each message is answered with itself
    sink       a text message is answered with the number of binary ones before it
    broadcast  a binary message is sent to all; a text message is answered with itself
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

Handler = Callable[[Any], Awaitable[None]]
Tls = ssl.SSLContext | None


# --- libraries that have coroutines, recv() and send() ---


async def echo(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


async def sink(websocket: Any) -> None:
    count = 0
    async for message in websocket:
        if isinstance(message, str):
            await websocket.send(str(count))
        else:
            count += 1


def broadcaster(broadcast: Callable[[set[Any], Any], None]) -> Handler:
    receivers: set[Any] = set()

    async def handler(websocket: Any) -> None:
        receivers.add(websocket)
        try:
            async for message in websocket:
                if isinstance(message, str):
                    await websocket.send(message)
                else:
                    broadcast(receivers, message)
        finally:
            receivers.remove(websocket)

    return handler


def chosen_compression() -> dict[str, Any]:
    """What processes.VARIANTS asks for."""
    choice = os.environ.get("BENCH_COMPRESSION")
    if choice == "zlib":
        from longwire import Compression

        return {"compression": Compression(backend="zlib")}
    return {"compression": choice} if choice else {}


async def start_coroutines(library: str, mode: str, tls: Tls, keepalive: Any) -> Any:
    if library == "websockets":
        from websockets.asyncio.server import broadcast, serve
    elif library == "picows.websockets":
        from picows.websockets import broadcast, serve  # type: ignore[assignment]
    else:
        from longwire import broadcast, serve  # type: ignore[assignment]
    handlers = {"echo": echo, "sink": sink, "broadcast": broadcaster(broadcast)}
    options: dict[str, Any] = {"ping_interval": keepalive} if keepalive else {}
    if library == "longwire":
        from longwire import Limits

        options |= chosen_compression()
        # All of them come from this machine.
        options["limits"] = Limits(connections_per_address=None)
    return await serve(handlers[mode], "127.0.0.1", 0, ssl=tls, **options)


# --- picows: callbacks ---


async def start_picows(mode: str, tls: Tls, keepalive: Any) -> Any:
    import picows

    kinds = picows.WSMsgType
    receivers: set[Any] = set()

    class Base(picows.WSListener):  # type: ignore[misc]
        """Puts fragments together, and answers a close frame."""

        def __init__(self) -> None:
            self.pieces = bytearray()
            self.kind = kinds.BINARY

        def on_ws_connected(self, transport: Any) -> None:
            if mode == "broadcast":
                receivers.add(transport)

        def on_ws_disconnected(self, transport: Any) -> None:
            receivers.discard(transport)

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            kind = frame.msg_type
            if kind == kinds.CLOSE:
                transport.send_close(frame.get_close_code(), frame.get_close_message())
                transport.disconnect()
            elif kind != kinds.CONTINUATION and frame.fin:
                self.on_message(transport, kind, frame.get_payload_as_memoryview())
            else:
                if kind != kinds.CONTINUATION:
                    self.kind = kind
                self.pieces += frame.get_payload_as_memoryview()
                if frame.fin:
                    self.on_message(transport, self.kind, self.pieces)
                    self.pieces = bytearray()

        def on_message(self, transport: Any, kind: Any, message: Any) -> None:
            raise AssertionError("each mode has its own")

    class Echo(Base):
        def on_message(self, transport: Any, kind: Any, message: Any) -> None:
            transport.send(kind, message)

    class Sink(Base):
        count = 0

        def on_message(self, transport: Any, kind: Any, message: Any) -> None:
            if kind == kinds.TEXT:
                transport.send(kind, str(self.count).encode())
            else:
                self.count += 1

    class Broadcast(Base):
        def on_message(self, transport: Any, kind: Any, message: Any) -> None:
            if kind == kinds.TEXT:
                transport.send(kind, message)
            else:
                for receiver in receivers:
                    receiver.send(kind, message)

    listener = {"echo": Echo, "sink": Sink, "broadcast": Broadcast}[mode]
    options: dict[str, Any] = {}
    if keepalive:
        options = {"enable_auto_ping": True, "auto_ping_idle_timeout": keepalive}
    return await picows.ws_create_server(
        lambda request: listener(), "127.0.0.1", 0, ssl=tls, **options
    )


# --- aiohttp ---


async def start_aiohttp(mode: str, tls: Tls, keepalive: Any) -> Any:
    from aiohttp import WSMsgType, web

    receivers: set[web.WebSocketResponse] = set()

    async def echo(websocket: web.WebSocketResponse) -> None:
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
            else:
                await websocket.send_bytes(message.data)

    async def sink(websocket: web.WebSocketResponse) -> None:
        count = 0
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                await websocket.send_str(str(count))
            else:
                count += 1

    async def broadcast(websocket: web.WebSocketResponse) -> None:
        receivers.add(websocket)
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
            else:
                for receiver in list(receivers):
                    await receiver.send_bytes(message.data)
        receivers.remove(websocket)

    chosen = {"echo": echo, "sink": sink, "broadcast": broadcast}[mode]

    async def handle(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(heartbeat=keepalive)
        await websocket.prepare(request)
        await chosen(websocket)
        return websocket

    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    return site._server


async def serve_one(arguments: argparse.Namespace, library: str) -> None:
    tls = None
    if arguments.tls:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(arguments.tls)
    mode, keepalive = arguments.mode, arguments.keepalive
    if library == "picows":
        server = await start_picows(mode, tls, keepalive)
    elif library == "aiohttp":
        server = await start_aiohttp(mode, tls, keepalive)
    else:
        server = await start_coroutines(library, mode, tls, keepalive)
    print(next(iter(server.sockets)).getsockname()[1], flush=True)
    await asyncio.get_running_loop().create_future()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("library")
    parser.add_argument("mode", choices=("echo", "sink", "broadcast"))
    parser.add_argument("--tls", help="a file with certificate and key")
    parser.add_argument("--keepalive", type=float, help="seconds between pings")
    arguments = parser.parse_args()
    # Some log each connection that ends without a closing handshake, with a traceback.
    logging.disable()
    library, _, loop = arguments.library.partition("@")
    if loop == "uvloop":
        import uvloop

        uvloop.run(serve_one(arguments, library))
    else:
        asyncio.run(serve_one(arguments, library))


if __name__ == "__main__":
    main()
