"""``async for`` over ``connect()`` and servers that end what they have accepted."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from tests.asyncio_.client_peers import nothing_left, raw_server, read_head
from tests.support.rawpeer import CLOSE, TEXT, answer, close_payload, frame

from longwire import errors
from longwire.asyncio import client
from longwire.asyncio.client import connect


class Hurried:
    """asyncio with another sleep: it notes how long, and takes no time."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Hurried:
    hurried = Hurried()
    monkeypatch.setattr(client, "asyncio", hurried)
    return hurried


async def hang_up(reader, writer):
    writer.write(answer(await read_head(reader)))


async def break_the_rules(reader, writer):
    writer.write(answer(await read_head(reader)) + b"\xff\xff")


def closing_with(code):
    async def close(reader, writer):
        writer.write(answer(await read_head(reader)))
        writer.write(frame(CLOSE, close_payload(code), mask=False))

    return close


USELESS = {
    "hangs up": hang_up,
    "breaks the rules": break_the_rules,
    **{str(code): closing_with(code) for code in (1000, 1001, 1008, 1012, 1013)},
}


@pytest.mark.parametrize("server", USELESS.values(), ids=USELESS)
@pytest.mark.parametrize("reads", [True, False])
async def test_a_server_that_ends_each_connection_at_once_is_left_in_peace(
    server, reads, hurried
):
    ended = []
    async with raw_server(server) as port, nothing_left():
        attempts = connect(
            f"ws://127.0.0.1:{port}/",
            reconnect_delays=lambda: [100.0, 200.0, 300.0, 400.0],
            close_timeout=1,
        )
        with pytest.raises(errors.ConnectionClosed) as raised:
            async for ws in attempts:
                ended.append(ws)
                with contextlib.suppress(errors.ConnectionClosed):
                    await (ws.recv() if reads else ws.wait_closed())

    assert hurried.slept == [100.0, 200.0, 300.0, 400.0]
    assert len(ended) == 5  # not one more than there are delays
    assert raised.value.report is ended[-1].close_report


async def test_a_connection_that_brought_a_message_is_followed_at_once():
    async def tell(reader, writer):
        writer.write(answer(await read_head(reader)))
        writer.write(frame(TEXT, b"news", mask=False))
        writer.write(frame(CLOSE, close_payload(1000), mask=False))

    received = []
    async with raw_server(tell) as port, nothing_left():
        attempts = connect(f"ws://127.0.0.1:{port}/", reconnect_delays=list)
        async for ws in attempts:
            received += [message async for message in ws]
            if len(received) == 20:
                break

    assert received == ["news"] * 20
