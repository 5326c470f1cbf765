"""Values of headers that are not ASCII, in the documented API: ISO-8859-1 both ways.

Former editions read them as ASCII with surrogate escapes and wrote UTF-8.
"""

from __future__ import annotations

import asyncio

import pytest

from longwire import websockets
from longwire.websockets import datastructures
from longwire.websockets.legacy import client as old_client
from longwire.websockets.legacy import server as old_server
from tests.websockets.serving import UPGRADE, ask, port_of

LATIN = [(b"n\xe9e", "n\xe9e"), (b"n\xc3\xa9e", "n\xc3\xa9e"), (b"\xff", "\xff")]
TODAY = {"today's": websockets.asyncio.server.serve, "top level": websockets.serve}


async def connect_today(uri, headers):
    await websockets.asyncio.client.connect(uri, additional_headers=headers, proxy=None)


async def connect_then_change(uri, headers):
    connecting = websockets.connect(uri, proxy=None)
    connecting.additional_headers = headers
    await connecting


async def connect_in_a_thread(uri, headers):
    connect = websockets.sync.client.connect
    await asyncio.to_thread(connect, uri, additional_headers=headers, proxy=None)


CONNECTS = {
    "today's": connect_today,
    "changed later": connect_then_change,
    "for threads": connect_in_a_thread,
}


async def end(websocket):
    """A handler that returns at once."""


async def raw_server(answer, seen):
    """A server that answers every request with ``answer``, and keeps it."""

    async def accept(reader, writer):
        seen.append(await reader.readline())
        while (line := await reader.readline()).strip():
            seen[-1] += line
        writer.write(answer)
        writer.close()

    return await asyncio.start_server(accept, "127.0.0.1", 0)


@pytest.mark.parametrize("serve", TODAY.values(), ids=TODAY)
@pytest.mark.parametrize(("wire", "text"), LATIN)
async def test_a_server_reads_and_writes_latin_1(serve, wire, text):
    seen = []

    def process_request(connection, request):
        assert isinstance(request.headers, websockets.Headers)
        seen.append(request.headers["X-Name"])
        response = connection.respond(403, "no\n")
        response.headers["X-Back"] = request.headers["X-Name"]
        return response

    async with serve(end, "127.0.0.1", 0, process_request=process_request) as server:
        answer = await ask(server, fields=b"X-Name: %b\r\n" % wire)

    assert seen == [text]
    assert b"\r\nX-Back: %b\r\n" % wire in answer


async def test_a_handler_sees_them_too():
    seen = []

    async def handler(websocket):
        seen.append(websocket.request.headers["X-Name"])
        seen.append(websocket.request_headers["X-Name"])

    async with websockets.serve(handler, "127.0.0.1", 0) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(UPGRADE % (b"/", b"X-Name: n\xe9e\r\n"))
        async with asyncio.timeout(10):
            while len(seen) < 2:
                await asyncio.sleep(0.01)
        writer.close()

    assert seen == ["née", "née"]


async def test_process_response_may_set_latin_1_and_nothing_else(caplog):
    def process_response(connection, request, response):
        response.headers["X-Name"] = request.path[1:].replace("a", "é")

    def impossible(connection, request, response):
        response.headers["X-Name"] = "€"

    for hook, expected in (
        (process_response, b"HTTP/1.1 101 "),
        (impossible, b"HTTP/1.1 500 "),
    ):
        async with websockets.serve(
            end, "127.0.0.1", 0, process_response=hook, close_timeout=0.1
        ) as server:
            answer = await ask(server, b"/nae")
        assert answer.startswith(expected)
        if hook is process_response:
            assert b"\r\nX-Name: n\xe9e\r\n" in answer
    assert "not ISO-8859-1" in caplog.text


@pytest.mark.parametrize(
    "connect", [websockets.connect, websockets.asyncio.client.connect]
)
async def test_a_client_writes_and_reads_latin_1(connect):
    seen = []
    answer = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nX-Back: n\xe9e\r\n\r\n"
    async with await raw_server(answer, seen) as server:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(
                f"ws://127.0.0.1:{port_of(server)}",
                proxy=None,
                additional_headers={"X-Name": "née"},
            )

    assert b"\r\nX-Name: n\xe9e\r\n" in seen[0]
    assert refused.value.response.headers["X-Back"] == "née"
    assert isinstance(refused.value.response.headers, websockets.Headers)


async def test_a_client_refuses_what_cannot_be_sent():
    async with await raw_server(b"", []) as server:
        with pytest.raises(websockets.InvalidHeaderValue, match="not ISO-8859-1"):
            await websockets.connect(
                f"ws://127.0.0.1:{port_of(server)}",
                proxy=None,
                additional_headers={"X-Name": "€"},
            )


# --- the class --------------------------------------------------------------------


