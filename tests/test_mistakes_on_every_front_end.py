"""Mistakes that can be made with each front end: what is raised, and that it helps."""

from __future__ import annotations

import asyncio
import errno
import functools
import inspect
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import longwire
from longwire import rpc, sync, testing
from longwire import trio as on_trio
from longwire.rpc import sync as rpc_sync
from longwire.rpc import trio as rpc_trio
from longwire.testing.fixtures import websocket_server  # noqa: F401
from tests.support.certificates import Certificates
from tests.support.ports import free_port
from tests.support.warned import collected

NOWHERE = "ws://127.0.0.1:1/"


async def handler(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


def plain_handler(websocket: Any) -> None:
    for message in websocket:
        websocket.send(message)


def run(make: Callable[[], Any]) -> Any:
    """Call ``make``, and run on asyncio what it returns, if that is to be awaited."""

    async def main() -> Any:
        result = make()
        return await result if inspect.isawaitable(result) else result

    return asyncio.run(main())


def serve_on_trio(*args: Any, **kwargs: Any) -> None:
    trio.run(functools.partial(on_trio.serve, *args, **kwargs))


def connect_on_trio(uri: str, **kwargs: Any) -> None:
    async def main() -> None:
        async with on_trio.connect(uri, **kwargs):
            pass

    trio.run(main)


SERVES: dict[str, Callable[..., Any]] = {
    "asyncio": functools.partial(longwire.serve, handler),
    "sync": functools.partial(sync.serve, plain_handler),
    "trio": functools.partial(serve_on_trio, handler),
}
CONNECTS: dict[str, Callable[..., Any]] = {
    "asyncio": lambda uri, **kwargs: run(lambda: longwire.connect(uri, **kwargs)),
    "sync": sync.connect,
    "trio": connect_on_trio,
}
every_server = pytest.mark.parametrize("serve", SERVES.values(), ids=SERVES)
every_client = pytest.mark.parametrize("connect", CONNECTS.values(), ids=CONNECTS)


RPCS: dict[str, Any] = {"rpc": rpc, "rpc.sync": rpc_sync, "rpc.trio": rpc_trio}
every_rpc = pytest.mark.parametrize("package", RPCS.values(), ids=RPCS)


# --- keywords --------------------------------------------------------------------

MISSPELT: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {
    **{
        f"serve of {name}": (
            serve,
            {
                "originz": "did you mean 'origins'?",
                "heath": "did you mean 'health'?",
                "ping_intervall": "did you mean 'ping_interval'?",
                "max_sise": "did you mean 'max_size'?",
            },
        )
        for name, serve in SERVES.items()
    },
    "serve": (
        SERVES["asyncio"],
        {"path": "look at websocket.request.path", "max_conections": "write limits="},
    ),
    **{
        f"connect of {name}": (
            functools.partial(connect, NOWHERE),
            {
                "timeout": "did you mean 'open_timeout'?",
                "extra_header": "did you mean 'additional_headers'?",
                "aditional_headers": "did you mean 'additional_headers'?",
                "cookie": "write additional_headers={'Cookie': ...}",
            },
        )
        for name, connect in CONNECTS.items()
    },
    **{
        f"{name}.Server": (
            package.Server,
            {"originz": "'origins'", "show_error": "'show_errors'"},
        )
        for name, package in RPCS.items()
    },
    **{
        f"{name}.Client": (
            functools.partial(package.Client, NOWHERE),
            {
                "offlin": "'offline'",
                "tracebaks": "'tracebacks'",
                "max_queed": "'max_queued'",
                "aditional_headers": "'additional_headers'",
            },
        )
        for name, package in RPCS.items()
    },
    "rpc.RpcLimits": (rpc.RpcLimits, {"pendng": "'pending'"}),
    "Limits": (longwire.Limits, {"connectionz": "'connections'"}),
    "Timeouts": (longwire.Timeouts, {"opn": "'open'"}),
    "Keepalive": (longwire.Keepalive, {"intervals": "'interval'"}),
    "Compression": (longwire.Compression, {"windowbits": "'window_bits'"}),
}


@pytest.mark.parametrize(
    ("make", "name", "hint"),
    [(make, *each) for make, names in MISSPELT.values() for each in names.items()],
    ids=[f"{what}({name}=)" for what, (_, names) in MISSPELT.items() for name in names],
)
def test_a_misspelt_keyword_is_answered_with_the_right_one(
    make: Callable[..., Any], name: str, hint: str
) -> None:
    with pytest.raises(TypeError) as caught:
        make(**{name: 5})
    assert f"got an unexpected keyword argument {name!r}" in str(caught.value)
    assert hint in str(caught.value)


@every_server
def test_what_is_like_nothing_is_not_guessed(serve: Callable[..., Any]) -> None:
    with pytest.raises(TypeError) as caught:
        serve(wibble=5)
    assert str(caught.value).endswith("unexpected keyword argument 'wibble'")


def run_rpc(package: Any, function: Callable[..., Any], *args: Any, **kw: Any) -> Any:
    """Call a verb of a package of RPC, where its front end runs."""
    if package is rpc_trio:
        return trio.run(functools.partial(function, *args, **kw))
    if package is rpc:
        return run(functools.partial(function, *args, **kw))
    return function(*args, **kw)


# --- arguments by position -------------------------------------------------------

BY_POSITION: dict[str, tuple[Callable[[], Any], str]] = {
    **{
        f"{name}('localhost', 8765)": (
            functools.partial(connect, "localhost", 8765),
            "write connect('ws://localhost:8765')",
        )
        for name, connect in {
            "connect": longwire.connect,
            "sync.connect": sync.connect,
            "sync.reconnect": sync.reconnect,
            "trio.connect": on_trio.connect,
        }.items()
    },
    "connect()": (longwire.connect, "missing 1 required positional argument: 'uri'"),
    "serve(handler, host, port, more)": (
        lambda: longwire.serve(handler, "localhost", 1, 2),  # type: ignore[misc]
        "write serve(handler, 'localhost', 8765)",
    ),
    "sync.serve(handler, host, port, more)": (
        lambda: sync.serve(plain_handler, "localhost", 1, 2),  # type: ignore[misc]
        "write serve(handler, 'localhost', 8765)",
    ),
    "trio.serve(handler, host, port)": (
        lambda: serve_on_trio(handler, "localhost", 18521),
        "write serve(handler, 18521, host='localhost')",
    ),
    "trio.serve(handler, host)": (
        lambda: serve_on_trio(handler, "localhost"),
        "write serve(handler, 8765, host='localhost')",
    ),
    **{
        f"{name}.Client(host, port)": (
            functools.partial(package.Client, "localhost", None, 8765),
            f"write {name}.Client('ws://localhost:8765/'",
        )
        for name, package in RPCS.items()
    },
    **{
        f"{name}.Server().serve(handler, host, port)": (
            lambda package=package: run_rpc(
                package, package.Server().serve, handler, "localhost", 8765
            ),
            "write server.serve(8765, host='localhost')"
            if package is rpc_trio
            else "write server.serve('localhost', 8765)",
        )
        for name, package in RPCS.items()
    },
    **{
        f"{name}.Server(routes, more)": (
            functools.partial(package.Server, {}, {}),
            f"write {name}.Server({{'add': add}}",
        )
        for name, package in RPCS.items()
    },
    "rpc.Server().serve(port)": (
        lambda: rpc.Server().serve(8765),
        "write server.serve('localhost', 8765)",
    ),
    "rpc.sync.Server().serve(port)": (
        lambda: rpc_sync.Server().serve(8765),
        "write server.serve('localhost', 8765)",
    ),
    "rpc.trio.Server().serve(host)": (
        lambda: run_rpc(rpc_trio, rpc_trio.Server().serve, "localhost"),
        "write server.serve(8765, host='localhost')",
    ),
    "serving()": (testing.serving, "write serving(handler"),  # type: ignore[dict-item]
    "connected()": (
        lambda: testing.connected(),  # type: ignore[call-arg]
        "write 'async with connected(...)'",
    ),
}


@pytest.mark.parametrize(("make", "text"), BY_POSITION.values(), ids=BY_POSITION.keys())
def test_wrong_arguments_are_answered_with_the_right_call(
    make: Callable[[], Any], text: str
) -> None:
    with pytest.raises(TypeError) as caught:
        make()
    assert text in str(caught.value)
    assert "__init__" not in str(caught.value)


@pytest.mark.parametrize(
    "function",
    [longwire.serve, sync.serve, on_trio.serve, longwire.connect, rpc.Server],
)
def test_help_shows_the_signature_as_it_was(function: Any) -> None:
    names = inspect.signature(function).parameters
    assert not {"args", "self"} & names.keys()
    assert {"handler", "uri", "routes"} & names.keys()
    assert inspect.iscoroutinefunction(function) == (function is on_trio.serve)


def test_a_type_error_of_the_function_itself_is_left_alone() -> None:
    def broken(exc: Exception) -> None:
        return None

    with pytest.raises(TypeError, match="uri must be a str, not int") as caught:
        longwire.connect(5, process_exception=broken)  # type: ignore[arg-type]
    assert "write" not in str(caught.value)


# --- values ----------------------------------------------------------------------

HEADERS = {
    "a line": "Authorization: secret",
    "lines": ["Authorization: secret"],
    "bytes": b"Authorization: secret",
    "a number": 5,
    "pairs that are none": [("a", "b", "c")],
}


@every_client
@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS.keys())
def test_headers_that_are_none_are_refused(
    connect: Callable[..., Any], headers: Any
) -> None:
    with pytest.raises(TypeError) as caught:
        connect(NOWHERE, additional_headers=headers)
    text = str(caught.value)
    assert text.startswith("additional_headers must be a mapping, or pairs")
    assert "secret" not in text
    assert ("write {'Authorization': ...}" in text) == ("secret" in str(headers))


