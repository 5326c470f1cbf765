"""The client of the former editions, with servers of another library."""

from __future__ import annotations

import asyncio
import functools
import http
import types

import pytest
from websockets.asyncio.server import basic_auth as peer_basic_auth
from websockets.asyncio.server import serve as peer_serve
from websockets.asyncio.server import unix_serve as peer_unix_serve

from longwire import websockets
from longwire.websockets import compat26
from longwire.websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidStatus,
)
from longwire.websockets.legacy.client import (
    WebSocketClientProtocol,
    connect,
    unix_connect,
)
from longwire.websockets.legacy.exceptions import InvalidStatusCode
from tests.websockets.serving import echo, uri_of, wait


def peer(handler=echo, **kwargs):
    return peer_serve(handler, "127.0.0.1", 0, **kwargs)


async def test_await_gives_an_open_connection():
    async with peer() as server:
        websocket = await connect(uri_of(server, "/a?b"))

        assert isinstance(websocket, WebSocketClientProtocol)
        assert (websocket.open, websocket.closed) == (True, False)
        assert websocket.path == "/a?b"
        assert (websocket.host, websocket.secure) == ("127.0.0.1", False)
        assert (websocket.side, websocket.is_client) == ("client", True)
        await websocket.close()
        assert (websocket.open, websocket.closed) == (False, True)


async def test_yield_from_connects_in_a_coroutine_of_old():
    @types.coroutine
    def hello(uri):
        websocket = yield from connect(uri)
        try:
            yield from websocket.send("hello")
            return (yield from websocket.recv())
        finally:
            yield from websocket.close()

    async with peer() as server:
        assert await hello(uri_of(server)) == "hello"


async def test_async_for_connects_again_after_each_end():
    async def close(websocket):
        await websocket.close(1012)

    ended = 0
    async with peer(close) as server:
        async for websocket in connect(uri_of(server)):
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
            ended += 1
            if ended == 2:
                break

    assert ended == 2


async def test_extra_headers_and_the_rest_go_into_the_request():
    seen = []

    async def handler(websocket):
        seen.append(websocket.request.headers)

    async with peer(handler, subprotocols=["chat"]) as server:
        async with connect(
            uri_of(server),
            extra_headers=[("X-Extra", "1")],
            origin="https://here",
            subprotocols=["chat"],
            user_agent_header="me",
        ) as websocket:
            await websocket.wait_closed()

    assert websocket.subprotocol == "chat"
    assert [e.name for e in websocket.extensions] == ["permessage-deflate"]
    assert (seen[0]["X-Extra"], seen[0]["Origin"]) == ("1", "https://here")
    assert seen[0]["User-Agent"] == "me"


async def test_a_protocol_may_ask_for_something_of_its_own():
    class Protocol(WebSocketClientProtocol):
        def __init__(self, extra_argument, *args, **kwargs):
            kwargs["origin"] = extra_argument
            super().__init__(*args, **kwargs)

    async def handler(websocket):
        await websocket.send(websocket.request.headers["Origin"])

    make = functools.partial(Protocol, extra_argument="https://mine")
    async with peer(handler) as server:
        async with connect(uri_of(server), create_protocol=make) as websocket:
            assert await websocket.recv() == "https://mine"
            assert isinstance(websocket, Protocol)


async def test_no_compression_is_agreed_on_without_it():
    async with peer() as server:
        async with connect(uri_of(server), compression=None) as websocket:
            assert websocket.extensions == []


async def test_a_refusal_is_both_the_old_and_the_new_exception():
    def refuse(connection, request):
        return connection.respond(http.HTTPStatus.FORBIDDEN, "no\n")

    async with peer(process_request=refuse) as server:
        with pytest.raises(InvalidStatusCode) as refused:
            await connect(uri_of(server))

    assert isinstance(refused.value, InvalidStatus)
    assert refused.value.status_code == refused.value.response.status_code == 403
    assert refused.value.headers is refused.value.response.headers
    assert refused.value.response.body == b"no\n"


