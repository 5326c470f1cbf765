"""The steps of opening handshakes that subclasses of former editions override."""

from __future__ import annotations

import http
import logging

import pytest
from websockets.asyncio.server import serve as peer_serve
from websockets.exceptions import InvalidStatus as PeerInvalidStatus

from longwire.websockets.exceptions import (
    InvalidHandshake,
    InvalidMessage,
    InvalidOrigin,
    InvalidState,
    InvalidStatusCode,
    NegotiationError,
    RedirectHandshake,
    SecurityError,
)
from longwire.websockets.http11 import Response
from longwire.websockets.legacy.client import WebSocketClientProtocol, connect
from longwire.websockets.legacy.exceptions import AbortHandshake
from longwire.websockets.legacy.server import (
    WebSocketServer,
    WebSocketServerProtocol,
    serve,
)
from tests.websockets.serving import ask, echo, peer, port_of, uri_of, wait


def listen(protocol, handler=echo, **kwargs):
    return serve(handler, "127.0.0.1", 0, create_protocol=protocol, **kwargs)


def errors_in(caplog):
    return [r for r in caplog.records if r.levelno >= logging.ERROR]


# --- server: the one task --------------------------------------------------------


async def test_handler_is_the_whole_life_of_a_connection():
    events = []

    class Protocol(WebSocketServerProtocol):
        async def handler(self):
            events.append(self.state.name)
            await super().handler()
            events.append(self.state.name)

    async with listen(Protocol) as server, peer(server) as client:
        await client.send("hello")
        assert await client.recv() == "hello"

    assert events == ["CONNECTING", "CLOSED"]


# --- server: reading the request -------------------------------------------------


async def test_read_http_request_may_change_what_was_asked_for():
    class Protocol(WebSocketServerProtocol):
        async def read_http_request(self):
            path, headers = await super().read_http_request()
            headers["X-Seen"] = "yes"
            return f"/prefix{path}", headers

    async def handler(websocket):
        await websocket.send(f"{websocket.path} {websocket.request_headers['X-Seen']}")

    async with listen(Protocol, handler) as server, peer(server, "/p") as client:
        assert await client.recv() == "/prefix/p yes"


async def test_read_http_request_raises_what_is_wrong_with_the_request():
    caught = []

    class Protocol(WebSocketServerProtocol):
        async def read_http_request(self):
            try:
                return await super().read_http_request()
            except InvalidMessage as exc:
                caught.append(str(exc))
                raise

    async with listen(Protocol) as server:
        answer = await ask(server, b"/ nonsense")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(caught) == 1


async def test_read_http_request_may_abort_the_handshake():
    class Protocol(WebSocketServerProtocol):
        async def read_http_request(self):
            path, headers = await super().read_http_request()
            if path == "/healthz":
                raise AbortHandshake(http.HTTPStatus.OK, {"X-Via": "read"}, b"OK\n")
            return path, headers

    async with listen(Protocol) as server:
        answer = await ask(server, b"/healthz")
        async with peer(server):
            pass

    assert answer.startswith(b"HTTP/1.1 200 OK\r\nX-Via: read\r\n")
    assert answer.endswith(b"\r\n\r\nOK\n")


async def test_read_http_request_that_fails_is_a_500_and_logged(caplog):
    class Protocol(WebSocketServerProtocol):
        async def read_http_request(self):
            raise KeyError("oops")

    async with listen(Protocol) as server:
        answer = await ask(server)

    assert answer.startswith(b"HTTP/1.1 500 ")
    (record,) = errors_in(caplog)
    assert isinstance(record.exc_info[1], KeyError)


async def test_a_client_that_says_nothing_is_not_answered_and_not_an_error(caplog):
    class Protocol(WebSocketServerProtocol):
        async def read_http_request(self):
            return await super().read_http_request()

    async with listen(Protocol) as server:
        import asyncio

        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()

    assert errors_in(caplog) == []


# --- server: writing the answer --------------------------------------------------


async def test_write_http_response_may_add_headers_to_every_answer():
    class Protocol(WebSocketServerProtocol):
        def write_http_response(self, status, headers, body=None):
            headers["X-Status"] = f"{status} {status.phrase}"
            super().write_http_response(status, headers, body)

    async def handler(websocket):
        await websocket.send(websocket.response_headers["X-Status"])

    async with listen(Protocol, handler, origins=["https://ours"]) as server:
        async with peer(server, origin="https://ours") as client:
            assert await client.recv() == "101 Switching Protocols"
            assert client.response.headers["X-Status"] == "101 Switching Protocols"
        with pytest.raises(PeerInvalidStatus) as refused:
            await peer(server)

    assert refused.value.response.headers["X-Status"] == "403 Forbidden"


