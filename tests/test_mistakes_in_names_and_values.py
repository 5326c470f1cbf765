"""Mistakes in names and values: what is raised says what to write, everywhere."""

from __future__ import annotations

import asyncio
import functools
import re
import socket
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import longwire
from longwire import hub, rpc, sync, testing
from longwire import trio as on_trio
from longwire.asgi import protocol
from longwire.connection import Connection
from longwire.hints import _Absent
from longwire.hosting import Host
from longwire.http.heads import Request
from longwire.metrics import Metrics, Tracing
from longwire.rpc import sync as rpc_sync
from longwire.rpc import trio as rpc_trio
from tests.test_mistakes_on_every_front_end import (
    NOWHERE,
    RPCS,
    SERVES,
    handler,
    plain_handler,
    run,
    serve_on_trio,
)

# --- values that serve() is given ------------------------------------------------

SERVERS: dict[str, Callable[..., Any]] = {
    **SERVES,
    **{
        f"{name}.Server": lambda package=package, **keywords: package.Server(**keywords)
        for name, package in RPCS.items()
    },
    "asgi.protocol": protocol,
}

ORIGINS: dict[str, tuple[Any, str]] = {
    "all": ("*", "write origins=None"),
    "all in a list": (["*"], "write origins=None"),
    "no scheme": (["example.org"], "write 'https://example.org'"),
    "no scheme, local": (["localhost:3000"], "write 'http://localhost:3000'"),
    "a slash": (["https://example.org/"], "write 'https://example.org'"),
    "a path": (["https://example.org:8/a/b"], "write 'https://example.org:8'"),
    "a wildcard": (["https://*.example.org"], "write re.compile("),
    "one": ("https://example.org", "write ['https://example.org']"),
    "a number": (5, 'must be a list of values or "same", not int'),
    "a switch": (True, 'must be a list of values or "same", not bool'),
    "a number in a list": (
        [5],
        "origins has an int; str, re.Pattern, None are allowed",
    ),
}


