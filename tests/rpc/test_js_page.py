"""A page's life in Chromium: left and shown again, frozen, in a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.browser import Browser, Tab
from tests.support.needs import needs

needs("msgspec")

from longwire import rpc
from tests.rpc.pages import MAKERS, Site, open_page, outcome

pytestmark = [pytest.mark.timeout(90), pytest.mark.once]

every_wire = pytest.mark.parametrize("wire", list(MAKERS))


class Counter(rpc.Service):
    """One for each connection; says when it has ended."""

    ended: asyncio.Queue[int]

    def __init__(self, peer: rpc.Peer) -> None:
        super().__init__(peer)
        self.count = 0

    def increment(self) -> int:
        self.count += 1
        return self.count

    def on_close(self) -> None:
        self.ended.put_nowait(self.count)


@pytest.fixture
def routes() -> dict[str, Any]:
    Counter.ended = asyncio.Queue()
    return {"counter": Counter, "echo": lambda value: value}


async def ended() -> int:
    """Wait until a connection has ended; return how often its page had counted."""
    async with asyncio.timeout(5):
        return await Counter.ended.get()


# --- left and shown again ---------------------------------------------------------

NOTE_RESTORED = "addEventListener('pageshow', (e) => { window.restored = e.persisted })"


@every_wire
async def test_a_page_that_is_left_disconnects_and_connects_when_it_is_shown_again(
    chromium: str, routes: Any, wire: str
) -> None:
    async with Site(routes, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate(f"{NOTE_RESTORED}, rpc.connect(), 0")
        for n in (1, 2):
            found = await outcome(tab, "rpc.call('counter.increment')")
            assert found == {"result": n}
        (peer,) = site.server.peers

        await tab.load(f"{site.url}?another")

        assert await ended() == 2
        assert not site.server.peers
        assert peer.close_report is not None
        assert peer.close_report.code == 1000
        await tab.evaluate("history.back()")
        await tab.until("window.restored === true")  # from the cache, not loaded anew
        await tab.until("rpc.state() === 'OPEN'")
        assert await outcome(tab, "rpc.call('counter.increment')") == {"result": 1}
        assert tab.errors == []


async def test_a_page_goes_back_and_forth_with_one_connection_at_a_time(
    chromium: str, routes: Any
) -> None:
    async with Site(routes) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(f"{NOTE_RESTORED}, rpc.connect(), 0")
        for _ in range(3):
            assert await outcome(tab, "rpc.call('counter.increment')") == {"result": 1}
            await tab.load(f"{site.url}?another")
            assert await ended() == 1
            await tab.evaluate("history.back()")
            await tab.until("window.restored === true")
            await tab.until("rpc.state() === 'OPEN'")
            await tab.evaluate("window.restored = false")
            assert len(site.server.peers) == 1


async def test_a_page_that_was_destroyed_before_it_was_left_stays_so(
    chromium: str, routes: Any
) -> None:
    async with Site(routes) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(f"{NOTE_RESTORED}, rpc.connect(), 0")
        await outcome(tab, "rpc.call('counter.increment')")
        await tab.evaluate("rpc.destroy()")
        assert await ended() == 1

        await tab.load(f"{site.url}?another")
        await tab.evaluate("history.back()")
        await tab.until("window.restored === true")

        error = await outcome(tab, "rpc.call('echo', [1])")
        assert error["name"] == "DisconnectedError"
        assert await tab.evaluate("rpc.state()") == "CLOSED"
        assert not site.server.peers


async def test_a_page_that_is_closed_or_loaded_anew_disconnects(
    chromium: str, routes: Any
) -> None:
    async with Site(routes) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate("rpc.connect(), rpc.call('counter.increment')")
        await tab.reload()
        assert await ended() == 1

        other = await open_page(browser, site.url)
        await other.evaluate("rpc.connect(), rpc.call('counter.increment')")
        await other.close()
        assert await ended() == 1


# --- frozen -----------------------------------------------------------------------


async def freeze(tab: Tab, state: str) -> None:
    await tab.call("Page.setWebLifecycleState", state=state)


@every_wire
async def test_a_frozen_page_disconnects_and_connects_when_it_thaws(
    chromium: str, routes: Any, wire: str
) -> None:
    async with Site(routes, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate("rpc.connect(), rpc.call('counter.increment')")

        await freeze(tab, "frozen")
        assert await ended() == 1
        await freeze(tab, "active")

        await tab.until("rpc.state() === 'OPEN'")
        assert await outcome(tab, "rpc.call('counter.increment')") == {"result": 1}


async def test_a_frozen_page_s_stream_goes_on_when_it_thaws(chromium: str) -> None:
    async def tick() -> Any:
        i = 0
        while True:
            yield i
            i += 1
            await asyncio.sleep(0.01)

    async with Site({"tick": tick}) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(
            "window.got = [], window.gaps = 0, rpc.connect(), (async () => {"
            "  const resubscribe = () => { gaps++; };"
            "  for await (const i of rpc.stream('tick', [], {resubscribe}))"
            "    got.push(i); })(), 0"
        )
        await tab.until("got.length > 5")

        await freeze(tab, "frozen")
        async with asyncio.timeout(5):
            while site.server.peers:
                await asyncio.sleep(0.01)
        await freeze(tab, "active")

        await tab.until("gaps === 1 && got.lastIndexOf(0) > 0")


# --- in a worker, which has no window ---------------------------------------------

# The browser's emulation of a lost network leaves workers out: "online" is played.
WORKER = """
  const source = `
    import { Rpc } from "${location.origin}/longwire.min.js";
    const rpc = new Rpc("${location.origin}/ws/", {reconnect: 600000}).connect();
    rpc.addRoute("whoAreYou", () => typeof window + " " + typeof document);
    rpc.on("change", (state) => postMessage(state));
    onmessage = async ({ data: [name, ...args] }) => {
      if (name === "online") dispatchEvent(new Event("online"));
      else postMessage(await rpc.call(name, args).catch(String));
    };
  `;
  window.heard = [];
  const url = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
  window.worker = new Worker(url, {type: "module"});
  worker.onmessage = ({ data }) => heard.push(data);
"""


async def test_a_worker_calls_and_is_called_and_hears_of_the_network(
    chromium: str, routes: Any
) -> None:
    async with Site(routes) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(f"{WORKER}; 0")
        await tab.until("heard.at(-1) === 'OPEN'")
        (peer,) = site.server.peers

        assert await peer.call("whoAreYou") == "undefined undefined"
        await tab.evaluate("worker.postMessage(['counter.increment'])")
        await tab.until("heard.at(-1) === 1")
        peer.connection.transport.abort()
        await tab.until("heard.at(-1) === 'CLOSED'")
        await tab.evaluate("worker.postMessage(['online'])")

        await tab.until("heard.at(-1) === 'OPEN'")