async def test_write_http_response_may_send_something_else():
    class Protocol(WebSocketServerProtocol):
        def write_http_response(self, status, headers, body=None):
            if status == 101:
                headers = {**dict(headers.raw_items()), "X-New": "headers"}
            super().write_http_response(status, headers, body)

    async def handler(websocket):
        await websocket.send(websocket.response_headers["X-New"])

    async with listen(Protocol, handler) as server, peer(server) as client:
        assert await client.recv() == "headers"


async def test_an_answer_to_head_has_no_content():
    class Protocol(WebSocketServerProtocol):
        async def process_request(self, path, request_headers):
            return http.HTTPStatus.OK, {}, b"long text\n"

    async with listen(Protocol) as server:
        import asyncio

        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 10" in answer


async def test_outside_of_a_handshake_there_is_nothing_to_read_or_write():
    protocol = WebSocketServerProtocol(echo, WebSocketServer())
    client = WebSocketClientProtocol()

    with pytest.raises(InvalidState):
        await protocol.read_http_request()
    with pytest.raises(InvalidState):
        protocol.write_http_response(http.HTTPStatus.OK, {})
    with pytest.raises(InvalidState):
        await client.read_http_response()
    with pytest.raises(InvalidState):
        client.write_http_request("/", {})


async def test_after_the_handshake_there_is_nothing_to_write_either():
    async def handler(websocket):
        with pytest.raises(InvalidState):
            websocket.write_http_response(http.HTTPStatus.OK, {})
        await websocket.send("fine")

    async with listen(WebSocketServerProtocol, handler) as server:
        async with peer(server) as client:
            assert await client.recv() == "fine"


# --- server: what is agreed on ---------------------------------------------------


async def test_process_origin_may_decide_by_itself():
    class Protocol(WebSocketServerProtocol):
        @staticmethod
        def process_origin(headers, origins=None):
            origin = headers["Origin"]
            if not origin.endswith(".example"):
                raise InvalidOrigin(origin)
            return origin

    async with listen(Protocol, origins=["https://never"]) as server:
        async with peer(server, origin="https://any.example"):
            pass
        with pytest.raises(PeerInvalidStatus) as refused:
            await peer(server, origin="https://never")

    assert refused.value.response.status_code == 403


async def test_process_origin_calling_super_checks_as_usual():
    class Protocol(WebSocketServerProtocol):
        def process_origin(self, headers, origins=None):
            self.origin = super().process_origin(headers, origins)

    async def handler(websocket):
        await websocket.send(websocket.origin)

    async with listen(Protocol, handler, origins=["https://ours"]) as server:
        async with peer(server, origin="https://ours") as client:
            assert await client.recv() == "https://ours"
        with pytest.raises(PeerInvalidStatus):
            await peer(server)


async def test_process_extensions_may_leave_some_out():
    class Protocol(WebSocketServerProtocol):
        def process_extensions(self, headers, available_extensions):
            header, extensions = super().process_extensions(
                headers, available_extensions
            )
            if self.path == "/plain":
                return None, []
            return header, extensions

    async with listen(Protocol) as server:
        async with peer(server, "/plain") as client:
            assert client.protocol.extensions == []
            await client.send("hello" * 100)
            assert await client.recv() == "hello" * 100
        async with peer(server) as client:
            assert [e.name for e in client.protocol.extensions] == [
                "permessage-deflate"
            ]
            await client.send("hello" * 100)
            assert await client.recv() == "hello" * 100


async def test_process_extensions_may_refuse():
    class Protocol(WebSocketServerProtocol):
        @staticmethod
        def process_extensions(headers, available_extensions):
            raise NegotiationError("compress or go")

    async with listen(Protocol) as server:
        answer = await ask(server)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"compress or go" in answer


async def test_process_subprotocol_may_choose_by_headers():
    class Protocol(WebSocketServerProtocol):
        def process_subprotocol(self, headers, available_subprotocols):
            return headers["X-Want"]

    async with listen(Protocol, wait, subprotocols=["a", "b"]) as server:
        async with peer(
            server, subprotocols=["a", "b"], additional_headers={"X-Want": "b"}
        ) as client:
            assert client.subprotocol == "b"


async def test_handshake_of_a_server_may_ask_for_other_subprotocols():
    class Protocol(WebSocketServerProtocol):
        async def handshake(self, *args, **kwargs):
            return await super().handshake(subprotocols=["mine"])

    async with listen(Protocol, wait, subprotocols=["theirs"]) as server:
        async with peer(server, subprotocols=["theirs", "mine"]) as client:
            assert client.subprotocol == "mine"