@pytest.mark.parametrize("serve", SERVERS.values(), ids=SERVERS)
@pytest.mark.parametrize(("origins", "text"), ORIGINS.values(), ids=ORIGINS)
def test_an_origin_that_no_page_has_is_refused_at_once(
    serve: Callable[..., Any], origins: Any, text: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        serve(origins=origins)
    assert text in str(caught.value)


@pytest.mark.parametrize("serve", SERVERS.values(), ids=SERVERS)
def test_every_origin_that_a_page_may_have_is_taken(serve: Callable[..., Any]) -> None:
    origins = ["null", "same", None, "http://[::1]:8080", "app://local"]
    with pytest.raises((TypeError, ValueError)) as caught:
        serve(origins=[*origins, 5])
    assert "origins has an int" in str(caught.value)


def test_the_documented_api_takes_any_text_for_an_origin() -> None:
    from longwire.websockets.asyncio.server import serve as documented
    from longwire.websockets.sync.server import serve as in_threads

    async def main() -> None:
        async with documented(handler, "127.0.0.1", 0, origins=["*"]):
            pass

    asyncio.run(main())
    in_threads(plain_handler, "127.0.0.1", 0, origins=["*"]).shutdown()


class Chat:
    async def coroutine(self, websocket: Any) -> None: ...

    def function(self, websocket: Any) -> None: ...


def listening(make: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    return lambda: make(*args, **keywords)


async def three(websocket: Any, database: Any, cache: Any) -> None: ...


async def none() -> None: ...


VALUES: dict[str, tuple[Callable[[], Any], type[BaseException], str]] = {
    "host and port in one tuple": (
        listening(longwire.serve, handler, ("localhost", 8765)),
        TypeError,
        "write serve(handler, 'localhost', 8765)",
    ),
    "host and port in one tuple, in threads": (
        listening(sync.serve, plain_handler, ("localhost", 8765)),
        TypeError,
        "write serve(handler, 'localhost', 8765)",
    ),
    "a host of bytes": (
        listening(longwire.serve, handler, b"localhost", 0),
        TypeError,
        "host must be a str, not bytes",
    ),
    **{
        f"a port with a point, {name}": (
            listening(make, *args),
            TypeError,
            "port must be an int or None, not float",
        )
        for name, make, args in [
            ("asyncio", longwire.serve, (handler, "localhost", 8765.0)),
            ("sync", sync.serve, (plain_handler, "localhost", 8765.0)),
            ("trio", serve_on_trio, (handler, 8765.0)),
        ]
    },
    "a method of a class": (
        listening(longwire.serve, Chat.coroutine),
        TypeError,
        "it is a method: write Chat().coroutine",
    ),
    "a method of a class, in threads": (
        listening(sync.serve, Chat.function, "localhost", 0),
        TypeError,
        "it is a method: write Chat().function",
    ),
    "a class": (listening(longwire.serve, Chat), TypeError, "it is a class"),
    "more parameters": (
        listening(longwire.serve, three),
        TypeError,
        "functools.partial() gives the others",
    ),
    "no parameter": (
        listening(longwire.serve, none),
        TypeError,
        "write none(websocket)",
    ),
    "handlers by path": (
        listening(longwire.serve, {"/chat": handler}),
        TypeError,
        "route() chooses one by the path",
    ),
    "a hub": (listening(longwire.serve, hub.Hub()), TypeError, "hub.install(server)"),
    "handlers by path for route": (
        listening(longwire.route, {"/chat": handler}, "localhost", 0),
        TypeError,
        "write Map([Rule('/chat', endpoint=handler)])",
    ),
    "handlers by path for route, in threads": (
        listening(sync.route, {"/chat": plain_handler}, "localhost", 0),
        TypeError,
        "write Map([Rule('/chat', endpoint=handler)])",
    ),
    "a socket that is a number": (
        listening(sync.serve, plain_handler, sock=5),
        TypeError,
        "sock must be a socket or None, not int",
    ),
    "subprotocols that are a number": (
        listening(longwire.serve, handler, subprotocols=5),
        TypeError,
        "subprotocols must be a list of str, not int",
    ),
    **{
        f"basic_auth that was not called, {name}": (
            listening(make, process_request=auth),
            TypeError,
            "write basic_auth('realm', ('user', 'password'))",
        )
        for name, make, auth in [
            ("asyncio", SERVES["asyncio"], longwire.basic_auth),
            ("sync", SERVES["sync"], sync.basic_auth),
            ("trio", SERVES["trio"], on_trio.basic_auth),
        ]
    },
    "basic_auth of nobody": (
        listening(longwire.basic_auth),
        ValueError,
        "write basic_auth('realm', ('user', 'password'))",
    ),
    "basic_auth with a check of one argument": (
        listening(longwire.basic_auth, check_credentials=lambda user: True),
        TypeError,
        "check_credentials(username, password)",
    ),
    "metrics.respond that was not called": (
        lambda: SERVES["asyncio"](process_request=Metrics().respond),
        TypeError,
        "write metrics.respond()",
    ),
    "unix_serve without a path": (
        listening(longwire.unix_serve, handler),
        ValueError,
        "write unix_serve(handler, '/run/x')",
    ),
    "unix_serve without a path, in threads": (
        listening(sync.unix_serve, plain_handler),
        ValueError,
        "write unix_serve(handler, '/run/x')",
    ),
    "unix_serve of a number": (
        listening(longwire.unix_serve, handler, 5),
        TypeError,
        "path must be a str or Path or None, not int",
    ),
    "unix_serve of a URI": (
        listening(sync.unix_serve, plain_handler, "ws://x"),
        ValueError,
        "the path of a file is allowed",
    ),
}


@pytest.mark.parametrize(("make", "kind", "text"), VALUES.values(), ids=VALUES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_value_that_no_server_can_use_is_answered_with_what_to_write(
    make: Callable[[], Any], kind: type[BaseException], text: str
) -> None:
    with pytest.raises(kind) as caught:
        run(make)
    assert text in str(caught.value)


# --- what connect() is given -----------------------------------------------------

URIS: dict[str, tuple[str, str]] = {
    "only a host": ("localhost", "write ws://localhost"),
    "an address": ("127.0.0.1:8765/chat", "write ws://127.0.0.1:8765/chat"),
    "no scheme": ("//localhost/chat", "write ws://localhost/chat"),
    "one slash": ("ws:/localhost:8765", "write ws://localhost:8765"),
    "IPv6 without brackets": ("ws://::1:8765/", "write [::1]"),
    "the path of a socket": ("/run/chat.sock", "write unix_connect(path)"),
    "the scheme unix": ("unix:///run/chat.sock", "write unix_connect(path)"),
    "nothing": ("", "'' isn't a valid URI"),
}
CONNECTING: dict[str, Callable[..., Any]] = {
    "asyncio": longwire.connect,
    "sync": sync.connect,
    "trio": on_trio.connect,
    **{f"{name}.Client": package.Client for name, package in RPCS.items()},
}


@pytest.mark.parametrize("connect", CONNECTING.values(), ids=CONNECTING)
@pytest.mark.parametrize(("uri", "text"), URIS.values(), ids=URIS)
def test_an_address_that_is_no_uri_is_answered_with_one(
    connect: Callable[..., Any], uri: str, text: str
) -> None:
    with pytest.raises(longwire.InvalidURI) as caught:
        connect(uri)
    assert text in str(caught.value)


ASKED: dict[str, tuple[dict[str, Any], type[BaseException], str]] = {
    "a proxy without a scheme": (
        {"proxy": "localhost:3128"},
        longwire.InvalidProxy,
        "write http://localhost:3128",
    ),
    "a number in a header": (
        {"additional_headers": {"X-Id": 5}},
        TypeError,
        "additional_headers: a header's name and value must be str",
    ),
    "keepalive": ({"keepalive": 20}, TypeError, "write ping_interval="),
    "subprotocols that are a number": (
        {"subprotocols": 5},
        TypeError,
        "subprotocols must be a list of str, not int",
    ),
}


@pytest.mark.parametrize("connect", CONNECTING.values(), ids=CONNECTING)
@pytest.mark.parametrize(("keywords", "kind", "text"), ASKED.values(), ids=ASKED)
def test_a_value_that_no_client_can_use_is_answered_with_what_to_write(
    connect: Callable[..., Any],
    keywords: dict[str, Any],
    kind: type[BaseException],
    text: str,
) -> None:
    with pytest.raises(kind) as caught:
        connect(NOWHERE, **keywords)
    assert text in str(caught.value)


@pytest.mark.parametrize("connect", [longwire.connect, sync.connect])
def test_a_text_is_no_socket(connect: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="sock must be a connected socket or None"):
        connect(NOWHERE, sock="x")


@pytest.mark.parametrize(
    "connect", [longwire.unix_connect, sync.unix_connect, on_trio.unix_connect]
)
@pytest.mark.parametrize(
    ("path", "text"),
    [
        (5, "not int: write unix_connect("),
        ("ws://x", "unix_connect('/run/x', 'ws://x')"),
    ],
)
def test_what_is_no_path_of_a_socket_is_refused(
    connect: Callable[..., Any], path: Any, text: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        connect(path)
    assert text in str(caught.value)


def test_a_host_that_is_given_beside_the_uri_is_the_one_that_is_named() -> None:
    with pytest.raises(OSError) as caught:
        run(lambda: longwire.connect(NOWHERE, host="no.such.host.invalid"))
    text = str(caught.value)
    assert "host no.such.host.invalid, where ws://127.0.0.1:1/ is to be found" in text


# --- what callbacks return -------------------------------------------------------

RETURNED: dict[str, tuple[dict[str, Any], str]] = {
    "a text": (
        {"process_request": lambda connection, request: "no"},
        "returned a str; Response or None are allowed: write 'return connection.",
    ),
    "a status": (
        {"process_request": lambda connection, request: 404},
        "returned an int; Response or None are allowed: write 'return "
        "connection.respond(404,",
    ),
    "True": ({"process_request": lambda connection, request: True}, "or None to go on"),
    "a response without a text": (
        {"process_request": lambda connection, request: connection.respond(404)},
        "write connection.respond(403, 'text'",
    ),
    "a type by position": (
        {"process_request": lambda connection, _: connection.respond(200, "", "a/b")},
        "write connection.respond(403, 'text', content_type=",
    ),
    "101": (
        {"process_request": lambda connection, _: connection.respond(101, "")},
        "101 is what opens a connection: return None",
    ),
    "a subprotocol that nobody offered": (
        {"select_subprotocol": lambda connection, offered: "chat"},
        "None or one of those offered is allowed: none was offered",
    ),
}


@pytest.mark.parametrize(("keywords", "text"), RETURNED.values(), ids=RETURNED)
def test_what_a_callback_must_not_return_is_in_the_log_with_what_to_write(
    keywords: dict[str, Any], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with testing.serving(handler, **keywords) as server:
        with pytest.raises(longwire.InvalidStatus, match="HTTP 500"):
            sync.connect(server.uri)
    assert text in caplog.text


@pytest.mark.parametrize("value", [True, 5, {"ok": True}])
def test_a_health_check_that_returns_no_text_is_told_in_the_log(
    value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with testing.serving(handler, health={"/healthz": lambda: value}) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 503 ")
    told = f"a health check returned {value!r}; None says that all is well"
    assert told in caplog.text


# --- names -----------------------------------------------------------------------


def servers() -> Iterator[tuple[str, Any]]:
    for package in (longwire, sync, on_trio):
        yield package.__name__, package.Server.__new__(package.Server)


NAMES: dict[str, str] = {
    "clients": "write server.connections",
    "broadcast": "write broadcast(server.connections, message)",
    "send_all": "write broadcast(server.connections, message)",
    "run_forever": "write server.serve_forever()",
    "start": "write server.serve_forever()",
    "stop": "write server.close() or server.drain(), in threads server.shutdown()",
    "port": "getsockname()",
    "on_connect": "a server calls its handler for each connection",
}


@pytest.mark.parametrize(("package", "server"), list(servers()))
@pytest.mark.parametrize(("name", "text"), NAMES.items())
def test_a_name_that_servers_of_others_have_is_answered_with_ours(
    package: str, server: Any, name: str, text: str
) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(server, name)
    assert f"'Server' object has no attribute {name!r}; {text}" in str(
        caught.value
    ) or (text == "getsockname()" and text in str(caught.value))
    assert name not in dir(server)


# How each package ends a server, and learns where it listens.
ENDS = {"longwire": "close", "longwire.sync": "shutdown", "longwire.trio": "aclose"}
PLACES = {
    "longwire": "sockets[0]",
    "longwire.sync": "socket",
    "longwire.trio": "listeners[0].socket",
}


@pytest.mark.parametrize(("package", "server"), list(servers()))
@pytest.mark.parametrize(
    ("ours", "names"),
    [(ENDS, "stop close aclose shutdown"), (PLACES, "port address socket sockets")],
)
def test_a_hint_is_true_of_each_kind_of_server(
    package: str, server: Any, ours: dict[str, str], names: str
) -> None:
    """None names only what this server does not have either, or the same name again."""
    own = ours[package]
    for name in {*names.split()} - {own, own.partition("[")[0]}:
        with pytest.raises(AttributeError, match=rf"\bserver\.{re.escape(own)}[.(]"):
            getattr(server, name)


OWN_NAMES: dict[str, tuple[Any, str, str]] = {
    **{
        f"request.{name}": (Request("/", longwire.Headers()), name, text)
        for name, text in {
            "query_params": "write request.query",
            "args": "write request.query",
            "url": "write request.path",
            "json": "has no body",
            "body": "has no body",
            "cookies": "request.headers.get('Cookie')",
            "client": "write websocket.remote_address",
        }.items()
    },
    **{
        f"{name}.Client.{wrong}": (package.Client, wrong, text)
        for name, package in RPCS.items()
        for wrong, text in {
            "request": "write client.call(method, ...)",
            "add": "write client.call('add', ...), or client.proxy.add(...)",
            "subscribe": "write client.stream(method, ...)",
            "on": "is a route: Client(uri, {'name': function})",
            "connect": "write 'async with Client(uri) as client', in threads without",
            "disconnect": "write client.close()",
        }.items()
    },
    **{
        f"{name}.Server.{wrong}": (package.Server, wrong, text)
        for name, package in RPCS.items()
        for wrong, text in {
            "route": "write @server.routes.route",
            "register": "server.routes.add(name, function)",
            "run": "write 'async with server.serve(",
            "clients": "write server.peers",
            "call": "server.broadcast(method, ...)",
        }.items()
    },
    **{
        f"Hub.{wrong}": (hub.Hub, wrong, text)
        for wrong, text in {
            "broadcast": "write await hub.publish(topic, data)",
            "subscribe": "HubClient(client).subscribe(topic)",
            "serve": "write hub.install(server)",
            "asgi": "write longwire.hub.asgi(hub)",
            "channel": "write hub.topic(name, subscribe=...)",
        }.items()
    },
    **{
        f"Metrics.{wrong}": (Metrics, wrong, text)
        for wrong, text in {
            "start_http_server": "process_request=metrics.respond()",
            "generate_latest": "write metrics.text()",
        }.items()
    },
}


@pytest.mark.parametrize(("owner", "name", "text"), OWN_NAMES.values(), ids=OWN_NAMES)
def test_a_name_that_others_have_is_answered_with_ours(
    owner: Any, name: str, text: str
) -> None:
    thing = owner.__new__(owner) if isinstance(owner, type) else owner
    with pytest.raises(AttributeError) as caught:
        getattr(thing, name)
    assert f"has no attribute {name!r}; " in str(caught.value)
    assert text in str(caught.value)
    assert not hasattr(thing, name)


OF_CONNECTIONS: dict[str, str] = {
    "user": "websocket.data is yours",
    "session": "websocket.data is yours",
    "join": "keep a set of connections for each room",
    "rooms": "keep a set of connections for each room",
    "broadcast": "write broadcast(connections, message)",
    "settimeout": "write recv(timeout=seconds) in threads",
    "drain": "send() waits while its peer does not read",
    "args": "write websocket.request.query",
}


@pytest.mark.parametrize("package", [longwire, sync, on_trio])
@pytest.mark.parametrize("side", ["ClientConnection", "ServerConnection"])
@pytest.mark.parametrize(("name", "text"), OF_CONNECTIONS.items())
def test_a_name_that_connections_of_others_have_is_answered_with_ours(
    package: Any, side: str, name: str, text: str
) -> None:
    cls = getattr(package, side)
    connection = cls.__new__(cls)
    with pytest.raises(AttributeError) as caught:
        getattr(connection, name)
    assert text in str(caught.value)


def test_a_connection_of_a_handler_is_not_said_to_be_one_of_connect() -> None:
    connection = longwire.ServerConnection.__new__(longwire.ServerConnection)
    with pytest.raises(AttributeError, match="'async for message in websocket' gives"):
        connection.upper  # type: ignore[attr-defined] # noqa: B018


def subclasses(cls: type) -> Iterator[type]:
    yield cls
    for each in cls.__subclasses__():
        yield from subclasses(each)


def test_no_hint_hides_what_a_class_has() -> None:
    roots: list[type] = [Host, Connection, hub.Hub, rpc.Client, rpc.Server, Metrics]
    roots += [rpc_sync.Client, rpc_trio.Client, rpc_sync.Server, rpc_trio.Server]
    for cls in {each for root in roots for each in subclasses(root)}:
        for base in cls.__mro__:
            for name, value in vars(base).items():
                if type(value) is not _Absent:
                    continue
                for other in cls.__mro__[cls.__mro__.index(base) :]:
                    assert type(vars(other).get(name, value)) is _Absent, (cls, name)


MODULE: dict[str, str] = {
    **{
        name: f"write 'import longwire.{name}'"
        for name in ("asgi", "hub", "metrics", "rpc", "sync", "testing", "trio")
    },
    "websockets": "write 'import longwire.websockets'",
    "WebSocketApp": "write 'async with longwire.connect(uri) as websocket'",
    "create_connection": "write 'async with longwire.connect(uri) as websocket'",
    "WebSocketServer": "longwire.serve(handler, host, port)",
    "exceptions": "it is in longwire itself",
}


@pytest.mark.parametrize(("name", "text"), MODULE.items())
def test_a_name_that_the_package_does_not_have_is_answered_with_one(
    name: str, text: str
) -> None:
    with pytest.raises(AttributeError) as caught:
        longwire.__getattr__(name)
    told = str(caught.value)
    assert told.startswith(f"module 'longwire' has no attribute {name!r}; ")
    assert text in told


def test_a_misspelt_name_of_the_package_is_found_by_python() -> None:
    with pytest.raises(AttributeError) as caught:
        longwire.conmect  # type: ignore[attr-defined] # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("conmect", longwire)


# --- broadcast, RPC, hub, metrics and the helpers for tests ----------------------


def a_connection() -> Any:
    return longwire.ClientConnection.__new__(longwire.ClientConnection)


def add(a: int, b: int) -> int:
    return a + b


def tokens() -> hub.Tokens:
    return hub.Tokens("x" * 32)


def enter(block: Any) -> Any:
    async def main() -> None:
        async with block():
            pass

    return lambda: asyncio.run(main())


OTHERS: dict[str, tuple[Callable[[], Any], type[BaseException], str]] = {
    "the message of a broadcast first": (
        lambda: longwire.broadcast("x", [a_connection()]),  # type: ignore[arg-type]
        TypeError,
        "the connections come first: write broadcast(connections, message)",
    ),
    "a broadcast to a dict": (
        lambda: longwire.broadcast({"ann": a_connection()}, "x"),  # type: ignore[arg-type]
        TypeError,
        "write connections.values()",
    ),
    **{
        f"{name}.Server of a list": (
            lambda package=package: package.Server([add]),
            TypeError,
            "write {'add': add}",
        )
        for name, package in RPCS.items()
    },
    "Routes of a list": (
        lambda: rpc.Routes([add]),  # type: ignore[arg-type]
        TypeError,
        "routes must be Routes or a mapping, not list: write {'add': add}",
    ),
    "rpc.asgi of a function": (
        lambda: rpc.asgi(add),
        TypeError,
        "write {'add': add}",  # type: ignore[arg-type]
    ),
    **{
        f"{name}.Server with limits of connections": (
            lambda package=package: package.Server({}, limits=longwire.Limits()),
            TypeError,
            "limits must be rpc.RpcLimits or None, not Limits",
        )
        for name, package in RPCS.items()
    },
    "current() outside of a route": (
        rpc.current,
        LookupError,
        "rpc.current() is for routes",
    ),
    "Publisher of a URL": (
        lambda: hub.Publisher("redis://localhost"),  # type: ignore[arg-type]
        TypeError,
        "write Publisher(make_hub)",
    ),
    "Tokens of a number": (
        lambda: hub.Tokens(5),
        TypeError,
        "a key must be str or bytes",  # type: ignore[arg-type]
    ),
    "a token for a number": (
        lambda: tokens().make(7, "t", now=0),  # type: ignore[arg-type]
        TypeError,
        "write str(user)",
    ),
    "a token at a time in text": (
        lambda: tokens().make("ann", "t", now="0"),  # type: ignore[arg-type]
        TypeError,
        "now must be a number of seconds, not str: write time.time()",
    ),
    "a token for a time in text": (
        lambda: tokens().make("ann", "t", now=0, expires="5"),  # type: ignore[arg-type]
        TypeError,
        "expires must be a number of seconds, not str",
    ),
    "a token that may one thing": (
        lambda: tokens().make("ann", "t", now=0, may="pub"),
        TypeError,
        "write ['pub']",
    ),
    "a port for serving()": (
        lambda: testing.serving(handler, port=8765),
        TypeError,
        "leave port= out",
    ),
    "a host for serving()": (
        lambda: testing.serving(handler, host="x"),
        TypeError,
        "leave host= out",
    ),
    "a URI for connected()": (
        enter(lambda: testing.connected("ws://x")),  # type: ignore[arg-type]
        TypeError,
        "the handler comes first: write connected(handler)",
    ),
    "a server for connected()": (
        enter(lambda: testing.connected(longwire.serve(handler, "x", 0))),  # type: ignore[arg-type]
        TypeError,
        "pass the handler itself",
    ),
    "a port for connected()": (
        enter(lambda: testing.connected(handler, server=8765)),  # type: ignore[arg-type]
        TypeError,
        "server must be a mapping of keywords of serve(), not int",
    ),
    "a handler for pair()": (
        enter(lambda: testing.pair(handler)),  # type: ignore[arg-type]
        TypeError,
        "write 'async with connected(handler)'",
    ),
    "url of serving()": (
        lambda: testing.serving(handler).url,  # type: ignore[attr-defined]
        AttributeError,
        "write .uri or .port",
    ),
    "seconds in text for a clock": (
        lambda: advance("5"),
        TypeError,
        "seconds must be a number, not str",
    ),
    "a registry that is its class": (
        lambda: Metrics(pytest.importorskip("prometheus_client").CollectorRegistry),
        TypeError,
        "write prometheus_client.CollectorRegistry()",
    ),
    "a number for a registry": (
        lambda: Metrics(5),
        TypeError,
        "registry must be None or an object, not int",
    ),
    "a number for a provider of meters": (
        lambda: Metrics().export_to(5),
        TypeError,
        "write MeterProvider(...)",
    ),
    "a number for a provider of tracers": (
        lambda: Tracing(5),
        TypeError,
        "write TracerProvider(...)",
    ),
    "metrics of serve itself": (
        lambda: Metrics().watch(longwire.serve),
        TypeError,
        "write watch(serve(handler, ...))",
    ),
    "metrics of threads": (
        lambda: Metrics().watch(sync.connect),
        TypeError,
        "connections of longwire.sync are not counted",
    ),
}


def advance(seconds: Any) -> None:
    async def main() -> None:
        with testing.Clock() as clock:
            await clock.advance(seconds)

    asyncio.run(main())


@pytest.mark.parametrize(("program", "kind", "text"), OTHERS.values(), ids=OTHERS)
@pytest.mark.filterwarnings("ignore:serve:RuntimeWarning")
def test_a_mistake_elsewhere_is_answered_with_what_to_write(
    program: Callable[[], Any], kind: type[BaseException], text: str
) -> None:
    with pytest.raises(kind) as caught:
        program()
    assert text in str(caught.value)


async def test_a_client_of_calls_that_is_closed_at_once_is_not_said_to_be_unused() -> (
    None
):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with rpc.Client(NOWHERE):
            pass


@pytest.mark.filterwarnings("error")
def test_a_refused_keyword_leaves_no_warning_of_a_server_behind() -> None:
    with pytest.raises(TypeError, match="did you mean 'origin'"):
        enter(lambda: testing.connected(handler, origins=["x"]))()


@pytest.mark.parametrize("serve", [SERVES["asyncio"], SERVES["sync"]])
def test_a_mock_is_taken_for_a_callback(serve: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="server_header must be a str or None"):
        serve(process_request=mock.Mock(return_value=None), server_header=5)
    with pytest.raises(TypeError, match=r"handler must take one argument"):
        functools.partial(serve.func, functools.partial(add, 1, 2))()  # type: ignore[attr-defined]


def test_origins_may_be_any_iterable() -> None:
    allowed = ["https://example.org", None]
    assert list(rpc.Server(origins=iter(allowed)).origins or ()) == allowed  # type: ignore[arg-type]
