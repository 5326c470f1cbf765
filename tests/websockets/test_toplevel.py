"""The package's own names: where they are from, and how the edition is chosen."""

from __future__ import annotations

import asyncio
import http
import importlib
import logging
import subprocess
import sys

import pytest
from websockets.asyncio.server import serve as peer_serve

import longwire
from longwire import websockets
from longwire.websockets import old_names
from longwire.websockets.asyncio import client as today_client
from longwire.websockets.asyncio import server as today_server
from longwire.websockets.legacy import client as old_client
from longwire.websockets.legacy import server as old_server
from tests.support.commands import environment
from tests.websockets.serving import ask, echo, peer, uri_of, wait


def listen(handler=echo, **kwargs):
    return websockets.serve(handler, "127.0.0.1", 0, **kwargs)


# --- names -----------------------------------------------------------------------


@pytest.mark.parametrize("name", websockets.__all__)
def test_a_name_can_be_imported(name):
    assert getattr(websockets, name) is not None


def test_the_list_of_names_is_the_table_of_where_they_are_from():
    assert websockets.__all__ == sorted(websockets._HOME_OF)


@pytest.mark.parametrize("name", sorted(websockets._MODULES))
def test_a_module_needs_no_import_of_its_own(name):
    module = importlib.import_module(f"longwire.websockets.{name}")

    assert getattr(websockets, name) is module


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'served'"):
        websockets.served  # noqa: B018


@pytest.mark.parametrize(
    "name",
    [
        "ConnectionClosed",
        "Request",
        "Router",
        "basic_auth",
    ],
)
def test_what_is_the_same_thing_is_the_same_object(name):
    assert getattr(websockets, name) is getattr(longwire, name)


def test_importing_the_package_loads_no_front_end():
    script = "import sys; from longwire import websockets; print('ssl' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )

    assert done.stdout == "False\n"


# --- which edition ---------------------------------------------------------------


async def takes_two(websocket, path):
    await websocket.send(path)


async def health_check(path, request_headers):
    return (http.HTTPStatus.OK, [], b"OK\n") if path == "/healthz" else None


async def underscored(_path, _):
    return None


async def second_named(p, headers):
    return None


def choose(client_subprotocols, server_subprotocols):
    return None


@pytest.mark.filterwarnings("ignore:re(move|name):DeprecationWarning")
@pytest.mark.parametrize(
    "kwargs",
    [
        {"create_protocol": old_server.WebSocketServerProtocol},
        {"klass": old_server.WebSocketServerProtocol},
        {"extra_headers": {}},
        {"read_limit": 2**16},
        {"loop": None},
        {"timeout": 5},
        {"legacy_recv": True},
        {"process_request": health_check},
        {"process_request": underscored},
        {"process_request": second_named},
        {"select_subprotocol": choose},
    ],
    ids=lambda kwargs: "-".join(kwargs),
)
def test_a_sign_of_the_old_api_chooses_the_old_server(kwargs):
    assert isinstance(websockets.serve(echo, **kwargs), old_server.serve)


def test_a_handler_that_takes_the_path_chooses_the_old_server():
    with pytest.warns(DeprecationWarning, match="second argument"):
        serving = websockets.serve(takes_two)

    assert isinstance(serving, old_server.serve)


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"process_request": lambda connection, request: None},
        {"process_request": lambda a, b: None},
        {"process_response": lambda connection, request, response: None},
        {"select_subprotocol": lambda connection, subprotocols: None},
        {"create_connection": longwire.ServerConnection},
    ],
)
def test_without_one_it_is_the_server_of_today(kwargs):
    assert isinstance(websockets.serve(echo, **kwargs), longwire.Server)


@pytest.mark.parametrize(
    ("kwargs", "both"),
    [
        ({"extra_headers": {}, "create_connection": wait}, "extra_headers="),
        (
            {"process_request": health_check, "process_response": wait},
            r"process_request=\(path, request_headers\).* process_response=",
        ),
        (
            {"process_request": lambda connection, request: None, "read_limit": 1},
            r"read_limit=.*process_request=\(connection, request\)",
        ),
        (
            {
                "select_subprotocol": lambda connection, offered: None,
                "create_protocol": wait,
            },
            "create_protocol=.*select_subprotocol=",
        ),
    ],
)
def test_signs_of_both_are_an_error_that_names_both(kwargs, both):
    with pytest.raises(TypeError, match=both):
        websockets.serve(echo, **kwargs)


def test_a_handler_with_a_path_beside_a_new_keyword_is_an_error():
    with pytest.raises(TypeError, match=r"takes the path.*create_connection="):
        websockets.serve(takes_two, create_connection=wait)


@pytest.mark.filterwarnings("ignore:re(move|name):DeprecationWarning")
@pytest.mark.parametrize(
    "kwargs",
    [
        {"create_protocol": old_client.WebSocketClientProtocol},
        {"klass": old_client.WebSocketClientProtocol},
        {"extra_headers": {}},
        {"read_limit": 1},
        {"loop": None},
        {"timeout": 1},
        {"legacy_recv": False},
    ],
    ids=lambda kwargs: "-".join(kwargs),
)
def test_a_sign_of_the_old_api_chooses_the_old_client(kwargs):
    connecting = websockets.connect("ws://localhost", **kwargs)

    assert isinstance(connecting, old_client.connect)


def test_without_one_it_is_the_client_of_today():
    connecting = websockets.connect("ws://localhost", additional_headers={})

    assert isinstance(connecting, websockets.connect)
    assert isinstance(connecting, today_client.connect)


