"""The programs of docs/howto/asgi.md, under uvicorn as the page has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import longwire
from longwire import connect, rpc
from tests.asgi.serving import program
from tests.docs.programs import EXAMPLES, until_listening
from tests.docs.programs import program as run_file

pytestmark = pytest.mark.once

pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    return tmp_path


async def test_the_chat_tells_everybody(folder: Path) -> None:
    text = (EXAMPLES / "asgi" / "chat_fastapi.py").read_text()
    with program(folder, text) as running:
        async with (
            connect(f"{running.uri}/chat/ann") as ann,
            connect(f"{running.uri}/chat/bob") as bob,
        ):
            await ann.send("hello")
            assert await ann.recv() == "ann: hello"
            await bob.send("hi")
            assert await bob.recv() in ("ann: hello", "bob: hi")
            assert await ann.recv() == "bob: hi"


async def test_settings_of_longwire_count() -> None:
    with run_file(EXAMPLES / "asgi" / "settings.py") as running:
        await until_listening(8765, running)
        async with connect("ws://localhost:8765/") as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
            await ws.send("x" * 65537)
            with pytest.raises(longwire.ConnectionClosedError):
                await ws.recv()
            assert ws.close_code == 1009


async def test_calls_and_pages_are_served_together(folder: Path) -> None:
    text = (EXAMPLES / "asgi" / "calls_fastapi.py").read_text()
    heard: asyncio.Queue[str] = asyncio.Queue()
    routes = {"ordered": heard.put_nowait}
    with program(folder, text) as running:
        async with rpc.Client(f"{running.uri}/rpc/", routes) as client:
            assert await client.call("total", {"item": "tea", "count": 2}) == "2 x tea"
            body = b'{"item": "tea"}'
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(
                b"POST /orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                b"Content-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            answer = await reader.read()
            writer.close()
            assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"told": 1}
            assert await heard.get() == "tea"