async def test_credentials_of_the_uri_are_sent():
    check = peer_basic_auth(credentials=("ada", "secret"))
    async with peer(process_request=check) as server:
        uri = uri_of(server).replace("//", "//ada:secret@")
        async with connect(uri) as websocket:
            assert websocket.open


async def test_proxies_of_the_environment_are_not_used(monkeypatch):
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    async with peer() as server:
        async with connect(uri_of(server)) as websocket:
            assert websocket.open


async def test_redirects_are_followed_as_often_as_allowed():
    class Once(connect):
        MAX_REDIRECTS_ALLOWED = 0

    def redirect(connection, request):
        if request.path == "/":
            response = connection.respond(http.HTTPStatus.FOUND, "")
            response.headers["Location"] = "/there"
            return response
        return None

    async with peer(process_request=redirect) as server:
        async with connect(uri_of(server)) as websocket:
            assert websocket.path == "/there"
        with pytest.raises(InvalidStatusCode, match="HTTP 302"):
            await Once(uri_of(server))


@pytest.mark.filterwarnings("ignore:remove legacy_recv")
async def test_legacy_recv_returns_none_at_the_end():
    async def handler(websocket):
        await websocket.send("one")

    async with peer(handler) as server:
        websocket = await connect(uri_of(server), legacy_recv=True)

        assert [await websocket.recv(), await websocket.recv()] == ["one", None]


async def test_two_at_once_in_recv_is_a_runtime_error():
    async with peer(wait) as server, connect(uri_of(server)) as websocket:
        first = asyncio.create_task(websocket.recv())
        await asyncio.sleep(0)

        with pytest.raises(RuntimeError):
            await websocket.recv()
        first.cancel()


async def test_send_refuses_a_dict_and_closes_after_mixed_fragments():
    async with peer(wait) as server:
        async with connect(uri_of(server)) as websocket:
            with pytest.raises(TypeError):
                await websocket.send({"not": "a message"})
            assert websocket.open
            with pytest.raises(TypeError):
                await websocket.send(["text", b"bytes"])
            assert not websocket.open


async def test_ping_gives_the_latency_and_refuses_the_same_data_twice():
    async with peer(wait) as server, connect(uri_of(server)) as websocket:
        assert websocket.latency == 0
        waiter = await websocket.ping("same")
        with pytest.raises(RuntimeError):
            await websocket.ping("same")

        assert await waiter == websocket.latency > 0


async def test_a_closed_connection_raises_from_send_and_recv():
    async with peer(wait) as server:
        websocket = await connect(uri_of(server))
        await websocket.close(1000, "bye")

        with pytest.raises(ConnectionClosedOK):
            await websocket.send("late")
        with pytest.raises(ConnectionClosedOK):
            await websocket.recv()
    assert (websocket.close_code, websocket.close_reason) == (1000, "bye")


async def test_a_unix_socket_is_connected_to(tmp_path):
    path = str(tmp_path / "socket")
    async with peer_unix_serve(echo, path):
        async with unix_connect(path) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"


def test_the_calls_work_through_run_until_complete():
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    server = run(_started())

    websocket = run(connect(uri_of(server)))
    run(websocket.send("hello"))
    assert run(websocket.recv()) == "hello"
    run(websocket.close())
    server.close()
    run(server.wait_closed())
    loop.close()


async def _started():
    return await peer()


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("additional_headers", "extra_headers"), ("user_agent", "user_agent_header")],
)
def test_an_unknown_keyword_says_which_is_meant(wrong, meant):
    with pytest.raises(TypeError, match=f"'{wrong}'; did you mean '{meant}'"):
        connect("ws://localhost", **{wrong: None})


def test_another_loop_than_the_running_one_is_an_error():
    other = asyncio.new_event_loop()
    with pytest.warns(DeprecationWarning, match="remove loop argument"):
        connecting = connect("ws://127.0.0.1:1", loop=other)

    with pytest.raises(ValueError, match="not the running event loop"):
        asyncio.run(connecting.connect())
    other.close()


