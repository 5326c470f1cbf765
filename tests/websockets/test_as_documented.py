"""What this API does otherwise than longwire itself, because it is documented so."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import pickle

import pytest
from websockets.asyncio.client import connect as peer_connect
from websockets.asyncio.server import serve as peer_serve
from werkzeug.routing import Map, Rule

import longwire
from longwire import websockets
from longwire.http import names
from longwire.websockets import closed, closed_today
from longwire.websockets.asyncio import client as today_client
from longwire.websockets.asyncio import router
from longwire.websockets.asyncio import server as today_server
from longwire.websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
)
from longwire.websockets.legacy import client as old_client
from longwire.websockets.legacy import server as old_server
from tests.websockets.serving import echo, peer, port_of, uri_of, wait

SERVES = {
    "top level": websockets.serve,
    "today's": today_server.serve,
    "old": old_server.serve,
}
CONNECTS = {
    "top level": websockets.connect,
    "today's": today_client.connect,
    "old": old_client.connect,
}
each_serve = pytest.mark.parametrize("serve", SERVES.values(), ids=SERVES)
each_connect = pytest.mark.parametrize("connect", CONNECTS.values(), ids=CONNECTS)


async def until_logged(caplog):
    async with asyncio.timeout(10):
        while not (found := [r for r in caplog.records if r.levelno >= logging.ERROR]):
            await asyncio.sleep(0.01)
    return found


# --- the log of a lost connection ------------------------------------------------


@each_serve
async def test_a_lost_connection_that_the_handler_lets_through_is_logged(serve, caplog):
    async with serve(echo, "127.0.0.1", 0) as server:
        client = await peer(server)
        client.transport.abort()
        (record,) = await until_logged(caplog)

    assert (record.name, record.getMessage()) == (
        "websockets.server",
        "connection handler failed",
    )
    assert isinstance(record.exc_info[1], ConnectionClosedError)


async def test_so_it_is_for_a_routed_connection(caplog):
    url_map = Map([Rule("/", endpoint=echo)])
    async with router.route(url_map, "127.0.0.1", 0) as server:
        client = await peer(server)
        client.transport.abort()
        (record,) = await until_logged(caplog)

    assert record.name == "websockets.server"


@each_serve
async def test_a_handler_that_catches_it_is_not_logged(serve, caplog):
    done = asyncio.Event()

    async def handler(websocket):
        with contextlib.suppress(ConnectionClosed):
            await echo(websocket)
        done.set()

    async with serve(handler, "127.0.0.1", 0) as server:
        client = await peer(server)
        client.transport.abort()
        await asyncio.wait_for(done.wait(), 10)

    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_a_connection_of_ones_own_is_what_decides(caplog):
    made = []

    def make(*args, **kwargs):
        made.append(longwire.ServerConnection(*args, **kwargs))
        return made[-1]

    async with today_server.serve(
        echo, "127.0.0.1", 0, create_connection=make
    ) as server:
        client = await peer(server)
        client.transport.abort()
        await made[0].wait_closed()

    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


# --- variables -------------------------------------------------------------------


@each_serve
async def test_the_documented_variable_bounds_fragments_at_a_server(serve, monkeypatch):
    monkeypatch.setenv("WEBSOCKETS_MAX_FRAGMENTS", "3")
    async with serve(echo, "127.0.0.1", 0) as server:
        async with peer(server) as client:
            await client.send(["a", "b"])  # the peer ends with an empty third
            assert await client.recv() == "ab"
            await client.send(["a", "b", "c"])
            await client.wait_closed()

    assert client.close_code == 1009
    assert "too many fragments" in client.close_reason


@each_connect
async def test_the_documented_variable_bounds_fragments_at_a_client(
    connect, monkeypatch
):
    async def handler(websocket):
        await websocket.send(["a", "b"])
        await websocket.send(["a", "b", "c"])
        await websocket.wait_closed()

    monkeypatch.setenv("WEBSOCKETS_MAX_FRAGMENTS", "3")
    async with peer_serve(handler, "127.0.0.1", 0) as server:
        async with connect(uri_of(server), proxy=None) as websocket:
            assert await websocket.recv() == "ab"
            with pytest.raises(ConnectionClosedError, match="too many fragments"):
                await websocket.recv()


async def test_limits_win_over_the_variable(monkeypatch):
    monkeypatch.setenv("WEBSOCKETS_MAX_FRAGMENTS", "1")
    limits = longwire.Limits(fragments=5)
    async with websockets.serve(echo, "127.0.0.1", 0, limits=limits) as server:
        async with websockets.connect(
            uri_of(server), proxy=None, limits=limits
        ) as client:
            await client.send(["a", "b"])
            assert await client.recv() == "ab"


@pytest.mark.parametrize(
    ("name", "text", "least"),
    [
        ("WEBSOCKETS_MAX_FRAGMENTS", "many", 1),
        ("WEBSOCKETS_MAX_FRAGMENTS", "0", 1),
        ("WEBSOCKETS_MAX_REDIRECTS", "-1", 0),
        ("WEBSOCKETS_MAX_REDIRECTS", "", 0),
    ],
)
def test_a_variable_that_is_no_such_number_is_named(monkeypatch, name, text, least):
    monkeypatch.setenv(name, text)

    with pytest.raises(ValueError, match=f"{name} is '{text}'; a number from {least}"):
        websockets.connect("ws://localhost/")


# --- exceptions ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["top level", "today's"])
async def test_a_closed_connection_of_the_top_level_is_an_invalid_state(kind):
    async with peer_serve(wait, "127.0.0.1", 0) as server:
        websocket = await CONNECTS[kind](uri_of(server), proxy=None)
        await websocket.close()
        with pytest.raises(ConnectionClosedOK) as caught:
            await websocket.send("late")

    assert isinstance(caught.value, InvalidState) == (kind == "top level")


async def test_so_it_is_for_a_handler_of_the_top_level():
    caught = []

    async def handler(websocket):
        try:
            await websocket.recv()
        except InvalidState as exc:
            caught.append(exc)

    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        async with peer_connect(f"ws://127.0.0.1:{port_of(server)}", proxy=None):
            pass

    assert isinstance(caught[0], ConnectionClosedOK)


BOTH = "{} 4000 (private use) bye; then {} 4000 (private use) bye"


@pytest.mark.parametrize("serve", SERVES.values(), ids=SERVES)
@pytest.mark.parametrize("kind", CONNECTS)
async def test_what_is_raised_has_the_reason_of_each_close_frame(kind, serve):
    told = []

    async def handler(websocket):
        try:
            await websocket.recv()
        except ConnectionClosed as exc:
            told.append(str(exc))

    async with serve(handler, "127.0.0.1", 0) as server:
        options = {} if kind == "old" else {"proxy": None}
        websocket = await CONNECTS[kind](uri_of(server), **options)
        await websocket.close(4000, "bye")
        with pytest.raises(ConnectionClosedError) as caught:
            await websocket.recv()

    assert str(caught.value) == BOTH.format("sent", "received")
    assert told == [BOTH.format("received", "sent")]


def test_longwires_own_tree_keeps_the_two_apart():
    assert not issubclass(longwire.ConnectionClosed, longwire.InvalidState)
    assert websockets.ConnectionClosed is longwire.ConnectionClosed


@pytest.mark.parametrize("kind", [*closed.KINDS, *closed_today.KINDS])
def test_what_is_raised_can_be_copied(kind):
    exc = kind(websockets.Close(1000, "bye"), None, None)

    for other in (copy.copy(exc), pickle.loads(pickle.dumps(exc))):
        assert type(other) is kind
        assert (other.code, other.reason) == (1000, "bye")


# --- types -----------------------------------------------------------------------


@pytest.mark.parametrize("name", names.__all__)
def test_a_name_for_a_type_is_longwires_own(name):
    module = "datastructures" if name == "HeadersLike" else "typing"

    assert getattr(getattr(websockets, module), name) is getattr(names, name)
