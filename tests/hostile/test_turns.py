"""Work that one peer can cause in one turn of the event loop, whatever it sends.

Counted, not timed: frames, bytes that are inflated, contexts that are made. And other
connections have their turn in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import longwire
from longwire.errors import LimitExceeded, ProtocolError
from longwire.intake import FRAMES, INFLATED, INFLATED_AT_ONCE
from longwire.messages import Deflate
from longwire.options import Keepalive, Limits, Timeouts
from longwire.session import CONTINUE, Session
from tests.support.rawpeer import request

READ = 65536
OFFER = (
    b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
    b"client_no_context_takeover"
)
AGREED = Deflate(server_no_context_takeover=True, client_no_context_takeover=True)


def frame(first: int, payload: bytes) -> bytes:
    """A frame of a client, masked with zeros."""
    size = len(payload)
    head = bytes((first, 0x80 | min(size, 126)))
    return head + (size.to_bytes(2, "big") if size > 125 else b"") + bytes(4) + payload


def deflated(payload: bytes, mode: int = zlib.Z_SYNC_FLUSH) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = squeeze.compress(payload) + squeeze.flush(mode)
    return data.removesuffix(b"\x00\x00\xff\xff")


END = deflated(b"", zlib.Z_FINISH)
FLOODS = {
    "bombs": frame(0xC2, deflated(bytes(1 << 20))),
    "bombs of text": frame(0xC1, deflated(b"some text " * 100_000)),
    "small bombs": frame(0xC2, deflated(bytes(5000))),
    "bombs in fragments": frame(0x42, deflated(bytes(5000)) + b"\x00\x00\xff\xff")
    + frame(0x00, deflated(bytes(900_000)) + b"\x00\x00\xff\xff")
    + frame(0x80, b"\x00"),
    "early ends": frame(0xC2, END * 16),
    "too many early ends": frame(0xC2, END * 4000),
    "empty messages": frame(0x82, b""),
    "empty deflated messages": frame(0xC2, b"\x00"),
    "empty fragments": frame(0x02, b"") + frame(0x00, b"") * 4000 + frame(0x80, b""),
    "pongs": frame(0x8A, b""),
    "texts of one character": frame(0x81, b"a"),
    "texts that need four bytes each": frame(0xC1, deflated("🙂".encode() * 20_000)),
}


class Counting:
    """An inflater that counts what all of them do."""

    made = inflated = 0

    def __init__(self, *args: Any) -> None:
        Counting.made += 1
        self._real = zlib.decompressobj(*args)

    def decompress(self, *args: Any) -> bytes:
        data = self._real.decompress(*args)
        Counting.inflated += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def session(monkeypatch: pytest.MonkeyPatch, message: int | None) -> Session:
    from longwire.core import deflate

    if not hasattr(deflate, "makers"):
        pytest.skip("what makes inflaters cannot be counted here")
    monkeypatch.setattr(deflate, "makers", lambda *args: (zlib.compressobj, Counting))
    return Session(
        False,
        limits=Limits(message=message, pings_per_second=None),
        timeouts=Timeouts(),
        keepalive=Keepalive(interval=None),
        random_bytes=bytes,
        now=0.0,
        deflate=AGREED,
    )


@pytest.mark.parametrize("message", [1 << 20, None])
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_a_turn_has_a_bounded_amount_of_work(
    monkeypatch: pytest.MonkeyPatch, flood: bytes, message: int | None
) -> None:
    one = session(monkeypatch, message)
    wire = (flood * (READ // len(flood) + 1))[: max(READ, len(flood))]

    def work(step: Any, *args: Any) -> None:
        """Do a step, and all that a reader does who takes what is there."""
        Counting.made = Counting.inflated = frames = 0
        step(*args)
        while True:
            if not one.has_message:
                one.wait(0.0)
                one.stop_waiting()
            if not one.has_message:
                break
            one.take()
            frames += 1
        most = INFLATED_AT_ONCE if step == one.receive else INFLATED
        assert frames <= FRAMES
        assert Counting.inflated <= most + 1
        assert Counting.made <= FRAMES + INFLATED // 2048

    with contextlib.suppress(ProtocolError, LimitExceeded):
        work(one.receive, wire, 0.0)
        turns = 0
        while one.take_flags() & CONTINUE:
            work(one.go_on, 0.0)
            turns += 1
            assert turns < 500

    assert one.ended is not None or not one.holding


# --- on an event loop ---


@pytest.fixture(params=["native", "transport"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)
    return str(request.param)


@contextlib.asynccontextmanager
async def raw(port: int) -> AsyncIterator[asyncio.StreamWriter]:
    """A client that has done its opening handshake and reads no more than that."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(OFFER))
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    try:
        yield writer
    finally:
        writer.transport.abort()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("attackers", [1, 10])
@pytest.mark.parametrize("name", ["bombs", "empty messages", "early ends"])
async def test_others_have_their_turn_between_the_work_of_a_flood(
    name: str, attackers: int
) -> None:
    """Each attacker gets its share in each turn, and an honest client its answers."""
    loop = asyncio.get_running_loop()
    taken = most = turns = 0
    answered = asyncio.Event()

    async def handler(ws: longwire.ServerConnection) -> None:
        nonlocal taken
        async for message in ws:
            if message == "honest":
                await ws.send(message)
            taken += 1

    def watch() -> None:
        nonlocal taken, most, turns
        most, taken = max(most, taken), 0
        turns += 1
        if not answered.is_set():
            loop.call_soon(watch)

    async with longwire.serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with contextlib.AsyncExitStack() as stack:
            honest = await stack.enter_async_context(
                longwire.connect(f"ws://127.0.0.1:{port}/", proxy=None)
            )
            wire = FLOODS[name] * (8 * READ // len(FLOODS[name]))
            watch()
            for _ in range(attackers):
                (await stack.enter_async_context(raw(port))).write(wire)
            waited = []
            for _ in range(10):
                before = turns
                await honest.send("honest")
                assert await honest.recv() == "honest"
                waited.append(turns - before)
            answered.set()

    # A read and a continuation for each, and the honest one's own.
    assert most <= attackers * 2 * FRAMES + 10
    # An answer takes a few turns, however much waits to be parsed.
    assert max(waited) <= 20
