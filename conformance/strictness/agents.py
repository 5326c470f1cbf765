"""The programs that are tried: echo servers, and clients that send everything back.

Run as ``python -m conformance.strictness.agents LIBRARY server`` it prints the port it
listens at; as ``... LIBRARY client URI PLAN`` it connects to URI once for each
character of PLAN, one after the other, and prints a line for each, "open" or "refused".
Where the character is "s" it offers the subprotocols chat and superchat.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

# What is refused is told by the other side; here it would only be noise.
logging.disable(logging.CRITICAL)

OPEN_TIMEOUT = 5.0
SUBPROTOCOLS = ["chat", "superchat"]


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def websockets_server(module: str) -> None:
    """Serve with websockets, or with longwire, whose API is the same."""
    library = __import__(module, fromlist=["x"])

    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    async with library.serve(echo, "127.0.0.1", 0) as server:
        say(port=server.sockets[0].getsockname()[1])
        await asyncio.Future()


async def websockets_client(module: str, uri: str, plan: str) -> None:
    library = __import__(module, fromlist=["x"])
    for number, kind in enumerate(plan):
        try:
            ws = await library.connect(
                uri,
                subprotocols=SUBPROTOCOLS if kind == "s" else None,
                proxy=None,
                open_timeout=OPEN_TIMEOUT,
                close_timeout=1,
            )
        except Exception as exc:
            say(refused=type(exc).__name__)
            continue
        say(open=number)
        try:
            async for message in ws:
                await ws.send(message)
        except Exception:
            pass  # the other side tells how it ended
        finally:
            await ws.close()


async def aiohttp_server() -> None:
    from aiohttp import web

    async def handle(request: Any) -> Any:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            if message.type == web.WSMsgType.TEXT:
                await ws.send_str(message.data)
            elif message.type == web.WSMsgType.BINARY:
                await ws.send_bytes(message.data)
        return ws

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    say(port=site._server.sockets[0].getsockname()[1])
    await asyncio.Future()


async def aiohttp_client(uri: str, plan: str) -> None:
    import aiohttp

    for number, kind in enumerate(plan):
        async with aiohttp.ClientSession() as session:
            try:
                async with asyncio.timeout(OPEN_TIMEOUT):
                    protocols = SUBPROTOCOLS if kind == "s" else []
                    ws = await session.ws_connect(uri, protocols=protocols, compress=15)
            except Exception as exc:
                say(refused=type(exc).__name__)
                continue
            say(open=number)
            try:
                async for message in ws:
                    if message.type == aiohttp.WSMsgType.TEXT:
                        await ws.send_str(message.data)
                    elif message.type == aiohttp.WSMsgType.BINARY:
                        await ws.send_bytes(message.data)
            except Exception:
                pass  # the other side tells how it ended
            finally:
                await ws.close()


MODULES = {"websockets": "websockets.asyncio.", "longwire": "longwire.asyncio."}


def main(library: str, role: str, *arguments: str) -> None:
    """Be a server or a client of ``library``."""
    if role == "server":
        name = MODULES.get(library)
        work = aiohttp_server() if name is None else websockets_server(f"{name}server")
        asyncio.run(work)
    else:
        name = MODULES.get(library)
        if name is None:
            asyncio.run(aiohttp_client(*arguments))
        else:
            asyncio.run(websockets_client(f"{name}client", *arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
