"""Calls of a page in Chromium: each is settled, and its connection goes on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.browser import Browser, Tab
from tests.support.needs import needs

needs("msgspec")

from longwire import rpc
from tests.rpc.pages import MAKERS, Site, open_page, outcome

pytestmark = [pytest.mark.timeout(90), pytest.mark.once]

every_wire = pytest.mark.parametrize("wire", list(MAKERS))


@pytest.fixture
def routes() -> dict[str, Any]:
    return {"echo": lambda value: value}


# --- idle -------------------------------------------------------------------------

# Counts heartbeats, and what the server answers other than with a result.
COUNT = """
  window.beats = window.unanswered = window.refused = 0;
  window.onFrame = (text, way) => {
    const frame = JSON.parse(text);
    if (way === "out" && /ping/.test(text)) beats++, unanswered++;
    else if (way === "in" && (frame.id ?? frame.serial)) {
      unanswered--;
      setTimeout(() => rpc.wake()); // a beat after each answer, rather than every 30 s
    }
    if (way === "in" && (frame.error || frame.type === "error")) refused++;
  };
"""


async def remake(tab: Tab, wire: str, options: str) -> None:
    """Connect another ``rpc`` of the page, with options of its own."""
    name = {"jsonrpc": "longwire.jsonrpc"}.get(wire, wire)
    await tab.evaluate(
        "rpc.destroy(), window.rpc ="
        f"  WSRPC('/ws/', 200, {{wire: '{name}', {options}}}).connect(), 0"
    )
    await tab.until("rpc.state() === 'OPEN'")


@every_wire
async def test_an_idle_page_is_not_taken_for_an_attacker(
    chromium: str, routes: Any, wire: str
) -> None:
    async with Site(routes, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate(f"{COUNT}; 0")
        await remake(tab, wire, "heartbeat: {interval: 10, timeout: 20000}, onFrame")
        # One every 30 seconds: these would take an hour and a half.
        await tab.until("beats > 180", 60)

        assert await tab.evaluate("rpc.state()") == "OPEN"
        (peer,) = site.server.peers
        assert peer.is_open
        assert await outcome(tab, "rpc.call('echo', [1])") == {"result": 1}
        assert await tab.evaluate("[unanswered <= 1, refused]") == [True, 0]


@every_wire
async def test_a_call_waits_for_as_long_as_its_connection_lives(
    chromium: str, wire: str
) -> None:
    async def slow() -> str:
        await asyncio.sleep(0.6)
        return "at last"

    async with Site({"slow": slow}, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        # One every 30 seconds: a call of minutes.
        await remake(tab, wire, "heartbeat: {interval: 40, timeout: 10000}")

        assert await outcome(tab, "rpc.call('slow')") == {"result": "at last"}
        assert len(site.server.peers) == 1


async def test_events_of_the_server_reach_the_page(chromium: str, routes: Any) -> None:
    async with Site(routes, wire="wsrpc") as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, "wsrpc")
        await tab.evaluate(
            "window.got = [], rpc.addServerEventListener((event) => got.push(event)),"
            "rpc.connect(), rpc.call('echo', [1])"
        )
        (peer,) = site.server.peers

        await peer.emit({"news": "first"})
        await peer.emit({"news": [2]})

        await tab.until("got.length === 2")
        assert await tab.evaluate("got") == [{"news": "first"}, {"news": [2]}]


# --- whatever a page says ---------------------------------------------------------

SAID = """[
  [], [null], [NaN], [Infinity], [undefined], [Array(3)], [() => 1], [Symbol("x")],
  new Date(0), new Date(NaN), [new Date(0)], "text", "", 0, -0, false, true, 1e308,
  [1e21], [123456789012345680000], {}, {value: 1}, [new Uint8Array(3)],
  ["\\u0000\\u2028"], [{"__proto__": 1}], [JSON.parse('{"__proto__": 1}')],
  ["\\ud83d\\ude00"], Object("x"), new URL("http://x/"), [Object.create(null)],
  ["x".repeat(100000)], [deep(400)],
  // refused
  [1n], "\\ud83d", ["\\ude00"], {value: {a: "\\ud83d"}}, [{"\\ud83d": 1}],
  ["\\\\\\\\\\ud83d"], new Map(), new Set(), [circle], () => 1, Symbol("x"), revoked,
  {toJSON() { throw null; }}, {get a() { throw undefined; }}, [deep(100000)],
]"""

PREPARE = """
  window.deep = (n) => { let found = []; while (n--) found = [found]; return found; };
  window.circle = {}; circle.self = circle;
  const made = Proxy.revocable({}, {}); made.revoke(); window.revoked = made.proxy;
