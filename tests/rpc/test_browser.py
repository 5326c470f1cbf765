"""The JavaScript client in headless Chromium against our server: snippets S55–S67."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.commands import environment
from tests.support.needs import needs
from tests.support.ports import free_port

needs("msgspec")  # which is not there on every Python

from longwire import rpc
from tests.rpc.pages import MAKERS, Site, open_page, outcome

pytestmark = [pytest.mark.timeout(90), pytest.mark.once]

every_wire = pytest.mark.parametrize("wire", list(MAKERS))


class Example(rpc.Service):
    """The class route of the article, more or less."""

    closed: list[int] = []  # what on_close() has seen, of all connections

    def __init__(self, peer: rpc.Peer) -> None:
        super().__init__(peer)
        self.count = 0

    def init(self) -> str:
        return "ready"

    def increment(self) -> int:
        self.count += 1
        return self.count

    def _hidden(self) -> str:
        return "seen"

    async def who(self) -> Any:
        return await self.peer.call("whoAreYou")

    def on_close(self) -> None:
        self.closed.append(self.count)


class Oops(rpc.ApplicationError):
    """Declared: pages see it."""


def add(a: int, b: int) -> int:
    return a + b


def echo(value: Any) -> Any:
    return value


def fail(message: str) -> None:
    raise Oops(message, {"why": "asked"})


def describe(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


async def count(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


ROUTES: dict[str, Any] = {
    "getTime": lambda: 1234.5,
    "test": Example,
    "add": add,
    "echo": echo,
    "fail": fail,
    "describe": describe,
    "math": {"more": {"add": add}},
    "count": count,
}


# --- S55 to S59, S65: calls of the page -------------------------------------------


@every_wire
async def test_s55_a_function_is_called(chromium: str, wire: str) -> None:
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate("rpc.connect(), 0")

        assert await outcome(tab, "rpc.call('getTime')") == {"result": 1234.5}
        assert await outcome(tab, "rpc.call('add', [1, 2])") == {"result": 3}
        assert await outcome(tab, "rpc.proxy.add([3, 4])") == {"result": 7}
        assert tab.errors == []


@every_wire
async def test_s56_a_class_keeps_its_state_for_one_connection(
    chromium: str, wire: str
) -> None:
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        first = await open_page(browser, site.url, wire)
        second = await open_page(browser, site.url, wire)
        for tab in (first, second):
            await tab.evaluate("rpc.connect(), 0")

        assert await outcome(first, "rpc.call('test')") == {"result": "ready"}
        for n in (1, 2, 3):
            assert await outcome(first, "rpc.call('test.increment')") == {"result": n}
        assert await outcome(second, "rpc.call('test.increment')") == {"result": 1}


@every_wire
async def test_s57_names_have_dots(chromium: str, wire: str) -> None:
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate("rpc.connect(), 0")

        assert await outcome(tab, "rpc.call('math.more.add', [1, 2])") == {"result": 3}
        assert await outcome(tab, "rpc.proxy.math.more.add([1, 2])") == {"result": 3}


@every_wire
async def test_s58_what_is_hidden_is_refused(chromium: str, wire: str) -> None:
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate("rpc.connect(), 0")

        for name in ("test._hidden", "test.__init__", "test.count", "test.peer.close"):
            error = await outcome(tab, f"rpc.call('{name}')")
            assert error["type"] == "MethodNotFound", error
            assert name in error["message"]


@every_wire
async def test_s59_an_exception_rejects_the_promise(chromium: str, wire: str) -> None:
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate("rpc.connect(), 0")

        error = await outcome(tab, "rpc.call('fail', ['no more'])")

        assert error["name"] == "RemoteError"
        assert (error["type"], error["message"]) == ("Oops", "no more")
        if wire == "jsonrpc":  # the others have no place for it
            assert error["data"] == {"why": "asked"}


@every_wire
async def test_s65_arguments_go_by_position_by_name_or_alone(
    chromium: str, wire: str
) -> None:
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate("rpc.connect(), 0")

        for args, expected in [
            ("[1, 2, 3]", [[1, 2, 3], {}]),
            ("{size: 1}", [[], {"size": 1}]),
            ("'alone'", [["alone"], {}]),
            ("undefined", [[], {}]),
            ("null", [[], {}]),
        ]:
            found = await outcome(tab, f"rpc.call('describe', {args})")
            assert found == {"result": expected}, args


@every_wire
async def test_values_that_are_false_arrive_as_themselves_both_ways(
    chromium: str, wire: str
) -> None:
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate(
            "rpc.addRoute('back', (args) => args.value), rpc.connect(), 0"
        )
        await tab.until("rpc.state() === 'OPEN'")
        (peer,) = site.server.peers

        for value, written in [(0, "0"), (False, "false"), ("", "''"), (None, "null")]:
            found = await outcome(tab, f"rpc.call('echo', [{written}])")
            assert found == {"result": value}
            returned = await peer.call("back", value=value)
            assert returned == value
            assert type(returned) is type(value)


# --- S60, S61, S67: calls of the server -------------------------------------------


@every_wire
async def test_s60_an_exception_of_the_page_is_raised(chromium: str, wire: str) -> None:
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate(
            "rpc.addRoute('fail', () => { throw new RangeError('too far') }),"
            "rpc.connect(), 0"
        )
        await tab.until("rpc.state() === 'OPEN'")
        (peer,) = site.server.peers

        with pytest.raises(rpc.RemoteError) as raised:
            await peer.call("fail")
        assert raised.value.message == "too far"
        if wire != "wsrpc.1":  # there it is a text from the browser, no more
            assert raised.value.type == "RangeError"
        with pytest.raises(rpc.RemoteError, match="Route not found"):
            await peer.call("nothing")


@every_wire
async def test_s61_the_server_calls_the_page(chromium: str, wire: str) -> None:
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate(
            "rpc.addRoute('whoAreYou', () => 'a page'),"
            "rpc.addRoute('later', function (args) {"
            "  setTimeout(() => this.resolve(args.value + 1), 10) }, true),"
            "rpc.connect(), 0"
        )

        assert await outcome(tab, "rpc.call('test.who')") == {"result": "a page"}
        (peer,) = site.server.peers
        assert await peer.call("later", value=1) == 2


@every_wire
async def test_s67_all_pages_are_called(chromium: str, wire: str) -> None:
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        tabs = [await open_page(browser, site.url, wire) for _ in range(3)]
        for i, tab in enumerate(tabs):
            await tab.evaluate(
                f"rpc.addRoute('hello', ({{word}}) => word + {i}), rpc.connect(), 0"
            )
            await tab.until("rpc.state() === 'OPEN'")

        answers = await site.server.broadcast("hello", word="page ")

        assert sorted(answers.values()) == ["page 0", "page 1", "page 2"]


# --- S62 to S64, S66: connections -------------------------------------------------


@every_wire
async def test_s62_calls_before_connect_wait(chromium: str, wire: str) -> None:
    release = asyncio.Event()

    async def slow() -> str:
        await release.wait()
        return "slow"

    def fast() -> str:
        release.set()
        return "fast"

    routes = {"slow": slow, "fast": fast}
    async with Site(routes, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate(
            "window.order = [],"
            "window.both = Promise.all(['slow', 'fast'].map((name) =>"
            "  rpc.call(name).then((result) => order.push(result)))), 0"
        )
        assert await tab.evaluate("[rpc.state(), rpc.stateCode()]") == ["CLOSED", 3]

        await tab.evaluate("rpc.connect(), both")

        assert await tab.evaluate("order") == ["fast", "slow"]


@every_wire
async def test_s63_a_failed_connection_rejects_all(chromium: str, wire: str) -> None:
    async with Browser(chromium) as browser:
        async with Site(ROUTES, wire=wire) as site:
            tab = await open_page(browser, site.url, wire)
        await tab.evaluate(
            "window.both = Promise.all([rpc.call('a'), rpc.call('b')].map(outcome)),"
            "rpc.connect(), 0"
        )

        for error in await tab.evaluate("both"):
            assert error["name"] == "DisconnectedError"
            told, _, why = error["message"].partition(": ")
            assert told == "WebSocket error occurred"
            if wire.startswith("wsrpc"):
                assert not why
            else:
                assert why == f"ws{site.url.removeprefix('http')}ws/: refused"
            assert error["cause"] == "refused"
        await tab.until("events.includes('onclose') && events.includes('onerror')")
        no_wait = "rpc.destroy(), rpc.call('a', [], {noWait: true})"
        assert (await outcome(tab, f"({no_wait})"))["message"] == "Socket is: CLOSED"


@every_wire
async def test_s64_it_reconnects_and_says_so_again(chromium: str, wire: str) -> None:
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate("rpc.connect(), 0")
        await outcome(tab, "rpc.call('test.increment')")
        (peer,) = site.server.peers
        peer.connection.transport.abort()

        await tab.until("events.filter((name) => name === 'onconnect').length === 2")

        assert await outcome(tab, "rpc.call('test.increment')") == {"result": 1}
        order = await tab.evaluate("events.filter((name) => name !== 'onchange')")
        assert order == ["onconnect", "onerror", "onclose", "onconnect"]


@every_wire
async def test_s66_on_close_is_called(chromium: str, wire: str) -> None:
    Example.closed.clear()
    async with Site(ROUTES, wire=wire) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url, wire)
        await tab.evaluate("rpc.connect(), 0")
        for _ in range(2):
            await outcome(tab, "rpc.call('test.increment')")
        (peer,) = site.server.peers

        await tab.evaluate("rpc.destroy()")
        await tab.until("rpc.state() === 'CLOSED'")
        async with asyncio.timeout(5):
            while site.server.peers:
                await asyncio.sleep(0.01)

        assert Example.closed == [2]
        assert peer.close_report is not None
        assert peer.close_report.code == 1000


SERVER = """
import asyncio, sys
from longwire import rpc
from tests.rpc.pages import Site

