"""Broadcast: one message to many connections."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.asyncio_.serving import (
    UPGRADE,
    connected,
    echo,
    listen,
    raw,
    until,
    uri_of,
    wait,
)
from websockets.asyncio.client import ClientConnection

import longwire
from longwire import Compression, Limits
from longwire.asyncio.broadcast import broadcast
from longwire.asyncio.client import connect
from longwire.asyncio.server import Server, ServerConnection


@contextlib.asynccontextmanager
async def audience(
    n: int, handler: Any = wait, *, client: Any = None, **kwargs: Any
) -> AsyncIterator[tuple[Server, list[ClientConnection]]]:
    """Yield a server and ``n`` clients that it has open."""
    async with listen(handler, **kwargs) as server:
        clients = [await connected(server, **(client or {})) for _ in range(n)]
        await until(lambda: len(server.connections) == n)
        yield server, clients
        server.close()
        for each in clients:
            await each.wait_closed()


@pytest.mark.parametrize(
    "compression",
    [None, "deflate", "lean", Compression(takeover=False, min_size=0)],
)
async def test_everybody_gets_each_message(compression: Any) -> None:
    messages = ["", "héllo", b"\x00\xff", "x" * 100_000, "héllo", "y" * 300]
    async with audience(3, compression=compression) as (server, clients):
        for message in messages:
            broadcast(server.connections, message)

        for client in clients:
            assert [await client.recv() for _ in messages] == messages


async def test_clients_of_different_forms_get_the_same_message() -> None:
    async with listen(wait) as server:
        clients = [
            await connected(server, compression=compression)
            for compression in (None, "deflate", None, "deflate")
        ]
        await until(lambda: len(server.connections) == 4)

        for n in range(3):
            broadcast(server.connections, f"message {n} " * 50)

        for client in clients:
            for n in range(3):
                assert await client.recv() == f"message {n} " * 50


@pytest.mark.parametrize(
    ("message", "text", "expected"),
    [
        ("hé", None, "hé"),
        ("hé", True, "hé"),
        ("hé", False, b"h\xc3\xa9"),
        (b"h\xc3\xa9", None, b"h\xc3\xa9"),
        (b"h\xc3\xa9", True, "hé"),
        (bytearray(b"ab"), None, b"ab"),
        (memoryview(b"abcd")[::2], True, "ac"),
    ],
)
async def test_text_decides_the_kind(message: Any, text: Any, expected: Any) -> None:
    async with audience(1) as (server, (client,)):
        broadcast(server.connections, message, text=text)

        assert await client.recv() == expected


@pytest.mark.parametrize("message", [None, 3, ["a"], {"a": 1}, iter("ab")])
async def test_other_messages_are_refused(message: Any) -> None:
    with pytest.raises(TypeError):
        broadcast([], message)


async def test_connections_may_come_from_any_iterable() -> None:
    async with audience(2) as (server, clients):
        broadcast((ws for ws in server.connections), "generated")
        broadcast(list(server.connections), "listed")
        broadcast(dict.fromkeys(server.connections, 1).keys(), "keyed")

        for client in clients:
            assert [await client.recv() for _ in range(3)] == [
                *("generated", "listed", "keyed")
            ]


async def test_closing_and_closed_connections_are_skipped() -> None:
    async with audience(2) as (server, clients):
        everybody = list(server.connections)
        await clients[0].close()
        await until(lambda: len(server.connections) == 1)

        broadcast(everybody, "still here", raise_exceptions=True)

        assert await clients[1].recv() == "still here"


async def hold_a_fragment(ws: ServerConnection) -> None:
    async def fragments() -> AsyncIterator[str]:
        yield "first, "
        await go_on(ws).wait()
        yield "last"

    await ws.send(fragments())
    await ws.wait_closed()


_EVENTS: dict[Any, asyncio.Event] = {}


def go_on(ws: ServerConnection) -> asyncio.Event:
    return _EVENTS.setdefault(ws, asyncio.Event())


async def test_a_fragmented_message_is_not_interrupted() -> None:
    async with audience(1, hold_a_fragment) as (server, (client,)):
        (ws,) = server.connections
        await until(lambda: ws in _EVENTS)

        result = broadcast([ws], "in between", raise_exceptions=True)
        assert (result.sent, result.waiting) == (0, 1)
        go_on(ws).set()

        assert await client.recv() == "first, last"
        assert await client.recv() == "in between"
        assert broadcast([ws], "afterwards").sent == 1
        assert await client.recv() == "afterwards"
    _EVENTS.clear()


async def test_one_failure_does_not_keep_the_message_from_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with audience(3) as (server, clients):
        broken = next(iter(server.connections))

        def fail(*_: Any) -> None:
            raise RuntimeError("oops")

        monkeypatch.setattr(broken, "offer", fail)
        broadcast(server.connections, "hello")
        with pytest.raises(ExceptionGroup) as caught:
            broadcast(server.connections, "again", raise_exceptions=True)

        assert [str(exc) for exc in caught.value.exceptions] == ["oops"]
        received = 0
        for client in clients:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    received += await client.recv() == "hello"
        assert received == 2


async def test_broadcast_never_waits_for_a_slow_client() -> None:
    async with listen(wait, limits=Limits(unsent_bytes=1 << 20)) as server:
        async with raw(server) as (_, writer):
            writer.transport.pause_reading()
            writer.write(UPGRADE)
            fast = await connected(server, max_size=None, compression=None)
            await until(lambda: len(server.connections) == 2)

            for _ in range(200):
                broadcast(server.connections, b"x" * 65536)
                assert await fast.recv() == b"x" * 65536

            # Who takes nothing has been given up at its limit.
            await until(lambda: len(server.connections) == 1)
            await fast.close()


class Backwards(longwire.Extension):
    """An extension that keeps a count, so that no two connections can share frames."""

    name = "x-backwards"

    def __init__(self) -> None:
        self.count = 0

    def encode(self, frame: longwire.Frame) -> longwire.Frame:
        self.count += 1
        data = bytes([self.count, *reversed(bytes(frame.data))])
        return dataclasses.replace(frame, data=data)

    def decode(
        self, frame: longwire.Frame, *, max_size: int | None = None
    ) -> longwire.Frame:
        data = bytes(frame.data)
        self.count += 1
        assert data[0] == self.count
        return dataclasses.replace(frame, data=data[:0:-1])


class BackwardsServer(longwire.ServerExtensionFactory):
    name = Backwards.name

    def process_request_params(self, params: Any, accepted_extensions: Any) -> Any:
        return [], Backwards()


class BackwardsClient(longwire.ClientExtensionFactory):
    name = Backwards.name

    def get_request_params(self) -> Any:
        return []

    def process_response_params(self, params: Any, accepted_extensions: Any) -> Any:
        return Backwards()


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_other_extensions_see_each_message(compression: Any) -> None:
    async with (
        listen(wait, extensions=[BackwardsServer()], compression=compression) as server,
        connect(
            uri_of(server),
            extensions=[BackwardsClient()],
            compression=compression,
            proxy=None,
        ) as one,
        connected(server) as two,
    ):
        await until(lambda: len(server.connections) == 2)

        for message in (b"first", b"second" * 100):
            broadcast(server.connections, message)

        assert [await one.recv(), await one.recv()] == [b"first", b"second" * 100]
        assert [await two.recv(), await two.recv()] == [b"first", b"second" * 100]


async def test_clients_can_broadcast_too() -> None:
    async with listen(echo) as server:
        uri = uri_of(server)
        async with connect(uri, proxy=None) as one, connect(uri, proxy=None) as two:
            for message in ("to many servers", b"x" * 70_000):
                broadcast([one, two], message)
                assert await one.recv() == message
                assert await two.recv() == message