async def test_a_factory_that_makes_something_else_is_refused():
    with pytest.raises(TypeError, match="create_protocol returned a int"):
        await connect("ws://127.0.0.1:1", create_protocol=lambda **kwargs: 42)


def test_an_unknown_keyword_of_a_protocol_is_refused():
    with pytest.raises(TypeError, match="did you mean 'ping_timeout'"):
        WebSocketClientProtocol(pingtimeout=1)


async def test_both_ends_of_2_6_get_none_at_the_end():
    got = []

    async def handler(websocket):
        got.append(await websocket.recv())
        got.append(await websocket.recv())

    async with compat26.serve(handler, "127.0.0.1", 0) as server:
        websocket = await compat26.connect(uri_of(server))
        await websocket.send("one")
        await websocket.close()
        assert await websocket.recv() is None

    assert got == ["one", None]


def test_extra_headers_that_are_none_are_refused_by_name():
    with pytest.raises(TypeError, match="extra_headers must be headers"):
        connect("ws://localhost", extra_headers=5)


def test_extra_headers_that_are_the_handshakes_own_are_refused_by_name():
    with pytest.raises(ValueError, match="extra_headers has upgrade"):
        connect("ws://localhost", extra_headers={"Upgrade": "h2c"})


@pytest.mark.parametrize("name", ["InvalidURI", "parse_uri", "handshake", "framing"])
def test_compat26_has_the_other_names_of_the_package(name):
    assert getattr(compat26, name) is getattr(websockets, name)


# --- what waits for recv() -------------------------------------------------------


async def until(length, websocket):
    async with asyncio.timeout(10):
        while len(websocket.messages) < length:
            await asyncio.sleep(0.01)


async def test_messages_are_those_that_wait_for_recv():
    async with peer_serve(echo, "127.0.0.1", 0) as server:
        async with connect(uri_of(server)) as websocket:
            messages = websocket.messages
            assert (len(messages), list(messages), bool(messages)) == (0, [], False)
            for message in ("a", b"b", ["c", "d"], "e"):
                await websocket.send(message)
            await until(4, websocket)

            assert list(messages) == ["a", b"b", "cd", "e"]
            assert (messages[0], messages[-1], messages[1:3]) == (
                "a",
                "e",
                [b"b", "cd"],
            )
            assert "cd" in messages
            assert await websocket.recv() == "a"
            assert list(messages) == [b"b", "cd", "e"]
            assert messages.popleft() == b"b"
            assert await websocket.recv() == "cd"


async def test_messages_that_wait_can_be_dropped():
    async with peer_serve(echo, "127.0.0.1", 0) as server:
        async with connect(uri_of(server)) as websocket:
            for number in range(10):
                await websocket.send(str(number))
            await until(10, websocket)

            websocket.messages.clear()

            assert not websocket.messages
            with pytest.raises(IndexError):
                websocket.messages.popleft()
            await websocket.send("next")
            assert await websocket.recv() == "next"


async def test_dropping_messages_makes_room_for_those_behind():
    async def burst(websocket):
        for number in range(20):
            await websocket.send(str(number))
        await websocket.wait_closed()

    async with peer_serve(burst, "127.0.0.1", 0) as server:
        async with connect(uri_of(server), max_queue=2) as websocket:
            dropped = 0
            async with asyncio.timeout(10):
                while dropped < 19:
                    dropped += len(websocket.messages)
                    websocket.messages.clear()
                    await asyncio.sleep(0)
                    if dropped < 19 and not websocket.messages:
                        await asyncio.sleep(0.01)
            assert dropped in (19, 20)


async def test_connect_knows_its_last_connection_however_it_was_asked_for():
    async with peer_serve(echo, "127.0.0.1", 0) as server:
        connecting = connect(uri_of(server))
        websocket = await connecting
        assert connecting.protocol is websocket

        await connecting.__aexit__(None, None, None)

        assert websocket.closed