@every_server
@pytest.mark.parametrize("value", [False, "none", "None", "off", ""])
def test_no_compression_is_written_as_none(
    serve: Callable[..., Any], value: Any
) -> None:
    with pytest.raises((TypeError, ValueError), match="write compression=None"):
        serve(compression=value)


@every_server
def test_an_unknown_compression_is_not_taken_for_none(
    serve: Callable[..., Any],
) -> None:
    with pytest.raises(ValueError, match=r"are allowed$"):
        serve(compression="brotli")


WAITS: dict[str, Callable[[Any], Any]] = {
    "sync recv": lambda timeout: with_sync(lambda ws: ws.recv(timeout=timeout)),
    "sync recv of what is there": lambda timeout: with_sync(
        lambda ws: (ws.send("x"), ws.ping().wait(10), ws.recv(timeout))
    ),
    "sync wait_closed": lambda timeout: with_sync(lambda ws: ws.wait_closed(timeout)),
    "sync Pong.wait": lambda timeout: with_sync(lambda ws: ws.ping().wait(timeout)),
    "sync drain": lambda timeout: drain_in_threads(timeout),
    "drain": lambda timeout: run(
        lambda: longwire.serve(handler, "127.0.0.1", 0).drain(timeout=timeout)
    ),
    "trio drain": lambda timeout: trio.run(
        lambda: on_trio.Server([], handler).drain(timeout=timeout)
    ),
    "broadcast_wait": lambda timeout: run(
        lambda: longwire.broadcast_wait([], "x", timeout=timeout)
    ),
    **{
        f"{name} {verb}": lambda timeout, package=package, verb=verb: run_rpc(
            package,
            getattr(package.Client(NOWHERE), verb),
            "add",
            timeout=timeout,
        )
        for name, package in RPCS.items()
        for verb in ("call", "call_with")
    },
    **{
        f"{name} broadcast": lambda timeout, package=package: run_rpc(
            package, package.Server().broadcast, "add", timeout=timeout
        )
        for name, package in RPCS.items()
    },
    "rpc Application.drain": lambda timeout: run(
        lambda: rpc.asgi({}).drain(timeout=timeout)
    ),
}