def test_headers_hold_latin_1_and_write_it():
    headers = websockets.Headers({"X-Name": "née"})

    assert headers.serialize() == b"X-Name: n\xe9e\r\n\r\n"
    for value in ("€", "\udce9"):
        with pytest.raises(websockets.InvalidHeaderValue):
            headers["X-Other"] = value
        with pytest.raises(ValueError):
            headers["X-Other"] = value


def test_what_is_set_without_a_check_goes_out_somehow():
    headers = websockets.Headers()
    headers.set_insecure("X-Name", "€")

    assert headers.serialize() == b"X-Name: \xe2\x82\xac\r\n\r\n"


# --- sans-I/O ---------------------------------------------------------------------

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"X-Name: n\xe9e\r\n\r\n"
)


def test_sans_io_classes_do_so_as_well():
    server = websockets.ServerProtocol()
    server.receive_data(REQUEST)
    (request,) = server.events_received()
    assert request.headers["X-Name"] == "née"
    response = server.accept(request)
    response.headers["X-Back"] = request.headers["X-Name"]
    server.send_response(response)
    (data,) = server.data_to_send()
    assert b"\r\nX-Back: n\xe9e\r\n" in data

    client = websockets.ClientProtocol(websockets.parse_uri("ws://localhost/"))
    request = client.connect()
    request.headers["X-Name"] = "née"
    client.send_request(request)
    assert b"\r\nX-Name: n\xe9e\r\n" in client.data_to_send()[0]
    client.receive_data(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nX: \xe9\r\n\r\n")
    assert client.events_received()[0].headers["X"] == "é"
    rejected = server.reject(404, "no")
    assert isinstance(rejected.headers, websockets.Headers)


@pytest.mark.parametrize("kind", [websockets.Headers, datastructures.OldHeaders])
def test_numbers_become_text(kind):
    headers = kind([("Content-Length", 4)])
    headers["X-Count"] = 5
    headers.update({"X-Rate": 0.5})

    assert headers["content-length"] == "4"
    assert (
        headers.serialize() == b"Content-Length: 4\r\nX-Count: 5\r\nX-Rate: 0.5\r\n\r\n"
    )


async def test_hooks_may_answer_with_numbers_in_headers():
    async def old(path, headers):
        return 200, [("Content-Length", 2), ("X-Count", 7)], b"ok"

    def today(connection, request):
        response = connection.respond(200, "ok")
        response.headers["X-Count"] = 7
        return response

    for serve, hook in ((old_server.serve, old), (websockets.serve, today)):
        async with serve(end, "127.0.0.1", 0, process_request=hook) as server:
            answer = await ask(server)
        assert b"\r\nX-Count: 7\r\n" in answer
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "given", [{"X-Id": 7, "X-Rate": 0.5}, [("X-Id", 7), ("X-Rate", 0.5)]]
)
@pytest.mark.parametrize("connect", CONNECTS.values(), ids=CONNECTS)
async def test_a_client_may_send_numbers_in_headers(connect, given):
    seen = []
    answer = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
    async with await raw_server(answer, seen) as server:
        with pytest.raises(websockets.InvalidStatus):
            await connect(f"ws://127.0.0.1:{port_of(server)}", given)

    assert b"\r\nX-Id: 7\r\nX-Rate: 0.5\r\n" in seen[0]


@pytest.mark.parametrize("given", [5, {"X": None}, [("X", b"y")], [("X",)]])
def test_other_headers_that_are_none_are_refused(given):
    for connect in (websockets.connect, websockets.sync.client.connect):
        with pytest.raises(TypeError, match=r"^additional_headers"):
            connect("ws://localhost:1", additional_headers=given)


# --- former editions --------------------------------------------------------------


@pytest.mark.parametrize("wire", [b"n\xe9e", b"n\xc3\xa9e"])
async def test_a_server_of_old_reads_ascii_with_surrogates_and_writes_utf_8(wire):
    seen = []

    async def process_request(path, headers):
        seen.append(headers["X-Name"])
        assert isinstance(headers, websockets.Headers)
        return 403, {"X-Back": "née €", "X-Same": headers["X-Name"]}, b""

    async with old_server.serve(
        end, "127.0.0.1", 0, process_request=process_request
    ) as server:
        answer = await ask(server, fields=b"X-Name: %b\r\n" % wire)

    assert seen[0].encode("ascii", "surrogateescape") == wire
    assert "\r\nX-Back: née €\r\n".encode() in answer
    assert b"\r\nX-Same: %b\r\n" % wire in answer


async def test_a_client_of_old_does_so_too():
    seen = []
    answer = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nX-Back: n\xe9e\r\n\r\n"
    async with await raw_server(answer, seen) as server:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await old_client.connect(
                f"ws://127.0.0.1:{port_of(server)}", extra_headers={"X-Name": "née"}
            )

    assert "\r\nX-Name: née\r\n".encode() in seen[0]
    assert refused.value.headers["X-Back"] == "n\udce9e"
