"""Servers and clients on trio: how they are reached, refuse, and end."""

from __future__ import annotations

import base64
import logging
import ssl
import threading

import pytest
from tests.support.needs import needs
from tests.support.rawpeer import TEXT, knock, request
from tests.trio_.running import connect, echo, serving, trio, trio_test, until

import longwire.sync
import longwire.trio
from longwire import ConnectionClosed, InvalidStatus, Limits
from longwire.trio import basic_auth, broadcast, route, serve, unix_connect, unix_serve


def port_of(server):
    return server.listeners[0].socket.getsockname()[1]


async def in_thread(function, *args):
    return await trio.to_thread.run_sync(function, *args)


def status_of(port, path=b"/"):
    with knock(port) as peer:
        peer.write(request(path=path))
        return peer.read_head().split(b"\r\n")[0].decode()


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("compression", [None, "deflate"])
@trio_test
async def test_messages_go_there_and_back(tls, compression, certificates):
    ssl = certificates.server if tls else None
    async with serving(ssl=ssl, max_size=None) as (_, uri):
        options = {"ssl": certificates.client} if tls else {}
        async with connect(
            uri, compression=compression, max_size=None, **options
        ) as ws:
            for message in ("grüezi", b"\x00" * 300_000, ""):
                await ws.send(message)
                assert await ws.recv() == message
    assert ws.close_code == 1000


@trio_test
async def test_threads_talk_to_trio():
    def visit(uri):
        with longwire.sync.connect(uri, proxy=None) as ws:
            ws.send("from a thread")
            return ws.recv(timeout=20)

    async with serving() as (_, uri):
        assert await in_thread(visit, uri) == "from a thread"


@trio_test
async def test_trio_talks_to_threads():
    def handle(ws):
        for message in ws:
            ws.send(message)

    with longwire.sync.serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/") as ws:
            await ws.send("to a thread")
            assert await ws.recv() == "to a thread"
    thread.join(20)


@pytest.mark.parametrize("ours", ["client", "server"])
@trio_test
async def test_the_other_library_on_trio_understands_us(ours):
    client = pytest.importorskip("websockets.trio.client")
    server = pytest.importorskip("websockets.trio.server")
    listen = longwire.trio.serve if ours == "server" else server.serve
    connects = longwire.trio.connect if ours == "client" else client.connect
    async with trio.open_nursery() as nursery:
        listening = await nursery.start(listen, echo, 0)
        listeners = getattr(listening, "listeners", None)
        port = listeners[0].socket.getsockname()[1]
        async with connects(f"ws://localhost:{port}/", proxy=None) as ws:
            for message in ("hello", b"x" * 100_000):
                await ws.send(message)
                assert await ws.recv() == message
        await listening.aclose()


@trio_test
async def test_a_unix_socket_is_served_and_reached(tmp_path):
    path = tmp_path / "socket"
    async with trio.open_nursery() as nursery:

        async def listen(task_status):
            await unix_serve(echo, path, task_status=task_status)

        async with await nursery.start(listen):
            async with unix_connect(path) as ws:
                await ws.send("local")
                assert await ws.recv() == "local"


@trio_test
async def test_callbacks_may_be_functions_or_coroutines(caplog):
    async def refuse(ws, request):
        await trio.sleep(0)
        return ws.respond(403, "no\n") if request.path == "/no" else None

    def sign(ws, request, response):
        response.headers["X-Signed"] = "yes"

    async with serving(process_request=refuse, process_response=sign) as (_, uri):
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{uri}no").__aenter__()
        async with connect(uri) as ws:
            assert ws.response.headers["X-Signed"] == "yes"

    assert caught.value.response.status_code == 403
    assert caught.value.response.body == b"no\n"


@trio_test
async def test_basic_authentication():
    async def check(user, password):
        await trio.sleep(0)
        return password == "right"

    names = []

    async def handler(ws):
        names.append(ws.username)

    auth = basic_auth("here", check_credentials=check)
    async with serving(handler, process_request=auth) as (_, uri):
        with pytest.raises(InvalidStatus, match="401"):
            await connect(uri).__aenter__()
        given = base64.b64encode(b"me:right").decode()
        headers = {"Authorization": f"Basic {given}"}
        async with connect(uri, additional_headers=headers) as ws:
            await ws.wait_closed()

    assert names == ["me"]


