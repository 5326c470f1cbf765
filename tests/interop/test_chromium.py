"""Headless Chromium's WebSocket against our server: what every user has."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import longwire
from longwire import Cause, Side
from tests.support.browser import Browser, BrowserError, Tab, run_chromium
from tests.support.certificates import Certificates

pytestmark = pytest.mark.timeout(90)
MIB = 1 << 20

# Keeps what happens to `ws` in lists; binary messages are noted by size and sum.
OPEN = """new Promise((resolve, reject) => {
  window.got = []; window.ended = null;
  window.ws = new WebSocket(%s, %s);
  ws.binaryType = "arraybuffer";
  ws.onopen = () => resolve([ws.protocol, ws.extensions]);
  ws.onerror = () => reject(new Error("refused"));
  ws.onclose = (e) => { window.ended = [e.code, e.reason, e.wasClean]; };
  ws.onmessage = (e) => {
    if (typeof e.data === "string") return got.push(e.data);
    const bytes = new Uint8Array(e.data);
    got.push([bytes.length, bytes.reduce((sum, byte) => sum + byte, 0)]);
  };
})"""


@pytest.fixture(scope="module")
def chromium(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[str]:
    """The DevTools URI of a Chromium that believes our certificates."""
    folder = tmp_path_factory.mktemp("chromium")
    yield from run_chromium(folder, "--ignore-certificate-errors")


@contextlib.asynccontextmanager
async def visited(
    chromium: str, protocols: tuple[str, ...] = (), tls: Any = None, **options: Any
) -> AsyncIterator[tuple[Tab, longwire.ServerConnection, list[str]]]:
    """Yield a tab, our end of its connection, and what the two agreed on."""
    arrived: asyncio.Queue[longwire.ServerConnection] = asyncio.Queue()

    async def hold(ws: longwire.ServerConnection) -> None:
        arrived.put_nowait(ws)
        await ws.wait_closed()

    options.update(ssl=tls, health="/page")
    async with (
        longwire.serve(hold, "127.0.0.1", 0, **options) as server,
        Browser(chromium) as browser,
    ):
        site = f"://localhost:{server.sockets[0].getsockname()[1]}"
        # A page of the server's own: Chromium lets no other reach this machine.
        tab = await browser.open(f"{'http' if tls is None else 'https'}{site}/page")
        uri = f"{'ws' if tls is None else 'wss'}{site}/"
        script = OPEN % (json.dumps(uri), json.dumps(protocols))
        agreed = await tab.evaluate(script)
        yield tab, await arrived.get(), agreed


@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("encrypted", [False, True], ids=["tcp", "tls"])
async def test_messages_go_both_ways(
    chromium: str, certificates: Certificates, compression: Any, encrypted: bool
) -> None:
    tls = certificates.server if encrypted else None
    async with visited(chromium, compression=compression, tls=tls) as (tab, ours, had):
        assert ("permessage-deflate" in had[1]) == (compression is not None)

        await ours.send("grüezi €😀")
        await ours.send(b"\x01\x02\xff")
        await ours.send(["in ", "three ", "pieces"])
        got = await tab.until("got.length === 3 && got")
        assert got == ["grüezi €😀", [3, 258], "in three pieces"]

        await tab.evaluate("ws.send('grüezi €😀'), ws.send(new Uint8Array([1, 255]))")
        assert await ours.recv() == "grüezi €😀"
        assert await ours.recv() == b"\x01\xff"


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_large_messages_go_both_ways(chromium: str, compression: Any) -> None:
    async with visited(chromium, compression=compression, max_size=8 * MIB) as (
        tab,
        ours,
        _,
    ):
        await ours.send(b"\x01" * (4 * MIB))
        await ours.send([b"\x02" * MIB] * 4)
        got = await tab.until("got.length === 2 && got")
        assert got == [[4 * MIB, 4 * MIB], [4 * MIB, 8 * MIB]]

        await tab.evaluate(f"ws.send('y'.repeat({5 * MIB}))")
        assert await ours.recv() == "y" * (5 * MIB)

        await ours.close()
        report = ours.close_report
        assert report is not None
        assert (report.bytes_sent < MIB) == (compression is not None)
        assert (report.bytes_received < MIB) == (compression is not None)


async def test_a_subprotocol_is_agreed_on(chromium: str) -> None:
    async with visited(chromium, ("chat.v2", "chat.v1"), subprotocols=["chat.v1"]) as (
        _,
        ours,
        agreed,
    ):
        assert ours.subprotocol == agreed[0] == "chat.v1"


async def test_pings_are_answered(chromium: str) -> None:
    async with visited(chromium) as (_, ours, _agreed):
        assert await (await ours.ping()) > 0


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "grüezi"), (1011, ""), (4999, "x" * 123)]
)
async def test_our_close_is_seen(chromium: str, code: int, reason: str) -> None:
    async with visited(chromium) as (tab, ours, _):
        await ours.close(code, reason)

        assert await tab.until("ended") == [code, reason, True]
        assert ours.close_code == code


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [("", 1005, ""), ("1000", 1000, ""), ("4999, 'grüezi'", 4999, "grüezi")],
)
async def test_its_close_is_seen(
    chromium: str, arguments: str, code: int, reason: str
) -> None:
    async with visited(chromium) as (tab, ours, _):
        await tab.evaluate(f"ws.close({arguments})")
        await ours.wait_closed()

        report = ours.close_report
        assert report is not None
        assert (report.cause, report.closed_by) == (Cause.PEER, Side.CLIENT)
        assert (report.code, report.reason) == (code, reason)
        assert await tab.until("ended") == [code, reason, True]


async def test_a_tab_that_goes_away_closes_with_1001(chromium: str) -> None:
    async with visited(chromium) as (tab, ours, _):
        await tab.close()

        assert [message async for message in ours] == []
        assert ours.close_code == 1001


async def test_only_pages_of_the_same_site_may_connect(chromium: str) -> None:
    async def hold(ws: longwire.ServerConnection) -> None:
        await ws.wait_closed()

    async with (
        visited(chromium, origins="same") as (tab, ours, _),
        longwire.serve(hold, "127.0.0.1", 0, origins="same") as other,
    ):
        assert ours.state is longwire.State.OPEN
        uri = f"ws://localhost:{other.sockets[0].getsockname()[1]}/"

        with pytest.raises(BrowserError, match="refused"):
            await tab.evaluate(OPEN % (json.dumps(uri), "[]"))


async def test_a_message_over_the_limit_closes_with_1009(chromium: str) -> None:
    async with visited(chromium, max_size=1000) as (tab, ours, _):
        await tab.evaluate("ws.send('x'.repeat(1001))")

        ended = await tab.until("ended")
        assert ended[0] == 1009
        await ours.wait_closed()