def drain_in_threads(timeout: Any) -> None:
    with sync.serve(plain_handler, "127.0.0.1", 0) as server:
        server.drain(timeout=timeout)


def with_sync(do: Callable[[Any], Any]) -> None:
    with testing.serving(handler) as server, sync.connect(server.uri) as websocket:
        do(websocket)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_each_verb_with_a_timeout_checks_it_in_the_same_way(
    wait: Callable[[Any], Any],
) -> None:
    for wrong in ("5", True, [5]):
        kind = type(wrong).__name__
        text = f"timeout must be a number of seconds or None, not {kind}"
        with pytest.raises(TypeError, match=text):
            wait(wrong)
    with pytest.raises(ValueError, match="timeout is nan"):
        wait(float("nan"))


def test_a_recv_on_tasks_says_how_its_time_is_limited() -> None:
    async def receive(connect: Any, uri: str) -> None:
        async with connect(uri) as websocket:
            await websocket.recv(timeout=1)

    with testing.serving(handler) as server:
        with pytest.raises(TypeError, match=r"'async with asyncio\.timeout\(1\)'"):
            asyncio.run(receive(longwire.connect, server.uri))
        with pytest.raises(TypeError, match=r"'with trio\.fail_after\(1\)'"):
            trio.run(receive, on_trio.connect, server.uri)