class Box(rpc.Service):
    value = 0
    def put(self, value: int) -> None:
        self.value = value
    def get(self) -> int:
        return self.value

async def tick(start: int):
    for i in range(start, 1_000_000):
        yield i
        await asyncio.sleep(0.01)

async def slow() -> None:
    await asyncio.sleep(60)

async def main():
    routes = {"box": Box, "tick": tick, "slow": slow}
    async with Site(routes, wire=sys.argv[2], port=int(sys.argv[1])):
        print("ready", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


class Process:
    """A server in a process of its own, to be killed without warning."""

    def __init__(self, port: int, wire: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVER), str(port), wire],
            stdout=subprocess.PIPE,
            env=environment(PYTHONPATH=f"src:{'.'}"),
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()  # type: ignore[union-attr]


@every_wire
async def test_a_page_survives_the_kill_of_its_server(chromium: str, wire: str) -> None:
    port = free_port()
    server = Process(port, wire)
    try:
        async with Browser(chromium) as browser:
            tab = await open_page(browser, f"http://127.0.0.1:{port}/", wire)
            await tab.evaluate("rpc.connect(), rpc.call('box.put', [7])")
            assert await outcome(tab, "rpc.call('box.get')") == {"result": 7}
            await tab.evaluate(
                "window.calls = Promise.all(Array.from({length: 50},"
                "  () => outcome(rpc.call('slow')))), 0"
            )

            server.kill()
            errors = await tab.evaluate("calls")
            server = Process(port, wire)
            await tab.until("rpc.state() === 'OPEN'")

            assert {error["cause"] for error in errors} == {"network"}
            assert await outcome(tab, "rpc.call('box.get')") == {"result": 0}
    finally:
        server.kill()


