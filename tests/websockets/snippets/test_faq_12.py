"""The server's questions and answers of edition 12.0: S1 to S17.

What they ask of whole programs (S14, S16) is also tried in test_included_examples.py.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import http
import socket
import sys
import urllib.request

import pytest
import websockets as peer

from longwire import websockets
from longwire.websockets.extensions.permessage_deflate import (
    ServerPerMessageDeflateFactory,
)
from tests.websockets.snippets.harness import (
    Sleep,
    awaited_block,
    block,
    connect,
    serving,
    until,
    uri_of,
)

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def test_s01_a_handler_that_returns_closes_the_connection_at_once():
    finish, finished = asyncio.Event(), []

    async def do_some_work():
        await finish.wait()
        finished.append(True)

    names = block(
        """
        async def handler(websocket):
            asyncio.create_task(do_some_work())
        """,
        do_some_work=do_some_work,
    )
    async with serving(names.handler) as uri, connect(uri) as websocket:
        with pytest.raises(peer.ConnectionClosedOK) as closed:
            await websocket.recv()

        assert closed.value.rcvd.code == 1000
        assert not finished
        finish.set()
        await until(lambda: finished)


async def test_s01_a_handler_that_awaits_its_work_keeps_the_connection_open():
    finish = asyncio.Event()
    names = block(
        """
        async def handler(websocket):
            await do_some_work()
        """,
        do_some_work=finish.wait,
    )
    async with serving(names.handler) as uri, connect(uri) as websocket:
        await (await websocket.ping())
        assert websocket.state is peer.State.OPEN

        finish.set()
        await websocket.wait_closed()

        assert websocket.close_code == 1000


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
async def test_s02_a_handler_without_a_loop_handles_no_more_than_one_message():
    names = block(
        """
        async def handler(websocket):
            print(websocket.recv())
        """,
    )
    async with serving(names.handler) as uri, connect(uri) as websocket:
        await websocket.wait_closed()

        assert websocket.close_code == 1000


async def test_s02_a_handler_with_a_loop_prints_every_message(capsys):
    names = block(
        """
        async def handler(websocket):
            async for message in websocket:
                print(message)
        """,
    )
    async with serving(names.handler) as uri:
        async with connect(uri) as websocket:
            for message in ("one", "two", b"three"):
                await websocket.send(message)

        assert websocket.close_code == 1000
    assert capsys.readouterr().out == "one\ntwo\nb'three'\n"


async def test_s03_a_second_client_is_served_while_a_handler_sleeps():
    clock = Sleep()
    names = block(
        """
        async def handler(websocket):
            await asyncio.sleep(1)
            ...
        """,
        asyncio=clock,
    )
    async with serving(names.handler) as uri:
        async with connect(uri) as first, connect(uri) as second:
            await until(lambda: clock.asked == [1, 1])
            assert first.state is second.state is peer.State.OPEN
            clock.end()


FIREHOSE = """
    async def handler(websocket):
        while True:
            await websocket.send("firehose!")
    """
POLITE_FIREHOSE = FIREHOSE + "        await asyncio.sleep(0)\n"


class Counted:
    """A connection for a handler, with a count of what it sent."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.sent = 0

    async def send(self, message):
        await self.websocket.send(message)
        self.sent += 1


@pytest.mark.parametrize("source", [FIREHOSE, POLITE_FIREHOSE], ids=["plain", "polite"])
async def test_s04_a_client_that_does_not_read_stops_the_firehose_and_nobody_else(
    source,
):
    handler = block(source).handler
    hoses = []

    async def count(websocket):
        hoses.append(Counted(websocket))
        await handler(hoses[-1])

    async with serving(count, compression=None) as uri:
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.setblocking(False)
        address = uri.split("/")[2].split(":")
        await asyncio.get_running_loop().sock_connect(
            small, (address[0], int(address[1]))
        )
        stalled = await connect(uri, sock=small, max_queue=1, compression=None)
        before = -1
        while before != hoses[0].sent or not before:
            before = hoses[0].sent
            await asyncio.sleep(0.2)
        # This peer cannot close while it is being sent to: it would wait 10 seconds.
        async with connect(uri, compression=None, close_timeout=0.1) as other:
            for _ in range(1000):
                assert await other.recv() == "firehose!"

        assert hoses[0].sent == before
        stalled.transport.abort()