# --- functions of the caller's ---------------------------------------------------

CALLBACKS: dict[str, tuple[Any, str]] = {
    "process_request": (lambda connection: None, "(connection, request)"),
    "process_response": (lambda connection, request: None, "(connection, request, re"),
    "select_subprotocol": (lambda offered: None, "(connection, offered)"),
    "health": ({"/healthz": lambda request: None}, "health['/healthz']()"),
}


@every_server
@pytest.mark.parametrize("name", CALLBACKS)
def test_a_function_with_other_parameters_is_refused_by_serve(
    serve: Callable[..., Any], name: str
) -> None:
    function, text = CALLBACKS[name]
    with pytest.raises(TypeError) as caught:
        serve(**{name: function})
    assert f"{name}" in str(caught.value)
    assert text in str(caught.value)
    assert "found " in str(caught.value)


@pytest.mark.parametrize("name", ["process_request", "process_response", "health"])
def test_a_coroutine_function_is_refused_where_threads_call_it(name: str) -> None:
    async def asynchronous(*args: Any) -> None: ...

    value: Any = {"/x": asynchronous} if name == "health" else asynchronous
    with pytest.raises(TypeError, match="must be a plain function"):
        sync.serve(plain_handler, "127.0.0.1", 0, **{name: value})


@every_client
@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("process_exception", lambda: None, "process_exception(exc)"),
        ("process_exception", None, "process_exception must be a function"),
        ("reconnect_delays", lambda attempt: 1, "reconnect_delays()"),
        ("reconnect_delays", 5, "reconnect_delays must be a function"),
    ],
)
def test_a_function_with_other_parameters_is_refused_by_connect(
    connect: Callable[..., Any], name: str, value: Any, text: str
) -> None:
    connect = sync.reconnect if connect is sync.connect else connect
    with pytest.raises(TypeError) as caught:
        connect(NOWHERE, **{name: value})
    assert text in str(caught.value)


