"""Every method of the documented classes that a subclass can override.

Each is called where it is overridden, or its override is refused when the class is
made; a method that is in neither list would be found here.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http
import inspect
import logging
import warnings

import pytest
from websockets.asyncio.server import serve as peer_serve

from longwire import websockets
from longwire.websockets import old_names
from longwire.websockets.asyncio import client as today_client
from longwire.websockets.asyncio import server as today_server
from longwire.websockets.legacy import auth as old_auth
from longwire.websockets.legacy import client as old_client
from longwire.websockets.legacy import protocol as old_protocol
from longwire.websockets.legacy import server as old_server
from tests.websockets.parity import MEMBERS
from tests.websockets.serving import ask, echo, peer, port_of, uri_of, wait

TRANSPORT = """
    connection_made data_received eof_received connection_lost pause_writing
    resume_writing
"""
# What only the program calls.
VERBS = "recv send ping pong close wait_closed"
OLD_COMMON = f"""
    {TRANSPORT} {VERBS} abort_pings close_connection close_transport
    connection_closed_exc connection_open drain ensure_open fail_connection
    keepalive_ping read_data_frame read_frame read_message transfer_data
    wait_for_connection_lost write_close_frame write_frame write_frame_sync
"""
CALLED = {
    old_server.WebSocketServerProtocol: f"""
        {OLD_COMMON} handler handshake process_extensions process_origin
        process_request process_subprotocol read_http_request select_subprotocol
        write_http_response
    """,
    old_client.WebSocketClientProtocol: f"""
        {OLD_COMMON} handshake process_extensions process_subprotocol
        read_http_response write_http_request
    """,
    today_server.ServerConnection: f"""
        {TRANSPORT} {VERBS} handshake recv_streaming respond
    """,
    today_client.ClientConnection: f"{TRANSPORT} {VERBS} handshake recv_streaming",
}
REFUSED = [
    *("abort_pings", "acknowledge_pings", "close_transport", "drain", "keepalive"),
    *("process_event", "send_context", "send_data", "set_connection_exc"),
    *("set_recv_exc", "start_keepalive", "terminate_pending_pings"),
]


def methods_of(cls):
    """The public methods of a class, of those that the documents name."""
    named = {
        name.split()[0]
        for members in MEMBERS.values()
        for owner, names in members.items()
        if owner == cls.__name__
        for name in names.split()
    }
    return {
        name
        for name in named
        if inspect.isfunction(getattr(cls, name, None)) and not name.startswith("_")
    }


@pytest.mark.parametrize("cls", CALLED, ids=lambda cls: cls.__qualname__)
def test_the_list_has_every_documented_method(cls):
    assert methods_of(cls) <= set(CALLED[cls].split())


def recorder(base, calls):
    """A subclass of ``base`` that notes each call of a method before it is done."""

    def noting(name, method):
        if inspect.iscoroutinefunction(method):

            async def call(self, *args, **kwargs):
                calls.append(name)
                return await method(self, *args, **kwargs)

        else:

            def call(self, *args, **kwargs):
                calls.append(name)
                return method(self, *args, **kwargs)

        return call

    namespace = {}
    for name in CALLED[base].split():
        method = getattr(base, name)
        if isinstance(inspect.getattr_static(base, name), staticmethod):
            call = noting(name, lambda _, *args, f=method, **kwargs: f(*args, **kwargs))
            namespace[name] = call
        else:
            namespace[name] = noting(name, method)
    return type(f"Recording{base.__name__}", (base,), namespace)


async def talk(client, server):
    """Send and receive whatever there is."""
    for message in ("hello", b"\x00", ["fr", "ag"]):
        await client.send(message)
        await client.recv()
    await (await client.ping())
    await client.pong()
    old_protocol.broadcast(server.websockets, "to all")
    assert await client.recv() == "to all"


class Server:
    """What the recorded server's handler does: it answers until it is told to end."""

    def __init__(self, last):
        self._last = last

    async def __call__(self, websocket):
        async for message in websocket:
            if message == "flood":
                for _ in range(100):
                    await websocket.send(b"x" * 100_000)
                continue
            if message == self._last:
                await (await websocket.ping())
                await websocket.pong()
                return
            await websocket.send(message)


