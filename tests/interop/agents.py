"""Other people's WebSocket libraries, each taught to do as the tests tell it.

An agent sends every message back as it came. Text that begins with "!" is a command:

    !close CODE REASON...      close so; code "none" for a close frame without one
    !fragments COUNT SIZE      send one binary message in COUNT fragments of SIZE bytes
    !ping DATA                 ping; when the pong is there, send "pong DATA"
    !about                     send JSON: the subprotocol and the extensions agreed on

So one set of tests drives all of them, as server and as client.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from tests.support.certificates import Certificates
from tests.support.needs import needs

Closed = tuple[int | None, str]
LARGE = 64 << 20


@dataclasses.dataclass
class Terms:
    """How a connection is to be: what both sides are told before it opens."""

    compression: bool = True
    tls: Certificates | None = None
    unix: Path | None = None
    subprotocols: tuple[str, ...] = ()

    def uri(self, port: int) -> str:
        """Return the URI of a server at ``port``, or of the Unix socket."""
        scheme = "ws" if self.tls is None else "wss"
        return (
            f"{scheme}://localhost/" if self.unix else f"{scheme}://localhost:{port}/"
        )


class Agent(Protocol):
    """A library of others, in either role."""

    cannot: frozenset[str]
    """Features its library does not have."""
    closed: asyncio.Queue[Closed]
    """What it saw of each connection's end: close code and reason."""

    def serve(self, terms: Terms) -> contextlib.AbstractAsyncContextManager[int]:
        """Serve; yield the port."""

    def visit(
        self, terms: Terms, port: int
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """Connect to the server at ``port``."""


def command(message: Any) -> list[str] | None:
    """Return the words of a command, None if the message is none."""
    if isinstance(message, str) and message.startswith("!"):
        return message.split(" ")
    return None


def pieces(words: list[str]) -> list[bytes]:
    return [bytes([at % 256]) * int(words[2]) for at in range(int(words[1]))]


class Task:
    """Runs an agent's connection in the background, and ends it with the test."""

    def __init__(self, work: Any) -> None:
        self._task = asyncio.create_task(work)

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *exc_info: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


class WebsocketsAsyncio:
    """PyPI's websockets, its asyncio API."""

    cannot = frozenset[str]()

    def __init__(self) -> None:
        needs("websockets")
        self.closed: asyncio.Queue[Closed] = asyncio.Queue()

    def _common(self, terms: Terms) -> dict[str, Any]:
        return {
            "compression": "deflate" if terms.compression else None,
            "subprotocols": terms.subprotocols or None,
            "max_size": None,
        }

    @contextlib.asynccontextmanager
    async def serve(self, terms: Terms) -> AsyncIterator[int]:
        from websockets.asyncio.server import serve, unix_serve

        options = self._common(terms)
        options["ssl"] = terms.tls and terms.tls.server
        if terms.unix:
            async with unix_serve(self._attend, str(terms.unix), **options):
                yield 0
        else:
            async with serve(self._attend, "127.0.0.1", 0, **options) as server:
                yield server.sockets[0].getsockname()[1]

    @contextlib.asynccontextmanager
    async def visit(self, terms: Terms, port: int) -> AsyncIterator[None]:
        from websockets.asyncio.client import connect, unix_connect

        options = self._common(terms)
        if terms.tls:
            options["ssl"] = terms.tls.client
        if terms.unix:
            ws = await unix_connect(str(terms.unix), uri=terms.uri(0), **options)
        else:
            ws = await connect(terms.uri(port), proxy=None, **options)
        async with Task(self._attend(ws)):
            yield

    async def _attend(self, ws: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                message = await ws.recv()
                words = command(message)
                if words is None:
                    await ws.send(message)
                else:
                    await self._obey(ws, words)
        except ConnectionClosed:
            pass  # the test ended it
        self.closed.put_nowait((ws.close_code, ws.close_reason))

    async def _obey(self, ws: Any, words: list[str]) -> None:
        if words[0] == "!close":
            code = None if words[1] == "none" else int(words[1])
            if code is None:
                # Its close() has no way to send an empty close frame.
                ws.protocol.send_close()
                ws.transport.write(b"".join(ws.protocol.data_to_send()))
                await ws.wait_closed()
            else:
                await ws.close(code, " ".join(words[2:]))
        elif words[0] == "!fragments":
            await ws.send(pieces(words))
        elif words[0] == "!ping":
            pong = await ws.ping(words[1])
            await pong
            await ws.send(f"pong {words[1]}")
        elif words[0] == "!about":
            names = ",".join(extension.name for extension in ws.protocol.extensions)
            about = {"subprotocol": ws.subprotocol, "extensions": names}
            await ws.send(json.dumps(about))


class WebsocketsSync:
    """PyPI's websockets, its threading API.

    Over TLS it reads and writes one SSL object in two threads, which CPython did not
    guard for long: about one connection in two hundred breaks, against its own server
    too. So that is left out.
    """

    cannot = frozenset({"empty close", "tls"})

    def __init__(self) -> None:
        needs("websockets")
        self.closed: asyncio.Queue[Closed] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def _common(self, terms: Terms) -> dict[str, Any]:
        return {
            "compression": "deflate" if terms.compression else None,
            "subprotocols": terms.subprotocols or None,
            "max_size": None,
        }

    @contextlib.asynccontextmanager
    async def serve(self, terms: Terms) -> AsyncIterator[int]:
        from websockets.sync.server import serve, unix_serve

        options = self._common(terms)
        options["ssl"] = terms.tls and terms.tls.server
        if terms.unix:
            server = unix_serve(self._attend, str(terms.unix), **options)
        else:
            server = serve(self._attend, "127.0.0.1", 0, **options)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield 0 if terms.unix else server.socket.getsockname()[1]
        finally:
            server.shutdown()
            await asyncio.to_thread(thread.join)

    @contextlib.asynccontextmanager
    async def visit(self, terms: Terms, port: int) -> AsyncIterator[None]:
        from websockets.sync.client import connect, unix_connect

        options = self._common(terms)
        if terms.tls:
            options["ssl"] = terms.tls.client
        connect_to = connect if not terms.unix else unix_connect
        where: Any = terms.uri(port)
        if terms.unix:
            where, options["uri"] = str(terms.unix), where
        else:
            options["proxy"] = None
        opened: list[Any] = []

        def run() -> None:
            with connect_to(where, **options) as ws:
                opened.append(ws)
                self._attend(ws)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            for ws in opened:
                await asyncio.to_thread(ws.close)
            await asyncio.to_thread(thread.join)

    def _attend(self, ws: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                message = ws.recv()
                words = command(message)
                if words is None:
                    ws.send(message)
                else:
                    self._obey(ws, words)
        except ConnectionClosed:
            pass  # the test ended it
        end = (ws.close_code, ws.close_reason)
        self._loop.call_soon_threadsafe(self.closed.put_nowait, end)

    def _obey(self, ws: Any, words: list[str]) -> None:
        if words[0] == "!close":
            ws.close(int(words[1]), " ".join(words[2:]))
        elif words[0] == "!fragments":
            ws.send(pieces(words))
        elif words[0] == "!ping":
            ws.ping(words[1]).wait()
            ws.send(f"pong {words[1]}")
        elif words[0] == "!about":
            names = ",".join(extension.name for extension in ws.protocol.extensions)
            about = {"subprotocol": ws.subprotocol, "extensions": names}
            ws.send(json.dumps(about))


class Aiohttp:
    """PyPI's aiohttp. It cannot send fragments, nor close without a code."""

    cannot = frozenset({"fragments", "empty close"})

    def __init__(self) -> None:
        needs("aiohttp")
        self.closed: asyncio.Queue[Closed] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def serve(self, terms: Terms) -> AsyncIterator[int]:
        from aiohttp import web

        async def handle(request: web.Request) -> web.WebSocketResponse:
            ws = web.WebSocketResponse(
                compress=terms.compression,
                max_msg_size=0,
                autoping=False,
                protocols=terms.subprotocols,
            )
            await ws.prepare(request)
            await self._attend(ws)
            return ws

        app = web.Application()
        app.router.add_get("/", handle)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        tls = terms.tls.server if terms.tls else None
        site: web.BaseSite
        if terms.unix:
            site = web.UnixSite(runner, str(terms.unix), ssl_context=tls)
        else:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        try:
            yield 0 if terms.unix else runner.addresses[0][1]
        finally:
            await runner.cleanup()

    @contextlib.asynccontextmanager
    async def visit(self, terms: Terms, port: int) -> AsyncIterator[None]:
        import aiohttp

        connector: aiohttp.BaseConnector
        if terms.unix:
            connector = aiohttp.UnixConnector(str(terms.unix))
        else:
            connector = aiohttp.TCPConnector()
        async with aiohttp.ClientSession(connector=connector) as session:
            ws = await session.ws_connect(
                terms.uri(port).replace("ws", "http", 1),
                compress=15 if terms.compression else 0,
                max_msg_size=0,
                autoping=False,
                protocols=terms.subprotocols,
                ssl=terms.tls.client if terms.tls else True,
            )
            async with Task(self._attend(ws)):
                yield
            await ws.close()
        await asyncio.sleep(0)  # its connector closes in the next turn

    async def _attend(self, ws: Any) -> None:
        from aiohttp import WSMsgType

        end: Closed = (None, "")
        while True:
            message = await ws.receive()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                words = command(message.data)
                if words is not None:
                    await self._obey(ws, words)
                elif message.type is WSMsgType.TEXT:
                    await ws.send_str(message.data)
                else:
                    await ws.send_bytes(message.data)
            elif message.type is WSMsgType.PING:
                await ws.pong(message.data)
            elif message.type is WSMsgType.PONG:
                await ws.send_str(f"pong {bytes(message.data).decode()}")
            else:
                if message.type is WSMsgType.CLOSE:
                    end = (message.data, message.extra)
                break
        self.closed.put_nowait((end[0] or ws.close_code, end[1]))

    async def _obey(self, ws: Any, words: list[str]) -> None:
        if words[0] == "!close":
            await ws.close(code=int(words[1]), message=" ".join(words[2:]).encode())
        elif words[0] == "!ping":
            await ws.ping(words[1].encode())
        elif words[0] == "!about":
            deflate = "permessage-deflate" if ws.compress else ""
            about = {"subprotocol": ws.ws_protocol if hasattr(ws, "ws_protocol")
                     else ws.protocol, "extensions": deflate}  # fmt: skip
            await ws.send_str(json.dumps(about))


class NodeWs:
    """npm's ws, in a Node of its own; see node/agent.js."""

    cannot = frozenset[str]()

    def __init__(self) -> None:
        self._modules = needs("ws")
        self.closed: asyncio.Queue[Closed] = asyncio.Queue()
        self._port: asyncio.Queue[int] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def _run(self, terms: Terms, **options: Any) -> AsyncIterator[None]:
        options.update(
            compression=terms.compression,
            subprotocols=terms.subprotocols,
            unix=str(terms.unix) if terms.unix else None,
        )
        process = await asyncio.create_subprocess_exec(
            needs("node"),
            str(Path(__file__).parent / "node" / "agent.js"),
            json.dumps(options),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "NODE_PATH": self._modules},
        )
        try:
            async with Task(self._listen(process)):
                yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            said = json.loads(line)
            if "listening" in said:
                self._port.put_nowait(said["listening"])
            if "closed" in said:
                self.closed.put_nowait(tuple(said["closed"]))

    @contextlib.asynccontextmanager
    async def serve(self, terms: Terms) -> AsyncIterator[int]:
        files = {}
        if terms.tls:
            files = {"cert": str(terms.tls.cert_file), "key": str(terms.tls.key_file)}
        async with self._run(terms, role="server", **files):
            yield await self._port.get()

    @contextlib.asynccontextmanager
    async def visit(self, terms: Terms, port: int) -> AsyncIterator[None]:
        uri = terms.uri(port)
        if terms.unix:
            uri = f"ws+unix:{terms.unix}:/"
        files = {"ca": str(terms.tls.ca_file)} if terms.tls else {}
        async with self._run(terms, role="client", uri=uri, **files):
            yield


AGENTS: dict[str, type[Any]] = {
    "websockets": WebsocketsAsyncio,
    "websockets-sync": WebsocketsSync,
    "aiohttp": Aiohttp,
    "ws": NodeWs,
}
