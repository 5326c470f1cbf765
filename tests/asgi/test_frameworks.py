"""Programs of frameworks on longwire: Starlette, FastAPI, Django Channels.

Each is a process of uvicorn with ``--ws longwire.asgi:Protocol``, on both engines, with
sockets between. What they do is what the frameworks' documentation has WebSockets do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import longwire
from longwire import connect
from tests.asgi.serving import Program, program

FASTAPI = """
from typing import Annotated

from fastapi import (
    Cookie, Depends, FastAPI, Query, WebSocket, WebSocketDisconnect,
    WebSocketException, status,
)
from pydantic import BaseModel

app = FastAPI()


@app.get("/plain")
def plain():
    return {"http": "works"}


@app.websocket("/ws")
async def texts(websocket: WebSocket):
    await websocket.accept()
    while True:
        data = await websocket.receive_text()
        await websocket.send_text(f"Message text was: {data}")


async def cookie_or_token(
    websocket: WebSocket,
    session: Annotated[str | None, Cookie()] = None,
    token: Annotated[str | None, Query()] = None,
):
    if session is None and token is None:
        raise WebSocketException(code=status.WS_1008_POLICY_VIOLATION)
    return session or token


@app.websocket("/items/{item_id}/ws")
async def items(
    *,
    websocket: WebSocket,
    item_id: str,
    q: int | None = None,
    who: Annotated[str, Depends(cookie_or_token)],
):
    await websocket.accept()
    while True:
        data = await websocket.receive_text()
        await websocket.send_text(f"{who} {item_id} {q} {data}")


class Manager:
    def __init__(self):
        self.active: list[WebSocket] = []

    async def connect(self, websocket: WebSocket):
        await websocket.accept()
        self.active.append(websocket)

    async def broadcast(self, message: str):
        for connection in self.active:
            await connection.send_text(message)


manager = Manager()


@app.websocket("/rooms/{client_id}")
async def rooms(websocket: WebSocket, client_id: int):
    await manager.connect(websocket)
    try:
        while True:
            data = await websocket.receive_text()
            await manager.broadcast(f"Client #{client_id} says: {data}")
    except WebSocketDisconnect as gone:
        manager.active.remove(websocket)
        await manager.broadcast(f"Client #{client_id} left: {gone.code}")


class Point(BaseModel):
    x: int
    y: int


@app.websocket("/json")
async def points(websocket: WebSocket):
    await websocket.accept(subprotocol="points", headers=[(b"x-there", b"yes")])
    async for data in websocket.iter_json():
        point = Point(**data)
        await websocket.send_json(point.model_dump())
        await websocket.send_bytes(bytes([point.x, point.y]))
"""

STARLETTE = """
import contextlib

from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute


class Echo(WebSocketEndpoint):
    encoding = "bytes"

    async def on_connect(self, websocket):
        await websocket.accept()

    async def on_receive(self, websocket, data):
        await websocket.send_bytes(b"Message: " + data)

    async def on_disconnect(self, websocket, close_code):
        print("closed with", close_code, flush=True)


async def deny(websocket):
    response = JSONResponse({"why": "members only"}, status_code=402)
    await websocket.send_denial_response(response)


async def state(websocket):
    await websocket.accept()
    await websocket.send_json([websocket.state.name, websocket.url.path])
    await websocket.close(code=4000, reason="done")


@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"name": "of the lifespan"}


app = Starlette(
    routes=[
        WebSocketRoute("/echo", Echo),
        WebSocketRoute("/deny", deny),
        WebSocketRoute("/state", state),
    ],
    lifespan=lifespan,
)
"""

CHANNELS = """
import json

import django
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import re_path

settings.configure(
    SECRET_KEY="x",
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()


class ChatConsumer(AsyncWebsocketConsumer):
    async def connect(self):
        self.room = "chat_" + self.scope["url_route"]["kwargs"]["room_name"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, close_code):
        await self.channel_layer.group_discard(self.room, self.channel_name)
        print("left with", close_code, flush=True)

    async def receive(self, text_data):
        message = json.loads(text_data)["message"]
        await self.channel_layer.group_send(
            self.room, {"type": "chat.message", "message": message}
        )

    async def chat_message(self, event):
        await self.send(text_data=json.dumps({"message": event["message"]}))


class EchoConsumer(WebsocketConsumer):
    def connect(self):
        if b"token=right" not in self.scope["query_string"]:
            self.close()
            return
        self.accept()

    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=text_data, bytes_data=bytes_data)