async def test_s05_broadcast_to_all_connections():
    names = block(
        """
        CONNECTIONS = set()

        async def handler(websocket):
            CONNECTIONS.add(websocket)
            try:
                await websocket.wait_closed()
            finally:
                CONNECTIONS.remove(websocket)

        import websockets

        def message_all(message):
            websockets.broadcast(CONNECTIONS, message)
        """
    )
    async with serving(names.handler) as uri:
        async with connect(uri) as first, connect(uri) as second:
            await until(lambda: len(names.CONNECTIONS) == 2)

            assert names.message_all("hello") is None

            assert await first.recv() == await second.recv() == "hello"
        await until(lambda: not names.CONNECTIONS)


async def test_s06_send_to_a_single_user():
    names = block(
        """
        CONNECTIONS = {}

        async def handler(websocket):
            user_id = ...  # identify user in your app's context
            CONNECTIONS[user_id] = websocket
            try:
                await websocket.wait_closed()
            finally:
                del CONNECTIONS[user_id]

        async def message_user(user_id, message):
            websocket = CONNECTIONS[user_id]  # raises KeyError if user disconnected
            await websocket.send(message)  # may raise websockets.ConnectionClosed
        """
    )
    async with serving(names.handler) as uri:
        async with connect(uri) as client:
            await until(lambda: names.CONNECTIONS)
            await names.message_user(..., "hello")
            assert await client.recv() == "hello"
            gone = names.CONNECTIONS[...]
        await until(lambda: not names.CONNECTIONS)

        with pytest.raises(KeyError):
            await names.message_user(..., "anybody there?")

        names.CONNECTIONS["gone"] = gone  # closed, and not yet out of the register
        with pytest.raises(websockets.ConnectionClosed):
            await names.message_user("gone", "anybody there?")


async def test_s07_broadcast_to_the_recipients_of_a_topic():
    names = block(
        """
        CONNECTIONS = {}

        async def handler(websocket):
            user_id = await websocket.recv()
            CONNECTIONS[user_id] = websocket
            try:
                await websocket.wait_closed()
            finally:
                del CONNECTIONS[user_id]

        def message_topic(topic, message):
            recipients = {
                CONNECTIONS[user_id] for user_id in TOPICS[topic] & CONNECTIONS.keys()
            }
            websockets.broadcast(recipients, message)
        """,
        TOPICS={"cats": {"ada", "bob", "away"}},
    )
    async with serving(names.handler) as uri:
        async with connect(uri) as ada, connect(uri) as bob, connect(uri) as eve:
            for user_id, websocket in ("ada", ada), ("bob", bob), ("eve", eve):
                await websocket.send(user_id)
            await until(lambda: len(names.CONNECTIONS) == 3)

            names.message_topic("cats", "meow")

            assert await ada.recv() == await bob.recv() == "meow"
            await names.CONNECTIONS["eve"].send("the first for you")
            assert await eve.recv() == "the first for you"


async def test_s08_partial_passes_arguments_to_the_handler():
    seen = []
    names = block(
        """
        import asyncio
        import functools
        import websockets

        async def handler(websocket, extra_argument):
            see(websocket, extra_argument)

        bound_handler = functools.partial(handler, extra_argument=42)
        start_server = websockets.serve(bound_handler, *where)
        """,
        see=lambda websocket, extra_argument: seen.append(extra_argument),
        where=("127.0.0.1", 0),
    )
    async with names.start_server as server:
        async with connect(uri_of(server)) as websocket:
            await websocket.wait_closed()

    assert seen == [42]


