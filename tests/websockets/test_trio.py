"""Programs written for websockets.trio, on that library and on longwire.websockets."""

from __future__ import annotations

import functools
import importlib
import logging

import pytest

trio = pytest.importorskip("trio")

from tests.support.rawpeer import RawPeer, listener  # noqa: E402
from tests.trio_.running import echo, trio_test  # noqa: E402

ROOTS = pytest.mark.parametrize("root", ["websockets", "longwire.websockets"])


def ends(root):
    """Its ``trio.client`` and ``trio.server``."""
    return [importlib.import_module(f"{root}.trio.{n}") for n in ("client", "server")]


async def start(nursery, server, handler=echo, **options):
    """Start a server on a free port; return it and its URI."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    listen = functools.partial(server.serve, handler, listeners=listeners, **options)
    port = listeners[0].socket.getsockname()[1]
    return await nursery.start(listen), f"ws://127.0.0.1:{port}/"


@ROOTS
@trio_test
async def test_messages_pings_and_the_end(root):
    client, server = ends(root)
    async with trio.open_nursery() as nursery:
        listening, uri = await start(nursery, server)
        async with client.connect(uri, proxy=None) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"
            await ws.send(["in ", "pieces"])
            assert [piece async for piece in ws.recv_streaming()]
            pong = await ws.ping()
            await pong.wait()
            assert isinstance(pong, trio.Event)
            assert ws.close_code is None
            await ws.aclose(1000, "bye")
            with pytest.raises(Exception, match=r"\(OK\) bye; then .* \(OK\) bye$"):
                await ws.recv()
        assert (ws.close_code, ws.close_reason) == (1000, "bye")
        assert ws.protocol.state.name == ws.state.name == "CLOSED"
        await listening.aclose()


@ROOTS
@trio_test
async def test_a_server_that_is_closed_says_1001(root):
    client, server = ends(root)
    async with trio.open_nursery() as nursery:
        listening, uri = await start(nursery, server)
        async with client.connect(uri, proxy=None) as ws:
            await ws.send("x")
            await ws.recv()
            assert len(listening.connections) == 1
            await listening.aclose()
            assert [message async for message in ws] == []
        assert ws.close_code == 1001


@ROOTS
@trio_test
async def test_a_lost_connection_is_told_with_its_cause(root):
    client, _ = ends(root)

    def hang_up():
        with RawPeer(sock.accept()[0], client=False) as peer:
            peer.answer()

    with listener() as sock:
        uri = f"ws://127.0.0.1:{sock.getsockname()[1]}/"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, hang_up)
            async with client.connect(uri, proxy=None) as ws:
                with pytest.raises(Exception, match=r"^no close frame") as caught:
                    await ws.recv()
    assert isinstance(caught.value.__cause__, EOFError)


@ROOTS
@trio_test
async def test_a_broadcast_and_a_connection_in_a_nursery(root):
    client, server = ends(root)
    async with trio.open_nursery() as nursery:
        listening, uri = await start(nursery, server)
        async with trio.open_nursery() as inner:
            ws = await client.connect(uri, proxy=None).connect(inner)
            await ws.send("x")
            await ws.recv()
            await server.broadcast(listening.connections, "to all")
            assert await ws.recv() == "to all"
            await ws.aclose()
        await listening.aclose()


@ROOTS
@trio_test
async def test_factories_get_what_is_documented(root):
    client, server = ends(root)
    made = []

    class Ours(client.ClientConnection):
        def __init__(self, nursery, stream, protocol, **keywords):
            made.append((protocol.side.name, set(keywords)))
            super().__init__(nursery, stream, protocol, **keywords)

    class Theirs(server.ServerConnection):
        def __init__(self, nursery, stream, protocol, server, **keywords):
            made.append((protocol.side.name, set(keywords)))
            super().__init__(nursery, stream, protocol, server, **keywords)

    async with trio.open_nursery() as nursery:
        listening, uri = await start(nursery, server, create_connection=Theirs)
        async with client.connect(uri, proxy=None, create_connection=Ours) as ws:
            assert isinstance(ws, Ours)
            await ws.send("x")
            assert await ws.recv() == "x"
        await listening.aclose()

    keywords = {"ping_interval", "ping_timeout", "close_timeout", "max_queue"}
    assert sorted(made) == [("CLIENT", keywords), ("SERVER", keywords)]


@ROOTS
@trio_test
async def test_a_handler_that_fails_is_in_the_log(root, caplog):
    client, server = ends(root)
    caplog.set_level(logging.INFO, "websockets")

    async def handler(ws):
        raise RuntimeError("mine")

    async with trio.open_nursery() as nursery:
        listening, uri = await start(nursery, server, handler)
        async with client.connect(uri, proxy=None) as ws:
            await ws.wait_closed()
        assert ws.close_code == 1011
        await listening.aclose()

    assert "connection handler failed" in caplog.messages
    assert {record.name for record in caplog.records} == {"websockets.server"}