ENDS = ("the server returns", "the client closes", "TCP is lost")
# What is called only where something is wrong, or slow.
SELDOM = {"pause_writing", "resume_writing", "fail_connection", "respond"}


@pytest.mark.parametrize("end", ENDS)
async def test_every_method_of_the_old_classes_is_called(end):
    calls = {"server": [], "client": []}
    make_server = recorder(old_server.WebSocketServerProtocol, calls["server"])
    make_client = recorder(old_client.WebSocketClientProtocol, calls["client"])
    async with old_server.serve(
        Server("end"),
        "127.0.0.1",
        0,
        create_protocol=make_server,
        subprotocols=["chat"],
        ping_interval=0.05,
    ) as server:
        client = await old_client.connect(
            uri_of(server),
            create_protocol=make_client,
            subprotocols=["chat"],
            ping_interval=0.05,
        )
        await talk(client, server)
        await asyncio.sleep(0.15)
        if end == "the server returns":
            await client.send("end")
            await client.wait_closed()
        elif end == "the client closes":
            await client.close()
        else:
            client.transport.abort()
            await client.wait_closed()

    for base, found in (
        (old_server.WebSocketServerProtocol, calls["server"]),
        (old_client.WebSocketClientProtocol, calls["client"]),
    ):
        missing = set(CALLED[base].split()) - set(found) - SELDOM
        if end == "TCP is lost":
            # fail_connection() is what is called there.
            assert "fail_connection" in found
            missing -= {"close", "write_close_frame", "eof_received"}
        elif base is old_client.WebSocketClientProtocol:
            missing -= {"connection_closed_exc", "close_transport", "close"}
        # Who ends TCP first need not see the end of the other side.
        missing -= {"wait_closed", "connection_closed_exc", "eof_received"}
        assert missing == set()
    assert {"eof_received"} & {*calls["server"], *calls["client"]} or end == ENDS[2]


async def test_a_slow_peer_pauses_and_resumes_writing():
    calls = []
    make = recorder(old_server.WebSocketServerProtocol, calls)
    async with old_server.serve(
        Server("end"), "127.0.0.1", 0, create_protocol=make, compression=None
    ) as server:
        async with peer(server, max_queue=1, max_size=None, compression=None) as client:
            await client.send("flood")
            async with asyncio.timeout(20):
                while "pause_writing" not in calls:
                    await asyncio.sleep(0.01)
                for _ in range(100):
                    await client.recv()

    assert "resume_writing" in calls


@pytest.mark.parametrize(
    "name", sorted({*OLD_COMMON.split()} - {*TRANSPORT.split(), "wait_closed"})
)
async def test_one_method_of_the_old_classes_alone_is_called(name):
    """Which others are overridden is not what makes it work."""
    found = {"server": [], "client": []}
    made = {}
    for side, base in (
        ("server", old_server.WebSocketServerProtocol),
        ("client", old_client.WebSocketClientProtocol),
    ):
        whole = recorder(base, found[side])
        made[side] = type("Alone", (base,), {name: vars(whole)[name]})
    async with old_server.serve(
        Server("end"),
        "127.0.0.1",
        0,
        create_protocol=made["server"],
        ping_interval=0.05,
    ) as server:
        client = await old_client.connect(
            uri_of(server), create_protocol=made["client"], ping_interval=0.05
        )
        await talk(client, server)
        await asyncio.sleep(0.1)
        if name in ("fail_connection", "connection_closed_exc"):
            client.transport.abort()
            await client.wait_closed()
            with pytest.raises(websockets.ConnectionClosedError):
                await client.send("late")
        else:
            await client.send("end")
            await client.wait_closed()
            await client.close()
    async with asyncio.timeout(10):
        while not (found["server"] and found["client"]):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["read_frame", "write_frame", "pong", "ensure_open"])
