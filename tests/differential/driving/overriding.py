"""Overrides one method of a connection, and tells how often it was called.

A program may override what the documents say it may, and much more that it sees: the
conversation is an echo of two messages, a ping, and an end that the peer begins.
"""

import asyncio
import contextlib
import importlib
import inspect
import socket
import time

from live import Peer, clock
from sansio import accept_key
from values import describe, frame

MASK = b"\x01\x02\x03\x04"
PLACES = {
    ("new", "client"): ("websockets.asyncio.client", "ClientConnection"),
    ("new", "server"): ("websockets.asyncio.server", "ServerConnection"),
    ("legacy", "client"): ("websockets.legacy.client", "WebSocketClientProtocol"),
    ("legacy", "server"): ("websockets.legacy.server", "WebSocketServerProtocol"),
}


def overriding(base, method, calls):
    """Return a subclass that counts the calls of a method, and passes them on."""
    real = getattr(base, method, None)
    if real is None:
        return None
    if inspect.iscoroutinefunction(real):

        async def counted(self, *args, **kwargs):
            calls.append(method)
            return await getattr(super(derived, self), method)(*args, **kwargs)

    else:

        def counted(self, *args, **kwargs):
            calls.append(method)
            return getattr(super(derived, self), method)(*args, **kwargs)

    derived = type("Derived", (base,), {method: counted})
    return derived


def run(program):
    return asyncio.run(play(program))


async def play(program):
    api, side, method = program["kind"], program["side"], program["method"]
    module, name = PLACES[api, side]
    module, calls = importlib.import_module(module), []
    derived = overriding(getattr(module, name), method, calls)
    if derived is None:
        return [{"did": "derive", "result": "no such method"}]
    options = {"compression": None, "ping_interval": 5, "create_protocol": derived}
    if api == "new":
        options["create_connection"] = options.pop("create_protocol")
    try:
        if side == "client":
            wrote = await client(module, options)
        else:
            wrote = await server(module, options)
    except Exception as error:
        return [{"did": "talk", "result": describe(error)}]
    return [{"did": "talk", "wrote": wrote, "called": bool(calls)}]


async def echo(connection, path=None):
    with contextlib.suppress(Exception):
        async for message in connection:
            await connection.send(message)


async def client(module, options):
    ours, theirs = socket.socketpair()
    peer = Peer(theirs, http=True)
    opening = asyncio.ensure_future(
        awaited(module.connect, "ws://example.com/", sock=ours, **options)
    )
    head = b""
    while b"\r\n\r\n" not in head:
        await asyncio.sleep(0)
        if opening.done():
            opening.result()
        with contextlib.suppress(BlockingIOError):
            head += theirs.recv(1 << 16)
    peer.wire.http = False
    key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
    peer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept_key(key).encode()
        + b"\r\n\r\n"
    )
    echoing = asyncio.ensure_future(echo(await opening))
    wrote = await talk(peer, None)
    await echoing
    return wrote


async def server(module, options):
    serving = await module.serve(echo, "127.0.0.1", 0, **options)
    sock = socket.create_connection(serving.sockets[0].getsockname()[:2])
    peer = Peer(sock, http=True)
    peer.write(
        b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: chat\r\nOrigin: https://example.com\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    wrote = await talk(peer, MASK)
    serving.close()
    await quiet(peer)
    return wrote


async def talk(peer, mask):
    """Send two messages and a ping, let time for a ping of theirs pass, and close."""
    wrote = await quiet(peer)
    peer.write(frame(1, b"one", mask=mask) + frame(9, b"ping", mask=mask))
    wrote += await quiet(peer)
    peer.write(frame(2, b"two", mask=mask))
    wrote += await quiet(peer)
    clock()[0] += 6
    wrote += await quiet(peer)
    peer.write(frame(8, b"\x03\xe8", mask=mask))
    wrote += await quiet(peer)
    peer.sock.close()
    await quiet(peer, gone=True)
    return wrote


async def quiet(peer, gone=False):
    found, still = [], 0
    while still < 8:
        for _ in range(8):
            await asyncio.sleep(0)
        new = [] if gone else peer.read()
        still = 0 if new else still + 1
        found += new
        time.sleep(0.0003)
    return found


async def awaited(call, *args, **kwargs):
    return await call(*args, **kwargs)