async def test_s09_the_request_path_chooses_the_handler():
    async def blue_handler(websocket):
        await websocket.send("blue")

    async def green_handler(websocket):
        await websocket.send("green")

    names = block(
        """
        async def handler(websocket):
            if websocket.path == "/blue":
                await blue_handler(websocket)
            elif websocket.path == "/green":
                await green_handler(websocket)
            else:
                # No handler for this path; close the connection.
                return
        """,
        blue_handler=blue_handler,
        green_handler=green_handler,
    )
    async with serving(names.handler) as uri:
        async with connect(uri + "blue") as websocket:
            assert await websocket.recv() == "blue"
        async with connect(uri + "green") as websocket:
            assert await websocket.recv() == "green"
        async with connect(uri + "red") as websocket:
            with pytest.raises(peer.ConnectionClosedOK):
                await websocket.recv()


async def test_s10_http_headers_during_the_handshake_and_after():
    names = block(
        """
        async def process_request(self, path, request_headers):
            authorization = request_headers["Authorization"]

        async def handler(websocket):
            authorization = websocket.request_headers["Authorization"]
            await websocket.send(authorization)
            await websocket.send(websocket.response_headers["Upgrade"])
        """
    )

    class Protocol(websockets.WebSocketServerProtocol):
        process_request = names.process_request

    async with serving(names.handler, create_protocol=Protocol) as uri:
        headers = {"Authorization": "Bearer token"}
        async with connect(uri, additional_headers=headers) as websocket:
            assert await websocket.recv() == "Bearer token"
            assert await websocket.recv() == "websocket"

        with pytest.raises(peer.InvalidStatus) as refused:
            await connect(uri)  # process_request() raises KeyError

    assert refused.value.response.status_code == 500


async def test_s11_http_headers_of_the_response():
    class Tracing(websockets.WebSocketServerProtocol):
        pass

    keywords = {
        "subprotocols": ["chat"],
        "extensions": [
            ServerPerMessageDeflateFactory(
                server_max_window_bits=11, client_max_window_bits=11
            )
        ],
        "server_header": None,
        "create_protocol": Tracing,
    }
    for extra in (
        {"X-Served-By": "longwire"},
        [("X-Served-By", "longwire")],
        websockets.Headers({"X-Served-By": "longwire"}),
        lambda path, request_headers: {"X-Served-By": request_headers["X-Ask"]},
    ):
        async with serving(echo, extra_headers=extra, **keywords) as uri:
            async with connect(
                uri, subprotocols=["chat"], additional_headers={"X-Ask": "longwire"}
            ) as websocket:
                headers = websocket.response.headers
                assert websocket.subprotocol == "chat"
                assert headers["X-Served-By"] == "longwire"
                assert (
                    "server_max_window_bits=11" in headers["Sec-WebSocket-Extensions"]
                )
                assert "Server" not in headers
                await websocket.send("hello")
                assert await websocket.recv() == "hello"


async def test_s11_the_server_header_can_be_another():
    async with serving(echo, server_header="ours/1.0") as uri:
        async with connect(uri) as websocket:
            assert websocket.response.headers["Server"] == "ours/1.0"


async def test_s12_the_address_of_the_client():
    seen = []
    names = block(
        """
        async def handler(websocket):
            remote_ip = websocket.remote_address[0]
            seen.append(remote_ip)
        """,
        seen=seen,
    )
    async with serving(names.handler) as uri, connect(uri) as websocket:
        await websocket.wait_closed()

    assert seen == ["127.0.0.1"]