"""


@every_wire
async def test_every_value_a_page_says_arrives_or_is_refused(
    chromium: str, routes: Any, wire: str
) -> None:
    async with Site(routes, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate(f"{PREPARE}; rpc.connect(), 0")
        await tab.evaluate(
            f"window.settled = [], {SAID}.forEach((value, i) => {{"
            "  rpc.call('echo', value).then((found) => { settled[i] = 'result' },"
            "    (error) => { settled[i] = error.name }); }), 0"
        )

        count = await tab.evaluate(f"{SAID}.length")
        await tab.until(f"Object.keys(settled).length === {count}")

        assert await tab.evaluate("rpc.state()") == "OPEN"
        assert await outcome(tab, "rpc.call('echo', [1])") == {"result": 1}
        (peer,) = site.server.peers
        assert peer.close_report is None


async def test_a_deep_array_is_refused_by_the_server_and_the_call_settled(
    chromium: str, routes: Any
) -> None:
    async with Site(routes) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(f"{PREPARE}; rpc.connect(), 0")

        error = await outcome(tab, "rpc.call('echo', [deep(4000)])")

        assert error.get("type") in ("ParseError", "InvalidParams"), error
        assert await outcome(tab, "rpc.call('echo', [1])") == {"result": 1}


# --- large messages ---------------------------------------------------------------


async def test_one_large_call_is_refused_and_the_others_go_on(
    chromium: str, routes: Any
) -> None:
    release = asyncio.Event()

    async def slow() -> str:
        await release.wait()
        return "slow"

    site = Site({**routes, "slow": slow})
    async with site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        large = "'x'.repeat(2 ** 22)"
        await tab.evaluate(
            "window.early = outcome(rpc.call('echo', ['early'])),"
            f"window.waiting = outcome(rpc.call('echo', [{large}])),"
            "window.slow = outcome(rpc.call('slow')), rpc.connect(), 0"
        )

        assert await tab.evaluate("early") == {"result": "early"}
        for call in ("waiting", f"outcome(rpc.call('echo', [{large}]))"):
            error = await tab.evaluate(call)
            assert (error["name"], error["code"]) == ("RpcError", -32006), error
        release.set()
        assert await tab.evaluate("slow") == {"result": "slow"}
        assert len(await tab.evaluate("events.filter((e) => e === 'onconnect')")) == 1


async def test_the_largest_call_that_is_allowed_passes(
    chromium: str, routes: Any
) -> None:
    async with Site(routes) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(
            "window.limit = 0, rpc.addServerEventListener(() => 0),"
            "window.rpc = new lw.Rpc('/ws/', {onFrame(text, way) {"
            "  const { method, params } = JSON.parse(text);"
            "  if (method === '$/limits') limit = params.message; }}), rpc.connect(), 0"
        )
        await tab.until("limit > 0")
        around = len(
            json.dumps(
                {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [""]},
                separators=(",", ":"),
            )
        )

        for character, size in (("x", 1), ("ü", 2), ("😀", 4)):
            tab_limit = f"Math.floor((limit - {around} - 5) / {size})"
            fits = f"'{character}'.repeat({tab_limit})"
            found = await tab.evaluate(
                f"rpc.call('echo', [{fits}]).then((text) => text === {fits}, String)"
            )
            assert found is True, character
        assert await tab.evaluate("rpc.state()") == "OPEN"


async def test_a_large_result_of_a_page_is_a_small_error(
    chromium: str, routes: Any
) -> None:
    async with Site(routes) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(
            "const large = 'x'.repeat(2 ** 22);"
            "rpc.addRoute('large', () => large),"
            "rpc.addRoute('items', function* () { yield 1; yield large }),"
            "rpc.addRoute('throws', () => { throw new Error(large) }),"
            "rpc.connect(), rpc.call('echo', [1])"
        )
        (peer,) = site.server.peers

        for name in ("large", "throws"):
            with pytest.raises(rpc.RemoteError):
                await peer.call(name)
        items = peer.stream("items")
        assert await anext(items) == 1
        with pytest.raises(rpc.RemoteError):
            await anext(items)
        assert await tab.evaluate("rpc.state()") == "OPEN"


# --- the page's errors ------------------------------------------------------------


@every_wire
async def test_the_stack_of_a_page_s_error_arrives_where_the_page_allows_it(
    chromium: str, routes: Any, wire: str
) -> None:
    async with Site(routes, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        for allowed in (True, False):
            await remake(tab, wire, f"tracebacks: {str(allowed).lower()}")
            await tab.evaluate(
                "rpc.addRoute('fails', function whereItBroke() {"
                "  throw new RangeError('too far') })"
            )
            async with asyncio.timeout(5):
                while len(site.server.peers) != 1:
                    await asyncio.sleep(0.01)
            (peer,) = site.server.peers

            with pytest.raises(rpc.RemoteError) as raised:
                await peer.call("fails")

            assert raised.value.message == "too far"
            traceback = raised.value.traceback or ""
            assert ("whereItBroke" in traceback) is allowed


@every_wire
async def test_whatever_a_page_throws_is_an_error_in_python(
    chromium: str, routes: Any, wire: str
) -> None:
    thrown = [
        *("null", "undefined", "0", "'text'", "Symbol('x')", "1n", "() => 1"),
        "Object.create(null)",
        "revoked",
        "new Error('cut ' + '\\ud83d')",
        "Object.defineProperty(new Error(), 'message', {get() { throw 1 }})",
        "new Proxy(new Error(), {get() { throw 1 }, getPrototypeOf() { throw 2 }})",
        "Object.assign(new Error('x'), {data: 1n})",
        "new DOMException('gone', 'AbortError')",
    ]
    async with Site(routes, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate(f"{PREPARE}; rpc.connect(), rpc.call('echo', [1])")
        (peer,) = site.server.peers
        for i, value in enumerate(thrown):
            await tab.evaluate(f"rpc.addRoute('f{i}', () => {{ throw {value} }})")
            with pytest.raises(rpc.RemoteError):
                async with asyncio.timeout(5):
                    await peer.call(f"f{i}")