@pytest.mark.parametrize(
    ("raised", "status", "logged"),
    [
        (AbortHandshake(410, {"X-Why": "old"}, b"gone\n"), b"410 Gone", 0),
        (InvalidOrigin("https://x"), b"403 Forbidden", 0),
        (KeyError("oops"), b"500 Internal Server Error", 1),
    ],
    ids=["abort", "invalid", "a mistake"],
)
async def test_what_a_handshake_of_ones_own_raises_is_answered(
    raised, status, logged, caplog
):
    class Protocol(WebSocketServerProtocol):
        async def handshake(self, *args, **kwargs):
            raise raised

    async with listen(Protocol) as server:
        answer = await ask(server)

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert len(errors_in(caplog)) == logged


async def test_a_refusal_within_a_handshake_of_ones_own_is_no_error(caplog):
    caught = []

    class Protocol(WebSocketServerProtocol):
        async def handshake(self, *args, **kwargs):
            try:
                return await super().handshake(*args, **kwargs)
            except InvalidHandshake as exc:
                caught.append(exc)
                raise

    async with listen(Protocol, origins=["https://ours"]) as server:
        answer = await ask(server)

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert isinstance(caught[0].__cause__, InvalidOrigin)
    assert errors_in(caplog) == []


@pytest.mark.parametrize(
    ("raised", "logged"), [(InvalidHandshake("no"), 0), (KeyError("oops"), 1)]
)
async def test_a_handshake_that_raises_after_the_answer_ends_the_connection(
    raised, logged, caplog
):
    class Protocol(WebSocketServerProtocol):
        async def handshake(self, *args, **kwargs):
            await super().handshake(*args, **kwargs)
            raise raised

    async with listen(Protocol) as server, peer(server) as client:
        await client.wait_closed()

    assert client.close_code == 1006
    assert len(errors_in(caplog)) == logged


# --- client ----------------------------------------------------------------------


async def test_handshake_of_a_client_of_2_6_may_be_overridden():
    class Protocol(WebSocketClientProtocol):
        async def handshake(
            self, wsuri, origin=None, subprotocols=None, extra_headers=None
        ):
            secure, host, _, resource_name = wsuri
            self.noted = resource_name
            await super().handshake(
                wsuri,
                origin=origin,
                subprotocols=subprotocols,
                extra_headers={"X-Mine": f"{secure} {host}"},
            )

    async def handler(websocket):
        headers = websocket.request.headers
        await websocket.send(f"{headers['X-Mine']} {headers['Origin']}")

    async with peer_serve(handler, "127.0.0.1", 0, subprotocols=["chat"]) as server:
        async with connect(
            uri_of(server, "/p?q"),
            create_protocol=Protocol,
            origin="https://here",
            subprotocols=["chat"],
        ) as websocket:
            assert await websocket.recv() == "False 127.0.0.1 https://here"
            assert websocket.noted == "/p?q"
            assert websocket.subprotocol == "chat"
            assert websocket.extensions == []  # which 2.6 does not know


async def test_handshake_of_a_client_sees_how_it_was_refused():
    caught = []

    class Protocol(WebSocketClientProtocol):
        async def handshake(self, *args, **kwargs):
            try:
                await super().handshake(*args, **kwargs)
            except InvalidHandshake as exc:
                caught.append(exc)
                raise

    def refuse(connection, request):
        if request.path == "/old":
            response = connection.respond(http.HTTPStatus.FOUND, "")
            response.headers["Location"] = "/new"
            return response
        return connection.respond(http.HTTPStatus.FORBIDDEN, "no\n")

    async with peer_serve(echo, "127.0.0.1", 0, process_request=refuse) as server:
        with pytest.raises(InvalidStatusCode) as refused:
            await connect(uri_of(server, "/old"), create_protocol=Protocol)

    assert isinstance(caught[0], RedirectHandshake)
    assert caught[0].uri == "/new"
    assert caught[1] is refused.value
    assert refused.value.status_code == 403


async def test_handshake_of_a_client_that_does_nothing_is_an_error():
    class Protocol(WebSocketClientProtocol):
        async def handshake(self, *args, **kwargs):
            pass

    async with peer_serve(echo, "127.0.0.1", 0) as server:
        with pytest.raises(RuntimeError, match=r"must call super\(\)\.handshake\(\)"):
            await connect(uri_of(server), create_protocol=Protocol)


