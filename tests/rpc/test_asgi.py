"""rpc.asgi: calls on the WebSockets of an ASGI server, beside a framework's own."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import longwire
from longwire import connect, rpc
from tests.asgi.serving import ROOT, serving
from tests.support.ports import free_port

pytest.importorskip("uvicorn")
pytest.importorskip("pydantic")

import pydantic


class Item(pydantic.BaseModel):
    name: str
    price: float = 1.0


async def add(a: int, b: int) -> int:
    return a + b


async def double(item: Item) -> Item:
    return Item(name=item.name * 2, price=item.price * 2)


async def count(to: int) -> Any:
    for number in range(to):
        yield number


async def slow() -> str:
    await asyncio.sleep(0.3)
    return "done"


ROUTES = {"add": add, "double": double, "count": count, "slow": slow}
IMPLEMENTATIONS = ["longwire.asgi:Protocol", "websockets-sansio", "wsproto"]


@pytest.fixture(params=IMPLEMENTATIONS)
def ws(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.asynccontextmanager
async def mounted(application: Any, ws: str) -> AsyncIterator[str]:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Starlette(routes=[Mount("/rpc", app=application)])
    async with serving(app, ws=ws) as uvicorn_:
        yield f"{uvicorn_.uri}/rpc/"


async def test_calls_models_and_streams(ws: str) -> None:
    async with mounted(rpc.asgi(ROUTES), ws) as uri, rpc.Client(uri) as client:
        assert await client.call("add", 1, 2) == 3
        assert await client.call("double", {"name": "a", "price": 2}) == {
            "name": "aa",
            "price": 4.0,
        }
        assert [item async for item in client.stream("count", 3)] == [0, 1, 2]
        with pytest.raises(rpc.InvalidParams):
            await client.call("add", "x", 2)


async def test_notify_reaches_all_clients(ws: str) -> None:
    calls = rpc.asgi(ROUTES)
    heard: list[str] = []
    routes = {"news": heard.append}
    async with (
        mounted(calls, ws) as uri,
        rpc.Client(uri, routes) as one,
        rpc.Client(uri, routes) as two,
    ):
        await one.call("add", 1, 2)
        await two.call("add", 1, 2)
        assert len(calls.peers) == 2
        calls.notify("news", "x")
        while len(heard) < 2:
            await asyncio.sleep(0.01)
    while calls.peers:
        await asyncio.sleep(0.01)


async def test_a_server_is_taken_as_it_is(ws: str) -> None:
    server = rpc.Server(ROUTES, wire="msgpack")
    async with (
        mounted(rpc.asgi(server), ws) as uri,
        rpc.Client(uri, wire="msgpack") as client,
    ):
        assert await client.call("add", 1, 2) == 3
        assert len(server.peers) == 1
        (peer,) = server.peers
        assert peer.request.headers["Host"].startswith("127.0.0.1")


@pytest.mark.parametrize(
    ("options", "headers", "status"),
    [
        ({}, {"Origin": "https://elsewhere.test"}, 403),
        ({"authorize": lambda connection, request: False}, {}, 403),
        (
            {"authorize": lambda connection, request: "X-Key" in request.headers},
            {},
            403,
        ),
    ],
)
async def test_clients_are_refused_in_the_opening_handshake(
    ws: str, options: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    async with mounted(rpc.asgi(ROUTES, **options), ws) as uri:
        with pytest.raises(longwire.InvalidStatus) as caught:
            async with connect(uri, additional_headers=headers):
                pass
    assert caught.value.response.status_code == status


async def test_more_clients_than_allowed_are_refused_with_503(ws: str) -> None:
    async with mounted(rpc.asgi(ROUTES, connections=1), ws) as uri, connect(uri):
        with pytest.raises(longwire.InvalidStatus) as caught:
            async with connect(uri):
                pass
    assert caught.value.response.status_code == 503


async def test_a_message_over_the_limit_closes_with_1009(ws: str) -> None:
    async with mounted(rpc.asgi(ROUTES, max_size=100), ws) as uri:
        async with connect(uri) as connection:
            await connection.send("x" * 101)
            with pytest.raises(longwire.ConnectionClosed):
                await connection.recv()
            assert connection.close_code == 1009


async def test_draining_lets_calls_end_and_takes_no_more(ws: str) -> None:
    calls = rpc.asgi(ROUTES)
    async with mounted(calls, ws) as uri, connect(uri) as connection:
        await connection.send('{"jsonrpc": "2.0", "id": 1, "method": "slow"}')
        while not calls.peers:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        draining = asyncio.create_task(calls.drain())
        assert '"done"' in str(await connection.recv())
        with pytest.raises(longwire.ConnectionClosedOK):
            await connection.recv()
        assert connection.close_code == 1001
        await draining
        with pytest.raises(longwire.InvalidStatus) as caught:
            async with connect(uri):
                pass
        assert caught.value.response.status_code == 503


async def test_a_client_that_takes_nothing_is_given_up() -> None:
    calls = rpc.asgi(ROUTES)
    async with mounted(calls, "websockets-sansio") as uri:
        connection = await connect(uri, max_queue=1, compression=None)
        while not calls.peers:
            await asyncio.sleep(0.01)
        (peer,) = calls.peers
        connection.transport.pause_reading()
        for _ in range(200):
            calls.notify("news", "x" * 100_000)
            await asyncio.sleep(0)
        while calls.peers:
            await asyncio.sleep(0.01)
        report = peer.close_report
        assert report is not None
        assert report.cause is longwire.Cause.LIMIT
        connection.transport.abort()


async def test_plain_http_is_told_what_the_address_is_for() -> None:
    async with serving(rpc.asgi(ROUTES)) as uvicorn_:
        reader, writer = await asyncio.open_connection("127.0.0.1", uvicorn_.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b"WebSocket" in answer


async def test_it_is_an_application_of_its_own_with_a_lifespan() -> None:
    async with serving(rpc.asgi(ROUTES), lifespan="on") as uvicorn_:
        async with rpc.Client(uvicorn_.uri) as client:
            assert await client.call("add", 1, 2) == 3


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: rpc.asgi(rpc.Server({}), wire="msgpack"), "give Server that"),
        (lambda: rpc.asgi({}, max_size=0), "the least allowed is 1"),
        (lambda: rpc.asgi({}, connections="x"), "connections must be an int"),
    ],
)
def test_mistakes_are_told(call: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        call()


async def test_it_runs_on_hypercorn(tmp_path: Path) -> None:
    pytest.importorskip("hypercorn")
    (tmp_path / "program.py").write_text(
        "from longwire import rpc\n"
        "def add(a: int, b: int) -> int:\n    return a + b\n"
        "app = rpc.asgi({'add': add})\n"
    )
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "hypercorn", "program:app"),
            *("--bind", f"127.0.0.1:{port}"),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 25
        while True:
            with contextlib.suppress(OSError):
                connection = await connect(f"ws://127.0.0.1:{port}/")
                break
            assert process.poll() is None
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        async with connection, rpc.Peer(connection) as peer:
            assert await peer.call("add", 1, 2) == 3
    finally:
        process.terminate()
        process.wait()