async def test_what_a_step_does_has_its_effect(name):
    seen = []

    class Client(old_client.WebSocketClientProtocol):
        if name == "read_frame":

            async def read_frame(self, max_size):
                frame = await super().read_frame(max_size)
                seen.append((frame.opcode, bytes(frame.data)))
                return frame

        elif name == "write_frame":

            async def write_frame(self, fin, opcode, data, **kwargs):
                seen.append((opcode, bytes(data)))
                await super().write_frame(fin, opcode, data, **kwargs)

        elif name == "pong":

            async def pong(self, data=b""):
                seen.append((10, bytes(data)))
                await super().pong(data)

        else:

            async def ensure_open(self):
                seen.append("asked")
                await super().ensure_open()

    async def handler(websocket):
        await websocket.send("down")
        assert await websocket.recv() == "up"
        await (await websocket.ping(b"are you there"))
        await websocket.close(1000, "bye")

    async with peer_serve(handler, "127.0.0.1", 0) as server:
        websocket = await old_client.connect(uri_of(server), create_protocol=Client)
        assert await websocket.recv() == "down"
        await websocket.send("up")
        await websocket.wait_closed()
        with pytest.raises(websockets.ConnectionClosedOK):
            await websocket.recv()

    assert websocket.close_code == 1000
    assert (
        seen
        == {
            "read_frame": [(1, b"down"), (9, b"are you there"), (8, b"\x03\xe8bye")],
            "write_frame": [(1, b"up"), (10, b"are you there"), (8, b"\x03\xe8bye")],
            "pong": [(10, b"are you there")],
            "ensure_open": ["asked", "asked", "asked"],
        }[name]
    )


async def test_fail_connection_is_called_for_what_the_peer_does_wrong():
    failed = []

    class Protocol(old_server.WebSocketServerProtocol):
        def fail_connection(self, code=1006, reason=""):
            failed.append(code)
            super().fail_connection(code, reason)

    async with old_server.serve(
        wait, "127.0.0.1", 0, create_protocol=Protocol, max_size=3
    ) as server:
        async with peer(server) as client:
            await client.send("too long")
            await client.wait_closed()

    assert failed == [1009]
    assert client.close_code == 1009


async def test_check_credentials_is_called():
    asked = []

    class Protocol(old_auth.BasicAuthWebSocketServerProtocol):
        realm = "here"

        async def check_credentials(self, username, password):
            asked.append((username, password))
            return True

    async with old_server.serve(
        echo, "127.0.0.1", 0, create_protocol=Protocol
    ) as server:
        uri = uri_of(server).replace("//", "//ada:secret@")
        async with old_client.connect(uri) as websocket:
            await websocket.send("hello")
            await websocket.recv()

    assert asked == [("ada", "secret")]


# --- today's connections ----------------------------------------------------------


async def test_every_method_of_todays_classes_is_called():
    calls = {"server": [], "client": []}
    make_server = recorder(today_server.ServerConnection, calls["server"])
    make_client = recorder(today_client.ClientConnection, calls["client"])

    async def handler(websocket):
        async for message in websocket:
            await websocket.send(message)
            await (await websocket.ping())
            await websocket.pong()
            async for piece in websocket.recv_streaming():
                await websocket.send(piece)
            return

    async with today_server.serve(
        handler, "127.0.0.1", 0, create_connection=make_server
    ) as server:
        client = await today_client.connect(
            uri_of(server), proxy=None, create_connection=make_client
        )
        await client.send("hello")
        await client.recv()
        await (await client.ping())
        await client.pong()
        await client.send("again")
        async for _ in client.recv_streaming():
            pass
        await client.wait_closed()
        await client.close()

    for base, found in (
        (today_server.ServerConnection, calls["server"]),
        (today_client.ClientConnection, calls["client"]),
    ):
        missing = set(CALLED[base].split()) - set(found) - SELDOM - {"wait_closed"}
        assert missing == set()


async def test_the_handshake_of_a_server_connection_is_called_and_may_change_it():
    seen = []

    class Connection(today_server.ServerConnection):
        async def handshake(self, process_request, process_response, server_header):
            await super().handshake(refuse_secret, process_response, "mine")
            seen.append((self.state.name, self.request.path, self.subprotocol))

    def refuse_secret(websocket, request):
        if request.path == "/secret":
            return websocket.respond(403, "no")
        return None

    async def handler(websocket):
        await websocket.send("hello")

    async with today_server.serve(
        handler, "127.0.0.1", 0, create_connection=Connection, subprotocols=["chat"]
    ) as server:
        async with peer(server, "/open", subprotocols=["chat"]) as client:
            assert await client.recv() == "hello"
            assert client.response.headers["Server"] == "mine"
        assert b"403 Forbidden" in await ask(server, b"/secret")

    assert seen[0] == ("OPEN", "/open", "chat")
    assert seen[1][0] != "OPEN"


