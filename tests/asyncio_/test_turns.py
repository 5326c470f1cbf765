"""Turns: how many connections go on parsing in one turn of the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import zlib

import pytest
from tests.asyncio_.serving import UPGRADE, listen, raw, until

import longwire
from longwire.asyncio import turns
from longwire.asyncio.link import Link
from longwire.asyncio.turns import INFLATED, Turns

KIB = 1 << 10


class Parsing:
    """Asks again as often as it is told to; notes in which turn it went on."""

    def __init__(self, inflates: int, log: list[int], times: int = 1) -> None:
        self.inflates = inflates
        self.log = log
        self.left = times

    def _go_on(self) -> int:
        self.log.append(self.inflates)
        self.left -= 1
        if self.left:
            Turns.of(asyncio.get_running_loop()).add(self)
        return self.inflates


@pytest.mark.parametrize(
    ("inflates", "together"),
    [(0, 10), (1, 10), (100 * KIB, 10), (256 * KIB, 4), (INFLATED, 1)],
)
async def test_no_more_go_on_in_a_turn_than_inflate_so_much(
    inflates: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SHARE", 60.0)  # however slow the machine is
    log: list[int] = []
    queue = Turns.of(asyncio.get_running_loop())
    for _ in range(10):
        queue.add(Parsing(inflates, log, times=2))
    counts = []
    while len(log) < 20:
        before = len(log)
        await asyncio.sleep(0)
        counts.append(len(log) - before)

    assert max(counts) == together
    # Each has its turn before any has a second one.
    assert len(counts) == -(-20 // together)


async def test_what_ten_peers_inflate_in_a_turn_is_bounded_in_sum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "SHARE", 60.0)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_SYNC_FLUSH)[:-4]
    bomb = b"\xc2\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload
    offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    per_turn = [0]
    taken = 0
    go_on = Link._go_on

    def counted(self: Link) -> int:
        inflated = go_on(self)
        per_turn[-1] += inflated
        return inflated

    def watch() -> None:
        per_turn.append(0)
        nonlocal timer
        timer = loop.call_soon(watch)

    async def count(ws: longwire.ServerConnection) -> None:
        nonlocal taken
        async for _ in ws:
            taken += 1

    monkeypatch.setattr(Link, "_go_on", counted)
    loop = asyncio.get_running_loop()
    timer = loop.call_soon(watch)
    async with listen(count) as server:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(10):
                _, writer = await stack.enter_async_context(raw(server))
                writer.write(UPGRADE[:-2] + offer + bomb * 20)
            await until(lambda: taken == 200)
    timer.cancel()

    assert sum(per_turn) > 50 * INFLATED
    # One may begin while a little is left, and inflate as much as one connection may.
    assert max(per_turn) < 2 * INFLATED
