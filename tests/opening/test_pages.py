"""Files that a server sends to browsers, and what ``respond()`` refuses."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from longwire import connect, pages, sync, testing
from longwire import trio as on_trio
from longwire.http.handshake import respond


@pytest.fixture
def page(tmp_path: Path) -> Callable[[Any, Any], Any]:
    (tmp_path / "page.html").write_text("<p>caf\u00e9", "utf-8")
    (tmp_path / "page.js").write_bytes(b"let a\n")
    (tmp_path / "data.bin").write_bytes(b"\x00\xff")
    return pages(
        {
            "/": tmp_path / "page.html",
            "/page.js": str(tmp_path / "page.js"),
            "/data": tmp_path / "data.bin",
        },
        headers={"Cache-Control": "max-age=60"},
    )


async def echo(websocket: Any) -> None:
    await websocket.send(await websocket.recv())


@contextlib.contextmanager
def on_asyncio(**keywords: Any) -> Iterator[int]:
    with testing.serving(echo, **keywords) as server:
        yield server.port


@contextlib.contextmanager
def in_threads(**keywords: Any) -> Iterator[int]:
    def answer(websocket: Any) -> None:
        websocket.send(websocket.recv())

    with sync.serve(answer, "127.0.0.1", 0, **keywords) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
    thread.join()


@contextlib.contextmanager
def with_trio(**keywords: Any) -> Iterator[int]:
    ports: list[int] = []
    listening, end = threading.Event(), threading.Event()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(lambda task_status: start(task_status))
            ports.append(server.listeners[0].socket.getsockname()[1])
            listening.set()
            await trio.to_thread.run_sync(end.wait)
            await server.aclose()

    async def start(task_status: Any) -> None:
        await on_trio.serve(
            echo, 0, host="127.0.0.1", task_status=task_status, **keywords
        )

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    listening.wait()
    try:
        yield ports[0]
    finally:
        end.set()
        thread.join()


every_server = pytest.mark.parametrize("serving", [on_asyncio, in_threads, with_trio])


def ask(port: int, line: str) -> tuple[str, list[str], bytes]:
    """Return status line, header lines and body of an answer."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    return status, fields, body


@every_server
def test_files_are_sent_and_websockets_opened_beside_them(
    serving: Any, page: Any
) -> None:
    with serving(process_request=page) as port:
        status, fields, body = ask(port, "GET /?from=mail")
        assert (status, body) == ("HTTP/1.1 200 OK", b"<p>caf\xc3\xa9")
        for field in (
            "Content-Type: text/html; charset=utf-8",
            "Content-Length: 8",
            "Cache-Control: max-age=60",
            "X-Content-Type-Options: nosniff",
        ):
            assert fields.count(field) == 1
            name = field.partition(":")[0]
            assert sum(each.startswith(f"{name}:") for each in fields) == 1
        assert (
            "Content-Type: text/javascript; charset=utf-8"
            in ask(port, "GET /page.js")[1]
        )
        _, fields, body = ask(port, "GET /data")
        assert "Content-Type: application/octet-stream" in fields
        assert body == b"\x00\xff"
        with sync.connect(f"ws://127.0.0.1:{port}/", proxy=None) as websocket:
            websocket.send("hello")
            assert websocket.recv(timeout=20) == "hello"


def test_head_has_no_body_and_other_methods_are_refused(page: Any) -> None:
    with on_asyncio(process_request=page) as port:
        status, fields, body = ask(port, "HEAD /")
        assert (status, body) == ("HTTP/1.1 200 OK", b"")
        assert "Content-Length: 8" in fields
        status, fields, _ = ask(port, "POST /")
        assert status == "HTTP/1.1 405 Method Not Allowed"
        assert "Allow: GET, HEAD" in fields


@pytest.mark.parametrize("path", ["/none", "//", "/page.js/", "/../page.js", "/P"])
def test_nothing_but_the_files_is_sent(page: Any, path: str) -> None:
    with on_asyncio(process_request=page) as port:
        assert ask(port, f"GET {path}")[0] == "HTTP/1.1 426 Upgrade Required"


async def test_a_websocket_may_be_opened_at_the_path_of_a_page(page: Any) -> None:
    async with testing.serving(echo, process_request=page) as server:
        async with connect(server.uri) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"


def test_what_cannot_be_a_page_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pages({"/": tmp_path / "none.html"})
    with pytest.raises(TypeError, match=r"write pages\(\{'/': 'page\.html'\}\)"):
        pages("page.html")  # type: ignore[arg-type]
    for path in ("page", "", "/a?b", "/a#b"):
        with pytest.raises(ValueError, match="begins with '/'"):
            pages({path: __file__})
    with pytest.raises(TypeError, match=r"write pages\(\{'/': 'page\.html'\}\)"):
        sync.serve(lambda websocket: None, "", 0, process_request=pages)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"Content-Length": "1"}, "the body has 3 bytes"),
        ({"content-length": "300"}, "the body has 3 bytes"),
        ([("Content-Length", "3"), ("Content-Length", "3")], "the body has 3 bytes"),
        ({"Transfer-Encoding": "chunked"}, "Transfer-Encoding"),
    ],
)
def test_headers_that_contradict_the_body_are_refused(headers: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        respond(200, "abc", headers=headers)
    assert respond(200, "abc", headers={"Content-Length": "3"}).body == b"abc"
    assert respond(304, "", headers={"Content-Length": "3"}).body == b""