@pytest.mark.parametrize("when", ["before", "after", "without"])
async def test_a_handshake_that_fails_in_its_own_way_is_logged(when, caplog):
    handled = []

    class Connection(today_server.ServerConnection):
        async def handshake(self, *args):
            if when == "before":
                raise KeyError("mine")
            if when == "after":
                await super().handshake(*args)
                raise KeyError("mine")

    async with today_server.serve(
        handled.append, "127.0.0.1", 0, create_connection=Connection
    ) as server:
        with contextlib.suppress(OSError):
            await ask(server)

    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert record.getMessage() == "opening handshake failed"
    expected = RuntimeError if when == "without" else KeyError
    assert isinstance(record.exc_info[1], expected)
    assert not handled


@pytest.mark.parametrize("closing", ["the server", "the handler fails"])
async def test_close_of_a_subclass_is_how_a_connection_is_closed(closing, caplog):
    closed = []

    class Connection(today_server.ServerConnection):
        async def close(self, code=1000, reason=""):
            closed.append(code)
            await super().close(code, reason)

    async def handler(websocket):
        if closing == "the handler fails":
            raise KeyError("oops")
        await websocket.wait_closed()

    async with today_server.serve(
        handler, "127.0.0.1", 0, create_connection=Connection
    ) as server:
        client = await peer(server)
        if closing == "the server":
            server.close()
        await client.wait_closed()

    code = 1001 if closing == "the server" else 1011
    assert (closed[0], client.close_code) == (code, code)


async def test_close_of_an_old_subclass_is_too():
    closed = []

    class Protocol(old_server.WebSocketServerProtocol):
        async def close(self, code=1000, reason=""):
            closed.append(code)
            await super().close(code, reason)

    async with old_server.serve(
        wait, "127.0.0.1", 0, create_protocol=Protocol
    ) as server:
        client = await peer(server)
        server.close()
        await client.wait_closed()

    assert (closed[0], client.close_code) == (1001, 1001)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize(
    "base",
    [
        today_client.ClientConnection,
        today_server.ServerConnection,
        old_names.ClientConnection,
        old_names.ServerConnection,
    ],
)
def test_an_override_of_what_is_not_called_is_refused(base, name):
    with pytest.raises(TypeError, match=f"Mine overrides {name}, which would not"):
        type("Mine", (base,), {name: lambda self: None})


# --- connect ----------------------------------------------------------------------


def redirecting(connection, request):
    """Send everybody but those who ask for /there to /there."""
    if request.path == "/there":
        return None
    response = connection.respond(http.HTTPStatus.FOUND, "")
    response.headers["Location"] = "/there"
    return response


KINDS = {"today's": today_client.connect, "top level": websockets.connect}
each_connect = pytest.mark.parametrize("base", KINDS.values(), ids=KINDS)


@each_connect
@pytest.mark.parametrize("way", ["await", "async with", "async for", "connect()"])
async def test_every_hook_of_connect_is_called(base, way):
    calls = []

    class Mine(base):
        async def create_connection(self):
            calls.append("create_connection")
            return await super().create_connection()

        async def open_tcp_connection(self):
            calls.append("open_tcp_connection")
            return await super().open_tcp_connection()

        def protocol_factory(self, uri):
            calls.append(f"protocol_factory {uri.path}")
            return super().protocol_factory(uri)

        def factory(self, uri):
            calls.append("factory")
            return super().factory(uri)

        def process_redirect(self, exc):
            calls.append(f"process_redirect {exc.response.status_code}")
            return super().process_redirect(exc)

        async def connect(self):
            calls.append("connect")
            return await super().connect()

        async def __await_impl__(self):
            calls.append("__await_impl__")
            return await super().__await_impl__()

        async def __aenter__(self):
            calls.append("__aenter__")
            return await super().__aenter__()

        async def __aexit__(self, *args):
            calls.append("__aexit__")
            await super().__aexit__(*args)

    opening = [
        "connect",
        *("create_connection", "open_tcp_connection"),
        *("protocol_factory /", "factory", "process_redirect 302"),
        *("create_connection", "open_tcp_connection"),
        *("protocol_factory /there", "factory"),
    ]
    async with peer_serve(wait, "127.0.0.1", 0, process_request=redirecting) as server:
        connecting = Mine(uri_of(server), proxy=None)
        if way == "await":
            await (await connecting).close()
            assert calls == ["__await_impl__", *opening]
        elif way == "async with":
            async with connecting:
                pass
            assert calls == ["__aenter__", "__await_impl__", *opening, "__aexit__"]
        elif way == "async for":
            async for websocket in connecting:
                await websocket.close()
                if len(calls) > 20:
                    break
            once = ["__aenter__", "__await_impl__", *opening]
            assert calls[: len(once) * 2 + 1] == [*once, "__aexit__", *once]
        else:
            await (await connecting.connect()).close()
            assert calls == opening


