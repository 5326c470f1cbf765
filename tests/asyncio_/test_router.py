"""Routing by URL, with the real werkzeug."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tests.asyncio_.serving import ask, port_of
from tests.support.certificates import Certificates
from tests.support.needs import needs
from websockets.asyncio.client import connect, unix_connect
from websockets.exceptions import InvalidStatus

from longwire.asyncio.router import Router, route, unix_route
from longwire.asyncio.server import Server, ServerConnection


@pytest.fixture(autouse=True)
def _werkzeug() -> None:
    needs("werkzeug")


async def home(ws: ServerConnection) -> None:
    await ws.send("home")


async def room(ws: ServerConnection, name: str, number: int = 0) -> None:
    assert ws.request is not None
    await ws.send(f"room {name!r} {number} {ws.request.path}")


def url_map() -> Any:
    from werkzeug.routing import Map, Rule

    return Map(
        [
            Rule("/", endpoint=home),
            Rule("/room/<name>", endpoint=room),
            Rule("/room/<name>/<int:number>", endpoint=room),
            Rule("/folder/", endpoint=home),
            Rule("/old", redirect_to="/"),
        ]
    )


def routed(**kwargs: Any) -> Server:
    return route(url_map(), "127.0.0.1", 0, **kwargs)


async def visit(server: Server, path: str) -> str:
    uri = f"ws://127.0.0.1:{port_of(server)}{path}"
    async with connect(uri, proxy=None) as client:
        return str(await client.recv())


async def location_of(server: Server, path: bytes, host: bytes = b"x") -> bytes:
    """Return where a request for ``path`` is redirected to."""
    request = b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
    answer = await ask(server, request)
    assert answer.startswith(b"HTTP/1.1 302 Found\r\n")
    (line,) = (x for x in answer.split(b"\r\n") if x.startswith(b"Location: "))
    return line.removeprefix(b"Location: ")


async def test_each_path_has_its_handler() -> None:
    async with routed() as server:
        assert await visit(server, "/") == "home"
        assert await visit(server, "/room/blue") == "room 'blue' 0 /room/blue"
        assert await visit(server, "/room/b/7?x=1") == "room 'b' 7 /room/b/7?x=1"


async def test_captured_parts_are_decoded() -> None:
    async with routed() as server:
        path = "/room/gr%C3%BCn%20haus"
        assert await visit(server, path) == f"room 'grün haus' 0 {path}"


@pytest.mark.parametrize("path", ["/nowhere", "/room/b/seven", "//room/blue/x/y"])
async def test_other_paths_are_not_found(path: str) -> None:
    async with routed() as server:
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"ws://127.0.0.1:{port_of(server)}{path}", proxy=None)

    assert caught.value.response.status_code in (404, 302)


async def test_redirects_lead_to_the_host_that_was_asked() -> None:
    async with routed() as server:
        assert await location_of(server, b"/old", b"a.example") == b"ws://a.example/"
        assert await location_of(server, b"/folder", b"a.example:81") == (
            b"ws://a.example:81/folder/"
        )
        assert await visit(server, "/folder") == "home"


async def test_redirects_lead_to_the_servers_name_and_scheme() -> None:
    async with routed(server_name="wire.example", ssl=True) as server:
        assert await location_of(server, b"/old") == b"wss://wire.example/"


async def test_routes_work_over_tls(certificates: Certificates) -> None:
    async with routed(ssl=certificates.server) as server:
        uri = f"wss://localhost:{port_of(server)}/room/blue"
        async with connect(uri, ssl=certificates.client, proxy=None) as client:
            assert await client.recv() == "room 'blue' 0 /room/blue"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_process_request_is_asked_before_the_map(asynchronous: bool) -> None:
    def first(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(403, "No\n") if request.path == "/" else None

    async def first_later(connection: ServerConnection, request: Any) -> Any:
        return first(connection, request)

    async with routed(process_request=first_later if asynchronous else first) as server:
        with pytest.raises(InvalidStatus) as caught:
            await visit(server, "/")
        assert caught.value.response.status_code == 403
        assert (await visit(server, "/room/a")).startswith("room 'a'")


async def test_a_router_may_be_a_subclass() -> None:
    class Mine(Router):
        def not_found(self, connection: ServerConnection) -> Any:
            return connection.respond(410, "Gone\n")

    async with routed(create_router=Mine) as server:
        with pytest.raises(InvalidStatus) as caught:
            await visit(server, "/nowhere")

    assert caught.value.response.status_code == 410


async def test_routes_work_on_a_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    async with (
        unix_route(url_map(), path, server_name="wire.example"),
        unix_connect(path, uri="ws://localhost/room/blue") as client,
    ):
        assert await client.recv() == "room 'blue' 0 /room/blue"


def test_mistakes_are_told_by_route_itself() -> None:
    with pytest.raises(TypeError, match="did you mean 'ping_interval'"):
        routed(ping_intervall=3)
    with pytest.raises(TypeError, match="process_request must be"):
        routed(process_request="yes")


def test_a_missing_werkzeug_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = url_map()
    monkeypatch.setitem(sys.modules, "werkzeug.routing", None)

    with pytest.raises(ImportError, match=r"install '\.\[router\]'"):
        route(rules, "127.0.0.1", 0)
