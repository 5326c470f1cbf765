"""The server of the former editions, with clients of another library."""

from __future__ import annotations

import asyncio
import functools
import http
import logging
import warnings

import pytest
from websockets.exceptions import InvalidStatus as PeerInvalidStatus

from longwire.websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from longwire.websockets.frames import Close
from longwire.websockets.legacy.exceptions import AbortHandshake
from longwire.websockets.legacy.protocol import broadcast
from longwire.websockets.legacy.server import (
    WebSocketServer,
    WebSocketServerProtocol,
    serve,
    unix_serve,
)
from tests.websockets.serving import ask, echo, peer, wait

PLAIN = pytest.mark.filterwarnings("ignore:declare process_request")
SECOND_ARGUMENT = pytest.mark.filterwarnings(
    "ignore:remove second argument of ws_handler"
)


def listen(handler=echo, **kwargs):
    return serve(handler, "127.0.0.1", 0, **kwargs)


# --- the ways to start it --------------------------------------------------------


async def test_awaiting_gives_a_server_that_listens():
    server = await listen()

    assert isinstance(server, WebSocketServer)
    assert server.is_serving()
    server.close()
    await server.wait_closed()
    assert not server.is_serving()


async def test_leaving_the_block_closes_connections_with_1001():
    async with listen(wait) as server:
        client = await peer(server)

    assert client.close_code == 1001


def test_the_object_is_made_without_a_loop_and_run_until_complete():
    start_server = listen()
    loop = asyncio.new_event_loop()

    server = loop.run_until_complete(start_server)

    assert server.is_serving()
    server.close()
    loop.run_until_complete(server.wait_closed())
    loop.close()


async def test_yield_from_starts_it_too():
    def start():
        return (yield from listen())

    class Old:
        __await__ = staticmethod(start)

    server = await Old()

    assert isinstance(server, WebSocketServer)
    await server.close()


async def test_close_may_leave_the_connections_open():
    async with listen() as server:
        async with peer(server) as client:
            server.close(close_connections=False)
            await client.send("still there")

            assert await client.recv() == "still there"