@each_connect
async def test_process_redirect_may_refuse_other_origins(base):
    """As a program does that sends a secret only to one server."""
    seen = []

    def other(connection, request):
        seen.append(request.headers.get("X-Secret"))

    class Careful(base):
        def process_redirect(self, exc):
            uri = super().process_redirect(exc)
            if isinstance(uri, str) and not uri.startswith(self.mine):
                return exc
            return uri

    async with peer_serve(wait, "127.0.0.1", 0, process_request=other) as there:

        def away(connection, request):
            response = connection.respond(307, "")
            response.headers["Location"] = uri_of(there)
            return response

        async with peer_serve(wait, "127.0.0.1", 0, process_request=away) as here:
            connecting = Careful(
                uri_of(here), proxy=None, additional_headers={"X-Secret": "s"}
            )
            connecting.mine = uri_of(here)
            with pytest.raises(websockets.InvalidStatus) as refused:
                await connecting

    assert refused.value.response.status_code == 307
    assert seen == []


@each_connect
async def test_process_redirect_may_lead_elsewhere_or_raise_something_else(base):
    class Elsewhere(base):
        def process_redirect(self, exc):
            return super().process_redirect(exc) + "?more"

    class Raising(base):
        def process_redirect(self, exc):
            return KeyError("mine")

    seen = []

    def redirect(connection, request):
        seen.append(request.path)
        return redirecting(connection, request) if request.path == "/" else None

    async with peer_serve(wait, "127.0.0.1", 0, process_request=redirect) as server:
        async with Elsewhere(uri_of(server), proxy=None) as websocket:
            assert websocket.request.path == "/there?more"
        with pytest.raises(KeyError, match="mine") as raised:
            await Raising(uri_of(server), proxy=None)

    assert isinstance(raised.value.__cause__, websockets.InvalidStatus)
    assert seen == ["/", "/there?more", "/"]


@each_connect
async def test_attributes_may_be_set_between_two_attempts(base):
    seen = []

    def note(connection, request):
        headers = request.headers
        seen.append((request.path, headers.get("X-Token"), headers.get("User-Agent")))

    token = {"X-Token": "one"}
    async with peer_serve(wait, "127.0.0.1", 0, process_request=note) as server:
        connecting = base(uri_of(server, "/a"), proxy=None, additional_headers=token)
        assert connecting.uri == uri_of(server, "/a")
        assert connecting.additional_headers is token
        async with connecting:
            pass
        token["X-Token"] = "two"  # in place
        async with connecting:
            pass
        connecting.uri = uri_of(server, "/b")
        connecting.additional_headers = {"X-Token": "three"}
        connecting.user_agent_header = "me"
        async with connecting as websocket:
            assert websocket.protocol.uri.path == "/b"

    agent = websockets.http11.USER_AGENT
    assert seen == [("/a", "one", agent), ("/a", "two", agent), ("/b", "three", "me")]


@each_connect
def test_what_a_connect_was_told_are_its_attributes(base):
    connecting = base(
        "wss://localhost:1/p", open_timeout=5, proxy=None, server_hostname="x"
    )

    assert (connecting.uri, connecting.open_timeout) == ("wss://localhost:1/p", 5)
    assert (connecting.proxy, connecting.additional_headers) == (None, None)
    assert connecting.logger is logging.getLogger("websockets.client")
    assert connecting.process_exception is websockets.client.process_exception
    assert connecting.connection_kwargs == {"server_hostname": "x"}
    assert connecting.ws_uri.path == "/p"


