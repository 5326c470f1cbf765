"""Small servers a client is tested against: raw ones, an HTTP proxy, a SOCKS5 proxy."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import struct


@contextlib.asynccontextmanager
async def raw_server(handle, *, ssl=None, path=None):
    """Yield the port of a server that calls ``handle(reader, writer)``.

    With ``path`` it is on a Unix socket. What the handlers raise is raised here.
    """
    tasks = []

    async def run(reader, writer):
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, EOFError):
            pass  # the client went away, as many tests want it to
        finally:
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()

    def begin(reader, writer):
        tasks.append(asyncio.get_running_loop().create_task(run(reader, writer)))

    if path is None:
        server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=ssl)
        where = server.sockets[0].getsockname()[1]
    else:
        server = await asyncio.start_unix_server(begin, path, ssl=ssl)
        where = path
    try:
        yield where
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
    for result in results:
        if isinstance(result, Exception):
            raise result


async def read_head(reader):
    """Return a request up to and with its empty line."""
    return await reader.readuntil(b"\r\n\r\n")


async def silence(reader, writer):
    """Take the client's bytes and say nothing, until it goes."""
    while await reader.read(65536):
        pass


def answering(data):
    """Return a handler that answers a request with ``data`` and closes."""

    async def handle(reader, writer):
        await read_head(reader)
        writer.write(data)
        await writer.drain()

    return handle


async def pipe(reader, writer):
    """Copy all of ``reader`` to ``writer``, then its end."""
    # uvloop raises RuntimeError for a transport that has closed meanwhile.
    with contextlib.suppress(ConnectionError, RuntimeError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(Exception):
        writer.write_eof() if writer.can_write_eof() else writer.close()


async def join(client, server):
    """Copy both ways until both have ended."""
    try:
        await asyncio.gather(pipe(client[0], server[1]), pipe(server[0], client[1]))
    finally:
        server[1].close()
        with contextlib.suppress(Exception):
            await server[1].wait_closed()


class HttpProxy:
    """A handler that does what CONNECT asks; notes the heads it got."""

    def __init__(self, credentials=None):
        self.heads = []
        self.credentials = credentials

    async def __call__(self, reader, writer):
        head = await read_head(reader)
        self.heads.append(head)
        if not self._allows(head):
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                b'Proxy-Authenticate: Basic realm="p"\r\nContent-Length: 0\r\n\r\n'
            )
            await writer.drain()
            return
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        assert method == "CONNECT"
        port = target.rsplit(":", 1)[1]
        server = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await join((reader, writer), server)

    def _allows(self, head):
        if self.credentials is None:
            return True
        token = base64.b64encode(self.credentials.encode())
        return b"Proxy-Authorization: Basic " + token + b"\r\n" in head


class Socks5Proxy:
    """A handler that speaks SOCKS5 (RFC 1928, 1929); notes what it was asked for."""

    def __init__(self, credentials=None, reply=0):
        self.asked = []
        self.credentials = credentials
        self.reply = reply

    async def __call__(self, reader, writer):
        version, count = await reader.readexactly(2)
        assert version == 5
        methods = await reader.readexactly(count)
        if self.credentials is None:
            writer.write(b"\x05\x00")
        else:
            assert 2 in methods
            writer.write(b"\x05\x02")
            if not await self._check(reader):
                writer.write(b"\x01\x01")
                return
            writer.write(b"\x01\x00")
        _, command, _, kind = await reader.readexactly(4)
        assert command == 1
        if kind == 1:
            host = socket.inet_ntoa(await reader.readexactly(4))
        else:
            assert kind == 3
            (size,) = await reader.readexactly(1)
            host = (await reader.readexactly(size)).decode()
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        self.asked.append((kind, host, port))
        writer.write(bytes([5, self.reply, 0, 1, 0, 0, 0, 0, 0, 0]))
        if self.reply:
            return
        server = await asyncio.open_connection("127.0.0.1", port)
        await join((reader, writer), server)

    async def _check(self, reader):
        parts = []
        await reader.readexactly(1)
        for _ in range(2):
            (size,) = await reader.readexactly(1)
            parts.append((await reader.readexactly(size)).decode())
        return ":".join(parts) == self.credentials


def sockets():
    """Return the sockets this process has open, as the kernel names them."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("socket:"):
                found.append(target)
    return sorted(found)


@contextlib.asynccontextmanager
async def nothing_left():
    """Check that the block leaves no socket open and no task running."""
    # The loop's own first use of threads or signals shall not count.
    await asyncio.get_running_loop().run_in_executor(None, int)
    before, tasks = sockets(), asyncio.all_tasks()
    yield
    for _ in range(200):
        if sockets() == before and asyncio.all_tasks() <= tasks:
            return
        await asyncio.sleep(0.01)
    assert sockets() == before
    assert asyncio.all_tasks() <= tasks
