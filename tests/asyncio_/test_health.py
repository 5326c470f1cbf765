"""Health checks by several paths, and what a drain leaves to those just accepted."""

from __future__ import annotations

import asyncio

import pytest
from tests.support import health

from longwire import serve

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


async def handler(ws):
    await ws.wait_closed()


async def ask(port, path):
    """Status and body of a plain request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def port_of(server):
    return server.sockets[0].getsockname()[1]


async def slow():
    await asyncio.sleep(0)
    return "no broker"


CHECKS = [*health.CHECKS, (slow, (503, "no broker.\n"), health.DRAINING)]


@pytest.mark.parametrize(("check", "answer", "draining"), CHECKS)
async def test_each_path_has_a_check_of_its_own(check, answer, draining, caplog):
    checks = {"/healthz": None, "/readyz": check}
    async with serve(handler, "127.0.0.1", 0, health=checks) as server:
        port = port_of(server)
        assert await ask(port, "/healthz") == (200, "OK\n")
        assert await ask(port, "/readyz?full") == answer
        assert (await ask(port, "/else"))[0] == 426
        server._draining = True
        status, body = await ask(port, "/readyz")
        assert (status, body) == draining

    failures = [r for r in caplog.records if r.levelname == "ERROR"]
    assert len(failures) == (check is health.broken)


@pytest.mark.parametrize(
    ("health", "error"),
    [
        (7, TypeError),
        ({7: None}, TypeError),
        ({"/x": "y"}, TypeError),
        ({"x": None}, ValueError),
        ({"/x?y": None}, ValueError),
    ],
)
def test_what_is_no_check_is_refused_at_once(health, error):
    with pytest.raises(error, match="health"):
        serve(handler, "127.0.0.1", 0, health=health)


async def test_draining_without_listening_lets_those_ask_who_were_accepted():
    async with serve(handler, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        while not server._runs:
            await asyncio.sleep(0)

        draining = asyncio.create_task(server.drain(keep_listening=False, code=1012))
        await asyncio.sleep(0.05)
        writer.write(HANDSHAKE)

        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(4) == b"\x88\x02\x03\xf4"  # close, 1012
        writer.write(b"\x88\x82\x00\x00\x00\x00\x03\xf4")
        await draining
        writer.close()


async def test_who_is_accepted_and_says_nothing_does_not_hold_up_a_drain():
    async with serve(handler, "127.0.0.1", 0) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        while not server._runs:
            await asyncio.sleep(0)

        await asyncio.wait_for(server.drain(keep_listening=False), 20)

        writer.close()