async def test_a_unix_socket_is_listened_on(tmp_path):
    path = tmp_path / "socket"
    async with unix_serve(echo, path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")

        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()


async def test_connections_of_an_asyncio_server_of_ones_own():
    ws_server = WebSocketServer()
    loop = asyncio.get_running_loop()
    factory = functools.partial(WebSocketServerProtocol, echo, ws_server)
    ws_server.wrap(await loop.create_server(factory, "127.0.0.1", 0))

    async with peer(ws_server) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
    ws_server.close()
    await ws_server.wait_closed()


async def test_a_server_that_nobody_wrapped_says_so():
    with pytest.raises(RuntimeError, match=r"call wrap\(\), or use serve\(\)"):
        await WebSocketServer()


# --- handlers --------------------------------------------------------------------


class Methods:
    async def bound(self, websocket, path):
        await websocket.send(path)

    async def __call__(self, websocket, path):
        await websocket.send(path)


async def with_more(websocket, path, extra):
    await websocket.send(path + extra)


@SECOND_ARGUMENT
@pytest.mark.parametrize(
    ("handler", "answer"),
    [
        (Methods().bound, "/a?b"),
        (Methods(), "/a?b"),
        (functools.partial(with_more, extra="!"), "/a?b!"),
    ],
    ids=["a bound method", "a callable object", "a partial"],
)
async def test_a_handler_with_two_arguments_gets_the_path(handler, answer):
    async with listen(handler) as server, peer(server, "/a?b") as client:
        assert await client.recv() == answer


async def test_a_handler_with_two_arguments_is_told_the_modern_spelling():
    with pytest.warns(DeprecationWarning, match=r"is websocket\.path") as caught:
        serving = listen(Methods())
    async with serving as server, peer(server), peer(server):
        pass

    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("handler", [lambda: None, lambda a, b, c: None])
def test_a_handler_with_other_arguments_is_refused_at_once(handler):
    with pytest.raises(TypeError, match=r"one argument, the connection, or two"):
        serve(handler)


def test_a_coroutine_in_place_of_a_handler_is_refused():
    coroutine = wait(None)

    with pytest.raises(TypeError, match="pass the function, do not call it"):
        serve(coroutine)
    coroutine.close()


async def test_a_handler_that_raises_closes_with_1011_and_is_logged(caplog):
    async def fail(websocket):
        raise KeyError("oops")

    async with listen(fail) as server, peer(server) as client:
        await client.wait_closed()

    assert client.close_code == 1011
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.name == "websockets.server"
    assert record.getMessage() == "connection handler failed"


async def test_a_handler_that_lets_a_lost_connection_through_is_logged(caplog):
    async with listen(echo) as server:
        client = await peer(server)
        client.transport.abort()
        async with asyncio.timeout(10):
            while not [r for r in caplog.records if r.levelno == logging.ERROR]:
                await asyncio.sleep(0.01)

    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert isinstance(record.exc_info[1], ConnectionClosedError)


# --- hooks and headers -----------------------------------------------------------


async def health_check(path, request_headers):
    if path == "/healthz":
        return http.HTTPStatus.OK, [("X-Via", "hook")], b"OK\n"
    return None


async def test_process_request_answers_with_its_triple():
    async with listen(process_request=health_check) as server:
        head, _, body = (await ask(server, b"/healthz")).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nX-Via: hook" in head
    assert b"\r\nContent-Length: 3" in head
    assert b"\r\nContent-Type: text/plain" in head
    assert b"\r\nConnection: close" in head
    assert body == b"OK\n"


@PLAIN
@pytest.mark.parametrize("status", [418, http.HTTPStatus.IM_A_TEAPOT])
async def test_process_request_may_be_a_plain_function_and_status_an_int(status):
    async with listen(
        process_request=lambda path, headers: (status, {}, b"")
    ) as server:
        answer = await ask(server)

    assert answer.startswith(b"HTTP/1.1 418 ")


def plain_hook(path, request_headers):
    return None


class PlainMethod(WebSocketServerProtocol):
    def process_request(self, path, request_headers):
        return None


class PlainObject:
    def __call__(self, path, request_headers):
        return None


@pytest.mark.parametrize(
    "kwargs",
    [
        {"process_request": plain_hook},
        {"process_request": functools.partial(plain_hook)},
        {"process_request": PlainObject()},
        {"create_protocol": PlainMethod},
    ],
    ids=["a function", "a partial", "an object", "a method"],
)
async def test_a_plain_process_request_is_told_the_modern_spelling_where_it_is(kwargs):
    with pytest.warns(DeprecationWarning, match="declare process_request") as caught:
        async with listen(**kwargs) as server, peer(server):
            pass

    assert [warning.filename for warning in caught] == [__file__]


def test_a_plain_process_request_is_told_of_once(recwarn):
    async def run():
        async with listen(process_request=plain_hook) as server:
            for _ in range(3):
                async with peer(server):
                    pass

    globals().pop("__warningregistry__", None)
    warnings.simplefilter("default")
    asyncio.run(run())

    assert [w for w in recwarn if "process_request" in str(w.message)][1:] == []
    assert len(recwarn) == 1


async def test_process_request_may_be_overridden_and_see_the_connection():
    class Protocol(WebSocketServerProtocol):
        async def process_request(self, path, request_headers):
            self.user = request_headers["X-User"]

    async def handler(websocket):
        await websocket.send(websocket.user)

    async with listen(handler, create_protocol=Protocol) as server:
        async with peer(server, additional_headers={"X-User": "ada"}) as client:
            assert await client.recv() == "ada"


async def test_process_request_may_raise_abort_handshake():
    async def refuse(path, headers):
        raise AbortHandshake(http.HTTPStatus.GONE, {"X-Why": "old"}, b"gone\n")

    async with listen(process_request=refuse) as server:
        answer = await ask(server)

    assert answer.startswith(b"HTTP/1.1 410 Gone\r\nX-Why: old\r\n")
    assert answer.endswith(b"\r\n\r\ngone\n")


@PLAIN
async def test_process_request_with_a_body_of_str_is_a_500_and_logged(caplog):
    async with listen(process_request=lambda p, h: (200, {}, "text")) as server:
        answer = await ask(server)

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert "body of type str" in caplog.text


@pytest.mark.parametrize(
    "extra",
    [
        {"X-Extra": "/x"},
        [("X-Extra", "/x")],
        lambda path, headers: {"X-Extra": path},
    ],
    ids=["a mapping", "pairs", "a callable"],
)
async def test_extra_headers_are_in_the_response(extra):
    async with listen(extra_headers=extra) as server:
        async with peer(server, "/x") as client:
            assert client.response.headers["X-Extra"] == "/x"


async def test_extra_headers_replace_the_name_of_the_server():
    async with listen(extra_headers={"Server": "mine"}) as server:
        async with peer(server) as client:
            assert client.response.headers.get_all("Server") == ["mine"]


async def test_a_server_header_of_none_is_not_sent():
    async with listen(server_header=None) as server, peer(server) as client:
        assert "Server" not in client.response.headers


@pytest.mark.filterwarnings("ignore:use None instead:DeprecationWarning")
@pytest.mark.parametrize("absent", [None, ""])
async def test_origins_may_allow_a_missing_one_in_both_spellings(absent):
    async with listen(origins=[absent, "https://ours"]) as server:
        async with peer(server):
            pass
        with pytest.raises(PeerInvalidStatus) as refused:
            await peer(server, origin="https://other")

    assert refused.value.response.status_code == 403


async def test_the_subprotocol_is_the_one_with_the_least_sum_of_places():
    async with listen(wait, subprotocols=["a", "both", "x", "c"]) as server:
        async with peer(server, subprotocols=["c", "both", "y", "a"]) as client:
            assert client.subprotocol == "both"


async def test_no_subprotocol_in_common_is_no_subprotocol():
    async with listen(wait, subprotocols=["a"]) as server:
        async with peer(server, subprotocols=["z"]) as client:
            assert client.subprotocol is None


async def test_select_subprotocol_may_be_given_or_overridden():
    class Protocol(WebSocketServerProtocol):
        def select_subprotocol(self, client_subprotocols, server_subprotocols):
            return client_subprotocols[-1]

    def last(client_subprotocols, server_subprotocols):
        return client_subprotocols[-1]

    for kwargs in ({"create_protocol": Protocol}, {"select_subprotocol": last}):
        async with listen(wait, subprotocols=["a", "b"], **kwargs) as server:
            async with peer(server, subprotocols=["a", "b"]) as client:
                assert client.subprotocol == "b"


# --- protocols -------------------------------------------------------------------


async def test_a_partial_binds_an_argument_in_front_of_the_servers():
    class MyServerProtocol(WebSocketServerProtocol):
        def __init__(self, extra_argument, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.extra_argument = extra_argument

    async def handler(websocket):
        await websocket.send(websocket.extra_argument)

    create_protocol = functools.partial(MyServerProtocol, extra_argument="spam")
    async with listen(handler, create_protocol=create_protocol) as server:
        async with peer(server) as client:
            assert await client.recv() == "spam"


async def test_a_factory_with_names_of_its_own_gets_its_arguments_by_place():
    def make(h, s, **kwargs):
        return WebSocketServerProtocol(h, s, **kwargs)

    async with listen(create_protocol=make) as server, peer(server) as client:
        await client.send("hello")
        assert await client.recv() == "hello"


async def test_handshake_of_2_6_may_be_overridden():
    class Protocol(WebSocketServerProtocol):
        async def handshake(self, origins=None, subprotocols=None, extra_headers=None):
            path = await super().handshake(
                origins, subprotocols=subprotocols, extra_headers={"X-Mine": "yes"}
            )
            self.noted = path
            return path

    async def handler(websocket):
        await websocket.send(websocket.noted)

    async with listen(handler, create_protocol=Protocol) as server:
        async with peer(server, "/2.6") as client:
            assert await client.recv() == "/2.6"
            assert client.response.headers["X-Mine"] == "yes"


async def test_a_connection_has_the_attributes_of_old():
    seen = {}

    async def handler(websocket):
        names = (
            "open closed path host secure side is_client state close_code close_reason "
            "latency subprotocol remote_address raw_request_headers"
        )
        seen.update({name: getattr(websocket, name) for name in names.split()})
        seen["agent"] = websocket.request_headers["X-Agent"]
        seen["status"] = websocket.response_headers["Upgrade"]
        seen["extensions"] = [e.name for e in websocket.extensions]

    async with listen(handler) as server:
        async with peer(server, "/p", additional_headers={"X-Agent": "me"}) as client:
            await client.wait_closed()
            local = client.local_address

    assert (seen["open"], seen["closed"], seen["path"]) == (True, False, "/p")
    assert (seen["host"], seen["secure"]) == ("127.0.0.1", False)
    assert (seen["side"], seen["is_client"]) == ("server", False)
    assert (seen["close_code"], seen["close_reason"]) == (None, None)
    assert (seen["agent"], seen["status"]) == ("me", "websocket")
    assert ("X-Agent", "me") in seen["raw_request_headers"]
    assert seen["extensions"] == ["permessage-deflate"]
    assert seen["remote_address"] == local


async def test_before_the_handshake_open_and_closed_are_false_and_path_is_missing():
    protocol = WebSocketServerProtocol(echo, WebSocketServer())

    assert (protocol.open, protocol.closed) == (False, False)
    assert (protocol.local_address, protocol.remote_address) == (None, None)
    assert not hasattr(protocol, "path")
    with pytest.raises(AttributeError, match="only after the opening handshake"):
        protocol.path  # noqa: B018


LEGACY_RECV = pytest.mark.filterwarnings("ignore:remove legacy_recv")


@LEGACY_RECV
async def test_legacy_recv_returns_none_at_the_end():
    received = []

    async def handler(websocket):
        while (message := await websocket.recv()) is not None:
            received.append(message)
        received.append("end")

    async with listen(handler, legacy_recv=True) as server:
        async with peer(server) as client:
            await client.send("one")

    assert received == ["one", "end"]


@LEGACY_RECV
async def test_legacy_recv_ends_an_iteration():
    async with listen(echo, legacy_recv=True) as server, peer(server) as client:
        await client.send("one")
        assert await client.recv() == "one"


async def test_frames_can_be_written_one_by_one():
    async def handler(websocket):
        await websocket.write_frame(False, 1, b"he")
        await websocket.write_frame(True, 9, b"are you there")
        websocket.write_frame_sync(True, 0, b"llo")
        await websocket.write_close_frame(Close(1000, "done"))
        with pytest.raises(RuntimeError, match="in the CLOSING state"):
            await websocket.write_frame(True, 1, b"late")

    async with listen(handler) as server, peer(server) as client:
        assert await client.recv() == "hello"
        await client.wait_closed()

    assert (client.close_code, client.close_reason) == (1000, "done")


async def test_ensure_open_raises_how_the_connection_ended():
    async def handler(websocket):
        await websocket.ensure_open()
        await websocket.wait_closed()
        assert isinstance(websocket.connection_closed_exc(), ConnectionClosedOK)
        assert await websocket.wait_for_connection_lost()
        assert websocket.worker is websocket.worker
        await websocket.worker
        await websocket.ensure_open()

    caught = []

    async def catching(websocket):
        try:
            await handler(websocket)
        except ConnectionClosedOK as exc:
            caught.append(exc.code)

    async with listen(catching) as server:
        async with peer(server):
            pass

    assert caught == [1000]


async def test_fail_connection_waits_for_nobody():
    async def handler(websocket):
        websocket.fail_connection(1008, "go")
        await websocket.wait_closed()

    async with listen(handler) as server, peer(server) as client:
        await client.wait_closed()

    assert client.close_code in (1006, 1008)  # a reset may overtake the close frame


async def test_broadcast_takes_positional_arguments_and_any_iterable():
    async with listen(wait) as server:
        async with peer(server) as one, peer(server) as two:
            broadcast((ws for ws in server.websockets), "hello", False)

            assert (await one.recv(), await two.recv()) == ("hello", "hello")


async def test_broadcast_refuses_a_message_of_another_type():
    with pytest.raises(TypeError, match="not int"):
        broadcast([], 42)


async def test_register_makes_a_connection_the_servers_to_close():
    async with listen(wait) as other, listen(wait) as server:
        client = await peer(other)
        (websocket,) = other.websockets

        server.register(websocket)
        assert server.websockets == {websocket}
        server.unregister(websocket)
        assert server.websockets == set()
        await client.close()


# --- mistakes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("additional_headers", "extra_headers"),
        ("create_connection", "create_protocol"),
        ("extra_header", "extra_headers"),
        ("pingtimeout", "ping_timeout"),
    ],
)
def test_an_unknown_keyword_says_which_is_meant(wrong, meant):
    with pytest.raises(TypeError, match=f"'{wrong}'; did you mean '{meant}'"):
        serve(echo, **{wrong: None})


