"""With others: wsrpc-aiohttp in Python and JavaScript, a client of JSON-RPC 2.0."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import longwire
from longwire import rpc
from tests.support.browser import Browser
from tests.support.commands import environment
from tests.support.needs import needs

needs("wsrpc_aiohttp")
needs("jsonrpc_websocket")

import aiohttp
import aiohttp.web
import jsonrpc_base
import jsonrpc_websocket
import wsrpc_aiohttp

pytestmark = [pytest.mark.once, pytest.mark.timeout(60)]


class Box(rpc.Service):
    value: Any = None

    def init(self) -> str:
        return "box"

    def put(self, value: Any = None, **named: Any) -> Any:
        self.value = named or value
        return self.value

    def get(self) -> Any:
        return self.value

    async def ask(self) -> Any:
        return await self.peer.call("whoAreYou", greeting="hi")


def fail(message: str) -> None:
    raise ValueError(message)


ROUTES = {
    "echo": lambda value=None: value,
    "add": lambda a, b: a + b,
    "fail": fail,
    "box": Box,
}
FALSY = [0, False, "", None, []]


@contextlib.asynccontextmanager
async def ours(wire: str, **options: Any) -> AsyncIterator[int]:
    """A server of ours; its port."""
    server = rpc.Server(ROUTES, wire=wire, errors=[ValueError])
    async with server.serve("127.0.0.1", 0, **options) as listening:
        yield listening.sockets[0].getsockname()[1]


# --- the Python client of wsrpc-aiohttp to our server -----------------------------


async def test_the_client_of_wsrpc_aiohttp_calls_our_server():
    async with ours("wsrpc") as port:
        client = wsrpc_aiohttp.WSRPCClient(f"ws://127.0.0.1:{port}/", timeout=5)
        await client.connect()
        try:
            assert await client.call("add", a=1, b=2) == 3
            assert await client.proxy.box() == "box"
            assert await client.proxy.box.put(size=1) == {"size": 1}
            assert await client.proxy.box.get() == {"size": 1}
            for value in FALSY:
                assert await client.call("echo", value=value) == value
            with pytest.raises(wsrpc_aiohttp.ClientException) as raised:
                await client.call("fail", message="no")
            with pytest.raises(wsrpc_aiohttp.ClientException):
                await client.call("box._hidden")
            with pytest.raises(wsrpc_aiohttp.ClientException):
                await client.call("none")
        finally:
            await client.close()

    assert raised.value.type == "ValueError"
    assert raised.value.message == "no"


async def test_our_server_calls_the_client_of_wsrpc_aiohttp():
    async with ours("wsrpc") as port:
        client = wsrpc_aiohttp.WSRPCClient(f"ws://127.0.0.1:{port}/", timeout=5)
        client.add_route("whoAreYou", who_are_you)
        await client.connect()
        try:
            assert await client.call("box.ask") == "hi, I am wsrpc-aiohttp"
        finally:
            await client.close()


async def who_are_you(peer: Any, greeting: str) -> str:
    return f"{greeting}, I am wsrpc-aiohttp"


# --- our client to the server of wsrpc-aiohttp ------------------------------------


class Counter(wsrpc_aiohttp.WebSocketRoute):
    def init(self, **kwargs: Any) -> str:
        self.value = 0
        return "counter"

    def add(self, by: int) -> int:
        self.value += by
        return self.value

    async def ask(self) -> Any:
        return await self.socket.call("whoAreYou", greeting="hi")


async def theirs_fails(peer: Any) -> None:
    raise ValueError("no")


@contextlib.asynccontextmanager
async def theirs() -> AsyncIterator[str]:
    """A server of wsrpc-aiohttp; its URI."""

    class Handler(wsrpc_aiohttp.WebSocketAsync):
        pass

    Handler.add_route("counter", Counter)
    Handler.add_route("fails", theirs_fails)
    app = aiohttp.web.Application()
    app.router.add_get("/ws/", Handler)
    runner = aiohttp.web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"ws://127.0.0.1:{port}/ws/"
    finally:
        await runner.cleanup()


async def test_our_client_calls_the_server_of_wsrpc_aiohttp():
    async with theirs() as uri:
        routes = {"whoAreYou": lambda greeting: f"{greeting}, I am longwire"}
        async with rpc.Client(uri, routes, wire="wsrpc", errors=[ValueError]) as client:
            assert await client.call("counter") == "counter"
            assert await client.call("counter.add", by=2) == 2
            assert await client.call("counter.add", 3) == 5
            assert await client.call("counter.ask") == "hi, I am longwire"
            with pytest.raises(ValueError, match="no"):
                await client.call("fails")
            with pytest.raises(rpc.RemoteError) as raised:
                await client.call("counter._hidden")
            await client.call("counter.add", by=0)

    assert raised.value.type


async def test_our_client_answers_the_pings_of_wsrpc_aiohttp():
    """Its server calls `ping` of whoever connects, and closes without an answer."""
    async with theirs() as uri, longwire.connect(uri) as connection:
        frame = json.loads(await connection.recv())
        assert frame["method"] == "ping"
        async with rpc.Peer(connection, wire="wsrpc") as peer:
            assert await peer.call("counter") == "counter"

    answers: list[Any] = []

    async def ask(connection: Any) -> None:
        await connection.send(json.dumps(frame))
        answers.append(json.loads(await connection.recv()))

    async with longwire.serve(ask, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with (
            longwire.connect(f"ws://127.0.0.1:{port}") as connection,
            rpc.Peer(connection, wire="wsrpc"),
        ):
            await connection.wait_closed()

    (answer,) = answers
    assert (answer["id"], answer["result"]) == (frame["id"], frame["params"])


# --- its JavaScript client in a browser -------------------------------------------

PAGE = b"<!doctype html><meta charset=utf-8><title>page</title><script src=/wsrpc.js>"
SCRIPT = Path(wsrpc_aiohttp.STATIC_DIR) / "wsrpc.min.js"


def page(connection: Any, request: Any) -> Any:
    files = {"/page": ("text/html", PAGE), "/wsrpc.js": ("text/javascript", None)}
    if request.path not in files:
        return None
    kind, body = files[request.path]
    body = SCRIPT.read_bytes() if body is None else body + b"</script>"
    headers = longwire.Headers({"Content-Type": kind, "Connection": "close"})
    headers["Content-Length"] = str(len(body))
    return longwire.Response(200, "OK", headers, body)


async def test_the_javascript_client_of_wsrpc_calls_our_server_and_is_called(chromium):
    async with (
        ours("wsrpc", process_request=page) as port,
        Browser(chromium) as browser,
    ):
        tab = await browser.open(f"http://127.0.0.1:{port}/page")
        await tab.until("typeof WSRPC !== 'undefined'")
        await tab.evaluate(
            f"window.peer = new WSRPC('ws://127.0.0.1:{port}/', 5000), "
            "peer.addRoute('whoAreYou', (data) => data.greeting + ', I am the page'), "
            "peer.connect(), 1"
        )

        assert await tab.evaluate("peer.call('add', [1, 2])") == 3
        assert await tab.evaluate("peer.call('add', {a: 1, b: 2})") == 3
        assert await tab.evaluate("peer.call('echo', 'alone')") == "alone"
        assert await tab.evaluate("peer.call('box')") == "box"
        assert await tab.evaluate("peer.proxy.box.put({size: 1})") == {"size": 1}
        assert await tab.evaluate("peer.call('box.get')") == {"size": 1}
        assert await tab.evaluate("peer.call('box.ask')") == "hi, I am the page"
        failure = "peer.call('fail', ['no']).then(() => 0, (e) => [e.type, e.message])"
        assert await tab.evaluate(failure) == ["ValueError", "no"]
        hidden = "peer.call('box._hidden').then(() => 0, (e) => e.type)"
        assert await tab.evaluate(hidden) == "MethodNotFound"


# --- a client of JSON-RPC 2.0 -----------------------------------------------------


async def test_a_public_client_of_json_rpc_calls_our_server_and_is_called():
    async with ours("jsonrpc") as port, aiohttp.ClientSession() as session:
        client = jsonrpc_websocket.Server(f"ws://127.0.0.1:{port}/", session=session)
        client.whoAreYou = lambda greeting: f"{greeting}, I am jsonrpc-websocket"
        reading = await client.ws_connect()
        try:
            assert await client.add(1, 2) == 3
            assert await client.add(a=1, b=2) == 3
            assert await client.box.put(5) == 5
            assert await client.box.get() == 5
            assert await client.box.ask() == "hi, I am jsonrpc-websocket"
            for value in FALSY:
                assert await client.echo(value) == value
            assert await client.echo("note", _notification=True) is None
            with pytest.raises(jsonrpc_base.ProtocolError) as raised:
                await client.fail("no")
            with pytest.raises(jsonrpc_base.ProtocolError) as unknown:
                await client.none()
        finally:
            await client.close()
            await asyncio.wait([reading])

    assert raised.value.args[:2] == (-32000, "no")
    assert unknown.value.args[0] == -32601


def test_importing_longwire_loads_neither_msgspec_nor_rpc():
    script = (
        "import sys, longwire; from longwire import serve, connect; "
        "print('msgspec' in sys.modules, 'longwire.rpc' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )

    assert done.stdout == "False False\n"
