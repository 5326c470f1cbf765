"""Servers and clients that nobody starts, and those that two want to use at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.asyncio_.serving import echo, listen
from tests.support.needs import needs
from tests.support.warned import collected

import longwire
import longwire.websockets
from longwire import ConcurrencyError, State, connect
from longwire.websockets.asyncio import client as today_client
from longwire.websockets.asyncio import server as today_server
from longwire.websockets.legacy import client as old_client
from longwire.websockets.legacy import server as old_server

# --- never started ---------------------------------------------------------------

HERE = ("127.0.0.1", 0)
SERVERS: dict[str, Callable[[], Any]] = {
    "longwire": lambda: longwire.serve(echo, *HERE),
    "unix": lambda: longwire.unix_serve(echo, "/tmp/nobody"),
    "websockets": lambda: longwire.websockets.serve(echo, *HERE),
    "websockets.asyncio": lambda: today_server.serve(echo, *HERE),
    "websockets.legacy": lambda: old_server.serve(echo, *HERE),
}
URI = "ws://localhost:9/"
CLIENTS: dict[str, Callable[[], Any]] = {
    "longwire": lambda: longwire.connect(URI),
    "unix": lambda: longwire.unix_connect("/tmp/nobody"),
    "websockets": lambda: longwire.websockets.connect(URI),
    "websockets.asyncio": lambda: today_client.connect(URI),
    "websockets.legacy": lambda: old_client.connect(URI),
}


def is_ours(name: str) -> bool:
    """The documented API warns of nothing: programs make such objects and go on."""
    return not name.startswith("websockets")


@pytest.mark.parametrize("name", list(SERVERS))
def test_a_server_that_is_never_started_is_warned_of(name: str) -> None:
    texts = collected(SERVERS[name])

    text = "serve() was never awaited or entered: its server has not listened"
    assert texts == ([text] if is_ours(name) else [])


@pytest.mark.parametrize("name", list(CLIENTS))
def test_a_client_that_is_never_used_is_warned_of(name: str) -> None:
    texts = collected(CLIENTS[name])

    assert len(texts) == is_ours(name)
    for text in texts:
        assert text.startswith("connect() to localhost port ")
        assert text.endswith(" was never awaited, entered or iterated")


WRONG: dict[str, Callable[[], Any]] = {
    "serve": lambda: longwire.serve(echo, *HERE, max_size=-1),
    "serve keyword": lambda: longwire.serve(echo, *HERE, nonsense=1),
    "old serve": lambda: old_server.serve(echo, *HERE, nonsense=1),
    "connect": lambda: longwire.connect("http://localhost/"),
    "connect keyword": lambda: longwire.connect(URI, nonsense=1),
    "connect callable": lambda: longwire.connect(URI, create_connection=5),
    "old connect": lambda: old_client.connect(URI, nonsense=1),
    "old connect headers": lambda: old_client.connect(URI, extra_headers=5),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_one_that_was_refused_is_not(name: str) -> None:
    def make() -> None:
        with pytest.raises((TypeError, ValueError, longwire.InvalidURI)):
            WRONG[name]()

    assert collected(make) == []


async def use_server(server: Any) -> None:
    async with server:
        pass


async def close_server(server: Any) -> None:
    server.close()


async def fail_to_start(server: Any) -> None:
    with pytest.raises(OSError):
        await longwire.serve(echo, "192.0.2.1", 1)  # an address of nobody's


async def await_client(client: Any) -> None:
    with pytest.raises(OSError):
        await client


async def enter_client(client: Any) -> None:
    with pytest.raises(OSError):
        async with client:
            pass


async def iterate_client(client: Any) -> None:
    client = connect(URI, reconnect_delays=list)
    with pytest.raises(OSError):
        async for _ in client:
            pass


async def cancel_client(client: Any) -> None:
    task = asyncio.ensure_future(client.connect())
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.parametrize(
    ("make", "use"),
    [
        (SERVERS["longwire"], use_server),
        (SERVERS["longwire"], close_server),
        (lambda: None, fail_to_start),
        (CLIENTS["longwire"], await_client),
        (CLIENTS["longwire"], enter_client),
        (lambda: None, iterate_client),
        (CLIENTS["longwire"], cancel_client),
    ],
)
def test_one_that_was_used_is_not(make: Any, use: Any) -> None:
    def run() -> None:
        asyncio.run(use(make()))

    assert collected(run) == []


async def test_a_client_that_was_made_and_used_later_is_not_warned_of() -> None:
    async with listen(echo) as server:
        port = server.sockets[0].getsockname()[1]
        client = connect(f"ws://127.0.0.1:{port}/", proxy=None)
        await asyncio.sleep(0)

        async def use() -> None:
            async with client as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"

        await use()
    assert collected(lambda: None) == []


# --- started by what is done first -----------------------------------------------


def router_server() -> Any:
    from werkzeug.routing import Map, Rule

    return longwire.route(Map([Rule("/", endpoint=echo)]), *HERE)


FOREVER: dict[str, Callable[[], Any]] = {
    "longwire": SERVERS["longwire"],
    "route": router_server,
    "websockets": SERVERS["websockets"],
    "websockets.asyncio": SERVERS["websockets.asyncio"],
    "not yet": lambda: longwire.serve(echo, *HERE, start_serving=False),
}


@pytest.mark.parametrize("verb", ["serve_forever", "start_serving"])
@pytest.mark.parametrize("name", list(FOREVER))
async def test_serving_starts_a_server_that_was_not_awaited(
    name: str, verb: str
) -> None:
    if name == "route":
        needs("werkzeug")
    server = FOREVER[name]()
    serving = asyncio.ensure_future(getattr(server, verb)())
    async with asyncio.timeout(10):
        while not server.is_serving():
            await asyncio.sleep(0.005)
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"
        server.close()
        await server.wait_closed()
        await serving


# --- two at once -----------------------------------------------------------------


async def test_one_object_is_not_for_two_blocks_at_once() -> None:
    async with listen(echo) as server:
        port = server.sockets[0].getsockname()[1]
        client = connect(f"ws://127.0.0.1:{port}/", proxy=None)
        opened: list[Any] = []

        async def use() -> None:
            async with client as ws:
                opened.append(ws)
                await asyncio.sleep(0.05)

        results = await asyncio.gather(use(), use(), use(), return_exceptions=True)

        assert [type(r) for r in results].count(ConcurrencyError) == 2
        assert [ws.state for ws in opened] == [State.CLOSED]
        # One after the other is what it is for.
        await use()
        await use()
        assert [ws.state for ws in opened] == [State.CLOSED] * 3


async def test_nor_for_one_block_inside_the_other() -> None:
    async with listen(echo) as server:
        port = server.sockets[0].getsockname()[1]
        client = connect(f"ws://127.0.0.1:{port}/", proxy=None)
        async with client as ws:
            with pytest.raises(ConcurrencyError, match="make one for each"):
                async with client:
                    pass
            await ws.send("hello")
            assert await ws.recv() == "hello"
        assert ws.state is State.CLOSED


async def test_an_attempt_that_failed_does_not_block_the_next() -> None:
    client = connect("ws://127.0.0.1:9/", proxy=None)
    for _ in range(2):
        with pytest.raises(OSError):
            async with client:
                pass


async def test_awaiting_one_object_twice_gives_two_connections() -> None:
    async with listen(echo) as server:
        port = server.sockets[0].getsockname()[1]
        client = connect(f"ws://127.0.0.1:{port}/", proxy=None)

        async def use() -> Any:
            return await client

        first, second = await asyncio.gather(use(), use())
        async with first, second, client as third:
            for ws in (first, second, third):
                await ws.send("hello")
                assert await ws.recv() == "hello"
        assert {ws.state for ws in (first, second, third)} == {State.CLOSED}


async def test_a_server_may_be_entered_by_two_tasks() -> None:
    server = longwire.serve(echo, *HERE)
    ports: list[int] = []

    async def use() -> None:
        async with server:
            ports.append(server.sockets[0].getsockname()[1])
            await asyncio.sleep(0.02)

    await asyncio.gather(use(), use())

    assert len(set(ports)) == 1
    assert not server.is_serving()
