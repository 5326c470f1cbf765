"""What the log says without being asked: who, where, why, and frames at DEBUG."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

import longwire
from longwire import connect, serve
from longwire.messages import Frame, Opcode
from longwire.session.frame_log import show


async def echo(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


def lines(caplog: pytest.LogCaptureFixture, logger: str) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == logger]


@pytest.fixture(params=["native", "transport"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LONGWIRE_ENGINE", request.param)
    return str(request.param)


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_debug_shows_heads_and_frames_of_both_sides(
    caplog: pytest.LogCaptureFixture, engine: str, compression: str | None
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve(echo, "127.0.0.1", 0, compression=compression) as server:
        port = server.sockets[0].getsockname()[1]
        uri = f"ws://127.0.0.1:{port}/chat"
        async with connect(uri, compression=compression) as ws:
            await ws.send("hello \u263a")
            await ws.recv()
            await ws.send(b"\x00\xff")
            await ws.recv()
            await ws.close(1000, "bye\x1b")

    for logger, out, back in (
        ("longwire.client", ">", "<"),
        ("longwire.server", "<", ">"),
    ):
        found = lines(caplog, logger)
        assert f"{out} GET /chat HTTP/1.1" in found
        assert f"{back} HTTP/1.1 101 Switching Protocols" in found
        for arrow in "<>":
            assert f"{arrow} TEXT 'hello \u263a' [9 bytes]" in found
            assert f"{arrow} BINARY 00 ff [2 bytes]" in found
        assert f"{out} CLOSE 1000 (OK) bye\\x1b [6 bytes]" in found
        assert all(line.isprintable() for line in found)


async def test_without_debug_no_bytes_are_read_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/") as ws:
            assert ws._taps is None


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        (Frame(Opcode.TEXT, b"x" * 200), f"TEXT '{'x' * 74}…' [200 bytes]"),
        (Frame(Opcode.TEXT, b"\xff"), "TEXT ff [1 byte]"),
        (Frame(Opcode.TEXT, b"a", fin=False), "TEXT 'a' [1 byte, continued]"),
        (Frame(Opcode.TEXT, b"\x00", rsv1=True), "TEXT 00 [1 byte, compressed]"),
        (Frame(Opcode.CLOSE, b""), "CLOSE 1005 (no status received) [0 bytes]"),
        (Frame(Opcode.CLOSE, b"\x03"), "CLOSE 03 [1 byte]"),
        (Frame(Opcode.PING, b"\x1b["), "PING '\\x1b[' [2 bytes]"),
    ],
)
def test_a_frame_is_one_line_that_a_terminal_cannot_obey(
    frame: Frame, shown: str
) -> None:
    text = show(frame)

    assert text.isprintable()
    assert re.sub(r"\.\.\.|…", "…", text)[:12] == shown[:12]
    assert text[text.rindex("[") :] == shown[shown.rindex("[") :]


async def test_lines_of_many_connections_can_be_told_apart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for number in range(3):
            async with connect(f"ws://127.0.0.1:{port}/room%41/{number}?token=x") as ws:
                client = ws.local_address
    shape = re.compile(
        r"connection (open|closed) \(from 127\.0\.0\.1:\d+, /room%41/\d, "
        r"id [0-9a-f]{8}\)(: .+)?"
    )
    found = [line for line in lines(caplog, "longwire.server") if "connection" in line]
    assert len(found) == len(set(found)) == 6
    assert all(shape.fullmatch(line) for line in found)
    assert f"127.0.0.1:{client[1]}, /room%41/2" in found[-1]
    assert "token" not in caplog.text
    found = lines(caplog, "longwire.client")
    assert found[0].startswith(
        f"connection open (to ws://127.0.0.1:{port}/room%41/0, id "
    )


async def test_a_page_that_is_served_is_not_called_a_refusal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    def page(connection: Any, request: Any) -> Any:
        return connection.respond(200, "hello\n")

    async with serve(echo, "127.0.0.1", 0, process_request=page) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(longwire.InvalidStatus):
            await connect(f"ws://127.0.0.1:{port}/page")
    (line,) = [line for line in lines(caplog, "longwire.server") if "200" in line]
    assert line.startswith("HTTP response sent (200 OK) (from 127.0.0.1:")


JSON = "application/json"
REFUSALS: list[tuple[int, dict[str, str], str, str]] = [
    (401, {}, "the token has expired\nmore\n", ": the token has expired"),
    (403, {}, "\x1b[31mno\n", ": \\x1b[31mno"),
    (400, {"Content-Type": JSON}, '{"detail": "bad"}', ': {"detail": "bad"}'),
    (404, {"Content-Type": "text/html"}, "<html>\n<body>", ""),
    (404, {}, "", ""),
    (403, {}, "x" * 500, ": " + "x" * 100),
    (200, {}, "welcome", "; a page was answered: is the path right?"),
    (300, {"Location": "https://a.test/"}, "", "; it redirects to https://a.test/"),
]


@pytest.mark.parametrize(("status", "headers", "body", "text"), REFUSALS)
async def test_a_refused_client_says_why(
    status: int, headers: dict[str, str], body: str, text: str
) -> None:
    def refuse(connection: Any, request: Any) -> Any:
        response = connection.respond(status, body)
        for name, value in headers.items():
            if name in response.headers:
                del response.headers[name]
            response.headers[name] = value
        return response

    async with serve(echo, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(longwire.WebSocketException) as caught:
            await connect(f"ws://127.0.0.1:{port}/")
    told = str(caught.value)
    assert told.isprintable()
    assert len(told) < 300
    if isinstance(caught.value, longwire.InvalidStatus):
        begin = f"server rejected WebSocket connection: HTTP {status}"
        assert told.startswith(begin + text)
        assert text or told == begin


async def test_a_dead_port_is_told_of_once_at_warning(
    caplog: pytest.LogCaptureFixture, free_port_of_nobody: int
) -> None:
    caplog.set_level(logging.INFO)
    uri = f"ws://127.0.0.1:{free_port_of_nobody}/x"
    with pytest.raises(OSError, match=str(free_port_of_nobody)):
        async for _ in connect(uri, reconnect_delays=lambda: [0, 0, 0]):
            pass
    records = [r for r in caplog.records if r.name == "longwire.client"]
    levels = [r.levelname for r in records]
    assert levels == ["WARNING", "INFO", "INFO", "WARNING"]
    assert records[0].getMessage().startswith(f"connect to {uri} failed; ")
    assert (
        records[-1]
        .getMessage()
        .startswith(f"gave up connecting to {uri} after 4 attempts: ")
    )


@pytest.fixture
def free_port_of_nobody() -> int:
    from tests.support.ports import free_port

    return free_port()
