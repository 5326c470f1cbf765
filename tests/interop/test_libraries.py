"""longwire and each other library, either of them the server, over every wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import longwire
from longwire import Cause, Side
from tests.interop.agents import AGENTS, Agent, Terms
from tests.support.certificates import Certificates

MIB = 1 << 20
SIZES = (0, 1, 125, 126, 65535, 65536)

pytestmark = pytest.mark.timeout(60)


class Meeting:
    """``ours`` is longwire's connection, ``agent`` has the other end."""

    def __init__(self, ours: Any, agent: Agent) -> None:
        self.ours = ours
        self.agent = agent

    async def tell(self, *words: object) -> None:
        """Give the agent a command."""
        await self.ours.send(" ".join(map(str, words)))

    async def agents_view(self) -> tuple[int | None, str]:
        """Return close code and reason as the agent saw them."""
        async with asyncio.timeout(20):
            return await self.agent.closed.get()


Meet = Callable[..., "contextlib.AbstractAsyncContextManager[Meeting]"]


@pytest.fixture(params=list(AGENTS))
def agent_type(request: pytest.FixtureRequest) -> type[Any]:
    kind: type[Any] = AGENTS[request.param]
    return kind


@pytest.fixture(params=["server", "client"])
def meet(request: pytest.FixtureRequest, agent_type: type[Any]) -> Meet:
    """``async with meet(Terms(...), **ours) as m``: longwire is server, then client."""

    @contextlib.asynccontextmanager
    async def meet(
        terms: Terms | None = None, **options: Any
    ) -> AsyncIterator[Meeting]:
        agent: Agent = agent_type()
        terms = terms or Terms()
        options.setdefault("compression", "deflate" if terms.compression else None)
        options.setdefault("subprotocols", terms.subprotocols or None)
        begin = _serving if request.param == "server" else _visiting
        async with begin(agent, terms, options) as ours:
            yield Meeting(ours, agent)

    return meet


@contextlib.asynccontextmanager
async def _serving(agent: Agent, terms: Terms, options: Any) -> AsyncIterator[Any]:
    arrived: asyncio.Queue[longwire.ServerConnection] = asyncio.Queue()

    async def hold(ws: longwire.ServerConnection) -> None:
        arrived.put_nowait(ws)
        await ws.wait_closed()

    tls = terms.tls and terms.tls.server
    if terms.unix:
        server = longwire.unix_serve(hold, terms.unix, ssl=tls, **options)
    else:
        server = longwire.serve(hold, "127.0.0.1", 0, ssl=tls, **options)
    async with server:
        port = 0 if terms.unix else server.sockets[0].getsockname()[1]
        async with agent.visit(terms, port), asyncio.timeout(15):
            ours = await arrived.get()
            yield ours
            await ours.close()


@contextlib.asynccontextmanager
async def _visiting(agent: Agent, terms: Terms, options: Any) -> AsyncIterator[Any]:
    if terms.tls:
        options["ssl"] = terms.tls.client
    async with agent.serve(terms) as port, asyncio.timeout(15):
        uri = terms.uri(port)
        if terms.unix:
            opening = longwire.unix_connect(terms.unix, uri, **options)
        else:
            opening = longwire.connect(uri, host="127.0.0.1", proxy=None, **options)
        async with opening as ours:
            yield ours


# --- messages -------------------------------------------------------------------