@trio_test
async def test_routes_lead_to_their_handlers():
    needs("werkzeug")
    from werkzeug.routing import Map, Rule

    async def greet(ws, name):
        await ws.send(f"hello {name}")

    urls = Map([Rule("/greet/<name>", endpoint=greet)])
    async with trio.open_nursery() as nursery:
        async with await nursery.start(route, urls, 0) as server:
            uri = f"ws://localhost:{port_of(server)}"
            async with connect(f"{uri}/greet/ann") as ws:
                assert await ws.recv() == "hello ann"
            with pytest.raises(InvalidStatus, match="404"):
                await connect(f"{uri}/nothing").__aenter__()


@trio_test
async def test_a_broadcast_reaches_all():
    async with serving() as (server, uri):
        async with connect(uri) as one, connect(uri) as two:
            await until(lambda: len(server.connections) == 2)
            result = await broadcast(server.connections, "to all")
            assert [await one.recv(), await two.recv()] == ["to all", "to all"]
    assert result.sent == 2


@trio_test
async def test_more_connections_than_the_limit_are_answered_with_503():
    async with serving(limits=Limits(connections=1)) as (server, uri):
        async with connect(uri):
            with pytest.raises(InvalidStatus, match="503"):
                await connect(uri).__aenter__()
        await until(lambda: not server._runs)
        async with connect(uri) as ws:
            await ws.send("in")
            assert await ws.recv() == "in"


@trio_test
async def test_closing_answers_who_has_not_asked_yet_with_503():
    async with serving() as (server, _):
        with knock(port_of(server)) as peer:
            peer.write(b"GET / HTTP/1.1\r\n")
            await until(lambda: server._runs)
            await server.aclose()
            head = await in_thread(peer.read_head)
    assert head.startswith(b"HTTP/1.1 503 ")


@trio_test
async def test_who_says_nothing_is_cut_off():
    async with serving(open_timeout=0.1) as (server, _):
        with knock(port_of(server)) as peer:
            assert await in_thread(peer.sock.recv, 100) == b""
        await until(lambda: not server._runs)


@trio_test
async def test_a_health_check_is_answered():
    async with serving(health="/healthz") as (server, _):
        port = port_of(server)
        status = await in_thread(status_of, port, b"/healthz")
    assert status == "HTTP/1.1 200 OK"


@trio_test
async def test_a_handler_that_fails_closes_with_1011_and_is_in_the_log(caplog):
    async def handler(ws):
        raise RuntimeError("mine")

    async with serving(handler) as (_, uri), connect(uri) as ws:
        with pytest.raises(ConnectionClosed) as caught:
            await ws.recv()

    assert caught.value.rcvd.code == 1011
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.exc_info[1].args == ("mine",)


@trio_test
async def test_a_handler_may_close_its_own_server():
    async def handler(ws):
        await ws.recv()
        await ws.server.aclose(code=1012, reason="again")

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, handler, 0)
        async with connect(f"ws://localhost:{port_of(server)}/") as ws:
            await ws.send("please")
            await ws.wait_closed()
    assert (ws.close_code, ws.close_reason) == (1012, "again")


@trio_test
async def test_draining_closes_little_by_little_and_cuts_off_the_rest(caplog):
    stopped = []

    async def handler(ws):
        try:
            await trio.sleep_forever()
        finally:
            stopped.append(ws)

    async with serving(handler) as (server, uri):
        async with trio.open_nursery() as nursery:
            clients = [await connect(uri).connect(nursery) for _ in range(5)]
            await until(lambda: len(server.connections) == 5)
            await server.drain(batch=2, interval=0.02, timeout=0.3)
            for ws in clients:
                await ws.wait_closed()

    assert {ws.close_code for ws in clients} == {1001}
    assert len(stopped) == 5
    assert "cut off 5 connections" in caplog.text


@trio_test
async def test_a_loop_of_connections_gives_a_new_one_each_time():
    async def handler(ws):
        await ws.send("once")

    seen = []
    async with serving(handler) as (_, uri):
        connections = connect(uri, reconnect_delays=lambda: [0.01] * 9)
        async for ws in connections:
            seen.append(await ws.recv())
            if len(seen) == 3:
                break

    assert seen == ["once"] * 3


