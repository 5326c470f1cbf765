"""System calls that the reactor spares change nothing that anybody sees."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from longwire.asyncio.reactor import POLLER
from tests.asyncio_.native_ends import Owner, descriptors, turns, wire
from tests.asyncio_.serving import UPGRADE, echo, listen, port_of, raw, until
from tests.support.loops import LOOPS, PLAIN, Loop
from tests.support.rawpeer import CLOSE, TEXT, frame

from longwire import connect, serve, unix_serve


@pytest.fixture(params=PLAIN, autouse=True)
def make_loop(request: pytest.FixtureRequest) -> Callable[[], Loop]:
    return LOOPS[request.param]


# --- polls -----------------------------------------------------------------------


async def round_trips(one: Any, other: socket.socket, owner: Owner, count: int) -> None:
    for number in range(count):
        before = len(owner.received)
        other.send(b"x")
        async with asyncio.timeout(10):
            while len(owner.received) == before:
                await asyncio.sleep(0)
        one.write(bytes([number % 256]))
        assert other.recv(10) == bytes([number % 256])


async def test_others_are_read_while_one_socket_is_active_for_long() -> None:
    busy, quiet = Owner(), Owner()
    one, other = wire(busy)
    second, third = wire(quiet)
    await round_trips(one, other, busy, 100)

    # The busy one has always something to read: the other end sends whenever it can.
    loop = asyncio.get_running_loop()
    flooding = True

    def flood() -> None:
        if flooding:
            try:
                other.send(b"y" * 100)
            except BlockingIOError:
                pass
            loop.call_soon(flood)

    flood()
    for number in range(20):
        third.send(b"z")
        await until(lambda number=number: len(quiet.received) == number + 1)
    flooding = False
    await turns()

    for each in (one, second):
        each.abort()
    for each in (other, third):
        each.close()
    await turns()


async def test_the_only_active_socket_may_end_in_any_way() -> None:
    for ending in ("close", "abort", "peer", "reset"):
        owner = Owner()
        one, other = wire(owner)
        await round_trips(one, other, owner, 100)
        if ending == "close":
            one.close()
        elif ending == "abort":
            one.abort()
        else:
            if ending == "reset":
                one.write(b"unread")
            other.close()
        await until(lambda owner=owner: owner.told)
        if owner.told[0] == "eof":
            one.close()
        await until(lambda owner=owner: owner.told[-1][0] == "lost")
        other.close()


async def test_one_socket_after_another_may_be_the_only_active_one() -> None:
    pairs = []
    for _ in range(3):
        owner = Owner()
        pairs.append((owner, *wire(owner)))
    for _ in range(3):
        for owner, one, other in pairs:
            await round_trips(one, other, owner, 40)
    for owner, one, other in pairs:
        assert len(owner.received) == 120
        one.abort()
        other.close()
    await turns()


async def test_what_pauses_reading_is_not_read_though_it_is_the_only_active_one() -> (
    None
):
    owner = Owner()
    one, other = wire(owner)
    await round_trips(one, other, owner, 100)
    one.pause()
    other.send(b"later")
    await asyncio.sleep(0.02)
    assert len(owner.received) == 100
    one.resume()
    await until(lambda: owner.received.endswith(b"later"))
    one.abort()
    other.close()
    await turns()


# --- closing ---------------------------------------------------------------------


@pytest.mark.skipif(POLLER != "epoll", reason="kqueue forgets what is closed")
async def test_a_socket_that_somebody_else_keeps_open_is_not_reported_for_ever() -> (
    None
):
    before = descriptors()
    owner, alive = Owner(), Owner()
    one, other = wire(owner)
    second, third = wire(alive)
    kept = os.dup(one.fd)  # as a process has that C code forked off
    try:
        one.close()
        await until(lambda: owner.told == [("lost", None)])
        other.send(b"for the one that is closed")
        cpu = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - cpu < 0.15
        third.send(b"hello")
        await until(lambda: alive.received == b"hello")
    finally:
        os.close(kept)
    second.abort()
    other.close()
    third.close()
    await turns()
    assert descriptors() == before


async def test_tcp_is_closed_with_the_answer_to_a_close_frame() -> None:
    left: list[Any] = []

    async def handler(ws: Any) -> None:
        await echo(ws)
        left.append((ws.wire.lost, ws.close_report, ws.local_address))

    async with listen(handler) as server, raw(server) as (reader, writer):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(TEXT, b"hello", mask=True))
        writer.write(frame(CLOSE, b"\x03\xe8bye", mask=True))
        assert await reader.read() == b"\x81\x05hello\x88\x05\x03\xe8bye"
        await until(lambda: left)
        lost, report, local = left[0]
        assert lost
        assert (report.code, report.reason, report.rcvd) == (1000, "bye", report.sent)
        assert local == ("127.0.0.1", port_of(server))


@pytest.mark.parametrize("later", [False, True])
async def test_who_goes_on_after_a_close_frame_gets_the_answer_all_the_same(
    later: bool,
) -> None:
    """Closing at once would reset TCP, and the peer might lose our close frame."""
    more = frame(TEXT, b"more", mask=True) * 100
    async with listen() as server:
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, UPGRADE)
        await loop.sock_recv(sock, 4096)
        last = frame(CLOSE, b"\x03\xe8", mask=True)
        await loop.sock_sendall(sock, frame(TEXT, b"a", mask=True) + last + more)
        if later:
            await asyncio.sleep(0.01)
        found = b""
        while data := await loop.sock_recv(sock, 4096):
            found += data
        assert found == b"\x81\x01a\x88\x02\x03\xe8"
        sock.close()


async def test_the_end_of_a_handler_that_closes_first_is_as_it_was() -> None:
    ends: list[Any] = []

    async def handler(ws: Any) -> None:
        await ws.close(4000, "enough")
        ends.append(ws.close_report)

    async with listen(handler) as server, raw(server) as (reader, writer):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(10) == b"\x88\x08\x0f\xa0enough"
        writer.write(frame(CLOSE, b"\x0f\xa0enough", mask=True))
        assert await reader.read() == b""
        await until(lambda: ends)
        assert ends[0].closed_by.name == "SERVER"
        assert ends[0].rcvd == ends[0].sent


# --- addresses -------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_addresses_are_those_of_the_socket_module(host: str) -> None:
    seen: list[Any] = []

    async def handler(ws: Any) -> None:
        sock = ws.transport.get_extra_info("socket")
        seen.append((ws.local_address, sock.getsockname()))
        seen.append((ws.remote_address, sock.getpeername()))
        seen.append(
            (bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)), True)
        )

    try:
        server = await serve(handler, host, 0)
    except OSError:
        pytest.skip(f"{host} is not to be had here")
    where = f"[{host}]" if ":" in host else host
    async with server:
        async with connect(f"ws://{where}:{port_of(server)}/", proxy=None) as ws:
            await ws.wait_closed()
            assert ws.remote_address[1] == port_of(server)
    assert len(seen) == 3
    assert all(ours == theirs for ours, theirs in seen)


async def test_a_connection_reset_before_it_is_accepted_costs_no_task() -> None:
    loop = asyncio.get_running_loop()
    names: list[str] = []

    def note(loop: Any, coroutine: Any, **keywords: Any) -> asyncio.Task[Any]:
        names.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **keywords)

    async with serve(echo, "127.0.0.1", 0) as server:
        loop.set_task_factory(note)
        for _ in range(20):
            # Nothing is awaited here, so nothing is accepted meanwhile.
            with socket.create_connection(("127.0.0.1", port_of(server))) as visitor:
                visitor.sendall(b"GET / HTTP/1.1\r\n")
                linger = struct.pack("ii", 1, 0)
                visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await turns()
        assert names == []
        # The next one is served.
        async with connect(f"ws://127.0.0.1:{port_of(server)}/", proxy=None) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"
        assert names.count("ServerConnection._serve") == 1


@pytest.mark.parametrize("abstract", [False, True])
async def test_paths_are_those_of_the_socket_module(
    tmp_path: Path, abstract: bool
) -> None:
    seen: list[Any] = []

    async def handler(ws: Any) -> None:
        await ws.wait_closed()
        seen.append((ws.local_address, ws.remote_address))

    if abstract and POLLER != "epoll":
        pytest.skip("only Linux has abstract names")
    path = f"\0longwire-{os.getpid()}" if abstract else str(tmp_path / "socket")
    loop = asyncio.get_running_loop()
    async with unix_serve(handler, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await loop.sock_connect(sock, path)
        await loop.sock_sendall(sock, UPGRADE)
        assert (await loop.sock_recv(sock, 4096)).startswith(b"HTTP/1.1 101 ")
        sock.close()
        await until(lambda: seen)
    assert seen == [(path.encode() if abstract else path, "")]