@pytest.mark.parametrize("compression", [True, False], ids=["deflate", "plain"])
@pytest.mark.parametrize("wire", ["tcp", "tls", "unix"])
async def test_messages_come_back_over_every_wire(
    meet: Meet, wire: str, compression: bool, tmp_path: Path, certificates: Certificates
) -> None:
    terms = Terms(
        compression=compression,
        tls=certificates if wire == "tls" else None,
        unix=tmp_path / "socket" if wire == "unix" else None,
    )

    async with meet(terms) as m:
        for size in SIZES:
            for message in ("x" * size, b"\xff" * size, "ü€😀" * (size // 9)):
                await m.ours.send(message)
                assert await m.ours.recv() == message


@pytest.mark.parametrize("compression", [True, False], ids=["deflate", "plain"])
async def test_large_messages_go_both_ways(meet: Meet, compression: bool) -> None:
    payload = bytes(range(256)) * (3 * MIB // 256)
    text = "grüezi " * (MIB // 4)

    async with meet(Terms(compression=compression), max_size=8 * MIB) as m:
        await m.ours.send(payload)
        assert await m.ours.recv() == payload
        await m.ours.send(text)
        assert await m.ours.recv() == text


@pytest.mark.parametrize("compression", [True, False], ids=["deflate", "plain"])
async def test_our_fragments_are_understood(meet: Meet, compression: bool) -> None:
    async with meet(Terms(compression=compression)) as m:
        await m.ours.send(["one ", "", "two ", "three"])
        assert await m.ours.recv() == "one two three"
        await m.ours.send([bytes([n]) * 10_000 for n in range(20)])
        assert await m.ours.recv() == b"".join(bytes([n]) * 10_000 for n in range(20))


@pytest.mark.asks("fragments")
@pytest.mark.parametrize("compression", [True, False], ids=["deflate", "plain"])
async def test_their_fragments_are_understood(meet: Meet, compression: bool) -> None:
    whole = b"".join(bytes([n]) * 10_000 for n in range(20))

    async with meet(Terms(compression=compression)) as m:
        await m.tell("!fragments", 20, 10_000)
        assert await m.ours.recv() == whole

        await m.tell("!fragments", 20, 10_000)
        pieces = [piece async for piece in m.ours.recv_streaming()]

    assert b"".join(pieces) == whole
    assert len(pieces) >= 20


async def test_many_messages_in_flight_keep_their_order(meet: Meet) -> None:
    async with meet() as m:

        async def send_all() -> None:
            for number in range(1000):
                await m.ours.send(f"message {number}")

        sending = asyncio.create_task(send_all())
        received = [await m.ours.recv() for _ in range(1000)]
        await sending

    assert received == [f"message {number}" for number in range(1000)]


# --- compression ----------------------------------------------------------------


def on_the_wire(m: Meeting) -> tuple[int, int]:
    report = m.ours.close_report
    return report.bytes_received, report.bytes_sent


async def test_compression_is_agreed_on_and_used_both_ways(meet: Meet) -> None:
    async with meet() as m:
        await m.tell("!about")
        about = json.loads(await m.ours.recv())
        for _ in range(4):
            await m.ours.send("compress me " * 8000)
            assert await m.ours.recv() == "compress me " * 8000

    assert "permessage-deflate" in about["extensions"]
    received, sent = on_the_wire(m)
    assert received < 16_000
    assert sent < 16_000


@pytest.mark.parametrize("who", ["we", "they"])
async def test_nothing_is_compressed_if_one_does_not_want_it(
    meet: Meet, who: str
) -> None:
    terms, ours = Terms(compression=who == "we"), "deflate" if who == "they" else None

    async with meet(terms, compression=ours) as m:
        await m.tell("!about")
        about = json.loads(await m.ours.recv())
        await m.ours.send("x" * 50_000)
        assert await m.ours.recv() == "x" * 50_000

    assert not about["extensions"]
    assert min(on_the_wire(m)) > 50_000


@pytest.mark.parametrize("profile", ["lean", "balanced", "ratio"])
async def test_every_profile_of_compression_is_understood(
    meet: Meet, profile: str
) -> None:
    async with meet(compression=profile) as m:
        for number in range(10):
            message = f"message {number} " * 500
            await m.ours.send(message)
            assert await m.ours.recv() == message

    assert max(on_the_wire(m)) < 40_000


# --- pings ----------------------------------------------------------------------


async def test_pings_are_answered_both_ways(meet: Meet) -> None:
    async with meet() as m:
        latency = await (await m.ours.ping(b"ours"))
        assert latency > 0

        await m.tell("!ping", "theirs")
        while (message := await m.ours.recv()) != "pong theirs":
            assert message == "pong ours"  # some tell of every pong


async def test_keepalive_is_answered(meet: Meet) -> None:
    async with meet(ping_interval=0.05, ping_timeout=5) as m:
        while not m.ours.latency:
            await asyncio.sleep(0.01)
        first = m.ours.latency
        while m.ours.latency == first:
            await asyncio.sleep(0.01)

        assert m.ours.state is longwire.State.OPEN


# --- closing --------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["tcp", "tls"])
@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "grüezi"), (3000, "x" * 123), (4999, "€")]
)
async def test_our_close_is_seen_with_code_and_reason(
    meet: Meet, wire: str, code: int, reason: str, certificates: Certificates
) -> None:
    async with meet(Terms(tls=certificates if wire == "tls" else None)) as m:
        await m.ours.close(code, reason)

        assert await m.agents_view() == (code, reason)

    report = m.ours.close_report
    assert report.cause is Cause.LOCAL
    assert report.sent == longwire.Close(code, reason)
    # aiohttp answers every close frame with 1000.
    assert report.code in (code, 1000)


@pytest.mark.asks("empty close")
async def test_our_close_without_a_code_is_seen(meet: Meet) -> None:
    async with meet() as m:
        await m.ours.close(None)

        assert (await m.agents_view())[0] == 1005
    assert m.ours.close_code == 1005


@pytest.mark.parametrize("wire", ["tcp", "tls"])
@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "grüezi"), (3000, "x" * 100), (4999, "€")]
)
async def test_their_close_is_seen_with_code_and_reason(
    meet: Meet, wire: str, code: int, reason: str, certificates: Certificates
) -> None:
    async with meet(Terms(tls=certificates if wire == "tls" else None)) as m:
        await m.tell("!close", code, reason)
        with pytest.raises(longwire.ConnectionClosed):
            await m.ours.recv()
        await m.ours.wait_closed()

    report = m.ours.close_report
    assert report.cause is Cause.PEER
    assert (report.code, report.reason) == (code, reason)
    assert report.closed_by is (Side.SERVER if m.ours._client else Side.CLIENT)


@pytest.mark.asks("empty close")
async def test_their_close_without_a_code_is_an_ordinary_end(meet: Meet) -> None:
    async with meet() as m:
        await m.tell("!close", "none")

        assert [message async for message in m.ours] == []

    assert m.ours.close_code == 1005


async def test_too_large_a_message_is_refused_with_1009(meet: Meet) -> None:
    async with meet(Terms(compression=False), max_size=10_000) as m:
        await m.ours.send("x" * 10_000)
        assert len(await m.ours.recv()) == 10_000
        await m.ours.send("x" * 10_001)

        with pytest.raises(longwire.ConnectionClosedError):
            await m.ours.recv()
        await m.agents_view()

    assert m.ours.close_report.limit == "message"


# --- subprotocols ---------------------------------------------------------------


async def test_a_subprotocol_is_agreed_on(meet: Meet) -> None:
    async with meet(Terms(subprotocols=("chat.v2", "chat.v1"))) as m:
        await m.tell("!about")
        about = json.loads(await m.ours.recv())

        assert about["subprotocol"] == m.ours.subprotocol == "chat.v2"


async def test_only_one_of_them_knows_the_subprotocol(meet: Meet) -> None:
    async with meet(
        Terms(subprotocols=("new", "old")), subprotocols=["old", "other"]
    ) as m:
        assert m.ours.subprotocol == "old"