def test_keywords_of_both_clients_are_an_error_that_names_both():
    with pytest.raises(TypeError, match=r"extra_headers=.*additional_headers="):
        websockets.connect("ws://x", extra_headers={}, additional_headers={})


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("pingtimeout", "ping_timeout"), ("heartbeat", "ping_interval")],
)
def test_an_unknown_keyword_says_which_is_meant(wrong, meant):
    with pytest.raises(TypeError, match=f"'{wrong}'; did you mean '{meant}'"):
        websockets.serve(echo, **{wrong: 1})


# --- what both editions mean the same ----------------------------------------------


async def test_a_plain_server_has_the_names_of_all_editions():
    seen = []

    async def handler(websocket):
        seen.append((websocket.path, websocket.open, websocket.closed))
        seen.append((websocket.request_headers["X-A"], websocket.request.path))
        assert isinstance(websocket, websockets.ServerConnection)
        assert server.websockets == server.connections == {websocket}

    async with listen(handler) as server:
        async with peer(server, "/p", additional_headers={"X-A": "b"}) as client:
            await client.wait_closed()

    assert seen == [("/p", True, False), ("b", "/p")]


async def test_a_plain_client_has_the_names_of_all_editions():
    async with peer_serve(echo, "127.0.0.1", 0) as server:
        async with websockets.connect(uri_of(server, "/p"), proxy=None) as websocket:
            assert (websocket.path, websocket.open) == ("/p", True)
            assert websocket.response_headers["Upgrade"] == "websocket"
            assert isinstance(websocket, old_names.ClientConnection)


async def test_process_request_of_both_editions_refuses():
    def new(connection, request):
        return connection.respond(403, "no\n")

    for hook, status in ((health_check, b"200"), (new, b"403")):
        async with listen(process_request=hook) as server:
            answer = await ask(server, b"/healthz")

        assert answer.startswith(b"HTTP/1.1 " + status)


def test_serve_and_connect_work_through_run_until_complete():
    serving = listen()
    loop = asyncio.new_event_loop()

    server = loop.run_until_complete(serving)
    websocket = loop.run_until_complete(websockets.connect(uri_of(server), proxy=None))

    assert websocket.open
    loop.run_until_complete(websocket.close())
    server.close()
    loop.run_until_complete(server.wait_closed())
    loop.close()


async def test_a_server_and_a_client_on_a_unix_socket(tmp_path):
    path = tmp_path / "socket"
    async with websockets.unix_serve(echo, path):
        async with websockets.unix_connect(path) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"


@pytest.mark.parametrize("positional", [True, False])
async def test_broadcast_takes_raise_exceptions_either_way(positional):
    async with listen(wait) as server, peer(server) as client:
        if positional:
            websockets.broadcast(server.connections, "hello", True)
        else:
            websockets.broadcast(server.connections, "hello", raise_exceptions=True)

        assert await client.recv() == "hello"


async def test_the_documented_variable_bounds_redirects(monkeypatch):
    def redirect(connection, request):
        response = connection.respond(http.HTTPStatus.FOUND, "")
        response.headers["Location"] = "/again"
        return response

    monkeypatch.setenv("WEBSOCKETS_MAX_REDIRECTS", "2")
    async with peer_serve(wait, "127.0.0.1", 0, process_request=redirect) as server:
        with pytest.raises(websockets.SecurityError, match="more than 2 redirects"):
            await websockets.connect(uri_of(server), proxy=None)


# --- loggers ---------------------------------------------------------------------


@pytest.mark.parametrize("serve", [websockets.serve, today_server.serve])
async def test_servers_log_to_websockets_server(serve, caplog):
    caplog.set_level(logging.INFO)
    async with serve(wait, "127.0.0.1", 0) as server, peer(server):
        pass

    ours = {r.name for r in caplog.records if "Connection" in str(vars(r))}
    assert "websockets.server" in {r.name for r in caplog.records}
    assert not [name for name in ours if name.startswith("longwire")]


@pytest.mark.parametrize(
    "connect",
    [websockets.connect, today_client.connect, websockets.legacy.client.connect],
)
async def test_clients_log_to_websockets_client(connect, caplog):
    caplog.set_level(logging.DEBUG)
    async with peer_serve(wait, "127.0.0.1", 0) as server:
        async with connect(uri_of(server), proxy=None):
            pass

    found = [r for r in caplog.records if r.name == "websockets.client"]
    assert "connection open" in [r.getMessage() for r in found]
    # The lines of a server are at INFO; those of a client are for its author.
    assert {r.levelno for r in found} == {logging.DEBUG}


async def test_a_logger_of_ones_own_is_used(caplog):
    caplog.set_level(logging.INFO)
    async with listen(wait, logger=logging.getLogger("mine")) as server:
        async with peer(server):
            pass

    assert "connection open" in {
        r.getMessage() for r in caplog.records if r.name == "mine"
    }


async def test_frames_are_in_the_log_at_debug(caplog):
    caplog.set_level(logging.DEBUG, "websockets.server")
    async with listen(echo) as server, peer(server) as client:
        await client.send("hello")
        await client.recv()
        await client.send(b"\x00\x01")
        await client.recv()

    lines = [r.getMessage() for r in caplog.records if r.name == "websockets.server"]
    assert "< GET / HTTP/1.1" in lines
    assert "> HTTP/1.1 101 Switching Protocols" in lines
    for line in ("TEXT 'hello' [5 bytes]", "BINARY 00 01 [2 bytes]"):
        assert f"< {line}" in lines
        assert f"> {line}" in lines
    assert "< CLOSE 1000 (OK) [2 bytes]" in lines