async def test_handle_redirect_and_await_impl_of_an_old_connect_are_called():
    calls = []

    class Mine(old_client.connect):
        def handle_redirect(self, uri):
            calls.append(f"handle_redirect {uri}")
            super().handle_redirect(uri)

        async def __await_impl__(self):
            calls.append("__await_impl__")
            return await super().__await_impl__()

    async with peer_serve(wait, "127.0.0.1", 0, process_request=redirecting) as server:
        await (await Mine(uri_of(server))).close()

    assert calls == ["__await_impl__", "handle_redirect /there"]
    assert old_client.Connect is old_client.connect


async def test_await_impl_of_an_old_serve_is_called():
    calls = []

    class Mine(old_server.serve):
        async def __await_impl__(self):
            calls.append("__await_impl__")
            return await super().__await_impl__()

    async with Mine(echo, "127.0.0.1", 0) as server:
        assert port_of(server)
    assert calls == ["__await_impl__"]
    assert old_server.Serve is old_server.serve


async def test_handshake_of_an_old_connection_has_opened_it_when_it_returns():
    seen = []

    class ServerProtocol(old_server.WebSocketServerProtocol):
        async def handshake(self, *args, **kwargs):
            await super().handshake(*args, **kwargs)
            seen.append(self.state.name)
            await self.send("from the server")

    class ClientProtocol(old_client.WebSocketClientProtocol):
        async def handshake(self, *args, **kwargs):
            await super().handshake(*args, **kwargs)
            seen.append(self.state.name)
            await self.send("from the client")

    async with old_server.serve(
        echo, "127.0.0.1", 0, create_protocol=ServerProtocol
    ) as server:
        async with old_client.connect(
            uri_of(server), create_protocol=ClientProtocol
        ) as websocket:
            assert await websocket.recv() == "from the server"
            assert await websocket.recv() == "from the client"

    assert seen == ["OPEN", "OPEN"]


async def test_a_register_of_ones_own_is_told_of_connections():
    told = []

    class Registering(old_server.WebSocketServer):
        def register(self, protocol):
            told.append("register")
            super().register(protocol)

        def unregister(self, protocol):
            told.append("unregister")
            super().unregister(protocol)

    ws_server = Registering()
    server = await asyncio.get_running_loop().create_server(
        lambda: old_server.WebSocketServerProtocol(echo, ws_server), "127.0.0.1", 0
    )
    ws_server.wrap(server)
    async with peer(ws_server) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
    ws_server.close()
    await ws_server.wait_closed()

    assert told == ["register", "unregister"]


async def test_a_server_answers_while_its_hooks_are_all_overridden():
    calls = []
    make = recorder(old_server.WebSocketServerProtocol, calls)
    async with old_server.serve(
        echo, "127.0.0.1", 0, create_protocol=make, origins=["https://ours"]
    ) as server:
        answer = await ask(server)

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert "connection_open" not in calls


# --- objects that are made, and not used -------------------------------------------


@pytest.mark.parametrize("base", [websockets.connect, today_client.connect])
def test_where_a_redirect_leads_can_be_asked_before_connecting(base):
    class Careful(base):
        def process_redirect(self, exc):
            return super().process_redirect(exc)

    connecting = Careful("ws://here.example/a")
    headers = websockets.Headers(Location="/b")
    response = websockets.http11.Response(302, "Found", headers)

    moved = connecting.process_redirect(websockets.InvalidStatus(response))

    assert moved == "ws://here.example/b"


@pytest.mark.parametrize(
    "make",
    [
        lambda: websockets.connect("ws://here.example"),
        lambda: websockets.asyncio.client.connect("ws://here.example"),
        lambda: websockets.legacy.client.connect("ws://here.example"),
        lambda: websockets.serve(print, "localhost", 0),
        lambda: websockets.asyncio.server.serve(print, "localhost", 0),
        lambda: websockets.legacy.server.serve(print, "localhost", 0),
    ],
)
def test_what_is_made_and_never_used_says_nothing(make):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = make()
        del made
        gc.collect()

    assert [each for each in caught if each.category is RuntimeWarning] == []
