"""Peers of a soak test: raw sockets that behave as well or as badly as they come.

Each visit is one connection. Nothing here is longwire's: what leaks is the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import socket
import ssl
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import cast

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x37\xfa\x21\x3d"
# Seconds after which the server must have ended any visit: several of its timeouts of a
# second each, on a machine that may have other things to do.
PATIENCE = 15.0
IDLE = 3.0  # seconds without a sign of life


class Visit:
    """One connection, as bytes."""

    def __init__(self, port: int, dice: random.Random, tls: bool) -> None:
        self.port = port
        self.dice = dice
        self.tls = tls
        self.path = "no path yet"
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def connect(self) -> None:
        self.socket.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(self.socket, ("127.0.0.1", self.port))
            context = _trusting() if self.tls else None
            self.reader, self.writer = await asyncio.open_connection(
                sock=self.socket,
                ssl=context,
                server_hostname="localhost" if self.tls else None,
                limit=4096,
            )
        except BaseException:
            self.socket.close()
            raise

    async def open(self, path: str = "/echo", *headers: str) -> None:
        """Do the opening handshake."""
        self.path = path
        await self.write(request(path, *headers))
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(head.decode())

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read_all(self) -> None:
        """Read until the server ends the stream."""
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        """End TCP with a reset."""
        linger = struct.pack("ii", 1, 0)
        sock = self.writer.get_extra_info("socket")
        # None or closed if the server was faster.
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def leave(self) -> None:
        self.writer.transport.abort()


@functools.cache
def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def request(path: str, *headers: str) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def frame(first: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + size.to_bytes(8, "big")
    stream = MASK * (size // 4 + 1)
    number = int.from_bytes(payload, "big") ^ int.from_bytes(stream[:size], "big")
    return head + MASK + number.to_bytes(size, "big")


CLOSE = frame(0x88, b"\x03\xe8bye")


async def orderly(visit: Visit) -> None:
    """Send some messages and close as one should."""
    await visit.open(visit.dice.choice(("/echo", "/tasks", "/once", "/fail", "/deaf")))
    for _ in range(visit.dice.randrange(8)):
        await visit.write(frame(0x81, b"hello" * visit.dice.randrange(1, 300)))
    await visit.write(CLOSE)
    await visit.read_all()


async def reset(visit: Visit) -> None:
    """Reset at some moment: in the head, in a frame, with answers under way."""
    moment = visit.dice.randrange(4)
    if moment == 0:
        await visit.write(request("/echo")[: visit.dice.randrange(1, 120)])
    else:
        await visit.open(visit.dice.choice(("/echo", "/push", "/tasks")))
    if moment >= 2:
        await visit.write(frame(0x82, bytes(50_000)) * 2)
    if moment == 3:
        await visit.write(frame(0x82, bytes(5000))[: visit.dice.randrange(1, 5000)])
    await asyncio.sleep(visit.dice.random() * 0.1)
    visit.reset()


async def half_open(visit: Visit) -> None:
    """Open, then neither read nor write nor close: the server has to notice."""
    await visit.open(visit.dice.choice(("/echo", "/push", "/tasks", "/deaf")))
    transport = cast(asyncio.Transport, visit.writer.transport)
    transport.pause_reading()
    await asyncio.sleep(IDLE)
    transport.resume_reading()
    await visit.read_all()


async def slow_reader(visit: Visit) -> None:
    """Take less than is sent, for a while."""
    await visit.open("/push")
    for _ in range(20):
        await visit.reader.read(visit.dice.randrange(1, 2000))
        await asyncio.sleep(0.05)
    visit.dice.choice((visit.reset, visit.leave))()


async def slow_handshake(visit: Visit) -> None:
    """Send a head byte by byte, until the server has had enough."""
    for byte in request("/echo"):
        await visit.write(bytes((byte,)))
        await asyncio.sleep(0.05)
    await visit.read_all()


async def silent(visit: Visit) -> None:
    """Connect and say nothing."""
    await visit.read_all()


async def garbage(visit: Visit) -> None:
    """Send what is neither HTTP nor, after the handshake, frames."""
    if visit.dice.random() < 0.5:
        await visit.open()
    await visit.write(visit.dice.randbytes(visit.dice.randrange(1, 3000)))
    await visit.read_all()


async def refused(visit: Visit) -> None:
    """Ask for what a server of WebSockets does not give."""
    await visit.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await visit.read_all()


async def flood(visit: Visit) -> None:
    """Send more than is read of the answers: messages, pings, fragments."""
    await visit.open()
    burst = visit.dice.choice(
        (
            frame(0x81, b"x" * 1000) * 100,
            frame(0x89, b"ping") * 100,
            frame(0x01) + frame(0x00) * 200,
            frame(0x82, bytes(1 << 20)),
            frame(0x82, bytes((1 << 20) + 1)),
        )
    )
    for _ in range(10):
        await visit.write(burst)
    await visit.write(CLOSE)
    await visit.read_all()


async def half_close(visit: Visit) -> None:
    """Send messages and the end of the stream; read on."""
    await visit.open()
    await visit.write(frame(0x81, b"last words") * visit.dice.randrange(20))
    if not visit.tls:
        visit.writer.write_eof()
    await visit.read_all()


async def compressed(visit: Visit) -> None:
    """Speak permessage-deflate, with what inflates to much at times."""
    await visit.open("/echo", "Sec-WebSocket-Extensions: permessage-deflate")
    size = visit.dice.choice((10, 1000, 100_000, 5_000_000))
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = deflater.compress(b"abc" * (size // 3)) + deflater.flush(2)
    for _ in range(3):
        await visit.write(frame(0xC2, payload.removesuffix(b"\x00\x00\xff\xff")))
    await visit.write(CLOSE)
    await visit.read_all()


async def listener(visit: Visit) -> None:
    """Take what is broadcast for a second, answering no pings."""
    await visit.open("/deaf")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            await visit.read_all()
    await visit.write(CLOSE)
    await visit.read_all()


VISITS: tuple[Callable[[Visit], Awaitable[None]], ...] = (
    *(orderly, orderly, orderly, reset, reset, half_open, slow_reader, slow_handshake),
    *(silent, garbage, refused, flood, half_close, compressed, listener),
)


class Crowd:
    """Visitors that come and go for as long as they are let."""

    def __init__(self, size: int, tls: bool, seed: int) -> None:
        self.size = size
        self.tls = tls
        self.dice = random.Random(seed)
        self.port = 0
        self.visits = 0
        self.overdue: list[str] = []

    async def come(self, seconds: float) -> None:
        """Visit for so long; return when everybody has left."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds

        async def visitor() -> None:
            while loop.time() < end:
                await self._visit(self.dice.choice(VISITS))

        async with asyncio.TaskGroup() as group:
            for _ in range(self.size):
                group.create_task(visitor())

    async def _visit(self, kind: Callable[[Visit], Awaitable[None]]) -> None:
        visit = Visit(self.port, random.Random(self.dice.random()), self.tls)
        try:
            await visit.connect()
        except OSError:
            await asyncio.sleep(0.05)  # between two servers
            return
        self.visits += 1
        try:
            async with asyncio.timeout(PATIENCE):
                await kind(visit)
        except TimeoutError:
            self.overdue.append(f"{kind.__name__} at {visit.path}")
        except (OSError, EOFError, asyncio.IncompleteReadError):
            pass  # thrown out, as many of them want to be
        except asyncio.LimitOverrunError:
            pass  # a body where a head was expected
        finally:
            visit.leave()
            # The transport closes its socket in the next turn of the loop.
            await asyncio.sleep(0)