async def test_s13_the_address_that_the_server_listens_on(unused_port):
    # Documents print an address that this machine does not have.
    source = """
        server = await websockets.serve(handler, host="192.168.0.1", port=8080)
        """
    source = source.replace("192.168.0.1", "127.0.0.1").replace(
        "8080", str(unused_port)
    )
    server = (await awaited_block(source, handler=echo)).server
    assert server.sockets[0].getsockname() == ("127.0.0.1", unused_port)
    async with connect(uri_of(server)) as websocket:
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("where", [{"host": "0.0.0.0"}, {"family": socket.AF_INET}])
async def test_s13_a_server_on_ipv4_alone(where):
    async with websockets.serve(echo, port=0, **where) as server:
        assert [sock.family for sock in server.sockets] == [socket.AF_INET]


async def test_s13_an_address_that_is_not_ours_is_error_99():
    with pytest.raises(OSError) as refused:
        await websockets.serve(echo, host="192.0.2.1", port=0)

    # From 3.13 on, Python tries all addresses and then says so, without a number.
    if sys.version_info < (3, 13):
        assert refused.value.errno == errno.EADDRNOTAVAIL
    else:
        assert "could not bind on any address" in str(refused.value)


async def test_s14_leaving_the_context_manager_stops_the_server():
    async with serving(echo) as uri:
        websocket = await connect(uri)
    with pytest.raises(peer.ConnectionClosedOK) as closed:
        await websocket.recv()

    assert closed.value.rcvd.code == 1001
    with pytest.raises(OSError):
        await connect(uri)


async def test_s15_a_server_stops_while_connections_stay_open(unused_port):
    stop = asyncio.get_running_loop().create_future()
    names = block(
        """
        async def server():
            ...

            server = await websockets.serve(echo, "localhost", 8765)
            await stop
            await server.close(close_connections=False)
        """.replace("8765", str(unused_port)),
        echo=echo,
        stop=stop,
    )
    uri = f"ws://localhost:{unused_port}/"
    running = asyncio.create_task(names.server())
    websocket = await _soon(uri)

    stop.set_result(None)

    await until(lambda: _refused(unused_port))
    await websocket.send("still here?")
    assert await websocket.recv() == "still here?"
    await websocket.close()
    await running


async def _soon(uri):
    """A connection to a server that is about to listen."""
    while True:
        try:
            return await connect(uri)
        except OSError:
            await asyncio.sleep(0.01)


def _refused(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


async def health_check(path, request_headers):
    if path == "/healthz":
        return http.HTTPStatus.OK, [], b"OK\n"
    return None


async def test_s16_process_request_answers_a_health_check():
    async with serving(echo, process_request=health_check) as uri:
        get = functools.partial(urllib.request.urlopen, timeout=10)
        url = uri.replace("ws:", "http:")
        with await asyncio.to_thread(get, url + "healthz") as response:
            assert response.status == 200
            assert response.read() == b"OK\n"

        async with connect(uri) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"


async def test_s17_http_on_the_same_port_is_what_process_request_returns():
    async def process_request(path, request_headers):
        if "Upgrade" in request_headers:
            return None
        body = f"<p>{path}: {request_headers['User-Agent']}</p>".encode()
        return 200, {"Content-Type": "text/html"}, body

    async with serving(echo, process_request=process_request) as uri:
        url = uri.replace("ws:", "http:") + "page?n=1"
        request = urllib.request.Request(url, headers={"User-Agent": "test"})
        with await asyncio.to_thread(urllib.request.urlopen, request) as response:
            assert response.headers["Content-Type"] == "text/html"
            assert response.read() == b"<p>/page?n=1: test</p>"

        async with connect(uri) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"


@pytest.mark.parametrize(
    "kind", [websockets.InvalidStatus, websockets.exceptions.InvalidStatusCode]
)
async def test_s16_a_client_is_refused_in_the_words_of_all_editions(kind):
    async with serving(echo, process_request=health_check) as uri:
        with pytest.raises(kind) as refused:
            await websockets.connect(uri + "healthz")

    assert refused.value.status_code == refused.value.response.status_code == 200
    assert refused.value.response.body == b"OK\n"
