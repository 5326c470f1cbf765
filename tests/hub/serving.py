"""A hub behind a real server, and clients that speak to it by hand or by HubClient."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import longwire
from longwire import rpc
from longwire.hub import Hub, HubClient


class ByHand:
    """A client that writes its frames itself, as wscat would."""

    def __init__(self, websocket: Any) -> None:
        self.websocket = websocket
        self.pushes: asyncio.Queue[Any] = asyncio.Queue()
        self._ids = itertools.count(1)
        self.log: list[Any] = []
        """All that came, in order: ("answer", id), or (method, params) of a push."""

    async def send(self, method: str, params: Any, **more: Any) -> int:
        id = next(self._ids)
        frame = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
        await self.websocket.send(json.dumps({**frame, **more}))
        return id

    async def frame(self) -> Any:
        """The next frame, but for those of the protocol itself, as they came."""
        async with asyncio.timeout(10):
            while True:
                frame = await self.websocket.recv()
                text = frame if isinstance(frame, str) else frame.decode("latin-1")
                if "$/" not in text[:80]:
                    return frame

    async def call(self, method: str, **params: Any) -> Any:
        """The result of a call, or its error; pushes that come first are kept."""
        id = await self.send(method, params)
        async with asyncio.timeout(10):
            while True:
                frame = json.loads(await self.frame())
                self._note(frame)
                if frame.get("id") == id:
                    return frame.get("result", frame.get("error"))

    async def push(self) -> Any:
        """The next notification: (method, params)."""
        async with asyncio.timeout(10):
            while self.pushes.empty():
                self._note(json.loads(await self.frame()))
            return self.pushes.get_nowait()

    async def pushes_of(self, method: str) -> Any:
        """The params of the next notification of that name; others are passed over."""
        while True:
            found, params = await self.push()
            if found == method:
                return params

    def _note(self, frame: Any) -> None:
        if "method" in frame:
            self.log.append((frame["method"], frame["params"]))
            self.pushes.put_nowait((frame["method"], frame["params"]))
        else:
            self.log.append(("answer", frame.get("id")))


class Served:
    """A hub with a server and the clients made for a test."""

    def __init__(self, hub: Hub, server: rpc.Server, listening: Any) -> None:
        self.hub = hub
        self.server = server
        self.listening = listening
        self.port = listening.sockets[0].getsockname()[1]
        self.uri = f"ws://localhost:{self.port}/"
        self.stack = contextlib.AsyncExitStack()

    async def by_hand(self, path: str = "", **options: Any) -> ByHand:
        options.setdefault("subprotocols", ["longwire.jsonrpc"])
        connecting = longwire.connect(self.uri + path, **options)
        return ByHand(await self.stack.enter_async_context(connecting))

    async def client(self, path: str = "", **options: Any) -> HubClient:
        client = rpc.Client(self.uri + path, **options)
        await self.stack.enter_async_context(client)
        return await self.stack.enter_async_context(HubClient(client))


@contextlib.asynccontextmanager
async def serving(
    declare: Callable[[Hub], None] | None = None,
    *,
    options: dict[str, Any] | None = None,
    serve: dict[str, Any] | None = None,
    rpc_options: dict[str, Any] | None = None,
    port: int = 0,
    **hub_options: Any,
) -> AsyncIterator[Served]:
    """A hub that has topics ``chat:{room}``, with ``options``, or what is declared."""
    hub = Hub(**hub_options)
    if declare is None:
        wanted = {"subscribe": "anyone", "publish": "anyone", "history": 50}
        hub.topic("chat:{room}", **{**wanted, **(options or {})})
    else:
        declare(hub)
    server = rpc.Server(**(rpc_options or {}))
    hub.install(server)
    async with hub, server.serve("localhost", port, **(serve or {})) as listening:
        await hub.ready()
        served = Served(hub, server, listening)
        async with served.stack:
            yield served


def user_of_path(peer: Any) -> Any:
    """For ``Hub(identify=)``: who connects to /ann is ann, to / nobody."""
    from longwire.hub import User

    name = peer.request.path.strip("/")
    return User(name) if name else None


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