app = ProtocolTypeRouter({"websocket": URLRouter([
    re_path(r"ws/chat/(?P<room_name>\\w+)/$", ChatConsumer.as_asgi()),
    re_path(r"ws/echo/$", EchoConsumer.as_asgi()),
])})
"""

pytestmark = pytest.mark.timeout(60)


def served(tmp_path_factory: pytest.TempPathFactory, engine: str, name: str, text: str):  # type: ignore[no-untyped-def]
    pytest.importorskip("uvicorn")
    pytest.importorskip(name)
    folder: Path = tmp_path_factory.mktemp(name)
    return program(folder, text, LONGWIRE_ENGINE=engine)


@pytest.fixture(scope="module", params=["native", "transport"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fastapi(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with served(tmp_path_factory, engine, "fastapi", FASTAPI) as running:
        yield running


@pytest.fixture(scope="module")
def starlette(
    engine: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    with served(tmp_path_factory, engine, "starlette", STARLETTE) as running:
        yield running


@pytest.fixture(scope="module")
def channels(
    engine: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    with served(tmp_path_factory, engine, "channels", CHANNELS) as running:
        yield running


# --- FastAPI ---------------------------------------------------------------------


async def test_fastapi_answers_texts(fastapi: Program) -> None:
    async with connect(f"{fastapi.uri}/ws") as ws:
        for word in ("Hello", "\u263a"):
            await ws.send(word)
            assert await ws.recv() == f"Message text was: {word}"


async def test_fastapi_dependencies_see_cookie_query_and_path(fastapi: Program) -> None:
    cookie = {"Cookie": "session=me"}
    uri = f"{fastapi.uri}/items/7/ws"
    async with connect(f"{uri}?q=3", additional_headers=cookie) as ws:
        await ws.send("x")
        assert await ws.recv() == "me 7 3 x"
    async with connect(f"{uri}?token=you") as ws:
        await ws.send("x")
        assert await ws.recv() == "you 7 None x"


@pytest.mark.parametrize("path", ["items/7/ws", "nowhere"])
async def test_fastapi_refuses_with_403(fastapi: Program, path: str) -> None:
    with pytest.raises(longwire.InvalidStatus) as caught:
        async with connect(f"{fastapi.uri}/{path}"):
            pass
    assert caught.value.response.status_code == 403


async def test_fastapi_manager_tells_all_who_says_and_who_leaves(
    fastapi: Program,
) -> None:
    async with connect(f"{fastapi.uri}/rooms/1") as one:
        async with connect(f"{fastapi.uri}/rooms/2") as two:
            await two.send("hi")
            assert await two.recv() == "Client #2 says: hi"
            assert await one.recv() == "Client #2 says: hi"
            await two.close(4100)
        assert await one.recv() == "Client #2 left: 4100"


async def test_fastapi_speaks_json_and_bytes(fastapi: Program) -> None:
    async with connect(f"{fastapi.uri}/json", subprotocols=["points"]) as ws:
        assert ws.subprotocol == "points"
        assert ws.response is not None
        assert ws.response.headers["x-there"] == "yes"
        await ws.send('{"x": 1, "y": 2}')
        assert json.loads(await ws.recv()) == {"x": 1, "y": 2}
        assert await ws.recv() == b"\x01\x02"


# --- Starlette -------------------------------------------------------------------


async def test_starlette_endpoint_learns_of_the_close_code(starlette: Program) -> None:
    async with connect(f"{starlette.uri}/echo") as ws:
        await ws.send(b"x")
        assert await ws.recv() == b"Message: x"
        await ws.close(4200)
    starlette.wait_for("closed with 4200")
    starlette.wait_for('"WebSocket /echo" [accepted]')


async def test_starlette_denies_with_a_response(starlette: Program) -> None:
    with pytest.raises(longwire.InvalidStatus) as caught:
        async with connect(f"{starlette.uri}/deny"):
            pass
    assert caught.value.response.status_code == 402
    assert json.loads(caught.value.response.body) == {"why": "members only"}


async def test_starlette_has_the_state_of_its_lifespan(starlette: Program) -> None:
    async with connect(f"{starlette.uri}/state") as ws:
        assert json.loads(await ws.recv()) == ["of the lifespan", "/state"]
        with pytest.raises(longwire.ConnectionClosed):
            await ws.recv()
        assert (ws.close_code, ws.close_reason) == (4000, "done")


# --- Channels --------------------------------------------------------------------


async def test_channels_sends_to_a_room(channels: Program) -> None:
    uri = f"{channels.uri}/ws/chat/lobby/"
    async with connect(uri) as one, connect(uri) as two:
        await one.send('{"message": "hello"}')
        assert json.loads(await two.recv()) == {"message": "hello"}
        assert json.loads(await one.recv()) == {"message": "hello"}
    channels.wait_for("left with 1000")


async def test_channels_runs_a_consumer_in_threads(channels: Program) -> None:
    async with connect(f"{channels.uri}/ws/echo/?token=right") as ws:
        for message in ("text", b"\x00"):
            await ws.send(message)
            assert await ws.recv() == message


async def test_channels_refuses_with_403(channels: Program) -> None:
    with pytest.raises(longwire.InvalidStatus) as caught:
        async with connect(f"{channels.uri}/ws/echo/?token=wrong"):
            pass
    assert caught.value.response.status_code == 403


# --- the process -----------------------------------------------------------------


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_signal_ends_the_server_and_its_clients(
    tmp_path: Path, loop: str
) -> None:
    pytest.importorskip("uvicorn")
    pytest.importorskip(loop)
    with program(tmp_path, FASTAPI, "--loop", loop) as running:
        async with connect(f"{running.uri}/ws") as ws:
            await ws.send("x")
            await ws.recv()
            running.process.terminate()
            with pytest.raises(longwire.ConnectionClosed):
                await ws.recv()
            assert ws.close_code == 1012
        assert running.process.wait(20) in (0, -15)
        assert (
            "Traceback" not in running.output or "WebSocketDisconnect" in running.output
        )


async def test_two_workers_and_a_unix_socket(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    path = tmp_path / "socket"
    with program(tmp_path, FASTAPI, "--uds", str(path), "--workers", "2") as running:
        running.wait_for("Application startup complete")
        async with longwire.unix_connect(str(path), uri="ws://localhost/ws") as ws:
            await ws.send("x")
            assert await ws.recv() == "Message text was: x"
        running.end()
