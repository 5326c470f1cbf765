"""Mistakes that are made with longwire.sync: a program, and what it prints."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import longwire
from longwire import sync
from longwire.foreign_names import ATTRIBUTES

URI = "ws://127.0.0.1:{port}/"


def echo(websocket: Any) -> None:
    for message in websocket:
        websocket.send(message)


async def coroutine(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


def yielding(websocket: Any) -> Iterator[str]:
    yield "hello"


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with sync.serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield URI.format(port=server.socket.getsockname()[1])
        server.shutdown()
        thread.join()


def serving(*arguments: Any, **keywords: Any) -> Callable[[], Any]:
    return lambda: sync.serve(*arguments, **keywords)


ARGUMENTS: dict[str, tuple[Callable[[], Any], type[BaseException], str]] = {
    "a port for the host": (
        serving(echo, 8765),
        TypeError,
        "write serve(handler, 'localhost', 8765)",
    ),
    "host and port in one": (
        serving(echo, "0.0.0.0:8765"),
        ValueError,
        "write serve(handler, '0.0.0.0', 8765)",
    ),
    "a URI for the host": (
        serving(echo, "ws://localhost", 8765),
        ValueError,
        "a name or an address is allowed, such as 'localhost'",
    ),
    "a port as text": (
        serving(echo, "localhost", "8765"),
        TypeError,
        "port is the text '8765'; a number is allowed: write 8765",
    ),
    "a port that is none": (
        serving(echo, "localhost", 87650),
        ValueError,
        "port is 87650; 0 to 65535 are allowed",
    ),
    "a host that does not exist": (
        serving(echo, "no.such.host.invalid", 8765),
        OSError,
        "no.such.host.invalid",
    ),
    "a coroutine as handler": (
        serving(coroutine, "localhost", 0),
        TypeError,
        "coroutine has 'async': write 'def', or take longwire.serve for asyncio",
    ),
    "a handler that yields": (
        serving(yielding, "localhost", 0),
        TypeError,
        "yielding has 'yield': write 'websocket.send(...)'",
    ),
    "a handler with the path": (
        serving(lambda websocket, path: None, "localhost", 0),
        TypeError,
        "handler must take one argument, the connection",
    ),
    "the host first": (
        serving("localhost", 8765, echo),
        TypeError,
        "the handler comes first: write serve(handler, 'localhost', 8765)",
    ),
    "a client's context on a server": (
        serving(echo, "localhost", 0, ssl=ssl.create_default_context()),
        ValueError,
        "write ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)",
    ),
    "True for a context": (
        serving(echo, "localhost", 0, ssl=True),
        TypeError,
        "write ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)",
    ),
    "a keyword of others": (
        serving(echo, "localhost", 0, max_connections=9),
        TypeError,
        "write limits=longwire.Limits(connections=...)",
    ),
    "a server that does not exist": (
        lambda: sync.connect("ws://no.such.host.invalid:1/a?token=b"),
        OSError,
        "host no.such.host.invalid of ws://no.such.host.invalid:1/a",
    ),
}


@pytest.mark.parametrize(
    ("program", "kind", "text"), ARGUMENTS.values(), ids=ARGUMENTS.keys()
)
def test_a_wrong_argument_is_answered_with_what_to_write(
    program: Callable[[], Any], kind: type[BaseException], text: str
) -> None:
    with pytest.raises(kind) as caught:
        program()
    assert text in str(caught.value)


async def await_it(made: Any) -> None:
    await made


async def enter_it(made: Any) -> None:
    async with made:
        pass


async def iterate_over_it(made: Any) -> None:
    async for _ in made:
        pass


@pytest.mark.parametrize("use", [await_it, enter_it, iterate_over_it])
@pytest.mark.parametrize(
    ("make", "plain"),
    [
        (sync.connect, "with connect(...) as websocket"),
        (sync.reconnect, "for websocket in reconnect(...)"),
        (lambda uri: sync.serve(echo, "127.0.0.1", 0), "with serve(...) as server"),
    ],
    ids=["connect", "reconnect", "serve"],
)
def test_await_and_async_are_answered_with_what_to_write(
    uri: str, use: Any, make: Any, plain: str
) -> None:
    made = make(uri)
    with pytest.raises(TypeError) as caught:
        asyncio.run(use(made))
    end = getattr(made, "close", getattr(made, "shutdown", None))
    if end is not None:
        end()
    assert f"write '{plain}', or import from longwire for asyncio" in str(caught.value)


def test_no_hint_speaks_of_await(uri: str) -> None:
    with sync.connect(uri) as websocket:
        for name in ATTRIBUTES:
            if hasattr(type(websocket), name):
                continue
            with pytest.raises(AttributeError) as caught:
                getattr(websocket, name)
            text = str(caught.value)
            assert "; " in text
            assert "await" not in text
            assert "async" not in text


def test_a_connection_taken_for_a_message_is_told_apart(uri: str) -> None:
    for message in sync.reconnect(uri):
        with pytest.raises(AttributeError, match=r"'for websocket in reconnect\(\)'"):
            message.upper()  # type: ignore[attr-defined]
        break


@pytest.mark.parametrize("message", [{"a": 1}, 1, None, [{"a": 1}]])
def test_what_is_meant_as_json_is_told_so(uri: str, message: Any) -> None:
    with sync.connect(uri) as websocket:
        with pytest.raises(TypeError, match=r"json\.dumps\(message\)"):
            websocket.send(message)
        websocket.send("still open")
        assert websocket.recv(timeout=10) == "still open"


def test_a_list_is_sent_in_fragments_and_asked_about_once(
    uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    with sync.connect(uri) as websocket:
        for _ in range(2):
            websocket.send(["team", "ug"])
            assert websocket.recv(timeout=10) == "teamug"
        websocket.send(iter(["a", "b"]))
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(told) == 1
    assert "2 fragments; for JSON, send json.dumps(message)" in told[0]


def test_wss_to_a_plain_port_is_told_so(uri: str) -> None:
    with pytest.raises(ssl.SSLError, match="does not speak TLS there: write ws://"):
        sync.connect(uri.replace("ws:", "wss:"))


def test_a_dead_port_is_named_when_a_client_tries_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts = sync.reconnect("ws://127.0.0.1:1/x", reconnect_delays=lambda: [0.01])
    with pytest.raises(OSError):
        next(iter(attempts))
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("ws://127.0.0.1:1/x" in line for line in told)
    assert any("after 2 attempts" in line for line in told)


# --- what the log and a page say -------------------------------------------------


def test_the_log_says_who_and_where_and_shows_frames(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(403, "no") if request.path == "/no" else None

    with sync.serve(echo, "127.0.0.1", 0, process_request=refuse) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        uri = URI.format(port=server.socket.getsockname()[1])
        with sync.connect(f"{uri}room?token=secret") as websocket:
            websocket.send("hello")
            websocket.recv(timeout=10)
        with pytest.raises(longwire.InvalidStatus, match="HTTP 403: no"):
            sync.connect(f"{uri}no")
        server.shutdown()
        thread.join()
    found = {
        name: [r.getMessage() for r in caplog.records if r.name == f"longwire.{name}"]
        for name in ("client", "server")
    }
    assert any(
        line.startswith(f"connection open (to {uri}") for line in found["client"]
    )
    opened = [line for line in found["server"] if line.startswith("connection open")]
    assert "(from 127.0.0.1:" in opened[0]
    assert ", /room, id " in opened[0]
    assert "secret" not in opened[0]
    rejected = [line for line in found["server"] if "rejected (403" in line]
    assert "(from 127.0.0.1:" in rejected[0]
    assert "/no)" in rejected[0]
    assert "> TEXT 'hello' [5 bytes]" in found["client"]
    assert "< TEXT 'hello' [5 bytes]" in found["server"]
    assert "> GET /room?token=secret HTTP/1.1" in found["client"]


def test_a_page_has_the_content_type_that_was_given() -> None:
    def page(connection: Any, request: Any) -> Any:
        return connection.respond(200, b"<p>hello", content_type="text/html")

    with sync.serve(echo, "127.0.0.1", 0, process_request=page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b"".join(iter(lambda: sock.recv(4096), b""))
        server.shutdown()
        thread.join()
    assert answer.lower().count(b"content-type:") == 1
    assert b"Content-Type: text/html\r\n" in answer
    assert answer.endswith(b"\r\n\r\n<p>hello")


def test_a_handler_that_goes_on_is_named_with_its_place(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("longwire.sync.server.PATIENCE", 0.05)
    begun, end = threading.Event(), threading.Event()

    def stubborn(websocket: Any) -> None:
        begun.set()
        end.wait()  # the line that is named

    server = sync.serve(stubborn, "127.0.0.1", 0)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    uri = URI.format(port=server.socket.getsockname()[1])
    with sync.connect(uri):
        begun.wait()
        closing = threading.Thread(target=server.shutdown)
        closing.start()
        while "server waits for handlers" not in caplog.text:
            closing.join(0.01)
        end.set()
    closing.join()
    serving.join()
    line = stubborn.__code__.co_firstlineno + 2
    assert f"stubborn at {__file__}:{line} (1)" in caplog.text
    assert "a second Ctrl-C cuts them off" in caplog.text
