"""Proxies for one connection each, as handlers of ``trio.serve_listeners``."""

from __future__ import annotations

from tests.trio_.running import trio


async def http_proxy(stream):
    """Answer CONNECT, and pass everything on."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some()
    target = head.split()[1].decode()
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
    await _join(stream, int(target.rpartition(":")[2]))


async def socks5_proxy(stream):
    """Speak SOCKS5 (RFC 1928) without authentication, and pass everything on."""
    await stream.receive_some()
    await stream.send_all(b"\x05\x00")
    asked = await stream.receive_some()
    await stream.send_all(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
    await _join(stream, int.from_bytes(asked[-2:], "big"))


async def _join(stream, port):
    server = await trio.open_tcp_stream("127.0.0.1", port)

    async def pipe(source, target):
        try:
            async for data in source:
                await target.send_all(data)
            await target.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async with server, trio.open_nursery() as nursery:
        nursery.start_soon(pipe, stream, server)
        nursery.start_soon(pipe, server, stream)