@every_rpc
def test_a_function_with_other_parameters_is_refused_by_rpc(package: Any) -> None:
    with pytest.raises(TypeError, match=r"authorize\(connection, request\)"):
        package.Server(authorize=lambda call: True)
    for make in (package.Server, functools.partial(package.Client, NOWHERE)):
        with pytest.raises(TypeError, match=r"authorize_call\(call\)"):
            make(authorize_call=lambda one, two: True)
    with pytest.raises(TypeError, match=r"process_request\(connection, request\)"):
        run_rpc(package, package.Server().serve, process_request=lambda request: None)


@pytest.mark.parametrize("serve", [SERVES["asyncio"], SERVES["trio"]])
@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda websocket, path: None, "the path is connection.request.path"),
        (plain_handler, "is a plain function that returns nothing: write 'async def'"),
        (5, "handler must be a coroutine function, not int"),
    ],
)
def test_what_is_no_handler_is_refused_by_serve(
    serve: functools.partial[Any], wrong: Any, text: str
) -> None:
    with pytest.raises(TypeError) as caught:
        serve.func(wrong, 8765) if serve.func is serve_on_trio else serve.func(wrong)
    assert text in str(caught.value)


class Callable_:
    def __call__(self, websocket: Any) -> None: ...

    def method(self, websocket: Any, more: Any = None) -> None: ...


class AsynchronousCallable:
    async def __call__(self, websocket: Any) -> None: ...


@pytest.mark.parametrize("serve", [SERVES["asyncio"], SERVES["trio"]])
@pytest.mark.parametrize(
    "wrong",
    [
        Callable_(),
        Callable_().method,
        functools.partial(plain_handler),
        functools.partial(Callable_().method, more=1),
        functools.partial(Callable_()),
    ],
)
def test_a_plain_function_is_found_however_it_is_wrapped(
    serve: functools.partial[Any], wrong: Any
) -> None:
    with pytest.raises(TypeError, match="returns nothing: write 'async def'"):
        serve.func(wrong, 8765) if serve.func is serve_on_trio else serve.func(wrong)


def test_a_coroutine_function_is_found_where_threads_call_it() -> None:
    for wrong in (AsynchronousCallable(), functools.partial(AsynchronousCallable())):
        with pytest.raises(TypeError, match="has 'async': write 'def'"):
            sync.serve(wrong, "127.0.0.1", 0)


# --- TLS -------------------------------------------------------------------------