@trio_test
async def test_an_opening_handshake_without_an_answer_ends_in_time():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    with pytest.raises(TimeoutError, match="still waiting for the peer"):
        await connect(f"ws://127.0.0.1:{port}/", open_timeout=0.1).__aenter__()
    await listeners[0].aclose()


@trio_test
async def test_a_cancelled_attempt_leaves_no_socket_behind():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    with trio.move_on_after(0.1):
        await connect(f"ws://127.0.0.1:{port}/").__aenter__()
    stream = await listeners[0].accept()
    data = b"x"
    while data:
        data = await stream.receive_some()
    await stream.aclose()
    await listeners[0].aclose()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_size": "large"}, TypeError),
        ({"ping_interval": -1}, ValueError),
        ({"extra_headers": {}}, TypeError),
        ({"sock": object()}, TypeError),
        ({"create_connection": 3}, TypeError),
    ],
)
def test_mistakes_are_told_at_once(options, error):
    with pytest.raises(error):
        longwire.trio.connect("ws://localhost/", **options)


async def yielding(websocket):
    yield "hello"


MISTAKES = {
    "a number for the handler": ((3, 0), {}, "handler must be a coroutine function"),
    "a handler with the path": (
        (lambda websocket, path: None, 0),
        {},
        "handler must take one argument, the connection",
    ),
    "a handler that yields": (
        (yielding, 0),
        {},
        "yielding has 'yield': write 'await websocket.send(...)'",
    ),
    "the port first": (
        (8765, echo),
        {},
        "the handler comes first: write serve(handler, 8765, host='localhost')",
    ),
    "a port as text": (
        (echo, "8765"),
        {},
        "port is the text '8765'; a number is allowed: write 8765",
    ),
    "a port that is none": ((echo, 87650), {}, "port is 87650; 0 to 65535 are allowed"),
    "no port": ((echo,), {}, "port or listeners"),
    "host and port in one": (
        (echo,),
        {"host": "[::1]:8765"},
        "write serve(handler, 8765, host='::1')",
    ),
    "a URI for the host": (
        (echo, 0),
        {"host": "ws://localhost"},
        "such as 'localhost'",
    ),
    "a client's context": (
        (echo, 0),
        {"ssl": ssl.create_default_context()},
        "write ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)",
    ),
    "True for a context": (
        (echo, 0),
        {"ssl": True},
        "write ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)",
    ),
    "no factory": ((echo, 0), {"create_connection": 3}, "must be a class or factory"),
}


@pytest.mark.parametrize(
    ("arguments", "keywords", "text"), MISTAKES.values(), ids=MISTAKES.keys()
)
@trio_test
async def test_servers_say_what_they_need(arguments, keywords, text):
    with pytest.raises((TypeError, ValueError)) as caught:
        await serve(*arguments, **keywords)

    assert text in str(caught.value)


@trio_test
async def test_a_list_is_sent_in_fragments_and_asked_about_once(caplog):
    async with serving() as (_, uri), connect(uri) as ws:
        for _ in range(2):
            await ws.send(["team", "ug"])
            assert await ws.recv() == "teamug"
        await ws.send(iter(["a", "b"]))

    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(told) == 1
    assert "2 fragments; for JSON, send json.dumps(message)" in told[0]


@trio_test
async def test_a_raw_message_is_framed_as_by_any_server():
    async with serving() as (server, _):
        with knock(port_of(server)) as peer:

            def talk():
                peer.ask()
                peer.send(TEXT, b"raw")
                return peer.read()

            assert await in_thread(talk) == (TEXT, b"raw", True, 0)
            peer.send_close(1000)
            assert await in_thread(peer.read_close) == (1000, "")


@trio_test
async def test_proxies_are_gone_through():
    from tests.trio_.proxies import http_proxy, socks5_proxy

    async with serving() as (_server, uri):
        for proxy in (http_proxy, socks5_proxy):
            if proxy is socks5_proxy:
                needs("python_socks")
            async with trio.open_nursery() as nursery:
                listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
                port = listeners[0].socket.getsockname()[1]
                nursery.start_soon(trio.serve_listeners, proxy, listeners)
                scheme = "socks5h" if proxy is socks5_proxy else "http"
                through = f"{scheme}://127.0.0.1:{port}"
                async with connect(uri, proxy=through) as ws:
                    await ws.send("through")
                    assert await ws.recv() == "through"
                nursery.cancel_scope.cancel()
