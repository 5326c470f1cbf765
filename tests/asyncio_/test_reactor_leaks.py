"""Nothing is left of connections, however they ended."""

from __future__ import annotations

import pytest
from tests.asyncio_.test_reactor_processes import LOOP, script

pytestmark = pytest.mark.long

ENDINGS = r"""
import collections

ASK = (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
       b"Connection: Upgrade\r\n"
       b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
       b"\r\n")
HELLO = b"\x81\x85\0\0\0\0hello"
logging.disable(logging.CRITICAL)
made = weakref.WeakSet()

class Noted(longwire.ServerConnection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        made.add(self)

async def handler(ws):
    async for message in ws:
        await ws.send(message)
        if message == "raise":
            raise ZeroDivisionError
        if message == "abort":
            ws.transport.abort()
        if message == "leave":
            return
        if message == "close":
            await ws.close(4000, "enough")
        if message == "cancel":
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

async def opened(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    writer.write(ASK)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HELLO)
    assert await reader.readexactly(7) == b"\x81\x05hello"
    return reader, writer

async def end(writer):
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()

async def said(server, message):
    async with longwire.connect(
        f"ws://127.0.0.1:{port_of(server)}/", proxy=None
    ) as ws:
        await ws.send(message)
        with contextlib.suppress(longwire.ConnectionClosed):
            while True:
                await ws.recv()

async def closing(server):
    async with longwire.connect(
        f"ws://127.0.0.1:{port_of(server)}/", proxy=None
    ) as ws:
        await ws.send("x")
        assert await ws.recv() == "x"
        waiting = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
    await asyncio.wait([waiting])
    waiting.exception()

async def vanishing(server):
    _, writer = await opened(server)
    await end(writer)

async def resetting(server):
    _, writer = await opened(server)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.write(HELLO)
    writer.transport.abort()

async def half_closing(server):
    reader, writer = await opened(server)
    writer.write_eof()
    await reader.read()
    await end(writer)

async def breaking_the_rules(server):
    reader, writer = await opened(server)
    writer.write(HELLO + b"\xff\xff")
    await reader.read()
    await end(writer)

async def shaking_hands(server):
    reader, writer = await opened(server)
    writer.write(b"\x88\x82\0\0\0\0\x03\xe8")
    assert await reader.read() == b"\x88\x02\x03\xe8"
    await end(writer)

async def going_on_after_closing(server):
    reader, writer = await opened(server)
    writer.write(b"\x88\x82\0\0\0\0\x03\xe8" + HELLO * 100)
    assert await reader.read() == b"\x88\x02\x03\xe8"
    await end(writer)

async def asking_for_nonsense(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    writer.write(b"NONSENSE\r\n\r\n")
    await reader.read()
    await end(writer)

async def saying_nothing(server):
    _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    await end(writer)

async def reading_nothing(server):
    _, writer = await opened(server)
    writer.transport.pause_reading()
    writer.write((b"\x82\xfe\xff\xff\0\0\0\0" + bytes(65535)) * 20)
    await asyncio.sleep(0.01)
    writer.transport.abort()

async def giving_up(server):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.0005):
            await connect(server)

endings = {
    function.__name__: function
    for function in (
        closing, vanishing, resetting, half_closing, breaking_the_rules,
        shaking_hands, going_on_after_closing,
        asking_for_nonsense, saying_nothing, reading_nothing, giving_up,
    )
}
endings.update({
    message: (lambda message: lambda server: said(server, message))(message)
    for message in ("raise", "abort", "leave", "close", "cancel")
})
"""


@LOOP
@pytest.mark.parametrize("engine", ["native", "transport"])
def test_nothing_is_left_of_connections_of_any_ending(loop: str, engine: str) -> None:
    lines = script(
        ENDINGS
        + """
async def state(server, loop):
    for _ in range(400):
        if not server._runs and len(asyncio.all_tasks()) == 1 and not made:
            break
        await asyncio.sleep(0.01)
    gc.collect()
    await asyncio.sleep(0.02)
    return {
        "descriptors": descriptors(),
        "tasks": len(asyncio.all_tasks()),
        "connections": len(made),
        "counted": len(server._runs) + len(server._open) + server._admission.addresses,
        "objects": len(gc.get_objects()),
        "loop": sys.getrefcount(loop),
    }

async def main():
    loop = asyncio.get_running_loop()
    server = await serve(handler, create_connection=Noted, close_timeout=1)
    for name, ending in endings.items():
        for _ in range(3):
            await ending(server)
    # Some of what is made once is made late.
    before = await state(server, loop)
    before = await state(server, loop)
    for name, ending in endings.items():
        for _ in range(13):
            await asyncio.gather(*(ending(server) for _ in range(8)))
    after = await state(server, loop)
    print(len(endings))
    for name in before:
        print(name, before[name], after[name])
    server.close()
    await server.wait_closed()

run(main)
""",
        loop,
        seconds=240,
        LONGWIRE_ENGINE=engine,
    )
    assert int(lines[0]) == 16
    found = {name: (int(a), int(b)) for name, a, b in map(str.split, lines[1:])}
    for name in ("descriptors", "tasks", "connections", "counted"):
        before, after = found[name]
        assert after == before, found
    assert found["connections"] == (0, 0)
    # 104 connections of each ending: one object or reference of each would be seen.
    for name in ("objects", "loop"):
        before, after = found[name]
        assert after - before < 200, found


@LOOP
@pytest.mark.parametrize(
    "ending",
    ["closing", "vanishing", "resetting", "shaking_hands", "leave"],
)
def test_a_connection_goes_without_the_collector(loop: str, ending: str) -> None:
    lines = script(
        ENDINGS
        + """
async def main():
    server = await serve(handler, create_connection=Noted, close_timeout=1)
    ending = endings[sys.argv[2]]
    await ending(server)
    gc.collect()
    gc.disable()
    for _ in range(20):
        await ending(server)
    for _ in range(200):
        if not made:
            break
        await asyncio.sleep(0.01)
    print(len(made))
    server.close()
    await server.wait_closed()

run(main)
""",
        loop,
        ending,
    )
    assert lines == ["0"]
