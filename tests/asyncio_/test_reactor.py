"""The reactor by itself: native wires on pairs of sockets, on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from longwire.asyncio.reactor import BATCH, POLLER, Reactor
from tests.asyncio_.native_ends import Owner, descriptors, turns, wire
from tests.asyncio_.serving import UPGRADE, echo, listen, raw, until, uri_of
from tests.support.loops import LOOPS, PLAIN, Loop
from tests.support.rawpeer import TEXT, frame

import longwire
from longwire.asyncio import native


@pytest.fixture(params=PLAIN, autouse=True)
def make_loop(request: pytest.FixtureRequest) -> Callable[[], Loop]:
    return LOOPS[request.param]


def run(make_loop: Callable[[], Loop], body: Any) -> Any:
    """Run a coroutine function on a loop and close that, whatever is still open."""
    loop = make_loop()
    try:
        return loop.run_until_complete(body())
    finally:
        loop.close()


# --- members ---------------------------------------------------------------------


async def test_the_reactor_is_one_for_each_loop() -> None:
    loop = asyncio.get_running_loop()
    first, a = wire(Owner())
    second, b = wire(Owner())

    assert first.reactor is second.reactor is Reactor.of(loop)
    assert first.reactor.members == 2
    assert POLLER in ("epoll", "kqueue")

    for one, other in ((first, a), (second, b)):
        one.abort()
        other.close()
    await turns()


async def test_the_reactor_goes_with_its_last_member_and_comes_again() -> None:
    await turns()
    before = descriptors()

    for _ in range(50):
        owner = Owner()
        one, other = wire(owner)
        other.send(b"hello")
        await until(lambda owner=owner: owner.received == b"hello")
        one.close()
        other.close()
        await until(lambda owner=owner: owner.told == [("lost", None)])

    assert descriptors() == before


async def test_what_cannot_be_watched_stays_its_callers() -> None:
    loop = asyncio.get_running_loop()
    before = descriptors()
    with tempfile.TemporaryFile() as file:
        fd = os.dup(file.fileno())

        with pytest.raises(PermissionError):
            native.Wire(Owner(), loop, fd, None)

        gc.collect()
        os.fstat(fd)  # still open
        os.close(fd)
    assert descriptors() == before


async def test_a_wire_that_cannot_be_watched_leaves_the_others_alone() -> None:
    owner = Owner()
    one, other = wire(owner)
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError):
            native.Wire(Owner(), one.loop, file.fileno(), None)
    gc.collect()

    other.send(b"still")
    await until(lambda: owner.received == b"still")

    assert one.reactor.members == 1
    one.close()
    other.close()
    await turns()


async def test_a_descriptor_used_again_within_a_batch_gets_only_its_own() -> None:
    # The first to be read closes the second, whose event is already there, and the
    # number of its descriptor goes to a third, which has nothing to read.
    made: list[Any] = []
    third, second = Owner(), Owner()

    def swap(data: bytes) -> None:
        number = b.fd
        b.abort()
        made.append(wire(third))
        made.append(number)

    a, to_a = wire(Owner(swap))
    b, to_b = wire(second)
    to_a.send(b"go")
    to_b.send(b"for the second")
    await until(lambda: made)
    await turns()

    (c, to_c), number = made
    assert c.fd == number  # else this says nothing
    assert (third.received, second.received) == (b"", b"")
    to_c.send(b"for the third")
    await until(lambda: third.received == b"for the third")
    for one in (a, c):
        one.abort()
    for other in (to_a, to_b, to_c):
        other.close()
    await turns()


# --- batches ---------------------------------------------------------------------


async def test_who_floods_does_not_keep_out_the_rest() -> None:
    order: list[int] = []

    def slow(number: int) -> Callable[[bytes], None]:
        def handle(data: bytes) -> None:
            order.append(number)
            end = time.monotonic() + 2 * BATCH
            while time.monotonic() < end:
                pass

        return handle

    pairs = [wire(Owner(slow(number))) for number in range(6)]
    flood = b"x" * 50_000
    for _ in range(60):
        for _, other in pairs:
            with contextlib.suppress(BlockingIOError):
                other.send(flood)
        await asyncio.sleep(0)

    turns_of = [order[:36].count(number) for number in range(6)]
    assert min(turns_of) >= 5, order[:36]
    for one, other in pairs:
        one.abort()
        other.close()
    await turns()


async def test_a_batch_is_bounded_in_time() -> None:
    # Each read's handler takes half of what a batch may; between two turns of the loop
    # there are then no more than three of them.
    counts: list[int] = [0]

    def slow(data: bytes) -> None:
        counts[-1] += 1
        end = time.monotonic() + BATCH / 2
        while time.monotonic() < end:
            pass

    pairs = [wire(Owner(slow)) for _ in range(20)]
    for _, other in pairs:
        other.send(b"x" * 10)
    while sum(counts) < 20:
        counts.append(0)
        await asyncio.sleep(0)

    assert max(counts) <= 3
    for one, other in pairs:
        one.abort()
        other.close()
    await turns()


async def test_a_failing_owner_ends_its_own_wire_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    complaints: list[Any] = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))

    def fail(data: bytes) -> None:
        raise ZeroDivisionError("mine")

    failing, fine = Owner(fail), Owner()
    a, to_a = wire(failing)
    b, to_b = wire(fine)
    to_a.send(b"1")
    to_b.send(b"2")
    await until(lambda: fine.received and failing.told)

    (complaint,) = complaints
    assert isinstance(complaint["exception"], ZeroDivisionError)
    ((what, exc),) = failing.told
    assert what == "lost"
    assert isinstance(exc, ZeroDivisionError)
    assert a.lost
    assert not b.lost
    b.abort()
    to_a.close()
    to_b.close()
    await turns()


def test_an_interrupt_leaves_the_reactor_usable(make_loop: Any) -> None:
    loop = make_loop()
    seen: list[bytes] = []

    def interrupt(data: bytes) -> None:
        raise KeyboardInterrupt

    async def begin() -> list[Any]:
        return [wire(Owner(interrupt)), wire(Owner(seen.append)), wire(Owner())]

    async def go_on() -> None:
        await until(lambda: seen == [b"for you"])
        for one, other in pairs:
            one.abort()
            other.close()
        await turns()

    pairs = loop.run_until_complete(begin())
    for _, other in pairs:
        other.send(b"for you")
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.sleep(5))
    loop.run_until_complete(go_on())
    loop.close()


# --- writing ---------------------------------------------------------------------


async def test_megabytes_to_a_slow_reader_arrive_whole_and_in_order() -> None:
    owner = Owner()
    one, other = wire(owner, small=True)
    parts = [
        bytes([number % 251]) * (1 + 7919 * number % 300_000) for number in range(60)
    ]
    for part in parts:
        one.write(part)
    total = sum(map(len, parts))
    assert 0 < one.unsent <= total
    assert owner.told == ["paused"]

    got = bytearray()
    while len(got) < total:
        with contextlib.suppress(BlockingIOError):
            got += other.recv(1 + len(got) % 70_000)
        await asyncio.sleep(0)

    assert bytes(got) == b"".join(parts)
    assert owner.told == ["paused", "resumed"]
    assert one.unsent == 0
    one.abort()
    other.close()
    await turns()


async def test_many_small_pieces_are_kept_in_order() -> None:
    owner = Owner()
    one, other = wire(owner, small=True)
    one.write(b"-" * 200_000)
    pieces = [str(number).encode() + b"," for number in range(20_000)]
    for piece in pieces:
        one.write(piece)
    one.close()  # when all that has left

    got = bytearray()
    while True:
        try:
            data = other.recv(65536)
        except BlockingIOError:
            await asyncio.sleep(0)
            continue
        if not data:
            break
        got += data

    assert bytes(got) == b"-" * 200_000 + b"".join(pieces)
    await until(lambda: ("lost", None) in owner.told)
    other.close()


async def test_what_is_written_while_resuming_comes_after_the_rest() -> None:
    class Talkative(Owner):
        def peer_left(self) -> None:
            pass

        def write_resumed(self) -> None:
            super().write_resumed()
            one.write(b"more")

    owner = Talkative()
    one, other = wire(owner, small=True)
    one.write(b"-" * 500_000)
    got = bytearray()
    while not got.endswith(b"more"):
        with contextlib.suppress(BlockingIOError):
            got += other.recv(65536)
        await asyncio.sleep(0)

    assert bytes(got) == b"-" * 500_000 + b"more"
    one.abort()
    other.close()
    await turns()


async def test_half_closing_waits_for_what_is_unsent_and_reads_on() -> None:
    owner = Owner()
    one, other = wire(owner, small=True)
    one.write(b"-" * 300_000)
    one.half_close()
    got = bytearray()
    ended = False
    while not ended:
        with contextlib.suppress(BlockingIOError):
            data = other.recv(65536)
            got += data
            ended = not data
        await asyncio.sleep(0)
    other.send(b"still there?")
    await until(lambda: owner.received == b"still there?")

    assert bytes(got) == b"-" * 300_000
    assert not one.lost
    other.close()
    await until(lambda: "eof" in owner.told)
    one.close()
    await turns()


async def test_aborting_drops_what_is_unsent() -> None:
    owner = Owner()
    one, other = wire(owner, small=True)
    one.write(b"-" * 300_000)
    assert one.unsent

    one.abort()

    assert (one.unsent, one.lost, one.closing) == (0, True, True)
    await turns()
    assert owner.told == ["paused", ("lost", None)]
    one.write(b"nobody hears")
    one.close()
    one.abort()
    one.half_close()
    one.pause()
    one.resume()
    other.close()


async def test_closing_with_unsent_bytes_reads_no_more() -> None:
    owner = Owner()
    one, other = wire(owner, small=True)
    one.write(b"-" * 300_000)
    one.close()
    other.send(b"too late")
    await turns(20)

    assert not one.lost
    assert owner.received == b""
    other.close()  # with bytes unread: the rest can't be sent any more
    await until(lambda: one.lost)
    await turns()
    assert owner.told[-1][0] == "lost"


# --- ends ------------------------------------------------------------------------


async def test_the_end_of_the_stream_leaves_our_direction_open() -> None:
    owner = Owner()
    one, other = wire(owner)
    other.send(b"last words")
    other.shutdown(socket.SHUT_WR)
    await until(lambda: owner.told == ["eof"])

    assert owner.received == b"last words"
    one.write(b"answer")
    assert other.recv(100) == b"answer"
    one.close()
    await turns()
    other.close()


async def test_a_peer_that_vanishes_is_noticed_while_writing() -> None:
    owner = Owner()
    one, other = wire(owner)
    one.pause()
    other.close()

    for _ in range(10):
        one.write(b"hello?")

    assert one.lost
    await turns()
    ((what, exc),) = owner.told
    assert what == "lost"
    assert isinstance(exc, (BrokenPipeError, ConnectionResetError))


async def test_what_came_before_a_broken_pipe_is_still_read() -> None:
    owner = Owner()
    one, other = wire(owner)
    other.send(b"goodbye")
    other.close()
    one.write(b"are you there?")
    assert not one.lost

    await until(lambda: owner.told)

    assert owner.received == b"goodbye"
    if not one.lost:
        one.close()
    await turns()


async def test_pausing_stops_reading_until_resumed() -> None:
    owner = Owner()
    one, other = wire(owner)
    one.pause()
    assert not one.is_reading
    other.send(b"later")
    await turns(20)
    assert owner.received == b""

    one.resume()
    assert one.is_reading
    await until(lambda: owner.received == b"later")
    one.abort()
    other.close()
    await turns()


# --- loops that end first --------------------------------------------------------


def test_a_loop_closed_with_open_wires_warns_and_closes_them(make_loop: Any) -> None:
    before = descriptors()

    async def leave() -> socket.socket:
        _, other = wire(Owner())
        return other

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        other = run(make_loop, leave)
        gc.collect()
    assert any("unclosed connection" in str(w.message) for w in caught)
    other.setblocking(True)
    other.settimeout(5)

    assert other.recv(1) == b""  # the other end has been told
    other.close()
    assert descriptors() == before


def test_a_wire_whose_socket_was_asked_for_is_closed_once(make_loop: Any) -> None:
    async def leave() -> socket.socket:
        one, other = wire(Owner())
        assert one.get_extra_info("socket") is not None
        return other

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        other = run(make_loop, leave)
        gc.collect()

    ours = [
        w
        for w in caught
        if "unclosed" in str(w.message) and "loop" not in str(w.message)
    ]
    assert len(ours) == 1, [str(w.message) for w in caught]
    other.close()


def test_a_wire_can_be_closed_after_its_loop(make_loop: Any) -> None:
    before = descriptors()

    async def leave() -> Any:
        return wire(Owner())

    one, other = run(make_loop, leave)
    one.write(b"late")
    one.close()

    assert one.lost
    assert other.recv(10) == b"late"
    other.close()
    del one
    assert descriptors() == before


def test_each_loop_in_each_thread_has_its_own(make_loop: Any) -> None:
    import threading

    before = descriptors()
    results: list[Any] = []

    async def work() -> None:
        reactors = set()
        for number in range(30):
            owner = Owner()
            one, other = wire(owner)
            reactors.add(one.reactor)
            other.send(str(number).encode())
            await until(lambda owner=owner: owner.received)
            assert owner.received == str(number).encode()
            assert one.reactor.loop is asyncio.get_running_loop()
            one.close()
            other.close()
        await turns()
        results.append(reactors)

    threads = [threading.Thread(target=run, args=(make_loop, work)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 6
    assert len(set().union(*results)) >= 6
    results.clear()
    assert descriptors() == before


# --- connections on it -----------------------------------------------------------


@pytest.mark.parametrize("where", ["create_connection", "create_task"])
async def test_a_connection_that_cannot_be_made_is_not_left_behind(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda loop, context: complaints.append(context.get("exception"))
    )

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("mine")

    options: Any = {"create_connection": fail} if where == "create_connection" else {}
    async with listen(**options) as server:
        if where == "create_task":
            monkeypatch.setattr(server, "_admit", fail)
        counts = []
        for number in range(1, 4):
            async with raw(server) as (reader, writer):
                writer.write(UPGRADE)
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                await until(lambda number=number: len(complaints) == number)
            await turns()
            counts.append(descriptors())

    assert [type(exc) for exc in complaints] == [ZeroDivisionError] * 3
    assert counts[2] == counts[0]


async def test_a_client_without_a_descriptor_to_spare_uses_the_transport(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(fd: int) -> int:
        raise OSError(24, "Too many open files")

    async with listen() as server:
        monkeypatch.setattr("os.dup", fail)
        async with longwire.connect(uri_of(server), proxy=None) as ws:
            assert str(ws.wire) == "transport"
            await ws.send("x")
            assert await ws.recv() == "x"


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt])
def test_a_write_that_fails_does_not_keep_the_others_answers(
    make_loop: Any, kind: type[BaseException]
) -> None:
    loop = make_loop()
    complaints: list[Any] = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    connections: list[Any] = []

    async def handler(ws: Any) -> None:
        connections.append(ws)
        await echo(ws)

    def fail(data: bytes) -> None:
        raise kind("mine")

    async def begin() -> Any:
        server = await listen(handler, close_timeout=0.1)
        clients = [await longwire.connect(uri_of(server), proxy=None) for _ in "abc"]
        await until(lambda: len(connections) == 3)
        connections[0]._taps = (lambda data: None, fail)
        return server, clients

    async def go_on() -> None:
        found = [await asyncio.wait_for(ws.recv(), 5) for ws in clients[1:]]
        assert found == ["hello"] * 2
        connections[0]._taps = None
        for ws in clients:
            await ws.close()
        server.close()
        await server.wait_closed()

    server, clients = loop.run_until_complete(begin())
    # Between two runs of the loop, so that one batch reads them all.
    for client in clients:
        client.transport.write(frame(TEXT, b"hello"))
    if kind is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(asyncio.sleep(5))
    loop.run_until_complete(go_on())
    loop.close()

    if kind is ZeroDivisionError:
        assert [type(c["exception"]) for c in complaints] == [ZeroDivisionError]