@every_server
def test_a_context_without_a_certificate_is_refused(serve: Callable[..., Any]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with pytest.raises(ValueError, match=r"write context\.load_cert_chain"):
        serve(ssl=context)


def test_a_context_that_chooses_another_by_name_is_not_asked_for_a_certificate() -> (
    None
):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.sni_callback = lambda *args: None
    assert longwire.serve(handler, "127.0.0.1", 0, ssl=context).close() is not None


def test_a_context_with_shared_keys_needs_no_certificate() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("PSK")
    assert longwire.serve(handler, "127.0.0.1", 0, ssl=context).close() is not None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_context_with_a_certificate_is_taken(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    context = certificates.server
    before = context.maximum_version, context.minimum_version
    context.maximum_version = context.minimum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        longwire.serve(handler, "127.0.0.1", 0, ssl=context).close()
    finally:
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version, context.minimum_version = before


@every_client
def test_an_unknown_authority_is_answered_with_how_to_trust_it(
    connect: Callable[..., Any], certificates: Certificates
) -> None:
    with testing.serving(handler, ssl=certificates.server) as server:
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            connect(server.uri)
    assert "create_default_context(cafile='ca.pem')" in str(caught.value)


# --- the network -----------------------------------------------------------------


@every_client
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_refused_connection_says_where_and_why(
    connect: Callable[..., Any], host: str
) -> None:
    port = free_port()
    with pytest.raises(OSError) as caught:
        connect(f"ws://{host}:{port}/path?token=secret")
    text = str(caught.value)
    assert f"while connecting to {host} port {port} (ws://{host}:{port}/path)" in text
    assert f"[Errno {errno.ECONNREFUSED}]" in text
    assert "secret" not in text


@every_client
def test_a_refused_proxy_is_named(connect: Callable[..., Any]) -> None:
    port = free_port()
    with pytest.raises(OSError) as caught:
        connect("ws://example.org/", proxy=f"http://127.0.0.1:{port}")
    text = str(caught.value)
    assert f"while connecting to 127.0.0.1 port {port} (ws://example.org" in text


def unix_connects() -> Iterator[Any]:
    yield lambda path: run(lambda: longwire.unix_connect(path))
    yield sync.unix_connect

    def connect(path: str) -> None:
        async def main() -> None:
            async with on_trio.unix_connect(path):
                pass

        trio.run(main)

    yield connect


@pytest.mark.parametrize("connect", list(unix_connects()), ids=CONNECTS)
def test_a_missing_unix_socket_is_named(connect: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "no such socket")
    with pytest.raises(FileNotFoundError) as caught:
        connect(path)
    assert f"while connecting to {path}" in str(caught.value)


@every_client
def test_a_connection_that_is_cut_says_where_it_was(
    connect: Callable[..., Any],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def cut() -> None:
            sock, _ = listener.accept()
            sock.close()

        thread = threading.Thread(target=cut)
        thread.start()
        context = ssl.create_default_context()
        with pytest.raises((OSError, longwire.InvalidHandshake)) as caught:
            connect(f"wss://localhost:{port}/", ssl=context, family=socket.AF_INET) if (
                connect is not connect_on_trio
            ) else connect(f"wss://127.0.0.1:{port}/", ssl=context)
        thread.join()
    assert str(port) in str(caught.value)


def client_tells(package: Any, uri: str) -> str:
    """What a call raises whose client cannot connect to ``uri``."""
    options: Any = {"reconnect_delays": lambda: iter([10.0] * 9)}

    async def call() -> None:
        async with package.Client(uri, **options) as client:
            await client.call("add", 1, 2)

    def call_in_thread() -> None:
        with package.Client(uri, **options) as client:
            client.call("add", 1, 2)

    with pytest.raises(rpc.Disconnected) as caught:
        call_in_thread() if package is rpc_sync else run_rpc(package, call)
    return str(caught.value)


@every_rpc
def test_a_call_that_cannot_connect_tells_of_the_scheme_and_not_of_an_errno(
    package: Any,
) -> None:
    with testing.serving(handler) as server:
        text = client_tells(package, f"wss://127.0.0.1:{server.port}/")
    assert "the server does not speak TLS there: write ws://" in text
    assert "Operation not permitted" not in text
    assert text.endswith("add was not sent")


def test_a_call_that_cannot_find_its_host_names_it() -> None:
    text = client_tells(rpc, "ws://no.such.host.invalid:1/")
    assert "host no.such.host.invalid of ws://no.such.host.invalid:1/" in text
    assert "Unknown error" not in text


# --- one front end for another ---------------------------------------------------

MIXED: dict[str, tuple[Callable[[], Any], type[BaseException], str]] = {
    "connect on trio": (
        lambda: trio.run(longwire.connect(NOWHERE).connect),
        RuntimeError,
        "for trio from longwire.trio, for threads from longwire.sync",
    ),
    "serve on trio": (
        lambda: trio.run(longwire.serve(handler, "127.0.0.1", 0).__aenter__),
        RuntimeError,
        "for trio from longwire.trio, for threads from longwire.sync",
    ),
    "rpc.Client on trio": (
        lambda: trio.run(rpc.Client(NOWHERE).__aenter__),
        RuntimeError,
        "rpc.trio and rpc.sync have their own",
    ),
    "trio.connect on asyncio": (
        lambda: asyncio.run(on_trio.connect(NOWHERE).__aenter__()),
        RuntimeError,
        "for asyncio from longwire, for threads from longwire.sync",
    ),
    "trio.serve on asyncio": (
        lambda: asyncio.run(on_trio.serve(handler, 0)),  # type: ignore[arg-type]
        RuntimeError,
        "for asyncio from longwire, for threads from longwire.sync",
    ),
    "await trio.connect": (
        lambda: on_trio.connect(NOWHERE).__await__(),
        TypeError,
        "write 'async with connect(...) as websocket'",
    ),
    "with trio.connect": (
        lambda: on_trio.connect(NOWHERE).__enter__(),
        TypeError,
        "write 'async with connect(...) as websocket'",
    ),
    "for in trio.connect": (
        lambda: iter(on_trio.connect(NOWHERE)),  # type: ignore[call-overload]
        TypeError,
        "write 'async for websocket in connect(...)'",
    ),
    **{
        f"{verb} of {name}.Client": (
            lambda package=package, verb=verb: getattr(package.Client(NOWHERE), verb)(),
            TypeError,
            "write 'async with Client(...) as client'",
        )
        for name, package in RPCS.items()
        for verb in ("__enter__", "__await__")
        if package is not rpc_sync
    },
    "async with rpc.sync.Client": (
        lambda: rpc_sync.Client(NOWHERE).__aenter__(),
        TypeError,
        "write 'with Client(...) as client'",
    ),
    "with connected": (
        lambda: testing.connected(handler).__enter__(),  # type: ignore[attr-defined]
        TypeError,
        "write 'async with connected(...)'",
    ),
    "await connected": (
        lambda: testing.connected(handler).__await__(),  # type: ignore[attr-defined]
        TypeError,
        "write 'async with connected(...)'",
    ),
    "with pair": (
        lambda: testing.pair().__enter__(),  # type: ignore[attr-defined]
        TypeError,
        "write 'async with pair(...)'",
    ),
    "async with Clock": (
        lambda: run(lambda: testing.Clock().__aenter__()),
        TypeError,
        "write 'with Clock() as clock'",
    ),
    "serving without with": (
        lambda: testing.serving(handler).uri,
        AttributeError,
        "write 'with serving(handler) as server'",
    ),
    "serving a number": (
        lambda: testing.serving(5),  # type: ignore[arg-type]
        TypeError,
        "handler must be a coroutine function",
    ),
}


@pytest.mark.parametrize(("program", "kind", "text"), MIXED.values(), ids=MIXED.keys())
def test_the_wrong_way_in_is_answered_once_with_the_right_one(
    program: Callable[[], Any], kind: type[BaseException], text: str
) -> None:
    def answered() -> None:
        with pytest.raises(kind) as caught:
            program()
        assert text in str(caught.value)

    assert collected(answered) == []  # no warning on top


def test_a_fixture_that_was_not_called_says_so(
    websocket_server: Callable[..., testing.serving],  # noqa: F811
) -> None:
    with pytest.raises(AttributeError, match=r"write websocket_server\(handler\)\.uri"):
        websocket_server.uri  # type: ignore[attr-defined] # noqa: B018


def connections() -> Iterator[tuple[str, Any]]:
    """A connection of each front end, and the package that it is of."""
    yield "longwire.sync", sync.ClientConnection.__new__(sync.ClientConnection)
    yield "longwire.trio", on_trio.ClientConnection.__new__(on_trio.ClientConnection)
    yield "longwire", longwire.ClientConnection.__new__(longwire.ClientConnection)


def broadcasts() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    yield "longwire", lambda many: longwire.broadcast(many, "x")
    yield "longwire", lambda many: run(lambda: longwire.broadcast_wait(many, "x"))
    yield "longwire.sync", lambda many: sync.broadcast(many, "x")
    yield "longwire.trio", lambda many: trio.run(on_trio.broadcast, many, "x")


@pytest.mark.parametrize(("of", "connection"), list(connections()))
@pytest.mark.parametrize(("package", "broadcast"), list(broadcasts()))
def test_a_connection_of_another_front_end_is_led_to_its_own_broadcast(
    package: str, broadcast: Callable[[Any], Any], of: str, connection: Any
) -> None:
    if of == package:
        return
    with pytest.raises(TypeError, match=f"for this one, write {of}.broadcast\\(\\)"):
        broadcast([connection])
    with pytest.raises(TypeError, match=r"write \[websocket\]"):
        broadcast(connection)
    with pytest.raises(TypeError, match="must be a set or list of them, not int"):
        broadcast(5)


@pytest.mark.parametrize(
    ("connection", "name", "text"),
    [
        (on_trio.ClientConnection, "close", "write 'await websocket.aclose()'"),
        (longwire.ClientConnection, "aclose", "write 'await websocket.close()'"),
        (sync.ClientConnection, "aclose", "write 'websocket.close()'"),
        (on_trio.ClientConnection, "get_message", "message = await websocket.recv()"),
    ],
)
def test_a_verb_of_another_front_end_is_answered_with_ours(
    connection: type, name: str, text: str
) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(connection.__new__(connection), name)
    assert text in str(caught.value)


# --- messages that are too large -------------------------------------------------


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize(
    ("send", "found"),
    [
        (lambda ws: ws.send("x" * 2000), "a frame of {} bytes"),
        (lambda ws: ws.send(["x" * 600, "x" * 600]), "a message of {} bytes"),
    ],
)
async def test_a_message_that_is_too_large_is_told_once_with_its_limit(
    compression: Any, send: Any, found: str
) -> None:
    async with longwire.serve(
        handler, "127.0.0.1", 0, max_size=1000, compression=compression
    ) as server:
        port = server.sockets[0].getsockname()[1]
        async with longwire.connect(
            f"ws://127.0.0.1:{port}/", compression=compression
        ) as websocket:
            await send(websocket)
            with pytest.raises(longwire.ConnectionClosedError) as caught:
                await websocket.recv()
    size = "more than 1000"
    if compression is None:
        size = "2000" if "frame" in found else "at least 1200"
    limit = "exceeds the limit of 1000 bytes (max_size of its receiver)"
    told = f"received 1009 (message too big) {found.format(size)} {limit}"
    assert str(caught.value) == f"{told}; then sent 1009 (message too big)"


# --- libraries that are not installed --------------------------------------------

_OVER_SOCKS = (
    "longwire.connect('ws://localhost:1', proxy='socks5://localhost:1', open_timeout=9)"
)


@pytest.mark.parametrize(
    ("absent", "program", "extra"),
    [
        ("trio", "import longwire.trio", "trio"),
        ("trio", "import longwire.rpc.trio", "trio"),
        ("trio", "from longwire.websockets.trio.client import connect", "trio"),
        ("trio", "from longwire.websockets.trio.server import serve", "trio"),
        ("msgspec", "import longwire.rpc", "rpc"),
        ("msgspec", "import longwire.hub", "rpc"),
        ("werkzeug", "longwire.route([], 'localhost', 1)", "router"),
        ("zlib_ng", "longwire.Compression(backend='zlib-ng')", "zlib-ng"),
        ("python_socks", f"import asyncio; asyncio.run(open({_OVER_SOCKS}))", "socks"),
    ],
)
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    absent: str, program: str, extra: str
) -> None:
    script = (
        f"import sys; sys.modules[{absent!r}] = None; import longwire\n"
        "async def open(connecting):\n"
        "    async with connecting: pass\n"
        f"{program}"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    last = done.stderr.splitlines()[-1]
    name = {"zlib_ng": "zlib-ng", "python_socks": "python-socks"}.get(absent, absent)
    assert "Error: " in last
    assert name in last
    assert last.endswith(f"; in a checkout: pip install '.[{extra}]'")