async def test_write_http_request_and_read_http_response_are_steps_of_it():
    class Protocol(WebSocketClientProtocol):
        def write_http_request(self, path, headers):
            headers["X-Path"] = path
            super().write_http_request(f"{path}more", headers)

        async def read_http_response(self):
            status, headers = await super().read_http_response()
            self.noted = status, headers["X-Reply"]
            return status, headers

    def reply(connection, request, response):
        response.headers["X-Reply"] = request.headers["X-Path"]

    async with peer_serve(echo, "127.0.0.1", 0, process_response=reply) as server:
        async with connect(uri_of(server, "/p"), create_protocol=Protocol) as websocket:
            assert websocket.noted == (101, "/p")
            assert websocket.path == "/pmore"
            assert websocket.request_headers["X-Path"] == "/p"
            await websocket.send("hello")
            assert await websocket.recv() == "hello"


async def test_read_http_response_may_be_stricter_than_we_are():
    class Protocol(WebSocketClientProtocol):
        async def read_http_response(self):
            await super().read_http_response()
            return 403, {"X-Why": "mine"}

    async with peer_serve(echo, "127.0.0.1", 0) as server:
        with pytest.raises(InvalidStatusCode) as refused:
            await connect(uri_of(server), create_protocol=Protocol)

    assert refused.value.headers["X-Why"] == "mine"
    assert isinstance(refused.value.response, Response)


async def test_process_extensions_and_process_subprotocol_of_a_client():
    class Protocol(WebSocketClientProtocol):
        @staticmethod
        def process_extensions(headers, available_extensions):
            extensions = WebSocketClientProtocol.process_extensions(
                headers, available_extensions
            )
            if not extensions:
                raise NegotiationError("no compression")
            return extensions

        @staticmethod
        def process_subprotocol(headers, available_subprotocols):
            return f"{headers['Sec-WebSocket-Protocol']}!"

    async with peer_serve(echo, "127.0.0.1", 0, subprotocols=["chat"]) as server:
        async with connect(
            uri_of(server), create_protocol=Protocol, subprotocols=["chat"]
        ) as websocket:
            assert websocket.subprotocol == "chat!"
            await websocket.send("hello" * 100)
            assert await websocket.recv() == "hello" * 100
    async with peer_serve(echo, "127.0.0.1", 0, compression=None) as server:
        with pytest.raises(NegotiationError, match="no compression"):
            await connect(uri_of(server), create_protocol=Protocol)


# --- redirects -------------------------------------------------------------------


def redirecting(connection, request):
    if request.path == "/there":
        return None
    response = connection.respond(http.HTTPStatus.FOUND, "")
    response.headers["Location"] = "/there"
    return response


async def test_handle_redirect_is_told_of_each_redirect():
    seen = []

    class Watching(connect):
        def handle_redirect(self, uri):
            seen.append(uri)
            super().handle_redirect(uri)

    async with peer_serve(echo, "127.0.0.1", 0, process_request=redirecting) as server:
        connecting = Watching(uri_of(server))
        for _ in range(2):  # each connection asks the first server anew
            async with connecting as websocket:
                assert websocket.path == "/there"

    assert seen == ["/there", "/there"]


async def test_handle_redirect_may_go_elsewhere():
    class Elsewhere(connect):
        def handle_redirect(self, uri):
            super().handle_redirect(uri + "?more")

    def redirect(connection, request):
        return redirecting(connection, request) if request.path == "/" else None

    async with peer_serve(echo, "127.0.0.1", 0, process_request=redirect) as server:
        async with Elsewhere(uri_of(server)) as websocket:
            assert websocket.path == "/there?more"


async def test_handle_redirect_may_refuse_in_two_ways():
    class Raising(connect):
        def handle_redirect(self, uri):
            raise RedirectHandshake(uri)

    class Ignoring(connect):
        def handle_redirect(self, uri):
            pass

    async with peer_serve(echo, "127.0.0.1", 0, process_request=redirecting) as server:
        with pytest.raises(RedirectHandshake, match="redirect to /there"):
            await Raising(uri_of(server))
        with pytest.raises(InvalidStatusCode, match="HTTP 302"):
            await Ignoring(uri_of(server))


async def test_handle_redirect_by_hand_says_where_to_connect():
    async with peer_serve(echo, "127.0.0.1", 0) as server:
        connecting = connect("ws://nowhere.invalid/")
        connecting.handle_redirect(uri_of(server, "/here"))
        for _ in range(2):
            async with connecting as websocket:
                assert websocket.path == "/here"


def test_handle_redirect_leads_not_out_of_tls():
    with pytest.raises(SecurityError, match="from wss to ws"):
        connect("wss://localhost/").handle_redirect("ws://localhost/")
