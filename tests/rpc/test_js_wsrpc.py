"""With the library of the wsrpc wire: its JavaScript at our server, ours at its."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser, Tab
from tests.support.needs import needs

needs("msgspec")
WSRPC = Path(needs("wsrpc_aiohttp")).parent  # what it is made for: aiohttp
needs("aiohttp")

from longwire import rpc
from tests.rpc.pages import PRELUDE, Site, open_page, outcome

pytestmark = [pytest.mark.timeout(60), pytest.mark.once]

THEIR_PAGE = b"""<!DOCTYPE html>
<link rel="icon" href="data:,">
<script src="/wsrpc.min.js"></script>
"""


# --- their page, our server -------------------------------------------------------


class Counter(rpc.Service):
    count = 0

    def init(self) -> str:
        return "ready"

    def increment(self, by: int = 1) -> int:
        self.count += by
        return self.count

    async def ask(self) -> Any:
        return await self.peer.call("whoAreYou", of="you")

    async def ask_for_trouble(self) -> Any:
        try:
            return await self.peer.call("fails")
        except rpc.RemoteError as exc:
            return f"caught: {exc.message}"


class Oops(rpc.ApplicationError):
    pass


def fail(message: str) -> None:
    raise Oops(message)


ROUTES = {"counter": Counter, "fail": fail, "echo": lambda value: value}


async def open_theirs(browser: Browser, site: Site) -> Tab:
    tab = await browser.open(site.url)
    await tab.until("typeof WSRPC === 'function'")
    await tab.evaluate(
        f"window.rpc = new WSRPC('ws://127.0.0.1:{site.port}/ws/', 200);{PRELUDE}; 0"
    )
    return tab


@pytest.fixture
def their_site() -> Site:
    return Site(ROUTES, wire="wsrpc", page=THEIR_PAGE, folder=WSRPC / "static")


async def test_their_page_calls_our_server(chromium: str, their_site: Site) -> None:
    async with their_site as site, Browser(chromium) as browser:
        tab = await open_theirs(browser, site)
        early = "window.early = rpc.call('counter.increment'), rpc.connect(), early"
        assert await outcome(tab, f"({early})") == {"result": 1}

        found = await outcome(tab, "rpc.call('counter.increment', {by: 5})")
        assert found == {"result": 6}
        assert await outcome(tab, "rpc.proxy.counter()") == {"result": "ready"}
        for value in ("[1, 'a', null]", "{a: {b: [true]}}", "'grüezi'", "1.5"):
            found = await tab.evaluate(
                f"rpc.call('echo', [{value}]).then((r) => JSON.stringify(r) ==="
                f" JSON.stringify({value}))"
            )
            assert found is True, value


async def test_their_page_gets_our_errors(chromium: str, their_site: Site) -> None:
    async with their_site as site, Browser(chromium) as browser:
        tab = await open_theirs(browser, site)
        await tab.evaluate("rpc.connect(), 0")

        error = await outcome(tab, "rpc.call('fail', ['no more'])")
        assert (error["type"], error["message"]) == ("Oops", "no more")
        assert "message" in await outcome(tab, "rpc.call('no.such')")


async def test_our_server_calls_their_page(chromium: str, their_site: Site) -> None:
    async with their_site as site, Browser(chromium) as browser:
        tab = await open_theirs(browser, site)
        await tab.evaluate(
            "rpc.addRoute('whoAreYou', (args) => 'a page, ' + args.of),"
            "rpc.addRoute('fails', () => { throw 'broken' }), rpc.connect(), 0"
        )

        assert await outcome(tab, "rpc.call('counter.ask')") == {
            "result": "a page, you"
        }
        found = await outcome(tab, "rpc.call('counter.ask_for_trouble')")
        assert found["result"].startswith("caught: ")


async def test_their_page_comes_back_to_our_server(
    chromium: str, their_site: Site
) -> None:
    async with their_site as site, Browser(chromium) as browser:
        tab = await open_theirs(browser, site)
        await tab.evaluate("rpc.connect(), 0")
        assert await outcome(tab, "rpc.call('counter.increment')") == {"result": 1}
        (peer,) = site.server.peers

        await peer.close(1001, "restarting")
        await tab.until("events.filter((name) => name === 'onconnect').length === 2")

        assert await outcome(tab, "rpc.call('counter.increment')") == {"result": 1}


# --- our page, their server -------------------------------------------------------


@contextlib.asynccontextmanager
async def their_server() -> AsyncIterator[tuple[int, Any]]:
    """Yield the port of a server made with their library, and its class."""
    import aiohttp.web
    import wsrpc_aiohttp

    class Socket(wsrpc_aiohttp.WebSocketAsync):  # type: ignore[misc]
        pass

    class TheirCounter(wsrpc_aiohttp.WebSocketRoute):  # type: ignore[misc]
        def init(self, **kwargs: Any) -> Any:
            self.count = 0
            return kwargs

        async def increment(self, by: int = 1) -> int:
            self.count += by
            return self.count

        async def ask(self) -> Any:
            return await self.socket.call("whoAreYou", of="you")

        async def ask_for_trouble(self) -> str:
            try:
                return str(await self.socket.call("fails"))
            except wsrpc_aiohttp.ClientException as exc:
                return f"caught: {exc}"

        def fail(self) -> None:
            raise ValueError("no more")

        def _hidden(self) -> str:
            return "seen"

    async def echo(socket: Any, value: Any) -> Any:
        return value

    Socket.add_route("counter", TheirCounter)
    Socket.add_route("echo", echo)
    app = aiohttp.web.Application()
    app.router.add_get("/ws/", Socket)
    runner = aiohttp.web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1], Socket
    finally:
        for socket in list(Socket.get_clients().values()):
            with contextlib.suppress(Exception):
                await socket.close()
        await runner.cleanup()


async def open_at(browser: Browser, site: Site, port: int) -> Tab:
    tab = await open_page(browser, site.url, "wsrpc")
    await tab.evaluate(
        f"window.rpc = WSRPC('ws://127.0.0.1:{port}/ws/', 200);{PRELUDE}; 0"
    )
    return tab


async def test_our_page_calls_their_server(chromium: str) -> None:
    async with (
        their_server() as (port, _),
        Site({}) as site,
        Browser(chromium) as browser,
    ):
        tab = await open_at(browser, site, port)
        early = "window.early = rpc.call('counter', {a: 1}), rpc.connect(), early"
        assert await outcome(tab, f"({early})") == {"result": {"a": 1}}

        increment = "rpc.call('counter.increment'"
        assert await outcome(tab, f"{increment})") == {"result": 1}
        assert await outcome(tab, f"{increment}, {{by: 5}})") == {"result": 6}
        assert await outcome(tab, f"{increment}, [2])") == {"result": 8}
        for value, written in [(0, "0"), (False, "false"), ("", "''"), (None, "null")]:
            found = await outcome(tab, f"rpc.call('echo', [{written}])")
            assert found == {"result": value}
        error = await outcome(tab, "rpc.call('counter.fail')")
        assert (error["type"], error["message"]) == ("ValueError", "no more")
        hidden = await outcome(tab, "rpc.call('counter._hidden')")
        assert hidden["name"] == "RemoteError"
        await tab.evaluate("rpc.destroy()")
        await tab.until("rpc.state() === 'CLOSED'")


async def test_their_server_calls_our_page(chromium: str) -> None:
    async with (
        their_server() as (port, _),
        Site({}) as site,
        Browser(chromium) as browser,
    ):
        tab = await open_at(browser, site, port)
        await tab.evaluate(
            "rpc.addRoute('whoAreYou', (args) => 'a page, ' + args.of),"
            "rpc.addRoute('fails', () => { throw new RangeError('broken') }),"
            "rpc.connect(), 0"
        )

        await outcome(tab, "rpc.call('counter')")
        assert await outcome(tab, "rpc.call('counter.ask')") == {
            "result": "a page, you"
        }
        found = await outcome(tab, "rpc.call('counter.ask_for_trouble')")
        assert "broken" in found["result"]
        await tab.evaluate("rpc.destroy()")
        await tab.until("rpc.state() === 'CLOSED'")


async def test_our_page_comes_back_to_their_server(chromium: str) -> None:
    async with (
        their_server() as (port, socket_class),
        Site({}) as site,
        Browser(chromium) as browser,
    ):
        tab = await open_at(browser, site, port)
        await tab.evaluate("rpc.connect(), rpc.call('counter')")
        assert await outcome(tab, "rpc.call('counter.increment')") == {"result": 1}

        for socket in list(socket_class.get_clients().values()):
            await socket.close()
        await tab.until("events.filter((name) => name === 'onconnect').length === 2")

        await outcome(tab, "rpc.call('counter')")
        assert await outcome(tab, "rpc.call('counter.increment')") == {"result": 1}
        await tab.evaluate("rpc.destroy()")
        await tab.until("rpc.state() === 'CLOSED'")
        await asyncio.sleep(0.1)