async def test_a_stream_goes_on_with_the_next_server(chromium: str) -> None:
    port = free_port()
    server = Process(port, "jsonrpc")
    try:
        async with Browser(chromium) as browser:
            tab = await open_page(browser, f"http://127.0.0.1:{port}/")
            await tab.evaluate(
                "window.got = [], window.gaps = 0, rpc.connect(), (async () => {"
                "  const resubscribe = () => { gaps++; };"
                "  for await (const i of rpc.stream('tick', [100], {resubscribe}))"
                "    got.push(i); })(), 0"
            )
            await tab.until("got.length > 20")
            assert await tab.evaluate("got.slice(0, 3)") == [100, 101, 102]

            server.kill()
            await tab.until("rpc.state() !== 'OPEN'")
            before = await tab.evaluate("[got.length, gaps]")
            server = Process(port, "jsonrpc")
            await tab.until(f"got.length > {before[0] + 5}")

            assert before[1] == 0
            assert await tab.evaluate("gaps") == 1
            assert await tab.evaluate(f"got[{before[0]}]") == 100
    finally:
        server.kill()


async def test_the_network_s_return_wakes_it(chromium: str) -> None:
    async with Site(ROUTES) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(
            "window.rpc = new lw.Rpc('/ws/', {reconnect: 600000}).connect(), 0"
        )
        await tab.until("rpc.state() === 'OPEN'")
        conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}

        await tab.call("Network.emulateNetworkConditions", offline=True, **conditions)
        for peer in list(site.server.peers):
            peer.connection.transport.abort()
        await tab.until("rpc.state() === 'CLOSED'")
        await tab.call("Network.emulateNetworkConditions", offline=False, **conditions)

        await tab.until("rpc.state() === 'OPEN'")


