"""Mistakes that are made in the first twenty minutes: a program, and what it prints."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

import longwire
from longwire import broadcast, connect, serve
from tests.support.certificates import Certificates

Program = Callable[[], Awaitable[Any]]


async def echo(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


class Talk:
    """A connection to a server that echoes, for one program."""

    def __init__(self, do: Callable[[Any], Awaitable[Any]]) -> None:
        self.do = do

    async def __call__(self) -> None:
        async with serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}/") as websocket:
                await self.do(websocket)


async def with_plainly() -> None:
    with connect("ws://localhost:1"):  # type: ignore[attr-defined]
        pass


async def serve_with_plainly() -> None:
    with serve(echo, "localhost", 0):  # type: ignore[attr-defined]
        pass


async def iterate_plainly(websocket: Any) -> None:
    for _ in websocket:
        pass


async def iterate_connect_plainly() -> None:
    for _ in connect("ws://localhost:1"):
        pass


async def send_unawaited_connect() -> None:
    await connect("ws://localhost:1").send("x")  # type: ignore[attr-defined]


async def use_attempts_as_messages() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        attempts = connect(f"ws://127.0.0.1:{port}/")
        async for message in attempts:
            async with message:
                message.upper()  # type: ignore[attr-defined]


def plain_handler(websocket: Any) -> None:
    print(websocket)


async def yielding_handler(websocket: Any) -> AsyncIterator[str]:
    yield "hello"


def plainly_yielding_handler(websocket: Any) -> Iterator[str]:
    yield "hello"


async def tls_to_plain() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await connect(f"wss://127.0.0.1:{port}/")


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def server_context() -> ssl.SSLContext:
    return ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)


def attribute(name: str) -> Talk:
    async def look(websocket: Any) -> None:
        getattr(websocket, name)

    return Talk(look)


def sending(message: Any) -> Talk:
    return Talk(lambda websocket: websocket.send(message))


async def broadcast_dict(websocket: Any) -> None:
    broadcast([websocket], {"a": 1})  # type: ignore[arg-type]


async def broadcast_one(websocket: Any) -> None:
    broadcast(websocket, "x")


async def call(function: Callable[[], Any]) -> None:
    result = function()
    if hasattr(result, "__await__"):
        await result


def calling(function: Callable[[], Any]) -> Program:
    return lambda: call(function)


MISTAKES: dict[str, tuple[Program, type[BaseException], str]] = {
    "a port for the host": (
        calling(lambda: serve(echo, 8765)),  # type: ignore[arg-type]
        TypeError,
        "write serve(handler, 'localhost', 8765)",
    ),
    "host and port in one": (
        calling(lambda: serve(echo, "0.0.0.0:8765")),
        ValueError,
        "write serve(handler, '0.0.0.0', 8765)",
    ),
    "host and port of IPv6 in one": (
        calling(lambda: serve(echo, "[::1]:8765")),
        ValueError,
        "write serve(handler, '::1', 8765)",
    ),
    "a URI for the host": (
        calling(lambda: serve(echo, "ws://localhost", 8765)),
        ValueError,
        "a name or an address is allowed, such as 'localhost'",
    ),
    "a host that does not exist": (
        calling(lambda: serve(echo, "no.such.host.invalid", 8765)),
        OSError,
        "host 'no.such.host.invalid' to listen on",
    ),
    "a server that does not exist": (
        calling(lambda: connect("ws://no.such.host.invalid:1/a?token=b")),
        OSError,
        "host no.such.host.invalid of ws://no.such.host.invalid:1/a",
    ),
    "with": (
        with_plainly,
        TypeError,
        "write 'async with connect(...) as websocket'",
    ),
    "with serve": (
        serve_with_plainly,
        TypeError,
        "write 'async with serve(...) as server'",
    ),
    "for message in websocket": (
        Talk(iterate_plainly),
        TypeError,
        "write 'async for message in websocket'",
    ),
    "for websocket in connect": (
        iterate_connect_plainly,
        TypeError,
        "write 'async for websocket in connect(...)'",
    ),
    "no await before connect": (
        send_unawaited_connect,
        AttributeError,
        "this is connect(...), which has not begun: write 'await connect(...)'",
    ),
    "async for message in connect": (
        use_attempts_as_messages,
        AttributeError,
        "this is a connection and no message",
    ),
    "a plain handler": (
        calling(lambda: serve(plain_handler, "localhost", 0)),  # type: ignore[arg-type]
        TypeError,
        "plain_handler is a plain function that returns nothing: write 'async def'",
    ),
    "a handler that yields": (
        calling(lambda: serve(yielding_handler, "localhost", 0)),  # type: ignore[arg-type]
        TypeError,
        "yielding_handler has 'yield': write 'await websocket.send(...)'",
    ),
    "a plain handler that yields": (
        calling(lambda: serve(plainly_yielding_handler, "localhost", 0)),  # type: ignore[arg-type]
        TypeError,
        "plainly_yielding_handler has 'yield'",
    ),
    "a client's context on a server": (
        calling(lambda: serve(echo, "localhost", 0, ssl=client_context())),
        ValueError,
        "write ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)",
    ),
    "a server's context on a client": (
        calling(lambda: connect("wss://localhost", ssl=server_context())),
        ValueError,
        "write ssl.create_default_context()",
    ),
    "wss:// to a plain port": (
        tls_to_plain,
        ssl.SSLError,
        "the server does not speak TLS there: write ws://",
    ),
    "http://": (
        calling(lambda: connect("http://localhost")),
        longwire.InvalidURI,
        "write ws://",
    ),
    "no scheme": (
        calling(lambda: connect("localhost:8765")),
        longwire.InvalidURI,
        "write ws://localhost:8765",
    ),
    "a dict": (sending({"a": 1}), TypeError, "send json.dumps(message)"),
    "a number": (sending(1), TypeError, "for JSON, send json.dumps(message)"),
    "None": (sending(None), TypeError, "for JSON, send json.dumps(message)"),
    "a port as text": (
        calling(lambda: serve(echo, "localhost", "8765")),  # type: ignore[arg-type]
        TypeError,
        "port is the text '8765'; a number is allowed: write 8765",
    ),
    "the host first": (
        calling(lambda: serve("localhost", 8765, echo)),  # type: ignore[arg-type, call-overload]
        TypeError,
        "the handler comes first: write serve(handler, 'localhost', 8765)",
    ),
    "a handler that was called": (
        calling(lambda: serve(echo(None), "localhost", 0)),  # type: ignore[arg-type]
        TypeError,
        "pass the function, do not call it",
    ),
    "True for a context": (
        calling(lambda: serve(echo, "localhost", 0, ssl=True)),
        TypeError,
        "write ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)",
    ),
    "a list of dicts": (
        sending([{"a": 1}]),
        TypeError,
        "for JSON, send json.dumps(message)",
    ),
    "a dict to many": (
        Talk(broadcast_dict),
        TypeError,
        "for JSON, send json.dumps(message)",
    ),
    "one connection for many": (
        Talk(broadcast_one),
        TypeError,
        "write [websocket]",
    ),
    **{
        f"serve({name}=)": (
            calling(lambda name=name: serve(echo, "localhost", 0, **{name: 1})),
            TypeError,
            f"unexpected keyword argument {name!r}; {hint}",
        )
        for name, hint in {
            "max_connections": "write limits=longwire.Limits(connections=...)",
            "cors_allowed_origins": "write origins=[...]",
            "certfile": "write ssl=context",
            "debug": "write logging.basicConfig(level=logging.DEBUG)",
            "on_message": "write 'async for message in websocket'",
            "max_message_size": "did you mean 'max_size'?",
            "heartbeat": "did you mean 'ping_interval'?",
        }.items()
    },
    **{
        f".{name}": (attribute(name), AttributeError, f"no attribute {name!r}; {hint}")
        for name, hint in {
            "send_json": "write json.dumps() and send()",
            "receive_text": "write 'message = await websocket.recv()'",
            "accept": "a handler gets connections that are open already",
            "closed": "write 'websocket.state is State.CLOSED'",
            "open": "write 'websocket.state is State.OPEN'",
            "path": "it is in websocket.request",
            "headers": "it is in websocket.request",
            "query_params": "write websocket.request.query",
            "client": "write websocket.remote_address",
            "on_message": "write 'async for message in websocket'",
            "write_message": "write 'await websocket.send(message)'",
        }.items()
    },
}


@pytest.mark.parametrize(
    ("program", "kind", "text"), MISTAKES.values(), ids=MISTAKES.keys()
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
async def test_a_mistake_is_answered_with_what_to_write(
    program: Program, kind: type[BaseException], text: str
) -> None:
    with pytest.raises(kind) as caught:
        await program()
    assert text in str(caught.value)


async def test_a_plain_client_of_a_tls_server_is_told_so(
    certificates: Certificates,
) -> None:
    async with serve(echo, "127.0.0.1", 0, ssl=certificates.server) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(longwire.InvalidHandshake, match="write wss://"):
            await connect(f"ws://127.0.0.1:{port}/")


async def test_a_client_without_the_certificate_that_a_server_asks_for_is_told_so(
    certificates: Certificates,
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.cert_file, certificates.key_file)
    context.verify_mode = ssl.CERT_REQUIRED
    async with serve(echo, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        # The alert, where the server's TLS sends it; else the end of TCP.
        with pytest.raises((longwire.InvalidHandshake, OSError)) as caught:
            await connect(f"wss://localhost:{port}/", ssl=certificates.client)
    assert "a certificate" in str(caught.value)
    assert "context.load_cert_chain(), or --cert FILE" in str(caught.value)


@pytest.mark.parametrize(
    "awaitable",
    [lambda: serve(echo, "localhost", 0), lambda: connect("ws://localhost:1/")],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_asyncio_run_shows_says_what_to_write(awaitable: Any) -> None:
    assert "await it or enter it by 'async with'" in repr(awaitable())


@pytest.mark.parametrize("name", ["undefined", "__deepcopy__", "_repr_html_"])
async def test_another_name_is_missed_as_usual(name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        await attribute(name)()
    assert str(caught.value).endswith(f"has no attribute {name!r}")
    assert caught.value.name == name


async def test_a_list_is_sent_in_fragments_and_asked_about_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def send(websocket: Any) -> None:
        for _ in range(2):
            await websocket.send(["team", "ug"])
            assert await websocket.recv() == "teamug"
        await websocket.send(iter(["a", "b"]))

    await Talk(send)()
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(told) == 1
    assert "2 fragments; for JSON, send json.dumps(message)" in told[0]


# --- a server that cannot end ----------------------------------------------------


@pytest.mark.parametrize("engine", ["native", "transport"])
async def test_a_handler_that_goes_on_is_named_with_its_place(
    engine: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LONGWIRE_ENGINE", engine)
    monkeypatch.setattr("longwire.asyncio.server.PATIENCE", 0.05)
    end = asyncio.Event()

    async def stubborn(websocket: Any) -> None:
        await websocket.recv()
        await end.wait()  # the line that is named

    async with serve(stubborn, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/") as websocket:
            await websocket.send("x")
            await asyncio.sleep(0.05)
            server.close()
            while "server waits for handlers" not in caplog.text:
                await asyncio.sleep(0.01)
            end.set()
    line = stubborn.__code__.co_firstlineno + 2
    assert f"stubborn at {__file__}:{line} (1)" in caplog.text
    assert "a second Ctrl-C" in caplog.text


async def test_a_server_that_ends_in_time_says_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("longwire.asyncio.server.PATIENCE", 60)
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await connect(f"ws://127.0.0.1:{port}/")
    assert server._telling is None or server._telling.cancelled()
    assert "waits for handlers" not in caplog.text


# --- pages -----------------------------------------------------------------------


@pytest.mark.parametrize("body", ["<p>hello", b"<p>hello"])
async def test_a_page_has_one_content_type(body: Any) -> None:
    def page(connection: Any, request: Any) -> Any:
        assert request.query == {"a": ["1", "2"], "b": [""]}
        return connection.respond(
            200, body, content_type="text/html", headers={"X-More": "1"}
        )

    async with serve(echo, "127.0.0.1", 0, process_request=page) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /x?a=1&a=2&b= HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert content == b"<p>hello"
    assert head.lower().count(b"content-type: ") == 1
    assert b"\r\nContent-Type: text/html" in head
    assert b"\r\nX-More: 1" in head
    assert b"\r\nContent-Length: 8" in head