async def test_another_loop_than_the_running_one_is_an_error():
    loop = asyncio.new_event_loop()

    with pytest.warns(DeprecationWarning, match="remove loop argument"):
        with pytest.raises(ValueError, match="not the running event loop"):
            serve(echo, loop=loop)
    loop.close()


async def test_old_keywords_mean_what_they_meant_and_say_the_new_ones():
    class Protocol(WebSocketServerProtocol):
        pass

    seen = []

    async def handler(websocket):
        seen.append((type(websocket), websocket.close_timeout))

    loop = asyncio.get_running_loop()
    with pytest.warns(DeprecationWarning, match="remove|rename") as caught:
        serving = listen(
            handler, klass=Protocol, timeout=3, loop=loop, legacy_recv=False
        )
    async with serving as server:
        async with peer(server) as client:
            await client.wait_closed()

    assert seen == [(Protocol, 3)]
    assert sorted(str(w.message).partition(";")[0] for w in caught) == [
        "remove legacy_recv argument or import compat26",
        "remove loop argument",
        "rename klass to create_protocol",
        "rename timeout to close_timeout",
    ]


async def test_the_newer_of_two_keywords_for_the_same_wins():
    class Old(WebSocketServerProtocol):
        pass

    class New(WebSocketServerProtocol):
        pass

    seen = []

    async def handler(websocket):
        seen.append((type(websocket), websocket.close_timeout))

    with pytest.warns(DeprecationWarning, match="rename") as caught:
        serving = listen(
            handler, klass=Old, create_protocol=New, timeout=3, close_timeout=4
        )
    async with serving as server:
        async with peer(server) as client:
            await client.wait_closed()

    assert seen == [(New, 4)]
    assert len(caught) == 2


async def test_a_factory_that_makes_something_else_is_a_500_and_logged(caplog):
    async with listen(create_protocol=lambda *args, **kwargs: 42) as server:
        answer = await ask(server)

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert "create_protocol returned int" in caplog.text


@pytest.mark.parametrize("wrong", [5, "text", {"X-A": "line\nbreak"}])
def test_extra_headers_that_are_none_are_refused_by_name(wrong):
    with pytest.raises((TypeError, ValueError), match="extra_headers must be headers"):
        serve(echo, extra_headers=wrong)


async def test_extra_headers_that_raise_are_a_500_and_logged(caplog):
    def fail(path, headers):
        raise KeyError("oops")

    async with listen(extra_headers=fail) as server:
        answer = await ask(server)

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert "KeyError: 'oops'" in caplog.text
