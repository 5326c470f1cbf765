"""The programs of the pages Patterns and Beside a web framework, with real clients."""

from __future__ import annotations

import asyncio
import json
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import longwire
from longwire.testing import serving
from tests.docs.programs import ROOT, program, until_listening
from tests.support.ports import free_port

pytestmark = pytest.mark.once

HOWTO = ROOT / "docs" / "howto"
PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def programs(page: str) -> dict[str, list[str]]:
    """The programs of a page by the heading above them."""
    text = (HOWTO / page).read_text("utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {
        title: PROGRAM.findall(body)
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


PATTERNS = programs("patterns.md")


def load(title: str, number: int = 0, **names: Any) -> types.SimpleNamespace:
    """Run a program of the page with what it takes as given."""
    namespace: dict[str, Any] = dict(names)
    exec(compile(PATTERNS[title][number], title, "exec"), namespace)
    return types.SimpleNamespace(**namespace)


def prices() -> Callable[[], Any]:
    async def next_price() -> str:
        await asyncio.sleep(0)
        return "1.5"

    return next_price


async def test_what_is_received_is_stored() -> None:
    stored: asyncio.Queue[str] = asyncio.Queue()
    page = load("Receive only", store=stored.put)
    async with serving(page.handler) as server, longwire.connect(server.uri) as ws:
        await ws.send("a")
        assert await stored.get() == "a"


async def test_what_is_sent_only_ends_with_the_client() -> None:
    page = load("Send only", next_price=prices())
    async with serving(page.handler) as server, longwire.connect(server.uri) as ws:
        assert await ws.recv() == "1.5"


@pytest.mark.parametrize("ended_by", ["client", "cut", "server"])
async def test_sending_and_receiving_end_together(ended_by: str) -> None:
    stored: asyncio.Queue[str] = asyncio.Queue()
    begun, ended = asyncio.Event(), asyncio.Event()

    async def never() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    page = load("Send and receive at once", store=stored.put, next_price=never)
    async with serving(page.handler) as server:
        async with longwire.connect(server.uri) as ws:
            await ws.send("a")
            assert await stored.get() == "a"
            await begun.wait()
            if ended_by == "cut":
                ws.transport.abort()
            elif ended_by == "server":
                server.server.close()
                await server.server.wait_closed()
        await ended.wait()


async def test_answers_find_their_questions() -> None:
    page = load("Ask and answer")
    answers: list[Any] = []

    async def handler(websocket: Any) -> None:
        asking = page.Asking(websocket)
        receiving = asyncio.create_task(asking.receive())
        answers.extend(await asyncio.gather(*map(asking.ask, ("a", "b"))))
        await websocket.close()
        await receiving

    async with serving(handler) as server, longwire.connect(server.uri) as ws:
        asked = [json.loads(await ws.recv()) for _ in range(2)]
        for question in reversed(asked):
            answer = {"id": question["id"], "value": question["ask"].upper()}
            await ws.send(json.dumps(answer))
        await ws.wait_closed()
    assert answers == ["A", "B"]


async def test_all_connections_of_a_user_are_closed() -> None:
    stored: asyncio.Queue[str] = asyncio.Queue()
    page = load("Connections of a user", store=stored.put)
    auth = longwire.basic_auth("x", [("ann", "1"), ("bob", "1")])
    async with serving(page.handler, process_request=auth) as server:
        rest = server.uri.removeprefix("ws://")
        async with (
            longwire.connect(f"ws://ann:1@{rest}") as one,
            longwire.connect(f"ws://ann:1@{rest}") as two,
            longwire.connect(f"ws://bob:1@{rest}") as other,
        ):
            for ws in (one, two, other):
                await ws.send("x")
                await stored.get()
            await page.log_out("ann")
            await asyncio.gather(one.wait_closed(), two.wait_closed())
            assert one.close_code == two.close_code == 3000
            assert other.close_code is None
    assert page.connections == {}


@pytest.mark.parametrize("number", [1, 2])
async def test_a_user_has_a_place_on_the_connection(number: int) -> None:
    async def load_user(name: str) -> str:
        return f"user {name}"

    keywords: dict[str, Any] = {}
    text = PATTERNS["Connections of a user"][number]
    namespace: dict[str, Any] = {
        "load_user": load_user,
        "User": str,
        "serve": lambda *given, **more: keywords.update(more),
    }
    exec(text.replace("ServerConnection, serve", "ServerConnection"), namespace)
    found: asyncio.Queue[Any] = asyncio.Queue()

    async def handler(ws: Any) -> None:
        await namespace["handler"](ws)
        await found.put(ws.data if ws.data is not None else ws.user)

    keywords["process_request"] = longwire.basic_auth("x", ("ann", "1"))
    async with serving(handler, **keywords) as server:
        async with longwire.connect(server.uri.replace("ws://", "ws://ann:1@")):
            assert await found.get() == "user ann"


async def test_rooms_are_apart() -> None:
    page = load("Rooms")
    async with serving(page.handler) as server:
        async with (
            longwire.connect(f"{server.uri}tea?x=1") as one,
            longwire.connect(f"{server.uri}tea") as two,
            longwire.connect(f"{server.uri}coffee") as other,
        ):
            await one.send("hi")
            assert await one.recv() == "hi"
            await two.send("ho")
            assert await one.recv() == "ho"
            await other.send("alone")
            assert await other.recv() == "alone"
    assert page.rooms == {}


async def test_work_that_takes_long_leaves_the_loop_alone() -> None:
    page = load("Work that takes long", compute=lambda message: message.upper())
    async with serving(page.handler) as server, longwire.connect(server.uri) as ws:
        await ws.send("a")
        assert await ws.recv() == "A"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("title", ["aiohttp", "Flask and other WSGI applications"])
async def test_a_framework_and_longwire_share_a_process(
    title: str, tmp_path: Path
) -> None:
    if title == "aiohttp":
        pytest.importorskip("aiohttp")
    pages, sockets = free_port(), free_port()
    (text,) = programs("beside.md")[title]
    file = tmp_path / "program.py"
    file.write_text(text.replace("8080", str(pages)).replace("8765", str(sockets)))
    with program(file) as running:
        await until_listening(pages, running)
        await until_listening(sockets, running)
        async with longwire.connect(f"ws://localhost:{sockets}/") as ws:
            told = asyncio.create_task(ws.recv())
            while not told.done():  # the handler may not have begun
                assert b"told" in await post(pages)
                await asyncio.wait({told}, timeout=0.2)
            assert told.result() in ("ordered: tea", "somebody looks at /orders")


async def post(port: int) -> bytes:
    body = b'{"item": "tea"}'
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(
        b"POST /orders HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    answer = await reader.read()
    writer.close()
    return answer