# --- beyond the snippets: streams, cancellation -----------------------------------


async def test_a_stream_of_the_server_is_an_async_iterator(chromium: str) -> None:
    async with Site(ROUTES) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)

        found = await tab.evaluate(
            "rpc.connect(), (async () => { const got = [];"
            "for await (const i of rpc.stream('count', [300])) got.push(i);"
            "return got; })()"
        )

        assert found == list(range(300))


async def test_leaving_a_stream_stops_the_server_and_a_slow_page_slows_it(
    chromium: str,
) -> None:
    produced = 0
    stopped = asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        nonlocal produced
        try:
            while True:
                produced += 1
                yield produced
        finally:
            stopped.set()

    async with Site({"endless": endless}) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(
            "rpc.connect(), window.items = rpc.stream('endless', [], {window: 8}), 0"
        )
        for n in range(1, 4):
            assert await tab.evaluate("items.next().then((r) => r.value)") == n
        await asyncio.sleep(0.1)
        assert produced <= 3 + 8 + 1

        await tab.evaluate("items.return().then(() => 0)")

        async with asyncio.timeout(5):
            await stopped.wait()


async def test_a_stream_of_the_page_is_an_async_iterator(chromium: str) -> None:
    async with Site(ROUTES) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(
            "window.ended = false, rpc.addRoute('count', async function* (n) {"
            "  try { for (let i = 0; i < n; i++) yield i; } finally { ended = true } "
            "}), rpc.connect(), 0"
        )
        await tab.until("rpc.state() === 'OPEN'")
        (peer,) = site.server.peers

        assert [item async for item in peer.stream("count", 100)] == list(range(100))
        await tab.evaluate("ended = false")
        async with peer.stream("count", 10**9, window=4) as items:
            assert await anext(items) == 0
        await tab.until("ended")


async def test_an_aborted_call_is_cancelled_at_the_server(chromium: str) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with Site({"slow": slow}) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(
            "rpc.connect(), window.control = new AbortController(),"
            "window.call = outcome(rpc.call('slow', [], {signal: control.signal})), 0"
        )
        async with asyncio.timeout(5):
            await begun.wait()
            await tab.evaluate("control.abort()")
            await cancelled.wait()

        assert (await tab.evaluate("call"))["name"] == "AbortError"
        late = await outcome(tab, "rpc.call('slow', [], {timeout: 30})")
        assert late["name"] == "TimeoutError"


async def test_a_cancelled_call_of_the_server_reaches_the_page(chromium: str) -> None:
    async with Site(ROUTES) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(
            "window.aborted = 0, rpc.addRoute('wait', function () {"
            "  this.signal.onabort = () => { aborted++; };"
            "  return new Promise(() => {}); }), rpc.connect(), 0"
        )
        await tab.until("rpc.state() === 'OPEN'")
        (peer,) = site.server.peers

        with pytest.raises(TimeoutError):
            await peer.call_with("wait", timeout=0.1)

        await tab.until("aborted === 1")


async def test_the_page_s_client_keeps_a_quiet_connection(chromium: str) -> None:
    async with Site(ROUTES) as site, Browser(chromium) as browser:
        tab = await open_page(browser, site.url)
        await tab.evaluate(
            "window.frames = [], window.rpc = new lw.Rpc('/ws/', {"
            "  onFrame: (text, way) => frames.push(way + text),"
            "  heartbeat: {interval: 50, timeout: 5000}}).connect(), 0"
        )

        await tab.until("frames.filter((frame) => frame.startsWith('in')).length > 2")

        assert await tab.evaluate("rpc.state()") == "OPEN"
        assert len(site.server.peers) == 1
